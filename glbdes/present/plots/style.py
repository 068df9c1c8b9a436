"""How all figures look: colours, marks and dashes that differ also without colour, sizes, axes.

Colours are those of Okabe and Ito, safe for colour-blind readers, ordered so that neighbours differ in lightness.
"""

from collections.abc import Sequence
from typing import Any, Final

import altair as alt
import pandas as pd
from altair.typing import ChartType

WIDTH: Final = 680  # px of a figure in a file, and of one that takes half a desk
NARROW: Final = 358  # on a phone
FULL: Final = 1352  # as wide as a page on a desk

LEGEND_PX, LETTER_PX = 34, 6  # of a legend's symbol and gap, and of a letter

INK: Final = "#222222"
QUIET: Final = "#767676"
FAINT: Final = "#a9a9a9"
GRID: Final = "#e4e4e4"
COLOURS: Final = ("#0072B2", "#E69F00", "#000000", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C7A00")
SHAPES: Final = (
    "circle",
    "square",
    "triangle-up",
    "diamond",
    "cross",
    "triangle-down",
    "triangle-right",
    "triangle-left",
)
DASHES: Final = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 2], [1, 3], [10, 3], [6, 2, 1, 2, 1, 2])
PARTS: Final = {"prefill": "#08519C", "decode": "#6BAED6", "idle": "#D9D9D9", "sleep": "#F0E6CC", "host": "#8C8C8C"}
LIGHT_TEXT, DARK_TEXT = "#fdfdfd", "#1b1b1b"  # on the strong colours of a map's cells, and on the weak ones
DARK: Final = {  # what colours become on a dark page
    INK: "#e8e8e8",
    QUIET: "#a3a8ae",
    FAINT: "#6f757c",
    GRID: "#33383f",
    "white": "#15181c",
    "#000000": "#f5f5f5",
    "#0072B2": "#3d9be0",
    "#08519C": "#2f7fd0",
    "#9DB8CC": "#3f586c",
    "#8C7A00": "#c9b63a",
    "#e9ecef": "#2a2f36",
    LIGHT_TEXT: DARK_TEXT,
    DARK_TEXT: LIGHT_TEXT,
    "yellowgreenblue": "darkblue",
}
SEQUENCE: Final = "yellowgreenblue"  # light to dark, in print too
DIVERGING: Final = "purplegreen"  # from more than the mean to less, told apart by the colour-blind, too
THOUSANDS: Final = 1000  # from which axes count in k
SHORT_DAYS: Final = 1  # up to which a time axis shows hours


HALO: Final[Sequence[dict[str, Any]]] = (  # text over lines is drawn twice: its white shadow, and itself
    {"stroke": "white", "strokeWidth": 3, "color": "white"},
    {"color": INK},
)


def cycle(values: Sequence[Any], n: int) -> list[Any]:
    """`n` values, beginning again after the last."""
    return [values[i % len(values)] for i in range(n)]


def colour(names: Sequence[str], field: str = "policy", *, legend: bool = True) -> alt.Color:
    scale = alt.Scale(domain=list(names), range=cycle(COLOURS, len(names)))
    return alt.Color(f"{field}:N", title=None, scale=scale, legend=alt.Legend(symbolSize=90) if legend else None)


def dash(names: Sequence[str], field: str = "policy", *, legend: bool = True) -> alt.StrokeDash:
    scale = alt.Scale(domain=list(names), range=cycle(DASHES, len(names)))
    return alt.StrokeDash(f"{field}:N", title=None, scale=scale, legend=alt.Legend() if legend else None)


def shape(names: Sequence[str], field: str = "policy", *, legend: bool = False) -> alt.Shape:
    scale = alt.Scale(domain=list(names), range=cycle(SHAPES, len(names)))
    return alt.Shape(f"{field}:N", title=None, scale=scale, legend=alt.Legend() if legend else None)


def time(times: pd.Series) -> alt.X:
    """The time axis for a table's column `time_utc`: UTC whatever the reader's clock, hours if there are few days."""
    days = (times.max() - times.min()).days
    axis = alt.Axis(format="%-d %b" if days > SHORT_DAYS else "%H:%M", tickCount=4, labelOverlap=True)
    title = None if days > SHORT_DAYS else "UTC"
    return alt.X("utcyearmonthdatehoursminutes(time_utc):T", title=title, axis=axis)


def amounts(values: pd.Series) -> alt.Axis:
    """An axis of few ticks: 20k for thousands, plain digits for what is small."""
    axis = alt.Axis(tickCount=4, labelOverlap=True)
    return alt.Axis(tickCount=4, labelOverlap=True, format="~s") if values.abs().max() >= THOUSANDS else axis


def columns(width: int, each: int, most: int) -> int:
    """How many panels of about `each` px stand side by side, so that rows are as full as can be."""
    fit = max(1, min(most, width // each))
    return -(-most // -(-most // fit))


def panel(width: int, side_by_side: int, margin: int = 62) -> int:
    """Width in px of one of so many panels, their axes taken off."""
    return max(60, width // side_by_side - margin)


def with_params(chart: Any, params: Sequence[Any]) -> Any:
    """`chart` with parameters of the whole figure; altair would copy all of it for each of its parts."""
    known = [] if chart.params is alt.Undefined else list(chart.params)
    chart.params = known + [one.param for one in params]
    return chart


def styled(chart: ChartType, width: int = WIDTH, names: Sequence[Any] = ()) -> ChartType:
    """`chart` in the house style, its legend of `names` no wider than it. Only a whole figure can be styled."""
    longest = max((len(str(name)) for name in names), default=20)
    side_by_side = max(1, min(len(names) or 4, width // (LEGEND_PX + LETTER_PX * longest)))
    named = {"labelColor": INK, "titleColor": INK}
    made: ChartType = chart.configure(  # all at once: altair copies the chart each time
        font="Helvetica, Arial, sans-serif",
        background="white",
        view={"stroke": None},
        axis={"gridColor": GRID, "domainColor": QUIET, "tickColor": QUIET, "titleFontWeight": "normal", **named},
        header={"labelFontSize": 12, "labelFontWeight": "bold", **named},
        legend={
            "labelFontSize": 12,
            "orient": "top",
            "columns": side_by_side,
            "labelLimit": 260,
            "symbolStrokeWidth": 2,
            **named,
        },
        title={"anchor": "start", "color": INK, "fontSize": 12},
    )
    return made


def amount(column: str, when: str = "") -> str:
    """The title of a footprint's amounts, by its column: "carbon_kg" is "carbon, kg"."""
    name, _, unit = column.rpartition("_")
    return f"{' '.join([name.replace('_', ' '), *([when] if when else [])])}, {_unit(unit)}"


def price(column: str) -> str:
    """The title of a policy's prices of a footprint: "carbon_usd_per_kg" is "carbon dual, USD/kg"."""
    name, _, unit = column.rpartition("_usd_per_")
    return f"{name.replace('_', ' ')} dual, USD/{_unit(unit)}"


def _unit(unit: str) -> str:
    return {"l": "L", "usd": "USD"}.get(unit, unit)
