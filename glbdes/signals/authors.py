"""The folder layout of the authors of arXiv 2307.05494: one file a region and signal, hourly, UTC.

    carbon/R_carbon.csv   price/R_Price.csv   water/R_water.csv   AI_workload.csv

Their water is on site and off site together and they have no PUE factor, so it is read as WUE, with EWIF = 0 and
PUE = 1: water = IT kWh x WUE and facility kWh = IT kWh, as in their evaluation. Price files may be longer than the
others; the table ends where the shortest signal ends.
"""

from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glbdes.base import tables
from glbdes.base.reading import UnreadableError
from glbdes.errors import SignalError, brief
from glbdes.scenario.sizes import MOST
from glbdes.signals.loads import over_slots
from glbdes.signals.tidy import COLUMNS, first_row, utc
from glbdes.units import G_PER_KG, KWH_PER_MWH

# signal: (folder, end of the file's name, their column, ours)
VARIABLE_MAP: Final = {
    "carbon": ("carbon", "_carbon.csv", "Carbon (kg/kWh)", "carbon_g_per_kwh"),
    "price": ("price", "_Price.csv", "Price (USD/MWh)", "price_usd_per_kwh"),
    "water": ("water", "_water.csv", "WUE (L/kWh)", "wue_l_per_kwh"),
}
UNITS: Final = {"carbon": G_PER_KG, "price": 1 / KWH_PER_MWH, "water": 1.0}  # theirs x factor = ours
SPELLING: Final = {"belguim": "belgium"}
LOAD_FILE: Final = "AI_workload.csv"
TIME_COLUMN: Final = "Time (UTC)"
POWER_COLUMN: Final = "Power (Watt)"
CAPACITY_W: Final = 2708.0  # their Power / 2708 is a load in units of one region's capacity


def is_authors(folder: Path) -> bool:
    """Whether `folder` has the authors' three folders of signals."""
    return all((folder / place).is_dir() for place, *_ in VARIABLE_MAP.values())


def read_authors(folder: Path) -> pd.DataFrame:
    """The signals in `folder` as one tidy table (`tidy.COLUMNS`), sorted by region and time; regions in lower case.

    Raises
    ------
    SignalError
        A folder, file or column that is missing; an empty or unreadable file; a region that lacks a signal.
    """
    read = {signal: _read_signal(folder, signal) for signal in VARIABLE_MAP}
    regions = {signal: set(table["region"]) for signal, table in read.items()}
    for signal, has in regions.items():
        if lacking := sorted(set().union(*regions.values()) - has):
            place, end, *_ = VARIABLE_MAP[signal]
            raise SignalError(f"{folder / place}: has no file *{end} for {', '.join(lacking)}")
    last = min(table["time_utc"].max() for table in read.values())
    merged: pd.DataFrame = read["carbon"].merge(read["price"], how="outer", on=["time_utc", "region"])
    merged = merged.merge(read["water"], how="outer", on=["time_utc", "region"])
    merged = merged[merged["time_utc"] <= last].assign(ewif_l_per_kwh=0.0, pue=1.0)
    return pd.DataFrame(merged.sort_values(["region", "time_utc"], ignore_index=True), columns=list(COLUMNS))


def read_authors_load(folder: Path) -> NDArray[np.float64]:
    """Every gateway's load in each hour, float[s], in capacities of one region: Power / 2708 of `AI_workload.csv`.

    Raises `SignalError` if the file is missing or unreadable, or a value is no number >= 0.
    """
    return np.asarray(_read_load(folder)["load"], dtype=np.float64)


def read_authors_load_by_slot(folder: Path, start_utc: datetime, slot_s: float, slots: int) -> NDArray[np.float64]:
    """The mean load of each slot from `start_utc` on, float[s], as `read_authors_load` gives it by the hour.

    Raises `SignalError` as that does, and `TraceError` if the file does not cover the slots.
    """
    table = _read_load(folder)
    start_s = np.asarray((table["time_utc"] - pd.Timestamp(start_utc)).dt.total_seconds(), dtype=np.float64)
    return over_slots(np.asarray(table["load"], dtype=np.float64), start_s, slot_s, slots, folder / LOAD_FILE)


def _read_load(folder: Path) -> pd.DataFrame:
    """`time_utc` and `load` of each hour."""
    path = folder / LOAD_FILE
    power = _read_file(path, POWER_COLUMN)
    if (bad := ~power["value"].between(0, MOST)).any():
        row = first_row(bad)
        value = power["value"].iloc[row - 1]
        raise SignalError(f"{path}, row {row}: {POWER_COLUMN} = {value:g}, must be a number >= 0 and <= {MOST:g}")
    return pd.DataFrame({"time_utc": power["time_utc"], "load": power["value"] / CAPACITY_W})


def _read_signal(folder: Path, signal: str) -> pd.DataFrame:
    place, end, theirs, ours = VARIABLE_MAP[signal]
    paths = sorted((folder / place).glob(f"*{end}"))
    if not paths:
        raise SignalError(f"{folder / place}: has no file *{end}, must have one for each region (authors' layout)")
    read = []
    for path in paths:
        name = path.name.removesuffix(end).lower()
        table = _read_file(path, theirs)
        read.append(table.assign(region=SPELLING.get(name, name), value=table["value"] * UNITS[signal]))
    return pd.concat(read, ignore_index=True).rename(columns={"value": ours})


def _read_file(path: Path, column: str) -> pd.DataFrame:
    """`time_utc` and `value` of one file."""
    if not path.is_file():
        raise SignalError(f"{path}: no such file (authors' layout)")
    try:
        table = tables.csv(path, skipinitialspace=True)
    except UnreadableError as error:
        raise SignalError(f"{path}: {error}") from error
    table.columns = table.columns.astype(str).str.strip()  # their water column begins with a blank
    for needed in (TIME_COLUMN, column):
        if needed not in table.columns:
            raise SignalError(f"{path}: has no column '{needed}', has {brief(list(table.columns))}")
    if table.empty:
        raise SignalError(f"{path}: has no rows")
    numbers = tables.numbers(table[column])
    if (wrong := numbers.isna() & table[column].notna()).any():
        row = first_row(wrong)
        raise SignalError(f"{path}, row {row}: {column} = {brief(table[column].iloc[row - 1])}, must be a number")
    times = utc(table[TIME_COLUMN], path)
    if (back := times.diff() <= pd.Timedelta(0)).any():
        row = first_row(back)
        raise SignalError(f"{path}, row {row}: {times[row - 1]} after {times[row - 2]}, times must be increasing")
    return pd.DataFrame({"time_utc": times, "value": numbers})
