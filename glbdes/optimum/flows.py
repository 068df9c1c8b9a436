"""The offline programme in flows: every slot's load from every class of gateways to every region.

The formulation of "Towards Environmentally Equitable AI via Geographical Load Balancing" (arXiv 2307.05494), with what
loads of regions alone (`regional`) cannot say: that the way to a region costs, that waiting there does, and that
the objective holds the Euclidean length of footprints. `offline` says what is minimised.
"""

from math import inf
from typing import NamedTuple

import clarabel
import numpy as np
from scipy.sparse import coo_array, csc_array, csr_array, eye_array, vstack

from glbdes.errors import InfeasibleError, InvariantError
from glbdes.optimum.linear import Programme, Rows
from glbdes.world import Bools, Floats, Ints, World, awake
from glbdes.world.pools import at_pools, summed

SMALL = 10_000  # columns below which the dual simplex method is sooner done than the interior-point one
CONIC_GAP = 1e-6  # relative: how far an interior-point solution's primal and dual value may be apart


class Flows(NamedTuple):
    """The optimum."""

    load_rps: Floats  # [s, class, r]
    member: Ints  # [g] class of each gateway
    price_usd: Floats  # [k, r] of footprints in kg and L
    dual_usd: float  # of what loads cost


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
    footprint: Floats  # [k] kg, L, ...
    usd: float


class _Programme(NamedTuple):
    """min cost x, upper x <= upper_bound, equal x = equal_bound, 0 <= x <= highest but for the last k, the norms."""

    cost: Floats
    upper: coo_array  # footprints by kind and region; capacities by slot and pool, unless in pieces
    upper_bound: Floats
    equal: coo_array  # demand by slot and class; load in flows and in pieces, by slot and region
    equal_bound: Floats
    highest: Floats


class Terms(NamedTuple):
    """The footprints that stand in the programme, and what they cost."""

    mu_usd: Floats  # [k] per unit of the norm
    weight: Floats  # [k, r]


class _Solution(NamedTuple):
    x: Floats
    price: Floats  # [k r] of the footprints' rows, >= 0
    dual: float  # value of the dual solution


def solve(world: World, per_load: Floats, base: Floats, terms: Terms, up: Bools, merged: bool) -> Flows:
    """The optimum of `world` for amounts `per_load` [1 + k, s, r] of a request/s (USD, then footprints in their units)
    and `base` [1 + k, r] besides, with footprints priced by `terms`.

    Gateways that are alike are one, if `merged`. Regions are used where `up` [s, r].
    Raises `InfeasibleError` if the demand does not fit, `InvariantError` if an answer fails its certificate.
    """
    variables = _variables(world, up, merged)
    programme, units = _programme(world, variables, per_load, base, terms)
    shape = len(terms.weight), world.places
    found = _conic(programme, *shape) if world.norm == 2 else _optimum(programme, *shape)
    load_rps = np.zeros((world.slots, variables.demand.shape[1], world.regions))
    flows = found.x[: len(variables.slot)]
    load_rps[variables.slot, variables.kind, variables.region] = np.maximum(flows, 0.0) * units.load_rps
    price_usd = terms.weight * at_pools(found.price.reshape(shape), world.region_of)
    price_usd = price_usd * units.usd / units.footprint[:, None]
    return Flows(load_rps, variables.member, price_usd, found.dual * units.usd)


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


