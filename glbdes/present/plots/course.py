"""How a run went: footprints and duals over time."""

import altair as alt
import pandas as pd
from altair.typing import ChartType

from glbdes.present.plots import style

KEYS = ("policy", "time_utc", "region")
EACH = 118  # px of a panel at least


def footprints(table: pd.DataFrame, *, width: int = style.WIDTH) -> ChartType:
    """Every footprint so far, a panel a region, a line a policy (`extracts.over_time`)."""
    policies = list(dict.fromkeys(table["policy"]))
    columns = [name for name in table.columns if name not in KEYS]
    means = table.groupby(["policy", "time_utc"], sort=False, observed=True)[columns].mean()
    table = table.merge(means.add_suffix("_mean").reset_index(), on=["policy", "time_utc"])
    rows = [_small_multiples(table, column, style.amount(column, "so far"), policies, width) for column in columns]
    made: ChartType = alt.vconcat(*rows, spacing=24)
    return style.styled(made, width, policies)


def duals(table: pd.DataFrame, *, width: int = style.WIDTH) -> ChartType:
    """The prices that policies put on each region's footprints, slot by slot (`extracts.duals`)."""
    policies = list(dict.fromkeys(table["policy"]))
    columns = [name for name in table.columns if name not in KEYS]
    known = [name for name in columns if (table[name].fillna(0.0) != 0).any()] or columns[:1]
    rows = [_small_multiples(table, column, style.price(column), policies, width) for column in known]
    made: ChartType = alt.vconcat(*rows, spacing=24)
    return style.styled(made, width, policies)


def _small_multiples(table: pd.DataFrame, column: str, title: str, policies: list[str], width: int) -> ChartType:
    regions = list(dict.fromkeys(table["region"]))
    side_by_side = style.columns(width, EACH, len(regions))
    each = max(70, (width - 56) // side_by_side - 12)
    several = len(policies) > 1
    shown = table[["policy", "region", "time_utc", column, *([f"{column}_mean"] if f"{column}_mean" in table else [])]]
    base = alt.Chart(shown)
    line = base.mark_line(strokeWidth=1.8).encode(
        x=style.time(shown["time_utc"]),
        y=alt.Y(f"{column}:Q", title=title, axis=style.amounts(shown[column])),
        color=style.colour(policies, legend=several),
        strokeDash=style.dash(policies, legend=several),
        tooltip=["policy:N", "region:N", "time_utc:T", alt.Tooltip(f"{column}:Q", format=",.4")],
    )
    layers = [line]
    if f"{column}_mean" in table and not several:
        layers.insert(
            0,
            base.mark_line(color=style.QUIET, strokeDash=[4, 2], strokeWidth=1.2).encode(
                x=style.time(shown["time_utc"]), y=f"{column}_mean:Q"
            ),
        )
    made: ChartType = (
        alt.layer(*layers)
        .properties(width=each, height=84)
        .facet(facet=alt.Facet("region:N", sort=regions, title=None), columns=side_by_side, spacing=12)
    )
    return made
