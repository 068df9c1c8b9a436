"""The programmes of several slots over the loads of regions alone, with the gateways' masks as cuts.

    min   sum_{s,r} cost[s,r] y[s,r] + sum_k M[k]                                                                 (Y)
    s.t.  so_far[k,r] + sum_s burden[k,s,r] y[s,r] <= M[k]       for every footprint k and region r; of pools, their sum
          sum_r y[s,r] = sum_c demand[s,c],  0 <= y[s,r] <= capacity[s,r]
          sum_{r in U} y[s,r] >= sum of demand[s,c] over the classes c whose regions all lie in U                  (H)

A request costs the same wherever it enters, so where it entered matters only for which regions are open to it. By Gale
and Hall's condition, loads y[s] can be made up of flows from the gateways that keep to their masks if and only if (H)
holds for every connected union U of their sets of regions (`feasibility`). Few of these ever bind: (Y) is solved
without, those that are lacking are added, and HiGHS goes on from the vertex it was at. Its prices prove the optimum of
the programme in flows, too: a class pays the price of its slot's total and of each U that holds all its regions.
"""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from glbdes.base import portable
from glbdes.optimum.linear import Basis, Programme, Rows
from glbdes.world.feasibility import unions

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.intp]

LACK = 1e-9  # of a slot's mean demand: what rounding may leave of (H)
LARGE = 10_000  # columns from which the interior-point method is sooner done than the simplex method


class Task(NamedTuple):
    """n slots, c classes of gateways; loads in any one unit, money in another. The demand must fit."""

    cost: Floats  # [n, r] of a unit of load
    burden: Floats  # [k, n, r] of a unit of load
    so_far: Floats  # [k, region]
    demand: Floats  # [n, c]
    capacity: Floats  # [n, r]; 0 where a region is closed
    region_of: NDArray[np.int64] | None = None  # [r] the region of each pool; None: each is a region


class Cuts(NamedTuple):
    """m rows of (H)."""

    slot: Ints  # [m]
    regions: Bools  # [m, r] U
    least: Floats  # [m]


class Masks(Protocol):
    """What is known of the sets of regions that classes may use."""

    def lacking(self, load: Floats) -> Cuts:
        """Rows of (H) that loads [n, r] fall short of; for a slot that has such rows, at least one."""

    def asked(self, slot: Ints, regions: Bools) -> Floats:
        """The right sides [m] of (H) for slots [m] and sets U [m, r]."""


class Unions:
    """`Masks` that list every connected union."""

    def __init__(self, demand: Floats, allowed: Bools, listed: Bools) -> None:
        """demand : [n, c]. allowed : [c, r]. listed : [u, r], all connected unions of rows of `allowed`."""
        self._demand, self._allowed, self._listed = demand, allowed, listed
        self._least = portable.product(demand, _inside(allowed, listed).T)  # [n, u]
        self._slack = LACK * float(demand.sum(axis=1).mean())

    def lacking(self, load: Floats) -> Cuts:
        """All of them."""
        lack = self._least - portable.product(load, self._listed.T)
        slot, u = np.nonzero(lack > self._slack)
        return Cuts(slot, self._listed[u], self._least[slot, u])

    def asked(self, slot: Ints, regions: Bools) -> Floats:
        return asked(self._demand, self._allowed, slot, regions)

    def factor(self, capacity: Floats) -> Floats:
        """[n] what the capacities [n, r] must be raised by for the demand to fit; at least 1, infinite if none can."""
        room = portable.product(capacity, self._listed.T)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(self._least > 0, self._least / room, 0.0)
        return np.asarray(np.maximum(ratio.max(axis=1, initial=0.0), 1.0))

    def flows(self, load: Floats) -> Floats:
        """Flows [n, c, r] that loads [n, r] within (H) are made up of, class by class and region by region.

        Each takes as much as leaves (H) true for what remains: no more than the region still has, than the class still
        asks, and than the slack of any U that holds the region but not all regions of the class.
        """
        inside = _inside(self._allowed, self._listed)
        left, room = self._demand.copy(), load.copy()
        slack = np.maximum(portable.product(load, self._listed.T) - self._least, 0.0)  # [n, u]
        found = np.zeros((*self._demand.shape, load.shape[1]))
        for c, r in zip(*np.nonzero(self._allowed), strict=True):
            touched = self._listed[:, r] & ~inside[:, c]
            most = slack[:, touched].min(axis=1, initial=np.inf)
            sent = np.minimum(np.minimum(left[:, c], room[:, r]), most)
            found[:, c, r] = sent
            left[:, c] -= sent
            room[:, r] -= sent
            slack[:, touched] -= sent[:, None]
        return found


class Warm(NamedTuple):
    """Where a solution ended: a start for a programme like it."""

    basis: Basis
    slot: Ints  # of the cuts
    regions: Bools
    shape: tuple[int, int, int, int]  # n, r, k, regions

    def later(self, slots: int) -> "Warm":
        """As the start of a window of `slots` slots that begins a slot later."""
        (n, r, k, places), (columns, rows) = self.shape, self.basis
        load = np.roll(columns[: n * r].reshape(n, r), -1, axis=0)[:slots].ravel()
        slot = (self.slot - 1) % n
        kept = slot < slots
        rows = np.concatenate((np.roll(rows[:n], -1)[:slots], rows[n : n + k * places], rows[n + k * places :][kept]))
        basis = Basis(np.concatenate((load, columns[n * r :])), rows)
        return Warm(basis, slot[kept], self.regions[kept], (min(n, slots), r, k, places))


