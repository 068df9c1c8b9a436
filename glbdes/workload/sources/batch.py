"""What every source of requests hands over: its rows, some at a time, as they are written."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.csv as pacsv

from glbdes.base.reading import UnreadableError, regular
from glbdes.errors import TraceError, brief, nearest
from glbdes.workload.cells import FIRST_LINE, Column

BLOCK_BYTES = 1 << 20  # of a CSV file that are parsed at a time; Arrow reads some tens of them ahead


class Batch(NamedTuple):
    """Consecutive rows of a source, columns of the same length."""

    time: Column
    prompt: Column
    output: Column
    session: Column | None = None
    prefix_blocks: pa.Array | None = None  # a list of numbers a row: of blocks from the prompt's beginning on


class Source(NamedTuple):
    """A public format of request traces."""

    name: str
    batches: Callable[[Path], Iterator[Batch]]
    clock: str  # "ISO 8601", or the unit of its times
    licence: str  # of the public files in this format


class CsvColumns(NamedTuple):
    """The header names of a CSV format. Others may be there and are not used."""

    time: str
    prompt: str
    output: str
    session: str | None = None
    ones: tuple[str, ...] = ()  # columns that must be 1 in each row
    also: tuple[str, ...] = ()  # that must be there, as signs of the format


def csv_batches(path: Path, columns: CsvColumns) -> Iterator[Batch]:
    """The rows of a CSV file, plain or compressed. Raises `TraceError`: no such table, a column that is not there."""
    row = FIRST_LINE
    for part in _parts(path):
        named = {name: part.column(name) for name in part.schema.names}
        wanted = (columns.time, columns.prompt, columns.output, *columns.ones, *columns.also)
        if columns.session is not None and columns.session in named:  # older files of a format do without
            wanted += (columns.session,)
        for name in wanted:
            if name not in named:
                raise TraceError(f"{path}: no column '{name}'{nearest(name, named)}")
        cells = {name: Column(name, named[name], path, row) for name in wanted}
        for name in columns.ones:
            other = part.column(name).to_numpy(zero_copy_only=False).astype(str) != "1"
            cells[name].refuse(other, "must be 1: a row is a request")
        session = cells.get(columns.session) if columns.session else None
        yield Batch(cells[columns.time], cells[columns.prompt], cells[columns.output], session)
        row += len(part)


def _parts(path: Path) -> Iterator[pa.RecordBatch]:
    """Batches of a CSV file, all cells as text, empty ones as empty text."""
    if not path.is_file():
        raise TraceError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise TraceError(f"{path}: empty file, must be a CSV table with a header")
    try:
        regular(path)
        read = pacsv.ReadOptions(block_size=BLOCK_BYTES, use_threads=False)
        parse = pacsv.ParseOptions(ignore_empty_lines=False)
        with pacsv.open_csv(path, read_options=read, parse_options=parse) as head:
            names = head.schema.names
        if len(set(names)) < len(names):
            raise UnreadableError("has two columns of the same name")
        convert = pacsv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)
        with pacsv.open_csv(path, read_options=read, parse_options=parse, convert_options=convert) as table:
            yield from table
    except (UnreadableError, pa.ArrowException, OSError, ValueError) as error:
        told = error if isinstance(error, UnreadableError) else f"cannot be read as a CSV table ({brief(error)})"
        raise TraceError(f"{path}: {told}") from error
