"""What users feel and what machines draw: latency curves and the parts of the energy."""

import altair as alt
import pandas as pd
from altair.typing import ChartType

from glbdes.present.plots import style
from glbdes.records.extracts import PARTS


def latency(table: pd.DataFrame, *, width: int = style.WIDTH) -> ChartType:
    """Distribution curves of TTFT and E2E, a line a policy (`extracts.waits`)."""
    policies = list(dict.fromkeys(table["policy"]))
    side_by_side = style.columns(width, 290, 2)
    several = len(policies) > 1
    panels = [
        alt.Chart(table[table["measure"] == measure][["policy", "level", "seconds"]])
        .mark_line(strokeWidth=1.8)
        .encode(
            x=alt.X(
                "seconds:Q", title=f"{measure}, s", scale=alt.Scale(type="log", nice=False), axis=alt.Axis(tickCount=5)
            ),
            y=alt.Y("level:Q", title="share of requests", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=".0%")),
            color=style.colour(policies, legend=several),
            strokeDash=style.dash(policies, legend=several),
            order="level:Q",
            tooltip=["policy:N", alt.Tooltip("level:Q", format=".1%"), alt.Tooltip("seconds:Q", format=".3")],
        )
        .properties(width=style.panel(width, side_by_side), height=220)
        for measure in dict.fromkeys(table["measure"])
    ]
    made: ChartType = alt.concat(*panels, columns=side_by_side)
    return style.styled(made, width, policies)


def energy(table: pd.DataFrame, *, width: int = style.WIDTH) -> ChartType:
    """IT energy by what it was for: a bar a region of one policy, a bar a policy of several (`extracts.regional`)."""
    policies = list(dict.fromkeys(table["policy"]))
    key = "policy" if len(policies) > 1 else "region"
    sums = table.groupby(key, sort=False, observed=True)[list(PARTS)].sum().rename(columns=PARTS)
    long = sums.reset_index().melt(key, var_name="part", value_name="kwh")
    parts = list(PARTS.values())
    long["order"] = long["part"].map(parts.index)
    names = list(dict.fromkeys(table[key]))
    room = max(len(name) for name in names) * 7 + 20
    made: ChartType = (
        alt.Chart(long)
        .mark_bar(height={"band": 0.72}, stroke=style.INK, strokeWidth=0.5)
        .encode(
            y=alt.Y(f"{key}:N", sort=names, title=None),
            x=alt.X("kwh:Q", title="IT energy, kWh", axis=alt.Axis(tickCount=5)),
            color=alt.Color(
                "part:N",
                title=None,
                sort=parts,
                scale=alt.Scale(domain=parts, range=list(style.PARTS.values())),
                legend=alt.Legend(columns=2 if width < 400 else 4),
            ),
            order="order:Q",
            tooltip=[f"{key}:N", "part:N", alt.Tooltip("kwh:Q", format=",.4")],
        )
        .properties(width=width - room, height=22 * len(names))
    )
    return style.styled(made)
