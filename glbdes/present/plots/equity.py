"""What equity costs: fronts of latency and money against fairness, and who bears how much."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import altair as alt
import numpy as np
import pandas as pd
from altair.typing import ChartType

from glbdes.present.plots import alike, labels, style
from glbdes.records.extracts import PARTS
from glbdes.records.headline import pareto, told


class Axis(NamedTuple):
    """A figure on an axis."""

    column: str
    title: str


PRICES: Final = (Axis("ttft_p95_s", "TTFT p95, s"), Axis("cost_usd", "energy cost, USD"))
EQUITY: Final = (Axis("carbon_par", "carbon PAR (1 is even)"), Axis("water_par", "water PAR (1 is even)"))
MOST_LABELS: Final = 32  # points with a text each; more are told apart by colour and shape alone


def front(table: pd.DataFrame, *, width: int = style.WIDTH, label: str = "label", group: str = "policy") -> ChartType:
    """Fairness against latency and against money: a panel for each pair, less is better on all axes.

    `table` has the columns of `headline.FIGURES` that are on the axes, with `_half95` columns as error bars; `group`, a
    colour and shape each; and `label`, written beside the points. Either of the last two may stand for both.
    """
    table = table.reset_index(drop=True)
    table = table if group in table else table.assign(**{group: table[label]})
    table = table if label in table else table.assign(**{label: table[group]})
    side_by_side = style.columns(width, 290, 2)
    size = (style.panel(width, side_by_side, 60), 210)
    pairs = [(x, y) for y in (*EQUITY, *_further(table)) for x in PRICES if table[x.column].notna().any()]
    panels = [_panel(table, x, y, size, label, group) for x, y in pairs]
    made: ChartType = alt.concat(*panels, columns=side_by_side).resolve_scale(color="shared", shape="shared")
    return style.styled(made, width, list(table[group]))


def _further(table: pd.DataFrame) -> list[Axis]:
    """PARs of further footprints that `table` has."""
    found = [key for key in told(table) if key.endswith("_par") and key not in [one.column for one in EQUITY]]
    return [Axis(key, f"{key.removesuffix('_par').replace('_', ' ')} PAR (1 is even)") for key in found]


def _panel(table: pd.DataFrame, x: Axis, y: Axis, size: tuple[int, int], label: str, group: str) -> ChartType:
    """One pair of axes: points, those on the front filled and joined by the line that bounds what can be had."""
    shown = table[table[x.column].notna() & table[y.column].notna()].reset_index(drop=True)
    bars = [key for key in (x.column, y.column) if f"{key}_half95" in shown]
    kept = [label, group, x.column, y.column, *(f"{key}_half95" for key in bars)]
    shown = shown[list(dict.fromkeys(kept))].copy()
    shown["on_front"] = pareto(shown[x.column].to_numpy(float), shown[y.column].to_numpy(float))
    names = list(dict.fromkeys(table[group]))
    domains = _domain(shown, x.column), _domain(shown, y.column)
    across, up = (alt.Scale(domain=list(domain), nice=False, zero=False) for domain in domains)
    encoding: dict[str, Any] = {
        "x": alt.X(f"{x.column}:Q", title=x.title, scale=across, axis=alt.Axis(tickCount=5)),
        "y": alt.Y(f"{y.column}:Q", title=y.title, scale=up, axis=alt.Axis(tickCount=5)),
    }
    base = alt.Chart(shown).encode(**encoding)
    best = alt.Chart(shown[shown["on_front"]]).encode(**encoding)
    layers: list[Any] = [best.mark_line(interpolate="step-after", color=style.QUIET, strokeWidth=1.5, order=False)]
    layers[0] = layers[0].encode(order=alt.Order(f"{x.column}:Q"))
    for key in bars:
        layers.append(_bar(shown, key, x, y, encoding, (across, up)))
    written = len(shown) <= MOST_LABELS
    legend = not written or bool((shown[label] != shown[group]).any())
    tips = [f"{label}:N", alt.Tooltip(f"{x.column}:Q", format=".4"), alt.Tooltip(f"{y.column}:Q", format=".4")]
    hollow = base.mark_point(size=75, strokeWidth=2, fill="white", opacity=1)
    for points in (hollow, best.mark_point(size=75, filled=True, opacity=1)):
        colour, shape = style.colour(names, group, legend=legend), style.shape(names, group, legend=legend)
        layers.append(points.encode(color=colour, shape=shape, tooltip=tips))
    if written:
        layers.append(_names(shown, x.column, y.column, domains, size, label))
    return alt.layer(*layers).properties(width=size[0], height=size[1])


def _bar(shown: pd.DataFrame, key: str, x: Axis, y: Axis, encoding: dict[str, Any], scales: Any) -> Any:
    """95 % confidence as a thin line through each point."""
    ends = shown.assign(low=shown[key] - shown[f"{key}_half95"], high=shown[key] + shown[f"{key}_half95"])
    bar = alt.Chart(ends.dropna(subset=["low"])).mark_rule(color=style.FAINT, strokeWidth=1.2)
    if key == x.column:
        return bar.encode(x=alt.X("low:Q", scale=scales[0], title=x.title), x2="high:Q", y=encoding["y"])
    return bar.encode(y=alt.Y("low:Q", scale=scales[1], title=y.title), y2="high:Q", x=encoding["x"])


def _domain(shown: pd.DataFrame, column: str) -> tuple[float, float]:
    """A little more than the values take, their error bars included."""
    values = shown[column].to_numpy(float)
    half = shown[f"{column}_half95"].fillna(0.0).to_numpy(float) if f"{column}_half95" in shown else 0.0
    low, high = float(np.min(values - half)), float(np.max(values + half))
    room = 0.14 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def _names(
    shown: pd.DataFrame,
    x: str,
    y: str,
    domains: tuple[tuple[float, float], tuple[float, float]],
    size: tuple[int, int],
    label: str,
) -> Any:
    """Names beside the points."""
    (left, right), (bottom, top) = domains
    across, up = (alt.Scale(domain=list(domain), nice=False, zero=False) for domain in domains)
    points = [
        ((one[x] - left) / (right - left) * size[0], (top - one[y]) / (top - bottom) * size[1])
        for _, one in shown.iterrows()
    ]
    centres = labels.place(points, [str(text) for text in shown[label]], *size)
    written = shown[[label]].assign(
        text_x=[left + cx / size[0] * (right - left) for cx, _ in centres],
        text_y=[top - cy / size[1] * (top - bottom) for _, cy in centres],
    )
    marks = [
        alt.Chart(written)
        .mark_text(fontSize=11, **halo)
        .encode(x=alt.X("text_x:Q", scale=across), y=alt.Y("text_y:Q", scale=up), text=f"{label}:N")
        for halo in style.HALO
    ]
    return alt.layer(*marks)


def burden(table: pd.DataFrame, *, width: int = style.WIDTH) -> ChartType:
    """Footprints of every region under every policy, with the mean over regions (`extracts.regional`)."""
    columns = [name for name in table.columns if name not in ("policy", "region", "cost_usd", *PARTS)]
    table = alike.once(table, "policy", ("region", *columns), "policies")
    policies = list(dict.fromkeys(table["policy"]))
    regions = list(dict.fromkeys(table["region"]))
    side_by_side = style.columns(width, 165, len(policies))
    rows = [
        _burden_row(table, column, style.amount(column), policies, regions, width, side_by_side) for column in columns
    ]
    made: ChartType = alt.vconcat(*rows, spacing=24).resolve_scale(x="independent")
    return style.styled(made)


def _burden_row(
    table: pd.DataFrame,
    column: str,
    title: str,
    policies: Sequence[str],
    regions: Sequence[str],
    width: int,
    side_by_side: int,
) -> ChartType:
    mean = table.groupby("policy", observed=True)[column].transform("mean")
    largest = table.groupby("policy", observed=True)[column].transform("max")
    shown = table[["policy", "region", column]].assign(mean=mean, largest=table[column] == largest)
    room = max(len(name) for name in regions) * 6 + 24
    each = max(70, (width - room) // side_by_side - 14) if side_by_side > 1 else width - room
    base = alt.Chart(shown)
    bar = base.mark_bar(height={"band": 0.72}).encode(
        y=alt.Y("region:N", sort=list(regions), title=None),
        x=alt.X(f"{column}:Q", title=title, axis=style.amounts(shown[column])),
        color=alt.condition("datum.largest", alt.value(style.COLOURS[0]), alt.value("#9DB8CC")),
        tooltip=["policy:N", "region:N", alt.Tooltip(f"{column}:Q", format=",.4")],
    )
    line = base.mark_rule(color=style.INK, strokeDash=[4, 2], strokeWidth=1.5).encode(x="mean(mean):Q")
    made: ChartType = (
        alt.layer(bar, line)
        .properties(width=each, height=15 * len(regions))
        .facet(facet=alt.Facet("policy:N", sort=list(policies), title=None), columns=side_by_side, spacing=14)
    )
    return made
