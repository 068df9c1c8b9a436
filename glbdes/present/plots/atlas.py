"""Regions and flows of requests on a map with coastlines, over the day.

Longitude and latitude at right angles (equirectangular), turned so that the widest stretch without a place lies at the
edges: so flows between Asia and America cross the Pacific where that is the shorter way. Coasts: Natural Earth, 1:110
million, public domain (docs/scripts/make_coast.py).
"""

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

import altair as alt
import numpy as np
import pandas as pd
from altair.typing import ChartType

from glbdes.present.plots import labels, style

COAST: Final = Path(__file__).resolve().parents[1] / "assets" / "coast.json"
MARGIN_DEG: Final = (24.0, 16.0)  # around the places, in longitude and latitude
LEAST_HEIGHT: Final = (0.36, 0.44)  # of the width, on a desk and on a phone
SMALL: Final = 500  # px of width, below which dots and names are small
WHOLE: Final = -1  # the hour that stands for the whole run
LEAST_SHARE: Final = 0.005  # of all requests, for a flow to be drawn
POINTS: Final = 24  # of a flow's curve
BEND: Final = 0.13  # how far a flow bends to its right, as a share of its length: both directions are seen
ARROW: Final = 0.6  # where on its way the arrow of a flow is
LEAST_APART: Final = 0.1  # from the mean, where colours are darkest
LAND: Final = "#e9ecef"
SIZES: Final = (40, 900)  # px2 of a region's dot


def world_map(
    places: pd.DataFrame, flows: pd.DataFrame, burdens: pd.DataFrame, *, width: int = style.WIDTH
) -> ChartType:
    """Regions sized by their footprint and coloured by it relative to the mean; flows with their directions.

    places : kind (gateway, region), name, latitude_deg, longitude_deg
    flows : hour (of the day, UTC; `WHOLE` for the run), gateway, region, requests
    burdens : hour, footprint, region, amount, relative (to the mean over regions)
    """
    frame = _frame(places)
    least = LEAST_HEIGHT[width < SMALL]
    shape = (width - 10, round((width - 10) * max(least, (frame["north"] - frame["south"]) / frame["span"])))
    hours, kinds = sorted(set(flows["hour"]) | set(burdens["hour"])), list(dict.fromkeys(burdens["footprint"]))
    shared: list[Any] = [
        alt.param(
            name="hour", value=WHOLE, bind=alt.binding_range(min=WHOLE, max=max(hours), step=1, name="hour of the day ")
        ),
        alt.param(name="kind", value=kinds[0], bind=alt.binding_select(options=kinds, name="burden ")),
    ]
    layers = [
        _land(),
        *_flows(places, flows, small=width < SMALL),
        *_regions(places, burdens, small=width < SMALL),
        *_names(places, frame, shape),
    ]
    told = "hour < 0 ? 'the whole run' : 'from ' + hour + ' to ' + (hour + 1) + ' o\u2019clock UTC, all days'"
    made = (
        style.with_params(alt.layer(*layers), shared)
        .properties(width=shape[0], height=shape[1], title=alt.TitleParams(alt.expr(told)))
        .project(
            type="equirectangular",
            rotate=[-frame["middle"], 0, 0],
            center=[0, (frame["north"] + frame["south"]) / 2],
            scale=alt.expr(f"width / {frame['span'] / 180 * np.pi:.6f}"),
            translate=alt.expr("[width / 2, height / 2]"),
        )
    )
    return style.styled(made.resolve_scale(color="independent", size="independent"), width)


def _frame(places: pd.DataFrame) -> dict[str, float]:
    """What is shown: the middle and span of longitudes, the northern and southern end."""
    degrees = np.sort(np.unique(places["longitude_deg"].to_numpy(float)))
    gaps = np.diff(np.append(degrees, degrees[0] + 360))
    widest = int(np.argmax(gaps))
    span = min(360.0, 360.0 - float(gaps[widest]) + 2 * MARGIN_DEG[0])
    middle = float(degrees[widest]) + float(gaps[widest]) / 2 + 180.0
    south, north = (
        float(places["latitude_deg"].min()) - MARGIN_DEG[1],
        float(places["latitude_deg"].max()) + MARGIN_DEG[1],
    )
    return {
        "middle": (middle + 180) % 360 - 180,
        "span": max(span, 60.0),
        "south": max(south, -60),
        "north": min(north, 80),
    }


