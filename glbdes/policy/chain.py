"""eGLB by what the rest of the horizon would add, played by the past."""

from math import inf

import numpy as np

from glbdes.base import portable
from glbdes.policy import transport
from glbdes.policy.forecast import slots_per_day
from glbdes.policy.norms import leader
from glbdes.policy.simplex import Burden, Feedback, checked, rate
from glbdes.policy.window import Window, served
from glbdes.units import G_PER_KG, S_PER_H
from glbdes.world import Floats, Outcome, View


class EGLBChain:
    def __init__(self, step=9.0, damping=0.1, forget_h=60.0, simplex=0.5, simplex_step=0.5, feedback="metered",
                 past_h=1e9, variant="A", start=0, ramp=0.0, kicks=1, ratio=False):
        self.__dict__.update(locals())
        self.duals = {}
        self._burden = None

    def plan(self, view):
        if self._burden is None:
            R = len(view.capacity_rps)
            self._burden = Burden(R)
            self._mu_usd = view.footprint_price_usd
            self._gamma = np.full((2, R), 1.0 / R)
            self._demand = {}
        for _ in range(self.kicks):
            self._improve(view)
        left = view.slots - view.slot
        eta = rate(self.simplex_step, self._burden.squares, view.slots, left)
        simplex = leader(view.norm, eta[:, None] * self._burden.total_usd)
        w = self.simplex
        if self.ramp and self._n < self.ramp * 24:
            w = 1 - (1 - w) * self._n / (self.ramp * 24)
        gamma = (1 - w) * self._gamma + w * simplex
        self._gamma_used = gamma
        self.duals = dict(zip(("carbon", "water"), gamma * self._mu_usd, strict=True))
        footprint_usd = self._mu_usd * np.stack((view.carbon_kg_per_request, view.water_l_per_request))
        weights = transport.priced(view.cost_usd_per_request + (gamma * footprint_usd).sum(axis=0), view)
        if self.feedback == "planned":
            requests = portable.product(view.demand_rps, weights) * view.slot_s
            self._burden.add(self._mu_usd * view.base_footprint + footprint_usd * requests)
        return weights

    def observe(self, outcome):
        if self.feedback == "metered" and self._burden is not None:
            self._burden.add(self._mu_usd * np.stack((outcome.carbon_kg, outcome.water_l)))

    def _series(self, view, n):
        """cost [n, r] and footprints [k, n, r] of a kWh at IT in the last n known slots, the present one included."""
        def known(name):
            past = getattr(view.past, name)
            return np.concatenate((past[len(past) - n + 1:], getattr(view, name)[None]))
        pue = known("pue")
        cost = pue * known("price_usd_per_kwh")
        carbon = pue * known("carbon_g_per_kwh") / G_PER_KG
        water = known("wue_l_per_kwh") + pue * known("ewif_l_per_kwh")
        return pue, cost, self._mu_usd[:, None] * np.stack((carbon, water))

    def _requests(self, view, m, day):
        """[m, g]: mean of the hour over past days."""
        known = np.concatenate((view.past_demand_rps, view.demand_rps[None]))[-14 * day:]
        N = len(known)
        out = np.empty((day, known.shape[1]))
        mean = known.mean(axis=0)
        for h in range(min(day, N)):
            # slot with lead j: N-1+j ; same hour of day: index % day == (N-1+j) % day
            out[(h - (N - 1)) % day] = known[h % day::day].mean(axis=0)
        for j in range(N, day):
            out[(j - (N - 1)) % day] = mean
        return out[(np.arange(1, m + 1)) % day] * view.slot_s

    def _improve(self, view):
        day = slots_per_day(view.slot_s)
        left = view.slots - view.slot
        have = min(len(view.past.pue) + 1, int(self.past_h * S_PER_H / view.slot_s))
        n = have // day * day
        self._n = n
        told = len(view.price_ahead_usd_per_kwh)
        if n == 0:
            if self.start == 0:
                n = 0
            else:
                n = have
        T = view.slots
        it = view.it_kwh_per_request
        if n == 0:
            m = 0
        else:
            m = min(left - 1, n)
            if self.variant == "C":
                m = n if left > 1 else 0
        cost0 = view.cost_usd_per_request
        foot0 = self._mu_usd * np.stack((view.carbon_kg_per_request, view.water_l_per_request))
        base0 = self._mu_usd * view.base_footprint
        req0 = (view.demand_rps * view.slot_s)[None]
        if m:
            pue, cost, foot = self._series(view, n)
            f = (left - 1) / m
            j = np.arange(1, m + 1)
            if self.variant == "A":
                src = j - 1
            elif self.variant == "B":
                period = min(-(-m // day) * day, n)
                src = n - period + j - 1
            elif self.variant == "C":
                src = j - 1
            near = max(n - day, 0)
            decay = portable.exp(-j * f / (self.forget_h * S_PER_H / view.slot_s))[:, None]
            cj = cost[src] + decay * (cost[near:].mean(axis=0) - cost.mean(axis=0))
            bj = np.maximum(foot[:, src] + decay * (foot[:, near:].mean(axis=1) - foot.mean(axis=1))[:, None], 0.0)
            weight = np.full(m, f)
            if told:
                a = min(told, m)
                cj[:a] = pue[src[:a]] * view.price_ahead_usd_per_kwh[:a]
                if m > a:
                    weight[:a] = 1.0
                    weight[a:] = (left - 1 - a) / (m - a)
            cost_w = np.concatenate((cost0[None], it * cj))
            foot_w = np.concatenate((foot0[:, None], it * bj), axis=1)
            base_w = np.concatenate((base0[:, None], view.base_kwh * bj), axis=1)
            req_w = np.concatenate((req0, self._requests(view, m, day)))
            weight = np.concatenate(([1.0], weight))
        else:
            cost_w, foot_w, base_w, req_w, weight = cost0[None], foot0[:, None], base0[:, None], req0, np.ones(1)
        window = Window(cost_w, foot_w, req_w, base_w)
        price = cost_w + (self._gamma[:, None] * foot_w).sum(axis=0)
        g = base_w + foot_w * served(price, window, view)
        W = (weight[:, None] * g).sum(axis=1)
        squares = self._burden.squares + (weight * g.max(axis=2) ** 2).sum(axis=1)
        known = squares > 0
        eta = np.where(known, self.step / left / np.sqrt(np.where(known, squares, 1.0) / T), 0.0)
        wanted = leader(view.norm, eta[:, None] * (self._burden.total_usd + W))
        self._gamma = (1 - self.damping) * self._gamma + self.damping * wanted
