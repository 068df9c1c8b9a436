"""Faults planted in the engine, one for each rule: the differential test must catch every one of them.

A fault is a small patch of one rule. It is caught if, within `WORLDS` random worlds on coarse clocks, the engine's
records differ from the twin's or the engine breaks an assertion of its own. (One rule is too rarely decisive for that:
that old credits do not count where a plan has no place. `test_rules.py` holds it.)
"""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from glbdes.base import portable
from glbdes.engine.simpy import engine as simpy_engine
from glbdes.engine.simpy import pools as simpy_pools
from glbdes.engine.simpy import region as simpy_region
from glbdes.engine.simpy import replica as simpy_replica
from glbdes.engine.simpy.dispatch import Dispatcher
from glbdes.engine.simpy.engine import Simulation
from glbdes.engine.simpy.pools import Alike
from glbdes.engine.simpy.region import Region
from glbdes.engine.simpy.replica import Replica
from glbdes.engine.simpy.request import Request, order_key
from glbdes.hardware import physics
from glbdes.units import NS_PER_S
from glbdes.world import World
from glbdes.world.scaling import Scaler
from tests.random_worlds import CLOCKS_NS, disagreements, random_world

WORLDS = 240
COARSE_NS = CLOCKS_NS[1:]


# Some rules show only when rare things meet; there the worlds are bent so that they meet often.
PRESSED: dict[str, Callable[[int], dict]] = {
    "fault before timeout": lambda tick: {
        "timeout_ns": 12 * tick,
        "outages": [(0, at * tick, (at + 1) * tick) for at in range(5, 200, 5)],
    },
    "smooth looks at closed regions": lambda tick: {
        "dispatch": physics.SMOOTH,
        "outages": [(0, at * tick, (at + 4) * tick) for at in range(3, 200, 9)],
    },
    **dict.fromkeys(
        (
            "all of a plan to one pool",
            "the dearest pool first",
            "the cheapest pool before those awake anyway",
            "a plan for pools sees no cap",
        ),
        lambda tick: {"pooled": True, "scaling_rule": "planned"},
    ),
    "load of one pool of several": lambda tick: {"dispatch": physics.LEAST_LOADED, "outages": []},
    "spillover ties by index": lambda tick: {"dispatch": physics.SPILLOVER, "spill_queue": 0},
}


def caught(press: Callable[[int], dict] = lambda tick: {}) -> bool:
    """Whether the engine, as it is now, is found out in one of `WORLDS` random worlds."""
    for seed in range(WORLDS):
        tick = COARSE_NS[seed % len(COARSE_NS)]
        try:
            if disagreements(random_world(seed, tick, **press(tick)), seed):
                return True
        except AssertionError:  # the engine itself has noticed
            return True
    return False


def swapped(one: str, other: str) -> Callable:
    """Two kinds of events change places in the order of section 2."""

    def plant(patch) -> None:
        first, second = getattr(physics, one), getattr(physics, other)
        patch.setattr(physics, one, second)
        patch.setattr(physics, other, first)

    return plant


def ordered(change: Callable) -> Callable:
    """Ties within a kind of events are broken otherwise."""

    def plant(patch) -> None:
        for module in (simpy_engine, simpy_region, simpy_replica):
            patch.setattr(module, "order_key", lambda kind, region=0, tie=0: order_key(kind, *change(region, tie)))

    return plant


def replaced(owner: type, name: str, make: Callable) -> Callable:
    """`owner.name` becomes `make(the original)`."""
    return lambda patch: patch.setattr(owner, name, make(getattr(owner, name)))


# Regions and queues ----------------------------------------------------------------------------------------------


def admit_first_that_fits(_):
    def admitting(self, tokens):
        return next((x for x in self.replicas if x.held < self.pool.max_batch and x.kv_free >= tokens), None)

    return admitting


def admit_last_of_the_emptiest(_):
    def admitting(self, tokens):
        fit = [x for x in self.replicas if x.held < self.pool.max_batch and x.kv_free >= tokens]
        return min(reversed(fit), key=lambda x: x.held, default=None)

    return admitting


