"""Which footprints there are: carbon, water, and what a scenario names besides, each with its unit and its price.

Footprints have the index k wherever they stand side by side: carbon (kg), water (L), then the further ones in the order
of the scenario, each in its own unit.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from glbdes.units import KG_PER_T, L_PER_M3

Floats = NDArray[np.float64]


class Footprint(NamedTuple):
    """One footprint."""

    name: str
    unit: str
    usd: float  # per unit of the objective's norm of it; 0: it is told, and nothing else

    @property
    def column(self) -> str:
        """What amounts of it are called in records."""
        return f"{self.name}_{self.unit}"

    @property
    def dual_column(self) -> str:
        """What a policy's price of it is called in records."""
        return f"{self.name}_dual_usd_per_{self.unit}"

    @property
    def rate_column(self) -> str:
        """What of it a kWh of IT energy has, in records; carbon and water are told by their signals."""
        return f"{self.name}_{self.unit}_per_it_kwh"


def further(scenario: Mapping[str, Any]) -> tuple[Footprint, ...]:
    """The footprints beyond carbon and water of a scenario's plain document."""
    named: Mapping[str, Any] = scenario.get("footprints") or {}
    return tuple(Footprint(name, one["unit"], one.get("price_usd_per_unit", 0.0)) for name, one in named.items())


def built_in(carbon_usd_per_kg: float, water_usd_per_l: float) -> tuple[Footprint, Footprint]:
    """Carbon and water."""
    return Footprint("carbon", "kg", carbon_usd_per_kg), Footprint("water", "l", water_usd_per_l)


def every(scenario: Mapping[str, Any]) -> tuple[Footprint, ...]:
    """All footprints of a scenario's plain document."""
    prices = scenario["objective"]
    usd = prices["carbon_usd_per_t"] / KG_PER_T, prices["water_usd_per_m3"] / L_PER_M3
    return (*built_in(*usd), *further(scenario))


def weight(region: Mapping[str, Any], name: str) -> float:
    """What footprint `name` of a region counts in the objective, by the region's plain document."""
    if name in ("carbon", "water"):
        return float(region.get(f"{name}_weight", 1.0))
    return float((region.get("footprint_weights") or {}).get(name, 1.0))


def no_further() -> Floats:
    """[0, r] of no footprint beyond carbon and water."""
    return np.zeros((0, 0))


def side_by_side(carbon: Floats, water: Floats, further: Floats) -> Floats:
    """[k, r] of carbon [r], water [r] and further footprints [k - 2, r], which may be none."""
    two = np.stack((carbon, water))
    return np.concatenate((two, further)) if len(further) else two


def with_further(dtype: np.dtype[Any], further: int) -> np.dtype[Any]:
    """`dtype` of requests with amounts of so many further footprints as a last field, `further`; of none, as it is."""
    return np.dtype([*dtype.descr, ("further", "f8", (further,))]) if further else dtype
