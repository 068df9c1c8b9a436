"""How many replicas to keep awake: the plan of a slot, made up of whole replicas.

The slot's programme (`transport`) reckons with a request's part of an awake replica, as if replicas could be cut up.
Here they are rounded up, and then, region by region, those with the most to spare first, one replica fewer is tried: if
what moves elsewhere costs less there than the replica does here, it sleeps. With n[r] awake, e[r] the energy of an
awake replica beyond one that sleeps, a[r] what a request adds to it, and p[r] the price of a kWh, footprints included,

    min  sum_r p[r] (e[r] n[r] + a[r] x[r])    over plans x, with x[r] <= n[r] x what a replica should serve       (A)

is searched so; it is the price of serving and of equity alike, so that both decide together.

Of pools of one model in a region, x[r] is one number, with the first of them. They are filled one after the other,
those first whose requests take the least energy; a[r] is the mean of those awake, by what they serve.
"""

from typing import NamedTuple

import numpy as np

from glbdes.base import portable
from glbdes.policy import transport
from glbdes.world import Floats, Ints, Plan, View
from glbdes.world.alike import gathered, poured

BETTER = 1 - 1e-9  # of the cost before: what rounding may not decide


class _Task(NamedTuple):
    """(A) of one slot; arrays [r]."""

    view: View
    awake_usd: Floats  # of a replica that is awake
    request_usd: Floats
    replica_rps: Floats
    most: Ints


class _Found(NamedTuple):
    usd: float
    weights: Floats
    awake: Ints


def answer(weights: Floats, price_usd: Floats, view: View) -> Floats | Plan:
    """`weights` [g, r], or a plan like it that says how many replicas are awake, where plans do.

    `price_usd` : [r] of a request as the view shows it, with its part of an awake replica.
    """
    if view.awake_most is None or view.awake_least is None or view.replica_rps is None or view.awake_kwh is None:
        return weights
    kwh_usd, part_kwh = price_usd / view.it_kwh_per_request, view.awake_kwh / (view.replica_rps * view.slot_s)
    request_kwh = view.it_kwh_per_request - part_kwh
    if view.first_of is not None and view.added_kwh is not None:
        request_kwh = view.added_kwh
    task = _Task(view, kwh_usd * view.awake_kwh, kwh_usd * request_kwh, view.replica_rps, view.awake_most)
    load_rps = portable.product(view.demand_rps, weights)
    cheapest = np.argsort(request_kwh + part_kwh, kind="stable")
    rooms_rps = (view.awake_least * view.replica_rps, view.awake_most * view.replica_rps)
    each_rps = poured(load_rps, view.first_of, cheapest, *rooms_rps)
    needed = np.ceil(portable.rounded(each_rps / view.replica_rps)).astype(np.int64)
    awake = np.clip(needed, view.awake_least, view.awake_most)
    best = _Found(_usd(task, load_rps, awake), weights, awake)
    if view.delay_usd_per_s == 0:
        best = _fewer(task, best, view.awake_least)
    return Plan(best.weights, best.awake)


def _fewer(task: _Task, best: _Found, least: Ints) -> _Found:
    """`best`, or what is left of it when replicas that are not worth it have been put to sleep."""
    load_rps = portable.product(task.view.demand_rps, best.weights)
    spare = portable.rounded(best.awake - load_rps / task.replica_rps)
    first = task.view.first_of
    if first is not None:
        spare_rps = gathered(best.awake * task.replica_rps, first) - load_rps
        spare = portable.rounded(spare_rps[first] / task.replica_rps)
    for r in np.argsort(-spare, kind="stable").tolist():
        if best.awake[r] <= least[r] or spare[r] <= 0:
            continue
        awake = best.awake.copy()
        awake[r] -= 1
        found = _served(task, awake)
        if found is not None and found.usd < best.usd * BETTER:
            best = found
    return best


def _served(task: _Task, awake: Ints) -> _Found | None:
    """The best plan for so many replicas; None if the demand does not fit."""
    view, first = task.view, task.view.first_of
    aimed_rps = np.minimum(gathered(awake * task.replica_rps, first), view.capacity_rps)
    room = np.where(gathered(task.most - awake, first) == 0, view.capacity_rps, aimed_rps)
    room = np.where(gathered(awake, first) > 0, room, 0.0)
    stranded = ~(view.mask & (room > 0)).any(axis=1) & (view.demand_rps > 0)
    if stranded.any():
        return None
    flow = transport.solve(_request_usd(task, awake), view.demand_rps, room, view.mask)
    if flow.factor > 1:
        return None
    weights = transport.near(flow.weights, view)
    return _Found(_usd(task, portable.product(view.demand_rps, weights), awake), weights, awake)


def _request_usd(task: _Task, awake: Ints) -> Floats:
    """[r] of a request where so many replicas are awake; of pools that are alike, the mean by what they serve."""
    first = task.view.first_of
    if first is None:
        return task.request_usd
    served_rps = awake * task.replica_rps
    sums_rps = gathered(served_rps, first)
    sums_usd = gathered(served_rps * task.request_usd, first)
    return np.where(sums_rps > 0, sums_usd / np.where(sums_rps > 0, sums_rps, 1.0), task.request_usd)


def _usd(task: _Task, load_rps: Floats, awake: Ints) -> float:
    return float(np.sum(task.awake_usd * awake + _request_usd(task, awake) * load_rps * task.view.slot_s))
