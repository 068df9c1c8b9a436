"""Public load curves: request rates over time become a table of loads, a column a gateway, each on its own clock.

| format | times | rates |
|---|---|---|
| servegen | `t_s`, s since midnight on the clock of Alibaba's users (UTC+8) | `requests_per_s` |
| servegen, `chunk-N-trace.csv` of clients | first cell of a row (there is no header) | second cell, added up |
| csv | `time_utc` (ISO 8601), `time` (the same without an offset, on `clock_h`) or `t_s` | any other column |

A curve is what happens at each hour of its own clock. Shifted to local time, a gateway sees at its own hour what the
curve's users did at theirs; unshifted, it sees it at the same moment.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glbdes.base import tables, zones
from glbdes.base.files import put
from glbdes.base.reading import UnreadableError
from glbdes.base.seals import checksum
from glbdes.errors import TraceError, brief, nearest
from glbdes.signals import synthetic
from glbdes.signals.loads import FIRST_LINE, numbers
from glbdes.units import H_PER_DAY, S_PER_H

Floats = NDArray[np.float64]
Clock = float | str  # hours ahead of UTC, or the name of a time zone

SERVEGEN_CLOCK_H: Final = 8.0
SERVEGEN: Final = ("t_s", "requests_per_s")
STAMPS: Final = ("time_utc", "time", "t_s")
OFFSET: Final = r":\d\d(?:\.\d+)?(?:Z|[+-]\d\d(?::?\d\d)?)$"
MOST_ROWS: Final = 1_000_000
MOST_AHEAD_H: Final = 14
LICENCES: Final = {"servegen": "Apache-2.0, alibaba/ServeGen", "csv": "the user's own"}


class Curve(NamedTuple):
    """Rates in windows of equal length; its clock is `clock_h` hours ahead of UTC."""

    rates: dict[str, Floats]  # of each column, float[window] >= 0
    start_utc: datetime
    step_s: float
    clock_h: float


class Shaped(NamedTuple):
    """Loads on a common clock."""

    table: pd.DataFrame  # time_utc and a column a gateway, or `load`
    divisors: dict[str, float]  # what each column's curve was divided by
    windows: int  # of the curve
    repeated: int  # rows for which some gateway's curve had begun again


def read_servegen(paths: Sequence[Path], start: datetime | None, clock_h: float | None) -> Curve:
    """The rate of one file, or of several clients added up; the first window begins at `start` + its own seconds.

    Raises `TraceError`.
    """
    total: pd.Series | None = None
    for path in paths:
        seconds, rates = _servegen(path)
        if len(set(seconds.tolist())) < len(seconds):
            raise TraceError(f"{path}: a window is there twice, must be once")
        one = pd.Series(rates, index=seconds)
        total = one if total is None else total.add(one, fill_value=0.0)
    if total is None or total.empty:
        raise TraceError("no file of rates, must be at least one")
    clock_h = SERVEGEN_CLOCK_H if clock_h is None else clock_h
    begin = _needed(start, paths[0]) - timedelta(hours=clock_h)
    seconds = total.index.to_numpy(dtype=np.float64)
    step_s = _step_s(seconds, paths[0], "t_s")
    return Curve({"load": total.to_numpy(dtype=np.float64)}, begin + timedelta(seconds=seconds[0]), step_s, clock_h)


def read_csv(path: Path, column: str | None, start: datetime | None, clock_h: float | None) -> Curve:
    """The rates in the columns of a CSV or Parquet table, or in `column` alone. Raises `TraceError`."""
    table = _table(path)
    stamp = next((name for name in STAMPS if name in table.columns), None)
    if stamp is None:
        raise TraceError(f"{path}: no column of times, must have one of {', '.join(STAMPS)}")
    names = [str(name) for name in table.columns if name != stamp] if column is None else [column]
    for name in names:
        if name not in table.columns:
            raise TraceError(f"{path}: no column '{brief(name)}'{nearest(name, map(str, table.columns))}")
    if not names:
        raise TraceError(f"{path}: no column of rates besides '{stamp}'")
    if stamp == "time" and clock_h is None:
        raise TraceError(f"{path}: column 'time' is on some clock; say which, --clock +8, or call the column time_utc")
    clock_h = clock_h or 0.0
    if stamp == "t_s":
        seconds = numbers(table[stamp], path)
        begin = _needed(start, path)
    else:
        begin, seconds = _stamps(table[stamp], path, local=stamp == "time")
    if stamp != "time_utc":
        begin -= timedelta(hours=clock_h)
    step_s = _step_s(seconds, path, stamp)
    return Curve(
        {name: numbers(table[name], path) for name in names}, begin + timedelta(seconds=seconds[0]), step_s, clock_h
    )


def shape(
    curve: Curve,
    gateways: Mapping[str, Clock],
    *,
    to_local: bool = False,
    scale: Literal["peak", "mean", "none"] = "peak",
    repeat: bool = False,
    rows: int | None = None,
) -> Shaped:
    """The curve as loads of `gateways` (or one column `load`, if there are none), each column over its peak or mean.

    load[g](t) = curve(t + clock of g - clock of the curve) if `to_local`, else curve(t). A row that begins within a
    window gets the mean of the two that it overlaps. Without `repeat` only rows that lie within the curve for every
    gateway are kept; with it the curve begins again at its end, for `rows` rows.

    Raises `TraceError`: a gateway for which there is no column, a curve that does not last whole days and shall begin
    again, or one so short that no row is left.
    """
    windows = len(next(iter(curve.rates.values())))
    if repeat and (windows * curve.step_s) % (H_PER_DAY * S_PER_H):
        lasts = f"lasts {windows * curve.step_s / S_PER_H:g} h"
        raise TraceError(f"the curve {lasts}, must last whole days to begin again at its end; leave out --repeat")
    if not 1 <= (rows or 1) <= MOST_ROWS:
        raise TraceError(f"{rows} rows, must be >= 1 and <= {MOST_ROWS:,}")
    margin = 0 if repeat or not to_local else int(2 * H_PER_DAY * S_PER_H / curve.step_s) + 1
    row = np.arange(-margin, (windows if rows is None or not repeat else rows) + margin)
    places = {
        name: row + _ahead_h(clock, curve, row) * (S_PER_H / curve.step_s) if to_local else row.astype(np.float64)
        for name, clock in (gateways or {"load": curve.clock_h}).items()
    }
    whole = np.all([(place >= 0) & (np.ceil(place) <= windows - 1) for place in places.values()], axis=0)
    kept = np.ones(len(row), dtype=np.bool_) if repeat else whole
    if not kept.any():
        raise TraceError(f"the curve has {windows} windows, too few for all gateways' clocks; --repeat begins it again")
    low, high = int(np.argmax(kept)), len(kept) - int(np.argmax(kept[::-1]))
    columns, divisors = {}, {}
    for name, place in places.items():
        rates = _rates(curve, name)
        divisors[name] = {"peak": float(rates.max()), "mean": float(rates.mean()), "none": 1.0}[scale]
        if divisors[name] <= 0:
            raise TraceError(f"the curve of '{name}' is 0 all the time, so it has no {scale}; --scale none keeps it")
        columns[name] = _at(rates, place[low:high]) / divisors[name]
    times = pd.Timestamp(curve.start_utc) + pd.to_timedelta(row[low:high] * curve.step_s, unit="s")
    table = pd.DataFrame({"time_utc": times, **columns})
    return Shaped(table if rows is None else table[:rows], divisors, windows, int((kept & ~whole).sum()))


def write(shaped: Shaped, out: Path, files: Sequence[Path], about: Mapping[str, Any]) -> None:
    """The table to `out` (.csv or .parquet), and to `out`.json what it was made of: `about`, each file's SHA-256."""
    digests = {path.name: checksum(path) for path in files}
    times = shaped.table["time_utc"]
    to_the_minute = out.suffix != ".csv" or bool((times == times.dt.floor("min")).all())
    table = shaped.table if to_the_minute else shaped.table.assign(time_utc=[one.isoformat() for one in times])
    synthetic.write(table, out)
    facts = {**about, "sha256": digests, "divided_by": shaped.divisors, "windows_of_the_curve": shaped.windows}
    facts |= {"rows": len(shaped.table), "rows_from_a_curve_begun_again": shaped.repeated}
    put(out.with_name(f"{out.name}.json"), json.dumps(facts, indent=1) + "\n")


