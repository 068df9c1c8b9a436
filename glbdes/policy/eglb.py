"""eGLB: environmental equity online, by dual mirror descent on prices of the regions' footprints.

The offline problem of "Towards Environmentally Equitable AI via Geographical Load Balancing" (arXiv 2307.05494) is

    min  sum_t cost_t(x_t) + mu_c * max_r sum_t carbon[t, r] + mu_w * max_r sum_t water[t, r]                     (E)

over plans within the capacities, and a term more for each footprint that a scenario names. Its maxima couple all slots;
eGLB takes them apart with an auxiliary z[k, r], the footprint k (carbon, water, ...; priced, in USD) that region r is
allotted in a slot, and a multiplier gamma[k, r] >= 0 on "footprint <= allotment". In every slot, with b[k, r] the
priced footprint of a request there:

    x = argmin  <cost + sum_k gamma[k] * b[k], x>            over the slot's plans                                (x)
    z = argmin  sum_k max_r z[k, r] - <gamma, z>             over 0 <= z <= z_max                                 (z)
    gamma = max(gamma + eta * (b x - z), 0)                  Euclidean map                                        (e)
    gamma = gamma * exp(eta * (b x - z))                     entropic map                                         (m)

(x) is the slot's transport programme. (z) has a closed form. At a given largest value m, its best z[k] is m wherever
gamma[k] > 0, and its value m * (1 - sum_r gamma[k, r]): so m = 0 if the multipliers sum to at most 1, and m = z_max if
they sum to more. Hence (z) holds the sum of each footprint's multipliers near 1, which is what (E)'s optimum demands,
and the multipliers say how the price mu of the largest footprint is shared among the regions that might have it.

*Scale.* Multipliers have no unit. `step` and `z_max` have none either, so that defaults carry over between fleets of
any size, slots of any length and prices in any currency. `rule` says how:

"scaled", with the entropic map: footprints are measured in units of the largest regional one of a slot, the root of the
mean square so far, and the map is applied to all that the multipliers have been told (lazily, as in dual averaging:
Xiao, JMLR 11, 2010), at a step that is scale-free and grows towards the end, that of `simplex`. With t of T slots over,

    gamma[k] = gamma[k] of the start * exp(eta[k] * sum_s (b x - z)),
    eta[k] = step * sqrt(T / (T - t)) / sqrt(sum_s max_r g[k, s, r]^2)                                            (s)

so that nothing depends on the number of regions R, and no multiplier that was driven down early is lost.

"constant": footprints are measured in units of the mean footprint of a region in a slot, as planned (or metered) so
far, and the step shrinks with the horizon as the theory asks:

    eta = step / (R * sqrt(T)) (Euclidean: multipliers are about 1/R)      eta = step * sqrt(ln(R) / T) (entropic)

With the Euclidean map this is eGLB as published, but for units; the paper's own constants, in USD per slot, are there
for comparison, too (`eta_per_usd`, `z_max_usd`). "sqrt": the slots so far in place of T (Zinkevich, ICML 2003).
"adagrad": for each multiplier, the root of the sum of squares of what it has been told so far, b x - z in mean
regional footprints, in place of sqrt(T) (Duchi, Hazan and Singer, JMLR 12, 2011). The last two need no horizon.

Regions' weights are part of b. For other norms of the footprints than the largest, (z) changes with them (`norms`).
"""

from collections.abc import Sequence
from math import inf, sqrt
from typing import Literal, get_args

import numpy as np

from glbdes.base import portable
from glbdes.errors import RefusalError
from glbdes.policy import awake, transport
from glbdes.policy.norms import allotment
from glbdes.policy.simplex import rate
from glbdes.world import Floats, Ints, Outcome, Plan, View
from glbdes.world.pools import at_pools, summed

Map = Literal["euclidean", "entropic"]
Feedback = Literal["planned", "metered"]
Rule = Literal["scaled", "constant", "sqrt", "adagrad"]


