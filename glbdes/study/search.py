"""Candidates that are measured one after another against limits: fleets, or loads."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from glbdes.errors import brief
from glbdes.scenario import validate
from glbdes.study import ladder
from glbdes.study.ladder import Confirmed
from glbdes.study.limits import Judged, Limit, Spread, Verdict, judge, judge_by, spread, worst
from glbdes.study.run import Plan
from glbdes.study.trials import Result, Trials
from glbdes.study.varied import put_in

MOST_TIMES: Final = 16  # the scenario's replicas, or its load: where a search ends
QUICK_LOOK, FIRST_DRAW = "quick look", "first draw"
QUICK: Final = 0.25  # of a slot's simulated seconds and of its warm-up, in quick looks

Fleet = Mapping[str, int]  # replicas of each region or pool that is varied
Tell = Callable[[str], None]


class Step(NamedTuple):
    """What a candidate came to."""

    what: str  # "quick look", "confirm", "one fewer: texas"
    value: Fleet | float  # a fleet, or a load scale
    seeds: int
    judged: tuple[Judged, ...]  # empty: the load does not fit
    verdict: Verdict
    error: str | None  # why it does not fit


@dataclass
class Search:
    """What is asked, and what has been found so far."""

    plan: Plan
    limits: tuple[Limit, ...]
    seeds: int
    trials: Trials
    tell: Tell
    steps: list[Step] = field(default_factory=list)
    ran: dict[Hashable, list[Result]] = field(default_factory=dict)  # full runs of each candidate, by draw

    def ask(self, what: Sequence[str], values: Sequence[Any], seeds: int, quick: bool = False) -> list[Step]:
        """Measure each value with so many seeds, and say what the limits make of it."""
        measured = self._measured(values, seeds, quick)
        found = [
            self._step(title, value, results) for title, value, results in zip(what, values, measured, strict=True)
        ]
        return self._told(found)

    def race(self, what: Sequence[str], values: Sequence[Any]) -> list[Step]:
        """Measure each value with one draw more at a time, until it is sure to miss a limit or has had them all.

        How sure, is reckoned with the spread of all candidates that have run on the same draws, from two draws on.
        """
        steps: dict[int, Step] = {}
        running = list(range(len(values)))
        for n in range(1, self.seeds + 1):
            measured = self._measured([values[i] for i in running], n)
            spreads = {one: self._spread(one, n) for one in self.limits}
            steps |= {
                i: self._raced(what[i], values[i], results, spreads)
                for i, results in zip(running, measured, strict=True)
            }
            running = [i for i in running if steps[i].verdict != "missed"]
        return self._told([steps[i] for i in range(len(values))])

    def utilisation(self, fleet: Fleet, place: str) -> float:
        """How busy the region of `place` was in the first draw of a fleet that has been measured."""
        region = place.partition(".")[0]
        return self.ran[_key(fleet)][0]["figures"][f"regions.{region}.utilisation"] or 0.0

    def _told(self, found: list[Step]) -> list[Step]:
        for step in found:
            self.steps.append(step)
            self.tell(told(step))
        return found

    def _measured(self, values: Sequence[Any], seeds: int, quick: bool = False) -> list[list[Result]]:
        """Results of each value with so many seeds."""
        first = self.plan.scenario.seed
        results = self.trials.measure([self.scenario(v, first + n, quick) for v in values for n in range(seeds)])
        found = [results[i : i + seeds] for i in range(0, len(results), seeds)]
        for value, own in zip(values, found, strict=True):
            if not quick and len(own) > len(self.ran.get(_key(value), ())):
                self.ran[_key(value)] = own
        return found

    def _spread(self, limit: Limit, draws: int) -> Spread | None:
        """Of the limit's figure, over candidates that ran on so many draws and have it in all of them."""
        rows = [[one["figures"].get(limit.figure) for one in own[:draws]] for own in self.ran.values()]
        return spread([row for row in rows if len(row) == draws and None not in row])

    def scenario(self, value: Any, seed: int, quick: bool = False) -> Plan:
        """What is simulated of a value."""
        document = self.plan.scenario.model_dump()
        document["seed"] = seed
        if isinstance(value, Mapping):
            put_in(document, value)
        else:
            document["workload"]["load_scale"] = value
        if quick:
            times = document["time"]
            times["simulated_s_per_slot"] = QUICK * self.plan.scenario.time.simulated_s
            times["warmup_s"] *= QUICK
        return replace(self.plan, scenario=validate(document))

    def _step(self, what: str, value: Any, results: Sequence[Result]) -> Step:
        error = next((result["error"] for result in results if result["error"] is not None), None)
        if error is not None:
            return Step(what, value, len(results), (), "missed", error)
        judged = tuple(judge(one, [result["figures"][one.figure] for result in results]) for one in self.limits)
        return Step(what, value, len(results), judged, worst(judged), None)

    def _raced(self, what: str, value: Any, results: Sequence[Result], spreads: Mapping[Limit, Spread | None]) -> Step:
        """As `_step`, by the spread of others; met by its own draws alone, and all of them."""
        own = self._step(what, value, results)
        every = len(results) == self.seeds
        if own.error is not None or self.seeds == 1 or (every and own.verdict == "met"):
            return own
        looks = self.seeds * len(self.limits)
        judged = []
        for one in own.judged:
            by, values = spreads[one.limit], [result["figures"][one.limit.figure] for result in results]
            unsure = one if every or None in values else one._replace(verdict="open")
            judged.append(unsure if by is None else judge_by(by, one.limit, values, looks))
        verdict = worst(judged)
        return own._replace(judged=tuple(judged), verdict="open" if verdict == "met" else verdict)


