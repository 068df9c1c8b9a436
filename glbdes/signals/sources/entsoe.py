"""Day-ahead prices of ENTSO-E: entsoe-py's series written as CSV, and files of the Transparency Platform's own export.

entsoe-py: stamps with an offset in a column without a name, prices in another, called "0" or anything, in EUR/MWh. The
platform: "MTU (UTC)" or "MTU (CET/CEST)" with "01/01/2023 00:00:00 - 01/01/2023 01:00:00" or dots instead of slashes,
"Day-ahead Price (EUR/MWh)" or with square brackets; the clock is Brussels's.
"""

import re
from typing import Final

import pandas as pd

from glbdes.errors import SignalError, brief
from glbdes.signals.sources import prices
from glbdes.signals.sources.download import Download
from glbdes.signals.sources.money import Unit
from glbdes.signals.sources.prices import Layout, Terms
from glbdes.signals.sources.series import Piece

CLOCK: Final = "Europe/Brussels"
INDEX: Final = "Unnamed: 0"  # pandas' name for a column without one
ZONE: Final = ("Area", "BZN", "Bidding zone")
EURO: Final = Unit("EUR", "MWh")
_MTU: Final = re.compile(r"^MTU", re.IGNORECASE)
_DAY: Final = re.compile(r"^(\d\d)[./](\d\d)[./](\d{4}) (\d\d:\d\d(?::\d\d)?).*$")


def read(download: Download, terms: Terms) -> list[Piece]:
    """Prices of either form. Raises `SignalError` as its parts do."""
    table = download.table()
    intervals = [name for name in table.columns if _MTU.match(name)]
    layout = _platform(table, intervals[0]) if intervals else _series(table, terms, download)
    for name in (terms.column, *layout.price):
        if name in table.columns:
            table[name] = prices.without_marks(table[name])
    return prices.pieces(table, layout, terms, download)


def _platform(table: pd.DataFrame, interval: str) -> Layout:
    table[interval] = table[interval].astype("string").str.strip().str.replace(_DAY, r"\3-\2-\1 \4", regex=True)
    found = [name for name in table.columns if name.lower().startswith("day-ahead price")]
    tz = "UTC" if "UTC" in interval.upper() else CLOCK if "CET" in interval.upper() else None
    zone = [name for name in ZONE if name in table.columns]
    return Layout((interval,), tuple(found) or ("Day-ahead Price (EUR/MWh)",), zone, ("Sequence",), EURO, tz)


def _series(table: pd.DataFrame, terms: Terms, download: Download) -> Layout:
    first, *others = table.columns
    if terms.column is None and len(others) != 1:
        told = f"has columns {brief(', '.join(table.columns))}, must have one of stamps and one of prices"
        raise SignalError(f"{download.path}: {told}; say which with --column")
    return Layout((INDEX, first), tuple(others), (), (), EURO)
