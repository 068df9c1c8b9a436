"""What slots come to region by region, where regions have several pools: sums over them.

Of signals, limits and duals the pools of a region have the same, so the first one's are the region's. The longest queue
is that of any pool.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from glbdes.records.books import SlotBook, Warmup
from glbdes.world import Floats, Ints, SlotRecord, World
from glbdes.world.meter import Footprint, SlotEnergy
from glbdes.world.pools import summed


class Slot(NamedTuple):
    """A slot's record and book, and seconds [r] on the network and waiting."""

    record: SlotRecord
    book: SlotBook
    delay_s: tuple[Floats, Floats]


class Regional:
    """The regions of a world of pools. `world` has an axis r of regions, for columns of slots alone."""

    def __init__(self, world: World) -> None:
        self._region_of = world.region_of
        self.world = world if world.region_of is None else _of_regions(world, world.region_of)

    def slot(self, slot: Slot) -> Slot:
        """`slot` of pools, region by region."""
        if self._region_of is None:
            return slot
        of, (network_s, waiting_s) = self._region_of, slot.delay_s
        return Slot(_record(slot.record, of), _book(slot.book, of), (summed(network_s, of), summed(waiting_s, of)))


def _of_regions(world: World, of: Ints) -> World:
    first = np.unique(of, return_index=True)[1]

    def signals(given: Any) -> Any:
        return replace(given, **{name: getattr(given, name)[..., first] for name in given.__dataclass_fields__})

    kg_per_h = world.embodied_kg_per_h
    return replace(
        world,
        signals=signals(world.signals),
        seen=signals(world.seen),
        allowed=summed(world.allowed.astype(np.int64), of) > 0,
        latency_ns=world.latency_ns[:, first],
        capacity_rps=summed(world.capacity_rps, of),
        embodied_kg_per_h=None if kg_per_h is None else summed(kg_per_h, of),
        region_of=None,
        first_of=None,
    )


def _record(record: SlotRecord, of: Ints) -> SlotRecord:
    in_vain, first = record.warmup_dispatched, np.unique(of, return_index=True)[1]
    return replace(
        record,
        weights=summed(record.weights, of),
        dispatched=summed(record.dispatched, of),
        meters=_meters(record.meters, of),
        duals={name: usd[first] for name, usd in record.duals.items()},
        warmup=tuple(_meters(one, of) for one in record.warmup),
        warmup_dispatched=None if in_vain is None else summed(in_vain, of),
        awake=None if record.awake is None else summed(record.awake, of),
    )


def _meters(meters: NDArray[Any], of: Ints) -> NDArray[Any]:
    """METER_DTYPE [regions] of `meters` [r]."""
    found = np.zeros(int(of[-1]) + 1, dtype=meters.dtype)
    for name in meters.dtype.names or ():
        found[name] = summed(meters[name], of)
    found["queue_max"] = 0
    np.maximum.at(found["queue_max"], of, meters["queue_max"])
    return found


def _book(book: SlotBook, of: Ints) -> SlotBook:
    return SlotBook(
        energy=SlotEnergy(*(summed(kwh, of) for kwh in book.energy)),
        unattributed_kwh=summed(book.unattributed_kwh, of),
        metered=_footprint(book.metered, of),
        unattributed=_footprint(book.unattributed, of),
        warmup=None if book.warmup is None else _warmup(book.warmup, of),
    )


def _warmup(book: Warmup, of: Ints) -> Warmup:
    kwh = summed(book.it_kwh, of), summed(book.unattributed_kwh, of)
    return Warmup(*kwh, _footprint(book.metered, of), _footprint(book.unattributed, of))


def _footprint(caused: Footprint, of: Ints) -> Footprint:
    return Footprint(*(summed(amount, of) for amount in caused))