class EGLB:
    """Dual mirror descent, one update a slot. `duals` holds the prices that the last plan was made with."""

    def __init__(
        self,
        map: Map = "entropic",
        step: float = 0.6,
        z_max: float = 2.0,
        feedback: Feedback = "metered",
        eta_per_usd: float | None = None,
        z_max_usd: Sequence[float] | None = None,
        rule: Rule | None = None,
    ) -> None:
        """Raises `ValueError` naming the first argument out of range.

        map : the mirror map, (e) or (m). step : > 0, the step size in the scale-free units above. z_max : >= 1, the
        largest allotment, in the rule's unit of footprints. feedback : what the multipliers learn from, "planned"
        footprints, as in the paper, or the "metered" ones of the ended slot, with idle power and all.
        eta_per_usd : > 0, replaces `step` by the paper's constant step. z_max_usd : values > 0, of
        carbon, water and each further footprint, replace `z_max` by the paper's constants, in USD of priced footprint
        per slot. rule : of the step size; by default "scaled" with the entropic map and "constant" with the Euclidean
        one or `eta_per_usd`.
        """
        if map not in get_args(Map):
            raise ValueError(f"map = {map!r}, must be one of {', '.join(get_args(Map))}")
        if feedback not in get_args(Feedback):
            raise ValueError(f"feedback = {feedback!r}, must be one of {', '.join(get_args(Feedback))}")
        if rule is None:
            rule = "scaled" if map == "entropic" and eta_per_usd is None else "constant"
        if rule not in get_args(Rule):
            raise ValueError(f"rule = {rule!r}, must be one of {', '.join(get_args(Rule))}")
        if rule == "scaled" and map != "entropic":
            raise ValueError(f"rule = {rule!r}, must be another one with map = {map!r}")
        if not 0 < step < inf:
            raise ValueError(f"step = {step}, must be > 0 and finite")
        if not 1 <= z_max < inf:
            raise ValueError(f"z_max = {z_max}, must be >= 1 and finite: the largest footprint is at least the mean")
        if eta_per_usd is not None and not 0 < eta_per_usd < inf:
            raise ValueError(f"eta_per_usd = {eta_per_usd}, must be > 0 and finite")
        if eta_per_usd is not None and rule != "constant":
            raise ValueError(f"eta_per_usd = {eta_per_usd}, must not be given with rule = {rule!r}")
        if z_max_usd is not None and (len(z_max_usd) < 2 or not all(0 < value < inf for value in z_max_usd)):
            told = "must be two values > 0 and finite, of carbon and water, and one for each further footprint"
            raise ValueError(f"z_max_usd = {list(z_max_usd)}, {told}")
        self.map = map
        self.step = step
        self.z_max = z_max
        self.feedback = feedback
        self.eta_per_usd = eta_per_usd
        self.rule = rule
        self.z_max_usd = None if z_max_usd is None else np.array(z_max_usd, dtype=np.float64)
        self.duals: dict[str, Floats] = {}
        self._gamma: Floats | None = None  # [k, region]
        self._region_of: Ints | None = None
        self._eta = 0.0  # for footprints in mean regional ones, times the root of a number of slots
        self._squares: Floats = np.zeros((2, 1))  # [k, r] of what multipliers were told; (s): [k, 1], of the largest
        self._told_usd: Floats = np.zeros((2, 1))  # [k, r] so far, for (s)
        self._slots = 1
        self._norm = inf
        self._start = 1.0  # of each multiplier with the entropic map
        self._mu_usd = np.zeros((2, 1))  # [k, r] per kg and per L
        self._total_usd = np.zeros(2)  # [k] priced footprints of all regions learnt from so far
        self._updates = 0

    def plan(self, view: View) -> Floats | Plan:
        """Steps (x) to (e) of the slot; with metered feedback, (z) and (e) wait for `observe`."""
        gamma = self._begin(view) if self._gamma is None else self._gamma
        mu_usd = self._mu_usd
        per_request = view.footprint_per_request
        gamma = at_pools(gamma, view.region_of)
        self.duals = dict(zip(view.footprints, gamma * mu_usd, strict=True))
        price_usd = view.cost_usd_per_request + (gamma * mu_usd * per_request).sum(axis=0)
        weights = transport.priced(price_usd, view)
        if self.feedback == "planned":
            requests = portable.product(view.demand_rps, weights) * view.slot_s
            self._learn(mu_usd * (view.base_footprint + per_request * requests))
        return awake.answer(weights, price_usd, view)

    def observe(self, outcome: Outcome) -> None:
        """With metered feedback: learn from the footprints that the slot really had."""
        if self.feedback == "metered":
            self._learn(self._mu_usd * outcome.footprint)

    def _begin(self, view: View) -> Floats:
        """First multipliers: none matters yet (Euclidean), or all alike on the ball's edge (entropic: 0 stays 0)."""
        self._region_of = view.region_of
        kinds, regions = summed(view.footprint_price_usd, view.region_of).shape
        if self.z_max_usd is not None and len(self.z_max_usd) != kinds:
            told = f"must be {kinds}: of {', '.join(view.footprints)}"
            raise RefusalError(f"z_max_usd = {self.z_max_usd.tolist()} has {len(self.z_max_usd)} values, {told}")
        self._mu_usd, self._norm, self._slots = view.footprint_price_usd, view.norm, view.slots
        self._squares = np.zeros((kinds, 1 if self.rule == "scaled" else regions))
        self._told_usd = np.zeros((kinds, regions))
        self._total_usd = np.zeros(kinds)
        if self.map == "euclidean":
            self._eta = self.step / regions
            self._gamma = np.zeros((kinds, regions))
        else:
            self._eta = self.step * sqrt(float(portable.log(regions)))
            self._start = {inf: 1.0 / regions, 2: 1.0 / sqrt(regions), 1: 1.0}[self._norm]
            self._gamma = np.full((kinds, regions), self._start)
        return self._gamma

    def _learn(self, footprint_usd: Floats) -> None:
        """Steps (z) and (e) or (m) with the priced footprints [k, r] of a slot; of pools, their regions' sums."""
        if self._gamma is None:
            return
        footprint_usd = summed(footprint_usd, self._region_of)
        self._total_usd += footprint_usd.sum(axis=1)
        self._updates += 1
        known = self._total_usd > 0  # a footprint without price, or of zero so far, has no multiplier to learn
        unit_usd = np.where(known, self._unit_usd(footprint_usd), 1.0)
        z_max_usd = self.z_max * unit_usd if self.z_max_usd is None else self.z_max_usd
        told_usd = np.where(known[:, None], footprint_usd - allotment(self._norm, self._gamma, z_max_usd), 0.0)
        if self.rule == "scaled":
            self._told_usd += told_usd
            eta = rate(self.step, self._squares, self._slots, max(self._slots - self._updates, 1))
            self._gamma = self._start * portable.exp(eta * self._told_usd)
        elif self.map == "euclidean":
            self._gamma = np.maximum(self._gamma + self._step_per_usd(told_usd, unit_usd) * told_usd, 0.0)
        else:
            self._gamma = self._gamma * portable.exp(self._step_per_usd(told_usd, unit_usd) * told_usd)

    def _unit_usd(self, footprint_usd: Floats) -> Floats:
        """What footprints [k, r] are measured in, [k], this slot's included."""
        if self.rule != "scaled":
            return np.asarray(self._total_usd / (self._updates * footprint_usd.shape[1]))
        self._squares += footprint_usd.max(axis=1, keepdims=True) ** 2
        return np.asarray(np.sqrt(self._squares[:, 0] / self._updates))

    def _step_per_usd(self, told_usd: Floats, unit_usd: Floats) -> Floats:
        """eta by the rule, for what is told in USD: [k, 1] or [k, r]; `unit_usd` [k]."""
        if self.eta_per_usd is not None:
            return np.full((len(told_usd), 1), self.eta_per_usd)
        unit = unit_usd[:, None]
        if self.rule == "constant":
            return np.asarray(self._eta / sqrt(self._slots) / unit)
        if self.rule == "sqrt":
            return np.asarray(self._eta / sqrt(self._updates) / unit)
        self._squares += (told_usd / unit) ** 2
        return np.asarray(self._eta / np.sqrt(np.where(self._squares > 0, self._squares, 1.0)) / unit)
