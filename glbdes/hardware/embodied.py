"""Embodied carbon: what making the replicas emitted, spread over their lives.

    kg_per_h[r] = replicas * embodied_kg / (life_years * 8760 h)

whether replicas work, rest or sleep. A GPU of 164 kg and its eighth of a server of 5,700 kg, over 3 years, as EcoLogits
has them (its methodology of LLM inference), come to 33 g a replica-hour.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from glbdes.scenario.pools import Pool
from glbdes.units import H_PER_DAY

H_PER_YEAR: Final = 365 * H_PER_DAY


def embodied_kg_per_h(shared: Pool, pools: Mapping[str, Pool]) -> NDArray[np.float64] | None:
    """[r] kg an hour of all replicas of each pool, 0 where nobody says; None if nobody does anywhere.

    Keys are a pool's own, or those of `shared`. That either has both or none was a rule of the scenario.
    """
    found = [_kg_per_h(shared, own) for own in pools.values()]
    return None if all(one is None for one in found) else np.array([one or 0.0 for one in found])


def _kg_per_h(shared: Pool, own: Pool) -> float | None:
    kg = shared.embodied_kg if own.embodied_kg is None else own.embodied_kg
    years = shared.life_years if own.life_years is None else own.life_years
    replicas = own.replicas or shared.replicas or 1
    return None if kg is None or years is None else replicas * kg / (years * H_PER_YEAR)
