"""Our World in Data's energy data set: electricity by fuel, country and year, in TWh.

A year's mix is the same in each of its hours.
"""

from typing import Final

import numpy as np
import pandas as pd

from glbdes.errors import SignalError, brief
from glbdes.signals.sources import mixes
from glbdes.signals.sources.clock import Times
from glbdes.signals.sources.download import Download, column, find, numbers, zones
from glbdes.signals.sources.mixes import Rows, Wanted
from glbdes.signals.sources.series import Piece

LICENCE: Final = "CC-BY 4.0, Our World in Data, from Ember and the Energy Institute"
COUNTRY: Final = ("country",)
CODE: Final = ("iso_code",)
YEAR: Final = ("year",)
FUELS: Final = {
    "coal_electricity": "coal",
    "gas_electricity": "gas",
    "oil_electricity": "oil",
    "nuclear_electricity": "nuclear",
    "hydro_electricity": "hydro",
    "wind_electricity": "wind",
    "solar_electricity": "solar",
    "biofuel_electricity": "biomass",
    "other_renewable_exc_biofuel_electricity": "geothermal",  # geothermal, wave and tide
}


def read(download: Download, wanted: Wanted) -> list[Piece]:
    """Water, and carbon by factors, of countries (by name or code) in years, both said by the user.

    Raises `SignalError` as its parts do, and for a year that is not there.
    """
    table = download.table()
    country, year = column(table, COUNTRY, download), column(table, YEAR, download)
    column(table, list(FUELS), download)
    code = find(table, CODE)
    names = {found: fuel for theirs, fuel in FUELS.items() if (found := find(table, (theirs,))) is not None}
    if not wanted.years:
        raise SignalError(f"{download.path}: has a row a year; say which with --year 2023")
    coded = dict(zip(table[code], table[country], strict=True)) if code is not None else {}
    chosen = tuple(str(coded.get(zone, zone)) for zone in wanted.zones)
    pieces = []
    for name, of in zones(table, country, download, chosen).items():
        years = numbers(table[of][year], download)
        if missing := sorted(set(wanted.years) - set(years)):
            told = f"{name} has years {brief(', '.join(f'{one:g}' for one in years))}"
            raise SignalError(f"{download.path}: {told}, must have --year {missing[0]}")
        part = table[of][np.isin(years, wanted.years)].sort_values(year, kind="stable")
        hours = [pd.date_range(f"{one:.0f}", f"{one + 1:.0f}", freq="h", inclusive="left") for one in part[year]]
        long = part.loc[part.index.repeat([len(one) for one in hours])]
        utc = np.concatenate([one.to_numpy(dtype="datetime64[ns]") for one in hours])
        rows = Rows(name, long, utc.astype(np.int64), Times(utc, "each hour of a calendar year, UTC"))
        pieces.append(mixes.piece(rows, mixes.summed(long, names, download), wanted, download))
    return pieces
