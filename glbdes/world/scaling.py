"""How many replicas of each region are awake, and who says so (docs/model.md, "Awake and asleep").

Every request-level engine asks a `Scaler` at the same moments; what becomes of replicas that are to be awake or asleep
is the engines'. Replicas of the lowest indices are those that are awake, so a number says which.
"""

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from glbdes.base import portable
from glbdes.units import NS_PER_S
from glbdes.world.alike import poured, spread

if TYPE_CHECKING:
    from glbdes.world.arrays import World
    from glbdes.world.view import Planner

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FOLLOW: Final = "follow"
PLANNED: Final = "planned"


class Plan(NamedTuple):
    """What a policy may return instead of weights alone: how many replicas are to be awake, too (`planned`)."""

    weights: Floats  # [g, r]
    awake: Ints | None = None  # [r]; None: as many as the plan's load needs


class Cap(NamedTuple):
    """Region `region` keeps at most so many `replicas` awake from `begin_ns` (included) to `end_ns` (excluded)."""

    region: int
    begin_ns: int
    end_ns: int
    replicas: int


class Scaling(NamedTuple):
    """Of a world whose replicas are told to be awake or asleep; arrays [r]."""

    rule: str  # of scaling.rule; with `always_on` and `idle`, only caps send replicas to sleep
    least: Ints  # replicas awake, whatever comes
    utilisation: Floats  # of the replicas awake, that `follow` and plans without numbers aim at
    replica_rps: Floats  # what one replica serves at full batches
    every_ns: int  # how often `follow` looks
    cool_down_ns: int  # how long `follow` keeps what was wanted
    age_ns: int  # how old what it sees is
    caps: tuple[Cap, ...] = ()
    cheapest: Ints | None = None  # [r] all pools, those first whose requests take the least; None: as they are counted

    @property
    def elastic(self) -> bool:
        """Whether as many replicas are awake as the load needs."""
        return self.rule in (FOLLOW, PLANNED)

    @property
    def aimed_rps(self) -> Floats:
        """[r] what a replica awake should serve."""
        return self.utilisation * self.replica_rps

    def needed(self, load_rps: Floats) -> Ints:
        """[r] replicas that serve `load_rps` [r] at the utilisation that is aimed at. Rounded, and then up."""
        share = portable.rounded(load_rps / self.aimed_rps)
        return np.ceil(share).astype(np.int64)

    def capped(self, replicas: Ints, begin_ns: int, end_ns: int) -> Ints:
        """[r] of `replicas` [r], the most that may be awake all the time from `begin_ns` to before `end_ns`."""
        most = np.array(replicas)
        for cap in self.caps:
            if cap.begin_ns < end_ns and cap.end_ns > begin_ns:
                most[cap.region] = min(most[cap.region], cap.replicas)
        return most

    def most(self, replicas: Ints, slot: int, period_ns: int) -> Ints:
        """[r] of `replicas` [r], the most that may be awake all through `slot`."""
        return self.capped(replicas, slot * period_ns, (slot + 1) * period_ns)


