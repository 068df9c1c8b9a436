"""eGLB without allotments: multipliers on simplices, by multiplicative weights that know how much time is left.

At the optimum of the offline problem (E) (`eglb`) the multipliers gamma[k, r] of each footprint k sum to 1 over the
regions. Keeping them there from the start makes eGLB's auxiliary z unnecessary. With G[k, r] the priced footprint of a
region so far, T the slots and t those that have ended,

    gamma[k] = softmax(eta[k] * G[k])                                                                             (w)
    eta[k]   = step * sqrt(T / (T - t)) / sqrt(sum_{s<t} max_r g[k, s, r]^2)                                      (n)

g[k, s] being the footprints of slot s. (w) is "follow the regularised leader" with entropy (multiplicative weights);
the denominator of (n) makes it scale-free (Orabona and Pal, "Scale-free online learning", Theoretical Computer Science
716, 2018), so that no unit matters. The numerator is for a horizon that ends: a footprint that leads when little time
is left will be the largest, and the multipliers must say so, whereas early leads may still be made up for.

For other norms of the footprints than the largest, the simplex is their dual ball (`norms`).

The plan of a slot is the optimum of its linear programme (`transport`) at the price of cost + sum_k gamma[k] b[k].
"""

from math import inf
from typing import Literal, get_args

import numpy as np

from glbdes.base import portable
from glbdes.policy import awake, transport
from glbdes.policy.norms import leader
from glbdes.world import Floats, Outcome, Plan, View
from glbdes.world.pools import at_pools, summed

Feedback = Literal["planned", "metered"]


class Burden:
    """Priced footprints of regions so far: sums `total_usd` [k, region], and `squares` [k], of each slot's largest one,
    summed. Where regions have several pools, theirs are added up."""

    def __init__(self, view: View) -> None:
        self.region_of = view.region_of
        self.total_usd = summed(np.zeros_like(view.footprint_price_usd), view.region_of)
        self.squares = np.zeros(len(self.total_usd))

    def add(self, footprint_usd: Floats) -> None:
        """One slot's, [k, r]."""
        footprint_usd = summed(footprint_usd, self.region_of)
        self.total_usd += footprint_usd
        self.squares += footprint_usd.max(axis=1) ** 2


class Learner:
    """What policies have in common that price regions by a `Burden`, of what they planned or of what was metered.

    `duals` holds the prices that the last plan was made with.
    """

    def __init__(self, feedback: Feedback) -> None:
        self.feedback = feedback
        self.duals: dict[str, Floats] = {}
        self._mu_usd = np.zeros((2, 1))
        self._burden: Burden | None = None

    def observe(self, outcome: Outcome) -> None:
        """With metered feedback: learn from the footprints that the slot really had."""
        if self.feedback == "metered" and self._burden is not None:
            self._burden.add(self._mu_usd * outcome.footprint)

    def _begin(self, view: View) -> Burden:
        """Nothing is borne so far."""
        self._mu_usd = view.footprint_price_usd
        self._burden = Burden(view)
        return self._burden

    def _planned(self, gamma: Floats, burden: Burden, view: View) -> Floats | Plan:
        """The optimum of the slot's linear programme at multipliers `gamma` [k, region]."""
        gamma_usd = at_pools(gamma, view.region_of) * self._mu_usd
        self.duals = dict(zip(view.footprints, gamma_usd, strict=True))
        per_request = view.footprint_per_request
        price_usd = view.cost_usd_per_request + (gamma_usd * per_request).sum(axis=0)
        weights = transport.priced(price_usd, view)
        if self.feedback == "planned":
            requests = portable.product(view.demand_rps, weights) * view.slot_s
            burden.add(self._mu_usd * (view.base_footprint + per_request * requests))
        return awake.answer(weights, price_usd, view)


def rate(step: float, squares: Floats, slots: int, left: float) -> Floats:
    """eta [k] of (n), per USD; 0 for a footprint that has been nothing so far."""
    known = squares > 0
    return np.where(known, step * np.sqrt(slots / left) / np.sqrt(np.where(known, squares, 1.0)), 0.0)


def checked(step: float, feedback: str) -> None:
    """Raise `ValueError` naming the argument out of range."""
    if not 0 < step < inf:
        raise ValueError(f"step = {step}, must be > 0 and finite")
    if feedback not in get_args(Feedback):
        raise ValueError(f"feedback = {feedback!r}, must be one of {', '.join(get_args(Feedback))}")


class EGLBSimplex(Learner):
    """Multiplicative weights, (w) and (n)."""

    def __init__(self, step: float = 0.5, feedback: Feedback = "metered") -> None:
        """Raises `ValueError` naming the first argument out of range.

        step : > 0, without unit. feedback : what the multipliers learn from, "planned" footprints or the "metered" ones
        of the ended slot, with idle power and all.
        """
        checked(step, feedback)
        super().__init__(feedback)
        self.step = step

    def plan(self, view: View) -> Floats | Plan:
        """The optimum of the slot's linear programme at the multipliers (w)."""
        burden = self._burden or self._begin(view)
        eta = rate(self.step, burden.squares, view.slots, view.slots - view.slot)
        return self._planned(leader(view.norm, eta[:, None] * burden.total_usd), burden, view)
