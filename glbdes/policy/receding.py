"""Receding horizon: in every slot, the linear programme of what has been, is, and is expected.

With F[k, r] the priced footprints so far, and those of the slots to come without any request, and a window
(`window`) of the present slot j = 0 and n slots after it, each of which stands for w[j] of those that are left (w[0] =
1, the others (T - t - 1) / n),

    min   sum_{j,r} w[j] cost[j,r] y[j,r] + sum_k M[k]                                                            (R)
    s.t.  F[k,r] + sum_j w[j] b[k,j,r] y[j,r] <= M[k]      for every footprint k and region r
          y[j] serves the demand of slot j within the capacities and the mask

is the offline problem (`optimum.offline`) for a future that resembles the window, solved over loads of regions alone
(`optimum.regional`). Its dual prices of the first rows are the multipliers that the present slot is planned with, by
its own programme (`transport`). If a slot's demand does not fit, its capacities are raised together, as little as will
do. HiGHS starts from the vertex of the slot before, a slot on.

The window is a forecast (`forecast`), its first prices those that the view knows ahead. With `truth`, a world whose
future is known, the policy is an upper bound of what better forecasts could bring, and the contract check refuses it.
"""

from collections.abc import Sequence
from typing import NamedTuple, get_args

import numpy as np

from glbdes.base import portable
from glbdes.errors import InfeasibleError, InvariantError, PolicyError, RefusalError, nearest
from glbdes.optimum import regional
from glbdes.policy import awake, transport
from glbdes.policy.forecast import FORECASTS
from glbdes.policy.simplex import Feedback
from glbdes.policy.window import KNOWABLE, Window, expected, foretold
from glbdes.units import S_PER_H
from glbdes.world import Bools, Floats, Ints, Outcome, Plan, View, World
from glbdes.world.arrays import FOOTPRINTS
from glbdes.world.pools import at_pools, summed

UNIONS_MAX = 1 << 12  # of the gateways' sets of regions, beyond which cuts are sought slot by slot


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
        self._so_far_usd: Floats | None = None  # [k, region]
        self._region_of: Ints | None = None
        self._warm: regional.Warm | None = None

    def plan(self, view: View) -> Floats | Plan:
        """The slot's programme at the multipliers of (R)."""
        if self._so_far_usd is None:
            self._mu_usd = view.footprint_price_usd
            self._region_of = view.region_of
            self._so_far_usd = summed(np.zeros(self._mu_usd.shape), view.region_of)
        solution = solve(self._so_far_usd, self._window(view), view, self._warm)
        self._warm = solution.warm
        gamma = at_pools(solution.gamma, view.region_of)
        self.duals = dict(zip(view.footprints, gamma * self._mu_usd, strict=True))
        footprint_usd = self._mu_usd * view.footprint_per_request
        price_usd = view.cost_usd_per_request + (gamma * footprint_usd).sum(axis=0)
        dual_plan = transport.priced(price_usd, view)
        served = solution.rate.sum(axis=1, keepdims=True)
        if view.delay_usd_per_s > 0:  # which only the slot's programme knows
            served = np.zeros_like(served)
        weights = np.where(served > 0, solution.rate / np.where(served > 0, served, 1.0), dual_plan)
        weights = transport.near(weights, view)
        if self.feedback == "planned":
            requests = portable.product(view.demand_rps, weights) * view.slot_s
            planned_usd = self._mu_usd * view.base_footprint + footprint_usd * requests
            self._so_far_usd += summed(planned_usd, view.region_of)
        return awake.answer(weights, price_usd, view)

    def observe(self, outcome: Outcome) -> None:
        """With metered feedback: the footprints that the slot really had."""
        if self.feedback == "metered" and self._so_far_usd is not None:
            self._so_far_usd += summed(self._mu_usd * outcome.footprint, self._region_of)

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
    gamma: Floats  # [k, region]
    warm: regional.Warm  # where the next slot's may start


