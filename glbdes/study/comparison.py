"""Several policies on the same requests, side by side.

Every policy meets the same arrivals and lengths, seed by seed (common random numbers): they are drawn before an engine
runs, and every comparison checks it on what was recorded. So differences are the policies' own, and confidence
intervals are those of paired differences.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from glbdes import records
from glbdes.base import seals
from glbdes.base.folders import Tell, fresh, numbered, read_mark, safe_name
from glbdes.base.jobs import each
from glbdes.base.revision import commit
from glbdes.errors import InvariantError, ScenarioError
from glbdes.optimum import bound
from glbdes.optimum.bound import Reference
from glbdes.present.study_tables import COMPARISON, latex, lines, markdown, named
from glbdes.records import Records, headline
from glbdes.records.info import Digest, File, Finite, Said, listed, validated
from glbdes.records.writer import PLANS_FILE
from glbdes.scenario import Scenario
from glbdes.study import draws, run
from glbdes.study.run import Plan, Run
from glbdes.world import build

if TYPE_CHECKING:  # figures are imported when they are drawn: altair takes a second
    from altair.typing import ChartType

    from glbdes.present.figures import Figure

POLICIES: Final = ("nearest", "cost", "carbon", "water", "cost_carbon_water", "eglb", "receding_horizon", "offline")
MARK: Final = "comparison.json"
FORMAT: Final = 3
TABLES: Final = ("comparison.parquet", "runs.parquet")
SAME: Final = ("request_id", "gateway", "slo", "prompt_tokens", "output_tokens", "arrival_ns")  # whatever the policy

Progress = Callable[[int, int], None]  # runs ended, runs in all


class _Reference(Said):
    usd: Finite
    by_request: bool
    doubts: list[str]


class ComparisonInfo(Said):
    """comparison.json."""

    scenario: str
    engine: str
    policies: Annotated[list[str], Field(min_length=1)]
    seeds: Annotated[list[int], Field(min_length=1)]
    signal_seeds: list[int]  # empty: the scenario's own signals
    overrides: list[str]
    dispatch: str | None  # its rule; None: a flow
    signals: str | None
    reference: _Reference | None
    requests_sha256: dict[str, Digest]
    version: str
    commit: str | None
    files: dict[str, File]


class Job(NamedTuple):
    """One run of a comparison."""

    source: str | Path | Scenario
    policy: str
    seed: int
    signal_seed: int | None
    engine: str | None
    overrides: tuple[str, ...]
    signals: Path | None
    folder: Path
    reference: Reference | None = None
    allow_policy: tuple[str, ...] = ()


class Done(NamedTuple):
    """What a worker tells of its run."""

    figures: dict[str, float]
    requests: str  # digest of what is the same for every policy
    engine: str  # that ran


@dataclass(frozen=True)
class Comparison:
    """A finished comparison: `table` (a row a policy), `runs` (a row a run), and every run's records."""

    path: Path
    info: dict[str, Any]  # comparison.json

    @classmethod
    def open(cls, path: str | Path) -> "Comparison":
        """The comparison in a folder. Raises `RecordsError` if there is none, or its tables are damaged."""
        folder = Path(path)
        info = read_mark(folder, MARK, FORMAT, "a finished comparison")
        listed(validated(info, ComparisonInfo, folder / MARK), TABLES, folder / MARK)
        for name, file in info["files"].items():
            seals.check(folder / name, file["sha256"])
        return cls(folder, info)

    @property
    def policies(self) -> list[str]:
        """In the order in which they were asked for; the first one is the reference of differences."""
        return list(self.info["policies"])

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row a policy: means over seeds, and confidence intervals (`headline.by_policy`)."""
        return records.frame(self.path / TABLES[0])

    @property
    def shown(self) -> pd.DataFrame:
        """`table` under the names that are shown: that plans are ignored is part of a policy's."""
        return named(self.table, self.info["dispatch"])

    @cached_property
    def runs(self) -> pd.DataFrame:
        """A row a run."""
        return records.frame(self.path / TABLES[1])

    def run(self, policy: str, seed: int | None = None, signal_seed: int | None = None) -> Run:
        """The run of `policy`; of the first seeds unless others are named. Raises `RecordsError` if there is none."""
        drawn = self.info["signal_seeds"]
        chosen = drawn[0] if drawn and signal_seed is None else signal_seed
        return Run.open(self.path / "runs" / _name(policy, self.info["seeds"][0] if seed is None else seed, chosen))

    def records(self) -> dict[str, Records]:
        """Every policy's records of the first seed."""
        return {policy: self.run(policy).records for policy in self.policies}

    def figures(self) -> "list[Figure]":
        """What can be drawn of it, with how each is read."""
        from glbdes.present import figures

        return figures.of_comparison(self.records(), self.table, self.runs)

    def figure(self, name: str) -> "ChartType":
        """An altair chart: "front", "service", "map", "burden", "footprints", "matrix", "hours", "duals", "latency",
        "energy".
        """
        from glbdes.present import figures

        return figures.find(self.figures(), name).chart()

    def _repr_html_(self) -> str:
        from glbdes.present import figures

        return figures.notebook(repr(self), lines(self.shown, COMPARISON), self.figures(), ("front", "burden"))

    def __repr__(self) -> str:
        seeds, names = self.info["seeds"], ", ".join(self.policies)
        return f"<Comparison {self.info['scenario']}, policies {names}, {len(seeds)} seed(s): {self.path}>"


