"""WattTime: marginal (or average) operating emission rates as CSV, in lb of CO2 per MWh.

Two generations: `timestamp, MOER, MOER version, frequency`, files of the API's version 2; `point_time, value` with, as
they may come, `ba` or `region`, `datatype` or `signal_type`, `units`, of versions 2 and 3. Stamps are UTC.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
import pandas as pd

from glbdes.errors import SignalError, brief
from glbdes.signals.sources import clock
from glbdes.signals.sources.download import Download, column, find, numbers, row, zones
from glbdes.signals.sources.series import Piece
from glbdes.units import G_PER_KG, KG_PER_LB, KWH_PER_MWH

LICENCE: Final = "WattTime's terms of service (https://watttime.org); not to be passed on"
TIME: Final = ("point_time", "timestamp")
RATE: Final = ("value", "MOER")
ZONE: Final = ("ba", "region")
SIGNAL: Final = ("signal_type", "datatype")
UNIT: Final = ("units", "unit")
KIND: Final = {"moer": "marginal", "co2_moer": "marginal", "co2_aoer": "average, direct"}
UNITS: Final = {"lbs_co2_per_mwh": KG_PER_LB * G_PER_KG / KWH_PER_MWH}  # x factor = g per kWh
LEAST_LB_PER_MWH: Final = 10.0  # a typical rate is 500 to 2,000: less in the median is another unit


def read(download: Download, chosen: tuple[str, ...] = ()) -> list[Piece]:
    """Carbon intensity, marked as marginal where it is. Raises `SignalError` as its parts do."""
    table = download.table()
    time, rate, zone = column(table, TIME, download), column(table, RATE, download), find(table, ZONE)
    kind = _only(table, SIGNAL, KIND, "co2_moer", download)
    unit = _only(table, UNIT, UNITS, "lbs_co2_per_mwh", download)
    named = zones(table, zone, download, chosen) if zone else {None: pd.Series(data=True, index=table.index)}
    pieces = []
    for name, rows in named.items():
        part = table[rows]
        found = numbers(part[rate], download)
        known = found[~np.isnan(found)]
        if len(known) and 0 < np.median(np.abs(known)) < LEAST_LB_PER_MWH:
            told = f"{rate} = {known[0]:g} at first, {np.median(known):g} in the median, must be in lb/MWh"
            raise SignalError(
                f"{download.path}, row {part.index[0] + 1}: {told}; convert it (1 kg/kWh = 2204.6 lb/MWh)"
            )
        times = clock.utc(part[time], download, "UTC")
        values = {"carbon_g_per_kwh": found * UNITS[unit]}
        lines = part.index.to_numpy(dtype=np.int64) + 1
        notes = {"kind": KIND[kind], "column": f"{rate}, {unit}"}
        pieces.append(
            Piece(download.path, name, times.utc.astype(np.int64), values, lines, times.rule, None, notes),
        )
    return pieces


def _only(table: pd.DataFrame, names: tuple[str, ...], known: Iterable[str], default: str, of: Download) -> str:
    """The one thing that a column says in every row, `default` where there is no such column."""
    name = find(table, names)
    if name is None:
        return default
    said = table[name].astype("string").str.strip().str.lower()
    if (strange := ~said.isin(list(known)) | (said != said.iloc[0])).any():
        told = f"{name} = {brief(said[strange].iloc[0])}, must be one of {', '.join(known)} in every row"
        raise SignalError(f"{of.path}, row {row(strange)}: {told}")
    return str(said.iloc[0])