def admit_without_looking_at_memory(original):
    return lambda self, tokens: original(self, -(10**9))


def admit_one_too_many(original):
    def admitting(self, tokens):
        pool, self.pool = self.pool, replace(self.pool, max_batch=self.pool.max_batch + 1)
        try:
            return original(self, tokens)
        finally:
            self.pool = pool

    return admitting


def pass_the_head_of_the_queue(_):
    def drain(self, now):
        for request in list(self.queue.values()):
            replica = self.admitting(request.prompt + request.output)
            if replica is not None:
                self.count_queue(now)
                del self.queue[request.id]
                replica.admit(request, now)

    return drain


def take_from_the_tail(_):
    def drain(self, now):
        while self.queue:
            request = next(reversed(self.queue.values()))
            replica = self.admitting(request.prompt + request.output)
            if replica is None:
                return
            self.count_queue(now)
            del self.queue[request.id]
            replica.admit(request, now)

    return drain


def with_region(name: str, value: Callable) -> Callable:
    """A setting of every region is read wrongly."""

    def make(original):
        def init(self, *arguments):
            original(self, *arguments)
            setattr(self, name, value(getattr(self, name)))

        return init

    return replaced(Region, "__init__", make)


def jump_the_queue(original):
    def arrive(self, request, now):
        queue, self.queue = self.queue, type(self.queue)()
        fits = self.up and request.prompt + request.output <= self.pool.kv_tokens
        replica = self.admitting(request.prompt + request.output) if fits else None
        self.queue = queue
        if replica is None:
            original(self, request, now)
        else:
            self.meter.arrived += 1
            self.count_population(1, now)
            replica.admit(request, now)

    return arrive


def forget_to_drain_after_a_timeout(original):
    def time_out(self, request, now):
        self.drain = lambda now: None
        original(self, request, now)
        del self.drain

    return time_out


def never_patient(original):
    def arrive(self, request, now):
        if request.arrival_ns + self.timeout_ns <= now and self.up:
            self.meter.arrived += 1
            self.refuse(request, physics.TIMED_OUT, now)
        else:
            original(self, request, now)

    return arrive


def keep_progress(_):
    return lambda self: None


# Replicas --------------------------------------------------------------------------------------------------------


def boundaries_close_as_they_fall(original):
    """An iteration boundary at the very time of admission is taken for past."""

    def stop(self, now):
        timing = self.pool.timing
        law = (self.epoch_b, self.epoch_k0, *timing)
        n = physics.iterations_ended(now - self.epoch_ns, self.planned, *law)
        if n < self.planned and physics.iterations_end_ns(n, *law) == now - self.epoch_ns:
            if n + 1 < self.planned:
                self.planned = n + 1
                self.schedule(self.epoch_ns + physics.iterations_end_ns(n + 1, *law))
        else:
            original(self, now)

    return stop


def newest_prompt_first(original):
    def begin(self, now):
        self.waiting.rotate(1)
        original(self, now)

    return begin


def decode_before_prefill(original):
    def begin(self, now):
        waiting = self.waiting
        if self.active and waiting:
            self.waiting = type(waiting)()
            original(self, now)
            self.waiting = waiting
        else:
            original(self, now)

    return begin


def always_awake(original):
    def wake(self, now):
        self.spend(now)
        self.begin(now)

    return wake


def asleep_a_tick_later(original):
    def wake(self, now):
        at_the_edge = now == self.idle_ns + self.pool.sleep_after_ns
        self.spend(now)
        if at_the_edge:
            self.begin(now)
        else:
            original(self, now)

    return wake


def context_forgets_the_first_token(original):
    def end_prefill(self, now):
        original(self, now)
        if self.active:
            self.context -= 1

    return end_prefill


def kv_room_is_never_given_back(original):
    def release(self, request):
        original(self, request)
        self.kv_free -= request.prompt

    return release


def prompts_do_not_chain(original):
    def prefill_ns(self, request):
        self.prompted_ns = -1
        return original(self, request)

    return prefill_ns


def settle_without_charging(_):
    return lambda self, now: self.spend(now)


def interrupted_work_is_free(_):
    return lambda self, now: None


