"""EIA-930: six-month BALANCE files of the U.S. Energy Information Administration, all balancing authorities in one.

Net generation by fuel in MW; stamps are the **end** of an hour, in UTC. Taken is "(Adjusted)" where it is there; hours
with an "(Imputed)" value count as estimated. Fuels' names changed in July 2024: hydropower without pumped storage,
solar and wind with and without batteries. Storage is no fuel.
"""

from typing import Final

import numpy as np

from glbdes.signals.sources import clock, mixes
from glbdes.signals.sources.download import Download, column, find, zones
from glbdes.signals.sources.mixes import Rows, Wanted
from glbdes.signals.sources.series import Piece
from glbdes.units import NS_PER_S, S_PER_H

LICENCE: Final = "public domain, U.S. Energy Information Administration, Hourly Electric Grid Monitor"
TIME: Final = ("UTC Time at End of Hour",)
STAMP: Final = "%m/%d/%Y %I:%M:%S %p"
ZONE: Final = ("Balancing Authority",)
PREFIX: Final = "Net Generation (MW) from "
FUELS: Final = {
    "Coal": "coal",
    "Natural Gas": "gas",
    "Nuclear": "nuclear",
    "All Petroleum Products": "oil",
    "Hydropower and Pumped Storage": "hydro",
    "Hydropower Excluding Pumped Storage": "hydro",
    "Solar": "solar",
    "Solar without Integrated Battery Storage": "solar",
    "Solar with Integrated Battery Storage": "solar",
    "Wind": "wind",
    "Wind without Integrated Battery Storage": "wind",
    "Wind with Integrated Battery Storage": "wind",
    "Geothermal": "geothermal",
    "Other Fuel Sources": "other",
    "Unknown Fuel Sources": "other",
}


def read(download: Download, wanted: Wanted) -> list[Piece]:
    """Each wanted authority's water, and carbon by factors. Raises `SignalError` as its parts do."""
    table = download.table(thousands=",")
    time, zone = column(table, TIME, download), column(table, ZONE, download)
    column(table, [PREFIX + fuel for fuel in FUELS], download)
    pieces = []
    for name, chosen in zones(table, zone, download, wanted.zones).items():
        part = table[chosen]
        names, imputed = {}, np.zeros(len(part), dtype=bool)
        for theirs, ours in FUELS.items():
            best = find(part, (f"{PREFIX}{theirs} (Adjusted)", f"{PREFIX}{theirs}"))
            if best is not None:
                names[best] = ours
            if (guess := find(part, (f"{PREFIX}{theirs} (Imputed)",))) is not None:
                imputed |= part[guess].notna().to_numpy(dtype=bool)
        parts = mixes.summed(part, names, download)
        times = clock.utc(part[time], download, "UTC", STAMP)
        utc_ns = times.utc.astype("datetime64[ns]").astype(np.int64) - S_PER_H * NS_PER_S
        rows = Rows(name, part, utc_ns, clock.Times(times.utc, "UTC, ends of hours"), imputed)
        pieces.append(mixes.piece(rows, parts, wanted, download))
    return pieces
