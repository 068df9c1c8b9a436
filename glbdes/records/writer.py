"""Records: what a run writes, and how it is read again.

    run.json           where the run came from: scenario, seed, versions, engine, wall time, invariants
    summary.json       the headline figures (`metrics.py`)
    requests/          one row a request, about in the order in which they ended; within a row group by id
    slots.parquet      one row a slot and region: load, queue, energy, footprints, signals, duals
    plans.parquet      one row a slot, gateway and region: the plan, and what was dispatched

The columns are in `columns.py`. This module owns files and formats; it computes no statistics.
"""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from numpy.typing import NDArray

from glbdes.base.folders import MARK, read_mark
from glbdes.errors import RecordsError
from glbdes.records.books import Books
from glbdes.records.columns import NAME, PLANS, REQUESTS, SLOTS, Names, plan_columns, request_columns, slot_columns
from glbdes.records.sketch import Sketch
from glbdes.world import SlotRecord, World

FORMAT: Final = 2  # of the run folder; a change of columns raises it
ROW_GROUP: Final = 1 << 18  # rows held back until they are written together
HELD: Final = 1 << 11  # slots held back, however few rows they have


class Writer:
    """A sink that writes records into `folder` as the run goes, and keeps its books. A context manager.

    `start_utc` and `slot_s` date the slots; `by_request` is False for an engine that hands no requests. Of the
    requests, a share of `keep` is written, chosen by id alone; the `sketch` takes note of all.
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
    ) -> None:
        self.world = world
        self.names = names
        self.keep = keep
        self.sketch = sketch
        self.start_utc = start_utc.replace(tzinfo=None)
        self.books = Books(world, names.regions, by_request=by_request)
        (folder / "requests").mkdir()
        self._requests = _Table(folder / "requests" / "part-0.parquet", REQUESTS)
        self._ended: list[NDArray[Any]] = []  # not written yet
        self._rows = 0
        self._thread = ThreadPoolExecutor(1)  # compression waits for no interpreter
        self._writing: Future[None] | None = None
        self._slots = _Table(folder / "slots.parquet", SLOTS)
        self._plans = _Table(folder / "plans.parquet", PLANS)

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._flush()
            self._written()
        finally:
            self._thread.shutdown()
            self._close()

    def _close(self) -> None:
        for table in (self._requests, self._slots, self._plans):
            table.close()

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
        self._requests.add(request_columns(rows, self.world, self.names))
        self._requests.flush()

    def slot(self, record: SlotRecord) -> None:
        """Write a slot that has ended, and its plan."""
        book = self.books.slot(record)
        start = self.start_utc + timedelta(seconds=record.slot * self.world.slot_s)
        self._slots.add(slot_columns(record, book, self.world, self.names, start, self.books.by_request))
        self._plans.add(plan_columns(record, self.names, self.world.classes))


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
        names = [field.name for field in schema if field.type == NAME]
        # Times and ids climb, so their differences are short; of floats, only the leading bytes repeat.
        encodings = {field.name: "DELTA_BINARY_PACKED" for field in schema if field.type in (pa.int64(), pa.int32())}
        for name in ("prompt_tokens", "output_tokens"):  # do not climb, and some are common
            if encodings.pop(name, None):
                names.append(name)
        encodings |= {field.name: "BYTE_STREAM_SPLIT" for field in schema if field.type == pa.float64()}
        if encodings.pop("request_weight", None):
            names.append("request_weight")  # one value throughout
        self.writer = pq.ParquetWriter(
            path, schema, compression="zstd", use_dictionary=names, column_encoding=encodings
        )

    def add(self, columns: Mapping[str, Any]) -> None:
        """Add rows, arrays by column. Views are copied: what they look at may be another slot's by the time of writing."""
        self.held.append({name: _own(column) for name, column in columns.items()})
        self.rows += len(next(iter(columns.values())))
        if self.rows >= ROW_GROUP or len(self.held) >= HELD:
            self.flush()

    def flush(self) -> None:
        if self.rows:
            arrays = [_joined([one[field.name] for one in self.held]).cast(field.type) for field in self.schema]
            self.writer.write_table(pa.Table.from_arrays(arrays, schema=self.schema), row_group_size=ROW_GROUP)
        self.written += self.rows
        self.held, self.rows = [], 0

    def close(self) -> None:
        self.flush()
        self.writer.close()


def _own(column: Any) -> Any:
    return column.copy() if isinstance(column, np.ndarray) and column.base is not None else column


def _joined(parts: list[Any]) -> Any:
    """Arrays of one column below one another, converted once: a small array costs as much as a large one."""
    if all(isinstance(part, np.ndarray) for part in parts):
        return pa.array(np.concatenate(parts))
    return pa.concat_arrays([part if isinstance(part, pa.Array) else pa.array(part) for part in parts])


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write `value` as strict JSON: a number that is none is an error, not a `NaN` that other readers refuse."""
    path.write_text(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Records:
    """A finished run's records, read when asked for. Whatever is damaged raises `RecordsError`."""

    folder: Path
    info: dict[str, Any]  # run.json

    @cached_property
    def requests(self) -> ds.Dataset:
        """All requests, not read yet."""
        folder = self.folder / "requests"
        with reading(folder):
            dataset = ds.dataset(folder, format="parquet")
        _must_have(dataset.schema, REQUESTS, folder)
        return dataset

    @cached_property
    def slots(self) -> pa.Table:
        return self._table("slots.parquet", SLOTS)

    @cached_property
    def plans(self) -> pa.Table:
        return self._table("plans.parquet", PLANS)

    def _table(self, name: str, schema: Any) -> Any:
        path = self.folder / name
        with reading(path):
            table = pq.read_table(path)
        _must_have(table.schema, schema, path)
        return table


def open_run(folder: str | Path) -> Records:
    """The records in `folder`. Raises `RecordsError` if there is no finished run, or not one of this format."""
    folder = Path(folder)
    if not folder.is_dir():
        raise RecordsError(f"{folder}: no such folder")
    return Records(folder, read_mark(folder, MARK, FORMAT, "a finished run"))


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever Parquet has against `path` into a `RecordsError`."""
    try:
        yield
    except FileNotFoundError as error:
        raise RecordsError(f"{path}: missing") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise RecordsError(f"{path}: damaged, or not Parquet: {str(error).splitlines()[0]}") from error


def _must_have(found: Any, wanted: Any, path: Path) -> None:
    for field in wanted:
        if field.name not in found.names:
            raise RecordsError(f"{path}: column '{field.name}' is missing")
        if found.field(field.name).type != field.type:
            raise RecordsError(f"{path}: {field.name} is {found.field(field.name).type}, must be {field.type}")
