"""Load traces: how much work there is over time, in a table with the column `load`, or one for each gateway.

It may have a column `time_utc`, too. Where the table has columns with the names of gateways, these have their own load.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glbdes.base import portable, tables
from glbdes.base.reading import UnreadableError
from glbdes.errors import TraceError, brief, nearest
from glbdes.scenario.sizes import MOST

FIRST_LINE = 2  # of the rows: line 1 is the header


def read_load(
    path: Path, start_utc: datetime, slot_s: float, slots: int, gateways: Sequence[str] = ()
) -> NDArray[np.float64]:
    """The mean load of each slot, float[s] >= 0, from a CSV or Parquet file; float[s, g] if it names `gateways`.

    A gateway without a column of its own has the column `load`.

    With a column `time_utc` (evenly spaced) a row holds from its time to the next one's, and a slot gets its mean over
    the slot's time; without one, row i is slot i.

    Raises `TraceError`: a file that is missing or no table, no column `load` nor one for each gateway, loads that are
    not finite numbers >= 0, times that are not evenly spaced and increasing, or too few rows for the horizon.
    """
    table = _table(path)
    own = [name for name in gateways if name in table.columns]
    rest = [name for name in gateways if name not in own]
    if (rest or not own) and "load" not in table.columns:
        told = f"; of the gateways {brief(', '.join(rest))} have none of their own" if own else ""
        raise TraceError(f"{path}: no column 'load'{told}{nearest('load', map(str, table.columns))}")
    names = dict.fromkeys(name if name in own else "load" for name in gateways) if own else {"load": None}
    start_s = _seconds(table["time_utc"], start_utc, path) if "time_utc" in table.columns else None
    found = {}
    for name in names:
        load = numbers(table[name], path)
        if start_s is not None:
            found[name] = over_slots(load, start_s, slot_s, slots, path)
        elif len(load) < slots:
            raise TraceError(f"{path}: {len(load)} rows of load, must have one for each of time.slots = {slots} slots")
        else:
            found[name] = load[:slots]
    return np.column_stack([found[name if name in own else "load"] for name in gateways]) if own else found["load"]


def numbers(column: "pd.Series[str]", path: Path, first: int = FIRST_LINE) -> NDArray[np.float64]:
    """A column of loads, float[row], the first of them in line `first`. Raises `TraceError` where there is none."""
    load = np.asarray(tables.numbers(column), dtype=np.float64)
    bad = ~((load >= 0) & (load <= MOST))
    if bad.any():
        row = int(np.argmax(bad))
        told = f"{brief(column.name)} = '{brief(column.iloc[row])}', must be a number >= 0 and <= {MOST:g}"
        raise TraceError(f"{path}, line {row + first}: {told}")
    return load


def _table(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise TraceError(f"{path}: no such file")
    try:
        table = tables.parquet(path) if path.suffix == ".parquet" else tables.csv(path, skip_blank_lines=False)
    except UnreadableError as error:
        raise TraceError(f"{path}: {error}") from error
    if table.empty:
        raise TraceError(f"{path}: no rows of load, must have at least one")
    return table


def _seconds(column: "pd.Series[str]", start_utc: datetime, path: Path) -> NDArray[np.float64]:
    """Seconds from the start of the horizon to each row."""
    times = tables.stamps(column)
    if times.isna().any():
        row = int(np.argmax(times.isna().to_numpy()))
        rule = f"must be a date and time from {tables.FIRST.year} to {tables.LAST.year - 1}"
        raise TraceError(f"{path}, line {row + FIRST_LINE}: time_utc = '{brief(column.iloc[row])}', {rule}")
    seconds = (times - pd.Timestamp(start_utc, tz="UTC")).dt.total_seconds().to_numpy(dtype=np.float64)
    steps = np.diff(seconds)
    bad = (steps <= 0) | (steps != steps[:1])
    if bad.any():
        row = int(np.argmax(bad)) + 1
        rule = f"{steps[row - 1]:g} s after the line above, must be {steps[0]:g} s as at the start, and increasing"
        raise TraceError(f"{path}, line {row + FIRST_LINE}: time_utc = '{column.iloc[row]}', {rule}")
    return np.asarray(seconds, dtype=np.float64)


def over_slots(
    load: NDArray[np.float64], start_s: NDArray[np.float64], slot_s: float, slots: int, path: Path
) -> NDArray[np.float64]:
    """The mean over each slot, float[s]: differences of the integral of the load at the slots' bounds.

    Row i of `load` holds from `start_s`[i] on, in seconds after the start of the horizon. Raises `TraceError`, naming
    `path`, if the rows do not cover the horizon.
    """
    step_s = start_s[1] - start_s[0] if len(start_s) > 1 else slot_s
    bounds = (np.arange(slots + 1) * slot_s - start_s[0]) / step_s
    if bounds[0] < 0 or bounds[-1] > len(load):
        covered = f"{len(load)} rows of {step_s:g} s from {start_s[0]:g} s after time.start_utc"
        raise TraceError(f"{path}: {covered}, must cover the {slots} slots of {slot_s:g} s from time.start_utc on")
    if step_s == slot_s and bounds[0].is_integer():
        return load[int(bounds[0]) : int(bounds[-1])]  # to the last bit: a peak of exactly 1 stays feasible
    integral = np.concatenate([[0.0], np.cumsum(load)])
    mean = np.diff(portable.interp(bounds, np.arange(len(integral)), integral)) * (step_s / slot_s)
    return np.asarray(np.maximum(mean, 0.0), dtype=np.float64)  # the difference of equal sums may round below 0
