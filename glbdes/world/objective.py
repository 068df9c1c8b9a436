"""What is to be small: the objective in a world's units, with the waiting that it reckons with."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from glbdes.errors import ScenarioError
from glbdes.hardware import Service
from glbdes.scenario import footprints as scenario
from glbdes.scenario.model import Objective, Region
from glbdes.units import KG_PER_T, L_PER_M3
from glbdes.world import waiting
from glbdes.world.footprints import Footprint
from glbdes.world.waiting import Waiting


class Prices(NamedTuple):
    """Prices and weights of the objective's terms."""

    carbon_usd_per_kg: float
    water_usd_per_l: float
    equity_weight: NDArray[np.float64]  # [k, r]
    further: tuple[Footprint, ...]
    norm: float
    delay_usd_per_s: float
    waiting: Waiting | None  # None unless delay has a price


def prices(
    objective: Objective,
    regions: Mapping[str, Region],
    service: Service,
    most: float,
    further: Mapping[str, scenario.Footprint] | None = None,
) -> Prices:
    """`objective` over `regions`, whose load goes up to `most` of their capacity, with `further` footprints.

    Raises `ScenarioError`.
    """
    further = further or {}
    return Prices(
        carbon_usd_per_kg=objective.carbon_usd_per_t / KG_PER_T,
        water_usd_per_l=objective.water_usd_per_m3 / L_PER_M3,
        equity_weight=np.array([_weights(region, further) for region in regions.values()]).T,
        further=tuple(Footprint(name, one.unit, one.price_usd_per_unit) for name, one in further.items()),
        norm=float(objective.norm),
        delay_usd_per_s=objective.delay_usd_per_s,
        waiting=_waiting(objective, service, most) if objective.delay_usd_per_s > 0 else None,
    )


def _weights(region: Region, further: Iterable[str]) -> list[float]:
    """[k] of one region."""
    return [region.carbon_weight, region.water_weight, *(region.footprint_weights.get(name, 1.0) for name in further)]


def _waiting(objective: Objective, service: Service, most: float) -> Waiting:
    """What waits by load: from the scenario's table, or by Erlang C."""
    if objective.queue_wait_s is None:
        if service.servers is None:
            why = "needs objective.queue_wait_s, because regions with a `capacity` in MW have no servers to queue for"
            raise ScenarioError(f"objective.delay_usd_per_s = {objective.delay_usd_per_s:g}, {why}")
        return waiting.erlang_c(service.servers, service.capacity_rps, most)
    utilisation, mean_s = np.array(objective.queue_wait_s).T
    wait_s = np.tile(mean_s[:, None], len(service.capacity_rps))
    try:
        return waiting.from_wait(utilisation, wait_s, service.capacity_rps, most)
    except ValueError as error:
        raise ScenarioError(f"objective.queue_wait_s: {error}") from error
