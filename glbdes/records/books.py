"""The books of a run: what requests were charged, what nobody was charged for, and what the meters saw.

Three accounts are kept of energy, cost, carbon, water and further footprints, each from another source:

    charged       requests' own counters (eq. 5), added up from the records as they pass
    unattributed  idle and host energy of each slot and region
    metered       all energy of each slot and region, decode epochs as wholes (eq. 4)

and charged + unattributed = metered must hold to 1e-9 (docs/model.md, section 5). None is the difference of the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from glbdes.errors import InvariantError
from glbdes.hardware import physics
from glbdes.records import tally
from glbdes.units import G_PER_KG, J_PER_KWH
from glbdes.workload import Requests
from glbdes.world import Floats, SlotRecord, World, meter
from glbdes.world.meter import Footprint, SlotEnergy

TOLERANCE: Final = 1e-9
QUANTITIES: Final = (("energy", "kWh"), ("cost", "USD"), ("carbon", "kg"), ("water", "L"))  # and further footprints


class SlotBook(NamedTuple):
    """A slot's accounts, scaled to its real length; arrays [r]."""

    energy: SlotEnergy
    unattributed_kwh: Floats
    metered: Footprint
    unattributed: Footprint
    warmup: "Warmup | None"  # what does not count


class Warmup(NamedTuple):
    """The accounts of what does not count: of the warm-up and, after the last slot, of what was in flight then."""

    it_kwh: Floats
    unattributed_kwh: Floats
    metered: Footprint
    unattributed: Footprint


@dataclass
class Generated:
    """How many requests a workload has handed out. The sum of their ids tells a lost one from a doubled one."""

    count: int = 0
    id_sum: int = 0


def counting(world: World) -> tuple[World, Generated]:
    """`world`, with the requests counted as it hands them to an engine."""
    generated = Generated()

    def requests(slot: int) -> Requests:
        drawn = world.requests(slot)
        generated.count += len(drawn)
        generated.id_sum += int(drawn.request_id.sum())
        return drawn

    return replace(world, requests=requests), generated


