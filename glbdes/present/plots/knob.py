"""What a parameter does: against cost, equity and latency, a line a series; of two parameters a map of each figure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import altair as alt
import pandas as pd
from altair.typing import ChartType

from glbdes.present.plots import style

HEIGHT: Final = 170
CELL: Final = 30  # px of a row of a map
PAIRED: Final = "_paired95"  # half the interval of the difference from the series' first value
MOST_CELLS: Final = 90  # of a map whose cells have their value written


def knob(table: pd.DataFrame, keys: Sequence[str], titles: Mapping[str, str], *, width: int = style.FULL) -> ChartType:
    """A panel a figure in `titles`. `table` has a row a setting: `policy` (the series), the numeric `keys`, the figures
    and, where draws are paired, their `_paired95`. One key is the horizontal axis, two are both.
    """
    shown = [key for key in titles if table[key].notna().any()]
    series = list(dict.fromkeys(table["policy"]))
    if len(keys) > 1:
        return _maps(table, keys[:2], shown, titles, series, width)
    side_by_side = style.columns(width, 300, min(4, len(shown)))
    each = style.panel(width, side_by_side, 60)
    panels = [_panel(table, keys[0], key, titles[key], series, each) for key in shown]
    made: ChartType = alt.concat(*panels, columns=side_by_side, spacing=20)
    return style.styled(made, width, series)


def short(key: str) -> str:
    """The last part of a scenario key, as it stands at an axis."""
    return key.rsplit(".", 1)[-1]


def _panel(table: pd.DataFrame, key: str, figure: str, title: str, series: Sequence[str], width: int) -> Any:
    kept = ["policy", key, figure] + [f"{figure}{PAIRED}"] * (f"{figure}{PAIRED}" in table)
    shown = table[kept].dropna(subset=[key, figure]).rename(columns={key: "value", f"{figure}{PAIRED}": "half"})
    x = alt.X(
        "value:Q",
        title=short(key),
        scale=alt.Scale(zero=False, padding=10),
        axis=alt.Axis(tickCount=5, labelOverlap=True),
    )
    axis = alt.Axis(tickCount=4, labelOverlap=True, format=".2%" if figure.endswith("share") else alt.Undefined)
    y = alt.Y(f"{figure}:Q", title=None, scale=alt.Scale(zero=False, padding=8), axis=axis)
    base = alt.Chart(shown)
    tips = [
        "policy:N",
        alt.Tooltip("value:Q", title=short(key)),
        alt.Tooltip(f"{figure}:Q", title=title, format=",.4~g"),
    ]
    layers: list[Any] = []
    if "half" in shown and (shown["half"] > 0).any():
        ends = shown.assign(low=shown[figure] - shown["half"], high=shown[figure] + shown["half"]).dropna(
            subset=["low"]
        )
        layers.append(
            alt.Chart(ends)
            .mark_rule(strokeWidth=1.4, opacity=0.6)
            .encode(x=x, y=alt.Y("low:Q", title=None), y2="high:Q", color=style.colour(series))
        )
        tips.append(alt.Tooltip("half:Q", title="± 95 %, paired", format=".2~g"))
    layers += [
        base.mark_line(strokeWidth=1.6).encode(x=x, y=y, color=style.colour(series), strokeDash=style.dash(series)),
        base.mark_point(size=60, filled=True, opacity=1).encode(
            x=x, y=y, color=style.colour(series), shape=style.shape(series, legend=True), tooltip=tips
        ),
    ]
    return alt.layer(*layers).properties(width=width, height=HEIGHT, title=title)


def _maps(
    table: pd.DataFrame,
    keys: Sequence[str],
    shown: Sequence[str],
    titles: Mapping[str, str],
    series: Sequence[str],
    width: int,
) -> ChartType:
    table = (
        table[["policy", *keys, *shown]].dropna(subset=list(keys)).rename(columns={keys[0]: "across", keys[1]: "up"})
    )
    series = [one for one in series if (table["policy"] == one).any()]
    many = [len(table[key].unique()) for key in ("across", "up")]
    side_by_side = style.columns(width, 300, min(4, len(shown)))
    each = style.panel(width, side_by_side, 76)
    panels = []
    for key in shown:
        base = alt.Chart(table[["policy", "across", "up", key]].dropna()).transform_filter("datum.policy == series")
        base = base.encode(
            x=alt.X("across:O", title=short(keys[0]), axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y("up:O", title=short(keys[1]), sort="descending"),
        )
        form = ".2%" if key.endswith("share") else ".3~g"
        middle = float(table[key].min() + table[key].max()) / 2
        cells = base.mark_rect().encode(
            color=alt.Color(f"{key}:Q", scale=alt.Scale(scheme=style.SEQUENCE, zero=False), legend=None),
            tooltip=["policy:N", "across:Q", "up:Q", alt.Tooltip(f"{key}:Q", title=titles[key], format=",.4~g")],
        )
        layers = [cells]
        if many[0] * many[1] <= MOST_CELLS and each / many[0] > CELL + 4:
            dark = alt.condition(f"datum['{key}'] > {middle}", alt.value(style.LIGHT_TEXT), alt.value(style.DARK_TEXT))
            layers.append(base.mark_text(fontSize=11).encode(text=alt.Text(f"{key}:Q", format=form), color=dark))
        panels.append(
            alt.layer(*layers)
            .resolve_scale(color="independent")
            .properties(width=each, height=max(90, CELL * many[1]), title=titles[key])
        )
    choice = alt.param(name="series", value=series[0], bind=alt.binding_select(options=series, name="series "))
    shared = [choice] if len(series) > 1 else [alt.param(name="series", value=series[0])]
    made = style.with_params(alt.concat(*panels, columns=side_by_side, spacing=20), shared)
    return style.styled(made, width)