def _rates(curve: Curve, gateway: str) -> Floats:
    """The gateway's own column, or the only one that there is."""
    if gateway in curve.rates:
        return curve.rates[gateway]
    if len(curve.rates) == 1:
        return next(iter(curve.rates.values()))
    known = ", ".join(curve.rates)
    raise TraceError(f"no column for gateway '{gateway}' (there are {brief(known)}); --column takes one for all")


def _ahead_h(clock: Clock, curve: Curve, row: NDArray[np.int64]) -> Floats:
    """[row] hours that a gateway's clock is ahead of the curve's."""
    if not isinstance(clock, str):
        if not -MOST_AHEAD_H <= clock <= MOST_AHEAD_H:
            raise TraceError(f"a gateway's clock is {clock:g} h ahead of UTC, must be within {MOST_AHEAD_H} h of it")
        return np.full(len(row), clock - curve.clock_h)
    if clock not in zones.names():
        raise TraceError(f"no time zone '{brief(clock)}'{nearest(clock, zones.names())}")
    moments = [curve.start_utc + timedelta(seconds=s) for s in ((row + 0.5) * curve.step_s).tolist()]
    return np.array(zones.offsets_h(clock, moments)) - curve.clock_h


def _at(rates: Floats, place: Floats) -> Floats:
    """The mean over a window that begins at `place`, in windows since the curve's beginning, which comes round."""
    first = np.floor(place).astype(np.int64)
    share = place - first
    low, high = rates[first % len(rates)], rates[(first + 1) % len(rates)]
    return np.asarray(np.where(share > 0, (1 - share) * low + share * high, low), dtype=np.float64)