@cache
def _coast() -> Any:
    return json.loads(COAST.read_text(encoding="utf-8"))


def _land() -> Any:
    feature = pd.DataFrame([{"type": "Feature", "geometry": _coast()}])
    return alt.Chart(feature).mark_geoshape(fill=LAND, stroke=None, clip=True, tooltip=None)


def _flows(places: pd.DataFrame, flows: pd.DataFrame, *, small: bool) -> list[Any]:
    """Curves and their arrows, of the hour that is chosen."""
    away = _worth(places, flows)
    if away.empty:
        return []
    curves = pd.DataFrame([_curve(*ends) for ends in _ends(places, away)])
    fields = ["type", "geometry", "arrow_longitude_deg", "arrow_latitude_deg", "angle"]
    base = (
        alt.Chart(away)
        .transform_filter("datum.hour == hour")
        .transform_lookup(lookup="pair", from_=alt.LookupData(data=curves, key="pair", fields=fields))
    )
    wide = alt.Scale(domain=[0, 1], range=[0.3, 3 if small else 6])
    tips = [
        alt.Tooltip("gateway:N", title="from"),
        alt.Tooltip("region:N", title="to"),
        alt.Tooltip("requests:Q", format=","),
    ]
    lines = base.mark_geoshape(filled=False, stroke=style.COLOURS[6], strokeOpacity=0.65, strokeCap="round", clip=True)
    arrows = base.mark_point(shape="triangle-up", filled=True, color=style.COLOURS[6], opacity=0.95, clip=True)
    return [
        lines.encode(strokeWidth=alt.StrokeWidth("share:Q", scale=wide, legend=None), tooltip=tips),
        arrows.encode(
            longitude="arrow_longitude_deg:Q",
            latitude="arrow_latitude_deg:Q",
            angle=alt.Angle("angle:Q", scale=None),
            size=alt.Size(
                "share:Q", scale=alt.Scale(domain=[0, 1], range=[10, 60] if small else [20, 190]), legend=None
            ),
            tooltip=tips,
        ),
    ]


def _worth(places: pd.DataFrame, flows: pd.DataFrame) -> pd.DataFrame:
    """Flows between two places that are worth drawing, with their share of the hour's widest."""
    of = {kind: _where(places, kind) for kind in ("gateway", "region")}
    apart = [of["gateway"][g] != of["region"][r] for g, r in zip(flows["gateway"], flows["region"], strict=True)]
    total = flows.groupby("hour")["requests"].transform("sum").clip(lower=1)
    away = flows[np.array(apart, dtype=bool) & (flows["requests"] > LEAST_SHARE * total)].copy()
    away["pair"] = away["gateway"] + " to " + away["region"]
    away["share"] = (away["requests"] / away.groupby("hour")["requests"].transform("max")).round(4)
    return away[["hour", "pair", "gateway", "region", "requests", "share"]]


def _where(places: pd.DataFrame, kind: str) -> dict[str, tuple[float, float]]:
    """Longitude and latitude of the places of a kind, by name."""
    chosen = places[places["kind"] == kind]
    return {
        str(name): (float(x), float(y))
        for name, x, y in zip(chosen["name"], chosen["longitude_deg"], chosen["latitude_deg"], strict=True)
    }


def _ends(places: pd.DataFrame, away: pd.DataFrame) -> list[tuple[str, tuple[float, float], tuple[float, float]]]:
    gateways, regions = _where(places, "gateway"), _where(places, "region")
    pairs = away[["pair", "gateway", "region"]].drop_duplicates()
    return [(pair, gateways[g], regions[r]) for pair, g, r in pairs.itertuples(index=False)]


