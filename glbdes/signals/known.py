"""What is known of the signals: all that is true, for the books; what policies see, and which prices they see ahead."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from glbdes.errors import SignalError
from glbdes.scenario.model import Fault, KnownAhead, Region, SignalsSource, Time
from glbdes.signals import table
from glbdes.signals.table import Signals
from glbdes.units import H_PER_DAY, S_PER_H

Ints = NDArray[np.int64]

# What a fault of a signal hides from policies.
HIDES: Final = {
    "price": ("price_usd_per_kwh",),
    "carbon": ("carbon_g_per_kwh",),
    "water": ("wue_l_per_kwh", "ewif_l_per_kwh"),
}


class Environment(NamedTuple):
    """The signals of a run, and what policies know of them."""

    truth: Signals
    seen: Signals  # the last known value where a signal was missing
    lent: tuple[tuple[str, str], ...]  # (region, signal) of each that its cloud region lends
    price_ahead_slots: Ints | None  # [s] how many slots beyond this one prices are known; None: 0
    past: Signals | None  # [h, r] of the slots before the first one, that policies see; None: nothing


def environment(
    source: SignalsSource,
    regions: Mapping[str, Region],
    faults: Sequence[Fault],
    ahead: KnownAhead,
    time: Time,
    folder: Path | None,
) -> Environment:
    """The signals of `regions` over the horizon, and before it. Raises `SignalError` as `table.told` and `seen` do."""
    true, lent = table.told(source, regions, time, folder)
    history, horizon = slice(-time.slots), slice(-time.slots, None)
    told = seen(true, faults, tuple(regions), time)
    past = told.part(history) if len(true.pue) > time.slots else None
    return Environment(true.part(horizon), told.part(horizon), lent, price_ahead_slots(ahead, time), past)


def seen(signals: Signals, faults: Sequence[Fault], region_names: Sequence[str], time: Time) -> Signals:
    """What policies see of `signals` (model section 7): the last known value while a signal is missing.

    `signals` may begin with a history, before the `time.slots` slots. A signal is missing in the slots that begin
    within [start_h, end_h). `stale_slots` is the age of the oldest value.

    Raises `SignalError` for a signal that is missing from the very first slot on: no value is known by then.
    """
    slots = len(signals.pue)
    begins_h = (np.arange(slots) - (slots - time.slots)) * time.slot_s / S_PER_H
    known = np.arange(slots)[:, None].repeat(len(region_names), axis=1)  # the slot whose value is seen
    last = {column: known.copy() for columns in HIDES.values() for column in columns}
    for fault in (fault for fault in faults if fault.signal is not None):
        r = list(region_names).index(fault.region)
        hidden = (begins_h >= fault.start_h) & (begins_h < fault.end_h)
        for column in HIDES[fault.signal or ""]:
            last[column][hidden, r] = -1
            if last[column][0, r] < 0:
                raise SignalError(
                    f"faults: {fault.signal} of {fault.region} is missing from start_h = {fault.start_h:g} h on, "
                    f"must start at {time.slot_s / S_PER_H:g} h or later: there is no earlier value to hold"
                )
    stale = signals.stale_slots.copy()
    arrays = {}
    for column, slot in last.items():
        held = np.maximum.accumulate(slot, axis=0)
        arrays[column] = np.take_along_axis(getattr(signals, column), held, axis=0)
        age = np.take_along_axis(signals.stale_slots, held, axis=0) + known - held
        stale = np.maximum(stale, np.where(held < known, age, 0))
    return replace(signals, **arrays, stale_slots=stale)


def price_ahead_slots(known: KnownAhead, time: Time) -> Ints | None:
    """[s] how many slots after each one have a published price: today's, or, once published, tomorrow's too (UTC)."""
    if known.price == "none":
        return None
    midnight = time.start_utc.replace(hour=0, minute=0, second=0, microsecond=0)
    day_s = H_PER_DAY * S_PER_H
    begin_s = (time.start_utc - midnight).total_seconds() + np.arange(time.slots) * time.slot_s
    today = np.floor(begin_s / day_s)
    end_s = day_s * (today + 1 + (begin_s - day_s * today >= known.published_h * S_PER_H))
    return np.asarray(np.searchsorted(begin_s, end_s) - np.arange(time.slots) - 1, dtype=np.int64)
