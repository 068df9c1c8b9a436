"""The dispatcher of the SimPy engine: which region a request is sent to (docs/model.md, section 3)."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import reduce
from itertools import accumulate
from math import inf
from operator import add

import numpy as np

from glbdes.engine.simpy.pools import Alike
from glbdes.engine.simpy.request import NONE, Request
from glbdes.hardware import physics
from glbdes.world import Floats, World

NOWHERE = -1


class Dispatcher:
    """Picks a region for a request: by the plan in force, what is up and, if the rule asks, the regions' state."""

    def __init__(self, world: World, regions: Sequence[Alike]) -> None:
        self.regions = regions
        self.allowed = world.allowed.tolist()
        self.spill_queue = world.spill_queue
        self.telemetry = world.telemetry_ns > 0
        self.nearest_first = np.argsort(world.latency_ns, axis=1, kind="stable").tolist()
        self.weights = [[0.0] * world.regions] * world.gateways
        self.affinity = world.affinity
        self.homes: dict[int, int] = {}  # regions of sessions
        self.credits = [[0.0] * world.regions for _ in range(world.gateways)]
        self.seen_queue = [0] * world.regions
        self.seen_load = [0.0] * world.regions
        self.seen_here = [0] * world.regions
        self.sent_rps = [0.0] * world.regions
        self.choose: Callable[[Request], int] = {
            physics.WEIGHTED: self.weighted,
            physics.SMOOTH: self.smooth,
            physics.LEAST_LOADED: self.least_loaded,
            physics.SPILLOVER: self.spillover,
            physics.PLAN_LEAST_LOADED: self.plan_least_loaded,
        }[world.dispatch]

    def follow(self, plan: Floats, demand_rps: Floats) -> None:
        """From now on dispatch by `plan` [g, r], which was made for `demand_rps` [g]."""
        self.weights = plan.tolist()
        flows = [
            [demand * weight for weight in row] for demand, row in zip(demand_rps.tolist(), self.weights, strict=True)
        ]
        if self.affinity == physics.BY_SESSION_SLOT:
            self.homes.clear()
        self.sent_rps = [reduce(add, column, 0.0) for column in zip(*flows, strict=True)]
        self.refresh()

    def refresh(self) -> None:
        """Take note of which regions are up."""
        up = [region.up for region in self.regions]
        self.open = [
            [r for r in order if row[r] and up[r]] for order, row in zip(self.nearest_first, self.allowed, strict=True)
        ]
        self.planned = [any(self.weights[g][r] > 0.0 for r in regions) for g, regions in enumerate(self.open)]
        self.shares = [self._shares(g, open_regions) for g, open_regions in enumerate(self.open)]
        self.cumulative = [list(accumulate(row)) for row in self.shares]

    def _shares(self, g: int, open_regions: list[int]) -> list[float]:
        """The plan's weights over the regions that are open to gateway `g`; all to the nearest if they have none."""
        row = [0.0] * len(self.regions)
        # One after the other, as the compiled engine adds; `sum` compensates rounding errors from Python 3.12 on.
        total = reduce(add, (self.weights[g][r] for r in sorted(open_regions)), 0.0)
        for r in open_regions:
            row[r] = self.weights[g][r] / total if total > 0.0 else float(r == open_regions[0])
        return row

    def region_for(self, request: Request) -> int:
        """Where its session is, if that region is open; else by the rule, and its session is there from now on."""
        if self.affinity == physics.BY_REQUEST or request.session == NONE:
            return self.choose(request)
        home = self.homes.get(request.session)
        if home is not None and home in self.open[request.gateway]:
            return home
        r = self.choose(request)
        if r != NOWHERE:
            self.homes[request.session] = r
        return r

    def weighted(self, request: Request) -> int:
        """The region that the request's uniform number falls on."""
        g = request.gateway
        if not self.open[g]:
            return NOWHERE
        cumulative = self.cumulative[g]
        r = bisect_right(cumulative, request.uniform * cumulative[-1])
        return r if r < len(cumulative) else self.shares[g].index(max(self.shares[g]))

    def smooth(self, request: Request) -> int:
        """Deficit round robin: the open region that is owed most."""
        g = request.gateway
        open_regions = self.open[g]
        if not self.planned[g]:
            return open_regions[0] if open_regions else NOWHERE
        credit = [owed + share for owed, share in zip(self.credits[g], self.shares[g], strict=True)]
        r = credit.index(max(credit))
        if r not in open_regions:
            r = max(sorted(open_regions), key=credit.__getitem__)
        credit[r] -= 1.0
        self.credits[g] = credit
        return r

    def least_loaded(self, request: Request) -> int:
        """The region with the smallest load per place; the nearest of equals."""
        open_regions = self.open[request.gateway]
        load = self.seen_load if self.telemetry else [region.load() for region in self.regions]
        return min(open_regions, key=load.__getitem__, default=NOWHERE)

    def spillover(self, request: Request) -> int:
        """By the plan, unless that region's queue is too long and another's is not."""
        first = self.weighted(request)
        queue = self.seen_queue if self.telemetry else [region.queued() for region in self.regions]
        if first == NOWHERE or queue[first] <= self.spill_queue:
            return first
        shares = self.shares[request.gateway]
        relief = [r for r in self.open[request.gateway] if queue[r] <= self.spill_queue]
        return max(relief, key=shares.__getitem__, default=first)

    def plan_least_loaded(self, request: Request) -> int:
        """Of the regions that the plan has a place for, the one with the fewest requests, this one included, for what
        the plan sends there; the lowest index of equals."""
        g = request.gateway
        if not self.planned[g]:
            return self.open[g][0] if self.open[g] else NOWHERE
        here = self.seen_here if self.telemetry else [region.population for region in self.regions]
        loads = [(n + 1) / sent if sent > 0.0 else inf for n, sent in zip(here, self.sent_rps, strict=True)]
        planned: list[int] = sorted(r for r in self.open[g] if self.weights[g][r] > 0.0)
        return min(planned, key=loads.__getitem__)

    def look(self) -> None:
        """A telemetry tick: remember the regions as they are now."""
        self.seen_queue = [region.queued() for region in self.regions]
        self.seen_here = [region.population for region in self.regions]
        self.seen_load = [region.load() for region in self.regions]
