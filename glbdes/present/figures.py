"""Which figures there are of a run and of a comparison, what each is called, and how it is read.

A figure is drawn when it is asked for, at the width that it is asked for; its table is extracted once.
"""

import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import altair as alt
import numpy as np
import pandas as pd
import vl_convert
from altair.typing import ChartType

from glbdes.errors import RecordsError, nearest
from glbdes.present import page, plots, study_tables
from glbdes.present.plots.style import WIDTH
from glbdes.records import Records, daily, extracts, headline
from glbdes.records.extracts import Runs

FORESIGHT = "offline"  # knows the future, so details are of another policy if there is one

BURDEN = (
    "A bar is what a region bears over the whole run, the dashed line the mean of regions. The largest bar is marked: "
    "divided by the mean it is the PAR, and 1 would be even."
)
FRONT = (
    "Each point is a policy; towards the lower left is better. Filled points are on the front: nothing here is as fair "
    "for less. The grey line bounds what can be had; hollow points off it pay more than they need to."
)
BARS = " Thin bars are 95 % confidence intervals of the mean over draws."
COURSE = "Each line adds up a region's footprint from the start. Lines that rise alike are shared burdens"
HOURS = (
    "Each panel is a gateway, each row a region; the stronger the colour, the larger the share of its requests of that "
    "hour that were served there. Shares of a column sum to 100 %."
)
MATRIX = (
    "Each panel is a policy. A row is where requests entered, a column where they were served; a strong diagonal means "
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
    "Dots are regions, larger with what they bear; purple ones bear more than the mean, green ones less. Curves are "
    "requests served elsewhere than where they entered, wider with their number; each bends to the right of its way, "
    "and the arrow points to where they are served. The slider is the hour of the day, left of 0 the whole run. Flows "
    "under 0.5 % are left out. Coasts: Natural Earth."
)
EXPLORE = (
    " Choose what is on the axes; point at a mark for its figures, click in the legend to single it out, drag to move, "
    "shift and wheel to zoom, double click to return."
)
KNOB = (
    "How figures move with the parameter, a line a series. Bars are 95 % confidence of the difference from the series' "
    "first value, paired by draw as in a comparison."
)
KNOBS = "Each cell is a setting of both parameters, with its figure; the stronger the colour, the larger."
SERVICE = (
    "A row a region, a column a stretch of time; the stronger the colour, the worse or the more. Blank: no request was "
    "sent there. Drag over the "
    "strip to choose a time for all panels, click into it to see all. Frames are outages and signals that came late."
)


class Figure(NamedTuple):
    """One figure: its name, its title, a sentence on how to read it, and what draws it at a width in pixels.

    On a page `live` draws it, if that is another, and `half` figures stand two beside one another on a desk.
    """

    name: str
    title: str
    how: str
    draw: Callable[[int], ChartType]
    live: Callable[[int], ChartType] | None = None
    more: str = ""  # on how to use it, on a page
    half: bool = False

    def chart(self) -> ChartType:
        """The figure as wide as a page; notebooks show it without a network."""
        return offline(self.draw(WIDTH))


def of_run(records: Records) -> list[Figure]:
    """The figures of one run."""
    return list(_of({str(records.info["policy"]): records}, str(records.info["policy"])))


def of_comparison(runs: Runs, table: pd.DataFrame, draws: pd.DataFrame | None = None) -> list[Figure]:
    """The figures of a comparison: records by policy, `headline.by_policy`, and a row a run (`draws`) if single draws
    are to be shown. Details are of the best by objective that does not know the future."""
    usd = dict(zip(table["policy"].astype(str), table["objective_usd"], strict=True))
    best = min(usd, key=lambda name: (name == FORESIGHT and len(usd) > 1, usd[name]))
    bars = BARS if any(str(name).endswith("_half95") for name in table) else ""
    points = _points(table, ["policy"], [], draws)
    about = Figure(
        "front",
        "What equity costs",
        FRONT + bars,
        _of_table(plots.front, lambda: table),
        lambda width: plots.explorer(points, _titles(table), width=width),
        EXPLORE,
    )
    return [about, *_of(runs, best)]


def of_sweep(means: pd.DataFrame, keys: Sequence[str], draws: pd.DataFrame | None = None) -> list[Figure]:
    """The figures of a sweep: `headline.over_seeds` by the swept `keys` (other than the seed), and its rows (`draws`).

    A colour and shape for each combination of words, such as policies; numbers stand beside the points.
    """
    table, numbers = labelled(means, keys)
    how = FRONT.replace("a policy", "a setting, the mean over its seeds") + BARS
    if numbers:
        how += f" Numbers beside points are {', '.join(numbers)}."
    points = _points(means, keys, numbers, draws)
    front = Figure(
        "front",
        "What equity costs",
        how,
        _of_table(plots.front, lambda: table),
        lambda width: plots.explorer(points, _titles(table), width=width),
        (" Lines join the points of a series in the order of the parameter." if len(numbers) == 1 else "") + EXPLORE,
    )
    found = [front]
    turned = [key for key in numbers if means[key].nunique() > 1]
    if turned:
        halves = headline.paired(draws, keys, turned[0]) if draws is not None and len(turned) == 1 else None
        turns = table if halves is None else labelled(means.merge(halves, on=list(keys), how="left"), keys)[0]
        titles = {key: title for key, title in _titles(table).items() if key in KNOBBED or key.endswith("_par")}
        called = " and ".join(turned[:2])
        draw = _of_table(lambda one, width: plots.knob(one, turned, titles, width=width), lambda: turns)
        found.append(
            Figure(
                "knob", f"What {called} {'do' if len(turned) > 1 else 'does'}", KNOBS if len(turned) > 1 else KNOB, draw
            )
        )
    return found


