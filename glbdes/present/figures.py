"""Which figures there are of a run and of a comparison, what each is called, and how it is read.

A figure is drawn when it is asked for, at the width that it is asked for; its table is extracted once.
"""

import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import altair as alt
import pandas as pd
import vl_convert
from altair.typing import ChartType

from glbdes.errors import RecordsError, nearest
from glbdes.present import page, plots
from glbdes.present.plots.style import WIDTH
from glbdes.records import Records, extracts
from glbdes.records.extracts import Runs

FORESIGHT = "offline"  # knows the future, so details are of another policy if there is one

BURDEN = (
    "A bar is what a region bears over the whole run, the dashed line the mean over regions. The largest bar is dark: "
    "divided by the mean it is the PAR, and 1 would be even."
)
FRONT = (
    "Each point is a policy; towards the lower left is better. Filled points are on the front: nothing here is as fair "
    "for less. The grey line bounds what can be had; hollow points off it pay more than they need to."
)
BARS = " Thin bars are 95 % confidence intervals of the mean over draws."
COURSE = "Each line adds up a region's footprint from the start. Lines that rise alike are shared burdens"
HOURS = (
    "Each panel is a gateway, each row a region; the darker, the larger the share of the gateway's requests of that "
    "hour that were served there. Shares of a column sum to 100 %."
)
MATRIX = (
    "Each panel is a policy. A row is where requests entered, a column where they were served; a dark diagonal means "
    "that requests stay at home."
)
DUALS = (
    "What the policy adds to the price of serving in a region for each kg or litre there. It rises where the footprint "
    "is getting the largest; near 0, the region is not the burdened one."
)
LATENCY = (
    "How many of the served requests took at most so long, network included; the further left, the quicker. The scale "
    "is logarithmic."
)
ENERGY = (
    "IT energy by what it was for. Prompts (prefill) and tokens (decode) are charged to requests; idle GPUs and the "
    "rest of the servers draw power whoever is served."
)
MAP = (
    "Dots are regions, larger with the requests served there; lines are requests that were served elsewhere than where "
    "they entered, wider with their number. A plain chart of longitude and latitude; flows under 0.5 % are left out."
)


class Figure(NamedTuple):
    """One figure: its name, its title, a sentence on how to read it, and what draws it at a width in pixels."""

    name: str
    title: str
    how: str
    draw: Callable[[int], ChartType]

    def chart(self) -> ChartType:
        """The figure as wide as a page; notebooks show it without a network."""
        return offline(self.draw(WIDTH))


def of_run(records: Records) -> list[Figure]:
    """The figures of one run."""
    return list(_of({str(records.info["policy"]): records}, str(records.info["policy"])))


def of_comparison(runs: Runs, table: pd.DataFrame) -> list[Figure]:
    """The figures of a comparison: records by policy, `headline.by_policy`. Details are of the best
    by objective that does not know the future."""
    usd = dict(zip(table["policy"].astype(str), table["objective_usd"], strict=True))
    best = min(usd, key=lambda name: (name == FORESIGHT and len(usd) > 1, usd[name]))
    doubts = any(str(name).endswith("_half95") for name in table)
    about = Figure(
        "front", "What equity costs", FRONT + (BARS if doubts else ""), _of_table(plots.front, lambda: table)
    )
    return [about, *_of(runs, best)]


def of_sweep(means: pd.DataFrame, keys: Sequence[str]) -> list[Figure]:
    """The figures of a sweep: `headline.over_seeds` by the swept `keys` (other than the seed).

    A colour and shape for each combination of words, such as policies; numbers stand beside the points.
    """
    numbers = [key for key in keys if pd.api.types.is_numeric_dtype(means[key])]
    group = [_joined(row, [key for key in keys if key not in numbers]) or "all" for _, row in means.iterrows()]
    label = [_joined(row, numbers, named=len(numbers) > 1) for _, row in means.iterrows()]
    table = means.assign(policy=group, label=[more if more else name for name, more in zip(group, label, strict=True)])
    how = FRONT.replace("a policy", "a setting, the mean over its seeds") + BARS
    if numbers:
        how += f" Numbers beside points are {', '.join(numbers)}."
    return [Figure("front", "What equity costs", how, _of_table(plots.front, lambda: table))]