class Books:
    """Accounts of one run, filled slot by slot and chunk by chunk.

    `by_request` is False for an engine that hands no requests: then what slots attributed stands for what requests were
    charged. `regions` are names, for messages.
    """

    def __init__(self, world: World, regions: Sequence[str], *, by_request: bool = True) -> None:
        self.world = world
        self.regions = regions
        self.by_request = by_request
        self.by_status = np.zeros(len(physics.STATUS_NAMES), dtype=np.int64)
        self.met_by_status = np.zeros(len(physics.STATUS_NAMES), dtype=np.int64)
        self.count = self.counted = self.id_sum = self.attempts = self.dispatched = 0
        self.returned = False  # did a request change regions? Then what it was charged belongs to several
        self.quantities = (*QUANTITIES, *((one.name, one.unit) for one in world.further))
        shape = (len(self.quantities), world.regions)
        self.charged, self.unattributed, self.metered, self.scale = (np.zeros(shape) for _ in range(4))
        self.attributed_kwh = np.zeros(world.regions)

    @property
    def full(self) -> bool:
        """Is idle and host energy spread over requests? There are none to spread it over in a fluid run."""
        return self.world.full_attribution and self.by_request

    def requests(self, chunk: NDArray[Any]) -> None:
        """Enter ended requests, `World.request_dtype`."""
        numbers, charged = np.zeros(4, dtype=np.int64), np.zeros((len(QUANTITIES), self.world.regions))
        tally.enter(chunk, self.world.period_ns, self.world.warmup_ns, numbers, self.by_status, charged)
        self.count += len(chunk)
        self.counted += int(numbers[tally.COUNTED])
        self.id_sum += int(numbers[tally.ID_SUM])
        self.attempts += int(numbers[tally.ATTEMPTS])
        self.returned |= bool(numbers[tally.RETURNED])
        for row, per_unit in enumerate((J_PER_KWH, 1.0, G_PER_KG, 1.0)):
            self.charged[row] += self.world.weight / per_unit * charged[row]
        if not self.world.further:
            return
        sent = chunk[chunk["region"] >= 0]
        for k in range(len(self.world.further)):
            sums = np.bincount(sent["region"], weights=sent["further"][:, k], minlength=self.world.regions)
            self.charged[len(QUANTITIES) + k] += self.world.weight * sums

    def slot(self, record: SlotRecord) -> SlotBook:
        """Enter a slot that has ended."""
        book = self._book(record)
        if not self.by_request:
            caused = meter.footprint(book.energy.attributed_kwh, self.world.signals, record.slot)
            self.charged += _quantities(book.energy.attributed_kwh, caused)
        metered = _quantities(book.energy.it_kwh, book.metered)
        self.metered += metered
        self.scale += np.abs(metered)
        self.unattributed += _quantities(book.unattributed_kwh, book.unattributed)
        self.attributed_kwh += book.energy.attributed_kwh
        self.dispatched += int(record.dispatched.sum())
        for meters in (record.meters, *record.warmup):
            self.met_by_status += [int(meters[name].sum()) for name in physics.STATUS_NAMES]
        if book.warmup is not None:
            metered = _quantities(book.warmup.it_kwh, book.warmup.metered)
            self.metered += metered
            self.scale += np.abs(metered)
            self.unattributed += _quantities(book.warmup.unattributed_kwh, book.warmup.unattributed)
            self.attributed_kwh += sum(one.attributed_kwh for one in meter.warmup_energy(self.world, record))
            self.dispatched += 0 if record.warmup_dispatched is None else int(record.warmup_dispatched.sum())
        return book

    def _book(self, record: SlotRecord) -> SlotBook:
        energy = meter.slot_energy(self.world, record)
        unattributed = self._spare_kwh(energy)
        signals, slot = self.world.signals, record.slot
        return SlotBook(
            energy=energy,
            unattributed_kwh=unattributed,
            metered=meter.footprint(energy.it_kwh, signals, slot),
            unattributed=meter.footprint(unattributed, signals, slot),
            warmup=self._warmup(record) if record.warmup else None,
        )

    def _warmup(self, record: SlotRecord) -> Warmup:
        parts = meter.warmup_energy(self.world, record)
        it_kwh = np.sum([one.it_kwh for one in parts], axis=0)
        unattributed = np.sum([self._spare_kwh(one) for one in parts], axis=0)
        signals, slot = self.world.signals, record.slot
        caused = (meter.footprint(it_kwh, signals, slot), meter.footprint(unattributed, signals, slot))
        return Warmup(it_kwh, unattributed, *caused)

    def _spare_kwh(self, energy: SlotEnergy) -> Floats:
        """[r] idle and host energy that nobody was charged for."""
        spare = energy.idle_kwh + energy.sleep_kwh + energy.host_kwh
        if self.world.active_attribution and self.by_request:
            return np.asarray(spare - energy.working_host_kwh)
        return np.where(energy.attributed_kwh > 0, 0.0, spare) if self.full else spare

    def check(self, generated: Generated | None = None) -> dict[str, float]:
        """The relative residual of each invariant, by name.

        Raises `InvariantError` with every one that is broken.
        """
        broken = [*self._lost_requests(generated)] if self.by_request else []
        residuals = {"requests": 0.0}
        attributed = self.attributed_kwh + self.unattributed[0] - self.metered[0]
        residuals["attribution"] = float(_relative(attributed, self.scale[0]).max())
        if not residuals["attribution"] <= TOLERANCE:
            told = (self.attributed_kwh.sum(), self.unattributed[0].sum(), self.metered[0].sum())
            broken.append(
                "slots attribute {:.12g} kWh and leave {:.12g} kWh, their meters say {:.12g} kWh".format(*told)
            )
        for row, (name, unit) in enumerate(self.quantities):
            residuals[name], complaint = self._balance(row, name, unit)
            broken.extend(complaint)
        if broken:
            raise InvariantError("the books of this run do not balance: " + "; ".join(broken))
        return residuals

    def _lost_requests(self, generated: Generated | None) -> list[str]:
        told = []
        if generated is not None and (generated.count, generated.id_sum) != (self.count, self.id_sum):
            told.append(f"{generated.count} requests were generated, {self.count} ended (or not the same ones)")
        if self.attempts != self.dispatched:
            told.append(f"requests were dispatched {self.attempts} times, slots count {self.dispatched}")
        for status, name in enumerate(physics.STATUS_NAMES):
            seen, met = int(self.by_status[status]), int(self.met_by_status[status])
            # no region sees a request that fails because none is up
            if seen < met or (seen > met and status != physics.FAILED):
                told.append(f"{seen} requests are {name}, the regions' meters say {met}")
        return told

    def _balance(self, row: int, name: str, unit: str) -> tuple[float, list[str]]:
        """Residual of one quantity: by region, or over all if requests moved between regions."""
        accounts = [self.charged[row], self.unattributed[row], self.metered[row], self.scale[row]]
        places: Sequence[str] = self.regions
        if self.returned:
            accounts = [account.sum(keepdims=True) for account in accounts]
            places = ("all regions",)
        charged, unattributed, metered, scale = accounts
        residual = _relative(charged + unattributed - metered, scale)
        worst = int(np.argmax(np.where(np.isnan(residual), np.inf, residual)))
        if residual[worst] <= TOLERANCE:
            return float(residual[worst]), []
        requests, spare, met = (f"{account[worst]:.12g} {unit}" for account in (charged, unattributed, metered))
        rule = f"relative {residual[worst]:.3g}, must be <= {TOLERANCE:g}"
        return float(residual[worst]), [
            f"{name} in {places[worst]}: requests {requests} + unattributed {spare}, the meter says {met} ({rule})"
        ]


def _quantities(it_kwh: Floats, caused: Footprint) -> Floats:
    """[quantity, r] in the order of `QUANTITIES`, and of further footprints."""
    return np.array([it_kwh, caused.cost_usd, *caused.amounts])


def _relative(difference: Floats, scale: Floats) -> Floats:
    """|difference| / scale; without a scale 0 where nothing differs, infinite where something does or is no number."""
    size = np.abs(difference)
    return np.asarray(np.where(scale > 0, size / np.where(scale > 0, scale, 1.0), np.where(size == 0, 0.0, np.inf)))
