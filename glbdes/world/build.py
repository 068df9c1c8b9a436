"""From a scenario to a world: names become indices, hours become nanoseconds, tables become arrays.

Whatever needs a second file (signals, traces, profiles) or several tables at once is checked here, before an engine
starts. Nothing is simulated, and nothing of a policy is known.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from glbdes import resources
from glbdes.errors import InfeasibleError, ScenarioError
from glbdes.hardware import Profile, profile
from glbdes.hardware.physics import DISPATCH_NAMES, NEVER_NS, to_clock_ns
from glbdes.scenario import Scenario
from glbdes.scenario.model import Lengths, Pool
from glbdes.signals import table as environment
from glbdes.signals.authors import read_authors_load_by_slot
from glbdes.units import H_PER_DAY, J_PER_KWH, KG_PER_T, KWH_PER_MWH, L_PER_M3, S_PER_H
from glbdes.workload import Requests, lengths
from glbdes.workload import requests as workload
from glbdes.world import network, sizes, waiting
from glbdes.world.arrays import Bools, Fleet, Floats, Ints, Outage, World, freeze
from glbdes.world.feasibility import worst_overload
from glbdes.world.limits import by_class, row_names
from glbdes.world.waiting import Waiting

Value = TypeVar("Value", int, float)


class Service(NamedTuple):
    """What regions can do and what it takes; arrays [r]."""

    fleet: Fleet
    capacity_rps: Floats  # of all replicas, busy all the time
    it_kwh_per_request: Floats
    servers: Ints  # requests that all replicas serve at a time


def build(scenario: Scenario, folder: Path, signals: Path | None = None) -> World:
    """The world of `scenario`, whose files are looked for in `folder` and among the shipped ones.

    `signals` replaces the scenario's own source of signals; in the authors' layout it also brings the load for
    `workload.shape = "trace"`.

    Raises `SignalError`, `TraceError`, `ProfileError` for files that are missing or wrong, and `InfeasibleError` if a
    slot's expected load does not fit the regions open to it (unless `dispatch.overload = "allow"`).
    """
    if signals is not None:
        source = scenario.signals.model_copy(update={"source": str(signals.resolve())})
        scenario = scenario.model_copy(update={"signals": source})
    time, dispatch, objective = scenario.time, scenario.dispatch, scenario.objective
    truth = environment.load(scenario.signals, scenario.regions, time, folder)
    service = _service(scenario, folder)
    expected_rps = workload.expected_rps(
        scenario, _home_capacity_rps(scenario, service.capacity_rps), folder, load=_load(scenario, folder)
    )
    world = World(
        slots=time.slots,
        slot_ns=_ns(time.simulated_s, time.clock_ns),
        slot_s=time.slot_s,
        weight=time.slot_s / time.simulated_s,
        clock_ns=time.clock_ns,
        fleet=service.fleet,
        latency_ns=_latency_ns(scenario),
        allowed=allowed_regions(scenario),
        dispatch=DISPATCH_NAMES.index(dispatch.rule),
        telemetry_ns=_ns(dispatch.telemetry_s, time.clock_ns),
        spill_queue=dispatch.spill_queue,
        timeout_ns=_ns_or_never(dispatch.timeout_s, time.clock_ns),
        max_attempts=dispatch.max_attempts,
        outages=_outages(scenario),
        signals=truth,
        seen=environment.seen(truth, scenario.faults, tuple(scenario.regions), time),
        full_attribution=scenario.records.attribution == "full",
        demand=dispatch.demand,
        expected_rps=expected_rps,
        capacity_rps=dispatch.max_utilisation * service.capacity_rps,
        it_kwh_per_request=service.it_kwh_per_request,
        carbon_usd_per_kg=objective.carbon_usd_per_t / KG_PER_T,
        water_usd_per_l=objective.water_usd_per_m3 / L_PER_M3,
        requests=_requests(scenario, expected_rps, folder),
        price_ahead_slots=_price_ahead_slots(scenario),
        equity_weight=_equity_weight(scenario),
        norm=float(objective.norm),
        delay_usd_per_s=objective.delay_usd_per_s,
        waiting=_waiting(scenario, service) if objective.delay_usd_per_s > 0 else None,
    )
    world = by_class(scenario, world)
    sizes.check(scenario, world)
    if dispatch.overload == "error":
        _check_load(scenario, world)
    freeze(world)
    return world


def allowed_regions(scenario: Scenario) -> Bools:
    """Which regions each gateway may use, bool[g, r]."""
    rows = [
        [gateway.regions is None or region in gateway.regions for region in scenario.regions]
        for gateway in scenario.gateways.values()
    ]
    return np.array(rows, dtype=np.bool_)


def counts_megawatts(scenario: Scenario) -> bool:
    """Whether regions have a capacity in MW instead of a profile, so that load is power and not requests."""
    return any(region.capacity is not None for region in scenario.regions.values())


def _service(scenario: Scenario, folder: Path) -> Service:
    """Replicas, capacities and energies of all regions."""
    if counts_megawatts(scenario):
        return _megawatts(scenario)
    regions = [(name, _pool(scenario.fleet, region)) for name, region in scenario.regions.items()]
    profiles = {pool.profile: profile.load(pool.profile, folder) for _, pool in regions if pool.profile is not None}
    pools = [(pool, profiles[pool.profile or ""]) for _, pool in regions]
    _check_batches(regions, profiles)
    longest = scenario.workload.lengths.max_tokens
    fleet = _fleet(pools, list(profiles.values()), scenario.time.clock_ns, longest)
    prompt, output = lengths.mix(_lengths(scenario), folder)
    fits = np.maximum(fleet.kv_tokens / np.mean(prompt + output), 1).astype(np.int64)  # requests of mean size
    most = np.minimum(fleet.max_batch, fits)
    full = [(measured, int(batch)) for (_, measured), batch in zip(pools, most, strict=True)]
    rps = [profile.capacity_rps(measured, prompt, output, batch) for measured, batch in full]
    joules = [profile.it_j_per_request(measured, prompt, output, batch) for measured, batch in full]
    return Service(fleet, np.array(rps) * fleet.replicas, np.array(joules) / J_PER_KWH, most * fleet.replicas)


def _pool(shared: Pool, own: Pool) -> Pool:
    """The region's own keys, and those of [fleet] for what it does not say."""
    keys = Pool.model_fields
    said = {key: getattr(own, key) if getattr(own, key) is not None else getattr(shared, key) for key in keys}
    return Pool.model_construct(**said)


