"""What a scenario would simulate, told before it is: load against capacity, time, network. Plain data for a table."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from glbdes.hardware.physics import NEVER_NS
from glbdes.scenario import Scenario, pools
from glbdes.scenario.model import Fault
from glbdes.units import J_PER_KWH, MS_PER_S, NS_PER_S, S_PER_H
from glbdes.world import World, compression
from glbdes.world.limits import row_names
from glbdes.world.remarks import remarks


class GatewayPreview(NamedTuple):
    """A gateway's expected load, and how far the regions open to it are. Loads in the preview's `load_unit`."""

    name: str
    load_mean: float
    load_peak: float  # in its busiest slot
    regions: int  # open to it
    nearest: str
    nearest_ms: float  # one way
    farthest_ms: float


class RegionPreview(NamedTuple):
    """A pool's capacity and its region's mean signals. Capacity in the preview's `load_unit`."""

    name: str  # of the region, or of the pool in it
    region: str
    model: str | None
    profile: str | None
    replicas: int | None
    max_batch: int | None
    capacity: float | None  # what plans may use; None: the pool before has it, which plans see as one with this
    request_j: float | None  # the same, IT energy of a request at full batch, host power not counted
    price_usd_per_kwh: float
    carbon_g_per_kwh: float
    water_l_per_kwh: float  # WUE + PUE * EWIF, per IT kWh
    pue: float
    further: tuple[float, ...]  # of other footprints, per IT kWh


class Preview(NamedTuple):
    """What would be simulated."""

    name: str
    description: str
    engine: str
    policy: str
    dispatch: str | None  # the rule; None: a flow, which goes by the plan
    load_unit: str  # "requests/s", or "MW" without requests
    requests: float | None  # simulated ones that count, expected; None without requests
    weight: float  # real requests that each stands for
    slots: int
    horizon_h: float
    simulated_s: float  # of all slots, warm-ups not counted
    warmup_s: float  # of each slot, before it counts
    warmup_from: str  # who says so
    gateways: tuple[GatewayPreview, ...]
    regions: tuple[RegionPreview, ...]
    further: tuple[str, ...]  # other footprints, with their units per IT kWh
    utilisation_mean: float  # of what plans may use of all regions
    utilisation_peak: float  # in the busiest slot
    latency_ms: tuple[float, float, float]  # one way, over allowed pairs: shortest, median, longest
    awake: str | None  # who says how many replicas are awake; None: nobody, all are
    faults: tuple[str, ...]  # a line each
    notes: tuple[str, ...]  # what moves figures without being seen in them
    warnings: tuple[str, ...]  # of what cannot be right in compressed time


def preview(scenario: Scenario, world: World) -> Preview:
    """What `scenario`, built as `world`, would simulate."""
    total_rps, capacity_rps = world.expected_rps.sum(axis=1), world.capacity_rps.sum()
    megawatts = scenario.in_megawatts
    simulated_s = world.slot_ns / NS_PER_S
    latency_ms = world.latency_s[world.allowed] * MS_PER_S
    return Preview(
        name=scenario.name,
        description=scenario.description,
        engine=scenario.engine,
        policy=scenario.policy.name,
        dispatch=scenario.dispatch.rule if scenario.by_request else None,
        load_unit="MW" if megawatts else "requests/s",
        requests=None if megawatts else float(total_rps.sum() * simulated_s),
        weight=world.weight,
        slots=world.slots,
        horizon_h=world.slots * world.slot_s / S_PER_H,
        simulated_s=world.slots * simulated_s,
        warmup_s=world.warmup_ns / NS_PER_S,
        warmup_from=compression.origin(scenario.time) if scenario.by_request else "none without requests",
        gateways=tuple(_gateway(scenario, world, g) for g in range(world.gateways)),
        regions=tuple(_region(scenario, world, r) for r in range(world.regions)),
        further=tuple(f"{one.name}, {one.unit}/kWh" for one in world.further),
        utilisation_mean=float(total_rps.mean() / capacity_rps),
        utilisation_peak=float(total_rps.max() / capacity_rps),
        latency_ms=(float(latency_ms.min()), float(np.median(latency_ms)), float(latency_ms.max())),
        awake=_awake(scenario, world),
        faults=tuple(map(_fault, scenario.faults)),
        notes=remarks(scenario, world),
        warnings=tuple(compression.warnings(scenario, world)),
    )


def _awake(scenario: Scenario, world: World) -> str | None:
    """How many replicas are awake, in words; None if always all."""
    rule = scenario.scaling.chosen(bool((world.fleet.sleep_after_ns < NEVER_NS).any()))
    if world.scaling is None or not world.scaling.elastic:
        return None if rule == "always_on" else rule
    least, aim = world.scaling.least, world.scaling.utilisation
    return f"{rule}; at least {_range(least)} a region, used at {_range(aim)} of their capacity"


def _range(values: NDArray[Any]) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _fault(fault: Fault) -> str:
    what = "is down" if fault.signal is None else f"has no {fault.signal} signal"
    what = what if fault.max_kw is None else f"draws no more than {fault.max_kw:g} kW"
    return f"{fault.region} {what} from {fault.start_h:g} h to {fault.end_h:g} h"


def _gateway(scenario: Scenario, world: World, g: int) -> GatewayPreview:
    open_to, regions = np.flatnonzero(world.allowed[g]), list(scenario.regions)
    of = [one.region for one in pools.columns(scenario)]
    latency_ms = world.latency_s[g, open_to] * MS_PER_S
    return GatewayPreview(
        name=row_names(scenario, world)[g],
        load_mean=float(world.expected_rps[:, g].mean()),
        load_peak=float(world.expected_rps[:, g].max()),
        regions=len({of[r] for r in open_to.tolist()}),
        nearest=regions[of[int(open_to[latency_ms.argmin()])]],
        nearest_ms=float(latency_ms.min()),
        farthest_ms=float(latency_ms.max()),
    )


def _region(scenario: Scenario, world: World, r: int) -> RegionPreview:
    pool, follows = pools.columns(scenario)[r], world.first_of is not None and world.first_of[r] != r
    region = list(scenario.regions.values())[pool.region]
    signals, megawatts = world.signals, region.capacity is not None
    water = signals.wue_l_per_kwh[:, r] + signals.pue[:, r] * signals.ewif_l_per_kwh[:, r]
    return RegionPreview(
        name=pool.place,
        region=list(scenario.regions)[pool.region],
        model=pool.model,
        profile=None if megawatts else pool.keys.profile or scenario.fleet.profile,
        replicas=None if megawatts else int(world.fleet.replicas[r]),
        max_batch=None if megawatts else int(world.fleet.max_batch[r]),
        capacity=None if follows else float(world.capacity_rps[r]),
        request_j=None if megawatts or follows else float(world.it_kwh_per_request[r]) * J_PER_KWH,
        price_usd_per_kwh=float(signals.price_usd_per_kwh[:, r].mean()),
        carbon_g_per_kwh=float(signals.carbon_g_per_kwh[:, r].mean()),
        water_l_per_kwh=float(water.mean()),
        pue=float(signals.pue[:, r].mean()),
        further=tuple(signals.further_per_kwh[:, :, r].mean(axis=0).tolist()),
    )
