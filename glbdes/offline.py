"""The offline optimum: the plan that a policy with the whole horizon before it would make, and its certificate.

For the fluid world, the problem of "Towards Environmentally Equitable AI via Geographical Load Balancing"
(arXiv 2307.05494; its optimum is there called eGLB-Off) is the linear programme

    min   sum_{s,r} cost[s,r] y[s,r] + mu_c * C + mu_w * W                                                        (O)
    s.t.  sum_s carbon[s,r] y[s,r] <= C,  sum_s water[s,r] y[s,r] <= W     for every region r
          sum_r y[s,k,r] = demand[s,k],  y[s,r] <= capacity[r]             for every slot s; y[s,r] = sum_k y[s,k,r]

Gateways with the same mask are one class k of their joint demand, since a request costs the same wherever it enters:
with full flexibility there is one class and a hundredth of the paper's variables. Solved by HiGHS through SciPy, and
held to its own certificate: the dual solution is feasible and its value is the primal's.

This module knows worlds, not policies; `Replay` is the optimum as a policy.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import OptimizeResult, linprog
from scipy.sparse import coo_array

from glbdes.errors import InfeasibleError, InvariantError
from glbdes.units import G_PER_KG, J_PER_KWH
from glbdes.world import Bools, Floats, Ints, View, World

GAP = 1e-7  # relative: how far primal and dual value may be apart


@dataclass(frozen=True, eq=False)
class Optimum:
    """An optimal solution of (O), with the certificate that it is one."""

    objective_usd: float  # of the primal solution, host energy included
    dual_usd: float  # of the dual solution: no plan can be cheaper
    cost_usd: Floats  # [r]
    carbon_kg: Floats  # [r]
    water_l: Floats  # [r]
    weights: Floats  # [s, g, r]
    carbon_usd_per_kg: Floats  # [r] dual prices of the footprints; they sum to mu_c
    water_usd_per_l: Floats  # [r] to mu_w


class Replay:
    """The policy that follows given weights [s, g, r], such as an optimum's."""

    def __init__(self, weights: Floats) -> None:
        self.weights = weights

    def plan(self, view: View) -> Floats:
        """What was decided for this slot."""
        return np.asarray(self.weights[view.slot])


class _Coefficients(NamedTuple):
    """Cost, carbon and water, in USD, kg and L: of a request/s for a whole slot, and of host power without any."""

    per_load: Floats  # [3, s, r]
    host: Floats  # [3, r]


class _Variables(NamedTuple):
    """The plan's variables: slot, class and region of each, and the gateways' classes."""

    slot: Ints
    kind: Ints
    region: Ints
    member: Ints  # [g] class of each gateway
    demand: Floats  # [s, k]


class _Units(NamedTuple):
    """HiGHS's tolerances are absolute, so rows and objective are brought near 1 by these."""

    load_rps: float
    footprint: Floats  # [2] kg, L
    usd: float


class _Programme(NamedTuple):
    """min cost x, upper x <= upper_bound, equal x = equal_bound, x >= 0 but for the last two, C and W."""

    cost: Floats
    upper: coo_array  # footprints of carbon and of water by region, then capacities by slot and region
    upper_bound: Floats
    equal: coo_array  # demand by slot and class
    equal_bound: Floats


def solve(world: World, *, merged: bool = True) -> Optimum:
    """The optimum of (O) for the expected demand and the true signals of `world`.

    `merged` = False keeps every gateway apart, which changes nothing but the size of the programme: a check.

    Regions that are down when a slot begins are not used in it; outages that begin later are not foreseen.
    Raises `InfeasibleError` if the demand does not fit, `InvariantError` if HiGHS's answer fails its certificate.
    """
    amounts, up = _coefficients(world), _up(world)
    variables = _variables(world, up, merged)
    programme, units = _programme(world, variables, amounts)
    found = _optimum(programme)
    prices = -found.ineqlin.marginals[: 2 * world.regions].reshape(2, -1) * units.usd / units.footprint[:, None]
    load_rps = np.zeros((world.slots, variables.demand.shape[1], world.regions))
    load_rps[variables.slot, variables.kind, variables.region] = np.maximum(found.x[:-2], 0.0) * units.load_rps
    usd, kg, litres = np.einsum("asr,skr->ar", amounts.per_load, load_rps) + amounts.host
    return Optimum(
        objective_usd=float(usd.sum() + world.carbon_usd_per_kg * kg.max() + world.water_usd_per_l * litres.max()),
        dual_usd=_dual_value(programme, found) * units.usd + float(amounts.host[0].sum()),
        cost_usd=usd,
        carbon_kg=kg,
        water_l=litres,
        weights=_weights(world, variables, load_rps, up),
        carbon_usd_per_kg=prices[0],
        water_usd_per_l=prices[1],
    )


def _coefficients(world: World) -> _Coefficients:
    signals = world.signals
    per_kwh = np.stack(
        (
            signals.pue * signals.price_usd_per_kwh,
            signals.pue * signals.carbon_g_per_kwh / G_PER_KG,
            signals.wue_l_per_kwh + signals.pue * signals.ewif_l_per_kwh,
        )
    )[:, : world.slots]
    return _Coefficients(per_kwh * world.it_kwh_per_request * world.slot_s, (per_kwh * _host_kwh(world)).sum(axis=1))


def it_kwh(world: World, load_rps: Floats) -> Floats:
    """[s, r] IT energy of `load_rps` [s, r] in the fluid model, host power included."""
    return np.asarray(load_rps * world.it_kwh_per_request * world.slot_s + _host_kwh(world))