def compare(
    source: str | Path | Scenario,
    policies: Sequence[str] = POLICIES,
    *,
    seeds: int = 1,
    signal_seeds: int | None = None,
    workers: int = 1,
    engine: str | None = None,
    overrides: Sequence[str] = (),
    signals: str | Path | None = None,
    out: str | Path | None = None,
    allow_policy: str | Sequence[str] = (),
    progress: Progress | None = None,
    tell: Tell | None = None,
) -> Comparison:
    """Run each of `policies` on the same requests, with the scenario's seed and the `seeds` - 1 that follow it.

    With `signal_seeds` also on so many draws of synthetic signals, of which the scenario's own is the first: intervals
    then cover what other weather and prices of the same kind would have done, and not requests alone.

    `workers` processes at a time; more than one needs `if __name__ == "__main__":` in a script that calls this.
    `engine`, `overrides`, `signals`, `allow_policy` and `tell` are those of `glbdes.simulate`. Everything goes to the
    folder `out`, or to a new one in runs/: the runs' records, runs.parquet, and the table as comparison.parquet, .csv,
    .md and .tex.

    Raises a `GlbdesError`, and leaves no folder behind, if anything of this cannot be done.
    """
    _check(policies, seeds, signal_seeds)
    at = None if signals is None else Path(signals)
    choices: dict[str, Any] = {"engine": engine, "overrides": overrides, "allow_policy": allow_policy}
    plans = [run.prepare(source, policy=name, **choices) for name in policies]
    for plan in plans:
        run.router(plan)
    first = plans[0].scenario
    drawn_by_seed = [None] if signal_seeds is None else draws.seeds(plans[0], at, signal_seeds)
    targets = numbered(Path("runs") / f"{first.name}-comparison") if out is None else iter([Path(out)])
    with fresh(targets, tell=tell) as folder:
        begin_s = time.perf_counter()
        jobs = []
        for drawn_by in drawn_by_seed:
            changes = (*overrides, *draws.settings(drawn_by))
            reference = _reference(run.prepare(source, policy=policies[0], **choices | {"overrides": changes}), at)
            of, told = (drawn_by, engine, changes, at), (reference, plans[0].allow_policy)
            jobs += [
                Job(source, name, seed, *of, folder.path / "runs" / _name(name, seed, drawn_by), *told)
                for seed in range(first.seed, first.seed + seeds)
                for name in policies
            ]
        done = _run_all(jobs, workers, progress)
        drawn = _same_requests(done)
        runs = pd.DataFrame([_row(job, done[job]) for job in jobs])
        dispatch = first.dispatch.rule if first.by_request else None
        _write(folder.path, runs, dispatch)
        info = {
            "format": FORMAT,
            "scenario": first.name,
            "engine": ", ".join(sorted({result.engine for result in done.values()})),
            "policies": list(policies),
            "seeds": sorted(drawn),
            "signal_seeds": [seed for seed in drawn_by_seed if seed is not None],
            "overrides": list(overrides),
            "dispatch": dispatch,
            "signals": None if at is None else str(at),
            "reference": draws.mean(list({job.signal_seed: job.reference for job in jobs}.values())),
            "requests_sha256": drawn,
            "version": version("glbdes"),
            "commit": commit(),
            "wall_s": time.perf_counter() - begin_s,
            "files": {name: records.file_info(folder.path / name) for name in TABLES},
        }
        (folder.path / MARK).write_bytes(seals.sealed(info))
    return Comparison.open(folder.path)


