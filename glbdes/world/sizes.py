"""What a built world takes to be simulated: more than the clock can count or a machine can hold is refused."""

from typing import Final

import numpy as np

from glbdes.errors import ScenarioError
from glbdes.hardware.physics import STATE_DEPENDENT
from glbdes.scenario import Scenario, pools
from glbdes.scenario.sizes import MOST_S
from glbdes.units import NS_PER_S
from glbdes.world.arrays import Floats, World

MOST_PLACES: Final = 2 * 10**7  # of requests on all replicas: the state of an engine


def check(scenario: Scenario, world: World) -> None:
    """Raise `ScenarioError` for more room on replicas than is held, or work that takes longer than is counted."""
    fleet = world.fleet
    problems = []
    places = int(fleet.replicas.sum()) * int(fleet.max_batch.max())
    if places > MOST_PLACES:
        problems.append(f"regions: all replicas hold {places:g} requests, must be <= {MOST_PLACES:g}")
    if world.horizon_ns > MOST_S * NS_PER_S:
        told = f"all slots take {world.horizon_ns / NS_PER_S:g} simulated s with it, must be <= {MOST_S:g} s"
        problems.append(f"time.warmup_s = {world.warmup_ns / NS_PER_S:g} s: {told}")
    longest_s, drained_s = _longest_s(world), _drained_s(world)
    for r, name in enumerate(pools.labels(scenario)):
        if longest_s[r] > MOST_S:
            problems.append(f"regions.{name}: the longest request takes {longest_s[r]:g} s, must be <= {MOST_S:g} s")
        elif drained_s[r] > MOST_S:
            told = f"all requests together take {drained_s[r]:g} s there, must be <= {MOST_S:g} s"
            problems.append(f"regions.{name}: {told}; add replicas, or lower the load")
    ticks = _ticks(world, float(drained_s.max()))
    if ticks > scenario.time.max_events:
        most = f"must be <= time.max_events = {scenario.time.max_events:g}"
        told = f"{ticks:.3g} ticks until the last request has ended, {most}"
        problems.append(f"dispatch.telemetry_s: {told}; raise one of them")
    if problems:
        raise ScenarioError(problems)


def _ticks(world: World, drained_s: float) -> float:
    """How often the dispatcher's picture of the regions is renewed, if it is."""
    if world.telemetry_ns == 0 or world.dispatch not in STATE_DEPENDENT:
        return 0.0
    end_ns = world.horizon_ns + int(world.fleet.wake_ns.max()) + drained_s * NS_PER_S
    return end_ns / world.telemetry_ns


def _longest_s(world: World) -> Floats:
    """[r] what the longest prompt with the longest answer takes in a full batch with a full cache, at most."""
    fleet = world.fleet
    tokens = fleet.prefill_s.shape[1]
    prefill_s = np.maximum(fleet.prefill_s, fleet.chained_s).max(axis=1)[fleet.profile] * fleet.max_batch
    context = np.minimum(fleet.kv_tokens, np.int64(tokens) * fleet.max_batch)
    step_s = fleet.a_s + fleet.beta_s * fleet.max_batch + fleet.gamma_s * context
    return np.asarray(prefill_s + tokens * step_s, dtype=np.float64)


def _drained_s(world: World) -> Floats:
    """[r] how long it takes to serve all requests of the horizon there, whatever a policy does."""
    if not (world.fleet.a_s > 0).all():  # megawatts, and no requests
        return np.zeros(world.regions)
    requests = float(world.expected_rps.sum()) * world.period_ns / NS_PER_S
    first = np.arange(world.regions) if world.first_of is None else world.first_of
    return np.asarray(requests / world.capacity_rps[first], dtype=np.float64)
