"""The smallest fleet that keeps limits, and the largest load that a fleet bears within them.

The load stays what the scenario as written asks for, in requests/s, whatever the fleet. Replicas are added in
proportion to the scenario's own, one at a time, to where several draws of requests keep every limit with confidence;
then each region loses one as long as that is so. The answer is a fleet that no single region can give a replica of, as
far as the draws tell.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from itertools import pairwise
from math import log
from pathlib import Path
from typing import Final, NamedTuple

from glbdes.base import seals
from glbdes.base.files import put
from glbdes.errors import ScenarioError
from glbdes.scenario import Scenario, validate
from glbdes.study import fleets, run, written
from glbdes.study.limits import parse
from glbdes.study.run import Plan
from glbdes.study.search import FIRST_DRAW, MOST_TIMES, QUICK_LOOK, Fleet, Search, Step, Tell, climb, mean_over
from glbdes.study.trials import trials
from glbdes.study.varied import varied
from glbdes.units import NS_PER_S
from glbdes.world import build
from glbdes.world.pools import summed

MARKS: Final = {"size": "size.json", "saturate": "saturate.json"}
FORMAT: Final = 1
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
    """The smallest fleet of regions or pools that keeps limits, with confidence: by the 95 % interval over draws.

    Parameters
    ----------
    source
        A file, a shipped scenario by its name ("llm10"), or a `Scenario` (`glbdes.scenario`).
    vary
        Whose replicas: "regions.*.replicas", of single regions, or of pools ("regions.utah.pools.0.replicas").
    until
        Limits such as "ttft_p99_s <= 0.5"; all are to be kept.
    seeds
        Draws of requests, the same for all candidates.
    out
        The folder for what is found; default: the scenario's name and "-size" in runs/. Called again with it, the
        search goes on where it was.
    workers
        Processes at a time; more than one needs `if __name__ == "__main__":` in a script that calls this.
    overrides
        `key.path=value` settings of any key, in order.
    policy
        Instead of the scenario's.
    signals
        A file or folder to take signals from instead of the scenario's.
    allow_policy
        Installed packages, or addresses, whose policies may run.
    tell
        Called with a line after each step.

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
        fleet = fleets.proportional(search, weights)
        fewer: tuple[Step, ...] = ()
        if fleet is not None:
            fleet, fewer = fleets.trimmed(search, fleet)
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
    """The largest `workload.load_scale` that keeps limits, with confidence: by the 95 % interval of the mean of draws.

    Parameters
    ----------
    source
        A file, a shipped scenario by its name ("llm10"), or a `Scenario` (`glbdes.scenario`).
    until
        Limits such as "ttft_p99_s <= 0.5"; all are to be kept.
    within
        To which share of the load it is found.
    seeds
        Draws of requests, the same for all candidates.
    out
        The folder for what is found; default: the scenario's name and "-saturate" in runs/. Called again with it, the
        search goes on where it was.
    workers
        Processes at a time; more than one needs `if __name__ == "__main__":` in a script that calls this.
    overrides
        `key.path=value` settings of any key, in order.
    policy
        Instead of the scenario's.
    signals
        A file or folder to take signals from instead of the scenario's.
    allow_policy
        Installed packages, or addresses, whose policies may run.
    tell
        Called with a line after each step.

    Raises a `GlbdesError` for what cannot be asked or simulated.
    """
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
        found = climb(search, scale, 0, -reach, 2 * reach, max(1, round(log(1.2) / rung)))
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
