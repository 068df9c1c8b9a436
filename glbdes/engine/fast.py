"""The compiled engine: the same records as the SimPy engine's, many times faster.

Regions that do not look at each other (dispatch by plan, no outages) advance alone, in parallel threads; otherwise one
loop runs them all. The driver here opens and closes slots, asks the policy, and hands records on.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from glbdes import physics
from glbdes.engine import fast_dispatch, fast_kernel, fast_loop
from glbdes.engine.fast_state import (
    ATTRIBUTED_J,
    CARBON_PER_J,
    DECODE_J,
    IDLE_J,
    PREFILL_J,
    QUEUE_MAX,
    QUEUED,
    USD_PER_J,
    WATER_PER_J,
    make_state,
    take_records,
    with_room,
)
from glbdes.units import J_PER_KWH, NS_PER_S
from glbdes.view import Planner
from glbdes.workload import Requests
from glbdes.world import METER_DTYPE, Floats, Ints, Policy, Sink, SlotRecord, World

CHUNK = 200_000  # arrivals handed to a kernel at a time
FOREVER_NS = int(np.iinfo(np.int64).max)


def run(
    world: World,
    policy: Policy,
    sink: Sink,
    *,
    policy_name: str = "policy",
    progress: Callable[[int], None] | None = None,
    threads: int | None = None,
) -> None:
    """Simulate `world` under `policy` with compiled kernels; records go to `sink`.

    Any number of `threads` gives the same records. Raises `PolicyError` if the policy fails or breaks the contract.
    """
    planner = Planner(world, policy, policy_name)
    alone = world.dispatch in (physics.WEIGHTED, physics.SMOOTH) and not world.outages
    engine = Alone(world, threads or cpu_count() or 1) if alone else Together(world)
    ended = 0
    records: list[NDArray[Any]] = []

    def hand_on() -> None:
        nonlocal ended, records
        for chunk in records:
            if len(chunk):
                sink.requests(chunk)
            ended += len(chunk)
        records = []
        if progress is not None:
            progress(ended)

    def close(slot: int) -> None:
        meters, paid = engine.close_slot()
        records.extend(paid)
        hand_on()
        record = SlotRecord(slot, weights, demand_rps, engine.rules.dispatched.copy(), meters, duals)
        sink.slot(record)
        planner.observe(record)

    for slot in range(world.slots):
        records += engine.advance_to(slot * world.slot_ns, physics.SLOT)
        if slot > 0:
            engine.settle(slot * world.slot_ns)
            close(slot - 1)
        requests = world.requests(slot)
        arrivals = np.bincount(requests.gateway, minlength=world.gateways)
        demand_rps: Floats = arrivals / (world.slot_ns / NS_PER_S)
        weights = planner.plan(slot, demand_rps, engine.rules.up.astype(bool))
        duals = planner.duals()
        engine.open_slot(slot, weights, requests)
        for chunk in engine.run_arrivals():
            records += chunk
            if not world.full_attribution:
                hand_on()
    records += engine.advance_to(world.horizon_ns, physics.SLOT)
    engine.settle(world.horizon_ns)
    records += engine.advance_to(FOREVER_NS, fast_loop.ALL_KINDS)
    close(world.slots - 1)


def columns_of(requests: Requests, select: Any = slice(None)) -> fast_dispatch.Columns:
    return fast_dispatch.Columns(
        requests.request_id[select],
        requests.gateway[select],
        requests.slo[select],
        requests.prompt_tokens[select],
        requests.output_tokens[select],
        requests.arrival_ns[select],
        requests.uniform[select],
    )


NO_REQUESTS = fast_dispatch.Columns(*(np.zeros(0, dtype=np.int64) for _ in range(6)), np.zeros(0))


class Engine:
    """What both ways of advancing share: the states, the rules, and the books."""

    def __init__(self, world: World, parts: list[list[int]]) -> None:
        self.world = world
        self.parts = parts  # the regions of each state
        self.rules = fast_dispatch.make_rules(world)
        self.states = [make_state(world, part, 0) for part in parts]

    def price(self, slot: int) -> None:
        """The slot's signals are in force."""
        signals = self.world.signals
        pue = signals.pue[slot]
        for state, part in zip(self.states, self.parts, strict=True):
            water = signals.wue_l_per_kwh[slot, part] + pue[part] * signals.ewif_l_per_kwh[slot, part]
            state.regf[:, USD_PER_J] = pue[part] * signals.price_usd_per_kwh[slot, part] / J_PER_KWH
            state.regf[:, CARBON_PER_J] = pue[part] * signals.carbon_g_per_kwh[slot, part] / J_PER_KWH
            state.regf[:, WATER_PER_J] = water / J_PER_KWH

    def settle(self, now: int) -> None:
        for state in self.states:
            fast_kernel.settle(state, now)

    def close_slot(self) -> tuple[NDArray[Any], list[NDArray[Any]]]:
        """The slot's meters [r], and the records of those who only now have paid."""
        meters = np.zeros(self.world.regions, dtype=METER_DTYPE)
        paid = []
        for state, part in zip(self.states, self.parts, strict=True):
            if self.world.full_attribution:
                fast_kernel.spread_charges(state, self.world.slot_ns)
                paid.append(take_records(state))
            for column, name in enumerate(METER_DTYPE.names[:12]):
                meters[name][part] = state.met[:, column]
            for column, name in ((PREFILL_J, "prefill_j"), (DECODE_J, "decode_j"), (IDLE_J, "idle_j")):
                meters[name][part] = state.metf[:, column]
            meters["attributed_j"][part] = state.metf[:, ATTRIBUTED_J]
            state.met[:], state.metf[:] = 0, 0.0
            state.met[:, QUEUE_MAX] = state.reg[:, QUEUED]
        return meters, paid

    def follow(self, weights: Floats) -> None:
        self.rules.weights[:] = weights
        self.rules.dispatched[:] = 0
        fast_dispatch.refresh(self.rules)


