"""Open-Meteo's archive and forecasts, JSON or CSV of one point: air temperature and humidity, hourly.

**Stamps are local with one constant offset**, `utc_offset_seconds`, that of the day of the download: UTC = stamp -
offset all year, whatever clocks in `timezone` do. With `timeformat=unixtime` they are UTC.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glbdes.base import tables
from glbdes.errors import SignalError, brief
from glbdes.signals.sources import clock
from glbdes.signals.sources.download import Download, column, numbers
from glbdes.signals.sources.series import Piece
from glbdes.units import NS_PER_S, S_PER_H

Floats = NDArray[np.float64]

LICENCE: Final = "CC-BY 4.0, weather data by Open-Meteo.com"
AIR: Final = "temperature_2m"
HUMIDITY: Final = "relative_humidity_2m"
NAMES: Final = {AIR: (AIR,), HUMIDITY: (HUMIDITY, "relativehumidity_2m")}
UNITS: Final[dict[str, dict[str, tuple[float, float]]]] = {  # ours = factor x (theirs - zero)
    AIR: {"°c": (1.0, 0.0), "°f": (5 / 9, 32.0)},
    HUMIDITY: {"%": (1.0, 0.0)},
}
MOST_OFFSET_S: Final = 14 * S_PER_H
HEAD_LINES: Final = 3  # of a CSV file: names and values of what the JSON has at its top, an empty line

# from degC and % at a height in m to L per kWh
Water = Callable[[Floats, Floats, float], Floats]


def read(download: Download, water: Water, note: str) -> list[Piece]:
    """WUE by `water` in each hour; `note` says how. Raises `SignalError` as its parts do."""
    head, table, units = _csv(download) if download.content.lstrip()[:1].isalpha() else _json(download)
    offset_s = _number(head, "utc_offset_seconds", download)
    if abs(offset_s) > MOST_OFFSET_S or offset_s % 1:
        raise SignalError(f"{download.path}: utc_offset_seconds = {offset_s:g}, must be whole seconds of a time zone")
    time = column(table, ("time",), download)
    weather = {name: _converted(table, units, name, download) for name in NAMES}
    humid = weather[HUMIDITY]
    if (bad := (humid < 0) | (humid > 100)).any():
        row = int(np.argmax(bad))
        raise SignalError(f"{download.path}, row {row + 1}: {HUMIDITY} = {humid[row]:g}, must be from 0 to 100 %")
    if str(units.get(time, "")).lower() == "unixtime":
        utc_ns = numbers(table[time], download).astype(np.int64) * NS_PER_S
        rule = "seconds since 1970, UTC"
    else:
        stamps = clock.utc(table[time], download, "UTC").utc.astype("datetime64[ns]").astype(np.int64)
        utc_ns = stamps - int(offset_s) * NS_PER_S
        rule = f"local stamps less the file's constant utc_offset_seconds = {offset_s:g}"
    wue = water(weather[AIR], humid, _number(head, "elevation", download, 0.0))
    rows = np.arange(len(utc_ns)) + 1
    notes = {"wue": note, "latitude_deg": head.get("latitude"), "longitude_deg": head.get("longitude")}
    return [Piece(download.path, None, utc_ns, {"wue_l_per_kwh": wue}, rows, rule, None, notes)]


def _json(download: Download) -> tuple[Mapping[str, Any], pd.DataFrame, Mapping[str, Any]]:
    document = download.document()
    if isinstance(document, list):
        raise SignalError(f"{download.path}: has {len(document)} points, must have one; download them one by one")
    if not isinstance(document, dict) or not all(isinstance(document.get(k), dict) for k in ("hourly", "hourly_units")):
        told = "has no hourly and hourly_units, must be an answer of Open-Meteo with hourly variables"
        raise SignalError(f"{download.path}: {told}")
    hourly = document["hourly"]
    lengths = {name: len(values) if isinstance(values, list) else -1 for name, values in hourly.items()}
    if min(lengths.values(), default=-1) < 1 or len(set(lengths.values())) > 1:
        told = brief(", ".join(f"{name} {length}" for name, length in lengths.items()))
        raise SignalError(f"{download.path}: hourly has lists of {told}, must be equally long and not empty; damaged?")
    return document, pd.DataFrame({str(k): pd.Series(v) for k, v in hourly.items()}), document["hourly_units"]


def _csv(download: Download) -> tuple[Mapping[str, Any], pd.DataFrame, Mapping[str, Any]]:
    head = download.table(nrows=1)
    table = download.table(skiprows=HEAD_LINES, skip_blank_lines=False)
    named = {name: name.partition(" (")[0] for name in table.columns}
    units = {plain: name.partition(" (")[2].rstrip(")") for name, plain in named.items()}
    return {str(name): value for name, value in head.iloc[0].items()}, table.rename(columns=named), units


def _converted(table: pd.DataFrame, units: Mapping[str, Any], name: str, download: Download) -> Floats:
    """The variable `name` in our unit."""
    found = column(table, NAMES[name], download, f"download it with hourly={AIR},{HUMIDITY}")
    unit = str(units.get(found, "")).strip().lower()
    if unit not in UNITS[name]:
        rule = f"must be one of {', '.join(UNITS[name])}"
        raise SignalError(f"{download.path}: {found} is in '{brief(units.get(found, ''))}', {rule}")
    factor, zero = UNITS[name][unit]
    return np.asarray(factor * (numbers(table[found], download) - zero), dtype=np.float64)


def _number(head: Mapping[str, Any], name: str, download: Download, default: float | None = None) -> float:
    value = tables.numbers(pd.Series([head.get(name, default)], dtype=object)).iloc[0]
    if not np.isfinite(value):
        if default is not None:
            return default
        told = f"{name} = {brief(head.get(name))}, must be a number: it says what stamps mean"
        raise SignalError(f"{download.path}: {told}; download it again from archive-api.open-meteo.com")
    return float(value)