def idle_beyond_the_horizon(original):
    def spend(self, now):
        pool, self.pool = self.pool, replace(self.pool, horizon_ns=physics.NEVER_NS)
        original(self, now)
        self.pool = pool

    return spend


def shared_energy_is_paid_by_each(original):
    def count(self, n):
        new = n - self.counted
        original(self, n)
        self.shared_j += new * self.pool.e0_j * (1 - 1 / self.epoch_b) if new else 0.0

    return count


def rest_forgets_when_it_began(original):
    def rest(self, state, now):
        original(self, state, now)
        self.idle_ns = 0

    return rest


# Dispatch and faults ----------------------------------------------------------------------------------------------


def unaware_of_outages(original):
    def refresh(self):
        pools = {id(pool): pool for region in self.regions for pool in region.pools}.values()
        state = [pool.up for pool in pools]
        for pool in pools:
            pool.up = True
        original(self)
        for pool, up in zip(pools, state, strict=True):
            pool.up = up

    return refresh


def weighted_by_the_other_end(original):
    def weighted(self, request):
        request.uniform, uniform = 1.0 - request.uniform - 1e-12, request.uniform
        try:
            return original(self, request)
        finally:
            request.uniform = uniform

    return weighted


def smooth_by(rank: Callable, anywhere: bool = False) -> Callable:
    """Smooth dispatch that picks by `rank(credit, region)`, maybe among regions that are down, too."""

    def smooth(self, request):
        g = request.gateway
        if not self.planned[g]:
            return self.open[g][0] if self.open[g] else -1
        credit = [owed + share for owed, share in zip(self.credits[g], self.shares[g], strict=True)]
        r = max(range(len(credit)) if anywhere else sorted(self.open[g]), key=lambda r: rank(credit, r))
        credit[r] -= 1.0
        self.credits[g] = credit
        return r

    return lambda _: smooth


def most_owed(credit, r):
    return credit[r], -r


def smooth_shares_credits(original):
    def smooth(self, request):
        self.credits = [self.credits[request.gateway]] * len(self.credits)
        return original(self, request)

    return smooth


def least_loaded_by_queue(_):
    def least_loaded(self, request):
        return min(self.open[request.gateway], key=lambda r: self.regions[r].queued(), default=-1)

    return least_loaded


def ties_by_index(original):
    def choose(self, request):
        nearest_first = self.open
        self.open = [sorted(row) for row in nearest_first]
        try:
            return original(self, request)
        finally:
            self.open = nearest_first

    return choose


def least_loaded_beyond_the_plan(_):
    def plan_least_loaded(self, request):
        here = [region.population for region in self.regions]
        return min(sorted(self.open[request.gateway]), key=here.__getitem__, default=-1)

    return plan_least_loaded


def flows_of_one_gateway_alone(original):
    def follow(self, plan, demand_rps):
        original(self, plan, demand_rps)
        self.sent_rps = plan[0].tolist()

    return follow


def spill_a_request_too_early(original):
    def spillover(self, request):
        self.spill_queue -= 1
        try:
            return original(self, request)
        finally:
            self.spill_queue += 1

    return spillover


def sees_the_present(original):
    def init(self, *arguments):
        original(self, *arguments)
        self.telemetry = False

    return init


def attempts_without_end(original):
    def turn_away(self, request, now):
        request.attempts -= 1
        original(self, request, now)
        request.attempts += 1

    return turn_away


def back_in_no_time(original):
    def turn_away(self, request, now):
        latency_ns = self.latency_ns
        self.latency_ns = [[0] * len(row) for row in latency_ns]
        original(self, request, now)
        self.latency_ns = latency_ns

    return turn_away


def old_signals(original):
    def open_slot(self, signals, slot):
        original(self, signals, max(slot - 1, 0))

    return open_slot


def marginal_only(original):
    def init(self, *arguments):
        original(self, *arguments)
        self.spread = False

    return init


# Warm-ups -----------------------------------------------------------------------------------------------------------


def added(one, other):
    """Two meters in one."""
    both = one.copy()
    for name in both.dtype.names:
        both[name] += other[name]
    return both


