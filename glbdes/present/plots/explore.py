"""The front on a page: axes to be chosen, draws to be chosen, names on the front and its ends, the rest on hover.

What is on the front depends on the axes, so Vega finds it in the reader's browser.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Final

import altair as alt
import pandas as pd
from altair.typing import ChartType

from glbdes.present.plots import style

MEAN: Final = "mean"  # of all draws
HEIGHT: Final = 330
LEFT: Final = 0.3  # share of an axis from which on names stand to the left of their points
APART: Final = 0.045  # share of both axes that two names must be apart
HALF: Final = "_half95"
BY_X: Final = [alt.SortField("x"), alt.SortField("y")]
TOLD: Final = ("cost_usd", "ttft_p95_s", "e2e_p95_s", "slo_share")  # of a point on hover, besides the footprints


def explorer(table: pd.DataFrame, titles: Mapping[str, str], *, width: int = style.FULL) -> ChartType:
    """Two panels of any two figures each.

    `table` has a row a point and draw: `policy`, a colour and shape each; `label`; `setting`, its whole name; `draw`
    ("mean" among them); `order`, the value of the parameter by which points of a policy are joined, NaN if by none; the
    figures in `titles`, column to title, with their `_half95` for bars if they are known.
    """
    columns = [key for key in titles if key in table and table[key].notna().any()]
    first, second, up = _choice(columns)
    side_by_side = style.columns(width, 420, 2)
    size = style.panel(width, side_by_side, 70)
    names, draws = list(dict.fromkeys(table["policy"])), list(dict.fromkeys(table["draw"]))
    told = {key: titles[key] for key in columns}
    shared: list[Any] = [alt.param(name="titles", value=told)]
    if len(draws) > 1:
        shared.append(_select("draw", draws, draws, MEAN, "seed "))
    marked = alt.selection_point(name="marked", fields=["policy"], bind="legend")
    panels = []
    for n, across in enumerate((first, second), start=1):
        named = ("left", "right")[n - 1] if side_by_side > 1 else ("upper", "lower")[n - 1]
        shared += [
            _select(f"x{n}", columns, list(told.values()), across, f"{named} chart, across "),
            _select(f"y{n}", columns, list(told.values()), up[n - 1], "up "),
        ]
        panels.append(_panel(table, n, told, names, marked, draws=len(draws) > 1, width=size))
    with warnings.catch_warnings():  # that both panels share `marked` is meant
        warnings.simplefilter("ignore", UserWarning)
        made = style.with_params(alt.concat(*panels, columns=side_by_side, spacing=34), shared)
    return style.styled(made.resolve_scale(color="shared", shape="shared"), width, names)


def _choice(columns: Sequence[str]) -> tuple[str, str, tuple[str, str]]:
    """What the panels show at first: equity against money, and against latency or else the other footprint."""
    pars = [key for key in columns if key.endswith("_par")] or list(columns)
    cost = next((key for key in ("cost_usd", "objective_usd") if key in columns), columns[0])
    if "ttft_p95_s" in columns:
        return cost, "ttft_p95_s", (pars[0], pars[0])
    return cost, cost, (pars[0], pars[-1])


def _select(name: str, options: Sequence[str], labels: Sequence[str], value: str, told: str) -> Any:
    return alt.param(name=name, value=value, bind=alt.binding_select(options=options, labels=labels, name=told))


def _panel(
    table: pd.DataFrame,
    n: int,
    titles: Mapping[str, str],
    names: Sequence[str],
    marked: Any,
    *,
    draws: bool,
    width: int,
) -> ChartType:
    across, up = (alt.Scale(nice=False, zero=False, padding=pad) for pad in (40, 34))
    axis = alt.Axis(title=None, tickCount=6, labelOverlap=True, labelFlush=True)
    place = alt.Chart().encode(x=alt.X("x:Q", scale=across, axis=axis), y=alt.Y("y:Q", scale=up, axis=axis))
    seen = alt.condition(marked, alt.value(1.0), alt.value(0.15))
    colour, shape = style.colour(names), style.shape(names, legend=True)
    tips = [alt.Tooltip("setting:N")]
    tips += [
        alt.Tooltip(f"{key}:Q", title=title, format=",.4~f" if key.endswith("_usd") else ".4~g")
        for key, title in list(titles.items())
        if key in TOLD or key.endswith("_par")
    ]
    front = place.transform_filter("datum.on_front")
    layers: list[Any] = [
        front.mark_line(interpolate="step-after", color=style.FAINT, strokeWidth=1.5).encode(order="x:Q")
    ]
    if table["order"].notna().any():
        joined = place.transform_filter("isValid(datum.order)").mark_line(strokeWidth=1.6)
        layers.append(
            joined.encode(color=colour, order="order:Q", opacity=alt.condition(marked, alt.value(0.7), alt.value(0.1)))
        )
    if any(f"{key}{HALF}" in table for key in titles):
        bar: dict[str, Any] = {"color": style.FAINT, "strokeWidth": 1.2}
        layers.append(place.mark_rule(**bar).encode(x="x_low:Q", x2="x_high:Q"))
        layers.append(place.mark_rule(**bar).encode(y="y_low:Q", y2="y_high:Q"))
    point: dict[str, Any] = {"size": 80, "strokeWidth": 2}
    hollow = place.mark_point(**point, fill="white").encode(color=colour, shape=shape, tooltip=tips, opacity=seen)
    zoom = alt.selection_interval(name=f"zoom{n}", bind="scales", zoom="wheel![event.shiftKey]")
    layers.append(hollow.add_params(marked, zoom))
    layers.append(front.mark_point(**point, filled=True).encode(color=colour, shape=shape, tooltip=tips, opacity=seen))
    layers += _names(place)
    text = alt.expr(f"titles[y{n}] + ' ↑  against  ' + titles[x{n}] + ' →'")
    made = alt.layer(*layers, data=table, width=width, height=HEIGHT, title=alt.TitleParams(text))
    made.transform = _reckoned(alt.Chart(), n, draws=draws).transform  # once for all layers
    return made


def _reckoned(chart: Any, n: int, *, draws: bool) -> Any:
    """x, y, their intervals, whether a point is on the front, and whether its name is written."""
    if draws:
        chart = chart.transform_filter("datum.draw == draw")
    return (
        chart.transform_calculate(
            x=f"datum[x{n}]",
            y=f"datum[y{n}]",
            x_half=f"datum[x{n} + '{HALF}'] || 0",
            y_half=f"datum[y{n} + '{HALF}'] || 0",
        )
        .transform_filter("isValid(datum.x) && isValid(datum.y)")
        .transform_calculate(
            x_low="datum.x - datum.x_half",
            x_high="datum.x + datum.x_half",
            y_low="datum.y - datum.y_half",
            y_high="datum.y + datum.y_half",
        )
        .transform_window(least="min(y)", frame=[None, 0], ignorePeers=True, sort=BY_X)
        .transform_window(before="lag(least)", ignorePeers=True, sort=BY_X)
        .transform_calculate(on_front="!isValid(datum.before) || datum.y < datum.before")
        .transform_joinaggregate(left="min(x)", right="max(x)", bottom="min(y)", top="max(y)")
        .transform_joinaggregate(begin="min(order)", end="max(order)", groupby=["policy"])
        .transform_window(
            x_last="lag(x)",
            y_last="lag(y)",
            ignorePeers=True,
            groupby=["on_front"],
            sort=BY_X,
        )
        .transform_calculate(
            far="!isValid(datum.x_last) || abs(datum.x - datum.x_last) > APART * (datum.right - datum.left)"
            " || abs(datum.y - datum.y_last) > APART * (datum.top - datum.bottom)".replace("APART", str(APART)),
            is_end="isValid(datum.order) && (datum.order == datum.begin || datum.order == datum.end)",
            along="(datum.x - datum.left) / max(datum.right - datum.left, 1e-12)",
        )
    )


def _names(place: Any) -> list[Any]:
    """Names of the front's points, below it, where no point can be; and of a series' ends, above."""
    made = []
    for rule, text in (
        (
            f"datum.on_front && (datum.far || datum.is_end) && datum.along > {LEFT}",
            {"align": "right", "dx": -8, "dy": 11},
        ),
        (
            f"datum.on_front && (datum.far || datum.is_end) && datum.along <= {LEFT}",
            {"align": "left", "dx": 7, "dy": 13},
        ),
        (f"!datum.on_front && datum.is_end && datum.along > {LEFT}", {"align": "right", "dx": -8, "dy": -9}),
        (f"!datum.on_front && datum.is_end && datum.along <= {LEFT}", {"align": "left", "dx": 8, "dy": -9}),
    ):
        written = place.transform_calculate(name=f"{rule} ? datum.label : ''")
        made += [written.mark_text(fontSize=11, **text, **halo).encode(text="name:N") for halo in style.HALO]
    return made
