"""eGLB by what the rest of the horizon would add: the future is played by the past.

`eglb_simplex` prices a region by its footprint so far, G[k, r] (priced). What matters at the end is G and what the rest
of the horizon adds, W[k, r]. Signals change by the hour and the weather, but over weeks they do much what they did: so
let every known slot of the past, history included (docs/model.md, section 6), be a sample of those to come. Of slot t
of T, let n be the known slots, the present one included, whole days of them; a, the slots after it of which the prices
are known; left = T - t. The rest of the horizon is then

    j = 1 .. a        the known price, all else as a day before; each stands for itself
    j = 1 .. n        the past, oldest first; each stands for f = (left - 1 - a) / n slots

and the present slot stands for itself. Levels drift, so the recent one is blended into the past, and forgotten:

    c~[j] = c[t - n + j] + exp(-(a + j f) / forget) (mean of c over the last day - mean of c over the n slots)     (l)

for what a kWh costs, and b~[k, j] likewise for its priced footprints, but never below 0. Each slot j is planned by the
linear programme at the present multipliers: y[j] is optimal at c~[j] + sum_k gamma[k] b~[k, j]. With g[k, j, r] the
footprints of that, those without any request included, and w[j] what a slot stands for,

    W[k]     = sum_j w[j] g[k, j]
    eta[k]   = step / left / sqrt( (sum_{s<t} max_r g[k, s, r]^2 + sum_j w[j] max_r g[k, j, r]^2) / T )            (s)
    gamma[k] <- (1 - damping) gamma[k] + damping softmax( eta[k] (G[k] + W[k]) )                                   (c)

one step a slot, from 1 / regions. Other norms have other sets of multipliers (`norms`). The demand of a slot to come is
the mean of what came at its time of day in this run; of a time not seen yet, the mean of all. `simplex` mixes in the
multipliers of `eglb_simplex`.

Where gateways may use different regions, the programme of a slot takes long. Then only some slots of the past play,
other ones in each slot: damping averages over them.
"""

from math import gcd, inf
from typing import NamedTuple

import numpy as np

from glbdes.base import portable
from glbdes.policy.forecast import seasonal, slots_per_day
from glbdes.policy.norms import leader
from glbdes.policy.simplex import Burden, Feedback, Learner, checked, rate
from glbdes.policy.window import Window, served
from glbdes.units import G_PER_KG, H_PER_DAY, S_PER_H
from glbdes.world import Floats, Ints, Plan, View
from glbdes.world.pools import at_pools, summed

MOST_APART = 48  # slots of the past that play in a slot where gateways may use different regions
SIMPLEX_STEP = 0.5  # of `eglb_simplex`, whose multipliers are mixed in


class EGLBChain(Learner):
    """One damped step (c) a slot."""

    def __init__(
        self,
        step: float = 9.0,
        damping: float = 0.06,
        forget_h: float = 60.0,
        past_h: float = 1440.0,
        simplex: float = 0.0,
        feedback: Feedback = "metered",
    ) -> None:
        """Raises `ValueError` naming the first argument out of range.

        step : > 0, without unit. damping : in (0, 1], the share of the way that a step goes. forget_h : > 0, hours in
        which a drift fades to 1/e. past_h : >= 24, hours of the past that play, at most. simplex : in [0, 1], share of
        the multipliers of `eglb_simplex`. feedback : as in `simplex.EGLBSimplex`.
        """
        checked(step, feedback)
        if not 0 < damping <= 1:
            raise ValueError(f"damping = {damping}, must be > 0 and <= 1")
        if not 0 < forget_h < inf:
            raise ValueError(f"forget_h = {forget_h} h, must be > 0 and finite")
        if not H_PER_DAY <= past_h < inf:
            raise ValueError(f"past_h = {past_h} h, must be >= {H_PER_DAY} and finite: whole days play")
        if not 0 <= simplex <= 1:
            raise ValueError(f"simplex = {simplex}, must be >= 0 and <= 1")
        super().__init__(feedback)
        self.step = step
        self.damping = damping
        self.forget_h = forget_h
        self.past_h = past_h
        self.simplex = simplex
        self._gamma = np.zeros((2, 0))
        self._daily = _Daily(1, 1)

    def plan(self, view: View) -> Floats | Plan:
        """The optimum of the slot's linear programme at the multipliers after one step (c)."""
        burden = self._burden
        if burden is None:
            burden = self._begin(view)
            self._gamma = leader(view.norm, np.zeros_like(burden.total_usd))
            self._daily = _Daily(slots_per_day(view.slot_s), len(view.demand_rps))
        self._daily.add(view.slot, view.demand_rps)
        self._improve(burden, view)
        return self._planned(self._mixed(burden, view), burden, view)

    def _mixed(self, burden: Burden, view: View) -> Floats:
        """Multipliers [k, region] that the slot is planned with."""
        eta = rate(SIMPLEX_STEP, burden.squares, view.slots, view.slots - view.slot)
        simplex = leader(view.norm, eta[:, None] * burden.total_usd)
        return (1 - self.simplex) * self._gamma + self.simplex * simplex

    def _improve(self, burden: Burden, view: View) -> None:
        """One step (c)."""
        window, stands = self._rest(view)
        gamma = at_pools(self._gamma, view.region_of)
        price_usd = window.cost_usd + (gamma[:, None] * window.footprint_usd).sum(axis=0)
        footprint_usd = window.base_usd + window.footprint_usd * served(price_usd, window, view)
        footprint_usd = summed(footprint_usd, view.region_of)
        squares = burden.squares + (stands * footprint_usd.max(axis=2) ** 2).sum(axis=1)
        known = squares > 0
        left = view.slots - view.slot
        eta = np.where(known, self.step / left / np.sqrt(np.where(known, squares, 1.0) / view.slots), 0.0)
        final_usd = burden.total_usd + (stands[:, None] * footprint_usd).sum(axis=1)
        wanted = leader(view.norm, eta[:, None] * final_usd)
        self._gamma = portable.rounded((1 - self.damping) * self._gamma + self.damping * wanted)

    def _rest(self, view: View) -> tuple[Window, Floats]:
        """The present slot and those that play the rest of the horizon, and how many slots each stands for."""
        day, left = self._daily.day, view.slots - view.slot
        known = len(view.past.pue) + 1
        n = min(known, int(self.past_h * S_PER_H / view.slot_s)) // day * day if left > 1 else 0
        told = view.price_ahead_usd_per_kwh[: left - 1]
        played = _played(view, n)
        kwh = _kwh(view, max(n, min(known, day)), self._mu_usd)
        now = kwh.part(slice(-1, None))
        ahead = kwh.seasonal(len(told), day)
        ahead = ahead._replace(cost_usd=ahead.pue * told)
        stands = np.ones(1 + len(told))
        parts = [now, ahead]
        slot = view.slot + np.arange(1 + len(told))
        if n and left - 1 > len(told):
            each = (left - 1 - len(told)) / n
            fades = portable.exp(-(len(told) + (played + 1) * each) / (self.forget_h * S_PER_H / view.slot_s))
            parts.append(kwh.drifted(played, fades, day))
            stands = np.concatenate((stands, np.full(len(played), each * n / len(played))))
            slot = np.concatenate((slot, view.slot + 1 + played))
        requests = np.concatenate((view.demand_rps[None], self._daily.mean(slot[1:]))) * view.slot_s
        cost_usd = np.concatenate([part.cost_usd for part in parts])
        footprint_usd = np.concatenate([part.footprint_usd for part in parts], axis=1)
        per_request = view.it_kwh_per_request
        return Window(
            per_request * cost_usd, per_request * footprint_usd, requests, view.base_kwh * footprint_usd
        ), stands


