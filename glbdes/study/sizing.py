"""The smallest fleet that keeps limits, and the largest load that a fleet bears within them.

The load stays what the scenario as written asks for, in requests/s, whatever the fleet. Replicas are added in
proportion to the scenario's own, one at a time, to where several draws of requests keep every limit with confidence;
then each region loses one as long as that is so. The answer is a fleet that no single region can give a replica of, as
far as the draws tell.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from itertools import pairwise
from math import log
from pathlib import Path
from typing import Any, Final, NamedTuple

from glbdes.base import seals
from glbdes.base.files import put
from glbdes.errors import ScenarioError
from glbdes.scenario import Scenario, validate
from glbdes.scenario.sizes import MOST_REPLICAS
from glbdes.study import ladder, run, written
from glbdes.study.ladder import Confirmed
from glbdes.study.limits import parse
from glbdes.study.run import Plan
from glbdes.study.search import Fleet, Search, Step, Tell, mean_over, over
from glbdes.study.trials import trials
from glbdes.study.varied import varied
from glbdes.units import NS_PER_S
from glbdes.world import build
from glbdes.world.pools import summed

MOST_TIMES: Final = 16  # the scenario's replicas, or its load: where the search ends
MARKS: Final = {"size": "size.json", "saturate": "saturate.json"}
FORMAT: Final = 1
QUICK_LOOK, FIRST_DRAW, ONE_FEWER = "quick look", "first draw", "one fewer: "
TRIED: Final = 2  # regions that are asked for a replica on all draws, if their first draw gives hope
WORSE: Final = 1.05  # a figure that is so many times as far from its limit, on the same draw


class Answer(NamedTuple):
    """What a search found."""

    kind: str  # "size" or "saturate"
    value: Fleet | float | None  # None: nothing within reach keeps the limits
    step: Step | None  # that confirmed it
    fewer: tuple[Step, ...]  # one replica fewer in each region; or a little more load
    steps: tuple[Step, ...]
    path: Path
    warnings: tuple[str, ...]
    wall_s: float
    simulated: int  # runs, without those that an earlier call had measured


def size(
    source: str | Path | Scenario,
    vary: Sequence[str],
    until: Sequence[str],
    *,
    seeds: int = 3,
    out: str | Path | None = None,
    workers: int = 1,
    overrides: Sequence[str] = (),
    policy: str | None = None,
    signals: str | Path | None = None,
    allow_policy: str | Sequence[str] = (),
    tell: Tell | None = None,
) -> Answer:
    """The smallest fleet of the regions or pools in `vary` ("regions.*.replicas") that keeps the limits `until`.

    Kept with confidence: by the whole 95 % interval of the mean over `seeds` draws of requests, the same for all
    fleets. Everything goes to the folder `out`, by default NAME-size in runs/; called again it goes on where it was.

    Raises a `GlbdesError` for what cannot be asked or simulated.
    """
    begin_s = time.perf_counter()
    at = None if signals is None else Path(signals)
    plan = _plan(source, policy, overrides, allow_policy)
    weights = varied(vary, plan.scenario)
    asked = parse(until, plan.scenario)
    _check_seeds(seeds)
    plan = _steady(plan, at)
    folder = Path(out) if out is not None else Path("runs") / f"{plan.scenario.name}-size"
    with trials(folder, at, workers, "search") as measured:
        search = Search(plan, asked, seeds, measured, tell or (lambda text: None))
        fleet = _proportional(search, weights)
        fewer: tuple[Step, ...] = ()
        if fleet is not None:
            fleet, fewer = _trimmed(search, fleet)
        answer = _answer(search, "size", fleet, fewer, folder, begin_s)
        _write(answer, search, list(vary))
    return answer


def saturate(
    source: str | Path | Scenario,
    until: Sequence[str],
    *,
    within: float = 0.01,
    seeds: int = 3,
    out: str | Path | None = None,
    workers: int = 1,
    overrides: Sequence[str] = (),
    policy: str | None = None,
    signals: str | Path | None = None,
    allow_policy: str | Sequence[str] = (),
    tell: Tell | None = None,
) -> Answer:
    """The largest `workload.load_scale`, to the share `within`, that keeps the limits `until`; else as `size`."""
    begin_s = time.perf_counter()
    at = None if signals is None else Path(signals)
    plan = _plan(source, policy, overrides, allow_policy)
    asked = parse(until, plan.scenario)
    _check_seeds(seeds)
    if not 1e-4 <= within <= 0.5:
        raise ScenarioError(f"--within {within:g}: must be >= 0.0001 and <= 0.5")
    if plan.scenario.workload.arrivals == "replay":
        raise ScenarioError("workload.arrivals = 'replay': its rate is the trace's, and no load_scale changes it")
    plan = _steady(plan, at, load=False)
    folder = Path(out) if out is not None else Path("runs") / f"{plan.scenario.name}-saturate"
    base, rung = plan.scenario.workload.load_scale, log(1 + within)

    def scale(steps: int) -> float:
        return float(f"{base * (1 + within) ** -steps:.6g}")

    with trials(folder, at, workers, "search") as measured:
        search = Search(plan, asked, seeds, measured, tell or (lambda text: None))
        reach = int(log(MOST_TIMES) / rung)
        found = _climb(search, scale, 0, -reach, 2 * reach, max(1, round(log(1.2) / rung)))
        more = tuple(search.ask(["a little more"], [scale(found - 1)], seeds)) if found is not None else ()
        answer = _answer(search, "saturate", None if found is None else scale(found), more, folder, begin_s)
        _write(answer, search, ["workload.load_scale"])
    return answer


def _plan(
    source: str | Path | Scenario, policy: str | None, overrides: Sequence[str], allow_policy: str | Sequence[str]
) -> Plan:
    plan = run.prepare(source, policy=policy, overrides=overrides, allow_policy=allow_policy)
    if not plan.scenario.by_request:
        raise ScenarioError("engine = 'fluid': a flow has no latency and no queues, must be 'auto', 'simpy' or 'fast'")
    run.router(plan)
    return plan


def _check_seeds(seeds: int) -> None:
    if not 1 <= seeds <= 1000:
        raise ScenarioError(f"--seeds {seeds}: must be >= 1 and <= 1000")


def _steady(plan: Plan, signals: Path | None, load: bool = True) -> Plan:
    """`plan` compiled, without records of requests, its warm-up as it is for the scenario's own fleet and, with `load`,
    the rates of gateways in requests/s."""
    document = plan.scenario.model_dump()
    document["dispatch"]["overload"] = "allow"
    open_plan = validate(document)
    world = build.build(open_plan, plan.folder, signals)
    document["dispatch"]["overload"] = plan.scenario.dispatch.overload
    document["records"]["requests"] = "none"
    document["engine"] = "fast"
    document["time"]["warmup_s"] = world.warmup_ns / NS_PER_S
    if load:
        capacity_rps = summed(world.capacity_rps / plan.scenario.dispatch.max_utilisation, world.region_of)
        capacity = dict(zip(plan.scenario.regions, capacity_rps, strict=True))
        for name, gateway in document["gateways"].items():
            if gateway["load"] is not None:
                gateway["rate_per_s"] = float(gateway["load"] * capacity[gateway["home"] or name])
                gateway["load"] = None
    return replace(plan, scenario=validate(document))


def _climb(search: Search, value: Callable[[int], Any], start: int, least: int, most: int, stride: int) -> int | None:
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


def _proportional(search: Search, weights: Fleet) -> Fleet | None:
    """The smallest fleet in proportion to `weights`, replicas given one by one to whom most is due, that will do."""
    order = _order(weights, MOST_TIMES * sum(weights.values()))
    start = sum(weights.values())

    def fleet(replicas: int) -> Fleet:
        found = dict.fromkeys(weights, 1)
        for name in order[: replicas - len(weights)]:
            found[name] += 1
        return found

    most = min(len(weights) + len(order), MOST_REPLICAS)
    rung = _climb(search, fleet, start, len(weights), most, max(1, start // 5))
    return None if rung is None else fleet(rung)


def _order(weights: Fleet, most: int) -> list[str]:
    """Whose turn it is, after one each: the largest weight / (2 replicas + 1), as seats are given by Sainte-Lague."""
    have, order = dict.fromkeys(weights, 1), []
    for _ in range(most - len(weights)):
        due = max(have, key=lambda name: weights[name] / (2 * have[name] + 1))
        have[due] += 1
        order.append(due)
    return order


def _trimmed(search: Search, fleet: Fleet) -> tuple[Fleet, tuple[Step, ...]]:
    """`fleet` less what single regions can give, and what giving one more comes to in each region."""
    promising: list[str] = []  # regions, by what it came to when they gave one of an earlier fleet
    while True:
        less = {name: {**fleet, name: fleet[name] - 1} for name in fleet if fleet[name] > 1}
        giver, first = _giver(search, less, [name for name in promising if name in less])
        if giver is None:
            steps = search.race([ONE_FEWER + name for name in less], [*less.values()])
            met = {name: over(step) for name, step in zip(less, steps, strict=True) if step.verdict == "met"}
            if not met:
                return fleet, tuple(steps)
            giver = min(met, key=lambda name: met[name])
        fleet = less[giver]
        if len(first) == len(less):
            promising = sorted(first, key=lambda name: mean_over(first[name]))
        promising = [*(name for name in promising if name != giver), giver]  # its next one is missed more


def _giver(search: Search, less: Mapping[str, Fleet], promising: Sequence[str]) -> tuple[str | None, dict[str, Step]]:
    """A region that can give a replica, if one of the most hopeful can, and what first draws say that were asked.

    Of the two most `promising` regions first, and of all if neither can. Hopeful are those whose first draw keeps the
    limits, the `TRIED` best of them.
    """
    first: dict[str, Step] = {}
    tried: set[str] = set()
    for names in (promising[:TRIED], [*less]):
        new = [name for name in names if name not in first]
        steps = search.ask([ONE_FEWER + name for name in new], [less[name] for name in new], 1)
        first |= dict(zip(new, steps, strict=True))
        hopeful = [name for name in first if mean_over(first[name]) <= 1]
        for name in sorted(hopeful, key=lambda name: mean_over(first[name]))[:TRIED]:
            if name not in tried and _met(search, ONE_FEWER + name, less[name]):
                return name, first
            tried.add(name)
    return None, first


def _met(search: Search, title: str, fleet: Fleet) -> bool:
    return search.ask([title], [fleet], search.seeds)[0].verdict == "met"


def _answer(
    search: Search, kind: str, value: Fleet | float | None, fewer: tuple[Step, ...], folder: Path, begin_s: float
) -> Answer:
    sure = [step for step in search.steps if step.what != QUICK_LOOK]
    confirmed = [step for step in sure if step.value == value and step.verdict == "met"]
    step = max(confirmed, key=lambda one: one.seeds, default=None)
    wall_s = time.perf_counter() - begin_s
    warnings = tuple(_warnings(search, kind))
    return Answer(kind, value, step, fewer, tuple(search.steps), folder, warnings, wall_s, search.trials.simulated)


def _warnings(search: Search, kind: str) -> Iterator[str]:
    """That more replicas, or less load, did worse: what the search takes for granted is not so here."""
    first = [step for step in search.steps if step.what == FIRST_DRAW and step.judged]
    ease = sorted(((_ease(step), mean_over(step)) for step in first), key=lambda pair: pair[0])
    if any(over > WORSE * before for (_, before), (_, over) in pairwise(ease)):
        what = "a larger fleet" if kind == "size" else "less load"
        yield (
            f"{what} did worse in places: the policy fills regions whatever the load, so the answer is one edge of "
            "several (steps.csv); a lower dispatch.max_utilisation leaves regions more room"
        )


def _ease(step: Step) -> float:
    return float(sum(step.value.values())) if isinstance(step.value, Mapping) else -step.value


def _write(answer: Answer, search: Search, vary: Sequence[str]) -> None:
    """The answer as JSON, its steps as CSV, and the scenario that it is."""
    table = written.steps(answer.steps, search.limits)
    put(answer.path / "steps.csv", table)
    if answer.value is not None:
        chosen = search.scenario(answer.value, search.plan.scenario.seed)
        put(answer.path / f"{answer.kind}.toml", written.scenario_toml(chosen))
    info = {
        "format": FORMAT,
        "scenario": search.plan.scenario.name,
        "policy": search.plan.scenario.policy.name,
        "vary": list(vary),
        "until": [str(limit) for limit in search.limits],
        "seeds": search.seeds,
        "value": answer.value,
        "figures": [] if answer.step is None else written.judged(answer.step),
        "fewer": [
            {"what": step.what, "verdict": step.verdict, "figures": written.judged(step)} for step in answer.fewer
        ],
        "warnings": list(answer.warnings),
        "simulated": answer.simulated,
        "wall_s": answer.wall_s,
        "version": version("glbdes"),
    }
    put(answer.path / MARKS[answer.kind], seals.sealed(json.loads(json.dumps(info))))
