"""The SimPy engine: the specification of the model, written to be read.

Gateways, slots, faults and telemetry are SimPy processes; regions and replicas react to events. Time is int64
nanoseconds, and events of the same time happen in the order of docs/model.md, section 2. Everything random was drawn
before; everything physical is in `physics`; what is here is who waits for whom.
"""

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from simpy import Environment

from glbdes.engine.simpy.chunked import region_of
from glbdes.engine.simpy.dispatch import NOWHERE, Dispatcher
from glbdes.engine.simpy.pools import alike
from glbdes.engine.simpy.request import NONE, Happening, Request, as_records, order_key
from glbdes.hardware import physics
from glbdes.workload import Requests
from glbdes.world import Floats, Ints, Policy, Sink, SlotRecord, World
from glbdes.world.scaling import Scaler
from glbdes.world.view import Planner

CHUNK = 1 << 16  # requests handed to the sink at a time

Process = Generator[Happening, None, None]


def run(
    world: World,
    policy: Policy,
    sink: Sink,
    *,
    policy_name: str = "policy",
    progress: Callable[[int], None] | None = None,
) -> None:
    """Simulate `world` under `policy`; records go to `sink`, and `progress` hears how many requests have ended.

    Raises `PolicyError` if the policy fails or breaks the contract.
    """
    Simulation(world, Planner(world, policy, policy_name), sink, progress or (lambda ended: None)).run()


