"""Where requests went: gateway by region, over the run and by the hour of the day."""

from typing import Final

import altair as alt
import pandas as pd
from altair.typing import ChartType

from glbdes.present.plots import alike, style

MOST_PX: Final = 420  # of a panel


def by_hour(table: pd.DataFrame, *, width: int = style.WIDTH) -> ChartType:
    """Share of each gateway's requests by region and hour of the day, a panel a gateway (`extracts.hours`)."""
    table = table[table.groupby("gateway")["share"].transform("sum") > 0]
    table = alike.once(table, "gateway", ("region", "hour", "share"), "gateways")
    gateways, regions = (list(dict.fromkeys(table[key])) for key in ("gateway", "region"))
    room = max(len(name) for name in regions) * 6 + 20
    side_by_side = style.columns(width - room, 150, len(gateways))
    each = min(MOST_PX, max(90, (width - room) // side_by_side - 12))
    made: ChartType = (
        alt.Chart(table[["gateway", "region", "hour", "share"]])
        .mark_rect()
        .encode(
            x=alt.X("hour:O", title="hour of the day, UTC", axis=alt.Axis(values=[0, 6, 12, 18], labelAngle=0)),
            y=alt.Y("region:N", sort=regions, title=None),
            color=_share(table["share"]),
            tooltip=["gateway:N", "region:N", "hour:O", alt.Tooltip("share:Q", format=".1%")],
        )
        .properties(width=each, height=max(48, 13 * len(regions)))
        .facet(facet=alt.Facet("gateway:N", sort=gateways, title=None), columns=side_by_side, spacing=12)
    )
    return style.styled(made)


def matrix(table: pd.DataFrame, *, width: int = style.WIDTH) -> ChartType:
    """Share of each gateway's requests by region over the whole run, a panel a policy (`extracts.flows`)."""
    table = alike.once(table, "policy", ("gateway", "region", "share"), "policies")
    policies, gateways, regions = (list(dict.fromkeys(table[key])) for key in ("policy", "gateway", "region"))
    room = max(len(name) for name in gateways) * 6 + 30
    side_by_side = style.columns(width - room, 140, len(policies))
    each = min(MOST_PX, max(80, (width - room) // side_by_side - 14))
    made: ChartType = (
        alt.Chart(table[["policy", "gateway", "region", "share"]])
        .mark_rect()
        .encode(
            x=alt.X("region:N", sort=regions, title="served in", axis=alt.Axis(labelAngle=-90)),
            y=alt.Y("gateway:N", sort=gateways, title="entered at"),
            color=_share(table["share"]),
            tooltip=["policy:N", "gateway:N", "region:N", alt.Tooltip("share:Q", format=".1%")],
        )
        .properties(width=each, height=max(60, 14 * len(gateways)))
        .facet(facet=alt.Facet("policy:N", sort=policies, title=None), columns=side_by_side, spacing=14)
    )
    return style.styled(made)


def _share(shares: pd.Series) -> alt.Color:
    """From white to dark; the root of the share, so that a tenth can be told from nothing."""
    most = max(0.01, float(shares.max()))
    scale = alt.Scale(type="sqrt", scheme=style.SEQUENCE, domain=[0, most])
    legend = alt.Legend(format=".0%", gradientLength=160, tickCount=4)
    return alt.Color("share:Q", title="share of the gateway's requests", scale=scale, legend=legend)
