"""Simulate a scenario from start to end: load, build, run an engine under a policy, keep the records, sum up.

This is what `glbdes.simulate` and the command line call. Nothing is computed here; every step is another module's.
"""

import atexit
import json
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import pyarrow.dataset as ds

from glbdes import policy, records
from glbdes.base.folders import Tell, fresh, numbered, safe_name
from glbdes.engine.choice import ENGINES, engine_for, expected_requests, must_compile
from glbdes.optimum import offline
from glbdes.present.progress import Wanted, shown
from glbdes.records import Records, Summary, extracts, metrics
from glbdes.records.books import counting
from glbdes.records.columns import Names
from glbdes.records.sketch import LATENCIES, Sketch
from glbdes.scenario import Scenario, load, pools
from glbdes.units import NS_PER_S, S_PER_H
from glbdes.world import Floats, Policy, World, build, compression, guard
from glbdes.world.remarks import remarks

if TYPE_CHECKING:  # figures are imported when they are drawn: altair takes a second
    from altair.typing import ChartType

    from glbdes.present.figures import Figure

Progress = Callable[[int, int], None]  # requests ended so far, requests expected in all

# Whose versions are recorded.
PACKAGES: Final = ("glbdes", "numpy", "numba", "simpy", "pyarrow", "pandas", "scipy", "highspy", "clarabel", "pydantic")

OFFLINE: Final = "offline"  # the policy that replays the offline optimum of the fluid model


@dataclass(frozen=True)
class Plan:
    """A scenario that is ready to be built, and where it came from."""

    scenario: Scenario
    folder: Path  # where its files are looked for
    source: str | None  # the file that was read
    text: str | None  # what it said
    overrides: tuple[str, ...]  # what was changed of it, in order
    allow_policy: tuple[str, ...] = ()  # packages whose policies may run

    @property
    def name(self) -> str:
        """Scenario, policy and seed: what a run is called if nobody calls it otherwise."""
        chosen = self.scenario
        return f"{chosen.name}-{safe_name(chosen.policy.name)}-seed{chosen.seed}"


class Run:
    """A finished run: `summary` (dict), `slots` and `plans` (pandas), `requests` (not read until asked for).

    `run.requests.to_table(columns=[...]).to_pandas()` reads what is needed of the requests, and
    `run.requests.to_batches()` goes through them in bounded memory. A run that was made without a folder keeps its
    records in a temporary one, until Python ends.
    """

    def __init__(self, path: str | Path) -> None:
        self.records = records.open_run(path)
        self.path = Path(path)

    @classmethod
    def open(cls, path: str | Path) -> "Run":
        """The run in a folder. Raises `RecordsError` if there is no finished one.

        Files are held to their checksums when they are first read: all of them for `summary`, else the table asked for.
        """
        return cls(path)

    @cached_property
    def summary(self) -> Summary:
        """The headline figures, computed from the records."""
        return metrics.summary(self.records)

    @property
    def info(self) -> dict[str, Any]:
        """Where the run came from: scenario, seed, versions, wall time, invariants."""
        return self.records.info

    @property
    def requests(self) -> ds.Dataset:
        """All requests, one row each, as a lazy dataset; those that arrived in a warm-up are marked `warmup`."""
        return self.records.requests

    @property
    def counted(self) -> ds.Dataset:
        """The requests that figures are made of: all but those of warm-ups."""
        return self.records.counted

    @cached_property
    def slots(self) -> pd.DataFrame:
        """One row a slot and region."""
        return self._frame("slots")

    @cached_property
    def plans(self) -> pd.DataFrame:
        """One row a slot, gateway and region."""
        return self._frame("plans")

    def hourly(self) -> pd.DataFrame:
        """One row an hour of real time and region: requests, energy, cost, carbon and water, and the signals.

        Amounts are sums, signals and loads means over the hour's slots; slots longer than an hour stay as they are.
        Units are in the names, and warm-ups left out.
        """
        return extracts.hourly(self.records)

    def figures(self) -> "list[Figure]":
        """What can be drawn of it, with how each is read."""
        from glbdes.present import figures

        return figures.of_run(self.records)

    def figure(self, name: str) -> "ChartType":
        """An altair chart: "burden", "footprints", "hours", "duals", "latency", "energy" or "map"."""
        from glbdes.present import figures

        return figures.find(self.figures(), name).chart()

    def _repr_html_(self) -> str:
        from glbdes.present import figures, study_tables

        return figures.notebook(repr(self), study_tables.one(self.records), self.figures(), ("burden", "latency"))

    def _frame(self, name: str) -> pd.DataFrame:
        frame: pd.DataFrame = getattr(self.records, name).to_pandas()
        return frame

    def __repr__(self) -> str:
        info = self.info
        return f"<Run {info['scenario']['name']}, policy {info['policy']}, seed {info['seed']}: {self.path}>"


