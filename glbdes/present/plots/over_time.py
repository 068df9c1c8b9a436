"""Service over time: what users and machines saw by hour and region, beside the footprints, linked by a brush."""

from itertools import pairwise
from typing import Any, Final

import altair as alt
import pandas as pd
from altair.typing import ChartType

from glbdes.present.plots import style

PANELS: Final = {
    "ttft_p95_s": "p95 TTFT, s",
    "slo_share": "within SLO",
    "queue": "queue, requests",
    "utilisation": "utilisation",
}  # and each footprint, per hour
PER_H: Final = "_per_h"
SHARES: Final = ("slo_share", "utilisation")
SKEWED: Final = ("ttft_p95_s", "queue")  # a few hours are far above the rest
ROW: Final = 13  # px of a region
STRIP: Final = 44  # px of what is brushed
FIRST_MS: Final = 3 * 24 * 3_600_000  # what is shown at first, of a longer run
CLOCK: Final = "utcFormat(datum.value, utchours(datum.value) || utcminutes(datum.value) ? '%H:%M' : '%-d %b')"
INCIDENTS: Final = {"region down": "#D55E00", "stale signal": "#CC79A7"}


def timeline(table: pd.DataFrame, incidents: pd.DataFrame, *, width: int = style.FULL) -> ChartType:
    """A panel a measure, a row a region (`daily.service`); what was amiss is framed (`daily.incidents`).

    The strip above shows a footprint of all regions together; the stretch that is brushed there is what panels show.
    """
    regions = list(dict.fromkeys(table["region"]))
    borne = [name for name in map(str, table) if name.endswith(PER_H)]
    titles = PANELS | {key: f"{style.amount(key.removesuffix(PER_H))}/h" for key in borne}
    shown = [key for key in titles if table[key].notna().any() and (table[key] != 0).any()]
    time = _ms(table["time_utc"])
    begins = sorted(set(time))
    step = min((b - a for a, b in pairwise(begins)), default=3_600_000)
    table = table.assign(time=time, until=time + step)[["time", "until", "region", *shown]]
    table[shown] = table[shown].map(lambda value: float(f"{value:.4g}"))
    amiss = incidents.assign(begin=_ms(incidents["from_utc"]), end=_ms(incidents["to_utc"]))
    amiss = amiss[["region", "what", "begin", "end"]]
    room = max(len(name) for name in regions) * 6 + 16
    side_by_side = style.columns(width, 340, len(shown))
    each = max(60, width // side_by_side - room - 16)
    long = begins[-1] - begins[0] > FIRST_MS
    value: Any = {"x": [begins[0], begins[0] + FIRST_MS]} if long else alt.Undefined
    brush = alt.selection_interval(name="brush", encodings=["x"], value=value)
    panels = [_panel(table, key, titles[key], amiss, regions, brush, each) for key in shown]
    below: ChartType = alt.concat(*panels, columns=side_by_side, spacing=14).resolve_scale(color="independent")
    made: ChartType = alt.vconcat(_strip(table, shown, brush, width - room - 10), below, spacing=8)
    return style.styled(made, width)


def _ms(times: "pd.Series[Any]") -> Any:
    """Milliseconds since 1970, which browsers take for UTC, whatever their clock."""
    return times.to_numpy().astype("datetime64[ms]").astype("int64")


def _strip(table: pd.DataFrame, shown: list[str], brush: Any, width: int) -> Any:
    key = next((one for one in shown if one.endswith(PER_H)), shown[0])
    sums = table.groupby("time", sort=True)[key].sum().round(4).reset_index()
    name = PANELS.get(key, style.amount(key.removesuffix(PER_H))).split(",")[0]
    flat = alt.Axis(title=None, labels=False, ticks=False, grid=False)
    return (
        alt.Chart(sums)
        .mark_area(color=style.FAINT, opacity=0.6, line={"color": style.QUIET, "strokeWidth": 1})
        .encode(x=_time(), y=alt.Y(f"{key}:Q", axis=flat))
        .add_params(brush)
        .properties(width=width, height=STRIP, title=alt.TitleParams(f"{name} of all regions; drag to choose a time"))
    )


def _time(field: str = "time", domain: Any = alt.Undefined) -> alt.X:
    axis = alt.Axis(title=None, tickCount=5, labelOverlap=True, labelFlush=True, grid=False, labelExpr=CLOCK)
    return alt.X(f"{field}:T", scale=alt.Scale(type="utc", domain=domain, nice=False), axis=axis)


def _panel(
    table: pd.DataFrame,
    key: str,
    title: str,
    amiss: pd.DataFrame,
    regions: list[str],
    brush: Any,
    width: int,
) -> Any:
    legend = alt.Legend(
        title=title,
        orient="top",
        direction="horizontal",
        gradientLength=min(150, width - 90),
        gradientThickness=9,
        tickCount=3,
        titleOrient="left",
        titleFontSize=12,
        titleFontWeight="normal",
        format=".0%" if key in SHARES else "~s",
    )
    scale = alt.Scale(
        type="sqrt" if key in SKEWED else "linear",
        scheme=style.SEQUENCE,
        reverse=key == "slo_share",
        zero=key not in SHARES,
    )
    y = alt.Y("region:N", sort=regions, title=None, scale=alt.Scale(domain=regions))
    cells = (
        alt.Chart(table)  # the same for all panels, so that a page has it once
        .transform_filter(f"isValid(datum['{key}'])")
        .transform_filter(brush)
        .mark_rect(clip=True)
        .encode(
            x=_time(domain=brush),
            x2="until:T",
            y=y,
            color=alt.Color(f"{key}:Q", scale=scale, legend=legend),
            tooltip=[
                "region:N",
                alt.Tooltip("utcyearmonthdatehoursminutes(time):T", title="from, UTC"),
                alt.Tooltip(f"{key}:Q", title=title, format=".1%" if key in SHARES else ".4~g"),
            ],
        )
    )
    layers: list[Any] = [cells]
    if len(amiss):
        kinds = [one for one in INCIDENTS if (amiss["what"] == one).any()]
        colours = alt.Scale(domain=kinds, range=[INCIDENTS[one] for one in kinds])
        layers.append(
            alt.Chart(amiss)
            .mark_rect(fill=None, strokeWidth=1.6, clip=True)
            .encode(
                x=_time("begin", brush),
                x2="end:T",
                y=y,
                stroke=alt.Stroke("what:N", scale=colours, legend=alt.Legend(orient="bottom", title=None)),
                tooltip=["region:N", "what:N"],
            )
        )
    return alt.layer(*layers).properties(width=width, height=ROW * len(regions))
