"""Prices of energy in other currencies and units: what a header says, what the user says, and exchange rates."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glbdes.base import tables
from glbdes.errors import SignalError, brief
from glbdes.signals.sources.download import fetch, find, numbers, row
from glbdes.units import H_PER_DAY, KWH_PER_MWH, NS_PER_S, S_PER_H

Floats = NDArray[np.float64]

CURRENCIES: Final = frozenset(
    re.findall("...", "AUDBGNBRLCADCHFCLPCNYCZKDKKEURGBPHUFINRJPYKRWMXNNOKNZDPLNRONSEKSGDTRYUSDZAR")
)
_SIGNS: Final = {"€": " EUR ", "£": " GBP ", "¥": " JPY "}
_ENERGY: Final = {"MWH": 1 / KWH_PER_MWH, "KWH": 1.0}
_UNIT: Final = re.compile(r"^([A-Za-z]{3})\s*/\s*([kM]?Wh)$", re.IGNORECASE)
_DAY: Final = ("date", "day", "time", "time period", "time_period")
DAY_NS: Final = H_PER_DAY * S_PER_H * NS_PER_S
MOST_STALE_DAYS: Final = 7  # holidays have no rates


@dataclass(frozen=True)
class Unit:
    """A currency, and what a price in it is per kWh."""

    currency: str
    energy: str

    @property
    def per_kwh(self) -> float:
        """Times a price in this unit: in the currency per kWh."""
        return _ENERGY[self.energy.upper()]

    def __str__(self) -> str:
        return f"{self.currency}/{self.energy}"


@dataclass(frozen=True)
class Exchange:
    """USD for one unit of a currency: at a moment, and in words."""

    rate: Callable[[NDArray[np.int64]], Floats]
    told: str


def unit(text: str) -> Unit:
    """The unit called "EUR/MWh" or the like. Raises `SignalError`."""
    match = _UNIT.match(text.strip())
    if match is None or match[1].upper() not in CURRENCIES or match[2].upper() not in _ENERGY:
        raise SignalError(f"--unit = '{brief(text)}', must be a currency per MWh or kWh, as EUR/MWh")
    return Unit(match[1].upper(), "MWh" if match[2].upper() == "MWH" else "kWh")


def of_header(header: str) -> tuple[str | None, str | None]:
    """The currency and the energy that a column's name speaks of, None where it does not."""
    for sign, name in _SIGNS.items():
        header = header.replace(sign, name)
    words = [word.upper() for word in re.split(r"[^A-Za-z]+", header)]
    currency = next((word for word in words if word in CURRENCIES), None)
    energy = next((word for word in words if word in _ENERGY), None)
    return currency, energy if energy is None else "MWh" if energy == "MWH" else "kWh"


def agreed(header: str, said: Unit | None, default: Unit | None, path: Path) -> Unit:
    """The unit of column `header`: what the user said or else the source's default, unless the header says another.

    Raises `SignalError` where they differ or nobody says.
    """
    currency, energy = of_header(header)
    told = said or default
    if told is None and currency is not None and energy is not None:
        return Unit(currency, energy)
    if told is None:
        remedy = "say it, as --unit EUR/MWh"
        raise SignalError(f"{path}: column '{brief(header)}' does not say in which currency and per what; {remedy}")
    if currency not in (None, told.currency) or energy not in (None, told.energy):
        spoken = f"{currency or told.currency}/{energy or told.energy}"
        remedy = f"say --unit {spoken}, or another column with --column"
        raise SignalError(f"{path}: column '{brief(header)}' is in {spoken}, must be in {told}; {remedy}")
    return told


def exchange(text: str | None, currency: str) -> Exchange:
    """USD for one `currency`: a number, or a CSV file with a column `date` and one of rates, a row a day.

    A day without a rate has the last one before. Raises `SignalError` if there is no rate, or one too many.
    """
    if currency == "USD":
        if text is not None:
            raise SignalError(f"--fx = {brief(text)}: prices are in USD already, must be left out")
        return Exchange(lambda utc_ns: np.ones(len(utc_ns)), "")
    if text is None:
        raise SignalError(f"prices are in {currency}: say --fx with USD for one {currency}, a number or a daily file")
    try:
        rate = float(text)
    except ValueError:
        return _daily(Path(text), currency)
    if not 0 < rate < np.inf:
        raise SignalError(f"--fx = {brief(text)}, must be a number > 0: USD for one {currency}")
    return Exchange(lambda utc_ns: np.full(len(utc_ns), rate), f"{rate:g} USD/{currency}")


def _daily(path: Path, currency: str) -> Exchange:
    download = fetch(path)
    table = download.table()
    day = find(table, _DAY)
    rates = [name for name in table.columns if name != day and tables.numbers(table[name]).notna().any()]
    if day is None or len(rates) != 1:
        rule = f"must have a column 'date' and one of rates, USD for one {currency}"
        raise SignalError(f"{path}: has columns {brief(', '.join(table.columns))}, {rule}")
    days = tables.stamps(table[day].astype("string"))
    if (none := days.isna()).any():
        raise SignalError(f"{path}, row {row(none)}: {day} = {brief(table[day][none].iloc[0])}, must be a date")
    found = numbers(table[rates[0]], download)
    if (bad := pd.Series(found <= 0)).any():
        raise SignalError(f"{path}, row {row(bad)}: {rates[0]} = {found[row(bad) - 1]:g}, must be > 0")
    known = ~np.isnan(found)
    order = np.argsort(days[known].to_numpy(), kind="stable")
    begins = days[known].dt.tz_localize(None).to_numpy(dtype="datetime64[ns]").astype(np.int64)[order]
    found = found[known][order]

    def rate(utc_ns: NDArray[np.int64]) -> Floats:
        at = np.searchsorted(begins, utc_ns, side="right") - 1
        if (at < 0).any() or utc_ns.max() - begins[-1] > MOST_STALE_DAYS * DAY_NS:
            told = f"has rates from {_date(begins[0])} to {_date(begins[-1])}"
            raise SignalError(f"{path}: {told}, must have them from {_date(utc_ns.min())} to {_date(utc_ns.max())}")
        return np.asarray(found[at], dtype=np.float64)

    return Exchange(rate, f"daily USD/{currency} of {path.name}, SHA-256 {download.sha256}")


def _date(utc_ns: int) -> str:
    return str(np.datetime64(int(utc_ns), "ns"))[:10]
