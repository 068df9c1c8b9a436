"""What is known of the signals: all that is true, for the books; what policies see, and which prices they see ahead."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from glbdes.errors import SignalError
from glbdes.scenario.footprints import Footprint, columns
from glbdes.scenario.model import Fault, KnownAhead, Region, SignalsSource, Time
from glbdes.signals import further, table
from glbdes.signals.table import Floats, Signals
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
    footprints: Mapping[str, Footprint] | None = None,
) -> Environment:
    """The signals of `regions` over the horizon, and before it, and those of `footprints`. Raises `SignalError` as
    `table.told` and `seen` do."""
    footprints = footprints or {}
    true, lent, series = table.told(source, regions, time, folder, footprints)
    history, horizon = slice(-time.slots), slice(-time.slots, None)

    def whole(signals: Signals, series: Mapping[str, Floats]) -> Signals:
        water = signals.wue_l_per_kwh, signals.ewif_l_per_kwh
        return replace(signals, further_per_kwh=further.per_it_kwh(footprints, series, *water, signals.pue))

    told = whole(*held(true, faults, tuple(regions), time, footprints, series))
    past = told.part(history) if len(true.pue) > time.slots else None
    truth = whole(true, series).part(horizon)
    return Environment(truth, told.part(horizon), lent, price_ahead_slots(ahead, time), past)


def seen(signals: Signals, faults: Sequence[Fault], region_names: Sequence[str], time: Time) -> Signals:
    """What policies see of `signals` (model section 7): the last known value while a signal is missing.

    `signals` may begin with a history, before the `time.slots` slots. A signal is missing in the slots that begin
    within [start_h, end_h). `stale_slots` is the age of the oldest value.

    Raises `SignalError` for a signal that is missing from the very first slot on: no value is known by then.
    """
    return held(signals, faults, region_names, time, {}, {})[0]


def held(
    signals: Signals,
    faults: Sequence[Fault],
    region_names: Sequence[str],
    time: Time,
    footprints: Mapping[str, Footprint],
    series: Mapping[str, Floats],
) -> tuple[Signals, dict[str, Floats]]:
    """As `seen`, and the same of the `series` of `footprints`."""
    slots = len(signals.pue)
    begins_h = (np.arange(slots) - (slots - time.slots)) * time.slot_s / S_PER_H
    known = np.arange(slots)[:, None].repeat(len(region_names), axis=1)  # the slot whose value is seen
    hides = HIDES | {name: tuple(columns({name: one})) for name, one in footprints.items()}
    truth = {column: getattr(signals, column) for hidden in HIDES.values() for column in hidden} | dict(series)
    last = {column: known.copy() for column in truth}
    for fault in (fault for fault in faults if fault.signal is not None):
        r = list(region_names).index(fault.region)
        hidden = (begins_h >= fault.start_h) & (begins_h < fault.end_h)
        for column in hides[fault.signal or ""]:
            last[column][hidden, r] = -1
            if last[column][0, r] < 0:
                raise SignalError(
                    f"faults: {fault.signal} of {fault.region} is missing from start_h = {fault.start_h:g} h on, "
                    f"must start at {time.slot_s / S_PER_H:g} h or later: there is no earlier value to hold"
                )
    stale = signals.stale_slots.copy()
    arrays = {}
    for column, slot in last.items():
        before = np.maximum.accumulate(slot, axis=0)
        arrays[column] = np.take_along_axis(truth[column], before, axis=0)
        age = np.take_along_axis(signals.stale_slots, before, axis=0) + known - before
        stale = np.maximum(stale, np.where(before < known, age, 0))
    last_series = {column: arrays.pop(column) for column in series}
    return replace(signals, **arrays, stale_slots=stale), last_series


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
