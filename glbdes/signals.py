"""Price, carbon intensity and water factors of each slot and region."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Signals:
    """Hourly (or slotwise) environment of each region, arrays [slot, region].

    `stale_slots` is how old the value in force is: 0 where it was known, n where the last known value is n slots old.
    """

    price_usd_per_kwh: Floats
    carbon_g_per_kwh: Floats
    wue_l_per_kwh: Floats  # on site, per IT kWh
    ewif_l_per_kwh: Floats  # off site, per grid (facility) kWh
    pue: Floats
    stale_slots: NDArray[np.int64]

    def upto(self, slot: int) -> "Signals":
        """The slots before `slot`, as views."""
        return Signals(*(getattr(self, name)[:slot] for name in self.__dataclass_fields__))
