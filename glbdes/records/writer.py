"""Records: what a run writes, and how it is read again.

    run.json           where the run came from: scenario, seed, versions, engine, wall time, invariants, checksums
    summary.json       the headline figures (`metrics.py`)
    requests/          one row a request, about in the order in which they ended; within a row group by id
    slots.parquet      one row a slot and region: load, queue, energy, footprints, signals, duals
    plans.parquet      one row a slot, gateway and region: the plan, and what was dispatched

The columns are in `columns.py`. This module owns files and formats; it computes no statistics.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from numpy.typing import NDArray

from glbdes.base import seals
from glbdes.base.folders import MARK, read_mark
from glbdes.errors import RecordsError, nearest
from glbdes.records import columns
from glbdes.records.books import Books
from glbdes.records.column_units import with_units
from glbdes.records.columns import NAME, PLANS, Names, requests_schema, slots_schema
from glbdes.records.info import RunInfo, listed, validated
from glbdes.records.regional import Regional, Slot
from glbdes.records.sketch import Sketch
from glbdes.world import SlotRecord, World, footprints
from glbdes.world.compression import Watch
from glbdes.world.footprints import Footprint

FORMAT: Final = 5  # of the run folder; a change of columns raises it
ROW_GROUP: Final = 1 << 18  # rows held back until they are written together
REQUESTS_FILE: Final = "requests/part-0.parquet"
SLOTS_FILE: Final = "slots.parquet"
PLANS_FILE: Final = "plans.parquet"
TABLES: Final = (REQUESTS_FILE, SLOTS_FILE, PLANS_FILE)
SUMMARY_FILE: Final = "summary.json"
HELD: Final = 1 << 11  # slots held back, however few rows they have


class Writer:
    """A sink that writes records into `folder` as the run goes, and keeps its books. A context manager.

    `start_utc` and `slot_s` date the slots; `by_request` is False for an engine that hands no requests. Of the
    requests, a share of `keep` is written, chosen by id alone; the `sketch` takes note of all, the `watch` of slots.
    """

    def __init__(
        self,
        folder: Path,
        world: World,
        names: Names,
        start_utc: datetime,
        *,
        by_request: bool = True,
        keep: float = 1.0,
        sketch: Sketch | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.world = world
        self.names = names
        self.keep = keep
        self.sketch = sketch
        self.watch = watch
        self.start_utc = start_utc.replace(tzinfo=None)
        self.books = Books(world, names.places or names.regions, by_request=by_request)
        self.regional = Regional(world)
        self.folder = folder
        (folder / "requests").mkdir()
        kept = {"in_sessions": world.in_sessions, "in_pools": world.region_of is not None}
        self._requests = _Table(folder / REQUESTS_FILE, requests_schema(world.further, **kept))
        self._ended: list[NDArray[Any]] = []  # not written yet
        self._rows = 0
        self._thread = ThreadPoolExecutor(1)  # compression waits for no interpreter
        self._writing: Future[None] | None = None
        self._slots = _Table(folder / SLOTS_FILE, slots_schema(world.further))
        self._plans = _Table(folder / PLANS_FILE, PLANS)

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Close the files; after an error without writing what is held back, for the folder will vanish."""
        tables = (self._requests, self._slots, self._plans)
        try:
            if kind is None:
                self._flush()
                self._written()
                for table in tables:
                    table.close()
        finally:
            self._thread.shutdown(cancel_futures=True)
            for table in tables:
                table.abandon()

    def files(self) -> dict[str, dict[str, Any]]:
        """Rows and checksum of each file, when all is written."""
        tables = {REQUESTS_FILE: self._requests, SLOTS_FILE: self._slots, PLANS_FILE: self._plans}
        return {name: file_info(self.folder / name, table.written) for name, table in tables.items()}

    def requests(self, chunk: NDArray[Any]) -> None:
        """Write ended requests, `REQUEST_DTYPE`; the chunk is the writer's to keep."""
        self.books.requests(chunk)
        if self.sketch is not None:
            self.sketch.requests(chunk)
        if self.keep < 1.0:
            chunk = chunk[sampled(chunk["request_id"], self.keep)]
        self._ended.append(chunk)
        self._rows += len(chunk)
        if self._rows >= ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        """Have what is held back written by the thread, when it is done with what it got before."""
        self._written()
        if self._rows:
            self._writing = self._thread.submit(self._write, self._ended)
        self._ended, self._rows = [], 0

    def _written(self) -> None:
        """Wait for the thread. Raises what it raised."""
        if self._writing is not None:
            self._writing.result()
        self._writing = None

    def _write(self, chunks: list[NDArray[Any]]) -> None:
        """Write `chunks` as a row group, by id: then ids and times climb, and take a third of the room."""
        rows = np.concatenate(chunks)
        rows = rows[np.argsort(rows["request_id"])]
        self._requests.add(columns.request_columns(rows, self.world, self.names, self.start_utc))
        self._requests.flush()

    def slot(self, record: SlotRecord) -> None:
        """Write a slot that has ended, and its plan."""
        book = self.books.slot(record)
        if self.watch is not None:
            self.watch.slot(record)
        found = self.regional.slot(Slot(record, book, columns.delay_s(record, self.world, self.books.by_request)))
        told = self.regional.world, self.names, self.start_utc, self.books.by_request, found.delay_s
        self._slots.add(columns.slot_columns(found.record, found.book, *told))
        self._plans.add(columns.plan_columns(found.record, self.names, self.world.classes))


