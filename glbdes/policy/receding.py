"""Receding horizon: in every slot, the linear programme of what has been, is, and is expected.

With F[k, r] the priced footprints so far and a window (`window`) of the present slot j = 0 and n slots after it, each
of which stands for w[j] of those that are left (w[0] = 1, the others (T - t - 1) / n),

    min   sum_{j,r} w[j] cost[j,r] y[j,r] + sum_k M[k]                                                            (R)
    s.t.  F[k,r] + sum_j w[j] b[k,j,r] y[j,r] <= M[k]      for every footprint k and region r
          y[j] serves the demand of slot j within the capacities and the mask

is the offline problem (`glbdes.offline`) for a future that resembles the window. Its dual prices of the first rows are
the multipliers that the present slot is planned with, by its own programme (`transport`). Gateways with the same mask
are one. If a slot's demand does not fit, its capacities are raised together, at a price that no plan would pay
otherwise. HiGHS solves it through SciPy, which has no warm start.

The window is a forecast (`forecast`), its first prices those that the view knows ahead. With `truth`, a world whose
future is known, the policy is an upper bound of what better forecasts could bring, and the contract check refuses it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array

from glbdes.errors import PolicyError, nearest
from glbdes.policy import transport
from glbdes.policy.forecast import FORECASTS
from glbdes.policy.simplex import Feedback
from glbdes.policy.window import KNOWABLE, Window, expected, foretold
from glbdes.units import S_PER_H
from glbdes.world import Bools, Floats, Outcome, View, World

OVERLOAD_PRICE = 100.0  # of serving beyond capacity, in dearest prices of a slot


class RecedingHorizon:
    """Plans by (R). `duals` holds the prices that the last plan was made with."""

    def __init__(
        self,
        forecast: str = "trailing",
        window_h: float = 72.0,
        feedback: Feedback = "metered",
        truth: World | None = None,
        knows: Sequence[str] = KNOWABLE,
    ) -> None:
        """Raises `ValueError` naming the first argument out of range.

        forecast : one of `forecast.FORECASTS`. window_h : > 0, hours ahead, cut where the horizon ends. feedback :
        which footprints count as having been, "planned" or "metered" ones. truth : a world whose future is known; the
        window then reaches to its end. knows : what is known of it, of `KNOWABLE`.
        """
        if forecast not in FORECASTS:
            told = f"must be one of {', '.join(FORECASTS)}{nearest(forecast, FORECASTS)}"
            raise ValueError(f"forecast = {forecast!r}, {told}")
        if not 0 < window_h < np.inf:
            raise ValueError(f"window_h = {window_h} h, must be > 0 and finite")
        if feedback not in get_args(Feedback):
            raise ValueError(f"feedback = {feedback!r}, must be one of {', '.join(get_args(Feedback))}")
        if unknown := [name for name in knows if name not in KNOWABLE]:
            raise ValueError(f"knows = {unknown[0]!r}, must be of {', '.join(KNOWABLE)}{nearest(unknown[0], KNOWABLE)}")
        self.forecast = FORECASTS[forecast]
        self.window_h = window_h
        self.feedback = feedback
        self.truth = truth
        self.knows = tuple(knows)
        self.duals: dict[str, Floats] = {}
        self._mu_usd = np.zeros((2, 1))
        self._so_far_usd: Floats | None = None  # [k, r]

    def plan(self, view: View) -> Floats:
        """The slot's programme at the multipliers of (R)."""
        if self._so_far_usd is None:
            self._so_far_usd = np.zeros((2, len(view.capacity_rps)))
            self._mu_usd = view.footprint_price_usd
        solution = solve(self._so_far_usd, self._window(view), view)
        self.duals = dict(zip(("carbon", "water"), solution.gamma * self._mu_usd, strict=True))
        footprint_usd = self._mu_usd * np.stack((view.carbon_kg_per_request, view.water_l_per_request))
        dual_plan = transport.priced(view.cost_usd_per_request + (solution.gamma * footprint_usd).sum(axis=0), view)
        served = solution.rate.sum(axis=1, keepdims=True)
        if view.delay_usd_per_s > 0:
            served = np.zeros_like(
                served
            )  # the window has no delay in it: its multipliers have, and the slot's programme
        weights = np.where(served > 0, solution.rate / np.where(served > 0, served, 1.0), dual_plan)
        if self.feedback == "planned":
            self._so_far_usd += footprint_usd * (view.demand_rps @ weights * view.slot_s)
        return weights

    def observe(self, outcome: Outcome) -> None:
        """With metered feedback: the footprints that the slot really had."""
        if self.feedback == "metered" and self._so_far_usd is not None:
            self._so_far_usd += self._mu_usd * np.stack((outcome.carbon_kg, outcome.water_l))

    def _window(self, view: View) -> Window:
        left = view.slots - view.slot - 1
        if self.truth is None:
            return expected(view, min(int(np.ceil(self.window_h * S_PER_H / view.slot_s)), left), self.forecast)
        shape = (view.slots, *view.mask.shape)
        if (self.truth.slots, *self.truth.allowed.shape) != shape:
            raise PolicyError("receding_horizon knows the future of another world than this one")
        return foretold(view, self.truth, self.knows, self.forecast)


