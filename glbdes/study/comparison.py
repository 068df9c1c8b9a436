"""Several policies on the same requests, side by side.

Every policy meets the same arrivals and lengths, seed by seed (common random numbers): they are drawn before an engine
runs, and every comparison checks it on what was recorded. So differences are the policies' own, and confidence
intervals are those of paired differences.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import pandas as pd
from pydantic import Field

from glbdes import records
from glbdes.base import seals
from glbdes.base.cluster import on_cluster
from glbdes.base.folders import Tell, fresh, numbered, read_mark
from glbdes.base.jobs import each
from glbdes.base.revision import commit
from glbdes.errors import ScenarioError
from glbdes.optimum import bound
from glbdes.optimum.bound import Reference
from glbdes.present.progress import Wanted, shown
from glbdes.present.study_tables import COMPARISON, latex, lines, markdown, named
from glbdes.records import Records, headline
from glbdes.records.info import Digest, File, Finite, Said, listed, validated
from glbdes.scenario import Scenario
from glbdes.study import draws, run
from glbdes.study.paired import Done, Job, called, same_requests, simulate
from glbdes.study.run import Plan, Run
from glbdes.world import build

if TYPE_CHECKING:  # figures are imported when they are drawn: altair takes a second
    from altair.typing import ChartType

    from glbdes.present.figures import Figure

POLICIES: Final = ("nearest", "cost", "carbon", "water", "cost_carbon_water", "eglb", "receding_horizon", "offline")
MARK: Final = "comparison.json"
FORMAT: Final = 4
TABLES: Final = ("comparison.parquet", "runs.parquet")

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
    at: dict[str, str]  # where runs lie that are not in the folder
    version: str
    commit: str | None
    files: dict[str, File]


@dataclass(frozen=True)
class Told:
    """What comparison.json says beside the table."""

    scenario: str
    engines: set[str]
    policies: list[str]
    overrides: list[str]
    dispatch: str | None
    signals: str | None
    references: list[Reference | None]  # one a draw of signals
    requests: dict[int, str]  # digest by seed
    signal_seeds: list[int] = field(default_factory=list)
    at: dict[str, str] = field(default_factory=dict)  # runs that lie elsewhere
    wall_s: float = 0.0


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
        folder = called(policy, self.info["seeds"][0] if seed is None else seed, chosen)
        return Run.open(self.info["at"].get(folder, self.path / "runs" / folder))

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
    dask: str | None = None,
    engine: str | None = None,
    overrides: Sequence[str] = (),
    signals: str | Path | None = None,
    out: str | Path | None = None,
    allow_policy: str | Sequence[str] = (),
    progress: Wanted = None,
    tell: Tell | None = None,
) -> Comparison:
    """Run policies on the same requests, and set them side by side.

    Everything goes to one folder: the runs' records, runs.parquet, and the table as comparison.parquet, .csv, .md and
    .tex.

    Parameters
    ----------
    source
        A file, a shipped scenario by its name ("llm10"), or a `Scenario` (`glbdes.scenario`).
    policies
        Names, as `glbdes.simulate` takes them; the first is the reference of differences.
    seeds
        How many draws of requests: of the scenario's seed, and those that follow it.
    signal_seeds
        How many draws of synthetic signals, of which the scenario's own is the first: intervals then cover what other
        weather and prices of the same kind would have done, and not requests alone.
    workers
        Processes at a time; more than one needs `if __name__ == "__main__":` in a script that calls this.
    dask
        The address of a dask scheduler ("tcp://host:port"), whose workers simulate instead. They write the runs'
        records, so they must see the folder `out`.
    engine
        Instead of the scenario's: "auto", "simpy", "fast" or "fluid".
    overrides
        `key.path=value` settings of any key, in order.
    signals
        A file or folder to take signals from instead of the scenario's.
    out
        The folder for all of it; default: a new one in runs/.
    allow_policy
        Installed packages, or addresses, whose policies may run.
    progress
        Called with the numbers of runs that have ended and that there are; False: no bar. By itself there is one in
        notebooks and terminals.
    tell
        Called with a line before what takes its time without any ending.

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
    if dask is not None:  # whose workers are in folders of their own
        at = None if at is None else at.absolute()
        source = source if isinstance(source, Scenario) or plans[0].source is None else Path(plans[0].source).absolute()
    with fresh(targets, tell=tell) as folder:
        begin_s = time.perf_counter()
        into = folder.path.absolute() / "runs"
        jobs = _jobs(source, policies, range(first.seed, first.seed + seeds), drawn_by_seed, at, into, choices)
        with shown(progress, "runs") as bar:
            done = _run_all(jobs, workers, dask, bar.advance)
        drawn = same_requests((job.policy, job.seed, done[job.folder].requests) for job in jobs)
        told_of = Told(
            scenario=first.name,
            engines={result.engine for result in done.values()},
            policies=list(policies),
            overrides=list(overrides),
            dispatch=first.dispatch.rule if first.by_request else None,
            signals=None if at is None else str(at),
            references=list({job.signal_seed: job.reference for job in jobs}.values()),
            requests=drawn,
            signal_seeds=[seed for seed in drawn_by_seed if seed is not None],
            wall_s=time.perf_counter() - begin_s,
        )
        write(folder.path, pd.DataFrame([_row(job, done[job.folder]) for job in jobs]), told_of)
    return Comparison.open(folder.path)


