"""The offline optimum: the plan that a policy with the whole horizon before it would make, and its certificate.

For the fluid world, the problem of "Towards Environmentally Equitable AI via Geographical Load Balancing"
(arXiv 2307.05494; its optimum is there called eGLB-Off) is the linear programme

    min   sum_{s,r} cost[s,r] y[s,r] + mu_c * C + mu_w * W                                                        (O)
    s.t.  sum_s carbon[s,r] y[s,r] <= C,  sum_s water[s,r] y[s,r] <= W     for every region r
          sum_r y[s,k,r] = demand[s,k],  y[s,r] <= capacity[r]             for every slot s; y[s,r] = sum_k y[s,k,r]

Regions' weights multiply their footprints. `World.norm` says which norm of them C and W bound: the largest, as in (O);
the sum, with which the rows of C and W turn into costs; or the Euclidean length, with which they turn into second-order
cones, for Clarabel to solve. If delay has a price, so have the network and the pieces that a region's load is cut into
(`glbdes.waiting`), whose widths take the place of the capacities.

Gateways with the same mask (and, if it costs, the same latencies) are one class k of their joint demand, for a request
costs the same wherever it enters: with full flexibility there is one class and a hundredth of the paper's variables.
Solved by HiGHS through SciPy, and held to its own certificate: the dual solution is feasible and its value is the
primal's.

This module knows worlds, not policies; `Replay` is the optimum as a policy.
"""

from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

import clarabel
import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array, csc_array, eye_array, vstack

from glbdes.errors import InfeasibleError, InvariantError
from glbdes.units import G_PER_KG, J_PER_KWH
from glbdes.world import Bools, Floats, Ints, View, World

GAP = 1e-7  # relative: how far primal and dual value may be apart
SMALL = 10_000  # columns below which the dual simplex method is sooner done than the interior-point one
CONIC_GAP = 1e-6  # the same of an interior-point solution


@dataclass(frozen=True, eq=False)
class Optimum:
    """An optimal solution of (O), with the certificate that it is one."""

    objective_usd: float  # of the primal solution, host energy included
    dual_usd: float  # of the dual solution: no plan can be cheaper
    cost_usd: Floats  # [r]
    carbon_kg: Floats  # [r]
    water_l: Floats  # [r]
    weights: Floats  # [s, g, r]
    carbon_usd_per_kg: Floats  # [r] dual prices of the footprints; without weights they sum to mu_c if norm = inf
    water_usd_per_l: Floats  # [r] to mu_w
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
    travel_s: Floats  # [k, r] both ways; 0 if it costs nothing


class _Units(NamedTuple):
    """HiGHS's tolerances are absolute, so rows and objective are brought near 1 by these."""

    load_rps: float
    footprint: Floats  # [2] kg, L
    usd: float


class _Programme(NamedTuple):
    """min cost x, upper x <= upper_bound, equal x = equal_bound, 0 <= x <= highest but for the last two, C and W."""

    cost: Floats
    upper: coo_array  # footprints of carbon and of water by region; capacities by slot and region, unless in pieces
    upper_bound: Floats
    equal: coo_array  # demand by slot and class; load in flows and in pieces, by slot and region
    equal_bound: Floats
    highest: Floats


class _Solution(NamedTuple):
    x: Floats
    price: Floats  # [2 r] of the footprints' rows, >= 0
    dual: float  # value of the dual solution


