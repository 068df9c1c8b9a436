"""Electricity Maps: yearly and monthly CSV files of its data portal, carbon intensity of one zone, hourly, UTC.

Headers of two generations: "Carbon Intensity gCO₂eq/kWh (LCA)" until 2024, "Carbon intensity gCO₂eq/kWh (Life cycle)"
from 2025 on; letters' case differs too and does not count.
"""

from typing import Final

import numpy as np

from glbdes.signals.sources import clock
from glbdes.signals.sources.download import Download, column, find, numbers, zones
from glbdes.signals.sources.series import Piece

LICENCE: Final = "ODbL 1.0, Electricity Maps (https://www.electricitymaps.com); say which version you downloaded"
TIME: Final = ("Datetime (UTC)",)
ZONE: Final = ("Zone id",)
ESTIMATED: Final = ("Data estimated",)
INTENSITY: Final = {  # g of CO2-equivalent per kWh, as ours
    "lca": ("Carbon intensity gCO2eq/kWh (Life cycle)", "Carbon intensity gCO2eq/kWh (LCA)"),
    "direct": ("Carbon intensity gCO2eq/kWh (direct)",),
}
KIND: Final = {"lca": "average, life cycle", "direct": "average, direct"}
_YES: Final = ("true", "1", "yes")


def read(download: Download, basis: str = "lca", chosen: tuple[str, ...] = ()) -> list[Piece]:
    """Carbon intensity by `basis`, "lca" or "direct". Raises `SignalError` as its parts do."""
    table = download.table()
    time, zone = column(table, TIME, download), column(table, ZONE, download)
    intensity = column(table, INTENSITY[basis], download, "must be in gCO2eq/kWh; see --basis")
    flag = find(table, ESTIMATED)
    pieces = []
    for name, rows in zones(table, zone, download, chosen).items():
        part = table if rows.all() else table[rows]
        times = clock.utc(part[time], download, "UTC")
        estimated = None
        if flag is not None:
            estimated = part[flag].astype("string").str.lower().isin(_YES).to_numpy(dtype=bool)
        values = {"carbon_g_per_kwh": numbers(part[intensity], download)}
        pieces.append(
            Piece(
                download.path,
                name,
                times.utc.astype(np.int64),
                values,
                part.index.to_numpy(dtype=np.int64) + 1,
                "UTC, by the header",
                estimated,
                {"kind": KIND[basis], "column": intensity},
            )
        )
    return pieces
