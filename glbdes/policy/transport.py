"""The linear programme of one slot: send each gateway's demand where it costs least, within the regions' capacities.

    min  sum_{g,r} cost[g,r] x[g,r]
    s.t. sum_r x[g,r] = demand[g],  sum_g x[g,r] <= capacity[r],  x >= 0,  x[g,r] = 0 where mask[g,r] is False   (T)

Solved exactly. Gateways that the programme cannot tell apart (equal costs, equal masks) are one gateway of their joint
demand, and each of them gets the same weights. With one such class left, filling the regions in order of cost is
optimal; with several, successive shortest paths on the transportation network (Ahuja, Magnanti, Orlin, *Network Flows*,
section 9.7) are. Ties go to the lowest index. Costs are taken to 1e-12 of the largest, so that no rounding error says
where load goes; in these units they are whole, and the costs of paths exact.

*Overload.* If the demand does not fit, every capacity is raised by the same factor, the smallest with which it does,
so that the regions which gateways compete for are overloaded evenly:

    factor = max(1, max over sets S of gateways of demand(S) / capacity(regions that S may use))                  (C)

The factor is found by the discrete Newton method: the gateways cut off in a flow that falls short are the next S.

*Travel.* Where a request costs the same wherever it enters, many flows are optimal: of those with the regional loads
found, plans are the one of least network time (`optimum.travel`).
"""

from typing import NamedTuple

import numpy as np

from glbdes.base import portable
from glbdes.errors import InfeasibleError
from glbdes.optimum import travel
from glbdes.world import Bools, Floats, View

FITS = 1e-9  # of a region's capacity: what rounding elsewhere may leave
TOLERANCE = 1e-12  # of the total demand: what rounding may leave


class Flow(NamedTuple):
    """An optimal solution of (T). `weights` are the flow in shares of the demand, defined where there is none, too."""

    rate: Floats  # [g, r] in the unit of the demand
    weights: Floats  # [g, r] rows sum to 1
    factor: float  # what every capacity was raised by; 1 unless overloaded


def plan(cost: Floats, view: View) -> Floats:
    """`weights[g, r]` that serve the slot's demand at the least `cost` per request ([r] or [g, r]).

    With `cost` [r], they are of the least network time among the plans with their regional loads.
    """
    weights = solve(cost, view.demand_rps, view.capacity_rps, view.mask).weights
    return weights if cost.ndim > 1 else near(weights, view)


def near(weights: Floats, view: View) -> Floats:
    """`weights`, or others that load the regions alike and let requests travel least."""
    return travel.least(weights, view.demand_rps, view.latency_s, view.mask)


def priced(price_usd: Floats, view: View) -> Floats:
    """As `plan` at `price_usd` [r] per request, and with what delay costs, if it has a price.

    The network counts both ways. Expected waiting is convex in a region's load, so each of its pieces is a region of
    its own here, and the cheaper ones come first by themselves.
    """
    if view.delay_usd_per_s == 0:
        return plan(price_usd, view)
    gateways, regions = view.mask.shape
    travel_usd = price_usd + 2 * view.delay_usd_per_s * view.latency_s  # [g, r]
    if view.waiting is None:
        return near(plan(travel_usd, view), view)
    width_rps, wait_s = view.waiting
    cost = (travel_usd[:, None, :] + view.delay_usd_per_s * wait_s).reshape(gateways, -1)
    flow = solve(cost, view.demand_rps, width_rps.ravel(), np.tile(view.mask, (1, len(width_rps))))
    return near(flow.weights.reshape(gateways, -1, regions).sum(axis=1), view)


def solve(cost: Floats, demand: Floats, capacity: Floats, mask: Bools) -> Flow:
    """An optimal solution of (T).

    cost : float[r] or float[g, r], finite, of any sign. demand : float[g], >= 0. capacity : float[r], >= 0, in the
    unit of the demand. mask : bool[g, r], at least one region for each gateway.
    Raises `InfeasibleError` if gateways with demand may only use regions that have no capacity at all.
    """
    cost = portable.graded(cost)
    first, member = _classes(cost, mask)
    if len(first) == 1:
        shared = cost if cost.ndim == 1 else cost[0]
        weights, factor = _fill(shared, float(demand.sum()), capacity, mask[0])
        return Flow(demand[:, None] * weights, np.tile(weights, (len(demand), 1)), factor)
    joint = np.bincount(member, weights=demand, minlength=len(first)).astype(np.float64)
    by_class = np.broadcast_to(cost, mask.shape)[first]
    rate, factor = _raised(by_class, joint, capacity, mask[first])
    weights = _shares(rate, by_class, capacity * factor, mask[first])[member]
    return Flow(demand[:, None] * weights, weights, factor)


def cut_off(demand: Floats, capacity: Floats, mask: Bools) -> Bools | None:
    """Gateways [g] that ask for more than the regions open to them have; None if the demand fits but for rounding."""
    _, cut = _shortest_paths(np.zeros(mask.shape), demand, capacity * (1 + FITS), mask)
    return cut


def _classes(cost: Floats, mask: Bools) -> tuple[list[int], list[int]]:
    """The first gateway of each class of gateways that are alike, and the class of each gateway."""
    gateways = len(mask)
    if cost.ndim == 1 and bool((mask == mask[0]).all()):
        return [0], [0] * gateways
    seen: dict[bytes, int] = {}
    first: list[int] = []
    member: list[int] = []
    for g in range(gateways):
        key = mask[g].tobytes() if cost.ndim == 1 else mask[g].tobytes() + cost[g].tobytes()
        if key not in seen:
            seen[key] = len(first)
            first.append(g)
        member.append(seen[key])
    return first, member


