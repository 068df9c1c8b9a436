"""When regions are down."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from glbdes.hardware.clock import span_ns
from glbdes.scenario.model import Fault, Time
from glbdes.units import S_PER_H


class Outage(NamedTuple):
    """Region `region` serves nothing from `down_ns` (included) to `up_ns` (excluded)."""

    region: int
    down_ns: int
    up_ns: int


def outages(
    faults: Sequence[Fault],
    regions: Collection[str],
    time: Time,
    warmup_ns: int = 0,
    region_of: NDArray[np.int64] | None = None,
) -> tuple[Outage, ...]:
    """When regions are down, on the simulated clock: real hours shrink with the slots, and warm-ups come between.
    All pools of a region, r of `region_of` [r], are down together.

    What happens as a slot begins, happens before its warm-up; all else after it.
    """
    names = list(regions)
    pools = [[r] for r in range(len(names))]
    if region_of is not None:
        pools = [np.flatnonzero(region_of == region).tolist() for region in range(len(names))]
    found = [
        Outage(r, *simulated(fault, time, warmup_ns))
        for fault in faults
        if fault.signal is None and fault.max_kw is None
        for r in pools[names.index(fault.region)]
    ]
    return tuple(sorted(found, key=lambda outage: (outage.down_ns, outage.region)))


def simulated(fault: Fault, time: Time, warmup_ns: int) -> tuple[int, int]:
    """When `fault` begins and ends on the simulated clock; a tick later at least."""
    shrink, slot_ns = time.simulated_s / time.slot_s, span_ns(time.simulated_s, time.clock_ns)

    def with_warmups(counted_ns: int) -> int:
        slot, since_ns = divmod(counted_ns, slot_ns)
        return slot * (warmup_ns + slot_ns) + (warmup_ns + since_ns if since_ns else 0)

    begin_ns = span_ns(fault.start_h * S_PER_H * shrink, time.clock_ns)
    end_ns = max(span_ns(fault.end_h * S_PER_H * shrink, time.clock_ns), begin_ns + time.clock_ns)
    return with_warmups(begin_ns), with_warmups(end_ns)