def solve(world: World, *, merged: bool = True) -> Optimum:
    """The optimum of (O) for the expected demand and the true signals of `world`.

    `merged` = False keeps every gateway apart, which changes nothing but the size of the programme: a check.

    Regions that are down when a slot begins are not used in it; outages that begin later are not foreseen.
    Raises `InfeasibleError` if the demand does not fit, `InvariantError` if HiGHS's answer fails its certificate.
    """
    amounts, up = _coefficients(world), _up(world)
    variables = _variables(world, up, merged)
    programme, units = _programme(world, variables, amounts)
    found = _conic(programme, world.regions) if world.norm == 2 else _optimum(programme, world.regions)
    weight = np.ones((2, world.regions)) if world.equity_weight is None else world.equity_weight
    prices = weight * found.price.reshape(2, -1) * units.usd / units.footprint[:, None]
    load_rps = np.zeros((world.slots, variables.demand.shape[1], world.regions))
    flows = found.x[: len(variables.slot)]
    load_rps[variables.slot, variables.kind, variables.region] = np.maximum(flows, 0.0) * units.load_rps
    usd, kg, litres = np.einsum("asr,skr->ar", amounts.per_load, load_rps) + amounts.host
    weights = _weights(world, variables, load_rps, up)
    network_s = 2 * world.slot_s * float((world.expected_rps[:, :, None] * weights * world.latency_s).sum())
    waiting_s = 0.0 if world.waiting is None else float(world.waiting.requests(load_rps.sum(axis=1)).sum())
    delay_usd = world.delay_usd_per_s * (network_s + waiting_s * world.slot_s)
    always_usd = float(amounts.host[0].sum())
    if world.norm == 1:
        prices = world.footprint_price_usd
        always_usd += float((prices * amounts.host[1:]).sum())
    equity_usd = np.linalg.norm(world.footprint_price_usd * np.stack((kg, litres)), ord=world.norm, axis=1)
    return Optimum(
        objective_usd=float(usd.sum() + equity_usd.sum() + delay_usd),
        dual_usd=found.dual * units.usd + always_usd,
        cost_usd=usd,
        carbon_kg=kg,
        water_l=litres,
        weights=weights,
        carbon_usd_per_kg=prices[0],
        water_usd_per_l=prices[1],
        network_s=network_s,
        waiting_s=waiting_s * world.slot_s,
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
    travel_s = 2 * world.latency_s if world.delay_usd_per_s > 0 else np.zeros(world.allowed.shape)
    first = member = np.arange(world.gateways)
    if merged:
        _, first, member = np.unique(
            np.hstack((world.allowed, travel_s)), axis=0, return_index=True, return_inverse=True
        )
    demand = np.zeros((world.slots, len(first)))
    for g, k in enumerate(member.ravel()):
        demand[:, k] += world.expected_rps[:, g]
    slot, kind, region = np.nonzero(world.allowed[first][None, :, :] & up[:, None, :])
    return _Variables(slot, kind, region, member.ravel(), demand, travel_s[first])


def _programme(world: World, v: _Variables, amounts: _Coefficients) -> tuple[_Programme, _Units]:
    """(O), with every row and the objective in its own unit."""
    n, regions, kinds, cells = len(v.slot), world.regions, v.demand.shape[1], world.slots * world.regions
    load_unit = float(world.capacity_rps.mean())
    usd, *footprints = amounts.per_load[:, v.slot, v.region] * load_unit
    usd = usd + world.delay_usd_per_s * v.travel_s[v.kind, v.region] * load_unit * world.slot_s
    weight = np.ones((2, regions)) if world.equity_weight is None else world.equity_weight
    weighted = weight[:, v.region] * np.stack(footprints)
    footprint_unit = np.array([_size(amount) for amount in weighted])
    mu_usd = np.array([world.carbon_usd_per_kg, world.water_usd_per_l])
    if world.norm == 1:
        usd, mu_usd = usd + mu_usd @ weighted, np.zeros(2)
    width_rps, wait_s = _pieces(world)
    pieces = len(width_rps) * cells  # by slot, piece and region
    wait_usd = np.tile((world.delay_usd_per_s * wait_s * load_unit * world.slot_s).ravel(), world.slots)
    cost = np.concatenate((usd, wait_usd, mu_usd * footprint_unit))
    usd_unit = _size(cost)
    column, region, cell = np.arange(n), np.arange(regions), v.slot * regions + v.region
    rows = [v.region, regions + v.region, region, regions + region]
    columns = [column, column, np.full(regions, n + pieces), np.full(regions, n + pieces + 1)]
    values = [*weighted / footprint_unit[:, None], np.full(2 * regions, -1.0)]
    bound = [(-weight * amounts.host[1:] / footprint_unit[:, None]).ravel()]
    equal_rows, equal_columns = [v.slot * kinds + v.kind], [column]
    equal_values, demand = [np.ones(n)], [v.demand.ravel() / load_unit]
    if pieces:
        piece = np.arange(pieces)
        equal_rows += [world.slots * kinds + cell, world.slots * kinds + piece // (pieces // world.slots) * regions]
        equal_rows[-1] = equal_rows[-1] + piece % regions
        equal_columns += [column, n + piece]
        equal_values += [np.ones(n), -np.ones(pieces)]
        demand.append(np.zeros(cells))
    else:
        rows, columns, values = [*rows, 2 * regions + cell], [*columns, column], [*values, np.ones(n)]
        bound.append(np.tile(world.capacity_rps / load_unit, world.slots))
    upper_bound, equal_bound, width = np.concatenate(bound), np.concatenate(demand), n + pieces + 2
    programme = _Programme(
        cost=cost / usd_unit,
        upper=_sparse(rows, columns, values, (len(upper_bound), width)),
        upper_bound=upper_bound,
        equal=_sparse(equal_rows, equal_columns, equal_values, (len(equal_bound), width)),
        equal_bound=equal_bound,
        highest=np.concatenate((np.full(n, inf), np.tile((width_rps / load_unit).ravel(), world.slots), [inf, inf])),
    )
    return programme, _Units(load_unit, footprint_unit, usd_unit)


def _pieces(world: World) -> tuple[Floats, Floats]:
    """Widths and marginal waits [n, r] of the pieces of a region's load; none unless delay has a price."""
    if world.waiting is None or world.delay_usd_per_s == 0:
        return np.zeros((0, world.regions)), np.zeros((0, world.regions))
    return world.waiting.width_rps, world.waiting.wait_s


def _sparse(rows: list[Ints], columns: list[Ints], values: list[Floats], shape: tuple[int, int]) -> coo_array:
    return coo_array((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=shape)


def _size(values: Floats) -> float:
    """A unit for values of this order; 1 if they are all 0."""
    return float(np.abs(values).mean()) or 1.0


def _optimum(p: _Programme, regions: int) -> _Solution:
    """HiGHS's solution, certified: primal = dual, and the dual is feasible.

    That is: no price of an upper row or bound above 0, no reduced cost below 0, and those of C and W, which are free,
    are 0.
    """
    bounds = np.column_stack((np.zeros(len(p.cost)), p.highest))
    bounds[-2:, 0] = -inf
    highs: Any = linprog  # its type hints know nothing of sparse matrices
    method = "highs-ds" if len(p.cost) < SMALL else "highs-ipm"  # which crosses over to a vertex, too
    found = highs(p.cost, p.upper, p.upper_bound, p.equal, p.equal_bound, bounds, method=method)
    if found.status == 2:
        raise InfeasibleError("the demand of some slot exceeds what the regions open to its gateways can serve")
    if found.status != 0:
        raise InvariantError(f"HiGHS did not solve the offline programme: {found.message}")
    upper, equal, high = found.ineqlin.marginals, found.eqlin.marginals, found.upper.marginals
    reduced = p.cost - p.upper.T @ upper - p.equal.T @ equal - high
    violated = max(float(upper.max()), float(high.max()), float(-reduced[:-2].min()), float(np.abs(reduced[-2:]).max()))
    violated /= float(np.abs(p.cost).max())
    bounded = np.isfinite(p.highest)
    dual = float(upper @ p.upper_bound + equal @ p.equal_bound + high[bounded] @ p.highest[bounded])
    gap = abs(float(found.fun) - dual) / max(abs(float(found.fun)), 1.0)
    if gap > GAP or violated > GAP:
        raise InvariantError(f"offline optimum without certificate: duality gap {gap:g}, dual violated by {violated:g}")
    return _Solution(found.x, -upper[: 2 * regions], dual)


def _conic(p: _Programme, regions: int) -> _Solution:
    """Clarabel's solution with C and W as Euclidean lengths, each in a second-order cone with its footprints."""
    n, bounded = len(p.cost), np.isfinite(p.highest)
    upper, lengths = csc_array(p.upper), -csc_array(eye_array(n))[n - 2 :]
    rows, bound = [csc_array(p.equal), upper[2 * regions :]], [p.equal_bound, p.upper_bound[2 * regions :]]
    rows += [-csc_array(eye_array(n))[: n - 2], csc_array(eye_array(n))[bounded]]
    bound += [np.zeros(n - 2), p.highest[bounded]]
    cones = [clarabel.ZeroConeT(len(bound[0])), clarabel.NonnegativeConeT(sum(map(len, bound[1:])))]
    footprints = upper[: 2 * regions, :].tolil()
    footprints[:, n - 2 :] = 0.0
    for k in range(2):
        own = slice(k * regions, (k + 1) * regions)
        rows += [lengths[k : k + 1], -csc_array(footprints[own])]
        bound += [np.zeros(1), -p.upper_bound[own]]
        cones.append(clarabel.SecondOrderConeT(1 + regions))
    options = clarabel.DefaultSettings()
    options.verbose = False
    matrix = csc_array(vstack(rows, format="csc"))
    found = clarabel.DefaultSolver(csc_array((n, n)), p.cost, matrix, np.concatenate(bound), cones, options).solve()
    if found.status in (clarabel.SolverStatus.PrimalInfeasible, clarabel.SolverStatus.AlmostPrimalInfeasible):
        raise InfeasibleError("the demand of some slot exceeds what the regions open to its gateways can serve")
    gap = abs(found.obj_val - found.obj_val_dual) / max(abs(found.obj_val), 1.0)
    if found.status != clarabel.SolverStatus.Solved or gap > CONIC_GAP:
        raise InvariantError(f"Clarabel did not solve the offline programme: {found.status}, duality gap {gap:g}")
    cone = np.array(found.z)[-2 * (1 + regions) :].reshape(2, 1 + regions)
    return _Solution(np.array(found.x), -cone[:, 1:].ravel(), float(found.obj_val_dual))


def _weights(world: World, v: _Variables, load: Floats, up: Bools) -> Floats:
    """Weights [s, g, r] of every gateway from the loads of its class; equal ones where the class has no demand."""
    open_to = world.allowed & up[:, None, :]
    open_to |= world.allowed & ~open_to.any(axis=2, keepdims=True)  # a plan is owed even if every region is down
    by_gateway = np.where(open_to, load[:, v.member], 0.0)
    sums = by_gateway.sum(axis=2, keepdims=True)
    return np.where(sums > 0, by_gateway / np.where(sums > 0, sums, 1.0), open_to / open_to.sum(axis=2, keepdims=True))