def sampled(request_id: NDArray[np.int64], share: float) -> NDArray[np.bool_]:
    """A sample of `share` of all ids [n], evenly spread, as multiples of the golden ratio are modulo 1."""
    place = request_id.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)  # modulo 2**64
    return np.asarray(place / 2.0**64 < share)


class _Table:
    """One Parquet file, written in row groups of about `ROW_GROUP` rows, of `HELD` additions at most."""

    def __init__(self, path: Path, schema: Any) -> None:
        self.schema = schema
        self.held: list[Mapping[str, Any]] = []
        self.rows = 0  # held
        self.written = 0
        names = [one.name for one in schema if one.type == NAME]
        # Times and ids climb, so their differences are short; of floats, only the leading bytes repeat.
        encodings = {one.name: "DELTA_BINARY_PACKED" for one in schema if one.type in (pa.int64(), pa.int32())}
        for name in ("prompt_tokens", "output_tokens"):  # do not climb, and some are common
            if encodings.pop(name, None):
                names.append(name)
        encodings |= {one.name: "BYTE_STREAM_SPLIT" for one in schema if one.type == pa.float64()}
        if encodings.pop("request_weight", None):
            names.append("request_weight")  # one value throughout
        if "request_id" in schema.names:  # runs of one value: a few bytes for each run
            encodings.pop("slot")
            names += ["slot", "time_utc"]
        self.writer = pq.ParquetWriter(
            path, with_units(schema), compression="zstd", use_dictionary=names, column_encoding=encodings
        )

    def add(self, columns: Mapping[str, Any]) -> None:
        """Add rows, arrays by column. Views are copied: what they look at may be another slot's when it is written."""
        self.held.append({name: _own(column) for name, column in columns.items()})
        self.rows += len(next(iter(columns.values())))
        if self.rows >= ROW_GROUP or len(self.held) >= HELD:
            self.flush()

    def flush(self) -> None:
        if self.rows:
            arrays = [_joined([one[c.name] for one in self.held]).cast(c.type) for c in self.schema]
            self.writer.write_table(pa.Table.from_arrays(arrays, schema=self.writer.schema), row_group_size=ROW_GROUP)
        self.written += self.rows
        self.held, self.rows = [], 0

    def close(self) -> None:
        self.flush()
        self.writer.close()

    def abandon(self) -> None:
        """Close the file, if it is not yet, whatever the system says of that."""
        with suppress(OSError, ValueError):
            self.writer.close()


def _own(column: Any) -> Any:
    return column.copy() if isinstance(column, np.ndarray) and column.base is not None else column


def _joined(parts: list[Any]) -> Any:
    """Arrays of one column below one another, converted once: a small array costs as much as a large one."""
    if all(isinstance(part, np.ndarray) for part in parts):
        return pa.array(np.concatenate(parts))
    return pa.concat_arrays([part if isinstance(part, pa.Array) else pa.array(part) for part in parts])


