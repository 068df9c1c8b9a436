"""The offline optimum: the plan that a policy with the whole horizon before it would make, and its certificate.

For the fluid world, the problem of "Towards Environmentally Equitable AI via Geographical Load Balancing"
(arXiv 2307.05494; its optimum is there called eGLB-Off) is the linear programme

    min   sum_{s,r} cost[s,r] y[s,r] + sum_k mu_k * M_k                                                           (O)
    s.t.  sum_s footprint[k,s,r] y[s,r] <= M_k     for every footprint k (carbon, water, ...) and region r
          sum_r y[s,k,r] = demand[s,k],  y[s,r] <= capacity[r]             for every slot s; y[s,r] = sum_k y[s,k,r]

Regions' weights multiply their footprints. `World.norm` says which norm of them M_k bounds: the largest, as in (O);
the sum, with which its rows turn into costs; or the Euclidean length, with which they turn into second-order
cones, for Clarabel to solve. If delay has a price, so have the network and the pieces that a region's load is cut into
(`glbdes.world.waiting`), whose widths take the place of the capacities.

Gateways with the same mask (and, if it costs, the same latencies) are one class k of their joint demand, for a request
costs the same wherever it enters: with full flexibility there is one class and a hundredth of the paper's variables.
As long as no latency costs anything, loads of regions alone will do (`regional`): a tenth again of what a mask
leaves, and exact. Otherwise, and for the Euclidean length, it is solved in flows (`flows`). HiGHS's answers are
held to their own certificate (`linear`): the dual solution is feasible and its value is the primal's.

A region's energy is base power, whatever the plan, and what each request adds (`World.base_kwh` and
`planned_kwh_per_request`): of a world of requests the least that any can add, so that the value bounds what plans meter
(docs/model.md, section 6); of its `World.flow`, what the fluid engine charges.

This module knows worlds, not policies; `Replay` is the optimum as a policy.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from glbdes.base import portable
from glbdes.errors import InfeasibleError
from glbdes.optimum import flows, regional, travel
from glbdes.units import G_PER_KG
from glbdes.world import Bools, Floats, Ints, View, World, awake
from glbdes.world.arrays import FOOTPRINTS
from glbdes.world.pools import at_pools, summed

UNIONS_MAX = 512  # of the gateways' sets of regions, beyond which the programme is solved in flows
FITS = 1 + 1e-9  # how far beyond the capacities demand may be, for rounding


@dataclass(frozen=True, eq=False)
class Optimum:
    """An optimal solution of (O), with the certificate that it is one."""

    objective_usd: float  # of the primal solution, base energy included
    dual_usd: float  # of the dual solution: no plan can be cheaper
    cost_usd: Floats  # [r]
    carbon_kg: Floats  # [r]
    water_l: Floats  # [r]
    weights: Floats  # [s, g, r]
    carbon_usd_per_kg: Floats  # [r] dual prices of the footprints; without weights they sum to mu_c if norm = inf
    water_usd_per_l: Floats  # [r] to mu_w
    further: Floats  # [k - 2, r] the other footprints
    further_usd: Floats  # [k - 2, r] dual prices of a unit of them
    network_s: float  # that requests spend on the network, both ways
    waiting_s: float  # in queues, as expected; 0 if delay has no price


class Replay:
    """The policy that follows given weights [s, g, r], such as an optimum's."""

    def __init__(self, weights: Floats) -> None:
        self.weights = weights

    def plan(self, view: View) -> Floats:
        """What was decided for this slot."""
        return np.asarray(self.weights[view.slot])


class _Coefficients(NamedTuple):
    """Cost, carbon, water, ..., in USD, kg, L, ...: of a request/s for a whole slot, and of all slots without any."""

    per_load: Floats  # [1 + k, s, r]
    base: Floats  # [1 + k, r]

    def of(self, kept: Ints) -> "_Coefficients":
        """Of cost and footprints `kept` alone."""
        rows = np.concatenate(([0], 1 + kept))
        return _Coefficients(self.per_load[rows], self.base[rows])


def solve(world: World, *, merged: bool = True) -> Optimum:
    """The optimum of (O) for the expected demand and the true signals of `world`.

    `merged` = False solves it in flows, every gateway apart, which changes nothing but the size: a check.

    Regions that are down when a slot begins are not used in it; outages that begin later are not foreseen.
    Raises `InfeasibleError` if the demand does not fit, `InvariantError` if HiGHS's answer fails its certificate.
    """
    amounts, up, kept = _coefficients(world), _up(world), priced(world)
    reckoned = amounts.of(kept)
    try:
        found = _by_regions(world, reckoned, kept, up) if merged else None
        if found is None:
            found = flows.solve(world, *reckoned, _terms(world, kept), up, merged)
    except InfeasibleError:
        told = "the demand of some slot exceeds what the regions open to its gateways can serve"
        raise InfeasibleError(told) from None
    load_rps, prices = found.load_rps, np.zeros(world.footprint_price_usd.shape)
    prices[kept] = found.price_usd
    usd, *footprints = (amounts.per_load * load_rps.sum(axis=1)).sum(axis=1) + amounts.base
    weights = _weights(world, found.member, load_rps, up)
    network_s = 2 * world.slot_s * float((world.expected_rps[:, :, None] * weights * world.latency_s).sum())
    waiting_s = 0.0 if world.waiting is None else float(world.waiting.requests(load_rps.sum(axis=1)).sum())
    delay_usd = world.delay_usd_per_s * (network_s + waiting_s * world.slot_s)
    always_usd = float(amounts.base[0].sum())
    if world.norm == 1:
        prices = world.footprint_price_usd
        always_usd += float((prices * amounts.base[1:]).sum())
    borne_usd = summed(world.footprint_price_usd * np.stack(footprints), world.region_of)
    equity_usd = np.linalg.norm(borne_usd, ord=world.norm, axis=1)
    return Optimum(
        objective_usd=float(usd.sum() + equity_usd.sum() + delay_usd),
        dual_usd=found.dual_usd + always_usd,
        cost_usd=usd,
        carbon_kg=footprints[0],
        water_l=footprints[1],
        weights=weights,
        carbon_usd_per_kg=prices[0],
        water_usd_per_l=prices[1],
        further=np.array(footprints[2:]).reshape(-1, world.regions),
        further_usd=prices[2:],
        network_s=network_s,
        waiting_s=waiting_s * world.slot_s,
    )


