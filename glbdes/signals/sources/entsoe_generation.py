"""Generation by type of ENTSO-E as entsoe-py gives it, written as CSV: MW, stamps with an offset.

A column a type, or two lines of header: the type, and "Actual Aggregated" or "Actual Consumption" (of storage, which is
no fuel). Fuels as Electricity Maps groups them.
"""

from typing import Final

import numpy as np

from glbdes.errors import SignalError, brief
from glbdes.signals.sources import clock, mixes
from glbdes.signals.sources.download import Download
from glbdes.signals.sources.mixes import Rows, Wanted
from glbdes.signals.sources.series import Piece

LICENCE: Final = "ENTSO-E Transparency Platform: terms of its data providers"
FUELS: Final = {
    "Biomass": "biomass",
    "Energy storage": None,
    "Fossil Brown coal/Lignite": "coal",
    "Fossil Coal-derived gas": "gas",
    "Fossil Gas": "gas",
    "Fossil Hard coal": "coal",
    "Fossil Oil": "oil",
    "Fossil Oil shale": "coal",
    "Fossil Peat": "coal",
    "Geothermal": "geothermal",
    "Hydro Pumped Storage": None,
    "Hydro Run-of-river and poundage": "hydro",
    "Hydro Run-of-river and pondage": "hydro",
    "Hydro Water Reservoir": "hydro",
    "Marine": "other",
    "Nuclear": "nuclear",
    "Other": "other",
    "Other renewable": "other",
    "Solar": "solar",
    "Waste": "waste",
    "Wind Offshore": "wind",
    "Wind Onshore": "wind",
}
AGGREGATED: Final = "Actual Aggregated"
CONSUMED: Final = "Consumption"


def read(download: Download, wanted: Wanted) -> list[Piece]:
    """A zone's water, and carbon by factors. Raises `SignalError` as its parts do, and for a type nobody knows."""
    second = download.content.split(b"\n", 2)[1:2]
    table = download.table(header=[0, 1]) if second and AGGREGATED.encode() in second[0] else download.table()
    time, *others = table.columns
    names = {}
    for name in others:
        kind = name.partition(" / ")[0].strip()
        if kind not in FUELS:
            known = ", ".join(FUELS)
            raise SignalError(f"{download.path}: unknown type of generation '{brief(name)}', must be one of {known}")
        if FUELS[kind] is not None and CONSUMED not in name:
            names[name] = str(FUELS[kind])
    parts = mixes.summed(table, names, download)
    times = clock.utc(table[time], download, wanted.tz)
    rows = Rows(None, table, times.utc.astype("datetime64[ns]").astype(np.int64), times)
    return [mixes.piece(rows, parts, wanted, download)]