def _programme(world: World, v: _Variables, per_load: Floats, base: Floats, terms: Terms) -> tuple[_Programme, _Units]:
    """Every row and the objective in its own unit."""
    n, regions, kinds, cells = len(v.slot), world.regions, v.demand.shape[1], world.slots * world.regions
    load_unit = float(world.capacity_rps.mean())
    usd, *footprints = per_load[:, v.slot, v.region] * load_unit
    usd = usd + world.delay_usd_per_s * v.travel_s[v.kind, v.region] * load_unit * world.slot_s
    (mu_usd, weight), count = terms, len(terms.weight)
    weighted = weight[:, v.region] * np.stack(footprints)
    footprint_unit = np.array([_size(amount) for amount in weighted])
    if world.norm == 1:
        usd, mu_usd = usd + (mu_usd[:, None] * weighted).sum(axis=0), np.zeros(count)
    width_rps, wait_s = _pieces(world)
    pieces = len(width_rps) * cells  # by slot, piece and region
    wait_usd = np.tile((world.delay_usd_per_s * wait_s * load_unit * world.slot_s).ravel(), world.slots)
    cost = np.concatenate((usd, wait_usd, mu_usd * footprint_unit))
    usd_unit = _size(cost)
    places, place = world.places, v.region if world.region_of is None else world.region_of[v.region]
    column, cell = np.arange(n), v.slot * regions + v.region
    rows = [k * places + of for of in (place, np.arange(places)) for k in range(count)]
    columns = [*(column for _ in range(count)), *(np.full(places, n + pieces + k) for k in range(count))]
    values = [*weighted / footprint_unit[:, None], np.full(count * places, -1.0)]
    bound = [summed(-weight * base[1:] / footprint_unit[:, None], world.region_of).ravel()]
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
        rows, columns, values = [*rows, count * places + cell], [*columns, column], [*values, np.ones(n)]
        bound.append(awake.capacity_rps(world).ravel() / load_unit)
    widths = np.tile((width_rps / load_unit).ravel(), world.slots)
    upper_bound, equal_bound, width = np.concatenate(bound), np.concatenate(demand), n + pieces + count
    programme = _Programme(
        cost=cost / usd_unit,
        upper=_sparse(rows, columns, values, (len(upper_bound), width)),
        upper_bound=upper_bound,
        equal=_sparse(equal_rows, equal_columns, equal_values, (len(equal_bound), width)),
        equal_bound=equal_bound,
        highest=np.concatenate((np.full(n, inf), widths, np.full(count, inf))),
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


def _optimum(p: _Programme, count: int, regions: int) -> _Solution:
    """HiGHS's solution, certified."""
    rows = Rows(
        csr_array(vstack((p.upper, p.equal))),
        np.concatenate((np.full(len(p.upper_bound), -inf), p.equal_bound)),
        np.concatenate((p.upper_bound, p.equal_bound)),
    )
    lowest = np.zeros(len(p.cost))
    lowest[-count:] = -inf
    found = Programme(p.cost, lowest, p.highest, rows).solve("simplex" if len(p.cost) < SMALL else "ipm")
    return _Solution(found.x, -found.price[: count * regions], found.dual)


def _conic(p: _Programme, count: int, regions: int) -> _Solution:
    """Clarabel's solution with norms as Euclidean lengths, each in a second-order cone with its footprints."""
    n, bounded = len(p.cost), np.isfinite(p.highest)
    upper, lengths = csc_array(p.upper), -csc_array(eye_array(n))[n - count :]
    rows, bound = [csc_array(p.equal), upper[count * regions :]], [p.equal_bound, p.upper_bound[count * regions :]]
    rows += [-csc_array(eye_array(n))[: n - count], csc_array(eye_array(n))[bounded]]
    bound += [np.zeros(n - count), p.highest[bounded]]
    cones = [clarabel.ZeroConeT(len(bound[0])), clarabel.NonnegativeConeT(sum(map(len, bound[1:])))]
    footprints = upper[: count * regions, :].tolil()
    footprints[:, n - count :] = 0.0
    for k in range(count):
        own = slice(k * regions, (k + 1) * regions)
        rows += [lengths[k : k + 1], -csc_array(footprints[own])]
        bound += [np.zeros(1), -p.upper_bound[own]]
        cones.append(clarabel.SecondOrderConeT(1 + regions))
    options = clarabel.DefaultSettings()
    options.verbose = False
    options.direct_solve_method, options.max_threads = "qdldl", 1  # others choose their arithmetic by the processor
    matrix = csc_array(vstack(rows, format="csc"))
    found = clarabel.DefaultSolver(csc_array((n, n)), p.cost, matrix, np.concatenate(bound), cones, options).solve()
    if found.status in (clarabel.SolverStatus.PrimalInfeasible, clarabel.SolverStatus.AlmostPrimalInfeasible):
        raise InfeasibleError("the demand does not fit")
    gap = abs(found.obj_val - found.obj_val_dual) / max(abs(found.obj_val), 1.0)
    if found.status != clarabel.SolverStatus.Solved or gap > CONIC_GAP:
        raise InvariantError(f"Clarabel did not solve the offline programme: {found.status}, duality gap {gap:g}")
    cone = np.array(found.z)[-count * (1 + regions) :].reshape(count, 1 + regions)
    return _Solution(np.array(found.x), -cone[:, 1:].ravel(), float(found.obj_val_dual))