class Scaler:
    """Says how many replicas are to be awake [r], as a run goes on."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.scaling = world.scaling
        self.slot = 0
        self.weights = np.zeros((world.gateways, world.regions))
        self.planned = np.array(world.fleet.replicas)
        self.seen: deque[tuple[int, Ints]] = deque()  # when it looked, and how many requests had arrived by then [r]
        self.wanted: deque[tuple[int, Ints]] = deque()  # when, and how many replicas [r]

    def moments(self, slot: int) -> list[int]:
        """When, after the beginning of `slot` and before its end, `awake` may say something else."""
        scaling, period_ns = self.scaling, self.world.period_ns
        if scaling is None:
            return []
        begin_ns, end_ns = slot * period_ns, (slot + 1) * period_ns
        edges = {at_ns for cap in scaling.caps for at_ns in (cap.begin_ns, cap.end_ns)}
        found = {at_ns for at_ns in edges if begin_ns < at_ns < end_ns}
        if scaling.rule == FOLLOW:
            found.update(range(begin_ns + scaling.every_ns, end_ns, scaling.every_ns))
        return sorted(found)

    def open_slot(self, slot: int, weights: Floats, planner: "Planner") -> None:
        """The plan of `slot`, `weights` [g, r], is in force."""
        self.slot, self.weights = slot, weights
        if self.scaling is None or self.scaling.rule != PLANNED:
            return
        if planner.awake is not None:
            self.planned = planner.awake
            return
        load_rps = self._planned_rps(portable.product(planner.demand_rps, weights), self.scaling)
        self.planned = np.clip(self.scaling.needed(load_rps), self.scaling.least, self.world.fleet.replicas)

    def awake(self, now_ns: int, arrived: Ints) -> Ints | None:
        """[r] replicas that are to be awake from `now_ns` on, if so many requests have `arrived` [r] at the regions.

        None: nobody says, all are.
        """
        scaling = self.scaling
        if scaling is None:
            return None
        count = self._followed(now_ns, arrived, scaling) if scaling.rule == FOLLOW else self.planned
        return np.minimum(count, scaling.capped(self.world.fleet.replicas, now_ns, now_ns + 1))

    def _planned_rps(self, load_rps: Floats, scaling: Scaling) -> Floats:
        """[r] of what the plan sends, `load_rps` [r], what falls to each of the pools that are alike: to replicas that
        are awake anyway, and then the cheapest first."""
        world = self.world
        cheapest = np.arange(world.regions) if scaling.cheapest is None else scaling.cheapest
        most = scaling.most(world.fleet.replicas, self.slot, world.period_ns)
        rooms_rps = [count * scaling.aimed_rps for count in (np.minimum(scaling.least, most), most)]
        return poured(load_rps, world.first_of, cheapest, *rooms_rps)

    def _followed(self, now_ns: int, arrived: Ints, scaling: Scaling) -> Ints:
        """What the load asks for now, or has asked for within the cool-down."""
        self.seen.append((now_ns, arrived))
        load_rps = np.maximum(self._seen_rps(now_ns - scaling.age_ns), self._expected_rps(now_ns, scaling))
        needed = np.clip(scaling.needed(load_rps), scaling.least, self.world.fleet.replicas)
        self.wanted.append((now_ns, needed))
        while self.wanted[0][0] <= now_ns - scaling.cool_down_ns and len(self.wanted) > 1:
            self.wanted.popleft()
        return np.asarray(np.max([count for _, count in self.wanted], axis=0))

    def _seen_rps(self, at_ns: int) -> Floats:
        """[r] arrivals per second between the last two looks that were over at `at_ns`; 0 before there were two."""
        while len(self.seen) > 2 and self.seen[2][0] <= at_ns:
            self.seen.popleft()
        if len(self.seen) < 2 or self.seen[1][0] > at_ns:
            return np.zeros(self.world.regions)
        (from_ns, before), (to_ns, after) = self.seen[0], self.seen[1]
        return np.asarray((after - before) / ((to_ns - from_ns) / NS_PER_S))

    def _expected_rps(self, now_ns: int, scaling: Scaling) -> Floats:
        """[r] that the plan sends of the slot's forecast, and of the next slot's if a wake-up may end in it."""
        world, slot = self.world, self.slot
        load_rps = self._sent_rps(slot, now_ns, scaling)
        if slot + 1 == world.slots:
            return load_rps
        next_rps = self._sent_rps(slot + 1, (slot + 1) * world.period_ns, scaling)
        late = now_ns + scaling.every_ns + world.fleet.wake_ns > (slot + 1) * world.period_ns
        return np.where(late, np.maximum(load_rps, next_rps), load_rps)

    def _sent_rps(self, slot: int, at_ns: int, scaling: Scaling) -> Floats:
        """[r] that the plan sends of the forecast of `slot`; pools that are alike expect it as requests will find them
        with the caps of `at_ns`: one after the other, or all filled alike."""
        world = self.world
        load_rps = portable.product(world.expected_rps[slot], self.weights)
        room_rps = scaling.capped(world.fleet.replicas, at_ns, at_ns + 1) * scaling.aimed_rps
        if world.pools_in_order:
            return poured(load_rps, world.first_of, np.arange(world.regions), room_rps)
        return spread(load_rps, world.first_of, room_rps)