def priced(world: World) -> Ints:
    """Which footprints [k] stand in the programme: carbon, water, and others that have a price."""
    usd = world.footprint_price_usd
    return np.flatnonzero((np.arange(len(usd)) < len(FOOTPRINTS)) | usd.any(axis=1))


def _terms(world: World, kept: Ints) -> flows.Terms:
    count = len(world.footprints)
    weight = np.ones((count, world.regions)) if world.equity_weight is None else world.equity_weight
    return flows.Terms(np.array([one.usd for one in world.footprints])[kept], weight[kept])


def _by_regions(world: World, amounts: _Coefficients, kept: Ints, up: Bools) -> flows.Flows | None:
    """The optimum over loads of regions alone; None if that cannot say what is asked for."""
    if world.norm == 2 or world.delay_usd_per_s > 0:
        return None
    allowed, member = np.unique(world.allowed, axis=0, return_inverse=True)
    listed = regional.listed(allowed, UNIONS_MAX)
    if listed is None:
        return None
    demand = portable.product(world.expected_rps, np.eye(len(allowed))[member.ravel()])
    price_usd = world.footprint_price_usd[kept]
    cost_usd, burden_usd = amounts.per_load[0], price_usd[:, None, :] * amounts.per_load[1:]
    so_far_usd = price_usd * amounts.base[1:]
    if world.norm == 1:
        cost_usd = cost_usd + burden_usd.sum(axis=0)
        burden_usd, so_far_usd = np.zeros_like(burden_usd), np.zeros_like(so_far_usd)
    unions = regional.Unions(demand, allowed, listed)
    capacity = np.where(up, awake.capacity_rps(world), 0.0)
    factor = unions.factor(capacity)
    if (factor > FITS).any():
        raise InfeasibleError("the demand does not fit")
    so_far_usd = summed(so_far_usd, world.region_of)
    task = regional.Task(cost_usd, burden_usd, so_far_usd, demand, capacity * factor[:, None], world.region_of)
    found = regional.solve(task, unions)
    gamma = at_pools(found.gamma, world.region_of)
    return flows.Flows(unions.flows(found.load), member.ravel(), gamma * price_usd, found.dual)


def _coefficients(world: World) -> _Coefficients:
    signals = world.signals
    per_kwh = np.stack(
        (
            signals.pue * signals.price_usd_per_kwh,
            signals.pue * signals.carbon_g_per_kwh / G_PER_KG,
            signals.wue_l_per_kwh + signals.pue * signals.ewif_l_per_kwh,
            *np.moveaxis(signals.further_per_kwh, 1, 0),
        )
    )[:, : world.slots]
    return _Coefficients(
        per_kwh * world.planned_kwh_per_request * world.slot_s, (per_kwh * _base_kwh(world)).sum(axis=1)
    )


def it_kwh(world: World, load_rps: Floats) -> Floats:
    """[s, r] IT energy of `load_rps` [s, r] as the optimum reckons: base power, and what requests add."""
    return np.asarray(load_rps * world.planned_kwh_per_request * world.slot_s + _base_kwh(world))


def _base_kwh(world: World) -> Floats:
    """[s, r]"""
    return np.asarray(world.base_kwh * (1 - _down_share(world)))


def _down_share(world: World) -> Floats:
    """[s, r] which share of a slot a region is down for."""
    begin_ns = np.arange(world.slots) * world.period_ns + world.warmup_ns
    share = np.zeros((world.slots, world.regions))
    for outage in world.outages:
        down_ns = np.minimum(begin_ns + world.slot_ns, outage.up_ns) - np.maximum(begin_ns, outage.down_ns)
        share[:, outage.region] += np.maximum(down_ns, 0) / world.slot_ns
    return share


def _up(world: World) -> Bools:
    """[s, r] which regions serve when a slot begins."""
    up = np.ones((world.slots, world.regions), dtype=bool)
    begin_ns = np.arange(world.slots) * world.period_ns
    for outage in world.outages:
        up[(outage.down_ns <= begin_ns) & (begin_ns < outage.up_ns), outage.region] = False
    return up


def _weights(world: World, member: Ints, load: Floats, up: Bools) -> Floats:
    """Weights [s, g, r] of every gateway from the loads of its class, equal ones where the class has no demand; then
    those of least network time with the same loads of regions."""
    open_to = world.allowed & up[:, None, :]
    open_to |= world.allowed & ~open_to.any(axis=2, keepdims=True)  # a plan is owed even if every region is down
    by_gateway = np.where(open_to, load[:, member], 0.0)
    sums = by_gateway.sum(axis=2, keepdims=True)
    weights = np.where(
        sums > 0, by_gateway / np.where(sums > 0, sums, 1.0), open_to / open_to.sum(axis=2, keepdims=True)
    )
    latency_s = world.latency_s
    slots = zip(weights, world.expected_rps, open_to, strict=True)
    return np.stack([travel.least(plan, demand_rps, latency_s, mask) for plan, demand_rps, mask in slots])
