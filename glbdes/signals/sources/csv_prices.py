"""Prices in any CSV file with a column of times and one of prices; the unit is in its name, or said by the user."""

from typing import Final

from glbdes.errors import SignalError, brief
from glbdes.signals.sources import money, prices
from glbdes.signals.sources.download import Download
from glbdes.signals.sources.prices import Layout, Terms
from glbdes.signals.sources.series import Piece

TIMES: Final = (
    "time_utc",
    "datetime (utc)",
    "time (utc)",
    "timestamp_utc",
    "datetime_utc",
    "time",
    "datetime",
    "timestamp",
    "date",
    "datetime (local)",
    "period",
)
WORDS: Final = ("price", "lmp", "spp", "rrp", "tariff")  # of a column of prices
ZONES: Final = ("zone", "region", "area", "bidding zone", "bidding_zone", "location", "node")


def read(download: Download, terms: Terms) -> list[Piece]:
    """Prices of the one column that is named like one and in the unit said. Raises `SignalError` as its parts do."""
    table = download.table()
    if terms.column is None:
        found = [name for name in table.columns if any(word in name.lower() for word in WORDS)]
        if len(found) > 1 and terms.unit is not None:
            found = [name for name in found if money.of_header(name)[0] in (None, terms.unit.currency)] or found
        if len(found) != 1:
            told = f"has {len(found)} columns that may be prices, of {brief(', '.join(table.columns))}"
            raise SignalError(f"{download.path}: {told}; say which with --column")
        terms = Terms(**{**terms.__dict__, "column": found[0]})
    return prices.pieces(table, Layout(TIMES, (), ZONES), terms, download)