def _host_kwh(world: World) -> Floats:
    """[s, r]"""
    fleet = world.fleet
    return np.asarray(fleet.replicas * fleet.host_w * world.slot_s / J_PER_KWH * (1 - _down_share(world)))


def _down_share(world: World) -> Floats:
    """[s, r] which share of a slot a region is down for."""
    begin_ns = np.arange(world.slots) * world.slot_ns
    share = np.zeros((world.slots, world.regions))
    for outage in world.outages:
        down_ns = np.minimum(begin_ns + world.slot_ns, outage.up_ns) - np.maximum(begin_ns, outage.down_ns)
        share[:, outage.region] += np.maximum(down_ns, 0) / world.slot_ns
    return share


def _up(world: World) -> Bools:
    """[s, r] which regions serve when a slot begins."""
    up = np.ones((world.slots, world.regions), dtype=bool)
    begin_ns = np.arange(world.slots) * world.slot_ns
    for outage in world.outages:
        up[(outage.down_ns <= begin_ns) & (begin_ns < outage.up_ns), outage.region] = False
    return up


def _variables(world: World, up: Bools, merged: bool) -> _Variables:
    masks, member = world.allowed, np.arange(world.gateways)
    if merged:
        masks, member = np.unique(world.allowed, axis=0, return_inverse=True)
    demand = np.zeros((world.slots, len(masks)))
    for g, k in enumerate(member.ravel()):
        demand[:, k] += world.expected_rps[:, g]
    slot, kind, region = np.nonzero(masks[None, :, :] & up[:, None, :])
    return _Variables(slot, kind, region, member.ravel(), demand)


def _programme(world: World, v: _Variables, amounts: _Coefficients) -> tuple[_Programme, _Units]:
    """(O), with every row and the objective in its own unit."""
    n, regions, kinds = len(v.slot), world.regions, v.demand.shape[1]
    load_unit = float(world.capacity_rps.mean())
    usd, *footprints = amounts.per_load[:, v.slot, v.region] * load_unit
    footprint_unit = np.array([_size(amount) for amount in footprints])
    kg, litres = footprints / footprint_unit[:, None]
    cost = np.append(usd, np.array([world.carbon_usd_per_kg, world.water_usd_per_l]) * footprint_unit)
    usd_unit = _size(cost)
    column, region = np.arange(n), np.arange(regions)
    rows = [v.region, regions + v.region, 2 * regions + v.slot * regions + v.region, region, regions + region]
    columns = [column, column, column, np.full(regions, n), np.full(regions, n + 1)]
    values = [kg, litres, np.ones(n), np.full(2 * regions, -1.0)]
    upper_shape = (2 * regions + world.slots * regions, n + 2)
    capacity = np.tile(world.capacity_rps / load_unit, world.slots)
    programme = _Programme(
        cost=cost / usd_unit,
        upper=coo_array((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=upper_shape),
        upper_bound=np.concatenate((*(-amounts.host[1:] / footprint_unit[:, None]), capacity)),
        equal=coo_array((np.ones(n), (v.slot * kinds + v.kind, column)), shape=(world.slots * kinds, n + 2)),
        equal_bound=v.demand.ravel() / load_unit,
    )
    return programme, _Units(load_unit, footprint_unit, usd_unit)


def _size(values: Floats) -> float:
    """A unit for values of this order; 1 if they are all 0."""
    return float(np.abs(values).mean()) or 1.0


def _optimum(p: _Programme) -> OptimizeResult:
    """HiGHS's solution, certified: primal = dual, and the dual is feasible.

    That is: no price of an upper row above 0, no reduced cost below 0, and those of C and W, which are free, 0.
    """
    bounds = [(0.0, None)] * (len(p.cost) - 2) + [(None, None)] * 2
    highs: Any = linprog  # its type hints know nothing of sparse matrices
    found: OptimizeResult = highs(p.cost, p.upper, p.upper_bound, p.equal, p.equal_bound, bounds, method="highs")
    if found.status == 2:
        raise InfeasibleError("the demand of some slot exceeds what the regions open to its gateways can serve")
    if found.status != 0:
        raise InvariantError(f"HiGHS did not solve the offline programme: {found.message}")
    upper, equal = found.ineqlin.marginals, found.eqlin.marginals
    reduced = p.cost - p.upper.T @ upper - p.equal.T @ equal
    violated = max(float(upper.max()), float(-reduced[:-2].min()), float(np.abs(reduced[-2:]).max()))
    violated /= float(np.abs(p.cost).max())
    gap = abs(float(found.fun) - _dual_value(p, found)) / max(abs(float(found.fun)), 1.0)
    if gap > GAP or violated > GAP:
        raise InvariantError(f"offline optimum without certificate: duality gap {gap:g}, dual violated by {violated:g}")
    return found


def _dual_value(p: _Programme, found: OptimizeResult) -> float:
    return float(found.ineqlin.marginals @ p.upper_bound + found.eqlin.marginals @ p.equal_bound)


def _weights(world: World, v: _Variables, load: Floats, up: Bools) -> Floats:
    """Weights [s, g, r] of every gateway from the loads of its class; equal ones where the class has no demand."""
    open_to = world.allowed & up[:, None, :]
    open_to |= world.allowed & ~open_to.any(axis=2, keepdims=True)  # a plan is owed even if every region is down
    by_gateway = np.where(open_to, load[:, v.member], 0.0)
    sums = by_gateway.sum(axis=2, keepdims=True)
    return np.where(sums > 0, by_gateway / np.where(sums > 0, sums, 1.0), open_to / open_to.sum(axis=2, keepdims=True))
