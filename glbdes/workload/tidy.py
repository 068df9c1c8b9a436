"""The tidy table of requests: what importers write and what a replay reads, one row a request in the order of arrival.

| column | unit | |
|---|---|---|
| time_s | s since the first request | non-decreasing |
| prompt_tokens, output_tokens | tokens | >= 1 |
| session | name of a conversation | where known |
| prefix_blocks | numbers of the prompt's blocks, from its beginning on | where known |
| gateway, slo | names of the scenario | in tables of users; no public trace knows them |

A replay uses all of them.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from glbdes.base import tables
from glbdes.base.files import whole
from glbdes.base.reading import UnreadableError
from glbdes.base.seals import checksum
from glbdes.errors import TraceError
from glbdes.units import MS_PER_S, NS_PER_S
from glbdes.workload import azure
from glbdes.workload.azure import Blocks, Names, Trace
from glbdes.workload.cells import Column, in_order, numbers, stamps_ns, tokens
from glbdes.workload.sources.batch import Batch, Source
from glbdes.workload.sources.mooncake import BLOCK_TOKENS

TIME, PROMPT, OUTPUT = "time_s", "prompt_tokens", "output_tokens"
PER_S = {"ISO 8601": NS_PER_S, "s": 1, "ms": MS_PER_S}  # units of a source's clock in a second
NAMED = ("gateway", "slo")  # of a scenario
SESSION, BLOCKS = "session", "prefix_blocks"
SORT, DROP = "--sort sorts the table in memory", "--drop-empty leaves such requests out, and counts them"


class Imported(NamedTuple):
    """What an import wrote and what it left out."""

    requests: int
    left_out: int  # of no prompt or no answer
    out_of_order: int  # rows that were before the one above them, and were sorted
    span_s: float
    mean_prompt_tokens: float
    mean_output_tokens: float
    columns: tuple[str, ...]


def read_requests(path: Path | str) -> Trace:
    """The trace in a file: a tidy table (Parquet, or CSV with a column `time_s`), or a CSV in Azure's format.

    Raises `TraceError`, with file, line, value and rule, as `azure.read_azure` does.
    """
    path = Path(path)
    if path.suffix == ".parquet":
        if not path.is_file():
            raise TraceError(f"{path}: no such file")
        try:
            cells, noun, first = tables.parquet(path, (TIME, PROMPT, OUTPUT, *NAMED, SESSION, BLOCKS)), "row", 1
        except UnreadableError as error:
            raise TraceError(f"{path}: {error}") from error
    else:
        cells, noun, first = azure.table(path), "line", 2
        if TIME not in cells.columns:
            return azure.of_table(cells, path)
    named = tuple(name for name in NAMED if name in cells.columns)
    time, prompt, output, *others = (
        column._replace(noun=noun, first=first) for column in azure.columns(cells, (TIME, PROMPT, OUTPUT, *named), path)
    )
    seconds = numbers(time, "must be a number of seconds")
    in_order(time, seconds, None, "sort the table")
    names = {column.name: _names(column) for column in others}
    session = _sessions(cells[SESSION]) if SESSION in cells.columns else None
    blocks = _blocks(Column(BLOCKS, cells[BLOCKS], path, first, noun)) if BLOCKS in cells.columns else None
    return Trace(seconds - seconds[0], tokens(prompt), tokens(output), **names, session=session, blocks=blocks)


def _sessions(cells: "pd.Series[Any]") -> NDArray[np.int64]:
    """[n] sessions, numbered by their names; -1 where there is none."""
    text = cells.astype(object).where(cells.notna(), None)
    index, _ = pd.factorize(text.map(lambda name: None if name is None or str(name) == "" else str(name)))
    return np.asarray(index, dtype=np.int64)


def _blocks(column: Column) -> Blocks:
    """The names of the parts of prompts. Raises `TraceError` for what is no list of whole numbers."""
    cells = column.cells.tolist()
    bad = np.array([not isinstance(cell, np.ndarray) or cell.dtype.kind not in "iu" for cell in cells], dtype=np.bool_)
    column.refuse(bad, "must be a list of whole numbers")
    lengths = np.array([len(cell) for cell in cells], dtype=np.int64)
    return Blocks(np.concatenate(cells).astype(np.int64), lengths)


def _names(column: Column) -> Names:
    cells = column.series()
    column.refuse((cells.isna() | (cells.astype(str) == "")).to_numpy(dtype=np.bool_), "must be a name in every row")
    index, names = pd.factorize(cells.astype(str))
    return Names(tuple(map(str, names)), np.asarray(index, dtype=np.int64))


def import_requests(path: Path, source: Source, out: Path, *, sort: bool = False, drop_empty: bool = False) -> Imported:
    """Write the requests of `path` to `out` (.parquet) as a tidy table, and where they are from to `out`.json.

    Holds some tens of megabytes at a time, unless `sort`. `drop_empty` leaves out requests of no prompt or no answer.
    Raises `TraceError` with file, line, value, rule and remedy, and then writes nothing.
    """
    if out.suffix != ".parquet":
        raise TraceError(f"{out}: is '{out.suffix}', must be .parquet")
    sums = _Sums()
    parts = _parts(source.batches(path), source.clock, sums, sort, drop_empty)
    with whole(out.with_name(f"{out.name}.json")) as beside, whole(out) as half:
        first, writer = None, None
        for times, table in _sorted(parts) if sort else parts:
            first = times[0] if first is None else first
            seconds = np.asarray((times - first) / PER_S[source.clock], dtype=np.float64)
            table = table.add_column(0, TIME, pa.array(seconds))
            writer = writer or pq.ParquetWriter(half, table.schema, compression="zstd")
            writer.write_table(table)
            sums.add(seconds, table)
        if writer is None:
            raise TraceError(f"{path}: no requests" + f" but {sums.left_out} empty ones" * (sums.left_out > 0))
        writer.close()
        beside.write_text(json.dumps(_origin(path, source, sums.found()), indent=1) + "\n", encoding="utf-8")
    return sums.found()


class _Sums:
    """What is counted on the way."""

    def __init__(self) -> None:
        self.requests = self.left_out = self.out_of_order = self.prompt = self.output = 0
        self.last_s = 0.0
        self.columns: list[str] = []

    def add(self, seconds: NDArray[np.float64], table: pa.Table) -> None:
        self.requests += table.num_rows
        self.prompt += int(table.column(PROMPT).to_numpy().sum(dtype=np.int64))
        self.output += int(table.column(OUTPUT).to_numpy().sum(dtype=np.int64))
        self.last_s = float(seconds[-1])
        self.columns = table.column_names

    def found(self) -> Imported:
        means = self.prompt / self.requests, self.output / self.requests
        return Imported(self.requests, self.left_out, self.out_of_order, self.last_s, *means, tuple(self.columns))


def _parts(
    batches: Iterator[Batch], clock: str, sums: _Sums, sort: bool, drop_empty: bool
) -> Iterator[tuple[NDArray[Any], pa.Table]]:
    """(times as the source counts them, the other columns) of each batch that has requests, checked."""
    above: float | None = None
    for batch in batches:
        times = stamps_ns(batch.time) if clock == "ISO 8601" else numbers(batch.time, f"must be a number of {clock}")
        if not len(times):
            continue
        if not sort:
            in_order(batch.time, times, above, SORT)
        sums.out_of_order += int((np.diff(times, prepend=times[:1] if above is None else above) < 0).sum())
        above = times[-1]
        prompt, output = tokens(batch.prompt, 0), tokens(batch.output, 0)
        if not drop_empty:
            batch.prompt.refuse(prompt < 1, f"must be >= 1 token; {DROP}")
            batch.output.refuse(output < 1, f"must be >= 1 token; {DROP}")
        columns: dict[str, Any] = {PROMPT: prompt.astype(np.int32), OUTPUT: output.astype(np.int32)}
        if batch.session is not None:
            named = batch.session.cells
            columns["session"] = pc.if_else(pc.equal(named, ""), None, named)
        if batch.prefix_blocks is not None:
            columns["prefix_blocks"] = batch.prefix_blocks
        kept = (prompt > 0) & (output > 0)
        sums.left_out += int((~kept).sum())
        if kept.any():
            yield times[kept], pa.table(columns).filter(pa.array(kept))


def _sorted(parts: Iterator[tuple[NDArray[Any], pa.Table]]) -> Iterator[tuple[NDArray[Any], pa.Table]]:
    """All parts as one, in the order of time; equal times stay as they were."""
    held = list(parts)
    if held:
        times = np.concatenate([part[0] for part in held])
        order = np.argsort(times, kind="stable")
        yield times[order], pa.concat_tables([part[1] for part in held]).take(pa.array(order))


def _origin(path: Path, source: Source, found: Imported) -> dict[str, Any]:
    """What the file beside the table says."""
    blocks = {"prefix_block_tokens": BLOCK_TOKENS} if "prefix_blocks" in found.columns else {}
    return {"format": source.name, "file": path.name, "sha256": checksum(path), "licence": source.licence} | {
        "clock": f"{source.clock}; time_s counts from the first request",
        **found._asdict(),
        **blocks,
    }
