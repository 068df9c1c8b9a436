"""Cells of request traces: times and numbers of tokens, each refused by its place, its value and the rule it breaks."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from glbdes.base import tables
from glbdes.errors import TraceError, brief

MAX_TOKENS = 2**31 - 1  # what the records can hold
FIRST_LINE = 2  # of the rows of a CSV file: line 1 is the header

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Column(NamedTuple):
    """Cells of one column, as they are written, and where they stand."""

    name: str
    cells: Any  # a pandas Series or an Arrow array
    path: Path | str
    first: int = FIRST_LINE  # number of the first cell's line (or row)
    noun: str = "line"

    def written(self, row: int) -> str:
        """What stands in cell `row`, briefly."""
        cell = self.cells[row].as_py() if isinstance(self.cells, pa.Array) else self.cells.iloc[row]
        return brief("" if cell is None else cell)

    def place(self, row: int) -> str:
        """The file and the line of cell `row`."""
        return f"{self.path}, {self.noun} {row + self.first}"

    def refuse(self, bad: NDArray[np.bool_], rule: str) -> None:
        """Raise `TraceError` for the first bad cell, and say how many there are."""
        if not bad.any():
            return
        row, others = int(np.argmax(bad)), int(bad.sum()) - 1
        more = f" (and {others} more {self.noun}{'s' if others > 1 else ''})" if others else ""
        raise TraceError(f"{self.place(row)}: {self.name} = '{self.written(row)}', {rule}{more}")

    def series(self) -> "pd.Series[Any]":
        """The cells as a pandas Series."""
        return pd.Series(self.cells.to_pandas() if isinstance(self.cells, pa.Array) else self.cells)


def numbers(column: Column, rule: str) -> Floats:
    """Finite numbers, float[n]."""
    try:
        values = column.cells.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except (AttributeError, pa.ArrowInvalid):  # no Arrow array, or not all of them are plain numbers
        values = tables.numbers(column.series()).to_numpy(dtype=np.float64)
    column.refuse(~np.isfinite(values), rule)
    return np.asarray(values, dtype=np.float64)


def tokens(column: Column, least: int = 1) -> Ints:
    """Whole numbers of tokens, int[n], >= `least`."""
    values = numbers(column, "must be a number of tokens")
    column.refuse(values != np.floor(values), "must be a whole number of tokens")
    column.refuse(values < least, f"must be >= {least} token{'s' * (least != 1)}")
    column.refuse(values > MAX_TOKENS, f"must be <= {MAX_TOKENS} tokens")
    return values.astype(np.int64)


def stamps_ns(column: Column) -> Ints:
    """Times in ISO 8601 as nanoseconds of the Unix clock, int[n]; without an offset they are UTC."""
    times = tables.stamps(column.series())
    rule = f"must be a date and time in ISO 8601, from {tables.FIRST.year} to {tables.LAST.year - 1}"
    column.refuse(times.isna().to_numpy(), rule)
    return np.asarray(times.to_numpy(dtype="datetime64[ns]").astype(np.int64), dtype=np.int64)


def in_order(column: Column, times: NDArray[Any], before: float | None, remedy: str) -> None:
    """Refuse a time that is before the one above it; `before` is the one above the first."""
    above = times[:1] if before is None else np.asarray([before], dtype=times.dtype)
    earlier = np.diff(times, prepend=above) < 0
    if earlier.any():
        row = int(np.argmax(earlier))
        told = f" ({column.written(row - 1)})" if row else ""
        column.refuse(earlier, f"must not be before the {column.noun} above it{told}: {remedy}")