def simulate(
    source: str | Path | Scenario,
    *,
    policy: str | None = None,
    engine: str | None = None,
    seed: int | None = None,
    overrides: Sequence[str] = (),
    signals: str | Path | None = None,
    out: str | Path | None = None,
    runs: str | Path | None = None,
    overwrite: bool = False,
    allow_policy: str | Sequence[str] = (),
    progress: Wanted = None,
    tell: Tell | None = None,
) -> Run:
    """Simulate a scenario, and keep its records.

    Parameters
    ----------
    source
        A file, a shipped scenario by its name ("llm10"), or a `Scenario` (`glbdes.scenario`).
    policy
        Instead of the scenario's: a built-in by its name, "offline", "package.module:Class" or "http://127.0.0.1:PORT"
        (`glbdes serve`). Arguments of the scenario's own are dropped. One of the user's own runs if it lies beside the
        scenario or in the current folder.
    engine
        Instead of the scenario's: "auto", "simpy", "fast" or "fluid".
    seed
        Draw other requests.
    overrides
        `key.path=value` settings of any key, in order.
    signals
        A file or folder to take signals from instead of the scenario's.
    out
        The folder for the records. Without it and `runs` they are removed when Python ends.
    runs
        A folder in which a new one is made for the records.
    overwrite
        Replace the run in `out`.
    allow_policy
        Installed packages, or addresses, whose policies may run.
    progress
        Called now and then with the numbers of requests that have ended and are expected; False: no bar. By itself
        there is one in notebooks and terminals.
    tell
        Called with a line before what takes its time without any ending.

    Raises a `GlbdesError`, and leaves no folder behind, if anything of this cannot be done.
    """
    plan = prepare(source, policy=policy, engine=engine, seed=seed, overrides=overrides, allow_policy=allow_policy)
    at = None if signals is None else Path(signals)
    with shown(progress, "requests", speed=True) as bar:
        told: dict[str, Any] = {"signals": at, "progress": bar.advance, "tell": tell or bar.tell}
        if out is not None:
            return Run(execute(plan, [Path(out)], overwrite=overwrite, **told))
        if runs is not None:
            return Run(execute(plan, numbered(Path(runs) / plan.name), **told))
        own = Path(tempfile.mkdtemp(prefix="glbdes-"))
        try:
            run = Run(execute(plan, [own / plan.name], **told))
        except BaseException:
            shutil.rmtree(own, ignore_errors=True)
            raise
    atexit.register(shutil.rmtree, own, ignore_errors=True)  # not sooner: a dataset may outlive its run
    return run


def prepare(
    source: str | Path | Scenario,
    *,
    policy: str | None = None,
    engine: str | None = None,
    seed: int | None = None,
    overrides: Sequence[str] = (),
    allow_policy: str | Sequence[str] = (),
) -> Plan:
    """The scenario that is meant, with all replacements made. Raises `ScenarioError`."""
    changes = [*overrides]
    if seed is not None:
        changes.append(f"seed={seed}")
    if engine is not None:
        changes.append(f"engine={json.dumps(engine)}")
    plan = _changed(source, changes)
    if policy is not None and policy != plan.scenario.policy.name:
        plan = _changed(source, [f"policy={{name={json.dumps(policy)}}}", *changes])
    allowed = (allow_policy,) if isinstance(allow_policy, str) else tuple(allow_policy)
    return replace(plan, allow_policy=allowed)


def _changed(source: str | Path | Scenario, changes: Sequence[str]) -> Plan:
    chosen = source.with_(*changes) if isinstance(source, Scenario) else load(source, changes)[0]
    said = chosen.said
    return Plan(chosen, said.folder or Path.cwd(), said.source, said.text, said.overrides)