def counts_too(part: int) -> Callable:
    """What part 0 (the warm-up) or 2 (after the last slot) of a slot meters is also in what counts."""

    def make(original):
        def close_slot(self, slot):
            if len(self.parts) > max(part, 1):
                meters, sent = self.parts[1]
                self.parts[1] = (added(meters, self.parts[part][0]), sent)
            original(self, slot)

        return close_slot

    return make


def warmups_end_unsettled(original):
    def settle(self):
        world = self.world
        if not 0 < world.warmup_ns == self.now % world.period_ns:
            original(self)

    return settle


def policies_hear_of_warmups(original):
    def close_slot(self, slot):
        observe = self.planner.observe

        def hear(record):
            for meters in record.warmup:
                record = replace(record, meters=added(record.meters, meters))
            observe(record)

        self.planner.observe = hear
        original(self, slot)
        self.planner.observe = observe

    return close_slot


def demand_of_warmups_too(_):
    def arrived_rps(self, requests):
        return np.bincount(requests.gateway, minlength=self.gateways) / (self.slot_ns / NS_PER_S)

    return arrived_rps


def plan_waits_for_the_warmup(original):
    """The plan before holds until the slot counts."""

    def open_slot(self, slot):
        before, follow = self.dispatcher.weights, self.dispatcher.follow
        late = slot and self.world.warmup_ns
        self.dispatcher.follow = lambda plan, *more: follow(np.array(before) if late else plan, *more)
        original(self, slot)
        self.dispatcher.follow = follow

    return open_slot


def physics_fault(name: str, change: Callable) -> Callable:
    return lambda patch: patch.setattr(physics, name, change(getattr(physics, name)))


def further_at_the_last_signals(_):
    """All that it has used so far, at the signals that hold."""

    def charge_further(self, request, before_j):
        request.further = [request.energy_j * rate for rate in self.further_per_j]

    return charge_further


def further_of_one_region(original):
    """Who is sent on after an outage pays for everything where it is."""

    def charge_further(self, request, before_j):
        request.stretch = (self.index, *request.stretch[1:2], request.attempts) if request.stretch else ()
        original(self, request, before_j)

    return charge_further


def further_of_the_slot_before(original):
    def open_slot(self, signals, slot):
        original(self, signals, slot)
        self.further_per_j = (signals.further_per_kwh[max(slot - 1, 0), :, self.index] / 3.6e6).tolist()

    return open_slot


# Pools -------------------------------------------------------------------------------------------------------------


def the_first_pool(_):
    return lambda self, request: self.pools[0]


def any_pool(original):
    return lambda self, request: original(self, SimpleNamespace(prompt=0, output=0))


def pools_in_the_other_order(original):
    def pool_for(self, request):
        return original(Alike(self.pools[::-1], self.in_order), request)

    return pool_for


def counted(since: int) -> Callable:
    """Pools are chosen as if no look at their replicas came before number `since`."""
    return lambda patch: patch.setattr(simpy_pools, "COUNTS", simpy_pools.COUNTS[since:])


def scaled(name: str, **changed) -> Callable:
    """`Scaler.name` knows another scaling: fields are what `changed` makes of it."""

    def make(original):
        def other(self, *given):
            *rest, scaling = given
            fields = {name: change(scaling) for name, change in changed.items()}
            return original(self, *rest, scaling._replace(**fields))

        return other

    return replaced(Scaler, name, make)


def dearest(scaling):
    return None if scaling.cheapest is None else scaling.cheapest[::-1]


def unshared(self, slot, at_ns, scaling):
    return portable.product(self.world.expected_rps[slot], self.weights)


def in_the_other_order(original):
    def sent(self, *given):
        world = self.world
        self.world = replace(world, pools_in_order=not world.pools_in_order)
        try:
            return original(self, *given)
        finally:
            self.world = world

    return sent