def solve(so_far_usd: Floats, window: Window, view: View, warm: regional.Warm | None = None) -> Solution:
    """The optimum of (R), sought from where that of the slot before ended. Raises `PolicyError` if HiGHS finds none."""
    regions = so_far_usd.shape[1]
    if view.norm != np.inf:
        told = "must be 'inf' for receding_horizon, which knows no other"
        raise RefusalError(f"objective.norm = {view.norm:g}, {told}: take eglb, eglb_simplex or eglb_ahead")
    allowed, demand = _classes(window, view)
    task = _task(so_far_usd, window, view, demand)
    try:
        masks = _masks(demand, allowed)
        task = task._replace(capacity=task.capacity * masks.factor(task.capacity)[:, None])
        found = regional.solve(task, masks, None if warm is None else warm.later(len(demand)))
    except (InfeasibleError, InvariantError) as error:
        raise PolicyError(f"receding_horizon: slot {view.slot}'s programme: {error}") from error
    gamma = np.zeros(so_far_usd.shape)
    gamma[priced(view)] = found.gamma
    sums = gamma.sum(axis=1, keepdims=True)
    gamma = np.where(sums > 0, gamma / np.where(sums > 0, sums, 1.0), 1.0 / regions)
    requests = window.requests[0]
    rate = np.zeros(view.mask.shape)
    if requests.sum() > 0:
        rate = transport.solve(np.zeros(view.mask.shape[1]), requests, found.load[0], view.mask).rate
    return Solution(rate, gamma, found.warm)


def _task(so_far_usd: Floats, window: Window, view: View, demand: Floats) -> regional.Task:
    """(R), each slot counted as often as it stands for others."""
    n = len(demand)
    weight = np.ones((n, 1))
    weight[1:] = (view.slots - view.slot - 1) / max(n - 1, 1)
    capacity = np.tile(view.capacity_rps * view.slot_s, (n, 1))
    so_far_usd = so_far_usd + summed((weight * window.base_usd).sum(axis=1), view.region_of)
    of = priced(view)
    burden_usd = weight * window.footprint_usd[of]
    return regional.Task(weight * window.cost_usd, burden_usd, so_far_usd[of], demand, capacity, view.region_of)


def priced(view: View) -> Bools:
    """Which footprints [k] stand in the programme: carbon, water, and others that have a price."""
    return (np.arange(len(view.footprints)) < len(FOOTPRINTS)) | view.footprint_price_usd.any(axis=1)


def _classes(window: Window, view: View) -> tuple[Bools, Floats]:
    """Masks [class, r] that differ, and the requests [n, class] of the gateways that have them."""
    masks, member = np.unique(view.mask, axis=0, return_inverse=True)
    return masks, portable.product(window.requests, np.eye(len(masks))[member.ravel()])


def _masks(demand: Floats, allowed: Bools) -> "regional.Unions | _SlotBySlot":
    listed = regional.listed(allowed, UNIONS_MAX)
    return _SlotBySlot(demand, allowed) if listed is None else regional.Unions(demand, allowed, listed)


class _SlotBySlot:
    """`regional.Masks` for more unions than can be listed: the slot's flows say which of them is lacking."""

    def __init__(self, demand: Floats, allowed: Bools) -> None:
        self._demand, self._allowed = demand, allowed

    def lacking(self, load: Floats) -> regional.Cuts:
        """One for each slot that has any."""
        lacks: list[tuple[int, Bools]] = []
        for slot, (asked, room) in enumerate(zip(self._demand, load, strict=True)):
            cut = transport.cut_off(asked, room, self._allowed)
            if cut is not None:
                lacks.append((slot, np.asarray(self._allowed[cut].any(axis=0))))
        slots = np.array([slot for slot, _ in lacks], dtype=np.intp)
        sets = np.array([regions for _, regions in lacks], dtype=np.bool_).reshape(-1, load.shape[1])
        return regional.Cuts(slots, sets, self.asked(slots, sets))

    def asked(self, slot: Ints, regions: Bools) -> Floats:
        """As `regional.asked`."""
        return regional.asked(self._demand, self._allowed, slot, regions)

    def factor(self, capacity: Floats) -> Floats:
        """As `regional.Unions.factor`."""
        free = np.zeros(capacity.shape[1])
        pairs = zip(self._demand, capacity, strict=True)
        return np.array([transport.solve(free, asked, room, self._allowed).factor for asked, room in pairs])