def _check(policies: Sequence[str], seeds: int, signal_seeds: int | None) -> None:
    if not policies:
        raise ScenarioError("no policies to compare")
    twice = sorted({name for name in policies if list(policies).count(name) > 1})
    if twice:
        raise ScenarioError(f"policies to compare: {', '.join(twice)} named twice")
    if seeds < 1:
        raise ScenarioError(f"seeds = {seeds}, must be >= 1")
    if signal_seeds is not None and signal_seeds < 1:
        raise ScenarioError(f"signal_seeds = {signal_seeds}, must be >= 1")


def _row(job: Job, result: Done) -> dict[str, Any]:
    drawn = {} if job.signal_seed is None else {"signal_seed": job.signal_seed}
    return {"policy": job.policy, "seed": job.seed, **drawn, **result.figures}


def _run_all(jobs: Sequence[Job], workers: int, progress: Progress | None) -> dict[Job, Done]:
    done: dict[Job, Done] = {}
    told = progress or (lambda ended, expected: None)
    told(0, len(jobs))
    keys = {job.folder: job for job in jobs}
    for job, result in each(_simulate, jobs, workers):
        done[keys[job.folder]] = result
        told(len(done), len(jobs))
    return done


def _simulate(job: Job) -> Done:
    finished = run.simulate(
        job.source,
        policy=job.policy,
        seed=job.seed,
        engine=job.engine,
        overrides=job.overrides,
        signals=job.signals,
        out=job.folder,
        allow_policy=job.allow_policy,
    )
    row = headline.row(headline.written(finished.path), finished.info, job.reference)
    return Done(row, _digest(finished.records), finished.info["engine"])


def _reference(plan: Plan, signals: Path | None) -> Reference | None:
    """What objectives are told against; None if the expected load may be, and is, more than fits."""
    return bound.reference(build.build(plan.scenario, plan.folder, signals), plan.scenario.by_request)


def _digest(run_records: Records) -> str:
    """SHA-256 of what every policy must find the same: arrivals by slot and gateway, and of the requests that are kept
    ids, gateways, classes, lengths and arrivals.
    """
    table = run_records.requests.to_table(columns=list(SAME)).sort_by("request_id")
    digest = hashlib.sha256(run_records.read(PLANS_FILE, ["demand_rps"])["demand_rps"].to_numpy().tobytes())
    for name in SAME:
        column = table[name]
        if pa.types.is_dictionary(column.type):
            text = column.cast(pa.string())
            names = text.unique().sort()
            digest.update("\n".join(names.to_pylist()).encode())
            column = pc.index_in(text, value_set=names)
        digest.update(column.to_numpy().tobytes())
    return digest.hexdigest()


def _same_requests(done: dict[Job, Done]) -> dict[int, str]:
    """The digest of each seed's requests. Raises `InvariantError` if policies met different ones."""
    drawn: dict[int, str] = {}
    for job, result in done.items():
        if drawn.setdefault(job.seed, result.requests) != result.requests:
            raise InvariantError(f"policy {job.policy}, seed {job.seed}: its requests differ from the other policies'")
    return dict(sorted(drawn.items()))


def _write(folder: Path, runs: pd.DataFrame, dispatch: str | None) -> None:
    table = headline.by_policy(runs)
    runs.to_parquet(folder / "runs.parquet", index=False)
    table.to_parquet(folder / "comparison.parquet", index=False)
    table.to_csv(folder / "comparison.csv", index=False)
    headings, rows = lines(named(table, dispatch), COMPARISON)
    (folder / "comparison.md").write_text(markdown(headings, rows), encoding="utf-8")
    (folder / "comparison.tex").write_text(latex(headings, rows), encoding="utf-8")


def _name(policy: str, seed: int, signal_seed: int | None) -> str:
    return f"{safe_name(policy)}-seed{seed}" + ("" if signal_seed is None else f"-signals{signal_seed}")
