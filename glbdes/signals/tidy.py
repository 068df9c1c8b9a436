"""The project's own signal files: one row an hour (or another fixed step) and region, CSV or Parquet.

    time_utc, region, price_usd_per_kwh, carbon_g_per_kwh, wue_l_per_kwh, ewif_l_per_kwh, pue

Signal columns may be absent. Columns of other footprints may follow, where a scenario names them (`[footprints.NAME]`,
`scenario.footprints`). A column in another unit is refused with the factor that mends it; so is one that nobody
knows. What the times and values must be is checked by `signals`, where the horizon is known.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import pandas as pd

from glbdes.base import tables
from glbdes.base.reading import UnreadableError
from glbdes.errors import MOST_PROBLEMS, SignalError, brief, nearest
from glbdes.units import G_PER_KG, KG_PER_T, KWH_PER_MWH, L_PER_M3

SIGNALS: Final = ("price_usd_per_kwh", "carbon_g_per_kwh", "wue_l_per_kwh", "ewif_l_per_kwh", "pue")
KEYS: Final = ("time_utc", "region")
COLUMNS: Final = KEYS + SIGNALS
MOST_STEPS: Final = 10**8  # of a file, or slots if these are finer
MINIMUM: Final = {"carbon_g_per_kwh": 0.0, "wue_l_per_kwh": 0.0, "ewif_l_per_kwh": 0.0, "pue": 1.0}  # prices: any

# What a quantity may be given in, as a factor to the unit of its column.
_AMOUNT: Final = {
    "price": {"usd": 1.0, "cent": 0.01},
    "carbon": {"g": 1.0, "kg": G_PER_KG, "t": G_PER_KG * KG_PER_T},
    "wue": {"l": 1.0, "m3": L_PER_M3},
    "ewif": {"l": 1.0, "m3": L_PER_M3},
}
_ENERGY: Final = {"kwh": 1.0, "mwh": 1 / KWH_PER_MWH}
UNITS: Final = {
    f"{quantity}_{amount}_per_{energy}": (column, by_amount * by_energy)
    for quantity, amounts in _AMOUNT.items()
    for column in SIGNALS
    if column.startswith(quantity)
    for amount, by_amount in amounts.items()
    for energy, by_energy in _ENERGY.items()
}
_FURTHER: Final = re.compile(r"^[a-z][a-z0-9_]*_[a-z][a-z0-9]*_per_(kwh|l)$")
_STAMP: Final = re.compile(r"^(\d{4}-\d\d-\d\d[ T]\d\d)(Z|[+-]\d\d:?\d\d)?$")  # an hour without its minutes


def read_tidy(path: Path, more: Sequence[str] | None = ()) -> pd.DataFrame:
    """The table in `path`, columns in the order of `COLUMNS`; `time_utc` naive UTC, signals float64, NaN where empty.

    `more` : columns of footprints that the file may have, too, after the others; None: whatever looks like one.

    Raises
    ------
    SignalError
        Unreadable or truncated file; no rows; no such column, or one in another unit; a time or value that is none.
    """
    table = _read(path)
    if more is None:
        more = [column for column in map(str, table.columns) if is_further(column)]
    _check_columns(list(table.columns), path, more)
    if table.empty:
        raise SignalError(f"{path}: has no rows, must have one for each slot and region")
    found = [column for column in (*COLUMNS, *more) if column in table.columns]
    values = {column: _numbers(table[column], path) for column in found if column not in KEYS}
    region = table["region"]
    if region.isna().any():
        raise SignalError(f"{path}, row {first_row(region.isna())}: region is empty")
    return pd.DataFrame({"time_utc": utc(table["time_utc"], path), "region": region.astype(str), **values})


def is_further(column: str) -> bool:
    """Whether `column` may be that of a footprint that some scenario names (`scenario.footprints`)."""
    return column not in COLUMNS and column not in UNITS and _FURTHER.match(column) is not None


def first_row(bad: pd.Series) -> int:
    """The row, counted from 1 without the header, where `bad` is first true."""
    return int(bad.to_numpy().argmax()) + 1


def utc(times: pd.Series, path: Path) -> pd.Series:
    """`times` as naive UTC stamps: ISO 8601 without an offset is UTC already, with one it is converted."""
    if pd.api.types.is_string_dtype(times) or times.dtype == object:
        times = times.astype(str).str.strip().str.replace(_STAMP, r"\1:00\2", regex=True)
    elif not pd.api.types.is_datetime64_any_dtype(times):
        raise SignalError(f"{path}: time_utc holds {times.dtype}, must be times like 2022-09-22T00:00")
    stamps = tables.stamps(times)
    if stamps.isna().any():
        row = first_row(stamps.isna())
        rule = f"must be a time like 2022-09-22T00:00, from {tables.FIRST.year} to {tables.LAST.year - 1}"
        raise SignalError(f"{path}, row {row}: time_utc = {brief(times.iloc[row - 1])}, {rule}")
    return stamps.dt.tz_localize(None)


def _read(path: Path) -> pd.DataFrame:
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            return tables.parquet(path)
        if suffix == ".csv":
            return tables.csv(path, skipinitialspace=True)
    except UnreadableError as error:
        raise SignalError(f"{path}: {error}") from error
    raise SignalError(f"{path}: is '{suffix}', must be .csv or .parquet")


def _check_columns(columns: Iterable[str], path: Path, more: Sequence[str]) -> None:
    problems = [f"has no column '{key}'" for key in KEYS if key not in columns]
    for column in map(str, columns):
        if column in UNITS and column not in SIGNALS:
            right, factor = UNITS[column]
            problems.append(f"column '{column}' is in the wrong unit, must be {right} = {factor:g} x {column}")
        elif column not in COLUMNS and column not in more:
            known = (*COLUMNS, *more)
            told = f"unknown column '{brief(column)}'{nearest(column, known)} (known: {', '.join(known)})"
            named = "; one of a footprint needs its table [footprints.NAME]" if is_further(column) else ""
            problems.append(told + named)
    if problems:
        more = ["and more"] * (len(problems) > MOST_PROBLEMS)
        raise SignalError("\n".join(f"{path}: {problem}" for problem in problems[:MOST_PROBLEMS] + more))


def _numbers(column: pd.Series, path: Path) -> pd.Series:
    numbers = tables.numbers(column)
    wrong = numbers.isna() & column.notna()
    if wrong.any():
        row = first_row(wrong)
        raise SignalError(f"{path}, row {row}: {column.name} = {brief(column.iloc[row - 1])}, must be a number")
    return numbers