class Simulation:
    """One run: the clock, the regions, and the requests between them."""

    def __init__(self, world: World, planner: Planner, sink: Sink, progress: Callable[[int], None]) -> None:
        self.world = world
        self.planner = planner
        self.sink = sink
        self.progress = progress
        self.env = Environment()
        kind = region_of(world)
        self.regions = [kind(self.env, world, r, self) for r in range(world.regions)]
        first_of = range(world.regions) if world.first_of is None else world.first_of.tolist()
        self.places = alike(self.regions, first_of, world.pools_in_order)
        self.dispatcher = Dispatcher(world, self.places)
        self.scaler = Scaler(world)
        self.latency_ns = world.latency_ns.tolist()
        self.dispatched = [[0] * world.regions for _ in range(world.gateways)]
        self.parts: list[tuple[NDArray[Any], Ints]] = []  # of the running slot: meters, and what was dispatched
        self.underway = 0
        self.ended_before = 0
        self.ended: list[Request] = []

    def run(self) -> None:
        env = self.env
        env.process(self.slots())
        for outage in self.world.outages:
            env.process(self.outage(*outage))
        if self.world.telemetry_ns and self.world.dispatch in physics.STATE_DEPENDENT:
            env.process(self.telemetry())
        env.run()
        # What is in flight at the horizon still counts, but where what is in flight as a slot begins does not.
        self.close_part(0 if self.world.warmup_ns else self.world.slot_ns)
        self.close_slot(self.world.slots - 1)
        assert self.underway == 0, "requests neither ended nor underway"

    def slots(self) -> Process:
        """Slot after slot: close the last one, plan the next, open the gateways, and warm up before anything counts."""
        world = self.world
        for slot in range(world.slots):
            yield self.moment(slot * world.period_ns, order_key(physics.SLOT))
            if slot > 0:
                self.settle()
                self.close_part(world.slot_ns)
                self.close_slot(slot - 1)
            self.open_slot(slot)
            if world.warmup_ns > 0:
                yield self.moment(slot * world.period_ns + world.warmup_ns, order_key(physics.SLOT))
                self.settle()
                self.close_part(world.warmup_ns)
        yield self.moment(world.horizon_ns, order_key(physics.SLOT))
        self.settle()
        if world.warmup_ns > 0:
            self.close_part(world.slot_ns)

    def settle(self) -> None:
        for region in self.regions:
            region.settle(self.now)

    def open_slot(self, slot: int) -> None:
        world = self.world
        requests = world.requests(slot)
        self.demand_rps: Floats = world.arrived_rps(requests)
        self.weights = self.planner.plan(slot, self.demand_rps, np.array([region.up for region in self.regions]))
        self.duals = self.planner.duals()
        self.scaler.open_slot(slot, self.weights, self.planner)
        self.dispatcher.follow(self.weights, self.planner.demand_rps)
        for region in self.regions:
            region.open_slot(world.signals, slot)
        self.awake = self.keep_awake()
        self.env.process(self.rescaling(slot))
        self.underway += len(requests)
        self.env.process(self.gateways(requests))

    def keep_awake(self) -> Ints | None:
        """As many replicas as there are to be now are awake, or wake up."""
        arrived = np.array([region.arrived + region.meter.arrived for region in self.regions])
        awake = self.scaler.awake(self.now, arrived)
        if awake is not None:
            for region, count in zip(self.regions, awake.tolist(), strict=True):
                region.keep_awake(count, self.now)
        return awake

    def rescaling(self, slot: int) -> Process:
        """Between two plans, too, more or fewer replicas may have to be awake."""
        for at_ns in self.scaler.moments(slot):
            yield self.moment(at_ns, order_key(physics.SLOT, 0, 1))
            self.keep_awake()

    def gateways(self, requests: Requests) -> Process:
        """The slot's requests arrive at their gateways and are dispatched."""
        columns = [
            requests.request_id,
            requests.gateway,
            requests.slo,
            requests.prompt_tokens,
            requests.output_tokens,
            requests.arrival_ns,
            requests.uniform,
        ]
        if requests.session is not None:
            columns.append(requests.session)
            columns.append(np.full(len(requests), NONE) if requests.chain is None else requests.chain)
        order = order_key(physics.GATEWAY_ARRIVAL)
        for row in zip(*(column.tolist() for column in columns), strict=True):
            request = Request(*row)
            yield Happening(self.env, request.arrival_ns, order | request.id)
            self.dispatch(request)

    def dispatch(self, request: Request) -> None:
        """Send a request on its way to a region."""
        r = self.dispatcher.region_for(request)
        if r == NOWHERE:
            self.end(request, physics.FAILED, self.now)
            return
        request.region = r
        request.attempts += 1
        self.dispatched[request.gateway][r] += 1
        at_ns = self.now + self.latency_ns[request.gateway][r]
        order = order_key(physics.REGION_ARRIVAL, r, request.id)
        Happening(self.env, at_ns, order, lambda _: self.arrive(request, at_ns))

    def arrive(self, request: Request, now: int) -> None:
        """A request reaches its region, and gets a pool there."""
        pool = self.places[request.region].pool_for(request)
        request.region = pool.index
        pool.arrive(request, now)

    def turn_away(self, request: Request, now: int) -> None:
        """A region that is down sends a request back to its gateway, or fails it for good."""
        if request.attempts >= self.world.max_attempts:
            self.regions[request.region].meter.failed += 1
            self.end(request, physics.FAILED, now)
            return
        back_ns = now + self.latency_ns[request.gateway][request.region]
        order = order_key(physics.GATEWAY_ARRIVAL, 0, request.id)
        Happening(self.env, back_ns, order, lambda _: self.dispatch(request))

    def end(self, request: Request, status: int, now: int) -> None:
        """A request leaves the simulation, for the records."""
        request.status = status
        request.finish_ns = now
        self.underway -= 1
        self.ended.append(request)
        if len(self.ended) >= CHUNK and not self.world.full_attribution:
            self.flush()

    def flush(self) -> None:
        if self.ended:
            self.sink.requests(as_records(self.ended, self.world.request_dtype))
        self.ended_before += len(self.ended)
        self.progress(self.ended_before)
        self.ended = []

    def close_part(self, span_ns: int) -> None:
        """Read the meters of a part of the slot: of its warm-up, of what counts, or of what goes on after the last."""
        meters = np.concatenate([region.close_part(span_ns) for region in self.regions])
        self.parts.append((meters, np.array(self.dispatched, dtype=np.int64)))
        self.dispatched = [[0] * len(row) for row in self.dispatched]

    def close_slot(self, slot: int) -> None:
        meters, dispatched = self.parts.pop(1 if self.world.warmup_ns else 0)
        record = SlotRecord(slot, self.weights, self.demand_rps, dispatched, meters, self.duals, awake=self.awake)
        if self.parts:
            warmup, sent = zip(*self.parts, strict=True)
            record = replace(record, warmup=warmup, warmup_dispatched=np.sum(sent, axis=0))
        self.parts = []
        self.flush()
        self.sink.slot(record)
        self.planner.observe(record)

    def outage(self, region: int, down_ns: int, up_ns: int) -> Process:
        """A region goes down and comes up again."""
        yield self.moment(down_ns, order_key(physics.FAULT, region, 1))
        if self.underway == 0 and self.now >= self.world.horizon_ns:
            return
        self.regions[region].go_down(self.now)
        self.dispatcher.refresh()
        yield self.moment(up_ns, order_key(physics.FAULT, region, 0))
        self.regions[region].come_up(self.now)
        self.dispatcher.refresh()

    def telemetry(self) -> Process:
        """The dispatcher looks at the regions now and then."""
        tick = 0
        while self.now < self.world.horizon_ns or self.underway > 0:
            yield self.moment(tick * self.world.telemetry_ns, order_key(physics.TELEMETRY))
            self.dispatcher.look()
            tick += 1

    def moment(self, at_ns: int, order: int) -> Happening:
        return Happening(self.env, at_ns, order)

    @property
    def now(self) -> int:
        return int(self.env._now)
