"""The compiled engine: the same records as the SimPy engine's, many times faster.

Regions that do not look at each other (dispatch by plan, no outages) advance alone, in parallel threads; otherwise one
loop runs them all. The driver here opens and closes slots, asks the policy, and hands records on.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from glbdes.base import jobs
from glbdes.base.cache import kind_of
from glbdes.base.compiled import is_compiled
from glbdes.engine.fast import books as fast_books
from glbdes.engine.fast import dispatch as fast_dispatch
from glbdes.engine.fast import kinds as fast_kinds
from glbdes.engine.fast import loop as fast_loop
from glbdes.engine.fast.further import Payment, ledgers
from glbdes.engine.fast.incoming import FOREVER_NS, drawn, joined, rows_of, stable_order, width
from glbdes.engine.fast.kv_state import has_prefixes
from glbdes.engine.fast.state import (
    ARRIVED,
    CARBON_PER_J,
    DUE_NS,
    NONE,
    QUEUE_MAX,
    QUEUED,
    USD_PER_J,
    WATER_PER_J,
    make_state,
    prefill_ticks,
    take_records,
    with_room,
)
from glbdes.hardware import physics
from glbdes.units import J_PER_KWH
from glbdes.workload import Requests
from glbdes.world import METER_DTYPE, Floats, Ints, Policy, Sink, SlotRecord, World
from glbdes.world.scaling import Scaler
from glbdes.world.view import Planner

CHUNK = 1 << 17  # requests that are handed to kernels at a time: memory, and nothing else, depends on it
SMALL = 1 << 14  # records up to which one chunk costs the sink less than one for each region


def run(
    world: World,
    policy: Policy,
    sink: Sink,
    *,
    policy_name: str = "policy",
    progress: Callable[[int], None] | None = None,
    threads: int | None = None,
    chunk: int = CHUNK,
) -> None:
    """Simulate `world` under `policy` with compiled kernels; records go to `sink`.

    Any number of `threads` (by default one a processor, in a worker its share of them) and any size of `chunk` gives
    the same records. Raises `PolicyError` if the policy fails or breaks the contract.
    """
    planner, scaler = Planner(world, policy, policy_name), Scaler(world)
    threads = threads or jobs.threads()
    engine = Alone(world, chunk, threads) if independent(world) else Together(world, chunk)
    ended = 0

    def hand_on(records: list[NDArray[Any]]) -> None:
        nonlocal ended
        parts = [part for part in records if len(part)]
        if sum(map(len, parts)) <= SMALL and len(parts) > 1:
            parts = [joined(parts)]
        for part in parts:
            sink.requests(part)
            ended += len(part)
        if progress is not None:
            progress(ended)

    parts: list[tuple[NDArray[Any], Ints]] = []  # of the running slot: meters, and what was dispatched

    def advance_to(now: int) -> None:
        """Up to the end of a part of a slot."""
        hand_on(engine.advance_to(now, physics.SLOT))
        engine.settle(now)

    def close_part(span_ns: int) -> None:
        meters, paid = engine.close_part(span_ns)
        hand_on(paid)
        parts.append((meters, engine.rules.dispatched.copy()))
        engine.rules.dispatched[:] = 0

    def close(slot: int) -> None:
        meters, dispatched = parts.pop(1 if world.warmup_ns else 0)
        record = SlotRecord(slot, weights, demand_rps, dispatched, meters, duals, awake=awake)
        if parts:
            warmup, sent = zip(*parts, strict=True)
            record = replace(record, warmup=warmup, warmup_dispatched=np.sum(sent, axis=0))
        parts.clear()
        sink.slot(record)
        planner.observe(record)

    def rescale(now: int) -> Ints | None:
        """As many replicas as there are to be now are awake, or wake up."""
        awake = scaler.awake(now, engine.arrived())
        if awake is not None:
            engine.keep_awake(awake, now)
        return awake

    with engine:
        for slot, requests in enumerate(drawn(world, ahead=threads > 1)):
            begin_ns = slot * world.period_ns
            advance_to(begin_ns)
            if slot > 0:
                close_part(world.slot_ns)
                close(slot - 1)
            demand_rps: Floats = world.arrived_rps(requests)
            weights = planner.plan(slot, demand_rps, engine.rules.up.astype(bool))
            duals = planner.duals()
            engine.open_slot(slot, weights, planner.demand_rps)
            scaler.open_slot(slot, weights, planner)
            awake = rescale(begin_ns)
            first, warm_ns, moments = 0, begin_ns + world.warmup_ns, scaler.moments(slot)
            for at_ns in sorted({*moments, warm_ns} - {begin_ns}):
                last = int(np.searchsorted(requests.arrival_ns, at_ns))
                for records in engine.take_in(requests, first, last):
                    hand_on(records)
                first = last
                if at_ns == warm_ns:
                    advance_to(at_ns)
                    close_part(world.warmup_ns)
                if at_ns in moments:
                    hand_on(engine.advance_to(at_ns, physics.SLOT))
                    rescale(at_ns)
            for records in engine.take_in(requests, first, len(requests)):
                hand_on(records)
        advance_to(world.horizon_ns)
        if world.warmup_ns > 0:
            close_part(world.slot_ns)
        hand_on(engine.advance_to(FOREVER_NS, fast_loop.ALL_KINDS))
        close_part(0 if world.warmup_ns else world.slot_ns)
        close(world.slots - 1)


def independent(world: World) -> bool:
    """Whether no region's course depends on another's within a slot."""
    return world.dispatch in (physics.WEIGHTED, physics.SMOOTH) and not world.outages


def must_compile(world: World) -> bool:
    """Whether a run of `world` begins with compiling kernels."""
    name = "advance_alone" if independent(world) else "advance_all"
    there = {"crep": world.steps is not None, "mine": has_prefixes(world), "sessions": world.in_sessions}
    there["alike"] = world.first_of is not None
    there["homes"] = name == "advance_all" and world.affinity != physics.BY_REQUEST
    return not is_compiled(name, kind_of([field for field, given in there.items() if given]))


class Engine(ABC):
    """What both ways of advancing share: the states, the rules, and the books. A context manager."""

    def __init__(self, world: World, chunk: int, parts: list[list[int]]) -> None:
        self.world = world
        self.chunk = chunk
        self.parts = parts  # the regions of each state
        self.rules = fast_dispatch.make_rules(world)
        self.states = [make_state(world, part, prefill_ns) for prefill_ns in (prefill_ticks(world),) for part in parts]
        self.ledgers = ledgers(world, len(parts))
        self.pool: ThreadPoolExecutor | None = None
        self.arrived_before = np.zeros(world.regions, dtype=np.int64)

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: object) -> None:
        if self.pool is not None:
            self.pool.shutdown()

    @abstractmethod
    def take_in(self, requests: Requests, first: int, last: int) -> Iterator[list[NDArray[Any]]]:
        """Take in requests first .. last - 1, a chunk at a time; the records of those that ended before the last chunk.

        All that were taken in before have arrived at their gateways."""

    @abstractmethod
    def advance_to(self, now: int, kind: int) -> list[NDArray[Any]]:
        """Every region up to (now, kind); the records of the requests that ended."""

    def open_slot(self, slot: int, weights: Floats, demand_rps: Floats) -> None:
        """The slot's plan, which was made for `demand_rps` [g], and its signals are in force."""
        if self.rules.homes is not None and self.world.affinity == physics.BY_SESSION_SLOT:
            self.rules.homes[:] = NONE
        self.rules.weights[:] = weights
        self.rules.sent_rps[:] = 0.0
        for demand, row in zip(demand_rps, weights, strict=True):
            self.rules.sent_rps[:] += demand * row  # one gateway after the other: a fixed order of sums
        fast_dispatch.refresh(self.rules)
        signals = self.world.signals
        pue = signals.pue[slot]
        for state, part in zip(self.states, self.parts, strict=True):
            water = signals.wue_l_per_kwh[slot, part] + pue[part] * signals.ewif_l_per_kwh[slot, part]
            state.regf[:, USD_PER_J] = pue[part] * signals.price_usd_per_kwh[slot, part] / J_PER_KWH
            state.regf[:, CARBON_PER_J] = pue[part] * signals.carbon_g_per_kwh[slot, part] / J_PER_KWH
            state.regf[:, WATER_PER_J] = water / J_PER_KWH
        for state, ledger in zip(self.states, self.ledgers, strict=False):
            ledger.open_slot(state, signals.further_per_kwh[slot])

    def arrived(self) -> Ints:
        """[r] requests that have reached the regions so far."""
        total = self.arrived_before.copy()
        for state, part in zip(self.states, self.parts, strict=True):
            total[part] += state.met[:, ARRIVED]
        return total

    def keep_awake(self, counts: Ints, now: int) -> None:
        """So many replicas [r] are to be awake from now on."""
        for state in self.states:
            fast_kinds.keep_all_awake(state, counts, now)

    def settle(self, now: int) -> None:
        for state in self.states:
            fast_kinds.settle(state, now)

    def close_part(self, span_ns: int) -> tuple[NDArray[Any], list[NDArray[Any]]]:
        """The meters [r] of a part of a slot, and the records of those who only now have paid."""
        meters = np.zeros(self.world.regions, dtype=METER_DTYPE)
        # Its fields are numbers of 8 bytes, in the order of the columns of `met` and then of `metf`.
        whole, fractional = (meters.view(kind).reshape(len(meters), -1) for kind in (np.int64, np.float64))
        paid = []
        for i, part in enumerate(self.parts):
            state = self.states[i]
            if self.world.full_attribution:
                payments = [Payment(ledger, state, part, span_ns) for ledger in self.ledgers[i : i + 1]]
                fast_books.spread_charges(state, span_ns)
                for payment in payments:
                    payment.enter(state)
                paid.append(self.records(i))
            whole[part, : state.met.shape[1]], fractional[part, state.met.shape[1] :] = state.met, state.metf
            self.arrived_before[part] += state.met[:, ARRIVED]
            state.met[:], state.metf[:] = 0, 0.0
            state.met[:, QUEUE_MAX] = state.reg[:, QUEUED]
        return meters, paid

    def records(self, i: int) -> NDArray[Any]:
        """The records of the requests that have ended in state i since the last call."""
        self.states[i], records = take_records(self.states[i])
        return self.ledgers[i].completed(records) if self.ledgers else records