def _jobs(
    source: str | Path | Scenario,
    policies: Sequence[str],
    seeds: Sequence[int],
    signal_seeds: Sequence[int | None],
    signals: Path | None,
    into: Path,
    choices: Mapping[str, Any],
) -> list[Job]:
    """The runs of all draws, each draw of signals with what its objectives are told against; records go `into`."""
    jobs = []
    for drawn_by in signal_seeds:
        changes = (*choices["overrides"], *draws.settings(drawn_by))
        first = run.prepare(source, policy=policies[0], **{**choices, "overrides": changes})
        of, told = (drawn_by, choices["engine"], changes, signals), (_reference(first, signals), first.allow_policy)
        jobs += [
            Job(source, policy, seed, *of, into / called(policy, seed, drawn_by), *told)
            for seed in seeds
            for policy in policies
        ]
    return jobs


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


def _run_all(jobs: Sequence[Job], workers: int, dask: str | None, progress: Progress | None) -> dict[Path, Done]:
    done: dict[Path, Done] = {}
    told = progress or (lambda ended, expected: None)
    told(0, len(jobs))
    for job, result in on_cluster(simulate, jobs, dask) if dask else each(simulate, jobs, workers):
        done[job.folder] = result
        told(len(done), len(jobs))
    return done


def _reference(plan: Plan, signals: Path | None) -> Reference | None:
    """What objectives are told against; None if the expected load may be, and is, more than fits."""
    return bound.reference(build.build(plan.scenario, plan.folder, signals), plan.scenario.by_request)


def write(folder: Path, runs: pd.DataFrame, told: Told) -> None:
    """Write the tables of `runs`, a row a run, and comparison.json, which vouches for them."""
    table = headline.by_policy(runs)
    runs.to_parquet(folder / "runs.parquet", index=False)
    table.to_parquet(folder / "comparison.parquet", index=False)
    table.to_csv(folder / "comparison.csv", index=False)
    headings, rows = lines(named(table, told.dispatch), COMPARISON)
    (folder / "comparison.md").write_text(markdown(headings, rows), encoding="utf-8")
    (folder / "comparison.tex").write_text(latex(headings, rows), encoding="utf-8")
    info = {
        "format": FORMAT,
        "scenario": told.scenario,
        "engine": ", ".join(sorted(told.engines)),
        "policies": told.policies,
        "seeds": sorted(told.requests),
        "signal_seeds": told.signal_seeds,
        "overrides": told.overrides,
        "dispatch": told.dispatch,
        "signals": told.signals,
        "reference": draws.mean(told.references),
        "requests_sha256": {str(seed): digest for seed, digest in told.requests.items()},
        "at": told.at,
        "version": version("glbdes"),
        "commit": commit(),
        "wall_s": told.wall_s,
        "files": {name: records.file_info(folder / name) for name in TABLES},
    }
    (folder / MARK).write_bytes(seals.sealed(info))