def _fill(cost: Floats, demand: float, capacity: Floats, allowed: Bools) -> tuple[Floats, float]:
    """Weights [r] of one gateway, the cheapest regions first, and the factor of overload."""
    order = [r for r in np.argsort(cost, kind="stable").tolist() if allowed[r]]
    room = capacity.tolist()
    total = float(np.cumsum(capacity[order])[-1])
    if demand > 0 and total <= 0:
        raise InfeasibleError(f"demand of {demand:g} requests/s, but none of its regions has any capacity")
    factor = max(1.0, demand / total) if demand > 0 else 1.0
    weights = np.zeros(len(cost))
    left = demand
    for r in order:
        sent = min(left, room[r] * factor)
        weights[r] = sent
        left -= sent
        if left <= 0:
            break
    served = demand - left  # the demand itself, but for rounding
    if served <= 0:
        weights[next((r for r in order if room[r] > 0), order[0])] = 1.0
        return weights, factor
    return weights / served, factor


def _raised(cost: Floats, demand: Floats, capacity: Floats, mask: Bools) -> tuple[Floats, float]:
    """An optimal flow [g, r] and the factor (C) that the capacities had to be raised by."""
    factor, nudge = 1.0, TOLERANCE
    while True:
        rate, cut = _shortest_paths(cost, demand, capacity * factor, mask)
        if cut is None:
            return rate, factor
        reachable = float(capacity[mask[cut].any(axis=0)].sum())
        if reachable <= 0:
            raise InfeasibleError(
                f"demand of {demand[cut].sum():g} requests/s, but none of its regions has any capacity"
            )
        # More than before, but for rounding: the nudge keeps a last bit from bringing the same cut back for ever.
        factor = max(float(demand[cut].sum()) / reachable, factor * (1 + nudge))
        nudge *= 2


def _shortest_paths(cost: Floats, demand: Floats, capacity: Floats, mask: Bools) -> tuple[Floats, Bools | None]:
    """A least-cost flow [g, r]; if it falls short, also the set S of gateways [g] that no free capacity is open to.

    Each round sends as much as fits along the cheapest path, over flows that may be taken back, from any gateway with
    demand left to any region with room left.
    """
    forward = np.where(mask, cost, np.inf)
    rate = np.zeros(mask.shape)
    left, room = demand.astype(np.float64), capacity.astype(np.float64)
    done = TOLERANCE * float(demand.sum())
    while left.max() > done:
        labels = _labels(forward, rate, left > done)
        ends = np.where(room > 0, labels.to_region, np.inf)
        r = int(ends.argmin())
        if ends[r] == np.inf:
            return rate, np.isfinite(labels.to_gateway)
        _augment(rate, left, room, r, labels)
    return rate, None


class _Labels(NamedTuple):
    to_region: Floats  # [r] cost of the cheapest residual path from a source
    to_gateway: Floats  # [g]
    via: list[int]  # [r] the gateway before each region; -1: none
    back: list[int]  # [g] the region before each gateway, whose flow is taken back; -1: none, a source


def _labels(forward: Floats, rate: Floats, source: Bools) -> _Labels:
    """Cheapest paths by label correction (Bellman and Ford) on whole arrays.

    Residual costs of either sign are welcome and there are no potentials to keep. Costs are whole numbers, so sums of
    them are exact, and no rounding closes a cycle.
    """
    gateways, regions = forward.shape
    backward = np.where(rate > 0, forward, -np.inf)
    to_gateway = np.where(source, 0.0, np.inf)
    to_region = np.full(regions, np.inf)
    via, back = np.full(regions, -1), np.full(gateways, -1)
    rows, columns = np.arange(gateways), np.arange(regions)
    for _ in range(gateways + 1):
        step = to_gateway[:, None] + forward
        g = step.argmin(axis=0)
        better = step[g, columns] < to_region
        if not better.any():
            break
        to_region = np.where(better, step[g, columns], to_region)
        via = np.where(better, g, via)
        step = to_region - backward
        r = step.argmin(axis=1)
        better = step[rows, r] < to_gateway
        if not better.any():
            break
        to_gateway = np.where(better, step[rows, r], to_gateway)
        back = np.where(better, r, back)
    return _Labels(to_region, to_gateway, via.tolist(), back.tolist())


def _augment(rate: Floats, left: Floats, room: Floats, r: int, labels: _Labels) -> None:
    """Send what fits along the labelled path that ends in region `r`."""
    arcs: list[tuple[int, int, float]] = []  # gateway, region, +1 sent or -1 taken back
    fits = float(room[r])
    here = r
    while True:
        g = labels.via[here]
        arcs.append((g, here, 1.0))
        here = labels.back[g]
        if here < 0:
            break
        arcs.append((g, here, -1.0))
        fits = min(fits, float(rate[g, here]))
    fits = min(fits, float(left[g]))
    for gateway, region, sign in arcs:
        rate[gateway, region] += sign * fits
    left[g] -= fits
    room[r] -= fits


def _shares(rate: Floats, cost: Floats, capacity: Floats, mask: Bools) -> Floats:
    """Flows as shares of each row; a row without any flow goes to its cheapest region that has room left."""
    sums = rate.sum(axis=1)
    shares = rate / np.where(sums > 0, sums, 1.0)[:, None]
    for g in np.flatnonzero(sums <= 0):
        free = mask[g] & (rate.sum(axis=0) < capacity)
        shares[g, np.where(free if free.any() else mask[g], cost[g], np.inf).argmin()] = 1.0
    return shares
