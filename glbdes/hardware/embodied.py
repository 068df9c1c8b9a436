"""Embodied carbon: what making the replicas emitted, spread over their lives.

    kg_per_h[r] = replicas * embodied_kg / (life_years * 8760 h)

whether replicas work, rest or sleep. A GPU of 164 kg and its eighth of a server of 5,700 kg, over 3 years, as EcoLogits
has them (its methodology of LLM inference), come to 33 g a replica-hour.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from glbdes.scenario.model import Pool, Region
from glbdes.units import H_PER_DAY

H_PER_YEAR: Final = 365 * H_PER_DAY


def embodied_kg_per_h(shared: Pool, regions: Mapping[str, Region]) -> NDArray[np.float64] | None:
    """[r] kg an hour of all replicas of each region, 0 where nobody says; None if nobody does anywhere.

    Keys are a region's own, or those of `shared`. That either has both or none was a rule of the scenario.
    """
    found = [_kg_per_h(shared, region) for region in regions.values()]
    return None if all(one is None for one in found) else np.array([one or 0.0 for one in found])


def _kg_per_h(shared: Pool, region: Region) -> float | None:
    kg = shared.embodied_kg if region.embodied_kg is None else region.embodied_kg
    years = shared.life_years if region.life_years is None else region.life_years
    replicas = region.replicas or shared.replicas or 1
    return None if kg is None or years is None else replicas * kg / (years * H_PER_YEAR)
