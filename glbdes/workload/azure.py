"""Request traces in the format of the Azure public dataset: one row a request, in the order of arrival.

    TIMESTAMP,ContextTokens,GeneratedTokens
    2023-11-16 18:15:46.6805900,374,44

Nothing is mended here: a row that breaks a rule is named by its line and refused.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glbdes.base import tables
from glbdes.base.reading import UnreadableError
from glbdes.errors import TraceError, brief, nearest
from glbdes.units import NS_PER_S

ARRIVAL, PROMPT, OUTPUT = "TIMESTAMP", "ContextTokens", "GeneratedTokens"
FIRST_LINE = 2  # of the rows: line 1 is the header
MAX_TOKENS = 2**31 - 1  # what the records can hold


class Trace(NamedTuple):
    """Requests in the order of arrival; arrays [n], n >= 1."""

    arrival_s: NDArray[np.float64]  # since the first request; non-decreasing; exact to the nanosecond up to 100 days
    prompt_tokens: NDArray[np.int64]  # >= 1
    output_tokens: NDArray[np.int64]  # >= 1


def read_azure(path: Path | str) -> Trace:
    """The request trace in a CSV file (plain or compressed), with columns TIMESTAMP, ContextTokens, GeneratedTokens.

    Timestamps are ISO 8601, with or without an offset (without: UTC); other columns are ignored.

    Raises `TraceError`, with file, line, value and rule: no such file, not a table, a missing column, no rows, a
    timestamp that does not parse or is before the one above it, tokens that are not whole numbers >= 1.
    """
    table = _table(Path(path))
    for column in (ARRIVAL, PROMPT, OUTPUT):
        if column not in table.columns:
            raise TraceError(f"{path}: no column '{column}'{nearest(column, table.columns)}")
    if table.empty:
        raise TraceError(f"{path}: no requests, must have at least one row below the header")
    return Trace(_arrival_s(table[ARRIVAL], path), _tokens(table[PROMPT], path), _tokens(table[OUTPUT], path))


def _table(path: Path) -> pd.DataFrame:
    """The file as text, blank lines included, so that row numbers are line numbers."""
    if not path.is_file():
        raise TraceError(f"{path}: no such file")
    try:
        return tables.csv(path, dtype=str, keep_default_na=False, skip_blank_lines=False, index_col=False)
    except UnreadableError as error:
        if path.stat().st_size == 0:
            raise TraceError(f"{path}: empty file, must be a CSV table with a header") from error
        raise TraceError(f"{path}: {error}") from error


def _arrival_s(column: "pd.Series[str]", path: Path | str) -> NDArray[np.float64]:
    times = tables.stamps(column)
    rule = f"must be a date and time in ISO 8601, from {tables.FIRST.year} to {tables.LAST.year - 1}"
    _refuse(column, times.isna().to_numpy(), rule, path)
    ns = times.to_numpy(dtype="datetime64[ns]").astype(np.int64)
    earlier = np.diff(ns, prepend=ns[0]) < 0
    if earlier.any():
        above = column.iloc[int(np.argmax(earlier)) - 1]
        _refuse(column, earlier, f"must not be before the line above it ({brief(above)}): sort the trace", path)
    return np.asarray((ns - ns[0]) / NS_PER_S, dtype=np.float64)


def _tokens(column: "pd.Series[str]", path: Path | str) -> NDArray[np.int64]:
    numbers = tables.numbers(column).to_numpy(dtype=np.float64)
    _refuse(column, ~np.isfinite(numbers), "must be a number of tokens", path)
    _refuse(column, numbers != np.floor(numbers), "must be a whole number of tokens", path)
    _refuse(column, numbers < 1, "must be >= 1 token", path)
    _refuse(column, numbers > MAX_TOKENS, f"must be <= {MAX_TOKENS} tokens", path)
    return numbers.astype(np.int64)


def _refuse(column: "pd.Series[str]", bad: NDArray[np.bool_], rule: str, path: Path | str) -> None:
    """Raise for the first bad row, and say how many there are."""
    if not bad.any():
        return
    row, others = int(np.argmax(bad)), int(bad.sum()) - 1
    more = f" (and {others} more line{'s' if others > 1 else ''})" if others else ""
    raise TraceError(f"{path}, line {row + FIRST_LINE}: {column.name} = '{brief(column.iloc[row])}', {rule}{more}")
