"""Prices of energy from files of any market: what formats have in common; each has a module of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from glbdes.errors import SignalError, brief
from glbdes.signals.sources import clock, evidence, money
from glbdes.signals.sources.download import Download, column, find, numbers, zones
from glbdes.signals.sources.money import Unit
from glbdes.signals.sources.series import Piece, holds

LICENCE: Final = "the market operator's terms, which as a rule forbid to pass prices on"
EMPTY: Final = ("-", "n/e", "N/A", "n/a")  # what stands for no price


@dataclass(frozen=True)
class Terms:
    """What the user says of prices."""

    unit: Unit | None = None
    fx: str | None = None
    tz: str | None = None
    local: str | None = None  # the clock of the place, where stamps are UTC
    time: str | None = None  # columns
    column: str | None = None
    zones: tuple[str, ...] = ()
    accept: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """What a format says: names of columns by preference, and what goes without saying."""

    time: Sequence[str]
    price: Sequence[str]
    zone: Sequence[str] = ()
    one_of: Sequence[str] = ()  # columns that must say the same in every row
    unit: Unit | None = None
    tz: str | None = None
    ends: bool = False  # stamps are ends of intervals


SHIFTED: Final = "shifted"  # what --accept may say


def pieces(table: pd.DataFrame, layout: Layout, terms: Terms, download: Download) -> list[Piece]:
    """Prices in USD per kWh, a piece a zone. Raises `SignalError` as its parts do."""
    time = column(table, (terms.time,) if terms.time else layout.time, download, "say which with --time")
    price = column(table, (terms.column,) if terms.column else layout.price, download, "say which with --column")
    for name in layout.one_of:
        if (only := find(table, (name,))) is not None:
            zones(table, only, download, (), "keep the rows of one")
    unit = money.agreed(price, terms.unit, layout.unit, download.path)
    exchange = money.exchange(terms.fx, unit.currency)
    zone = find(table, layout.zone) if layout.zone else None
    named: Mapping[Any, Any] = {None: pd.Series(data=True, index=table.index)}
    if zone is not None:
        named = zones(table, zone, download, terms.zones)
    elif terms.zones:
        raise SignalError(f"{download.path}: has no column of zones, --zone = {brief(terms.zones[0])} must be left out")
    tz = _tz(time, layout, terms, download)
    found = []
    for name, rows in named.items():
        part = table[rows]
        times = clock.utc(part[time], download, tz)
        utc_ns = times.utc.astype("datetime64[ns]").astype(np.int64)
        if layout.ends and (np.diff(utc_ns) > 0).all():
            utc_ns = utc_ns - holds(-utc_ns[::-1])[::-1]
        values = numbers(part[price], download)
        lines = part.index.to_numpy(dtype=np.int64) + 1
        looked = "accepted unseen"
        if SHIFTED not in terms.accept and (np.diff(utc_ns) > 0).all():
            local_h = clock.local_hours(part[time], utc_ns, tz, terms.local)
            looked = evidence.check(values, utc_ns, lines, local_h, download.path)
        usd = {"price_usd_per_kwh": values * unit.per_kwh * exchange.rate(utc_ns)}
        told = f"{unit}, {exchange.told}" if exchange.told else str(unit)
        rule = times.rule + (", ends of intervals" if layout.ends else "")
        notes = {"price": told, "column": price, "signs_of_shifted_stamps": f"none seen: {looked}"}
        found.append(Piece(download.path, name, utc_ns, usd, lines, rule, None, notes))
    return found


def without_marks(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """`column` with cells that stand for no price left empty."""
    if column.dtype.kind in "if":
        return column
    text = column.astype("string").str.strip()
    return column.where(~text.isin(EMPTY).fillna(value=False), None)


def _tz(time: str, layout: Layout, terms: Terms, download: Download) -> str | None:
    """The zone of stamps without an offset: what the column's name or the format says, else the user."""
    words = "".join(c if c.isalnum() else " " for c in time).upper().split()
    said = "UTC" if "UTC" in words else layout.tz
    if said is not None and terms.tz not in (None, said):
        told = f"stamps in '{brief(time)}' are of {said}, --tz = {brief(terms.tz)} must be left out"
        raise SignalError(f"{download.path}: {told}")
    return said or terms.tz
