"""The fluid engine: load instead of requests, the paper's own model.

A slot's demand is its mean arrival rate, every region serves at once whatever it is sent, and energy is in proportion:

    load[r] = sum_g demand[g] * weights[g, r]          it_kwh[r] = it_kwh_per_request[r] * load[r] * seconds

so there is no latency and no queue. It runs in milliseconds, reproduces the table of arXiv 2307.05494 and is the limit
that request-level engines approach as load grows. Energy per request is that of full batches; idle power does not exist
here, nor in what policies are shown (`World.flow`); host power is added by the meter. The sink gets no requests; counts
in slot records are expected ones, rounded. Demand of a gateway whose every region is down is dispatched nowhere, and
causes nothing.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from glbdes.units import J_PER_KWH, NS_PER_S
from glbdes.world import METER_DTYPE, Bools, Floats, Policy, Sink, SlotRecord, World
from glbdes.world.view import Planner


def run(
    world: World,
    policy: Policy,
    sink: Sink,
    *,
    policy_name: str,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Simulate all slots of `world` under `policy`; `progress` is told the expected requests so far.

    Raises `PolicyError` if the policy fails or breaks the contract.
    """
    world = world.flow
    planner = Planner(world, policy, policy_name)
    expected = 0.0
    for slot in range(world.slots):
        demand_rps = world.expected_rps[slot]
        weights = planner.plan(slot, demand_rps, _up(world, slot * world.slot_ns))
        record = _slot(world, slot, demand_rps, weights, planner.duals())
        planner.observe(record)
        sink.slot(record)
        expected += float(demand_rps.sum()) * world.slot_ns / NS_PER_S
        if progress is not None:
            progress(round(expected))


def _up(world: World, now_ns: int) -> Bools:
    """Which regions [r] serve at `now_ns`."""
    up = np.ones(world.regions, dtype=bool)
    for outage in world.outages:
        if outage.down_ns <= now_ns < outage.up_ns:
            up[outage.region] = False
    return up


def _slot(world: World, slot: int, demand_rps: Floats, weights: Floats, duals: dict[str, Floats]) -> SlotRecord:
    """What a slot comes to under `weights`, in stretches between which no region goes down or up."""
    begin_ns, end_ns = slot * world.slot_ns, (slot + 1) * world.slot_ns
    changes = {time for outage in world.outages for time in (outage.down_ns, outage.up_ns) if begin_ns < time < end_ns}
    times = [begin_ns, *sorted(changes), end_ns]
    requests = np.zeros(world.allowed.shape)  # [g, r] simulated
    down_ns = np.zeros(world.regions, dtype=np.int64)
    for start_ns, stop_ns in pairwise(times):
        up = _up(world, start_ns)
        shares = _dispatched(world, weights, up)
        arriving = demand_rps * ((stop_ns - start_ns) / NS_PER_S)
        requests += arriving[:, None] * shares
        down_ns[~up] += stop_ns - start_ns
    meters = np.zeros(world.regions, dtype=METER_DTYPE)
    joules = world.it_kwh_per_request * J_PER_KWH * requests.sum(axis=0)
    counts = np.rint(requests).astype(np.int64)
    meters["arrived"] = meters["served"] = counts.sum(axis=0)
    meters["down_ns"] = down_ns * world.fleet.replicas
    meters["decode_j"] = meters["attributed_j"] = joules
    return SlotRecord(slot=slot, weights=weights, demand_rps=demand_rps, dispatched=counts, meters=meters, duals=duals)


def _dispatched(world: World, weights: Floats, up: Bools) -> Floats:
    """Shares [g, r] of each gateway's demand: the weights over regions that are up (section 3 of docs/model.md).

    The nearest region takes what the plan sends to none that is up; a gateway without any gets a row of zeros.
    """
    if up.all():
        return weights
    open_to = world.allowed & up
    shares = np.where(open_to, weights, 0.0)
    sums = shares.sum(axis=1)
    nearest = np.where(open_to, world.latency_ns, np.iinfo(np.int64).max).argmin(axis=1)
    for g in np.flatnonzero((sums <= 0) & open_to.any(axis=1)):
        shares[g, nearest[g]] = sums[g] = 1.0
    return np.asarray(shares / np.where(sums > 0, sums, 1.0)[:, None])
