"""Where requests went: gateway by region and hour, and over the map."""

import altair as alt
import pandas as pd
from altair.typing import ChartType

from glbdes.present.plots import labels, style

GRATICULE_DEG = 30
LEAST_SHARE = 0.005  # of all requests, for a flow to be drawn on the map


def by_hour(table: pd.DataFrame, *, width: int = style.WIDTH) -> ChartType:
    """Share of each gateway's requests by region and hour of the day, a panel a gateway (`extracts.hours`)."""
    gateways, regions = (list(dict.fromkeys(table[key])) for key in ("gateway", "region"))
    room = max(len(name) for name in regions) * 6 + 20
    side_by_side = style.columns(width - room, 150, min(3, len(gateways)))
    each = max(90, (width - room) // side_by_side - 12)
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
    policies, gateways, regions = (list(dict.fromkeys(table[key])) for key in ("policy", "gateway", "region"))
    room = max(len(name) for name in gateways) * 6 + 30
    side_by_side = style.columns(width - room, 140, min(4, len(policies)))
    each = min(240, max(80, (width - room) // side_by_side - 14))
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


def world_map(places: pd.DataFrame, flows: pd.DataFrame, *, width: int = style.WIDTH) -> ChartType:
    """Regions and the requests that were sent to them from elsewhere (`extracts.places`, one policy's `flows`).

    Latitude and longitude as on a plain chart, with a graticule of 30 degrees and no coasts.
    """
    regions = places[places["kind"] == "region"]
    west, east = float(places["longitude_deg"].min()) - 30, float(places["longitude_deg"].max()) + 30
    south, north = float(places["latitude_deg"].min()) - 15, float(places["latitude_deg"].max()) + 15
    size = (width - 70, max(170, round((width - 70) * (north - south) / (east - west))))
    grid = alt.Axis(values=list(range(-180, 181, GRATICULE_DEG)))
    across, up = (alt.Scale(domain=domain, nice=False) for domain in ([west, east], [south, north]))
    x = alt.X("longitude_deg:Q", title="longitude, °", scale=across, axis=grid)
    y = alt.Y("latitude_deg:Q", title="latitude, °", scale=up, axis=grid)
    lines = _lines(places, flows)
    sent = (
        alt.Chart(lines)
        .mark_rule(color=style.COLOURS[1], opacity=0.5, strokeCap="round")
        .encode(
            x=x,
            y=y,
            x2="to_longitude_deg:Q",
            y2="to_latitude_deg:Q",
            strokeWidth=alt.StrokeWidth("requests:Q", scale=alt.Scale(range=[0.3, 4.5]), legend=None),
            tooltip=["gateway:N", "region:N", alt.Tooltip("requests:Q", format=",")],
        )
    )
    dots = (
        alt.Chart(regions)
        .mark_circle(color=style.COLOURS[0], opacity=0.9, stroke="white")
        .encode(
            x=x,
            y=y,
            size=alt.Size("requests:Q", scale=alt.Scale(range=[25, 420], zero=True), legend=None),
            tooltip=["name:N", alt.Tooltip("requests:Q", format=",")],
        )
    )
    points = [
        ((p["longitude_deg"] - west) / (east - west) * size[0], (north - p["latitude_deg"]) / (north - south) * size[1])
        for _, p in regions.iterrows()
    ]
    centres = labels.place(points, [str(name) for name in regions["name"]], *size, gap=12)
    names = regions[["name"]].assign(
        longitude_deg=[west + cx / size[0] * (east - west) for cx, _ in centres],
        latitude_deg=[north - cy / size[1] * (north - south) for _, cy in centres],
    )
    written = [alt.Chart(names).mark_text(fontSize=11, **halo).encode(x=x, y=y, text="name:N") for halo in style.HALO]
    made: ChartType = alt.layer(sent, dots, *written).properties(width=size[0], height=size[1])
    return style.styled(made)


def _lines(places: pd.DataFrame, flows: pd.DataFrame) -> pd.DataFrame:
    """A row a flow between two places that is worth drawing."""
    where = ["name", "latitude_deg", "longitude_deg"]
    begin = places[places["kind"] == "gateway"][where].rename(columns={"name": "gateway"})
    to = {"name": "region", "latitude_deg": "to_latitude_deg", "longitude_deg": "to_longitude_deg"}
    end = places[places["kind"] == "region"][where].rename(columns=to)
    lines = flows[["gateway", "region", "dispatched"]].rename(columns={"dispatched": "requests"})
    lines = lines[lines["requests"] > LEAST_SHARE * max(1, lines["requests"].sum())]
    lines = lines.merge(begin, on="gateway").merge(end, on="region")
    apart = (lines["latitude_deg"] != lines["to_latitude_deg"]) | (lines["longitude_deg"] != lines["to_longitude_deg"])
    return lines[apart]
