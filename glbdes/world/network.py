"""One-way latency between gateways and regions: from the map, or from the scenario's own table.

latency = base + detour * great-circle distance / speed of light in fibre                                    (L)
"""

from math import asin, cos, radians, sin, sqrt

import numpy as np
from numpy.typing import NDArray

from glbdes.scenario import Scenario
from glbdes.scenario.model import Place
from glbdes.units import EARTH_RADIUS_KM, FIBRE_KM_PER_S


def latency_s(scenario: Scenario) -> NDArray[np.float64]:
    """Seconds [g, r] from each gateway to each region, in the order of the scenario."""
    gateways, regions, network = scenario.gateways, scenario.regions, scenario.network
    if network.latency_s is not None:
        rows = [[network.latency_s[gateway][region] for region in regions] for gateway in gateways]
        return np.array(rows, dtype=np.float64)
    km = [[great_circle_km(gateway, region) for region in regions.values()] for gateway in gateways.values()]
    return network.base_s + network.detour * np.array(km, dtype=np.float64) / FIBRE_KM_PER_S


def great_circle_km(one: Place, other: Place) -> float:
    """Distance over the surface of a spherical earth, by the haversine formula."""
    north, other_north = radians(one.latitude_deg), radians(other.latitude_deg)
    east = radians(other.longitude_deg - one.longitude_deg)
    h = sin((other_north - north) / 2) ** 2 + cos(north) * cos(other_north) * sin(east / 2) ** 2
    return 2 * EARTH_RADIUS_KM * asin(min(1.0, sqrt(h)))
