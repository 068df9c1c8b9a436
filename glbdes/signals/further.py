"""What footprints beyond carbon and water are per kWh of IT energy, from the series that give them.

    per = "kwh"       signal, times PUE unless it is of IT energy
    per = "water_l"   WUE x signal on site + PUE x EWIF x signal off site

All are linear in the energy used in a slot, so this one number by slot and region is all that engines and policies see.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from glbdes.scenario.footprints import SIDES, Footprint, alternatives, column

Floats = NDArray[np.float64]
Series = dict[str, Floats]  # [s, r] by column; NaN where a region gives it otherwise


def per_it_kwh(
    footprints: Mapping[str, Footprint], series: Mapping[str, Floats], wue: Floats, ewif: Floats, pue: Floats
) -> Floats:
    """[s, k, r] of each footprint, in its unit, per kWh of IT energy; `wue`, `ewif` and `pue` are [s, r]."""
    found = np.zeros((len(pue), len(footprints), pue.shape[1]))
    for k, (name, one) in enumerate(footprints.items()):
        every = series[column(name, one)]
        if one.per == "kwh":
            found[:, k] = every * pue if one.pue else every
        else:
            on, off = (series[column(f"{name}_{side}", one)] for side in SIDES)
            on, off = (np.where(np.isnan(every), side, every) for side in (on, off))
            found[:, k] = wue * on + pue * ewif * off
    return found


def chosen(
    footprints: Mapping[str, Footprint], region: str, given: Mapping[str, object], own: Mapping[str, float], place: str
) -> Iterator[tuple[str, bool] | str]:
    """Each column that is to be used for `region`, and whether it is a constant of its own; or what is wrong.

    `given` are the columns that the source has for it, `own` its constants by column.
    """
    for name, one in footprints.items():
        places = alternatives(name, one)
        ways = [[column(series, one) for series in way] for way in places]
        some = [way for way in ways if any(key in given or key in own for key in way)]
        place_of = f"regions.{region}.footprints"
        if not some:
            keys = " or ".join(" and ".join(f"{place_of}.{series}" for series in way) for way in places)
            columns = " or ".join(" and ".join(way) for way in ways)
            yield f"footprints.{name}: {keys} is missing, and {place} has no column {columns} for it"
            continue
        if len(some) > 1:
            yield f"footprints.{name}: {region} has {some[0][0]} and {', '.join(some[1])} too, must have one of them"
            continue
        for key in some[0]:
            if key in given and key in own:
                yield f"{place_of}: {key} = {own[key]:g}, but {place} gives it too: remove one"
            elif key not in given and key not in own:
                yield f"{place_of}: {key} is given neither there nor by {place}"
            else:
                yield key, key in own
