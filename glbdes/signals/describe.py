"""What is in a tidy table of signals: means and extremes, hours below zero, holes, and how much is estimated."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from glbdes.signals import imports
from glbdes.signals.sources.series import Piece, check, onto
from glbdes.signals.tidy import KEYS, read_tidy
from glbdes.units import NS_PER_S, S_PER_H

HOLES: Final = 10  # that are listed of a series
MOST_DAYS: Final = 92  # that a figure shows one by one


def describe(path: Path) -> dict[str, Any]:
    """By region and signal: mean, extremes and when they are, hours below zero, holes; estimated share where known.

    Holes lie between a series' first and last value, and at either end where other series of the file go on.

    Raises `SignalError` as `tidy.read_tidy`, `series.check` and `imports.facts_of` do.
    """
    table = read_tidy(path, None)
    facts = imports.facts_of(path) or {"regions": {}}
    begin, end = _ns(table["time_utc"].min()), _ns(table["time_utc"].max())
    regions: dict[str, Any] = {}
    for name, rows in table.groupby("region", sort=False):
        told = facts["regions"].get(name, {})
        regions[str(name)] = {
            **{key: told[key] for key in ("kind", "wue", "ewif", "price") if key in told},
            "signals": {
                column: _series(path, rows, column, begin, end)
                | {"share_estimated": told.get("share_estimated", {}).get(column)}
                for column in _columns(table)
                if rows[column].notna().any()
            },
        }
    return {"file": str(path), "licence": facts.get("licence"), "regions": regions}


def course(path: Path) -> pd.DataFrame:
    """Means of days, or of weeks if there are many days: time_utc, region, signal, value; for a figure."""
    table = read_tidy(path, None)
    begin = table["time_utc"].min().floor("D")
    long = (table["time_utc"].max() - begin).days > MOST_DAYS
    step = pd.Timedelta(days=7 if long else 1)
    bins = begin + (table["time_utc"] - begin) // step * step
    columns = [column for column in _columns(table) if table[column].notna().any()]
    means = table.assign(time_utc=bins).groupby(["region", "time_utc"], sort=False)[columns].mean().reset_index()
    found = means.melt(["time_utc", "region"], columns, var_name="signal", value_name="value")
    return pd.DataFrame(found.dropna(subset=["value"]))


def _columns(table: pd.DataFrame) -> list[str]:
    """Signals, and what may be of footprints that scenarios name."""
    return [column for column in table.columns if column not in KEYS]


def _series(path: Path, rows: pd.DataFrame, column: str, begin: int, end: int) -> dict[str, Any]:
    known = rows[rows[column].notna()]
    values = known[column].to_numpy(dtype=np.float64)
    utc_ns = known["time_utc"].to_numpy().astype("datetime64[ns]").astype(np.int64)
    piece = Piece(path, None, utc_ns, {column: values}, known.index.to_numpy(dtype=np.int64) + 1, "UTC")
    check(piece)
    apart, often = np.unique(np.diff(utc_ns), return_counts=True)
    step_ns = int(apart[often.argmax()]) if len(apart) else S_PER_H * NS_PER_S
    slots = onto([piece], step_ns)
    missing = np.isnan(slots.values[column])
    holes = imports.gaps(missing, slots.first_ns, step_ns)
    before = max(0, (slots.first_ns - begin) // step_ns)
    after = max(0, (end - slots.first_ns) // step_ns - len(missing) + 1)
    low, high = int(values.argmin()), int(values.argmax())
    return {
        "step_s": step_ns / NS_PER_S,
        "first": _when(known, 0),
        "last": _when(known, -1),
        "slots": len(values),
        "mean": float(values.mean()),
        "std": float(values.std()),
        "min": float(values[low]),
        "min_at": _when(known, low),
        "max": float(values[high]),
        "max_at": _when(known, high),
        "negative_h": float((values < 0).sum() * step_ns / NS_PER_S / S_PER_H),
        "missing_slots": int(missing.sum()) + before + after,
        "longest_hole_slots": max([often for _, often in holes] + [before, after]),
        "holes": [{"first": when, "slots": often} for when, often in holes[:HOLES]],
    }


def _when(rows: pd.DataFrame, i: int) -> str:
    return str(rows["time_utc"].iloc[i].isoformat())


def _ns(when: pd.Timestamp) -> int:
    return int(when.as_unit("ns").value)
