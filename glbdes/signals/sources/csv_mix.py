"""Generation by fuel in any CSV file: a column of times, a column a fuel by our names, all in one unit (or shares)."""

from typing import Final

import numpy as np
import pandas as pd

from glbdes.signals import fuels
from glbdes.signals.sources import clock, mixes
from glbdes.signals.sources.csv_prices import TIMES, ZONES
from glbdes.signals.sources.download import Download, column, find, zones
from glbdes.signals.sources.mixes import Rows, Wanted
from glbdes.signals.sources.series import Piece

LICENCE: Final = "as the user's source says"
NAMES: Final = {  # of columns, after a unit or "_mw" at their end is left out
    **{fuel: fuel for fuel in fuels.FUELS},
    "natural gas": "gas",
    "natural_gas": "gas",
    "petroleum": "oil",
    "hydropower": "hydro",
    "hydroelectricity": "hydro",
    "bioenergy": "biomass",
    "biofuel": "biomass",
    "unknown": "other",
}
UNITS: Final = ("_mwh", "_mw", "_gwh", "_twh", "_share", "_percent", "(mwh)", "(mw)", "(gwh)", "(twh)", "(%)")


def read(download: Download, wanted: Wanted) -> list[Piece]:
    """Water, and carbon by factors, of one zone or those wanted. Raises `SignalError` as its parts do."""
    table = download.table()
    time = column(table, TIMES, download)
    names = {name: fuel for name in table.columns if (fuel := NAMES.get(_bare(name))) is not None}
    zone = find(table, ZONES)
    one = {None: pd.Series(data=True, index=table.index)}
    tz = "UTC" if "utc" in time.lower() else wanted.tz
    pieces = []
    for name, of in (zones(table, zone, download, wanted.zones) if zone is not None else one).items():
        part = table[of]
        parts = mixes.summed(part, names, download)
        times = clock.utc(part[time], download, tz)
        rows = Rows(name, part, times.utc.astype("datetime64[ns]").astype(np.int64), times)
        pieces.append(mixes.piece(rows, parts, wanted, download))
    return pieces


def _bare(name: str) -> str:
    bare = name.strip().lower()
    return next((bare.removesuffix(unit).strip() for unit in UNITS if bare.endswith(unit)), bare)
