"""Runs that are asked for one after another, each measured once: their figures are kept in a folder, their records not.

A search that is killed and begun again in the same folder finds what it has measured, as a sweep does.
"""

import hashlib
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from glbdes.base import jobs, seals
from glbdes.base.files import put
from glbdes.errors import InfeasibleError, RecordsError
from glbdes.records import headline
from glbdes.records.info import Finite, Said, validated
from glbdes.scenario import Scenario
from glbdes.study import limits, run, sweep_file
from glbdes.study.run import Plan, Run
from glbdes.study.sweep import POINTS, WORK, begun
from glbdes.workload.kept import Kept
from glbdes.world import World

FORMAT: Final = 1
_KEPT: Final = Kept()  # draws, of a process: candidates differ in replicas, and meet the same requests

Result = dict[str, Any]  # figures, or why there are none (`error`: the load does not fit); wall_s


class TrialInfo(Said):
    """A trial's file."""

    figures: dict[str, Finite | None]
    error: str | None
    wall_s: Finite


class Job(NamedTuple):
    """One run, as a worker gets it."""

    key: str
    plan: Plan
    signals: Path | None
    work: Path  # where its records are for a while


class Trials:
    """Measured runs: `measure(plans)` gives a result each, simulating those that have not been yet."""

    def __init__(self, folder: Path, signals: Path | None, each: jobs.Each[Job, Result]) -> None:
        self.folder, self.signals, self.each = folder, signals, each
        self.done: dict[str, Result] = {}
        self.simulated = 0

    def measure(self, plans: Sequence[Plan]) -> list[Result]:
        """The results of `plans`, in their order. What runs raise is raised, but for load that does not fit."""
        keys = [sweep_file.key(plan, self.signals) for plan in plans]
        for key in keys:
            if key not in self.done and (found := self._read(key)) is not None:
                self.done[key] = found
        todo = {key: plan for key, plan in zip(keys, plans, strict=True) if key not in self.done}
        waiting = [Job(key, plan, self.signals, self.folder / WORK) for key, plan in todo.items()]
        for job, result in self.each(simulate, waiting):
            put(self._path(job.key), seals.sealed({"format": FORMAT, **result}))
            self.done[job.key] = result
            self.simulated += 1
        return [self.done[key] for key in keys]

    def _path(self, key: str) -> Path:
        return self.folder / POINTS / f"{key}.json"

    def _read(self, key: str) -> Result | None:
        path = self._path(key)
        if not path.exists():
            return None
        try:
            return validated(seals.opened(path, FORMAT), TrialInfo, path)
        except seals.FormatError:
            return None
        except RecordsError as error:
            raise RecordsError(f"{error}; delete it to simulate it again") from error


@contextmanager
def trials(folder: Path, signals: Path | None, workers: int, what: str) -> Iterator[Trials]:
    """The trials of a folder, made if need be, for this process alone. Raises `RecordsError` if that cannot be."""
    try:
        with begun(folder, what), jobs.processes(workers) as each:
            yield Trials(folder, signals, each)
    finally:
        _KEPT.clear()  # of this process; workers' end with them


def simulate(job: Job) -> Result:
    """What a worker does: one run, its figures, nothing left behind."""
    begin_s = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=job.work, prefix="glbdes-", ignore_cleanup_errors=True) as own:
        try:
            finished = Run(run.execute(job.plan, [Path(own) / "run"], signals=job.signals, drawn=_drawn))
        except InfeasibleError as error:
            return {"figures": {}, "error": str(error), "wall_s": time.perf_counter() - begin_s}
        found = limits.figures(headline.written(finished.path), finished.info)
    return {"figures": found, "error": None, "wall_s": time.perf_counter() - begin_s}


def _drawn(scenario: Scenario, world: World) -> World:
    """`world`, its requests drawn once for all fleets: replicas change nothing of them but by what gateways ask for."""
    document = scenario.model_dump(mode="json", exclude_defaults=True)
    for region in document.get("regions", {}).values():
        region.pop("replicas", None)
    asked = hashlib.sha256(world.expected_rps.tobytes()).hexdigest()
    key = json.dumps([document, world.warmup_ns, asked], sort_keys=True)
    return replace(world, requests=_KEPT.of(key, world.requests))