def _joined(row: "pd.Series[Any]", keys: Sequence[str], *, named: bool = False) -> str:
    """The values of `keys` that the row has, with the last part of the key if they are `named`."""
    values = [(f"{key.rsplit('.', 1)[-1]} " if named else "", row[key]) for key in keys if pd.notna(row[key])]
    return " ".join(
        f"{name}{value:g}" if isinstance(value, float | int) else f"{name}{value}" for name, value in values
    )


def find(figures: Sequence[Figure], name: str) -> Figure:
    """The figure called `name`. Raises `RecordsError` if there is none."""
    for figure in figures:
        if figure.name == name:
            return figure
    names = [figure.name for figure in figures]
    raise RecordsError(f"no figure '{name}'{nearest(name, names)} (there are: {', '.join(names)})")


def notebook(
    title: str, rows: tuple[Sequence[str], Sequence[Sequence[str]]], found: Sequence[Figure], shown: Sequence[str]
) -> str:
    """A table and some of the figures as HTML that every notebook shows, without JavaScript."""
    table = page.table(page.Rows(title, *rows))
    drawn = "".join(
        f"<h4>{html.escape(one.title)}</h4>{svg(one.draw(WIDTH))}<p>{html.escape(one.how)}</p>"
        for one in found
        if one.name in shown
    )
    return f"<p>{html.escape(title)}</p>{table}{drawn}"


def spec(chart: ChartType) -> dict[str, Any]:
    """`chart` as Vega-Lite."""
    made: dict[str, Any] = chart.to_dict()
    return made


def svg(chart: ChartType) -> str:
    """`chart` as a picture that needs no JavaScript."""
    return str(vl_convert.vegalite_to_svg(spec(chart)))


class _Offline:
    """A chart that notebooks show as a picture, where Altair's own would fetch JavaScript."""

    def _repr_mimebundle_(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return {"image/svg+xml": svg(self), "text/plain": repr(self)}  # type: ignore[arg-type]  # it is a chart, too


def offline(chart: ChartType) -> ChartType:
    """`chart`, as before but in notebooks, and so are charts made of it."""
    kind: Any = type(chart)
    object.__setattr__(chart, "__class__", _offline(kind))  # their own takes it for a property of the chart
    return chart


@cache
def _offline(kind: Any) -> Any:
    return type(kind.__name__, (_Offline, kind), {})


def _of(runs: Runs, best: str) -> Iterator[Figure]:
    several = len(runs) > 1
    one: Mapping[str, Records] = {best: runs[best]}
    under = f" under {best}" + (", the best by objective" if several else "")
    sums = cache(lambda: extracts.regional(runs))
    yield Figure("burden", "Who bears how much", BURDEN, _of_table(plots.burden, sums))
    ends = ", a line a policy." if several else "; the dashed line is the mean over regions."
    yield Figure(
        "footprints",
        "Footprints over time",
        COURSE + ends,
        _of_table(plots.footprints, _once(extracts.over_time, runs)),
    )
    if several:
        yield Figure("matrix", "Where requests went", MATRIX, _of_table(plots.matrix, _once(extracts.flows, runs)))
    yield Figure(
        "hours", f"Where requests went by hour{under}", HOURS, _of_table(plots.by_hour, _once(extracts.hours, one))
    )
    if not extracts.duals(one).empty:
        title = f"Prices of the footprints{f' under {best}' if several else ''}"
        yield Figure("duals", title, DUALS, _of_table(plots.duals, _once(extracts.duals, one)))
    elif several and not (learnt := extracts.duals(runs)).empty:
        yield Figure("duals", "Prices of the footprints", DUALS, _of_table(plots.duals, lambda: learnt))
    if all(run.info["by_request"] for run in runs.values()):
        yield Figure("latency", "How long users wait", LATENCY, _of_table(plots.latency, _once(extracts.waits, runs)))
    yield Figure("energy", "What the energy was for", ENERGY, _of_table(plots.energy, sums))
    places, moved = cache(lambda: extracts.places(runs[best])), _once(extracts.flows, one)
    yield Figure("map", f"On the map{under}", MAP, lambda width: plots.world_map(places(), moved(), width=width))


def _once(extract: Callable[[Runs], pd.DataFrame], runs: Runs) -> Callable[[], pd.DataFrame]:
    return cache(lambda: extract(runs))


def _of_table(draw: Any, table: Callable[[], pd.DataFrame]) -> Callable[[int], ChartType]:
    def drawn(width: int = WIDTH) -> ChartType:
        made: ChartType = draw(table(), width=width)
        return made

    return drawn


def version() -> str:
    """The library that draws."""
    return f"Vega-Altair {alt.__version__}"
