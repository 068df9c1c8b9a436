"""What planners reckon with where not all replicas are always awake; arrays [r], or [s, r]."""

import numpy as np

from glbdes.units import J_PER_KWH
from glbdes.world.alike import alone, least, together
from glbdes.world.arrays import Floats, World
from glbdes.world.scaling import Scaling


def capacity_rps(world: World) -> Floats:
    """[s, r] what a plan may use of each region in each slot, of the replicas that may be awake all through it."""
    if world.scaling is None or not world.scaling.caps:
        return np.tile(world.capacity_rps, (world.slots, 1))
    return np.stack([world.capacity_rps * allowed(world, world.scaling, slot) for slot in range(world.slots)])


def allowed(world: World, scaling: Scaling, slot: int) -> Floats:
    """[r] the share of a region's capacity that caps leave awake all through `slot`; of pools that are alike the first
    has that of all."""
    replicas, most = world.fleet.replicas, scaling.most(world.fleet.replicas, slot, world.period_ns)
    shares = np.asarray(most / replicas)
    if world.first_of is None:
        return shares
    of_all = [together(count * scaling.replica_rps, world.first_of) for count in (most, replicas)]
    return np.where(alone(world.first_of), shares, of_all[0] / of_all[1])


def awake_kwh(world: World) -> Floats:
    """[r] what a replica draws in a slot, awake and without work, beyond what it draws asleep; with its host."""
    return np.asarray(world.fleet.awake_w * world.slot_s / J_PER_KWH)


def shown_kwh(world: World) -> tuple[Floats, Floats]:
    """[r] IT energy that policies reckon with: of a request, and of a slot without any.

    Where as many replicas are awake as the load needs, a request bears its part of one that is awake (docs/model.md,
    eq. 18); of pools that are alike, the least of any.
    """
    scaling = world.scaling
    if scaling is None or not scaling.elastic or world.added_kwh is None:
        return world.planned_kwh_per_request, world.base_kwh
    each_kwh, served = awake_kwh(world), scaling.aimed_rps * world.slot_s
    return least(world.added_kwh + each_kwh / served, world.first_of), world.base_kwh + scaling.least * each_kwh
