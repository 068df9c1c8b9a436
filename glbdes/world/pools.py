"""Pools in the axis r of a world: one for each pool, and which region it stands in.

Where every region is one pool, r counts regions. Else r counts pools, those of a region side by side: a plan has a
column for each, so that a class reaches the pools of its model alone, and what regions bear is summed over their pools.
Pools of one model in one region are one to plans: the first of them stands for all, and the others' columns are closed;
which of them a request gets is decided as it reaches the region (docs/model.md, "Pools and models").
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from glbdes.hardware import Service
from glbdes.scenario.model import Region, Scenario
from glbdes.scenario.pools import Column
from glbdes.signals import Signals
from glbdes.world.alike import least, together

if TYPE_CHECKING:
    from glbdes.world.arrays import World

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Kind = TypeVar("Kind", bound=np.generic)


def region_of(columns: Sequence[Column]) -> Ints | None:
    """[r] the region of each pool; None where every region is one pool."""
    if all(one.pool is None for one in columns):
        return None
    return np.array([one.region for one in columns], dtype=np.int64)


def first_of(columns: Sequence[Column]) -> Ints | None:
    """[r] of each pool the first one of its model in its region, itself or before it; None where no two are alike."""
    alike = [(one.region, one.model) for one in columns]
    first = np.array([alike.index(one) for one in alike], dtype=np.int64)
    return None if (first == np.arange(len(first))).all() else first


def summed(values: NDArray[Any], region_of: Ints | None) -> NDArray[Any]:
    """[..., regions] sums of `values` [..., r] over the pools of each region, one after the other."""
    if region_of is None:
        return values
    found = np.zeros((*values.shape[:-1], int(region_of[-1]) + 1), dtype=values.dtype)
    for r, region in enumerate(region_of.tolist()):
        found[..., region] += values[..., r]
    return found


def at_pools(values: NDArray[Kind], region_of: Ints | None) -> NDArray[Kind]:
    """[..., r] of each pool what `values` [..., regions] has for its region."""
    return values if region_of is None else np.ascontiguousarray(values[..., region_of])


def signals_at_pools(signals: Signals, region_of: Ints | None) -> Signals:
    """`signals` of regions, for each of their pools."""
    if region_of is None:
        return signals
    return Signals(*(at_pools(getattr(signals, name), region_of) for name in signals.__dataclass_fields__))


def by_place(scenario: Scenario, columns: Sequence[Column]) -> Mapping[str, Region]:
    """The region of each pool, by the pool's place."""
    regions = list(scenario.regions.values())
    return {one.place: regions[one.region] for one in columns}


def serves(columns: Sequence[Column], models: Sequence[str | None]) -> Bools:
    """[model, r] which pools serve each of `models`."""
    return np.array([[one.model == model for one in columns] for model in models], dtype=np.bool_)


def joined(service: Service, first: Ints | None) -> Service:
    """What plans reckon with, where the first of pools that are alike, `first` [r], stands for all of them.

    It has the capacity and the places of all. A request there takes the mean of what it takes in each, by capacity; the
    least that it adds is the least of any. What it adds to replicas that are awake stays each pool's own.
    """
    if first is None:
        return service

    capacity = together(service.capacity_rps, first)
    return service._replace(
        capacity_rps=capacity,
        it_kwh_per_request=together(service.it_kwh_per_request * service.capacity_rps, first) / capacity,
        marginal_kwh=least(service.marginal_kwh, first),
        servers=None if service.servers is None else together(service.servers, first),
    )


def closed(world: "World") -> "World":
    """`world`, in which plans use none but the first of pools that are alike."""
    if world.first_of is None:
        return world
    leads, waiting = world.first_of == np.arange(world.regions), world.waiting
    if waiting is not None:
        waiting = waiting._replace(width_rps=np.where(leads, waiting.width_rps, 0.0))
    capacity_rps = np.where(leads, world.capacity_rps, 0.0)
    return replace(world, capacity_rps=capacity_rps, allowed=world.allowed & leads, waiting=waiting)
