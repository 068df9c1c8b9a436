"""The brute-force twin: docs/model.md carried out literally, one decode iteration after another.

Slow and obvious on purpose. There is no event queue for the replicas, no stale event and no closed form: time goes to
the earliest thing that is due anywhere, everything due at that instant is done in the order of section 2, and only
then does every replica that is free take up its next piece of work. It shares with the engines the shapes of
`glbdes.world.arrays`, the codes of statuses and rules, and `view.Planner` (what a policy is told), and nothing else.

Two things follow the letter of section 4 and are easily overlooked: the end of an iteration is the *epoch's* start plus
the rounded sum of the epoch's iteration times, so that rounding does not add up; and a replica decides what to do next
at the end of the instant, because an iteration boundary is open to whatever is admitted at that very time.
"""

import heapq
from collections import defaultdict
from dataclasses import dataclass, field
from math import ceil, floor, fsum

import numpy as np

from glbdes.hardware.physics import (
    BY_REQUEST,
    BY_SESSION_SLOT,
    FAILED,
    LEAST_LOADED,
    PLAN_LEAST_LOADED,
    REJECTED,
    SERVED,
    SMOOTH,
    SPILLOVER,
    TIMED_OUT,
)
from glbdes.world import METER_DTYPE, Policy, SlotRecord, World
from glbdes.world.view import Planner

NEVER = 1 << 62
REGION_ARRIVAL, GATEWAY_ARRIVAL = 5, 6
WARMUP, COUNTED, AFTER = range(3)  # parts of a slot; AFTER: of the last one, if there are warm-ups
TIMES = {"prefill": "prefill_ns", "decode": "decode_ns", "down": "down_ns"}
TIMES |= dict.fromkeys(("idle", "wake", "rise", "asleep"), "idle_ns")


@dataclass
class Visit:
    """One stay of a request in one region; `admitted_ns` is None if it left from the queue."""

    request_id: int
    region: int
    entered_ns: int
    admitted_ns: int | None = None
    left_ns: int = -1


@dataclass(eq=False)
class Request:
    """A request on its way."""

    request_id: int
    gateway: int
    slo: int
    prompt: int
    output: int
    arrival_ns: int
    uniform: float
    session: int = -1
    chain: int = -1
    attempts: int = 0
    region: int = -1
    replica: int = -1
    start_ns: int = -1
    first_token_ns: int = -1
    generated: int = 0  # tokens in this attempt
    status: int = -1
    finish_ns: int = -1
    visit: Visit | None = None
    preemptions: int = 0  # in all attempts
    cached_tokens: int = 0
    charged_j: dict[tuple[int, int, int], list[float]] = field(default_factory=lambda: defaultdict(list))  # as meters


@dataclass(eq=False)
class Replica:
    """One replica: the requests that it holds, in order of admission, and what it is doing since when until when."""

    held: list[Request] = field(default_factory=list)
    doing: str = "idle"  # idle, wake, rise, asleep, prefill, decode, down; "free": between two pieces of work
    since_ns: int = 0  # start of the present stretch that is not yet on the meter
    begun_ns: int = 0  # start of the present wake-up, prefill or iteration
    ends_ns: int = NEVER
    idle_ns: int = 0  # without work since
    epoch_ns: int = 0  # start of the epoch, and the seconds that its iterations add up to so far
    epoch_s: float | None = None  # None: the next iteration begins an epoch
    prompted_ns: int = -1  # when the last prefill ended
    at_work: list[Request] = field(default_factory=list)  # whose prefill, or whose iteration, is running


@dataclass(eq=False)
class Region:
    replicas: list[Replica]
    queue: list[Request] = field(default_factory=list)
    up: bool = True
    awake: int = 0  # replicas that are to be awake: the first ones
    arrived: int = 0

    def takes(self, index: int) -> bool:
        """Whether replica `index` is given requests."""
        return index < self.awake and self.replicas[index].doing != "rise"


@dataclass(eq=False)
class Run:
    """What the twin found: records by request id, the slots as an engine hands them over, and every visit."""

    requests: np.ndarray
    slots: list[SlotRecord]
    visits: list[Visit]


def simulate(world: World, policy: Policy) -> Run:
    """Carry `world` out under `policy`, iteration by iteration."""
    return _Twin(world, policy).run()


