"""Many runs of one scenario, one row each; killed at any moment, a sweep goes on where it was.

A point's figures are one small file, written whole or not at all, in the sweep's folder; the table is made of those
files in the order of the sweep file, so it does not depend on workers or interruptions. Runs' records are not kept.
"""

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pandas as pd

from glbdes import records
from glbdes.base import seals
from glbdes.base.claims import claimed
from glbdes.base.cluster import on_cluster
from glbdes.base.files import HALF, put, reason
from glbdes.base.folders import read_mark
from glbdes.base.jobs import each
from glbdes.errors import GlbdesError, RecordsError
from glbdes.optimum import bound
from glbdes.present import study_tables
from glbdes.present.progress import Wanted, shown
from glbdes.records import headline
from glbdes.records.info import Count, File, Finite, Said, listed, validated
from glbdes.study import run, sweep_file
from glbdes.study.run import Plan, Run
from glbdes.study.sweep_file import Point
from glbdes.world import build, footprints
from glbdes.world.footprints import Footprint

if TYPE_CHECKING:  # figures are imported when they are drawn: altair takes a second
    from altair.typing import ChartType

    from glbdes.present.figures import Figure

DRAWS: Final = ("seed", "signals.seed")  # keys that draw requests and signals anew
MARK: Final = "sweep.json"
FORMAT: Final = 4  # of sweep.json, and of a point's file
TABLE: Final = "sweep.parquet"
POINTS, WORK, LOCK = "points", "work", "lock"  # in the sweep's folder
TOLD: Final = ("warnings", "notes")  # lines of a run that a sweep keeps

Result = dict[str, Any]  # figures or error, wall_s


class SweepInfo(Said):
    """sweep.json."""

    name: str
    scenario: str
    signals: str | None
    keys: list[str]
    points: Count
    failed: Count
    version: str
    text: str
    warnings: dict[str, Count]  # line -> points whose run said it
    notes: dict[str, Count]
    files: dict[str, File]


class PointInfo(Said):
    """A point's file."""

    figures: dict[str, Finite | None]
    warnings: list[str]
    notes: list[str]
    wall_s: Finite


class Job(NamedTuple):
    """One point, as a worker gets it."""

    key: str
    plan: Plan
    signals: Path | None
    work: Path | None  # where its records are for a while; None: the worker's own temporary folder


