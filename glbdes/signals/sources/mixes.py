"""Generation by fuel from files of any source: what formats have in common; each has a module of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glbdes.errors import SignalError, brief
from glbdes.signals import fuels
from glbdes.signals.fuels import Factors
from glbdes.signals.sources.clock import Times
from glbdes.signals.sources.download import Download, numbers
from glbdes.signals.sources.series import Flags, Piece

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Wanted:
    """What the user wants of a mix."""

    ewif: Factors
    carbon: Factors | None = None
    zones: tuple[str, ...] = ()
    tz: str | None = None
    years: tuple[int, ...] = ()


@dataclass(frozen=True)
class Rows:
    """Some rows of a file: a zone's."""

    zone: str | None
    table: pd.DataFrame
    utc_ns: Ints
    times: Times
    estimated: Flags | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


def summed(table: pd.DataFrame, names: Mapping[str, str], download: Download) -> dict[str, Floats]:
    """float[n] by fuel: sums of the columns `names`, each with its fuel; NaN where all columns of a fuel are empty.

    Columns without any number are nothing. Raises `SignalError` if there are no columns, or a cell is no number.
    """
    found: dict[str, Floats] = {}
    for name, fuel in names.items():
        values = numbers(table[name], download)
        if not np.isnan(values).all():
            before = found.get(fuel, np.full(len(values), np.nan))
            both = np.nan_to_num(before) + np.nan_to_num(values)
            found[fuel] = np.where(np.isnan(before) & np.isnan(values), np.nan, both)
    if not found:
        told = f"has no numbers in columns of fuels, of {brief(', '.join(map(str, table.columns)))}"
        raise SignalError(f"{download.path}: {told}")
    return found


def piece(rows: Rows, parts: Mapping[str, Floats], wanted: Wanted, download: Download) -> Piece:
    """EWIF, and carbon if wanted, of each row. Raises `SignalError` as `fuels.intensity` does."""
    place = f"{download.path}" + (f", {rows.zone}" if rows.zone else "")
    made = fuels.mix(parts)
    ewif, without = fuels.intensity(made, wanted.ewif, place)
    values = {"ewif_l_per_kwh": ewif}
    hydro = wanted.ewif.per_kwh["hydro"]
    notes: dict[str, Any] = {
        "ewif": f"{wanted.ewif.name}, hydropower {hydro:.4g} L/kWh",
        "ewif_source": wanted.ewif.source,
        "ewif_note": wanted.ewif.note,
        "share_without_ewif": round(without, 6),
        "mix": {fuel: round(share, 6) for fuel, share in made.shares().items()},
        "negative_cells": made.negative,
        **rows.notes,
    }
    if wanted.carbon is not None:
        carbon, without = fuels.intensity(made, wanted.carbon, place)
        values["carbon_g_per_kwh"] = carbon
        notes["kind"] = f"average, of generation, by factors: {wanted.carbon.name}"
        notes |= {"carbon_source": wanted.carbon.source, "share_without_carbon": round(without, 6)}
    lines = rows.table.index.to_numpy(dtype=np.int64) + 1
    return Piece(download.path, rows.zone, rows.utc_ns, values, lines, rows.times.rule, rows.estimated, notes)
