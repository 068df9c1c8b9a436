"""From a scenario to a world: one call a room, and the parts put together.

Whatever needs a second file (signals, traces, profiles) or several tables at once is checked in these calls, before an
engine starts. Nothing is simulated, nothing of a policy is known, and no physics is reckoned here.
"""

from collections.abc import Sequence
from pathlib import Path

from glbdes.hardware import Service, megawatts, replicas
from glbdes.hardware.clock import span_ns, span_or_never_ns
from glbdes.hardware.embodied import embodied_kg_per_h
from glbdes.hardware.physics import AFFINITY_NAMES, DISPATCH_NAMES
from glbdes.scenario import Scenario, pools
from glbdes.scenario.elastic import ELASTIC
from glbdes.scenario.model import Fault
from glbdes.scenario.pools import Column
from glbdes.signals import environment
from glbdes.workload import demand, mix_of
from glbdes.world import compression, elastic, network, sizes
from glbdes.world import pools as world_pools
from glbdes.world.arrays import World
from glbdes.world.feasibility import check_load
from glbdes.world.frozen import freeze
from glbdes.world.limits import by_class
from glbdes.world.objective import prices
from glbdes.world.outages import outages


def build(scenario: Scenario, folder: Path, signals: Path | None = None) -> World:
    """The world of `scenario`, whose files are looked for in `folder` and among the shipped ones.

    `signals` replaces the scenario's own source of signals; in the authors' layout it also brings the load for
    `workload.shape = "trace"`.

    Raises `SignalError`, `TraceError`, `ProfileError` for files that are missing or wrong, and `InfeasibleError` if a
    slot's expected load does not fit the regions open to it (unless `dispatch.overload = "allow"`).
    """
    if signals is not None:
        source = scenario.signals.model_copy(update={"source": str(signals.resolve()), "sources": None})
        scenario = scenario.model_copy(update={"signals": source})
    world = world_pools.closed(by_class(scenario, _world(scenario, folder)))
    sizes.check(scenario, world)
    if scenario.dispatch.overload == "error":
        check_load(scenario, world)
    freeze(world)
    return world


def _world(scenario: Scenario, folder: Path) -> World:
    """The parts of all rooms, side by side."""
    time, dispatch, regions, gateways = scenario.time, scenario.dispatch, scenario.regions, scenario.gateways
    named = scenario.footprints
    known = environment(scenario.signals, regions, scenario.faults, scenario.known_ahead, time, folder, named)
    columns = pools.columns(scenario)
    region_of, first_of = world_pools.region_of(columns), world_pools.first_of(columns)
    service = _service(scenario, columns, folder)
    planned = world_pools.joined(service, first_of)
    warmup_s = compression.warmup_s(time, service.servers, service.capacity_rps)
    warmup_ns = span_ns(warmup_s, time.clock_ns) if scenario.by_request else 0
    asked = demand(scenario, world_pools.summed(service.capacity_rps, region_of), folder, warmup_ns)
    places = world_pools.by_place(scenario, columns)
    priced = prices(scenario.objective, places, planned, dispatch.max_utilisation, named)
    latency_ns = network.latency_ns(scenario.network, gateways, regions, time.clock_ns)
    truth, seen = (world_pools.signals_at_pools(one, region_of) for one in (known.truth, known.seen))
    return World(
        slots=time.slots,
        slot_ns=span_ns(time.simulated_s, time.clock_ns),
        slot_s=time.slot_s,
        weight=time.slot_s / time.simulated_s,
        clock_ns=time.clock_ns,
        fleet=service.fleet,
        latency_ns=world_pools.at_pools(latency_ns, region_of),
        allowed=world_pools.at_pools(network.allowed(gateways, regions), region_of),
        dispatch=DISPATCH_NAMES.index(dispatch.rule),
        telemetry_ns=span_ns(dispatch.telemetry_s, time.clock_ns),
        spill_queue=dispatch.spill_queue,
        timeout_ns=span_or_never_ns(dispatch.timeout_s, time.clock_ns),
        max_attempts=dispatch.max_attempts,
        outages=outages(scenario.faults, regions, time, warmup_ns, region_of),
        signals=truth,
        seen=seen,
        full_attribution=scenario.records.attribution == "full",
        demand=dispatch.demand,
        expected_rps=asked.expected_rps,
        capacity_rps=dispatch.max_utilisation * planned.capacity_rps,
        it_kwh_per_request=planned.it_kwh_per_request,
        beyond_measurement=service.beyond_measurement,
        marginal_kwh=planned.marginal_kwh,
        rest_w=service.rest_w,
        requests=asked.requests,
        assumed=service.assumed,
        lent=known.lent,
        steps=service.steps,
        prefixes=asked.prefixes,
        sessions=asked.sessions,
        affinity=AFFINITY_NAMES.index(dispatch.affinity),
        by_prefix=scenario.serving.replica_choice == "prefix",
        price_ahead_slots=known.price_ahead_slots,
        past=None if known.past is None else world_pools.signals_at_pools(known.past, region_of),
        warmup_ns=warmup_ns,
        embodied_kg_per_h=None if scenario.in_megawatts else embodied_kg_per_h(scenario.fleet, pools.labels(scenario)),
        rest_host_w=service.rest_host_w,
        added_kwh=planned.added_kwh,
        active_attribution=scenario.records.attribution == "active",
        scaling=elastic.scaling(scenario, columns, service, warmup_ns),
        region_of=region_of,
        first_of=first_of,
        pools_in_order=scenario.serving.pool_choice == "in_order",
        **priced._asdict(),
    )


def _service(scenario: Scenario, columns: Sequence[Column], folder: Path) -> Service:
    """What the pools have, in replicas or in megawatts."""
    if scenario.in_megawatts:
        return megawatts(scenario.regions)
    mix, longest = mix_of(scenario.workload, folder), scenario.workload.lengths.max_tokens
    elastic = scenario.scaling.rule in ELASTIC
    capped = {name for name in scenario.regions if elastic or any(_caps(fault, name) for fault in scenario.faults)}
    names = list(scenario.regions)
    sleepers = {one.place for one in columns if names[one.region] in capped}
    keys = {one.place: one.keys for one in columns}
    return replicas(scenario.fleet, keys, mix, longest, scenario.time.clock_ns, folder, scenario.serving, sleepers)


def _caps(fault: Fault, region: str) -> bool:
    """Whether `fault` sends replicas of `region` to sleep."""
    return fault.region == region and fault.max_kw is not None