def _lengths(scenario: Scenario) -> Lengths:
    """The law that capacities are reckoned with: a replayed trace is its own."""
    workload, given = scenario.workload, scenario.workload.lengths
    if workload.arrivals == "replay":
        return given.model_copy(update={"law": "trace", "file": workload.file})
    return given


def _check_batches(regions: Sequence[tuple[str, Pool]], profiles: Mapping[str, Profile]) -> None:
    """No batch may be larger than what its profile was measured with: iteration times beyond that are unknown."""
    problems = []
    for name, pool in regions:
        measured = profiles[pool.profile or ""]
        if _first(pool.max_batch, 1) > measured.max_batch:
            rule = f"must be <= {measured.max_batch}, the largest batch that profile '{measured.name}' was measured at"
            problems.append(f"regions.{name}.max_batch = {pool.max_batch} (here or in [fleet]), {rule}")
    if problems:
        raise ScenarioError(problems)


def _fleet(pools: Sequence[tuple[Pool, Profile]], profiles: Sequence[Profile], clock_ns: int, longest: int) -> Fleet:
    """The pools of all regions as arrays; keys that neither region nor [fleet] gives are the profile's.

    Prefill tables go up to `longest`, the tokens of the longest request that there can be.
    """

    def column(values: Sequence[float | int | None], dtype: type) -> NDArray[Any]:
        return np.array(values, dtype=dtype)

    kv_tokens = [_first(pool.kv_tokens, measured.kv_tokens) for pool, measured in pools]
    tables = [measured.prefill_table(longest) for measured in profiles]
    chained = [measured.serving.chained_factor for measured in profiles]
    return Fleet(
        replicas=column([_first(pool.replicas, 1) for pool, _ in pools], np.int64),
        max_batch=column([_first(pool.max_batch, measured.max_batch) for pool, measured in pools], np.int64),
        kv_tokens=column(kv_tokens, np.int64),
        max_queue=column([_first(pool.max_queue, NEVER_NS) for pool, _ in pools], np.int64),
        a_s=column([measured.a_s for _, measured in pools], np.float64),
        beta_s=column([measured.beta_s for _, measured in pools], np.float64),
        gamma_s=column([measured.gamma_s for _, measured in pools], np.float64),
        e0_j=column([measured.e0_j for _, measured in pools], np.float64),
        e1_j=column([measured.e1_j for _, measured in pools], np.float64),
        e2_j=column([measured.e2_j for _, measured in pools], np.float64),
        idle_w=column([_first(pool.idle_w, measured.idle_w) for pool, measured in pools], np.float64),
        sleep_w=column([measured.sleep_w for _, measured in pools], np.float64),
        host_w=column([_first(pool.host_w, measured.host_w) for pool, measured in pools], np.float64),
        sleep_after_ns=column([_ns_or_never(pool.sleep_after_s, clock_ns) for pool, _ in pools], np.int64),
        wake_ns=column([_ns(pool.wake_s or 0.0, clock_ns) for pool, _ in pools], np.int64),
        profile=column([profiles.index(measured) for _, measured in pools], np.int64),
        prefill_s=np.stack([seconds for seconds, _ in tables]),
        chained_s=np.stack([factor * seconds for factor, (seconds, _) in zip(chained, tables, strict=True)]),
        prefill_j=np.stack([joules for _, joules in tables]),
    )