FAULTS: dict[str, Callable] = {
    "timeout before replica": swapped("REPLICA", "TIMEOUT"),
    "fault before timeout": swapped("TIMEOUT", "FAULT"),
    "slot before fault": swapped("FAULT", "SLOT"),
    "slot after region arrival": swapped("SLOT", "REGION_ARRIVAL"),
    "telemetry after region arrival": swapped("TELEMETRY", "REGION_ARRIVAL"),
    "gateway before region arrival": swapped("REGION_ARRIVAL", "GATEWAY_ARRIVAL"),
    "slot before replica": swapped("SLOT", "REPLICA"),
    "requests and replicas in reverse": ordered(lambda region, tie: (region, (1 << 40) - tie)),
    "first replica that fits": replaced(Region, "admitting", admit_first_that_fits),
    "last of the emptiest replicas": replaced(Region, "admitting", admit_last_of_the_emptiest),
    "memory is endless": replaced(Region, "admitting", admit_without_looking_at_memory),
    "batch one too large": replaced(Region, "admitting", admit_one_too_many),
    "the head of the queue is passed": replaced(Region, "drain", pass_the_head_of_the_queue),
    "last in, first out": replaced(Region, "drain", take_from_the_tail),
    "an arrival passes the queue": replaced(Region, "arrive", jump_the_queue),
    "queue one too long": with_region("max_queue", lambda n: n + 1),
    "kv room off by one": with_region("pool", lambda pool: replace(pool, kv_tokens=pool.kv_tokens - 1)),
    "patience one tick too long": with_region("timeout_ns", lambda n: n + 1_000_000 if n < physics.NEVER_NS else n),
    "no drain after a timeout": replaced(Region, "time_out", forget_to_drain_after_a_timeout),
    "the impatient are not admitted": replaced(Region, "arrive", never_patient),
    "lost work stays on the record": replaced(Request, "forget_progress", keep_progress),
    "boundaries close as they fall": replaced(Replica, "stop_at_boundary", boundaries_close_as_they_fall),
    "newest prompt first": replaced(Replica, "begin", newest_prompt_first),
    "decode before prefill": replaced(Replica, "begin", decode_before_prefill),
    "prompts do not chain": replaced(Replica, "prefill_ns", prompts_do_not_chain),
    "no wake-up": replaced(Replica, "wake", always_awake),
    "asleep a tick later": replaced(Replica, "wake", asleep_a_tick_later),
    "context forgets the first token": replaced(Replica, "end_prefill", context_forgets_the_first_token),
    "kv room leaks": replaced(Replica, "release", kv_room_is_never_given_back),
    "slots are not settled": replaced(Replica, "settle", settle_without_charging),
    "an interrupted iteration is free": replaced(Replica, "lose_iteration", interrupted_work_is_free),
    "an interrupted prefill is free": replaced(Replica, "lose_prefill", interrupted_work_is_free),
    "idle energy beyond the horizon": replaced(Replica, "spend", idle_beyond_the_horizon),
    "everyone pays all of e0": replaced(Replica, "count", shared_energy_is_paid_by_each),
    "sleep counts from the start of the run": replaced(Replica, "rest", rest_forgets_when_it_began),
    "outages unknown to the dispatcher": replaced(Dispatcher, "refresh", unaware_of_outages),
    "uniforms from the other end": replaced(Dispatcher, "weighted", weighted_by_the_other_end),
    "smooth takes the last of equals": replaced(Dispatcher, "smooth", smooth_by(lambda credit, r: (credit[r], r))),
    "smooth looks at closed regions": replaced(Dispatcher, "smooth", smooth_by(most_owed, anywhere=True)),
    "one credit for all gateways": replaced(Dispatcher, "smooth", smooth_shares_credits),
    "least loaded by queue alone": replaced(Dispatcher, "least_loaded", least_loaded_by_queue),
    "least loaded ties by index": replaced(Dispatcher, "least_loaded", ties_by_index),
    "least loaded beyond the plan": replaced(Dispatcher, "plan_least_loaded", least_loaded_beyond_the_plan),
    "the plan of one gateway for all": replaced(Dispatcher, "follow", flows_of_one_gateway_alone),
    "spillover ties by index": replaced(Dispatcher, "spillover", ties_by_index),
    "spillover one too early": replaced(Dispatcher, "spillover", spill_a_request_too_early),
    "telemetry is exact": replaced(Dispatcher, "__init__", sees_the_present),
    "one attempt too many": replaced(Simulation, "turn_away", attempts_without_end),
    "back without latency": replaced(Simulation, "turn_away", back_in_no_time),
    "last slot's signals": replaced(Region, "open_slot", old_signals),
    "further footprints at the last signals": replaced(Region, "charge_further", further_at_the_last_signals),
    "further footprints of one region": replaced(Region, "charge_further", further_of_one_region),
    "further footprints at the slot before": replaced(Region, "open_slot", further_of_the_slot_before),
    "attribution always marginal": replaced(Region, "__init__", marginal_only),
    "warm-ups count": replaced(Simulation, "close_slot", counts_too(0)),
    "what goes on after the last slot counts": replaced(Simulation, "close_slot", counts_too(2)),
    "warm-ups end unsettled": replaced(Simulation, "settle", warmups_end_unsettled),
    "policies hear of warm-ups": replaced(Simulation, "close_slot", policies_hear_of_warmups),
    "policies see the demand of warm-ups": replaced(World, "arrived_rps", demand_of_warmups_too),
    "warm-ups under the plan before": replaced(Simulation, "open_slot", plan_waits_for_the_warmup),
    "iterations round down": physics_fault(
        "to_clock_ns",
        lambda _: lambda duration_s, clock_ns: max(clock_ns, int(duration_s * 1e9) // clock_ns * clock_ns),
    ),
    "context does not grow": physics_fault(
        "iterations_s", lambda _: lambda n, b, k0, a, beta, gamma: n * (a + beta * b + gamma * k0)
    ),
    "energy of context does not grow": physics_fault(
        "iterations_j", lambda _: lambda n, b, k0, e0, e1, e2: n * (e0 + e1 * b + e2 * k0)
    ),
    "who is still waking up gets requests": lambda patch: patch.setattr(
        Replica, "accepts", property(lambda self: self.wanted)
    ),
    "who is to sleep gets requests": lambda patch: patch.setattr(Replica, "accepts", property(lambda _: True)),
    "hosts at work are paid twice": replaced(
        Replica, "share_host", lambda original: lambda self, span_ns: original(self, 2 * span_ns)
    ),
    "one iteration too few has ended": physics_fault(
        "iterations_ended", lambda f: lambda elapsed_ns, *law: max(0, f(elapsed_ns, *law) - 1)
    ),
    "the first of pools that are alike": replaced(Alike, "pool_for", the_first_pool),
    "pools whether they can hold it or not": replaced(Alike, "pool_for", any_pool),
    "pools in the other order": replaced(Alike, "pool_for", pools_in_the_other_order),
    "pools that wake up get requests": counted(1),
    "pools asleep get requests": counted(2),
    "all of a plan to one pool": replaced(Scaler, "_planned_rps", lambda _: lambda self, load_rps, scaling: load_rps),
    "the dearest pool first": scaled("_planned_rps", cheapest=dearest),
    "the cheapest pool before those awake anyway": scaled("_planned_rps", least=lambda scaling: 0 * scaling.least),
    "a plan for pools sees no cap": scaled("_planned_rps", caps=lambda _: ()),
    "all of a forecast to one pool": replaced(Scaler, "_sent_rps", lambda _: unshared),
    "a forecast for pools in the other order": replaced(Scaler, "_sent_rps", in_the_other_order),
    "a forecast for pools sees no cap": scaled("_sent_rps", caps=lambda _: ()),
    "load of one pool of several": replaced(
        Alike, "load", lambda original: lambda self: original(Alike(self.pools[:1], self.in_order))
    ),
    "sleepers draw idle power": physics_fault(
        "awake_until", lambda _: lambda idle_ns, from_ns, to_ns, sleep_after_ns: to_ns
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault, monkeypatch):
    FAULTS[fault](monkeypatch)
    assert caught(PRESSED.get(fault, lambda tick: {})), f"'{fault}' went unseen in {WORLDS} worlds"


@pytest.mark.parametrize("press", dict.fromkeys([lambda tick: {}, *PRESSED.values()]))
def test_without_a_fault_nothing_is_caught(press):
    assert not caught(press)