def _curve(pair: str, begin: tuple[float, float], end: tuple[float, float]) -> dict[str, Any]:
    """A flow as a line over the shorter way around the world, bent to its right, and the place of its arrow."""
    east = (end[0] - begin[0] + 180) % 360 - 180
    way = np.array([east, end[1] - begin[1]])
    length = float(np.hypot(*way))
    right = np.array([way[1], -way[0]]) / max(length, 1e-9)
    t = np.linspace(0, 1, POINTS + 1)
    points = np.array(begin) + t[:, None] * way + np.sin(np.pi * t)[:, None] * right * length * BEND
    points[:, 1] = np.clip(points[:, 1], -85, 85)
    i = round(ARROW * POINTS)
    step = points[i + 1] - points[i - 1]
    around = [[round((x + 180) % 360 - 180, 2), round(y, 2)] for x, y in points.tolist()]
    return {
        "pair": pair,
        "type": "Feature",
        "geometry": {"type": "LineString", "coordinates": around},
        "arrow_longitude_deg": around[i][0],
        "arrow_latitude_deg": around[i][1],
        "angle": round(float(np.degrees(np.arctan2(step[0], step[1]))), 1),
    }


def _regions(places: pd.DataFrame, burdens: pd.DataFrame, *, small: bool) -> list[Any]:
    at = _where(places, "region")
    table = burdens.assign(
        longitude_deg=[at[name][0] for name in burdens["region"]],
        latitude_deg=[at[name][1] for name in burdens["region"]],
    )
    most = max(1.5, float(table["relative"].max()))
    apart = max(LEAST_APART, float((table.loc[table["hour"] == WHOLE, "relative"] - 1).abs().max()))
    size = alt.Size(
        "relative:Q", scale=alt.Scale(domain=[0, most], range=[area / (1 + 3 * small) for area in SIZES]), legend=None
    )
    scale = alt.Scale(scheme=style.DIVERGING, domain=[1 - apart, 1, 1 + apart], clamp=True, reverse=True)
    legend = alt.Legend(
        title="burden / mean",
        orient="bottom" if small else "bottom-left",
        gradientLength=110,
        tickCount=3,
        format=".2~f",
        direction="horizontal",
    )
    dots = (
        alt.Chart(table)
        .transform_filter("datum.hour == hour && datum.footprint == kind")
        .mark_circle(opacity=0.95, stroke=style.INK, strokeWidth=1, clip=True)
        .encode(
            longitude="longitude_deg:Q",
            latitude="latitude_deg:Q",
            size=size,
            color=alt.Color("relative:Q", scale=scale, legend=legend),
            tooltip=[
                "region:N",
                "footprint:N",
                alt.Tooltip("amount:Q", format=",.4~g"),
                alt.Tooltip("relative:Q", title="relative to the mean", format=".2f"),
            ],
        )
    )
    return [dots]


def _names(places: pd.DataFrame, frame: dict[str, float], shape: tuple[int, int]) -> list[Any]:
    at = _where(places, "region")
    west, per_deg = frame["middle"] - frame["span"] / 2, shape[0] / frame["span"]
    centre = (frame["north"] + frame["south"]) / 2
    points = [(((x - west) % 360) * per_deg, shape[1] / 2 - (y - centre) * per_deg) for x, y in at.values()]
    placed = labels.place(points, list(at), *shape, gap=16 if shape[0] > SMALL else 10)
    written = pd.DataFrame({
        "name": list(at),
        "longitude_deg": [(west + x / per_deg + 180) % 360 - 180 for x, _ in placed],
        "latitude_deg": [centre + (shape[1] / 2 - y) / per_deg for _, y in placed],
    })  # fmt: skip
    base = alt.Chart(written)
    return [
        base.mark_text(fontSize=11 if shape[0] > SMALL else 9, tooltip=None, **halo).encode(
            longitude="longitude_deg:Q", latitude="latitude_deg:Q", text="name:N"
        )
        for halo in style.HALO
    ]