def _servegen(path: Path) -> tuple[Floats, Floats]:
    """(beginning of each window in s, requests/s)."""
    table = _table(path)
    if SERVEGEN[0] in table.columns:
        for name in SERVEGEN:
            if name not in table.columns:
                raise TraceError(f"{path}: no column '{name}'{nearest(name, map(str, table.columns))}")
        return numbers(table[SERVEGEN[0]], path), numbers(table[SERVEGEN[1]], path)
    if tables.numbers(pd.Series(table.columns)).notna().sum() < 2:
        raise TraceError(
            f"{path}: must have the columns {' and '.join(SERVEGEN)}, or be a client's chunk without a header"
        )
    table = _table(path, header=None)
    columns = [table[place].rename(name) for place, name in enumerate(SERVEGEN)]
    seconds, rates = (numbers(column, path, 1) for column in columns)
    return seconds, rates


def _table(path: Path, **options: Any) -> pd.DataFrame:
    if not path.is_file():
        raise TraceError(f"{path}: no such file")
    try:
        table = (
            tables.parquet(path) if path.suffix == ".parquet" else tables.csv(path, skip_blank_lines=False, **options)
        )
    except UnreadableError as error:
        raise TraceError(f"{path}: {error}") from error
    if table.empty and len(table.columns) < 2:
        raise TraceError(f"{path}: no rows of rates, must have at least one")
    return table


def _stamps(column: "pd.Series[str]", path: Path, local: bool) -> tuple[datetime, Floats]:
    """(the first time, seconds since then); times that are `local` may have no offset."""
    times = tables.stamps(column)
    bad = times.isna().to_numpy()
    if local:
        bad = bad | column.astype(str).str.contains(OFFSET).to_numpy(dtype=np.bool_)
    if bad.any():
        row = int(np.argmax(bad))
        rule = "must be a date and time in ISO 8601" + ", without an offset (with one it is time_utc)" * local
        told = f"{column.name} = '{brief(column.iloc[row])}', {rule}"
        raise TraceError(f"{path}, line {row + FIRST_LINE}: {told}")
    seconds = (times - times.iloc[0]).dt.total_seconds().to_numpy(dtype=np.float64)
    return times.iloc[0].tz_localize(None).to_pydatetime(), np.asarray(seconds)


def _step_s(seconds: Floats, path: Path, name: str) -> float:
    """The length of a window. Raises `TraceError` if they are not all as long, naming the first that is not."""
    if len(seconds) < 2:
        raise TraceError(f"{path}: {len(seconds)} windows, must be at least two")
    steps = np.diff(seconds)
    bad = (steps <= 0) | (steps != steps[0])
    if bad.any():
        row = int(np.argmax(bad)) + 1
        rule = f"{steps[row - 1]:g} s after the one above, must be {steps[0]:g} s as at the start, and increasing"
        raise TraceError(f"{path}, window {row + 1}: {name} is {rule}")
    return float(steps[0])


def _needed(start: datetime | None, path: Path) -> datetime:
    if start is None:
        raise TraceError(f"{path}: times count seconds; say when they begin, --start 2022-09-22, on the curve's clock")
    return start
