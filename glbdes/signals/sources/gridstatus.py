"""Prices of North American markets as gridstatus gives them, the library or gridstatus.io, written as CSV.

The library: "Interval Start" with an offset, "Location", "LMP" (or "SPP" in Texas), "Market"; gridstatus.io:
"interval_start_utc", "location", "lmp". Several locations or markets in one file are told apart by --zone.
"""

from typing import Final

from glbdes.signals.sources import prices
from glbdes.signals.sources.download import Download
from glbdes.signals.sources.money import Unit
from glbdes.signals.sources.prices import Layout, Terms
from glbdes.signals.sources.series import Piece

LAYOUT: Final = Layout(
    time=("Interval Start", "interval_start_utc", "interval_start_local", "Time"),
    price=("LMP", "SPP", "LMP (USD/MWh)", "Price"),
    zone=("Location", "location_short_name"),
    one_of=("Market",),
    unit=Unit("USD", "MWh"),
)


def read(download: Download, terms: Terms) -> list[Piece]:
    """Prices at one location. Raises `SignalError` as its parts do."""
    return prices.pieces(download.table(), LAYOUT, terms, download)
