"""What planners reckon with where not all replicas are always awake; arrays [r], or [s, r]."""

import numpy as np

from glbdes.units import J_PER_KWH
from glbdes.world.arrays import Floats, World


def capacity_rps(world: World) -> Floats:
    """[s, r] what a plan may use of each region in each slot, of the replicas that may be awake all through it."""
    replicas, scaling = world.fleet.replicas, world.scaling
    capacity = np.tile(world.capacity_rps, (world.slots, 1))
    if scaling is None or not scaling.caps:
        return capacity
    most = [scaling.most(replicas, slot, world.period_ns) for slot in range(world.slots)]
    return np.asarray(capacity * (np.array(most) / replicas))


def awake_kwh(world: World) -> Floats:
    """[r] what a replica draws in a slot, awake and without work, beyond what it draws asleep; with its host."""
    fleet = world.fleet
    more_w = fleet.idle_w + fleet.host_w - fleet.sleep_w - fleet.host_sleep_w
    return np.asarray(more_w * world.slot_s / J_PER_KWH)


def shown_kwh(world: World) -> tuple[Floats, Floats]:
    """[r] IT energy that policies reckon with: of a request, and of a slot without any.

    Where as many replicas are awake as the load needs, a request bears its part of one that is awake (docs/model.md,
    eq. 17).
    """
    scaling = world.scaling
    if scaling is None or not scaling.elastic or world.added_kwh is None:
        return world.planned_kwh_per_request, world.base_kwh
    each_kwh, served = awake_kwh(world), scaling.utilisation * scaling.replica_rps * world.slot_s
    return world.added_kwh + each_kwh / served, world.base_kwh + scaling.least * each_kwh