def _megawatts(scenario: Scenario) -> Service:
    """Regions as the fluid model has them: a unit of load is 1 MW, so an hour of it is 1 MWh. There are no replicas."""
    mw = [region.capacity for region in scenario.regions.values()]
    ones, none = np.ones(len(mw), dtype=np.int64), np.zeros(len(mw))
    fleet = Fleet(
        replicas=ones,
        max_batch=ones,
        kv_tokens=ones,
        max_queue=0 * ones,
        a_s=none,
        beta_s=none,
        gamma_s=none,
        e0_j=none,
        e1_j=none,
        e2_j=none,
        idle_w=none,
        sleep_w=none,
        host_w=none,
        sleep_after_ns=NEVER_NS * ones,
        wake_ns=0 * ones,
        profile=0 * ones,
        prefill_s=np.zeros((1, 1)),
        chained_s=np.zeros((1, 1)),
        prefill_j=np.zeros((1, 1)),
    )
    return Service(fleet, np.array(mw, dtype=np.float64), np.full(len(mw), KWH_PER_MWH / S_PER_H), ones)


def _home_capacity_rps(scenario: Scenario, capacity_rps: Floats) -> Floats:
    """[g] the capacity that each gateway's `load` counts in; NaN where its load is given in requests/s."""
    capacity = dict(zip(scenario.regions, capacity_rps, strict=True))
    homes = [(gateway.home or name, gateway) for name, gateway in scenario.gateways.items()]
    return np.array([np.nan if gateway.load is None else capacity[home] for home, gateway in homes])


def _load(scenario: Scenario, folder: Path) -> Floats | None:
    """[s] the load that comes with signals in the authors' layout, if the workload follows a trace."""
    source = resources.find("traces", scenario.signals.source, folder)
    if scenario.workload.shape != "trace" or source is None or not source.is_dir():
        return None
    time = scenario.time
    return read_authors_load_by_slot(source, time.start_utc, time.slot_s, time.slots)


def _requests(scenario: Scenario, expected_rps: Floats, folder: Path) -> Callable[[int], Requests]:
    if not counts_megawatts(scenario):
        return workload.stream(scenario, expected_rps, folder)

    def nothing_to_draw(slot: int) -> Requests:
        why = "regions have a `capacity` in MW instead of a profile; run it on the engine 'fluid'"
        raise ScenarioError(f"scenario '{scenario.name}' has no requests (slot {slot}): {why}")

    return nothing_to_draw


def _latency_ns(scenario: Scenario) -> Ints:
    """[g, r] one way, on the clock; even a gateway's own region is one tick away."""
    rows = network.latency_s(scenario)
    return np.array([[to_clock_ns(s, scenario.time.clock_ns) for s in row] for row in rows.tolist()], dtype=np.int64)


