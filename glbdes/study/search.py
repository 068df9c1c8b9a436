"""Candidates that are measured one after another against limits: fleets, or loads."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from glbdes.errors import brief
from glbdes.scenario import validate
from glbdes.study.limits import Judged, Limit, Verdict, judge, worst
from glbdes.study.run import Plan
from glbdes.study.trials import Result, Trials

QUICK: Final = 0.25  # of a slot's simulated seconds and of its warm-up, in quick looks

Fleet = Mapping[str, int]  # replicas of each region that is varied
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

    def ask(self, what: Sequence[str], values: Sequence[Any], seeds: int, quick: bool = False) -> list[Step]:
        """Measure each value with so many seeds, and say what the limits make of it."""
        first = self.plan.scenario.seed
        plans = [self.scenario(value, first + n, quick) for value in values for n in range(seeds)]
        results = self.trials.measure(plans)
        found = [
            self._step(title, value, results[i * seeds : (i + 1) * seeds])
            for i, (title, value) in enumerate(zip(what, values, strict=True))
        ]
        for step in found:
            self.steps.append(step)
            self.tell(told(step))
        return found

    def scenario(self, value: Any, seed: int, quick: bool = False) -> Plan:
        """What is simulated of a value."""
        document = self.plan.scenario.model_dump()
        document["seed"] = seed
        if isinstance(value, Mapping):
            for name, replicas in value.items():
                document["regions"][name]["replicas"] = replicas
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
