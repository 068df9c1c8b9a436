"""Policies without a memory: nearest, uniform, and the paper's GLB baselines, which minimise a weighted sum per slot.

The weighted sum of region r in a slot is, per request,

    price[r] = cost_weight * cost[r] + mu_c * carbon[r] + mu_w * water[r] + sum_k mu_k * footprint_k[r]           (P)

and the plan is the optimum of the slot's linear programme (`transport`) at these prices. They are the baselines
GLB-Energy, GLB-Carbon, GLB-Water, GLB-C2 and GLB-All of "Towards Environmentally Equitable AI via Geographical Load
Balancing" (arXiv 2307.05494); the weights of the last two are those of the authors' published notebook.
"""

from collections.abc import Mapping

import numpy as np

from glbdes.errors import RefusalError, nearest
from glbdes.policy import awake, transport
from glbdes.units import KG_PER_T, L_PER_M3
from glbdes.world import Floats, Plan, View
from glbdes.world.arrays import FOOTPRINTS


class Nearest:
    """Every gateway sends everything to its region of lowest latency that is up, whatever that holds (GLB-Nearest)."""

    def plan(self, view: View) -> Floats:
        """Ties go to the lowest index."""
        latency = np.where(view.mask, view.latency_s, np.inf)
        return np.asarray(np.eye(latency.shape[1])[latency.argmin(axis=1)])


class Uniform:
    """Every gateway sends equal shares to all its regions that are up, whatever they hold."""

    def plan(self, view: View) -> Floats:
        """1 / number of allowed regions."""
        return np.asarray(view.mask / view.mask.sum(axis=1, keepdims=True))


class WeightedSum:
    """The cheapest plan by price (P): `cost_weight` x energy cost + prices of total carbon, water and other footprints.

    `further` : USD per unit of further footprints, by name.

    Raises `ValueError` if a weight is negative or not finite, or none is positive; when it plans, `RefusalError` for
    footprints that there are not.
    """

    def __init__(
        self,
        cost_weight: float,
        carbon_usd_per_t: float,
        water_usd_per_m3: float,
        further: Mapping[str, float] | None = None,
    ) -> None:
        weights = {
            "cost_weight": cost_weight,
            "carbon_usd_per_t": carbon_usd_per_t,
            "water_usd_per_m3": water_usd_per_m3,
            **{f"further.{name}": usd for name, usd in (further or {}).items()},
        }
        for name, value in weights.items():
            if not 0 <= value < np.inf:
                raise ValueError(f"{name} = {value}, must be >= 0 and finite")
        if not any(weights.values()):
            raise ValueError("all weights are 0, so every plan is as good as any other")
        self.cost_weight = cost_weight
        self.carbon_usd_per_kg = carbon_usd_per_t / KG_PER_T
        self.water_usd_per_l = water_usd_per_m3 / L_PER_M3
        self.further = dict(further or {})

    def plan(self, view: View) -> Floats | Plan:
        """The optimum of the slot's linear programme, in whole replicas where plans say how many are awake."""
        price_usd = (
            self.cost_weight * view.cost_usd_per_request
            + self.carbon_usd_per_kg * view.carbon_kg_per_request
            + self.water_usd_per_l * view.water_l_per_request
        )
        for name, usd in self.further.items():
            known = view.footprints[len(FOOTPRINTS) :]
            if name not in known:
                told = f"must be one of {', '.join(known)}" if known else "the scenario names none"
                raise RefusalError(f"further.{name}: no such footprint, {told}{nearest(name, known)}")
            price_usd = price_usd + usd * view.footprint_per_request[view.footprints.index(name)]
        return awake.answer(transport.plan(price_usd, view), price_usd, view)


def cost() -> WeightedSum:
    """Least energy cost (GLB-Energy)."""
    return WeightedSum(1.0, 0.0, 0.0)


def carbon() -> WeightedSum:
    """Least total carbon (GLB-Carbon)."""
    return WeightedSum(0.0, KG_PER_T, 0.0)


def water() -> WeightedSum:
    """Least total water (GLB-Water)."""
    return WeightedSum(0.0, 0.0, L_PER_M3)


def cost_carbon(carbon_usd_per_t: float = 600.0) -> WeightedSum:
    """Least energy cost + price of total carbon (GLB-C2)."""
    return WeightedSum(1.0, carbon_usd_per_t, 0.0)


def cost_carbon_water(
    carbon_usd_per_t: float = 300.0, water_usd_per_m3: float = 30.0, further: Mapping[str, float] | None = None
) -> WeightedSum:
    """Least energy cost + prices of total carbon and water (GLB-All), and of `further` footprints, USD per unit."""
    return WeightedSum(1.0, carbon_usd_per_t, water_usd_per_m3, further)
