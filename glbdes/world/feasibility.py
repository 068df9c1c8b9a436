"""Whether regions can serve what gateways are expected to send them, slot by slot.

Load that may go to several regions fits exactly if no set of gateways asks for more than the regions open to any of
them have (Hall's condition, as max-flow = min-cut):

    sum of demand[g] over the gateways whose regions all lie in U  <=  sum of capacity[r] over U                  (H)

for every union U of the gateways' own sets of regions that does not fall apart into two without a region in common.
Without a mask that is one comparison; with one the unions are few, because gateways near one another may use the same
regions.
"""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from scipy.optimize import linprog

from glbdes.base import portable
from glbdes.errors import InfeasibleError
from glbdes.scenario import Scenario, pools
from glbdes.world import awake
from glbdes.world.arrays import Bools, Floats, Ints, World
from glbdes.world.limits import row_names

UNIONS_MAX = 1 << 14  # beyond that many unions a linear programme for each slot is quicker
TOLERANCE = 1e-9  # relative; a load equal to the capacity fits


class Overload(NamedTuple):
    """A set of gateways that asks, in `slot`, for more than the regions open to it have."""

    slot: int
    gateways: Bools  # [g]
    regions: Bools  # [r]
    demand_rps: float
    capacity_rps: float


def check_load(scenario: Scenario, world: World) -> None:
    """Refuse a scenario whose expected load in some slot has nowhere to go: raises `InfeasibleError`."""
    capacity_rps, alike = np.unique(awake.capacity_rps(world), axis=0, return_inverse=True)
    worst = [_worst_of(world, capacity, np.flatnonzero(alike == one)) for one, capacity in enumerate(capacity_rps)]
    found = max(filter(None, worst), key=lambda one: one.demand_rps / one.capacity_rps, default=None)
    if found is None:
        return
    unit = "MW" if scenario.in_megawatts else "requests/s"
    gateways = _listed("gateway", row_names(scenario, world), found.gateways)
    regions = _listed("region", pools.labels(scenario), found.regions)
    raise InfeasibleError(
        f"scenario '{scenario.name}', slot {found.slot}: expected load of {gateways} = {found.demand_rps:.4g} {unit}, "
        f"must be <= {found.capacity_rps:.4g} {unit}: dispatch.max_utilisation = {scenario.dispatch.max_utilisation:g} "
        f"of {regions}, where it may go; lower workload.load_scale, add replicas, or set dispatch.overload = 'allow'"
    )


def _worst_of(world: World, capacity_rps: Floats, slots: Ints) -> Overload | None:
    """The worst overload of `slots`, in which plans may use `capacity_rps` [r]."""
    found = worst_overload(world.expected_rps[slots], capacity_rps, world.allowed)
    return None if found is None else found._replace(slot=int(slots[found.slot]))


def worst_overload(demand_rps: Floats, capacity_rps: Floats, allowed: Bools) -> Overload | None:
    """The set of gateways with the largest load for its capacity in any slot; None if everything fits.

    demand_rps : float[s, g], capacity_rps : float[r] > 0, allowed : bool[g, r].
    """
    sets = unions(allowed)
    if sets is None:
        sets = _binding_unions(demand_rps, capacity_rps, allowed)
    inside = np.asarray(~(allowed[None, :, :] & ~sets[:, None, :]).any(axis=2))  # [u, g]
    asked = portable.product(demand_rps, inside.T)  # [s, u]
    room = portable.product(sets, capacity_rps)  # [u]
    ratio = asked / room
    slot, u = (int(index) for index in np.unravel_index(np.argmax(ratio), ratio.shape))
    if ratio[slot, u] <= 1 + TOLERANCE:
        return None
    return Overload(slot, inside[u], sets[u], float(asked[slot, u]), float(room[u]))


def unions(allowed: Bools) -> Bools | None:
    """Every connected union [u, r] of rows of `allowed`, or None if there are too many to list.

    Connected: each row shares a region with another, and so on. (H) for a union that falls apart is the sum of (H) for
    its parts, so it says nothing new.
    """
    rows = np.unique(allowed, axis=0)
    rows = rows[rows.any(axis=1)]
    found = latest = rows
    while len(latest):
        grown = [(latest | row)[(latest & row).any(axis=1)] for row in rows]
        seen = {union.tobytes() for union in found}
        fresh = [union for union in np.unique(np.vstack(grown), axis=0) if union.tobytes() not in seen]
        latest = np.array(fresh, dtype=np.bool_).reshape(-1, allowed.shape[1])
        found = np.vstack([found, latest])
        if len(found) > UNIONS_MAX:
            return None
    return np.asarray(found)


def _binding_unions(demand_rps: Floats, capacity_rps: Floats, allowed: Bools) -> Bools:
    """For each slot the union [s, r] that (H) is tightest for.

    It is read off the dual of "the smallest factor on all capacities with which the slot's load fits": regions with a
    price are full, and what fills them has nowhere else to go.
    """
    gateways, regions = allowed.shape
    arcs = np.argwhere(allowed)
    sends = (arcs[:, 0][None, :] == np.arange(gateways)[:, None]).astype(np.float64)
    takes = (arcs[:, 1][None, :] == np.arange(regions)[:, None]).astype(np.float64)
    cost = np.append(np.zeros(len(arcs)), 1.0)
    equalities = np.hstack([sends, np.zeros((gateways, 1))])
    limits = np.hstack([takes, -capacity_rps[:, None]])
    unions = np.ones((len(demand_rps), regions), dtype=np.bool_)
    for slot, demand in enumerate(demand_rps):
        solved = linprog(cost, limits, np.zeros(regions), equalities, demand, method="highs")
        full = np.asarray(solved.ineqlin.marginals) < -TOLERANCE / capacity_rps.sum()
        if full.any():
            unions[slot] = full
    return unions


def _listed(kind: str, names: Collection[str], chosen: Bools) -> str:
    """ "all 10 regions", "regions texas, japan" or "region texas"."""
    picked = [name for name, one in zip(names, chosen, strict=True) if one]
    if len(picked) == 1:
        return f"{kind} {picked[0]}"
    return f"all {len(picked)} {kind}s" if len(picked) == len(names) else f"{kind}s {', '.join(picked)}"