def execute(
    plan: Plan,
    targets: Iterable[Path],
    *,
    signals: Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    tell: Tell | None = None,
    drawn: Callable[[Scenario, World], World] = lambda _, world: world,
) -> Path:
    """Run `plan` and return the folder of its records, the first free one of `targets`. Raises `GlbdesError`.

    `drawn` gives the world with the same requests from elsewhere."""
    chosen = plan.scenario
    by_request = chosen.by_request
    with fresh(targets, overwrite=overwrite, tell=tell) as folder:
        begin_s = time.perf_counter()
        chosen_policy = router(plan)
        built = build.build(chosen, plan.folder, signals)
        world, generated = counting(drawn(chosen, built) if by_request else built.flow)
        if chosen_policy is None:
            chosen_policy = offline.Replay(offline.solve(world).weights)
        names = _names(chosen)
        engine = engine_for(chosen.engine, world)
        if tell is not None and engine == "fast" and must_compile(world):
            tell("compiling the engine, once for this version")
        built_s = time.perf_counter()
        keep = chosen.records.keep
        sketch = Sketch(world, _limits_s(chosen)) if by_request and keep < 1.0 else None
        watch = compression.Watch(world, chosen.dispatch.max_utilisation)
        options: dict[str, Any] = {"by_request": by_request, "keep": keep, "sketch": sketch, "watch": watch}
        at = folder.path.absolute()  # wherever a policy goes
        with guard.staying(), records.Writer(at, world, names, chosen.time.start_utc, **options) as writer:
            ENGINES[engine](
                world, chosen_policy, writer, policy_name=chosen.policy.name, progress=_told(world, progress)
            )
        wall_s = time.perf_counter() - built_s
        invariants = writer.books.check(generated)
        info = _provenance(plan, world, signals) | {
            "engine": engine,
            "by_request": by_request,
            "sketch": None if sketch is None else sketch.figures(),
            "requests": writer.books.counted,
            "warmup_requests": writer.books.count - writer.books.counted,
            "warnings": compression.warnings(chosen, world, watch),
            "requests_per_s": writer.books.count / wall_s if by_request else None,
            "build_s": built_s - begin_s,
            "wall_s": wall_s,
            "invariants": invariants,
            "files": writer.files(),
        }
        written = Records(folder.path, info, checked=set(info["files"]))
        records.finish(folder.path, info, metrics.summary(written))
    return folder.path


def _names(chosen: Scenario) -> Names:
    of_pools = pools.columns(chosen)
    names = tuple(one.pool for one in of_pools), tuple(one.place for one in of_pools)
    return Names(tuple(chosen.gateways), tuple(chosen.regions), tuple(chosen.slo), *names)


def _limits_s(chosen: Scenario) -> dict[str, Floats]:
    """What the SLO classes allow, by latency: [class], infinite where they say nothing."""
    limits = {key: [getattr(slo, f"{key}_s") for slo in chosen.slo.values()] for key in LATENCIES}
    return {key: np.array([np.inf if value is None else value for value in found]) for key, found in limits.items()}


def router(plan: Plan) -> Policy | None:
    """The policy that `plan` names; None for the offline optimum, which needs a world first. Raises `PolicyError`."""
    chosen = plan.scenario.policy
    if chosen.name == OFFLINE and not chosen.arguments:
        return None
    return policy.load(chosen.name, chosen.arguments, plan.folder, plan.allow_policy)


def _told(world: World, progress: Progress | None) -> Callable[[int], None] | None:
    if progress is None:
        return None
    told, expected = progress, expected_requests(world)
    told(0, expected)
    return lambda ended: told(ended, expected)


def _provenance(plan: Plan, world: World, signals: Path | None) -> dict[str, Any]:
    """Everything that somebody needs to run it again."""
    chosen = plan.scenario
    return {
        "format": records.FORMAT,
        "policy": chosen.policy.name,
        "seed": chosen.seed,
        "source": plan.source,
        "overrides": list(plan.overrides),
        "signals": None if signals is None else str(signals),
        "request_weight": world.weight,
        "simulated_s": world.slots * world.slot_ns / NS_PER_S,
        "warmup_s": world.warmup_ns / NS_PER_S,  # of each slot, beside what counts
        "history_h": world.history * world.slot_s / S_PER_H,  # of signals from before the start, which policies see
        "notes": list(remarks(chosen, world)),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "platform": platform.platform(),
        "scenario": chosen.model_dump(mode="json"),
        "scenario_text": plan.text,
    }