class Found(NamedTuple):
    """The optimum of (Y)."""

    load: Floats  # [n, r]
    gamma: Floats  # [k, region] multipliers of the footprints' rows, which sum to 1 over the regions
    value: float
    dual: float  # what no plan can be below
    warm: Warm


def solve(task: Task, masks: Masks, warm: Warm | None = None) -> Found:
    """The optimum of (Y). Raises what `linear.Programme.solve` raises."""
    (kinds, n, regions), places = task.burden.shape, task.so_far.shape[1]
    load_unit = float(task.capacity[task.capacity > 0].mean())
    footprint_unit = _size(task.burden) * load_unit * n
    cost = np.concatenate((task.cost.ravel() * load_unit, np.full(kinds, footprint_unit)))
    usd_unit = _size(cost)
    programme = _programme(task, cost / usd_unit, load_unit, footprint_unit)
    slot, sets, begun = np.zeros(0, dtype=np.intp), np.zeros((0, regions), dtype=np.bool_), False
    if warm is not None and warm.shape == (n, regions, kinds, places):
        slot, sets, begun = warm.slot, warm.regions, True
        if len(slot):
            programme.add(_rows(Cuts(slot, sets, masks.asked(slot, sets)), n, kinds, load_unit))
        programme.begin_at(warm.basis)
    known = {(s, u.tobytes()) for s, u in zip(slot.tolist(), sets, strict=True)}
    solution = programme.solve("ipm" if n * regions >= LARGE and not begun else "simplex")
    while True:
        # To decimals of the unit, as below: what follows branches on loads and multipliers.
        load = portable.rounded(np.maximum(solution.x[: n * regions].reshape(n, regions), 0.0)) * load_unit
        cuts = masks.lacking(load)
        new = [i for i, key in enumerate(zip(cuts.slot.tolist(), cuts.regions, strict=True)) if _key(*key) not in known]
        if not new:
            break
        cuts = Cuts(cuts.slot[new], cuts.regions[new], cuts.least[new])
        known.update(_key(s, u) for s, u in zip(cuts.slot.tolist(), cuts.regions, strict=True))
        slot, sets = np.concatenate((slot, cuts.slot)), np.concatenate((sets, cuts.regions))
        programme.add(_rows(cuts, n, kinds, load_unit))
        solution = programme.solve()
    held = -solution.price[n : n + kinds * places]
    gamma = portable.rounded(np.maximum(held, 0.0).reshape(kinds, places) * usd_unit / footprint_unit)
    value, dual = solution.value * usd_unit, solution.dual * usd_unit
    return Found(load, gamma, value, dual, Warm(programme.basis(), slot, sets, (n, regions, kinds, places)))


def listed(allowed: Bools, most: int) -> Bools | None:
    """Every connected union [u, r] of rows of `allowed` [c, r]; None if they are more than `most`."""
    found = unions(allowed)
    return None if found is None or len(found) > most else found


def asked(demand: Floats, allowed: Bools, slot: Ints, regions: Bools) -> Floats:
    """[m] the demand, in slots [m] of `demand` [n, c], of classes whose regions all lie in sets [m, r]."""
    return np.asarray((demand[slot] * _inside(allowed, regions)).sum(axis=1))


def _inside(allowed: Bools, sets: Bools) -> Bools:
    """[m, c] whether all regions of a class lie in a set."""
    return np.asarray(sets.astype(np.int64) @ allowed.T == allowed.sum(axis=1))


def _key(slot: int, regions: Bools) -> tuple[int, bytes]:
    return slot, regions.tobytes()


def _size(values: Floats) -> float:
    """A unit for values of this order; 1 if they are all 0."""
    return float(np.abs(values).mean()) or 1.0


def _programme(task: Task, cost: Floats, load_unit: float, footprint_unit: float) -> Programme:
    """(Y) without (H); rows: slots' totals, then footprints [k, region]. HiGHS's tolerances want numbers near 1."""
    (kinds, n, regions), places = task.burden.shape, task.so_far.shape[1]
    column, total = np.arange(n * regions), task.demand.sum(axis=1) / load_unit
    slot, region = np.divmod(column, regions)
    place = region if task.region_of is None else task.region_of[region]
    held = kinds * places
    rows = (slot, *(n + k * places + place for k in range(kinds)), n + np.arange(held))
    columns = (*(column for _ in range(1 + kinds)), n * regions + np.repeat(np.arange(kinds), places))
    burden = task.burden.reshape(kinds, -1) * (load_unit / footprint_unit)
    values = (np.ones(n * regions), *burden, -np.ones(held))
    indices = (np.concatenate(rows), np.concatenate(columns))
    matrix = csr_array((np.concatenate(values), indices), shape=(n + held, len(cost)))
    free = np.full(kinds, np.inf)
    return Programme(
        cost,
        np.concatenate((np.zeros(n * regions), -free)),
        np.concatenate((task.capacity.ravel() / load_unit, free)),
        Rows(
            matrix,
            np.concatenate((total, np.full(held, -np.inf))),
            np.concatenate((total, -task.so_far.ravel() / footprint_unit)),
        ),
    )


def _rows(cuts: Cuts, n: int, kinds: int, load_unit: float) -> Rows:
    m, regions = cuts.regions.shape
    row, region = np.nonzero(cuts.regions)
    indices = (row, cuts.slot[row] * regions + region)
    matrix = csr_array((np.ones(len(row)), indices), shape=(m, n * regions + kinds))
    return Rows(matrix, cuts.least / load_unit, np.full(m, np.inf))
