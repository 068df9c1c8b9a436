"""The columns of slots that footprints beyond carbon and water add."""

from typing import Any

import numpy as np

from glbdes.records.books import SlotBook
from glbdes.world import SlotRecord, World
from glbdes.world.footprints import Footprint


def names(one: Footprint) -> tuple[str, ...]:
    """The meter's, unattributed, of a kWh of IT energy, the policy's price, and what does not count."""
    kept = (one.column, f"unattributed_{one.column}", one.rate_column, one.dual_column)
    return (*kept, f"warmup_{one.column}", f"warmup_unattributed_{one.column}")


def columns(record: SlotRecord, book: SlotBook, world: World) -> dict[str, Any]:
    """All of them but for duals, a row a region."""
    found: dict[str, Any] = {}
    zero = np.zeros(world.regions)
    for k, one in enumerate(world.further):
        found[one.column] = book.metered.further[k]
        found[f"unattributed_{one.column}"] = book.unattributed.further[k]
        found[one.rate_column] = world.signals.further_per_kwh[record.slot, k]
        found[f"warmup_{one.column}"] = zero if book.warmup is None else book.warmup.metered.further[k]
        spare = zero if book.warmup is None else book.warmup.unattributed.further[k]
        found[f"warmup_unattributed_{one.column}"] = spare
    return found
