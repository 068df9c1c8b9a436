"""Hitchcock's problem: what gateways send and what regions get is given; how, at the least total cost?

    min  sum_{g,r} cost[g,r] x[g,r]
    s.t. sum_r x[g,r] = demand[g],  sum_g x[g,r] = load[r],  x >= 0,  x[g,r] = 0 unless allowed[g,r]              (H)

By successive shortest paths, a gateway at a time, over flows that may be taken back (Ahuja, Magnanti, Orlin, *Network
Flows*, section 9.7; Jonker and Volgenant, Computing 38, 1987, for the order). Prices v[r] of the regions keep
cost[g,r] - v[r] smallest where gateway g sends anything, so lengths of paths are never negative and Dijkstra's labels
do. Costs are whole numbers: sums of them are exact, and no rounding makes a cycle worth going round.

Gateways that are alike, with the same costs and the same mask, are one gateway of their joint demand.
"""

from typing import Final

import numpy as np

from glbdes.base.compiled import helper, kernel
from glbdes.errors import InvariantError
from glbdes.world import Bools, Floats

DUST: Final = 1e-14  # of the total demand: what a flow must be above to count as one
LEFT: Final = 1e-11  # of the total demand: what rounding of loads may leave of it
GRADES: Final = 10.0**12  # whole numbers that costs are taken to
FAR: Final = np.iinfo(np.int64).max
MEMBER, BACK, PRICE, LENGTH, VIA = range(5)  # rows of what `_send` writes on
KEPT, MADE, LOST = range(3)  # what `_solve` ends with


def solve(cost: Floats, demand: Floats, weights: Floats, allowed: Bools) -> Floats:
    """An optimal solution of (H) for the loads of `weights` [g, r], as weights; these themselves if they are one.

    cost : float[g, r], >= 0. demand : float[g], >= 0. allowed : bool[g, r], which `weights` keep to. Loads are the
    same to 1e-12 of the total demand. Ties go to the lowest index; gateways without demand keep their weights.
    Raises `InvariantError` if the loads cannot be made up of what gateways may send.
    """
    gateways, regions = allowed.shape
    found, rate = np.empty((gateways, regions)), np.zeros((gateways, regions))
    whole = np.empty((gateways, regions), dtype=np.int64)
    notes = np.zeros((5, max(gateways, regions)), dtype=np.int64)
    ended = _solve(cost, demand, weights, allowed, found, rate, whole, demand.copy(), np.zeros(regions), notes)
    if ended == LOST:
        raise InvariantError("least travel: regions' loads cannot be made up of what gateways may send")
    return weights if ended == KEPT else found


@kernel
def _solve(cost, demand, weights, allowed, found, rate, whole, left, room, notes):
    """`solve` into `found` [g, r]. The rest is room to write on: `rate`, `whole` [g, r], `left` [g], `room` [r]."""
    gateways, regions = allowed.shape
    total, largest, away = 0.0, 0.0, 0.0
    for g in range(gateways):
        total += demand[g]
        nearest = np.inf
        for r in range(regions):
            if allowed[g, r]:
                largest = max(largest, cost[g, r])
                nearest = min(nearest, cost[g, r])
        for r in range(regions):
            sent = demand[g] * weights[g, r]
            room[r] += sent
            if sent > 0.0:
                away += sent * (cost[g, r] - nearest)
    dust, loaded = DUST * total, 0
    for r in range(regions):
        loaded += room[r] > dust
    if loaded <= 1 or away <= DUST * total * largest:
        return KEPT
    for g in range(gateways):
        for r in range(regions):
            whole[g, r] = np.int64(np.rint(cost[g, r] / largest * GRADES)) if allowed[g, r] else 0
    if _merge(whole, allowed, left, notes[MEMBER]) == 1:
        return KEPT
    if _send(whole, allowed, left, room, rate, notes, dust) > LEFT * total:
        return LOST
    for g in range(gateways):
        first, sum_ = notes[MEMBER, g], 0.0
        for r in range(regions):
            sum_ += max(rate[first, r], 0.0)
        for r in range(regions):
            kept = demand[g] <= 0.0 or sum_ <= 0.0
            found[g, r] = weights[g, r] if kept else max(rate[first, r], 0.0) / sum_
    return MADE


@helper
def _merge(cost, allowed, left, member):
    """The number of classes of gateways, called after the first of each; `left` [g] becomes the class's."""
    gateways, regions = cost.shape
    classes = 0
    for g in range(gateways):
        member[g] = g
        for other in range(g):
            alike = member[other] == other
            for r in range(regions):
                if not alike or allowed[g, r] != allowed[other, r] or cost[g, r] != cost[other, r]:
                    alike = False
                    break
            if alike:
                member[g] = other
                left[other] += left[g]
                left[g] = 0.0
                break
        classes += member[g] == g
    return classes


@helper
def _send(cost, allowed, left, room, rate, notes, dust):
    """Fill `rate` [g, r] from `left` [g] into `room` [r]; how much is left.

    price : v[r]. length : [r] of the shortest path from the gateway at hand, less a constant. via : [r] the gateway
    before each region; -1: none; -2 less it: for good. back : [g] the region before each gateway, whose flow is taken
    back; -1: the gateway at hand, -2: not reached.
    """
    gateways, regions = rate.shape
    back, price, length, via = notes[BACK], notes[PRICE], notes[LENGTH], notes[VIA]
    rounds = 0
    for source in range(gateways):
        while left[source] > dust:
            rounds += 1
            if rounds > 64 * (gateways + 1) * (regions + 1):
                return np.inf  # never: a flow that goes round would be a fault of ours, and must not be waited for
            for r in range(regions):
                length[r] = FAR
                via[r] = -1
            for g in range(gateways):
                back[g] = -2
            back[source] = -1
            for r in range(regions):
                if allowed[source, r]:
                    length[r] = cost[source, r] - price[r]
                    via[r] = source
            end = -1
            while True:
                here = -1
                for r in range(regions):
                    if via[r] >= 0 and (
                        here < 0
                        or length[r] < length[here]
                        or (length[r] == length[here] and room[r] > dust and room[here] <= dust)
                    ):
                        here = r
                if here < 0:
                    break
                if room[here] > dust:
                    end = here
                    break
                via[here] = -2 - via[here]
                for g in range(gateways):
                    if back[g] == -2 and rate[g, here] > dust:
                        back[g] = here
                        base = length[here] - (cost[g, here] - price[here])
                        for r in range(regions):
                            if allowed[g, r] and via[r] >= -1:
                                through = base + cost[g, r] - price[r]
                                if through < length[r]:
                                    length[r] = through
                                    via[r] = g
            if end < 0:
                break
            for r in range(regions):
                if via[r] < -1:
                    price[r] += length[r] - length[end]
                    via[r] = -2 - via[r]
            fits = min(room[end], left[source])
            r = end
            while True:
                g = via[r]
                r = back[g]
                if r < 0:
                    break
                fits = min(fits, rate[g, r])
            room[end] -= fits
            left[source] -= fits
            r = end
            while True:
                g = via[r]
                rate[g, r] += fits
                r = back[g]
                if r < 0:
                    break
                rate[g, r] -= fits
    short = 0.0
    for g in range(gateways):
        short += left[g]
    return short