class _Twin:
    def __init__(self, world: World, policy: Policy) -> None:
        self.world = world
        self.fleet = world.fleet
        self.planner = Planner(world, policy, "twin")
        self.regions = [Region([Replica() for _ in range(int(n))], awake=int(n)) for n in world.fleet.replicas]
        self.looks: list[tuple[int, list[int]]] = []  # of `follow`: when, and who had arrived by then
        self.needs: list[tuple[int, list[int]]] = []  # when, and how many replicas it found needed
        self.moments: list[int] = []  # of the running slot: when replicas are told to be awake or asleep, or may be
        self.told: list[list[int] | None] = []  # [slot] replicas awake as it began
        self.requests: list[Request] = []
        self.visits: list[Visit] = []
        self.travelling: list[tuple[int, int, int, int, Request]] = []  # (time, kind, region, id): order of section 2
        self.now = 0
        self.slot = -1
        self.part = COUNTED
        self.slot_due = 0
        self.telemetry_due = 0 if world.telemetry_ns else NEVER
        self.seen: list[tuple[int, float, int]] = []
        self.homes: dict[int, tuple[int, int]] = {}  # session: region, and the slot in which it was sent there
        self.credit = np.zeros((world.gateways, world.regions))
        self.meters = np.zeros((world.slots, 3, world.regions), dtype=METER_DTYPE)
        self.dispatched = np.zeros((world.slots, 3, world.gateways, world.regions), dtype=np.int64)
        self.demand = np.zeros((world.slots, world.gateways))
        self.plans: list[np.ndarray] = []
        self.duals: list[dict] = []

    # The clock -------------------------------------------------------------------------------------------------

    def run(self) -> Run:
        while (due := self._next_due()) != NEVER:
            assert due >= self.now
            self.now = due
            self._instant()
        self._settle_visits()
        factors = self._factors()
        self.meters["attributed_j"] *= factors
        records = [self._slot_record(slot) for slot in range(self.world.slots)]
        self.planner.observe(records[-1])
        return Run(self._records(factors), records, self.visits)

    def _next_due(self) -> int:
        if self.slot_due == NEVER and all(request.status >= 0 for request in self.requests):
            return NEVER
        due = min(self.slot_due, self.telemetry_due, *self.moments[:1])
        if self.travelling:
            due = min(due, self.travelling[0][0])
        for region in self.regions:
            due = min([due, *(replica.ends_ns for replica in region.replicas)])
            due = min([due, *(self._deadline(request) for request in region.queue)])
        for outage in self.world.outages:
            due = min([due, *(time for time in (outage.down_ns, outage.up_ns) if time > self.now)])
        return due

    def _instant(self) -> None:
        """Everything due now, in the order of section 2; then the free replicas begin their next work."""
        for r, region in enumerate(self.regions):
            for replica in region.replicas:
                if replica.ends_ns == self.now:
                    self._end_of_work(r, replica)
        for r in range(len(self.regions)):
            self._timeouts(r)
        self._faults()
        if self.slot_due == self.now:
            self._slot_boundary()
        if self.moments and self.moments[0] == self.now:
            self.moments.pop(0)
            self._tell()
        if self.telemetry_due == self.now:
            self.seen = [self._look(r) for r in range(len(self.regions))]
            self.telemetry_due += self.world.telemetry_ns
        while self.travelling and self.travelling[0][0] == self.now:
            _, kind, _, _, request = heapq.heappop(self.travelling)
            if kind == REGION_ARRIVAL:
                self._region_arrival(request)
            else:
                self._dispatch(request)
        for r, region in enumerate(self.regions):
            for replica in region.replicas:
                if replica.doing in ("free", "idle") and region.up:
                    self._next_work(r, replica)

    def _on_clock(self, duration_s: float) -> int:
        clock = self.world.clock_ns
        return max(clock, clock * floor(duration_s * 1e9 / clock + 0.5))

    # Slots -----------------------------------------------------------------------------------------------------

    def _slot_boundary(self) -> None:
        world = self.world
        for r, region in enumerate(self.regions):
            for replica in region.replicas:
                self._account(r, replica)
        begun_ns = self.slot * (world.warmup_ns + world.slot_ns)
        if self.part == WARMUP:  # it is over: now the slot counts
            self._open(COUNTED, begun_ns + world.warmup_ns + world.slot_ns)
            return
        if self.slot + 1 == world.slots:  # the horizon: the last slot stays open for requests in flight
            self.slot_due = NEVER
            if world.warmup_ns:
                self._open(AFTER, NEVER)
            return
        if self.slot >= 0:
            self.planner.observe(self._slot_record(self.slot))
        self.slot += 1
        begun_ns += world.warmup_ns + world.slot_ns
        if world.warmup_ns:
            self._open(WARMUP, begun_ns + world.warmup_ns)
        else:
            self._open(COUNTED, begun_ns + world.slot_ns)
        fresh = world.requests(self.slot)
        for i in range(len(fresh)):
            request = Request(
                request_id=int(fresh.request_id[i]),
                gateway=int(fresh.gateway[i]),
                slo=int(fresh.slo[i]),
                prompt=int(fresh.prompt_tokens[i]),
                output=int(fresh.output_tokens[i]),
                arrival_ns=int(fresh.arrival_ns[i]),
                uniform=float(fresh.uniform[i]),
                session=-1 if fresh.session is None else int(fresh.session[i]),
                chain=-1 if fresh.chain is None else int(fresh.chain[i]),
            )
            self.requests.append(request)
            self._travel(request, request.arrival_ns, GATEWAY_ARRIVAL)
        up = np.array([region.up for region in self.regions])
        begins_to_count_ns = begun_ns + world.warmup_ns
        for i in range(len(fresh)):
            if fresh.arrival_ns[i] >= begins_to_count_ns:
                self.demand[self.slot, fresh.gateway[i]] += 1
        self.demand[self.slot] /= world.slot_ns / 1e9
        self.plans.append(self.planner.plan(self.slot, self.demand[self.slot], up))
        self.duals.append(self.planner.duals())
        self.moments = self._moments(begun_ns, begun_ns + world.warmup_ns + world.slot_ns)
        self.told.append(self._tell())

    # Awake and asleep ------------------------------------------------------------------------------------------

    def _moments(self, begin_ns: int, end_ns: int) -> list[int]:
        scaling = self.world.scaling
        if scaling is None:
            return []
        found = [at for cap in scaling.caps for at in (cap.begin_ns, cap.end_ns) if begin_ns < at < end_ns]
        at = begin_ns + scaling.every_ns
        while scaling.rule == "follow" and at < end_ns:
            found.append(at)
            at += scaling.every_ns
        return sorted(set(found))

    def _tell(self) -> list[int] | None:
        """Every region is told how many replicas are to be awake."""
        scaling = self.world.scaling
        if scaling is None:
            return None
        counts = [int(n) for n in self.fleet.replicas]
        if scaling.rule == "planned" and self.planner.awake is not None:
            counts = [int(n) for n in self.planner.awake]
        elif scaling.rule == "planned":
            counts = self._needed(self._planned_parts(self._sent(self.planner.demand_rps)))
        elif scaling.rule == "follow":
            counts = self._followed()
        for cap in scaling.caps:
            if cap.begin_ns <= self.now < cap.end_ns:
                counts[cap.region] = min(counts[cap.region], cap.replicas)
        for r, count in enumerate(counts):
            self._keep_awake(r, count)
        return counts

    def _sent(self, demand_rps) -> list[float]:
        """What the plan sends to each region of such a demand."""
        plan = self.plans[self.slot]
        return [
            sum(float(d) * float(row[r]) for d, row in zip(demand_rps, plan, strict=True)) for r in range(len(plan[0]))
        ]

    def _groups(self) -> list[list[int]]:
        """Pools of one model in one region, where there are several."""
        groups = [self._alike(r) for r in range(len(self.regions))] if self.world.first_of is not None else []
        return [group for group in groups if len(group) > 1]

    def _most(self, r: int, begin_ns: int, end_ns: int) -> int:
        """Replicas of pool r that caps leave awake all the time."""
        caps = [cap for cap in self.world.scaling.caps if cap.begin_ns < end_ns and cap.end_ns > begin_ns]
        return min([int(self.fleet.replicas[r]), *(cap.replicas for cap in caps if cap.region == r)])

    def _aimed(self, r: int) -> float:
        return float(self.world.scaling.utilisation[r]) * float(self.world.scaling.replica_rps[r])

    def _planned_parts(self, loads: list[float]) -> list[float]:
        """Loads of pools: of one model, to those that are awake anyway, and then to the cheapest."""
        scaling, length_ns = self.world.scaling, self.world.warmup_ns + self.world.slot_ns
        for group in self._groups():
            left = sum(loads[r] for r in group)
            order = [r for r in scaling.cheapest.tolist() if r in group] if scaling.cheapest is not None else group
            most = {r: self._most(r, self.slot * length_ns, (self.slot + 1) * length_ns) for r in group}
            parts = dict.fromkeys(group, 0.0)
            for counts in ({r: min(int(scaling.least[r]), most[r]) for r in group}, most):
                for r in order:
                    part = max(min(left, counts[r] * self._aimed(r) - parts[r]), 0.0)
                    parts[r] += part
                    left -= part
            for r in group:
                loads[r] = parts[r]
        return loads

    def _forecast_parts(self, loads: list[float], at_ns: int) -> list[float]:
        """Loads of pools: of one model, one after the other if that is how they are filled, or all alike."""
        for group in self._groups():
            left = total = sum(loads[r] for r in group)
            rooms = {r: self._most(r, at_ns, at_ns + 1) * self._aimed(r) for r in group}
            for r in group:
                if self.world.pools_in_order:
                    loads[r] = min(left, rooms[r])
                    left -= loads[r]
                else:
                    loads[r] = total * (rooms[r] / sum(rooms.values())) if any(rooms.values()) else 0.0
        return loads

    def _needed(self, loads: list[float]) -> list[int]:
        scaling, counts = self.world.scaling, []
        for r, load in enumerate(loads):
            count = ceil(round(load / (float(scaling.utilisation[r]) * float(scaling.replica_rps[r])), 12))
            counts.append(min(max(count, int(scaling.least[r])), int(self.fleet.replicas[r])))
        return counts

    def _followed(self) -> list[int]:
        """What `follow` says: by arrivals between the last two looks that are old enough, and by forecasts."""
        world, scaling = self.world, self.world.scaling
        self.looks.append((self.now, [region.arrived for region in self.regions]))
        loads = self._forecast_parts(self._sent(world.expected_rps[self.slot]), self.now)
        if self.slot + 1 < world.slots:
            ends_ns = (self.slot + 1) * (world.warmup_ns + world.slot_ns)
            coming = self._forecast_parts(self._sent(world.expected_rps[self.slot + 1]), ends_ns)
            for r, load in enumerate(coming):
                if self.now + scaling.every_ns + int(self.fleet.wake_ns[r]) > ends_ns:
                    loads[r] = max(loads[r], load)
        known = [look for look in self.looks if look[0] <= self.now - scaling.age_ns][-2:]
        if len(known) == 2:
            (since, before), (until, after) = known
            for r in range(len(loads)):
                loads[r] = max(loads[r], (after[r] - before[r]) / ((until - since) / 1e9))
        self.needs.append((self.now, self._needed(loads)))
        recent = [counts for at, counts in self.needs if at == self.now or at > self.now - scaling.cool_down_ns]
        return [max(column) for column in zip(*recent, strict=True)]

    def _keep_awake(self, r: int, count: int) -> None:
        """The first `count` replicas are to be awake, the others are to sleep; somebody serves those who wait."""
        region = self.regions[r]
        if region.queue:
            count = max(count, 1)
        before, region.awake = region.awake, count
        for index, replica in enumerate(region.replicas):
            if index < count and replica.doing == "asleep":
                self._account(r, replica)
                self.meters[self.slot, self.part, r]["wakes"] += 1
                if int(self.fleet.wake_ns[r]) > 0:
                    replica.doing, replica.ends_ns = "rise", self.now + int(self.fleet.wake_ns[r])
                else:
                    self._rest(r, replica)
            elif index >= count and not self._has_work(replica) and replica.doing in ("idle", "rise"):
                self._account(r, replica)
                self._rest(r, replica)
        if count > before:
            self._drain(r)

    def _has_work(self, replica: Replica) -> bool:
        return bool(replica.held)

    def _rest(self, r: int, replica: Replica) -> None:
        """A replica without work is idle, or sleeps if it is to."""
        index = self.regions[r].replicas.index(replica)
        replica.doing = "idle" if index < self.regions[r].awake else "asleep"
        replica.idle_ns, replica.ends_ns = self.now, NEVER

    def _choose_replica(self, r: int, chosen: list[int], size) -> int:
        """The fullest of those below what replicas are packed to, else the emptiest; of equals the first."""
        below = [index for index in chosen if size(index) < int(self.fleet.pack[r])]
        if below:
            return min(below, key=lambda index: (-size(index), index))
        return min(chosen, key=lambda index: (size(index), index))

    def _open(self, part: int, until_ns: int) -> None:
        """From now on meters are those of `part` of the slot."""
        self.part, self.slot_due = part, until_ns
        for r, region in enumerate(self.regions):
            self.meters[self.slot, part, r]["queue_max"] = len(region.queue)

    def _slot_record(self, slot: int) -> SlotRecord:
        uncounted = [part for part in self._parts(slot) if part != COUNTED]
        return SlotRecord(
            slot=slot,
            weights=self.plans[slot],
            demand_rps=self.demand[slot],
            dispatched=self.dispatched[slot, COUNTED],
            meters=self.meters[slot, COUNTED],
            duals=self.duals[slot],
            warmup=tuple(self.meters[slot, part] for part in uncounted),
            warmup_dispatched=self.dispatched[slot, uncounted].sum(axis=0) if uncounted else None,
            awake=self.told[slot],
        )

    def _parts(self, slot: int) -> list[int]:
        if not self.world.warmup_ns:
            return [COUNTED]
        return [WARMUP, COUNTED, AFTER] if slot == self.world.slots - 1 else [WARMUP, COUNTED]

    @property
    def _over(self) -> bool:
        """The horizon has been reached: idle replicas are no longer metered."""
        return self.slot_due == NEVER

    def _account(self, r: int, replica: Replica) -> None:
        """Put what the replica did since it was last asked on the meter of the present slot."""
        since, replica.since_ns = replica.since_ns, self.now
        if self.slot < 0 or replica.doing == "free" or since == self.now:
            return
        waiting = replica.doing not in ("prefill", "decode")
        if waiting and self._over:
            return
        meter, fleet = self.meters[self.slot, self.part, r], self.fleet
        meter[TIMES[replica.doing]] += self.now - since
        if not waiting and self.world.active_attribution and not self._over:
            served = self._served(replica)
            for request in served:
                self._charge(request, r, float(fleet.host_w[r]) * (self.now - since) / 1e9 / len(served))
        if replica.doing == "asleep":
            meter["asleep_ns"] += self.now - since
            meter["sleep_j"] += float(fleet.sleep_w[r]) * (self.now - since) / 1e9
        elif replica.doing in ("wake", "rise"):
            meter["idle_j"] += float(fleet.idle_w[r]) * (self.now - since) / 1e9
        elif replica.doing == "idle":
            asleep_ns = replica.idle_ns + int(fleet.sleep_after_ns[r])
            awake_ns = max(0, min(self.now, asleep_ns) - since)
            asleep = self.now - since - awake_ns
            meter["asleep_ns"] += asleep
            meter["idle_j"] += float(fleet.idle_w[r]) * awake_ns / 1e9
            meter["sleep_j"] += float(fleet.sleep_w[r]) * asleep / 1e9

    def _served(self, replica: Replica) -> list[Request]:
        """Whom the running prefill or iteration is for."""
        return replica.at_work

    # Dispatch --------------------------------------------------------------------------------------------------

    def _travel(self, request: Request, time_ns: int, kind: int) -> None:
        region = request.region if kind == REGION_ARRIVAL else -1
        heapq.heappush(self.travelling, (time_ns, kind, region, request.request_id, request))

    def _dispatch(self, request: Request) -> None:
        g = request.gateway
        choices = [r for r, region in enumerate(self.regions) if region.up and self.world.allowed[g, r]]
        if not choices:  # it fails at its gateway: on the record of the request, on no region's meter
            request.status, request.finish_ns = FAILED, self.now
            return
        r = self._home(request, choices)
        if r is None:
            r = self._choose(request, g, choices)
        self.homes[request.session] = (r, self.slot)
        request.attempts += 1
        request.region = r
        self.dispatched[self.slot, self.part, g, r] += 1
        self._travel(request, self.now + int(self.world.latency_ns[g, r]), REGION_ARRIVAL)

    def _home(self, request: Request, choices: list[int]) -> int | None:
        """Where an earlier request of its session went, with `session_slot` in this slot, if that may be."""
        r, slot = self.homes.get(request.session, (None, None))
        old = self.world.affinity == BY_SESSION_SLOT and slot != self.slot
        none = self.world.affinity == BY_REQUEST or request.session < 0 or r not in choices
        return None if old or none else r

    def _choose(self, request: Request, g: int, choices: list[int]) -> int:
        rule, latency = self.world.dispatch, self.world.latency_ns[g]
        if rule == LEAST_LOADED:
            return min(choices, key=lambda r: (self._seen(r)[1], latency[r], r))
        weights = {r: float(self.plans[self.slot][g, r]) for r in choices}
        total = sum(weights.values())
        if rule == PLAN_LEAST_LOADED and total > 0.0:
            # `known` is what the plan was made for; a region that the plan sends nothing to is the last resort.
            sent = dict.fromkeys(choices, 0.0)
            for known, row in zip(self.planner.demand_rps, self.plans[self.slot], strict=True):
                for r in choices:
                    sent[r] += float(known) * float(row[r])
            per_sent = {r: (self._seen(r)[2] + 1) / sent[r] if sent[r] > 0.0 else float("inf") for r in choices}
            return min((r for r in choices if weights[r] > 0.0), key=lambda r: (per_sent[r], r))
        if rule == SMOOTH and total > 0.0:
            for r in choices:
                self.credit[g, r] += weights[r] / total
            chosen = max(choices, key=lambda r: (self.credit[g, r], -r))
            self.credit[g, chosen] -= 1.0
            return chosen
        if total <= 0.0:
            first = min(choices, key=lambda r: (latency[r], r))
        else:
            cumulative, first = 0.0, choices[-1]
            for r in choices:
                cumulative += weights[r]
                if cumulative > request.uniform * total:
                    first = r
                    break
        if rule == SPILLOVER and self._seen(first)[0] > self.world.spill_queue:
            short = [r for r in choices if self._seen(r)[0] <= self.world.spill_queue]
            if short:
                return min(short, key=lambda r: (-weights[r], latency[r], r))
        return first

    def _look(self, r: int) -> tuple[int, float, int]:
        pools = self._alike(r)
        places = sum(self.regions[p].awake * int(self.fleet.max_batch[p]) for p in pools)
        places = places or sum(int(self.fleet.max_batch[p]) for p in pools)
        present = sum(self._present(p) for p in pools)
        return sum(len(self.regions[p].queue) for p in pools), present / places, present

    def _seen(self, r: int) -> tuple[int, float, int]:
        """(queue, load, requests) of region r as of the last telemetry tick."""
        return self.seen[r] if self.world.telemetry_ns else self._look(r)

    # A region --------------------------------------------------------------------------------------------------

    def _alike(self, r: int) -> list[int]:
        """The pools of one region and model of which `r` is the first; else `r` itself."""
        first = self.world.first_of
        return [r] if first is None else [p for p in range(len(first)) if int(first[p]) == r] or [r]

    def _holds(self, r: int) -> int:
        """Tokens of the longest request that pool r can serve."""
        return int(self.fleet.kv_tokens[r])

    def _into_pool(self, request: Request) -> int:
        """The pool that a request gets in its region: by load per place, or the first that has a place free; of
        replicas that are awake, or if there are none, that wake up, or if there are none, of one each."""
        pools = self._alike(request.region)
        pools = [p for p in pools if request.prompt + request.output <= self._holds(p)] or pools
        regions = [self.regions[p] for p in pools]
        counts = [sum(region.takes(i) for i in range(len(region.replicas))) for region in regions]
        if not any(counts):
            counts = [region.awake for region in regions]
        if not any(counts):
            counts = [1] * len(pools)
        places = {p: n * int(self.fleet.max_batch[p]) for p, n in zip(pools, counts, strict=True) if n > 0}
        pools = list(places)
        free = [p for p in pools if self._present(p) < places[p]]
        if self.world.pools_in_order and free:
            return free[0]
        return min(pools, key=lambda p: (self._present(p) / places[p], p))

    def _present(self, r: int) -> int:
        region = self.regions[r]
        return len(region.queue) + sum(len(replica.held) for replica in region.replicas)

    def _region_arrival(self, request: Request) -> None:
        r = request.region = self._into_pool(request)
        region = self.regions[r]
        region.arrived += 1
        self.meters[self.slot, self.part, r]["arrived"] += 1
        if not region.up:
            self._turn_away(request)
            return
        request.visit = Visit(request.request_id, r, self.now)
        self.visits.append(request.visit)
        if request.prompt + request.output > int(self.fleet.kv_tokens[r]):
            self._end(request, REJECTED)
        elif not region.queue and self._admit(request):
            pass
        elif len(region.queue) >= int(self.fleet.max_queue[r]):
            self._end(request, REJECTED)
        elif self._deadline(request) <= self.now:
            self._end(request, TIMED_OUT)
        else:
            region.queue.append(request)
            meter = self.meters[self.slot, self.part, r]
            meter["queue_max"] = max(int(meter["queue_max"]), len(region.queue))
            if region.awake == 0:
                self._keep_awake(r, 1)

    def _deadline(self, request: Request) -> int:
        return request.arrival_ns + self.world.timeout_ns if self.world.timeout_ns < NEVER else NEVER

    def _admit(self, request: Request) -> bool:
        """Put the request on an admitting replica that takes requests, if there is one."""
        r = request.region
        region, free = self.regions[r], []
        for index, replica in enumerate(region.replicas):
            reserved = sum(other.prompt + other.output for other in replica.held)
            room = reserved + request.prompt + request.output <= int(self.fleet.kv_tokens[r])
            if room and len(replica.held) < int(self.fleet.max_batch[r]) and region.takes(index):
                free.append(index)
        if not free:
            return False
        best = self._choose_replica(r, free, lambda index: len(region.replicas[index].held))
        request.replica = best
        request.visit.admitted_ns = self.now
        region.replicas[best].held.append(request)
        return True

    def _drain(self, r: int) -> None:
        queue = self.regions[r].queue
        while queue and self._admit(queue[0]):
            queue.pop(0)

    def _timeouts(self, r: int) -> None:
        queue = self.regions[r].queue
        for request in sorted(queue, key=lambda request: request.request_id):
            if request in queue and self._deadline(request) == self.now:
                was_head = queue[0] is request
                queue.remove(request)
                self._end(request, TIMED_OUT)
                if was_head:
                    self._drain(r)

    def _faults(self) -> None:
        for outage in self.world.outages:
            if outage.up_ns == self.now:
                self.regions[outage.region].up = True
                for replica in self.regions[outage.region].replicas:
                    self._account(outage.region, replica)
                    self._rest(outage.region, replica)
        for outage in self.world.outages:
            if outage.down_ns == self.now:
                self._go_down(outage.region)

    def _go_down(self, r: int) -> None:
        region = self.regions[r]
        region.up = False
        homeless = list(region.queue)
        region.queue.clear()
        for replica in region.replicas:
            self._account(r, replica)
            if replica.ends_ns != NEVER and replica.doing not in ("wake", "rise"):
                self._charge_interrupted(r, replica)
            homeless += replica.held
            replica.held.clear()
            replica.doing, replica.ends_ns, replica.epoch_s = "down", NEVER, None
        for request in sorted(homeless, key=lambda request: request.request_id):
            self._turn_away(request)

    def _turn_away(self, request: Request) -> None:
        """The region is down: back to the gateway, or the end if this was the last attempt. What was done is lost."""
        request.replica = request.start_ns = request.first_token_ns = -1
        request.generated = 0
        if request.attempts >= self.world.max_attempts:
            self._end(request, FAILED)
            return
        self._leave(request)
        latency_ns = int(self.world.latency_ns[request.gateway, request.region])
        self._travel(request, self.now + latency_ns, GATEWAY_ARRIVAL)

    def _end(self, request: Request, status: int) -> None:
        request.status, request.finish_ns = status, self.now
        name = {SERVED: "served", REJECTED: "rejected", TIMED_OUT: "timed_out", FAILED: "failed"}[status]
        self.meters[self.slot, self.part, request.region][name] += 1
        self._leave(request)

    def _leave(self, request: Request) -> None:
        if request.visit is not None:
            request.visit.left_ns = self.now
            request.visit = None

    # A replica -------------------------------------------------------------------------------------------------

    def _next_work(self, r: int, replica: Replica) -> None:
        """The end of an instant: a replica that is not in the middle of something begins what is next."""
        if not replica.held:
            if replica.doing == "free":
                self._rest(r, replica)
            return
        self._account(r, replica)
        asleep = replica.doing == "idle" and self.now - replica.idle_ns >= int(self.fleet.sleep_after_ns[r])
        self.meters[self.slot, self.part, r]["wakes"] += asleep
        replica.begun_ns = self.now
        waiting = [request for request in replica.held if request.first_token_ns < 0]
        if asleep and int(self.fleet.wake_ns[r]) > 0:
            replica.doing, replica.ends_ns = "wake", self.now + int(self.fleet.wake_ns[r])
        elif waiting:
            replica.at_work = waiting[:1]
            waiting[0].start_ns = self.now
            table = self.fleet.chained_s if replica.prompted_ns == self.now else self.fleet.prefill_s
            prefill_s = float(table[self.fleet.profile[r], waiting[0].prompt])
            replica.doing, replica.ends_ns = "prefill", self.now + self._on_clock(prefill_s)
            replica.epoch_s = None
        else:
            if replica.epoch_s is None:
                replica.epoch_ns, replica.epoch_s = self.now, 0.0
            replica.at_work = list(replica.held)  # who is admitted from now on is not in this iteration
            replica.epoch_s += self._iteration_s(r, replica)
            replica.doing, replica.ends_ns = "decode", replica.epoch_ns + self._on_clock(replica.epoch_s)
        assert replica.ends_ns > self.now, "an iteration shorter than the clock's tick: the twin cannot order it"

    def _context(self, request: Request) -> int:
        """Context of the request in the iteration now running: prompt + j in its j-th, j = 1, 2, ..."""
        return request.prompt + request.generated  # the first token came from the prefill

    def _iteration_s(self, r: int, replica: Replica) -> float:
        b, k = len(replica.at_work), sum(self._context(request) for request in replica.at_work)
        fleet = self.fleet
        return float(fleet.a_s[r]) + float(fleet.beta_s[r]) * b + float(fleet.gamma_s[r]) * k  # eq. 1

    def _charge_iteration(self, r: int, replica: Replica, part: float) -> None:
        """`part` of the running iteration's energy: the meter has it as a whole, each request pays its own share."""
        fleet = self.fleet
        e0, e1, e2 = float(fleet.e0_j[r]), float(fleet.e1_j[r]), float(fleet.e2_j[r])
        b, k = len(replica.at_work), sum(self._context(request) for request in replica.at_work)
        self.meters[self.slot, self.part, r]["decode_j"] += part * (e0 + e1 * b + e2 * k)
        for request in replica.at_work:
            self._charge(request, r, part * (e0 / b + e1 + e2 * self._context(request)))

    def _charge_prefill(self, r: int, replica: Replica, part: float) -> None:
        request = replica.at_work[0]
        joules = part * float(self.fleet.prefill_j[self.fleet.profile[r], request.prompt])
        self.meters[self.slot, self.part, r]["prefill_j"] += joules
        self._charge(request, r, joules)

    def _charge(self, request: Request, r: int, joules: float) -> None:
        request.charged_j[self.slot, self.part, r].append(joules)
        self.meters[self.slot, self.part, r]["attributed_j"] += joules

    def _charge_interrupted(self, r: int, replica: Replica) -> None:
        part = (self.now - replica.begun_ns) / (replica.ends_ns - replica.begun_ns)
        if replica.doing == "prefill":
            self._charge_prefill(r, replica, part)
        elif replica.doing == "decode":
            self._charge_iteration(r, replica, part)

    def _end_of_work(self, r: int, replica: Replica) -> None:
        """A wake-up, a prefill or one iteration has ended: tokens, finishes, and room for the queue."""
        self._account(r, replica)
        done, replica.doing, replica.ends_ns = replica.doing, "free", NEVER
        if done == "rise":
            self._drain(r)
            if not replica.held:
                self._rest(r, replica)
        if done in ("wake", "rise"):
            return
        if done == "prefill":
            self._charge_prefill(r, replica, 1.0)
            replica.at_work[0].first_token_ns = replica.prompted_ns = self.now
        else:
            self._charge_iteration(r, replica, 1.0)
        for request in replica.at_work:
            request.generated += 1
        finished = [request for request in replica.at_work if request.generated >= request.output]
        for request in sorted(finished, key=lambda request: request.request_id):
            replica.held.remove(request)
            replica.epoch_s = None
            self._end(request, SERVED)
        if finished:
            self._drain(r)
        if not replica.held:
            self._rest(r, replica)

    # Afterwards ------------------------------------------------------------------------------------------------

    def _settle_visits(self) -> None:
        """Areas under queue and system length, from who was where when; the last slot lasts until everyone has left."""
        for visit in self.visits:
            queued_until = visit.left_ns if visit.admitted_ns is None else visit.admitted_ns
            for slot, part, begin, end in self._spans():
                for name, until in (("queue_area_ns", queued_until), ("system_area_ns", visit.left_ns)):
                    overlap = min(until, end) - max(visit.entered_ns, begin)
                    self.meters[slot, part, visit.region][name] += max(0, overlap)

    def _spans(self) -> list[tuple[int, int, int, int]]:
        """(slot, part, begin, end) of every part of a slot; the last one has no end."""
        spans, now = [], 0
        lasts_ns = {WARMUP: self.world.warmup_ns, COUNTED: self.world.slot_ns, AFTER: 0}
        for slot in range(self.world.slots):
            for part in self._parts(slot):
                spans.append((slot, part, now, now + lasts_ns[part]))
                now += lasts_ns[part]
        return [*spans[:-1], (*spans[-1][:3], NEVER)]

    def _factors(self) -> np.ndarray:
        """[s, part, r] what a request pays for each joule it was charged: above 1 with full attribution."""
        factors = np.ones((self.world.slots, 3, self.world.regions))
        if self.world.full_attribution:
            for slot, part, begin, end in self._spans():
                meters = self.meters[slot, part]
                span_ns = min(end, self.world.horizon_ns) - begin
                powered_ns = self.fleet.replicas * span_ns - meters["down_ns"]
                awake_ns = powered_ns - meters["asleep_ns"]
                host_j = (self.fleet.host_w * awake_ns + self.fleet.host_sleep_w * meters["asleep_ns"]) / 1e9
                spread = meters["idle_j"] + meters["sleep_j"] + host_j
                charged = meters["attributed_j"] > 0
                factors[slot, part][charged] += spread[charged] / meters["attributed_j"][charged]
        return factors

    def _records(self, factors: np.ndarray) -> np.ndarray:
        signals = self.world.signals
        records = np.zeros(len(self.requests), dtype=self.world.request_dtype)
        for record, request in zip(records, sorted(self.requests, key=lambda x: x.request_id), strict=True):
            for name in ("request_id", "gateway", "region", "replica", "slo", "status", "attempts"):
                record[name] = getattr(request, name)
            record["prompt_tokens"], record["output_tokens"] = request.prompt, request.output
            for name in ("arrival_ns", "start_ns", "first_token_ns", "finish_ns", "preemptions", "cached_tokens"):
                record[name] = getattr(request, name)
            if self.world.in_sessions:
                record["session"] = request.session
            for (slot, part, r), joules in request.charged_j.items():
                energy_j = fsum(joules) * factors[slot, part, r]
                it_kwh = energy_j / 3.6e6
                facility_kwh = it_kwh * signals.pue[slot, r]
                record["energy_j"] += energy_j
                record["cost_usd"] += facility_kwh * signals.price_usd_per_kwh[slot, r]
                record["carbon_g"] += facility_kwh * signals.carbon_g_per_kwh[slot, r]
                record["water_l"] += it_kwh * signals.wue_l_per_kwh[slot, r]
                record["water_l"] += facility_kwh * signals.ewif_l_per_kwh[slot, r]
                for k in range(len(self.world.further)):
                    record["further"][k] += it_kwh * signals.further_per_kwh[slot, k, r]
        return records
