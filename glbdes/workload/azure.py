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
from glbdes.errors import TraceError, nearest
from glbdes.units import NS_PER_S
from glbdes.workload.cells import Column, in_order, stamps_ns, tokens

ARRIVAL, PROMPT, OUTPUT = "TIMESTAMP", "ContextTokens", "GeneratedTokens"


class Names(NamedTuple):
    """A name for each request."""

    names: tuple[str, ...]
    which: NDArray[np.int64]  # [n] into `names`


class Blocks(NamedTuple):
    """Names of the parts of prompts, from their beginnings on: the same ones in a row stand for the same tokens."""

    ids: NDArray[np.int64]  # of all prompts, in a row
    lengths: NDArray[np.int64]  # [n] how many each prompt has


class Trace(NamedTuple):
    """Requests in the order of arrival; arrays [n], n >= 1."""

    arrival_s: NDArray[np.float64]  # since the first request; non-decreasing; exact to the nanosecond up to 100 days
    prompt_tokens: NDArray[np.int64]  # >= 1
    output_tokens: NDArray[np.int64]  # >= 1
    gateway: Names | None = None  # where they enter; Azure's traces do not say
    slo: Names | None = None  # their classes
    session: NDArray[np.int64] | None = None  # numbered from 0; -1: none
    blocks: Blocks | None = None  # what they begin with


def read_azure(path: Path | str) -> Trace:
    """The request trace in a CSV file (plain or compressed), with columns TIMESTAMP, ContextTokens, GeneratedTokens.

    Timestamps are ISO 8601, with or without an offset (without: UTC); other columns are ignored.

    Raises `TraceError`, with file, line, value and rule: no such file, not a table, a missing column, no rows, a
    timestamp that does not parse or is before the one above it, tokens that are not whole numbers >= 1.
    """
    return of_table(table(Path(path)), path)


def of_table(cells: pd.DataFrame, path: Path | str) -> Trace:
    """The request trace in a table of text. Raises as `read_azure`."""
    arrival, prompt, output = columns(cells, (ARRIVAL, PROMPT, OUTPUT), path)
    ns = stamps_ns(arrival)
    in_order(arrival, ns, None, "sort the trace")
    return Trace(np.asarray((ns - ns[0]) / NS_PER_S, dtype=np.float64), tokens(prompt), tokens(output))


def columns(cells: pd.DataFrame, names: tuple[str, ...], path: Path | str) -> list[Column]:
    """The columns `names` of a table with at least one row. Raises `TraceError`."""
    for name in names:
        if name not in cells.columns:
            raise TraceError(f"{path}: no column '{name}'{nearest(name, map(str, cells.columns))}")
    if cells.empty:
        raise TraceError(f"{path}: no requests, must have at least one row below the header")
    return [Column(name, cells[name], path) for name in names]


def table(path: Path) -> pd.DataFrame:
    """The file as text, blank lines included, so that row numbers are line numbers."""
    if not path.is_file():
        raise TraceError(f"{path}: no such file")
    try:
        return tables.csv(path, dtype=str, keep_default_na=False, skip_blank_lines=False, index_col=False)
    except UnreadableError as error:
        if path.stat().st_size == 0:
            raise TraceError(f"{path}: empty file, must be a CSV table with a header") from error
        raise TraceError(f"{path}: {error}") from error
