"""Files of measured steps (CSV) as `Steps`: one row a step, one chunk in it at most.

    prefill_tokens,prefill_context,decode_requests,decode_context,step_s[,energy_j]

`prefill_tokens` of one prompt are computed behind `prefill_context` tokens of it computed before, together with one
token of each of `decode_requests` requests of `decode_context` tokens; 0 means none. `step_s` is the time of the step,
`energy_j` (if it was measured) its energy. Other columns are ignored. Nothing is mended: a row that breaks a rule is
named by its line and refused.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from glbdes.base import tables
from glbdes.base.reading import UnreadableError
from glbdes.errors import ProfileError, brief, nearest
from glbdes.hardware.measurements import Bools, Floats, Ints, Steps
from glbdes.scenario.sizes import LEAST, MOST, MOST_TOKENS

COUNTS: Final = ("prefill_tokens", "prefill_context", "decode_requests", "decode_context")
TIME, ENERGY = "step_s", "energy_j"
FIRST_LINE: Final = 2  # of the rows: line 1 is the header


def read_steps(path: Path) -> Steps:
    """The steps in the CSV file `path`.

    Raises `ProfileError`, with file, line, value and rule: no such file, not a table, a missing column, no rows, a
    value that is no number or out of range, a context of nothing, a step that computes nothing.
    """
    table = read_columns(path, (*COUNTS, TIME))
    tokens, before, batch, context = (counts(table[name], path) for name in COUNTS)
    energy_j = _positive(table[ENERGY], path) if ENERGY in table.columns else None
    refuse(table["prefill_context"], (tokens == 0) & (before > 0), "must be 0 without prefill_tokens", path)
    refuse(table["decode_context"], (batch == 0) & (context > 0), "must be 0 without decode_requests", path)
    refuse(table["decode_context"], (batch > 0) & (context == 0), "must be >= 1 with decode_requests", path)
    refuse(table["decode_requests"], (tokens == 0) & (batch == 0), "must be >= 1 without prefill_tokens", path)
    return Steps(tokens, before, batch, context, _positive(table[TIME], path), energy_j)


def read_columns(path: Path, names: Sequence[str]) -> pd.DataFrame:
    """A CSV file as text, blank lines included, so that row numbers are line numbers. Raises `ProfileError`."""
    try:
        table = tables.csv(path, dtype=str, keep_default_na=False, skip_blank_lines=False, index_col=False)
    except UnreadableError as error:
        raise ProfileError(f"{path}: {error}") from error
    for name in names:
        if name not in table.columns:
            raise ProfileError(f"{path}: no column '{name}'{nearest(name, table.columns)}")
    if table.empty:
        raise ProfileError(f"{path}: no rows, must have at least one below the header")
    return table


def counts(column: "pd.Series[str]", path: Path, least: int = 0) -> Ints:
    """Whole numbers from `least` on. Raises `ProfileError`."""
    numbers = tables.numbers(column).to_numpy(dtype=np.float64)
    bad = ~(np.isfinite(numbers) & (numbers >= least) & (numbers <= MOST_TOKENS) & (numbers == np.floor(numbers)))
    refuse(column, bad, f"must be a whole number from {least} to {MOST_TOKENS}", path)
    return numbers.astype(np.int64)


def refuse(column: "pd.Series[str]", bad: Bools, rule: str, path: Path) -> None:
    """Raise `ProfileError` for the first bad row, and say how many there are."""
    if bad.any():
        row, others = int(np.argmax(bad)), int(bad.sum()) - 1
        more = f" (and {others} more line{'s' if others > 1 else ''})" if others else ""
        value = brief(column.iloc[row])
        raise ProfileError(f"{path}, line {row + FIRST_LINE}: {column.name} = '{value}', {rule}{more}")


def _positive(column: "pd.Series[str]", path: Path) -> Floats:
    numbers = tables.numbers(column).to_numpy(dtype=np.float64)
    refuse(column, ~((numbers >= LEAST) & (numbers <= MOST)), f"must be a number from {LEAST:g} to {MOST:g}", path)
    return np.asarray(numbers)