def file_info(path: Path, rows: int | None = None) -> dict[str, Any]:
    """What run.json says of a file (`info.File`)."""
    return {"rows": rows, "sha256": seals.checksum(path)}


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write `value` as strict JSON (`seals.text`)."""
    path.write_text(seals.text(value), encoding="utf-8")


def finish(folder: Path, info: Mapping[str, Any], summary: Mapping[str, Any]) -> None:
    """Write the summary and, last, run.json: `info` with its `files`, which vouches for them all, and sealed."""
    write_json(folder / SUMMARY_FILE, summary)
    files = {**info["files"], SUMMARY_FILE: file_info(folder / SUMMARY_FILE)}
    (folder / MARK).write_bytes(seals.sealed({**info, "files": files}))


@dataclass(frozen=True)
class Records:
    """A finished run's records, read when asked for. Whatever is damaged raises `RecordsError`.

    A file is held to its checksum once, before it is read; `checked` are those that have been.
    """

    folder: Path
    info: dict[str, Any]  # run.json
    checked: set[str] = field(default_factory=set)

    @property
    def further(self) -> tuple[Footprint, ...]:
        """The footprints beyond carbon and water."""
        return footprints.further(self.info["scenario"])

    @cached_property
    def requests(self) -> ds.Dataset:
        """All requests, not read yet."""
        path = self._path(REQUESTS_FILE)
        with reading(path):
            dataset = ds.dataset(path, format="parquet")
            rows = dataset.count_rows()
        there = dataset.schema.names
        wanted = requests_schema(self.further, in_sessions="session" in there, in_pools="pool" in there)
        _must_be(dataset.schema, wanted, path)
        _must_have(rows, self.info["files"][REQUESTS_FILE]["rows"], path)
        return dataset

    @property
    def counted(self) -> ds.Dataset:
        """The requests that count, not read yet: all but those that arrived in a warm-up."""
        return self.requests.filter(~ds.field("warmup")) if self.info["warmup_s"] > 0 else self.requests

    @cached_property
    def slots(self) -> pa.Table:
        return self.read(SLOTS_FILE)

    @cached_property
    def plans(self) -> pa.Table:
        return self.read(PLANS_FILE)

    def read(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The table in slots.parquet or plans.parquet, or some of its columns, for whoever needs no more."""
        path = self._path(name)
        with reading(path), pq.ParquetFile(path) as file:
            _must_be(file.schema_arrow, PLANS if name == PLANS_FILE else slots_schema(self.further), path)
            _must_have(file.metadata.num_rows, self.info["files"][name]["rows"], path)
            return file.read(columns)

    def check(self) -> None:
        """Hold every file to its checksum, and look for files that are none of this run's."""
        for name in self.info["files"]:
            self._path(name)
        for path in sorted((self.folder / REQUESTS_FILE).parent.glob("*.parquet")):
            if path.relative_to(self.folder).as_posix() not in self.info["files"]:
                raise RecordsError(f"{path}: is none of this run's files")

    def _path(self, name: str) -> Path:
        path = self.folder / name
        if name not in self.checked:
            seals.check(path, self.info["files"][name]["sha256"])
            self.checked.add(name)
        return path


def open_run(folder: str | Path) -> Records:
    """The records in `folder`. Raises `RecordsError` if there is no finished run, or not one of this format."""
    folder = Path(folder)
    if not folder.is_dir():
        raise RecordsError(f"{folder}: no such folder")
    info = validated(read_mark(folder, MARK, FORMAT, "a finished run"), RunInfo, folder / MARK)
    listed(info, (*TABLES, SUMMARY_FILE), folder / MARK)
    scenario, rows = info["scenario"], info["files"][SLOTS_FILE]["rows"]
    wanted = scenario["time"]["slots"] * len(scenario["regions"])
    if rows != wanted:
        raise RecordsError(f"{folder / MARK}: files.{SLOTS_FILE}.rows = {rows}, must be {wanted}: slots x regions")
    return Records(folder, info)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever Parquet has against `path` into a `RecordsError`."""
    try:
        yield
    except FileNotFoundError as error:
        raise RecordsError(f"{path}: missing") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise RecordsError(f"{path}: damaged, or not Parquet: {str(error).splitlines()[0]}") from error


def frame(path: Path) -> pd.DataFrame:
    """The table in a Parquet file of a study. Raises `RecordsError` if it is damaged."""
    with reading(path), pq.ParquetFile(path) as file:
        return pd.DataFrame(file.read().to_pandas())


def _must_be(found: Any, wanted: Any, path: Path) -> None:
    """Raise `RecordsError` unless the columns are those of the schema `wanted`."""
    for column in wanted:
        if column.name not in found.names:
            raise RecordsError(f"{path}: column '{column.name}' is missing")
        if found.field(column.name).type != column.type:
            raise RecordsError(f"{path}: {column.name} is {found.field(column.name).type}, must be {column.type}")
    for name in found.names:
        if name not in wanted.names:
            raise RecordsError(f"{path}: unknown column '{name}'{nearest(name, wanted.names)}")
    if len(found.names) != len(wanted.names):
        raise RecordsError(f"{path}: {len(found.names)} columns, must be {len(wanted.names)}, each once")


def _must_have(rows: int, wanted: int, path: Path) -> None:
    if rows != wanted:
        raise RecordsError(f"{path}: {rows} rows, must be {wanted}")