class Solution(NamedTuple):
    """Of (R). The multipliers of a footprint sum to 1."""

    rate: Floats  # [g, r] requests of the present slot, in some unit
    gamma: Floats  # [k, r]


def solve(so_far_usd: Floats, window: Window, view: View) -> Solution:
    """The optimum of (R). Raises `PolicyError` if HiGHS finds none."""
    regions = so_far_usd.shape[1]
    if view.norm != np.inf:
        told = "must be 'inf' for receding_horizon, which knows no other"
        raise PolicyError(f"objective.norm = {view.norm:g}, {told}: take eglb, eglb_simplex or eglb_ahead")
    p = _programme(so_far_usd, window, view)
    bounds = np.column_stack((np.zeros(len(p.cost)), p.highest))
    highs: Any = linprog  # its type hints know nothing of sparse matrices
    found = highs(p.cost, p.upper, p.upper_bound, p.equal, p.equal_bound, bounds, method="highs-ds")
    if found.status != 0:
        raise PolicyError(f"receding_horizon: HiGHS did not solve slot {view.slot}'s programme: {found.message}")
    gamma = np.maximum(-found.ineqlin.marginals[: 2 * regions], 0.0).reshape(2, regions)
    sums = gamma.sum(axis=1, keepdims=True)
    gamma = np.where(sums > 0, gamma / np.where(sums > 0, sums, 1.0), 1.0 / regions)
    masks, member = np.unique(view.mask, axis=0, return_inverse=True)
    rate = np.zeros(masks.shape)
    rate[masks] = np.maximum(found.x[: masks.sum()], 0.0)  # slot 0 comes first
    return Solution(rate[member.ravel()], gamma)


class _Programme(NamedTuple):
    """(R) for HiGHS; columns: y[j, class, r] where allowed, M[2], overload of each slot."""

    cost: Floats
    upper: coo_array  # footprints [k, r]; with several classes, capacities [j, r]
    upper_bound: Floats
    equal: coo_array  # demand [j, class]
    equal_bound: Floats
    highest: Floats  # of each column


def _programme(so_far_usd: Floats, window: Window, view: View) -> _Programme:
    """(R) in units of a slot's mean requests and of a region's mean footprint, so that numbers are near 1."""
    masks, requests = _classes(window, view)
    n, regions = window.cost_usd.shape
    unit = float(requests.sum(axis=1).mean()) or 1.0
    weight = np.ones(n)
    weight[1:] = (view.slots - view.slot - 1) / max(n - 1, 1)
    slot, kind, region = np.nonzero(np.broadcast_to(masks, (n, *masks.shape)))
    m = len(slot)
    cost_usd = weight[slot] * window.cost_usd[slot, region] * unit
    burden_usd = weight[slot] * window.footprint_usd[:, slot, region] * unit
    scale_usd = float(so_far_usd.mean() + np.abs(burden_usd).sum() / (2 * regions**2)) or 1.0
    capacity = view.capacity_rps * view.slot_s / unit
    demand = requests / unit
    rows = [region, regions + region, np.arange(2 * regions)]
    columns = [np.arange(m), np.arange(m), m + np.repeat([0, 1], regions)]
    values = [*burden_usd / scale_usd, np.full(2 * regions, -1.0)]
    bound = [-so_far_usd.ravel() / scale_usd]
    highest = np.full(m + 2 + n, np.inf)
    if len(masks) == 1:  # then a capacity is a bound of one column
        factor = np.maximum(demand[:, 0] / max(float(capacity[masks[0]].sum()), 1e-300), 1.0)
        highest[:m] = factor[slot] * capacity[region]
    else:
        rows += [2 * regions + slot * regions + region, 2 * regions + np.arange(n * regions)]
        columns += [np.arange(m), m + 2 + np.repeat(np.arange(n), regions)]
        values += [np.ones(m), -np.tile(capacity, n)]
        bound.append(np.tile(capacity, n))
    dearest = float((np.abs(cost_usd) + np.abs(burden_usd).sum(axis=0)).max()) / scale_usd
    overload = np.full(n, OVERLOAD_PRICE * dearest * float(capacity.sum()))
    bounds, width = np.concatenate(bound), m + 2 + n
    indices = (np.concatenate(rows), np.concatenate(columns))
    return _Programme(
        cost=np.concatenate((cost_usd / scale_usd, [1.0, 1.0], overload)),
        upper=coo_array((np.concatenate(values), indices), shape=(len(bounds), width)),
        upper_bound=bounds,
        equal=coo_array((np.ones(m), (slot * len(masks) + kind, np.arange(m))), shape=(demand.size, width)),
        equal_bound=demand.ravel(),
        highest=highest,
    )


def _classes(window: Window, view: View) -> tuple[Bools, Floats]:
    """Masks [class, r] that differ, and the requests [n, class] of the gateways that have them."""
    masks, member = np.unique(view.mask, axis=0, return_inverse=True)
    return masks, window.requests @ np.eye(len(masks))[member.ravel()]
