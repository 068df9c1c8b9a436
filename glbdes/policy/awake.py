"""How many replicas to keep awake: the plan of a slot, made up of whole replicas.

The slot's programme (`transport`) reckons with a request's part of an awake replica, as if replicas could be cut up.
Here they are rounded up, and then, region by region, those with the most to spare first, one replica fewer is tried: if
what moves elsewhere costs less there than the replica does here, it sleeps. With n[r] awake, e[r] the energy of an
awake replica beyond one that sleeps, a[r] what a request adds to it, and p[r] the price of a kWh, footprints included,

    min  sum_r p[r] (e[r] n[r] + a[r] x[r])    over plans x, with x[r] <= n[r] x what a replica should serve       (A)

is searched so; it is the price of serving and of equity alike, so that both decide together.
"""

from typing import NamedTuple

import numpy as np

from glbdes.base import portable
from glbdes.policy import transport
from glbdes.world import Floats, Ints, Plan, View

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
    kwh_usd = price_usd / view.it_kwh_per_request
    request_kwh = view.it_kwh_per_request - view.awake_kwh / (view.replica_rps * view.slot_s)
    task = _Task(view, kwh_usd * view.awake_kwh, kwh_usd * request_kwh, view.replica_rps, view.awake_most)
    load_rps = portable.product(view.demand_rps, weights)
    needed = np.ceil(portable.rounded(load_rps / view.replica_rps)).astype(np.int64)
    awake = np.clip(needed, view.awake_least, view.awake_most)
    best = _Found(_usd(task, load_rps, awake), weights, awake)
    if view.delay_usd_per_s == 0:
        best = _fewer(task, best, view.awake_least)
    return Plan(best.weights, best.awake)


def _fewer(task: _Task, best: _Found, least: Ints) -> _Found:
    """`best`, or what is left of it when replicas that are not worth it have been put to sleep."""
    load_rps = portable.product(task.view.demand_rps, best.weights)
    spare = portable.rounded(best.awake - load_rps / task.replica_rps)
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
    view = task.view
    room = np.where(awake == task.most, view.capacity_rps, np.minimum(awake * task.replica_rps, view.capacity_rps))
    room = np.where(awake > 0, room, 0.0)
    stranded = ~(view.mask & (room > 0)).any(axis=1) & (view.demand_rps > 0)
    if stranded.any():
        return None
    flow = transport.solve(task.request_usd, view.demand_rps, room, view.mask)
    if flow.factor > 1:
        return None
    weights = transport.near(flow.weights, view)
    return _Found(_usd(task, portable.product(view.demand_rps, weights), awake), weights, awake)


def _usd(task: _Task, load_rps: Floats, awake: Ints) -> float:
    return float(np.sum(task.awake_usd * awake + task.request_usd * load_rps * task.view.slot_s))