def labelled(means: pd.DataFrame, keys: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """`means` with the series of each row (`policy`: its words), what it is called beside others of it (`label`: its
    numbers) and by itself (`setting`); and the keys that are numbers."""
    numbers = [key for key in keys if pd.api.types.is_numeric_dtype(means[key])]
    group = [_joined(row, [key for key in keys if key not in numbers]) or "all" for _, row in means.iterrows()]
    label = [_joined(row, numbers) or name for name, (_, row) in zip(group, means.iterrows(), strict=True)]
    named = [_joined(row, numbers, named=True) for _, row in means.iterrows()]
    pairs = zip(group, named, strict=True)
    setting = [", ".join(part for part in pair if part and (part != "all" or not pair[1])) for pair in pairs]
    return means.assign(policy=group, label=label, setting=setting), numbers


def _points(
    means: pd.DataFrame, keys: Sequence[str], numbers: Sequence[str], draws: pd.DataFrame | None
) -> pd.DataFrame:
    """What the front on a page shows: means, and each draw's rows if there are several."""
    parts = [means.assign(draw=plots.MEAN)]
    by = "seed" if draws is None else headline.drawn_by(draws)
    if draws is not None and by in draws and draws[by].nunique() > 1:
        parts += [
            own.groupby(list(keys), sort=False, dropna=False)[headline.told(draws)]
            .mean()
            .reset_index()
            .assign(draw=f"{by} {value}")
            for value, own in draws.groupby(by, sort=True)
        ]
    points = pd.concat(parts, ignore_index=True)
    if list(keys) != ["policy"]:
        points = labelled(points, keys)[0]
    else:
        points = points.assign(label=points["policy"], setting=points["policy"])
    points = points.assign(order=points[numbers[0]].astype(float) if len(numbers) == 1 else np.nan)
    titles = _titles(means)
    halves = [f"{key}_half95" for key in titles if f"{key}_half95" in points]
    return points[["policy", "label", "setting", "draw", "order", *titles, *halves]]


def _titles(table: pd.DataFrame) -> dict[str, str]:
    """The figures that may be on an axis: those that `table` has and that differ."""
    return {
        key: how.heading
        for key, how in study_tables.with_further(study_tables.COMPARISON, table).items()
        if key in table and table[key].nunique() > 1 and not key.startswith("bound")
    }


KNOBBED: Final = ("cost_usd", "objective_usd", "ttft_p95_s", "e2e_p95_s", "slo_share")  # and the footprints


def _joined(row: "pd.Series[Any]", keys: Sequence[str], *, named: bool = False) -> str:
    """The values of `keys` that the row has, with the last part of the key if they are `named`; numbers by commas."""
    values = [(f"{key.rsplit('.', 1)[-1]} " if named else "", row[key]) for key in keys if pd.notna(row[key])]
    return (", " if all(isinstance(value, float | int) for _, value in values) else " ").join(
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
    made: dict[str, Any] = chart.to_dict(validate=False)  # which takes longer than all the rest; tests do
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
    chosen = runs[best]
    one: Mapping[str, Records] = {best: chosen}
    under = f" under {best}" + (", the best by objective" if several else "")
    sums = cache(lambda: extracts.regional(runs))
    served, amiss = cache(lambda: daily.service(chosen)), cache(lambda: daily.incidents(chosen))
    yield Figure(
        "service",
        f"Service over time{under}",
        SERVICE,
        lambda width: plots.timeline(served(), amiss(), width=width),
    )
    places = cache(lambda: extracts.places(chosen))
    moved, borne = cache(lambda: daily.moved(chosen)), cache(lambda: daily.burdens(chosen))
    yield Figure(
        "map", f"On the map{under}", MAP, lambda width: plots.world_map(places(), moved(), borne(), width=width)
    )
    yield Figure("burden", "Who bears how much", BURDEN, _of_table(plots.burden, sums), half=not several)
    if several:
        yield Figure("matrix", "Where requests went", MATRIX, _of_table(plots.matrix, _once(extracts.flows, runs)))
    yield Figure(
        "hours", f"Where requests went by hour{under}", HOURS, _of_table(plots.by_hour, _once(extracts.hours, one))
    )
    ends = ", a line a policy." if several else "; the dashed line is the mean over regions."
    course = _of_table(plots.footprints, _once(extracts.over_time, runs))
    yield Figure("footprints", "Footprints over time", COURSE + ends, course, half=True)
    if not extracts.duals(one).empty:
        title = f"Prices of the footprints{f' under {best}' if several else ''}"
        yield Figure("duals", title, DUALS, _of_table(plots.duals, _once(extracts.duals, one)), half=True)
    elif several and not (learnt := extracts.duals(runs)).empty:
        yield Figure("duals", "Prices of the footprints", DUALS, _of_table(plots.duals, lambda: learnt), half=True)
    if all(run.info["by_request"] for run in runs.values()):
        curves = _of_table(plots.latency, _once(extracts.waits, runs))
        yield Figure("latency", "How long users wait", LATENCY, curves, half=True)
    yield Figure("energy", "What the energy was for", ENERGY, _of_table(plots.energy, sums), half=True)


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