class Coming(NamedTuple):
    """Requests on their way to one region, in the order of their arrival there."""

    columns: fast_dispatch.Columns
    at_ns: Ints
    index: Ints


class Alone(Engine):
    """Every region has a state of its own and sees its arrivals only."""

    def __init__(self, world: World, threads: int) -> None:
        super().__init__(world, [[r] for r in range(world.regions)])
        self.pool = ThreadPoolExecutor(threads)
        none = np.zeros(0, dtype=np.int64)
        self.coming = [Coming(NO_REQUESTS, none, none) for _ in self.parts]

    def open_slot(self, slot: int, weights: Floats, requests: Requests) -> None:
        self.follow(weights)
        self.price(slot)
        self.requests = requests

    def run_arrivals(self) -> Iterator[list[NDArray[Any]]]:
        """Dispatch the slot's requests, a chunk at a time, and run up to the chunk's last arrival at a gateway."""
        total = len(self.requests)
        for low in range(0, total, CHUNK):
            chunk = columns_of(self.requests, slice(low, low + CHUNK))
            region = np.empty(len(chunk.gateway), dtype=np.int64)
            fast_dispatch.choose_all(self.rules, chunk.gateway, chunk.uniform, region)
            at_ns = chunk.arrival_ns + self.world.latency_ns[chunk.gateway, region]
            for r in range(self.world.regions):
                self.coming[r] = self.merged(self.coming[r], chunk, at_ns, np.flatnonzero(region == r))
            if low + CHUNK < total:
                yield self.advance_to(int(chunk.arrival_ns[-1]), physics.REPLICA)

    @staticmethod
    def merged(coming: Coming, chunk: fast_dispatch.Columns, at_ns: Ints, rows: Ints) -> Coming:
        """Those already on the way and the chunk's, sorted by (arrival at the region, id)."""
        parts = [
            np.concatenate([getattr(coming.columns, name)[coming.index], getattr(chunk, name)[rows]])
            for name in chunk._fields
        ]
        columns = fast_dispatch.Columns(*parts)
        times = np.concatenate([coming.at_ns, at_ns[rows]])
        index = np.lexsort((columns.request_id, times))
        return Coming(columns, times[index], index)

    def advance_to(self, now: int, kind: int) -> list[NDArray[Any]]:
        """Every region up to (now, kind); the records of the requests that ended."""
        return list(self.pool.map(lambda r: self.advance(r, now, kind), range(self.world.regions)))

    def advance(self, r: int, now: int, kind: int) -> NDArray[Any]:
        coming = self.coming[r]
        self.states[r] = state = with_room(self.states[r], len(coming.index))
        done = fast_dispatch.advance_alone(state, coming.columns, coming.at_ns, coming.index, r, now, kind)
        self.coming[r] = Coming(coming.columns, coming.at_ns[done:], coming.index[done:])
        return take_records(state)


class Together(Engine):
    """One state and one event loop for all regions."""

    def __init__(self, world: World) -> None:
        super().__init__(world, [list(range(world.regions))])
        self.columns = NO_REQUESTS
        faults = [(down_ns, region, 0) for region, down_ns, _ in world.outages]
        faults += [(up_ns, region, 1) for region, _, up_ns in world.outages]
        self.faults = sorted(faults, key=lambda fault: (fault[0], fault[1], -fault[2]))

    def open_slot(self, slot: int, weights: Floats, requests: Requests) -> None:
        self.follow(weights)
        self.price(slot)
        self.requests = requests

    def run_arrivals(self) -> Iterator[list[NDArray[Any]]]:
        total = len(self.requests)
        for low in range(0, total, CHUNK):
            self.columns = columns_of(self.requests, slice(low, low + CHUNK))
            if low + CHUNK < total:
                yield self.advance_to(int(self.columns.arrival_ns[-1]), fast_loop.ALL_KINDS)

    def advance_to(self, now: int, kind: int) -> list[NDArray[Any]]:
        """All regions up to (now, kind), with the faults on the way; the records of the requests that ended."""
        while self.faults and (self.faults[0][0], physics.FAULT) < (now, kind):
            at_ns, region, up = self.faults[0]
            self.advance(at_ns, physics.FAULT)
            del self.faults[0]
            fast_loop.set_up(self.states[0], self.rules, region, up, at_ns)
        self.advance(now, kind)
        return [take_records(self.states[0])]

    def advance(self, now: int, kind: int) -> None:
        columns = self.columns
        state = with_room(self.states[0], len(columns.request_id))
        if len(self.rules.flight) < len(state.req):
            grow = len(state.req) - len(self.rules.flight)
            pad = np.zeros(grow, dtype=np.int64)
            flight, back = (np.concatenate([heap, pad]) for heap in (self.rules.flight, self.rules.back))
            self.rules = self.rules._replace(flight=flight, back=back)
        self.states[0] = state
        done = fast_loop.advance_all(state, self.rules, columns, 0, now, kind)
        self.columns = fast_dispatch.Columns(*(column[done:] for column in columns))