def _outages(scenario: Scenario) -> tuple[Outage, ...]:
    """When regions are down, on the simulated clock: real hours shrink with the slots."""
    time = scenario.time
    names, shrink = list(scenario.regions), time.simulated_s / time.slot_s
    outages = []
    for fault in scenario.faults:
        if fault.signal is None:
            down_ns = _ns(fault.start_h * S_PER_H * shrink, time.clock_ns)
            up_ns = _ns(fault.end_h * S_PER_H * shrink, time.clock_ns)
            outages.append(Outage(names.index(fault.region), down_ns, max(up_ns, down_ns + time.clock_ns)))
    return tuple(sorted(outages, key=lambda outage: (outage.down_ns, outage.region)))


def _price_ahead_slots(scenario: Scenario) -> Ints | None:
    """[s] how many slots after each one have a published price: today's, or, once published, tomorrow's too (UTC)."""
    known, time = scenario.known_ahead, scenario.time
    if known.price == "none":
        return None
    midnight = time.start_utc.replace(hour=0, minute=0, second=0, microsecond=0)
    day_s = H_PER_DAY * S_PER_H
    begin_s = (time.start_utc - midnight).total_seconds() + np.arange(time.slots) * time.slot_s
    today = np.floor(begin_s / day_s)
    end_s = day_s * (today + 1 + (begin_s - day_s * today >= known.published_h * S_PER_H))
    return np.asarray(np.searchsorted(begin_s, end_s) - np.arange(time.slots) - 1, dtype=np.int64)


def _equity_weight(scenario: Scenario) -> Floats:
    """[k, r] of carbon and water."""
    return np.array([[region.carbon_weight, region.water_weight] for region in scenario.regions.values()]).T


def _waiting(scenario: Scenario, service: Service) -> Waiting:
    """What waits by load: from the scenario's table, or by Erlang C. Raises `ScenarioError`."""
    table, most = scenario.objective.queue_wait_s, scenario.dispatch.max_utilisation
    if table is None:
        if counts_megawatts(scenario):
            why = "needs objective.queue_wait_s, because regions with a `capacity` in MW have no servers to queue for"
            raise ScenarioError(f"objective.delay_usd_per_s = {scenario.objective.delay_usd_per_s:g}, {why}")
        return waiting.erlang_c(service.servers, service.capacity_rps, most)
    utilisation, mean_s = np.array(table).T
    wait_s = np.tile(mean_s[:, None], len(scenario.regions))
    try:
        return waiting.from_wait(utilisation, wait_s, service.capacity_rps, most)
    except ValueError as error:
        raise ScenarioError(f"objective.queue_wait_s: {error}") from error


def _check_load(scenario: Scenario, world: World) -> None:
    """Refuse a scenario whose expected load in some slot has nowhere to go."""
    found = worst_overload(world.expected_rps, world.capacity_rps, world.allowed)
    if found is None:
        return
    unit = "MW" if counts_megawatts(scenario) else "requests/s"
    gateways = _listed("gateway", row_names(scenario, world), found.gateways)
    regions = _listed("region", scenario.regions, found.regions)
    raise InfeasibleError(
        f"scenario '{scenario.name}', slot {found.slot}: expected load of {gateways} = {found.demand_rps:.4g} {unit}, "
        f"must be <= {found.capacity_rps:.4g} {unit}: dispatch.max_utilisation = {scenario.dispatch.max_utilisation:g} "
        f"of {regions}, where it may go; lower workload.load_scale, add replicas, or set dispatch.overload = 'allow'"
    )


def _listed(kind: str, names: Collection[str], chosen: Bools) -> str:
    """ "all 10 regions", "regions texas, japan" or "region texas"."""
    picked = [name for name, one in zip(names, chosen, strict=True) if one]
    if len(picked) == 1:
        return f"{kind} {picked[0]}"
    return f"all {len(picked)} {kind}s" if len(picked) == len(names) else f"{kind}s {', '.join(picked)}"


def _first(own: Value | None, otherwise: Value) -> Value:
    return otherwise if own is None else own


def _ns(duration_s: float, clock_ns: int) -> int:
    """A duration on the clock; nothing stays nothing."""
    return to_clock_ns(duration_s, clock_ns) if duration_s > 0 else 0


def _ns_or_never(duration_s: float | None, clock_ns: int) -> int:
    return NEVER_NS if duration_s is None else _ns(duration_s, clock_ns)
