"""Prices of the Australian Energy Market Operator, files PRICE_AND_DEMAND_YYYYMM_REGION.csv.

`REGION, SETTLEMENTDATE, TOTALDEMAND, RRP, PERIODTYPE`: AUD/MWh without GST. SETTLEMENTDATE is the **end** of an
interval in market time, UTC+10:00 all year; intervals are 30 minutes, and 5 from October 2021 on. Rows that are no
TRADE are no prices.
"""

from typing import Final

from glbdes.signals.sources import prices
from glbdes.signals.sources.download import Download, find
from glbdes.signals.sources.money import Unit
from glbdes.signals.sources.prices import Layout, Terms
from glbdes.signals.sources.series import Piece

TRADE: Final = "TRADE"
LAYOUT: Final = Layout(
    time=("SETTLEMENTDATE",),
    price=("RRP",),
    zone=("REGION", "REGIONID"),
    unit=Unit("AUD", "MWh"),
    tz="+10:00",
    ends=True,
)


def read(download: Download, terms: Terms) -> list[Piece]:
    """Prices of one region. Raises `SignalError` as its parts do."""
    table = download.table()
    if (kind := find(table, ("PERIODTYPE",))) is not None:
        table = table[table[kind].astype("string").str.strip().str.upper() == TRADE]
    if (time := find(table, LAYOUT.time)) is not None:
        table = table.assign(**{time: table[time].astype("string").str.replace("/", "-")})
    return prices.pieces(table, LAYOUT, terms, download)
