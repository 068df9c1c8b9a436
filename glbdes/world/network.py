"""Which regions a gateway may use, and how far they are: by the map, or by the scenario's own table.

latency = base + detour * great-circle distance / speed of light in fibre                                    (L)
"""

from collections.abc import Mapping
from math import asin, cos, radians, sin, sqrt

import numpy as np
from numpy.typing import NDArray

from glbdes.hardware.physics import to_clock_ns
from glbdes.scenario.model import Gateway, Network, Place, Region
from glbdes.units import EARTH_RADIUS_KM, FIBRE_KM_PER_S


def allowed(gateways: Mapping[str, Gateway], regions: Mapping[str, Region]) -> NDArray[np.bool_]:
    """Which regions each gateway may use, bool[g, r]."""
    rows = [
        [gateway.regions is None or region in gateway.regions for region in regions] for gateway in gateways.values()
    ]
    return np.array(rows, dtype=np.bool_)


def latency_ns(
    network: Network, gateways: Mapping[str, Gateway], regions: Mapping[str, Region], clock_ns: int
) -> NDArray[np.int64]:
    """[g, r] one way, on the clock; even a gateway's own region is one tick away."""
    rows = latency_s(network, gateways, regions).tolist()
    return np.array([[to_clock_ns(s, clock_ns) for s in row] for row in rows], dtype=np.int64)


def latency_s(network: Network, gateways: Mapping[str, Gateway], regions: Mapping[str, Region]) -> NDArray[np.float64]:
    """[g, r] seconds one way, from each gateway to each region."""
    if network.latency_s is not None:
        rows = [[network.latency_s[gateway][region] for region in regions] for gateway in gateways]
        return np.array(rows, dtype=np.float64)
    km = [[great_circle_km(gateway, region) for region in regions.values()] for gateway in gateways.values()]
    return network.base_s + network.detour * np.array(km, dtype=np.float64) / FIBRE_KM_PER_S


def great_circle_km(one: Place, other: Place) -> float:
    """Distance over the surface of a spherical earth, by the haversine formula; who says no place is at 0 N 0 E."""
    north, other_north = radians(one.latitude_deg or 0.0), radians(other.latitude_deg or 0.0)
    east = radians((other.longitude_deg or 0.0) - (one.longitude_deg or 0.0))
    h = sin((other_north - north) / 2) ** 2 + cos(north) * cos(other_north) * sin(east / 2) ** 2
    return 2 * EARTH_RADIUS_KM * asin(min(1.0, sqrt(h)))