def _played(view: View, n: int) -> Ints:
    """Which of the n slots of the past play, from the oldest on: all, or every s-th where gateways differ."""
    if n <= MOST_APART or bool((view.mask == view.mask[0]).all()):
        return np.arange(n)
    day, apart = slots_per_day(view.slot_s), -(-n // MOST_APART)
    while gcd(apart, day) > 1:  # so that all times of the day play
        apart += 1
    return np.arange(view.slot % apart, n, apart)


class _Kwh(NamedTuple):
    """What a kWh at IT costs and causes, priced, in some slots, the last of them the present one."""

    cost_usd: Floats  # [n, r]
    footprint_usd: Floats  # [k, n, r]
    pue: Floats  # [n, r]

    def part(self, slots: "slice | Ints") -> "_Kwh":
        return _Kwh(self.cost_usd[slots], self.footprint_usd[:, slots], self.pue[slots])

    def seasonal(self, n: int, day: int) -> "_Kwh":
        """The next `n` slots, as a day before."""
        return self.part(seasonal(np.arange(float(len(self.pue))), n, day).astype(np.int64))

    def drifted(self, slots: Ints, fades: Floats, day: int) -> "_Kwh":
        """(l) for `slots`, whose drift is `fades` of what it is now."""
        cost, footprint = self.cost_usd, self.footprint_usd
        drift = cost[-day:].mean(axis=0) - cost.mean(axis=0)
        drifts = footprint[:, -day:].mean(axis=1) - footprint.mean(axis=1)
        footprint = np.maximum(footprint[:, slots] + fades[:, None] * drifts[:, None], 0.0)
        return _Kwh(cost[slots] + fades[:, None] * drift, footprint, self.pue[slots])


def _kwh(view: View, n: int, mu_usd: Floats) -> _Kwh:
    """The last `n` slots that are known, the present one included."""

    def series(name: str) -> Floats:
        past = getattr(view.past, name)
        return np.concatenate((past[len(past) + 1 - n :], getattr(view, name)[None]))

    pue = series("pue")
    carbon_kg = pue * series("carbon_g_per_kwh") / G_PER_KG
    water_l = series("wue_l_per_kwh") + pue * series("ewif_l_per_kwh")
    further = np.moveaxis(series("further_per_kwh"), 1, 0) if len(view.further_per_kwh) else ()
    return _Kwh(pue * series("price_usd_per_kwh"), mu_usd[:, None] * np.stack((carbon_kg, water_l, *further)), pue)


class _Daily:
    """The mean demand at each time of the day so far."""

    def __init__(self, day: int, gateways: int) -> None:
        self.day = day
        self._sum_rps = np.zeros((day, gateways))
        self._count = np.zeros((day, 1))

    def add(self, slot: int, demand_rps: Floats) -> None:
        """What is known of the demand of `slot`, [g]."""
        self._sum_rps[slot % self.day] += demand_rps
        self._count[slot % self.day] += 1

    def mean(self, slots: Ints) -> Floats:
        """[n, g] at the times of the day of `slots` [n]; the mean of all at times not seen yet."""
        overall = self._sum_rps.sum(axis=0) / self._count.sum()
        seen = self._count > 0
        means = np.where(seen, self._sum_rps / np.where(seen, self._count, 1.0), overall)
        return np.asarray(means[slots % self.day])