class Arrivals(NamedTuple):
    """A chunk of dispatched requests."""

    rows: Ints  # [n, 7] by (region, due, id)
    first: Ints  # [r + 1] where each region's begin


class Alone(Engine):
    """Every region has a state of its own, with all its pools of one model, and sees its arrivals only."""

    def __init__(self, world: World, chunk: int, threads: int) -> None:
        first = np.arange(world.regions) if world.first_of is None else world.first_of
        super().__init__(world, chunk, [np.flatnonzero(first == r).tolist() for r in np.unique(first)])
        if min(threads, len(self.parts)) > 1:
            self.pool = ThreadPoolExecutor(threads)
        nothing = np.empty((0, width(world.in_sessions)), dtype=np.int64)
        self.coming: list[Ints] = [nothing for _ in self.parts]  # by (due, id)
        self.new: Arrivals | None = None

    def take_in(self, requests: Requests, first: int, last: int) -> Iterator[list[NDArray[Any]]]:
        for low in range(first, last, self.chunk):
            high = min(low + self.chunk, last)
            rows = rows_of(requests, low, high)
            region = np.empty(len(rows), dtype=np.int16)
            fast_dispatch.choose_all(self.rules, rows, requests.uniform[low:high], region)
            last_ns = int(rows[-1, fast_dispatch.ARRIVAL_NS])
            counts = np.bincount(region, minlength=self.world.regions)
            order = stable_order(rows[:, DUE_NS])  # ids climb, so a stable sort by time sorts by (time, id)
            order = order[np.argsort(region[order], kind="stable")]
            self.new = Arrivals(np.take(rows, order, axis=0), np.concatenate([[0], np.cumsum(counts)]))
            if high < last:
                yield self.advance_to(last_ns, physics.REPLICA)

    def advance_to(self, now: int, kind: int) -> list[NDArray[Any]]:
        ways = self.pool.map if self.pool is not None else map
        records = list(ways(lambda i: self.advance(i, now, kind), range(len(self.parts))))
        self.new = None
        return records

    def advance(self, i: int, now: int, kind: int) -> NDArray[Any]:
        """State i up to (now, kind). Threads share nothing but `self.new`, which they read."""
        coming, r = self.coming[i], self.parts[i][0]
        if self.new is not None:
            rows = self.new.rows[self.new.first[r] : self.new.first[r + 1]]
            if len(coming) and len(rows):  # ids climb from chunk to chunk, too
                rows = np.concatenate([coming, rows])
                rows = np.take(rows, stable_order(rows[:, DUE_NS]), axis=0)
            coming = rows if len(rows) else coming
        self.states[i] = state = with_room(self.states[i], len(coming))
        done = fast_dispatch.advance_alone(state, coming, r, now, kind)
        self.coming[i] = coming[done:].copy()
        return self.records(i)


