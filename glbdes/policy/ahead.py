"""eGLB on simplices that looks ahead: the lead that counts is the one at the end of what is known.

`eglb_simplex` prices a region by its footprint so far. Where tomorrow's prices are known, much of where the load will
go is known with them, and so is much of how the footprints will stand by then. With W[k, r](gamma) the priced
footprints that the slots of the window (the present one and n after it) are expected to have under the plans which are
optimal at multipliers gamma, the multipliers wanted are those that reproduce themselves,

    gamma[k] = softmax(eta[k] * (G[k] + W[k](gamma)))                                                             (f)

with eta of (n) (`simplex`) at the window's end: T - t - n slots left, and the window's expected footprints among the
squares. This is the optimum of a smoothed dual: (f) says that the gradient of <gamma, G> + (the window's optimal value
at gamma) + entropy / eta vanishes on the simplex. One damped step towards it is taken in each slot, from the slot
before's multipliers. The window is shifted by one slot in between, so more steps are not worth their time, and
damping averages over forecasts.

Known prices come with the view (`known_ahead` of the scenario); everything else is forecast from its past.
"""

import numpy as np

from glbdes.base import portable
from glbdes.errors import nearest
from glbdes.policy import awake, transport
from glbdes.policy.forecast import FORECASTS
from glbdes.policy.norms import leader
from glbdes.policy.simplex import Burden, Feedback, Learner, checked, rate
from glbdes.policy.window import Window, expected, served
from glbdes.units import S_PER_H
from glbdes.world import Floats, Plan, View
from glbdes.world.pools import at_pools, summed


class EGLBAhead(Learner):
    """Damped steps towards (f), one a slot."""

    def __init__(
        self,
        step: float = 0.5,
        damping: float = 0.2,
        forecast: str = "seasonal",
        window_h: float = 0.0,
        feedback: Feedback = "metered",
    ) -> None:
        """Raises `ValueError` naming the first argument out of range.

        step : > 0, without unit. damping : in (0, 1], the share of the way that a step goes. forecast : one of
        `forecast.FORECASTS`. window_h : >= 0, hours ahead even if no prices are known that far. feedback : as in
        `simplex.EGLBSimplex`.
        """
        checked(step, feedback)
        if not 0 < damping <= 1:
            raise ValueError(f"damping = {damping}, must be > 0 and <= 1")
        if forecast not in FORECASTS:
            raise ValueError(
                f"forecast = {forecast!r}, must be one of {', '.join(FORECASTS)}{nearest(forecast, FORECASTS)}"
            )
        if not 0 <= window_h < np.inf:
            raise ValueError(f"window_h = {window_h} h, must be >= 0 and finite")
        super().__init__(feedback)
        self.step = step
        self.damping = damping
        self.forecast = FORECASTS[forecast]
        self.window_h = window_h
        self._gamma = np.zeros((2, 0))

    def plan(self, view: View) -> Floats | Plan:
        """The optimum of the slot's linear programme at the multipliers after one step towards (f)."""
        burden = self._burden
        if burden is None:
            burden = self._begin(view)
            self._gamma = np.full(burden.total_usd.shape, 1.0 / burden.total_usd.shape[1])
        self._improve(burden, view, expected(view, self._slots_ahead(view), self.forecast))
        gamma = at_pools(self._gamma, view.region_of)
        self.duals = dict(zip(view.footprints, gamma * self._mu_usd, strict=True))
        footprint_usd = self._mu_usd * view.footprint_per_request
        price_usd = view.cost_usd_per_request + (gamma * footprint_usd).sum(axis=0)
        weights = transport.priced(price_usd, view)
        if self.feedback == "planned":
            requests = portable.product(view.demand_rps, weights) * view.slot_s
            burden.add(self._mu_usd * view.base_footprint + footprint_usd * requests)
        return awake.answer(weights, price_usd, view)

    def _slots_ahead(self, view: View) -> int:
        wanted = max(len(view.price_ahead_usd_per_kwh), int(self.window_h * S_PER_H / view.slot_s))
        return min(wanted, view.slots - view.slot - 1)

    def _improve(self, burden: Burden, view: View, window: Window) -> None:
        """One damped step towards (f)."""
        gamma = at_pools(self._gamma, view.region_of)
        price_usd = window.cost_usd + (gamma[:, None] * window.footprint_usd).sum(axis=0)
        footprint_usd = window.base_usd + window.footprint_usd * served(price_usd, window, view)
        footprint_usd = summed(footprint_usd, view.region_of)
        squares = burden.squares + (footprint_usd.max(axis=2) ** 2).sum(axis=1)
        left = max(view.slots - view.slot - len(price_usd) + 1, 1)
        eta = rate(self.step, squares, view.slots, left)
        wanted = leader(view.norm, eta[:, None] * (burden.total_usd + footprint_usd.sum(axis=1)))
        self._gamma = (1 - self.damping) * self._gamma + self.damping * wanted