@dataclass(frozen=True)
class Sweep:
    """A sweep that has ended: `table`, a row a point."""

    path: Path
    info: dict[str, Any]  # sweep.json

    @classmethod
    def open(cls, path: str | Path) -> "Sweep":
        """The sweep in a folder. Raises `RecordsError` if there is none, it has not ended, or its table is damaged."""
        folder = Path(path)
        info = read_mark(folder, MARK, FORMAT, "a sweep that has ended")
        listed(validated(info, SweepInfo, folder / MARK), [TABLE], folder / MARK)
        seals.check(folder / TABLE, info["files"][TABLE]["sha256"])
        return cls(folder, info)

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row a point: the swept keys, `headline.FIGURES`, and `error` where it could not be simulated."""
        return records.frame(self.path / TABLE)

    @property
    def failed(self) -> pd.DataFrame:
        """The points that could not be simulated."""
        return self.table[self.table["error"].notna()]

    @property
    def swept(self) -> list[str]:
        """The swept keys other than those that draw requests and signals anew."""
        return [key for key in self.info["keys"] if key not in DRAWS]

    def means(self) -> pd.DataFrame:
        """Means and 95 % confidence over seeds, a row for each combination of the other keys."""
        return headline.over_seeds(self.table[self.table["error"].isna()], self.swept)

    def figures(self) -> "list[Figure]":
        """What can be drawn of it, with how each is read."""
        from glbdes.present import figures

        return figures.of_sweep(self.means(), self.swept, self.table[self.table["error"].isna()])

    def figure(self, name: str) -> "ChartType":
        """An altair chart: "front", "knob"."""
        from glbdes.present import figures

        return figures.find(self.figures(), name).chart()

    def _repr_html_(self) -> str:
        from glbdes.present import figures

        rows = study_tables.swept(self.means(), self.swept)
        return figures.notebook(repr(self), rows, self.figures(), ("front",))

    def __repr__(self) -> str:
        return f"<Sweep {self.info['name']}, {len(self.table)} points over {', '.join(self.info['keys'])}: {self.path}>"


def sweep(
    file: str | Path,
    *,
    out: str | Path | None = None,
    workers: int = 1,
    dask: str | None = None,
    allow_policy: str | Sequence[str] = (),
    progress: Wanted = None,
) -> Sweep:
    """Simulate every point of a sweep file that has not been yet, and write the table.

    Call it again to go on after an interruption.

    Parameters
    ----------
    file
        The sweep file: a scenario, and the grids and lists of settings at which it is simulated.
    out
        The folder for a file a point, sweep.parquet and sweep.csv; default: the file's name in runs/.
    workers
        Processes at a time; more than one needs `if __name__ == "__main__":` in a script that calls this.
    dask
        The address of a dask scheduler ("tcp://host:port"), whose workers simulate instead.
    allow_policy
        Installed packages, or addresses, whose policies may run.
    progress
        Called with the numbers of points that have ended and that there are; False: no bar. By itself there is one in
        notebooks and terminals.

    Raises `ScenarioError` for the file's faults, and `RecordsError` if the folder is in use or not a sweep's. A point
    that cannot be simulated has an `error` in its row and is tried again the next time.
    """
    found = sweep_file.load(file, allow_policy)
    folder = Path(out) if out is not None else Path("runs") / found.name
    with begun(folder, "sweep"), shown(progress, "points") as bar:
        done = {point.key: result for point in found.points if (result := _read(folder, point)) is not None}
        work = None if dask else folder / WORK
        jobs = [Job(p.key, p.plan, found.signals, work) for p in found.points if p.key not in done]
        told = bar.advance or (lambda ended, expected: None)
        told(len(done), len(found.points))
        for job, result in on_cluster(measure, jobs, dask) if dask else each(measure, jobs, workers):
            done[job.key] = result
            if "error" not in result:
                put(folder / POINTS / f"{job.key}.json", seals.sealed({"format": FORMAT, **result}))
            told(len(done), len(found.points))
        _write(folder, found, done)
    return Sweep.open(folder)


def measure(job: Job) -> Result:
    """What a worker does: one run, its figures, nothing left behind."""
    begin_s = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=job.work, prefix="glbdes-", ignore_cleanup_errors=True) as own:
        try:
            finished = Run(run.execute(job.plan, [Path(own) / "run"], signals=job.signals))
            row = headline.row(headline.written(finished.path), finished.info, _reference(job))
        except GlbdesError as error:
            return {"error": str(error)}
    figures = {key: None if np.isnan(value) else value for key, value in row.items()}
    told = {key: list(finished.info[key]) for key in TOLD}
    return {"figures": figures, **told, "wall_s": time.perf_counter() - begin_s}


def _reference(job: Job) -> bound.Reference | None:
    chosen = job.plan.scenario
    return bound.reference(build.build(chosen, job.plan.folder, job.signals), chosen.by_request)


@contextmanager
def begun(folder: Path, what: str) -> Iterator[None]:
    """The folder of a `what`, made if need be, for this process alone; what a killed one left half done is removed.

    Raises `RecordsError` if it is something else's, cannot be made or is in use.
    """
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / POINTS).is_dir())):
        raise RecordsError(f"{folder}: exists already and is no {what}'s; choose another name")
    try:
        (folder / POINTS).mkdir(parents=True, exist_ok=True)
        (folder / LOCK).touch()
    except OSError as error:
        raise RecordsError(f"{folder}: cannot be made: {reason(error)}") from error
    with claimed(folder / LOCK) as ours:
        if not ours:
            raise RecordsError(f"{folder}: another {what} is writing there")
        shutil.rmtree(folder / WORK, ignore_errors=True)
        for half in [*folder.glob(f"*{HALF}*"), *(folder / POINTS).glob(f"*{HALF}*")]:
            half.unlink()
        try:
            (folder / WORK).mkdir(exist_ok=True)
            yield
        finally:
            shutil.rmtree(folder / WORK, ignore_errors=True)


def _read(folder: Path, point: Point) -> Result | None:
    """A point's figures if it has been simulated, by this version."""
    path = folder / POINTS / f"{point.key}.json"
    if not path.exists():
        return None
    try:
        found = validated(seals.opened(path, FORMAT), PointInfo, path)
    except seals.FormatError:
        return None
    except RecordsError as error:
        raise RecordsError(f"{error}; delete it to simulate the point again") from error
    return found if list(found["figures"]) == list(headline.figures(_further(point))) else None


def _further(point: Point) -> tuple[Footprint, ...]:
    """The footprints beyond carbon and water of a point's scenario."""
    return footprints.further(point.plan.scenario.model_dump())


def _write(folder: Path, found: sweep_file.SweepFile, done: Mapping[str, Result]) -> None:
    figures = headline.figures(dict.fromkeys(one for point in found.points for one in _further(point)))
    rows = [_row(n, point, done[point.key], figures) for n, point in enumerate(found.points)]
    table = pd.DataFrame(rows, columns=["point", *found.keys, *figures, "error"])
    for key in found.keys:
        table[key] = _alike([point.settings.get(key) for point in found.points])
    for name, text in ((TABLE, table.to_parquet(index=False)), ("sweep.csv", table.to_csv(index=False))):
        put(folder / name, text)
    info = {
        "format": FORMAT,
        "name": found.name,
        "scenario": found.scenario,
        "signals": None if found.signals is None else str(found.signals),
        "keys": found.keys,
        "points": len(table),
        "failed": int(table["error"].notna().sum()),
        "version": version("glbdes"),
        "text": found.text,
        **{key: dict(Counter(line for result in done.values() for line in result.get(key, ()))) for key in TOLD},
        "files": {TABLE: records.file_info(folder / TABLE, len(table))},
    }
    put(folder / MARK, seals.sealed(info))


def _alike(values: Sequence[Any]) -> "pd.Series[Any]":
    """A column of a swept key: numbers, or else text; missing where the point does not set it."""
    numbers = all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values)
    if numbers:
        return pd.Series(values)
    return pd.Series([None if value is None else str(value) for value in values], dtype="object")


def _row(n: int, point: Point, result: Result, figures: Sequence[str]) -> dict[str, Any]:
    found = result.get("figures", {})
    values = {key: np.nan if found.get(key) is None else found[key] for key in figures}
    return {"point": n, **dict(point.settings), **values, "error": result.get("error")}