def climb(search: Search, value: Callable[[int], Any], start: int, least: int, most: int, stride: int) -> int | None:
    """The lowest rung whose `value` keeps the limits with confidence."""
    seen: dict[int, Step] = {}  # first draws

    def quick(rungs: Sequence[int]) -> list[float]:
        steps = search.ask([QUICK_LOOK] * len(rungs), [value(rung) for rung in rungs], 1, quick=True)
        return [mean_over(step) for step in steps]

    def first(rungs: Sequence[int]) -> list[float]:
        new = [rung for rung in rungs if rung not in seen]
        seen.update(zip(new, search.ask([FIRST_DRAW] * len(new), [value(rung) for rung in new], 1), strict=True))
        return [mean_over(seen[rung]) for rung in rungs]

    def confirm(rung: int) -> Confirmed:
        (over_limit,) = first([rung])
        step = seen[rung]
        if over_limit <= 1:  # else the mean of more is hardly within the limits with confidence
            (step,) = search.ask(["confirm"], [value(rung)], search.seeds)
        return Confirmed(step.verdict, over(step))

    return ladder.lowest(quick, first, confirm, start, least, most, stride)


def _key(value: Any) -> Hashable:
    return tuple(sorted(value.items())) if isinstance(value, Mapping) else value


def told(step: Step) -> str:
    """A step in a line."""
    value = step.value
    shown = f"{sum(value.values())} replicas" if isinstance(value, Mapping) else f"load_scale {value:g}"
    if step.error is not None:
        return f"{step.what}: {shown}: {brief(step.error.splitlines()[0], 120)}"
    limits = ", ".join(f"{one.limit.figure} {one.mean:.4g}" for one in step.judged)
    return f"{step.what}: {shown}, {step.seeds} seed(s): {limits}: {step.verdict}"


def over(step: Step) -> float:
    """How far the worst limit is exceeded, its interval included; infinite if the load does not fit."""
    return max((one.over for one in step.judged), default=float("inf"))


def mean_over(step: Step) -> float:
    """The same of the means."""
    return max((one.mean_over for one in step.judged), default=float("inf"))
