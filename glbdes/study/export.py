"""The plan of one slot of a run, for a router; and a run's tables as CSV."""

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
from pyarrow.csv import WriteOptions, write_csv

from glbdes import records
from glbdes.errors import RecordsError, nearest
from glbdes.present.routes import Plan, Row
from glbdes.records import Records
from glbdes.records.writer import PLANS_FILE, REQUESTS_FILE, SLOTS_FILE, reading
from glbdes.units import S_PER_H

TABLES: Final = ("requests", "slots", "plans")


def plan(
    run: str | Path,
    *,
    slot: int | None = None,
    hour: float | None = None,
    gateway: str | None = None,
    slo: str | None = None,
) -> Plan:
    """What held in a slot of the run in a folder: its number, or the one in which that hour of the run is.

    With `gateway` and `slo` only the rows of that gateway and class. Raises `RecordsError` if there is none of it.
    """
    found = records.open_run(run)
    time = found.info["scenario"]["time"]
    n = _slot(time["slots"], time["slot_s"], slot, hour)
    plans = found.read(PLANS_FILE, ["slot", "gateway", "slo", "region", "weight"]).to_pandas()
    table = plans[plans["slot"] == n]
    table = _only(_only(table, "gateway", gateway), "slo", slo)
    slots = found.read(SLOTS_FILE, ["slot", "time_utc"]).to_pandas()
    begins = slots.loc[slots["slot"] == n, "time_utc"].iloc[0]
    scenario, policy = found.info["scenario"]["name"], found.info["policy"]
    return Plan(scenario, policy, n, begins.isoformat(), float(time["slot_s"]), list(_rows(table)))


def _slot(slots: int, slot_s: float, slot: int | None, hour: float | None) -> int:
    if (slot is None) == (hour is None):
        raise RecordsError("which slot? one of slot and hour must be given")
    if slot is None:
        assert hour is not None
        hours = slots * slot_s / S_PER_H
        if not 0 <= hour < hours:
            raise RecordsError(f"hour = {hour:g} h, must be >= 0 and < {hours:g}, the run's length")
        return math.floor(hour * S_PER_H / slot_s)
    if not 0 <= slot < slots:
        raise RecordsError(f"slot = {slot}, must be from 0 to {slots - 1}")
    return slot


def _only(table: pd.DataFrame, column: str, name: str | None) -> pd.DataFrame:
    if name is None:
        return table
    found = table[table[column] == name]
    if found.empty:
        there = [str(one) for one in table[column].dropna().unique()]
        listed = f"there are: {', '.join(there)}" if there else "there are none: classes have no plans of their own"
        raise RecordsError(f"{column} '{name}': not in the plan{nearest(name, there)} ({listed})")
    return found


def _rows(table: pd.DataFrame) -> Iterator[Row]:
    named = table.assign(slo=table["slo"].astype("object").where(table["slo"].notna(), None))
    for (gateway, slo), part in named.groupby(["gateway", "slo"], sort=False, dropna=False, observed=True):
        shares = dict(zip(part["region"].astype(str), part["weight"].astype(float).tolist(), strict=True))
        yield Row(str(gateway), slo if isinstance(slo, str) else None, shares)


def csv(run: str | Path, table: str = "slots", rows: int | None = None) -> str:
    """The first `rows` of a table of a run ("requests", "slots" or "plans") as CSV; None: all of them.

    Raises `RecordsError` if there is no such run or table.
    """
    if table not in TABLES:
        raise RecordsError(f"table '{table}', must be one of {', '.join(TABLES)}{nearest(table, TABLES)}")
    found = _head(records.open_run(run), table, rows)
    plain = pa.table([_text(column) for column in found.columns], names=found.column_names)
    out = io.BytesIO()
    write_csv(plain, out, WriteOptions(quoting_style="needed"))
    return out.getvalue().decode()


def _head(found: Records, table: str, rows: int | None) -> Any:
    if table == "requests":
        with reading(found.folder / REQUESTS_FILE):
            return found.requests.to_table() if rows is None else found.requests.head(rows)
    whole: Any = getattr(found, table)
    return whole if rows is None else whole.slice(0, rows)


def _text(column: Any) -> Any:
    """A column of names as text; any other as it is."""
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