class Together(Engine):
    """One state and one event loop for all regions."""

    def __init__(self, world: World, chunk: int) -> None:
        super().__init__(world, chunk, [list(range(world.regions))])
        self.coming: Ints = np.empty((0, width(world.in_sessions)), dtype=np.int64)
        self.uniform: Floats = np.empty(0)
        faults = [(down_ns, region, 0) for region, down_ns, _ in world.outages]
        faults += [(up_ns, region, 1) for region, _, up_ns in world.outages]
        self.faults = sorted(faults, key=lambda fault: (fault[0], fault[1], -fault[2]))

    def take_in(self, requests: Requests, first: int, last: int) -> Iterator[list[NDArray[Any]]]:
        for low in range(first, last, self.chunk):
            high = min(low + self.chunk, last)
            self.coming = rows_of(requests, low, high)
            self.uniform = requests.uniform[low:high]
            if high < last:
                yield self.advance_to(int(self.coming[-1, fast_dispatch.ARRIVAL_NS]), fast_loop.ALL_KINDS)

    def advance_to(self, now: int, kind: int) -> list[NDArray[Any]]:
        while self.faults and (self.faults[0][0], physics.FAULT) < (now, kind):
            at_ns, region, up = self.faults[0]
            self.advance(at_ns, physics.FAULT)
            del self.faults[0]
            fast_loop.set_up(self.states[0], self.rules, region, up, at_ns)
            for ledger in self.ledgers:
                ledger.mark(self.states[0], region)
        self.advance(now, kind)
        return [self.records(0)]

    def advance(self, now: int, kind: int) -> None:
        state = self.states[0] = with_room(self.states[0], len(self.coming))
        self.rules = fast_dispatch.with_travellers(self.rules, len(state.req))
        done = fast_loop.advance_all(state, self.rules, self.coming, self.uniform, now, kind)
        self.coming, self.uniform = self.coming[done:], self.uniform[done:]
