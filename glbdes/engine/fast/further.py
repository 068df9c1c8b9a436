"""Further footprints of requests in the compiled engine: reckoned beside the kernels, which know carbon and water only.

Every footprint is linear in the energy that a request was charged in a slot and region. So nothing is kept while a slot
runs: when its signals end, or a region goes down and its requests leave for others, requests underway are marked with
what their energy so far came to; what an ended one was charged since its mark is at the signals that hold. With full
attribution charges are paid when the slot ends, each in its region, and are entered then.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from glbdes.engine.fast.state import (
    ASLEEP_NS,
    AT_REGION,
    CHARGE_COUNT,
    DECODE_J,
    DOWN_NS,
    ENERGY_J,
    FIRST,
    FREE_COUNT,
    HOST_SLEEP_W,
    HOST_W,
    ID,
    IDLE_J,
    LAST,
    PREFILL_J,
    SLEEP_J,
    State,
)
from glbdes.hardware import physics
from glbdes.units import J_PER_KWH
from glbdes.world import Floats, Ints, World
from glbdes.world.footprints import with_further


class Ledger:
    """What requests underway in one state came to, by request id. `spread`: with full attribution."""

    def __init__(self, further: int, regions: int, spread: bool) -> None:
        self.spread = spread
        self.per_j = np.zeros((regions, further))  # of the running slot
        self._ids: Ints = np.zeros(0, dtype=np.int64)  # sorted
        self._energy_j = np.zeros(0)  # charged up to the mark
        self._amount = np.zeros((0, further))

    def open_slot(self, state: State, per_kwh: Floats) -> None:
        """From now on a kWh is `per_kwh` [further, r]; all that has been used so far has been charged."""
        self.mark(state)
        self.per_j[:] = per_kwh.T / J_PER_KWH

    def mark(self, state: State, only: int | None = None) -> None:
        """Enter what requests underway have been charged where they are; all of them, or those in region `only`."""
        if self.spread:
            return
        used = np.ones(len(state.req), dtype=np.bool_)
        used[state.free[: state.clock[FREE_COUNT]]] = False
        if only is not None:
            used &= state.req[:, AT_REGION] == only
        rows = np.flatnonzero(used & (state.reqf[:, ENERGY_J] > 0.0))
        ids, energy_j = state.req[rows, ID], state.reqf[rows, ENERGY_J]
        before_j, amount = self.so_far(ids)
        amount = amount + (energy_j - before_j)[:, None] * self.per_j[state.req[rows, AT_REGION]]
        self.enter(ids, energy_j, amount)

    def completed(self, records: NDArray[Any]) -> NDArray[Any]:
        """`records` of ended requests with their further footprints; they are forgotten here."""
        wide = np.empty(len(records), dtype=with_further(records.dtype, self.per_j.shape[1]))
        for name in records.dtype.names or ():
            wide[name] = records[name]
        before_j, amount = self.so_far(records["request_id"])
        if not self.spread:  # who was never in a region was charged nothing
            amount = amount + (records["energy_j"] - before_j)[:, None] * self.per_j[records["region"]]
        wide["further"] = amount
        kept = ~np.isin(self._ids, records["request_id"])
        self._ids, self._energy_j, self._amount = self._ids[kept], self._energy_j[kept], self._amount[kept]
        return wide

    def so_far(self, ids: Ints) -> tuple[Floats, Floats]:
        """Energy and amounts of `ids` [n] at their marks; 0 for who has none."""
        energy_j, amount = np.zeros(len(ids)), np.zeros((len(ids), self.per_j.shape[1]))
        if len(self._ids):
            place = np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)
            known = self._ids[place] == ids
            energy_j[known], amount[known] = self._energy_j[place[known]], self._amount[place[known]]
        return energy_j, amount

    def enter(self, ids: Ints, energy_j: Floats, amount: Floats) -> None:
        """From now on those of `ids` [n], each there once."""
        kept = ~np.isin(self._ids, ids)
        every = np.concatenate((self._ids[kept], ids))
        order = np.argsort(every)
        self._ids = every[order]
        self._energy_j = np.concatenate((self._energy_j[kept], energy_j))[order]
        self._amount = np.concatenate((self._amount[kept], amount))[order]


def ledgers(world: World, states: int) -> list[Ledger]:
    """One for each state; none if there are no further footprints."""
    further = len(world.further)
    return [Ledger(further, world.regions, world.full_attribution) for _ in range(states)] if further else []


class Payment:
    """Charges of a part of a slot that are paid together: made before they are spread, and entered afterwards."""

    def __init__(self, ledger: Ledger, state: State, regions: list[int], span_ns: int) -> None:
        count = int(state.clock[CHARGE_COUNT])
        self.ledger, self.span_ns = ledger, span_ns
        place = state.charges[:count, 0].astype(np.int64)
        row = state.charges[:count, 1].astype(np.int64)
        self.rows, payer = np.unique(row, return_inverse=True)
        first, last = np.full(len(self.rows), len(regions)), np.full(len(self.rows), -1)
        np.minimum.at(first, payer, place)
        np.maximum.at(last, payer, place)
        self.regions = np.array(regions)[last]
        self.before_j = state.reqf[self.rows, ENERGY_J]
        several = first < last  # paid in more than one region
        self.several = {int(i): list[tuple[int, float]]() for i in np.flatnonzero(several)}
        for i in np.flatnonzero(several[payer]):
            self.several[int(payer[i])].append((int(place[i]), float(state.charges[i, 2])))
        self.places, self.place, self.joules = np.array(regions), place, state.charges[:count, 2].copy()

    def enter(self, state: State) -> None:
        """They have been paid."""
        ids, per_j = state.req[self.rows, ID], self.ledger.per_j
        so_far = self.ledger.so_far(ids)[1]
        paid_j = state.reqf[self.rows, ENERGY_J] - self.before_j
        amount = so_far + paid_j[:, None] * per_j[self.regions]
        for i, charges in self.several.items():
            amount[i] = self._in_turn(so_far[i], float(self.before_j[i]), charges, state)
        self.ledger.enter(ids, np.zeros(len(ids)), amount)

    def _in_turn(self, amount: Floats, energy_j: float, charges: list[tuple[int, float]], state: State) -> Floats:
        """Of one request, region after region as they were paid."""
        for g in sorted({g for g, _ in charges}):
            before_j, factor = energy_j, self._factor(g, state)
            for place, joules in charges:
                energy_j += joules * factor if place == g else 0.0
            amount = amount + (energy_j - before_j) * self.ledger.per_j[self.places[g]]
        return amount

    def _factor(self, g: int, state: State) -> float:
        """What was paid in the state's region g for each joule that was charged, as the kernel reckons."""
        charged_j = 0.0
        for joules in self.joules[self.place == g].tolist():
            charged_j += joules
        powered_ns = (state.reg[g, LAST] - state.reg[g, FIRST]) * self.span_ns - state.met[g, DOWN_NS]
        hosts_w = state.regf[g, HOST_W], state.regf[g, HOST_SLEEP_W]
        host_j = physics.host_j(*hosts_w, powered_ns, state.met[g, ASLEEP_NS])
        metf = state.metf[g]
        spent_j = metf[PREFILL_J] + metf[DECODE_J] + metf[IDLE_J] + metf[SLEEP_J] + host_j
        return float(spent_j / charged_j) if charged_j > 0 else 0.0
