"""Where one region's rows of a table of signals lie in relation to the slots."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glbdes.errors import SignalError
from glbdes.scenario.model import Time
from glbdes.signals.tidy import MOST_STEPS
from glbdes.units import NS_PER_S

Floats = NDArray[np.float64]


class Grid:
    """Where one region's rows of a table lie in relation to the slots. Times are integer ns."""

    def __init__(self, table: pd.DataFrame, time: Time, place: str, region: str) -> None:
        self.place, self.region, self.time = place, region, time
        start = pd.Timestamp(time.start_utc)
        self.start = start.tz_convert(None) if start.tz is not None else start
        rows = table[table["region"] == region]
        stamps = rows["time_utc"].to_numpy().astype("datetime64[ns]").astype(np.int64)
        steps = np.diff(stamps)
        if (steps <= 0).any():
            row = int(np.argmax(steps <= 0))
            again = rows["time_utc"].iloc[row + 1]
            before = rows["time_utc"].iloc[row]
            rule = "stands there twice" if steps[row] == 0 else f"comes after {before}, must be sorted"
            raise SignalError(f"{place}, row {rows.index[row + 1] + 1}: region {region}, time_utc = {again} {rule}")
        self.slot = max(round(time.slot_s * NS_PER_S), 1)
        self.step = int(pd.Series(steps).mode()[0]) if len(steps) else self.slot
        if (steps % self.step).any():
            row = int(np.argmax(steps % self.step > 0)) + 1
            raise SignalError(f"{place}, row {rows.index[row] + 1}: region {region}, time_utc is off the file's step")
        self.index = (stamps - stamps[0]) // self.step
        coarse, fine = max(self.step, self.slot), min(self.step, self.slot)
        if coarse % fine:
            raise SignalError(
                f"{place}: has a step of {self.step / NS_PER_S:g} s, time.slot_s = {time.slot_s:g} s must divide it "
                "or be a multiple of it"
            )
        self.per_slot = max(1, self.slot // self.step)  # steps that make a slot
        self.per_step = max(1, self.step // self.slot)  # slots that a step lasts
        self.before = self._offset(int(stamps[0]), fine)  # steps or slots, the finer, before the start
        self.last = self._last(table)
        if self.last * self.per_step > MOST_STEPS:
            long = f"{self.last:g} steps of {self.step / NS_PER_S:g} s for slots of {time.slot_s:g} s"
            raise SignalError(f"{place}: region {region} has {long}, must be <= {MOST_STEPS:g} of the finer of them")

    def _offset(self, first: int, fine: int) -> int:
        begin = pd.Timestamp(first)
        offset = int(self.start.as_unit("ns").value) - first
        if offset < 0:
            raise SignalError(
                f"time.start_utc = {self.start} must not be before {begin}, where {self.place} begins ({self.region})"
            )
        if offset % fine:
            step = f"{fine / NS_PER_S:g} s from {begin}"
            raise SignalError(f"time.start_utc = {self.start} must fall on a step of {self.place} ({step})")
        return offset // fine

    def _last(self, table: pd.DataFrame) -> int:
        """Steps from the region's first row to the end of the whole table."""
        first = table.loc[table["region"] == self.region, "time_utc"].iloc[0]
        return int((table["time_utc"].max() - first).as_unit("ns").value // self.step) + 1

    def slots(self, values: Floats) -> Floats:
        """`values` of the region's rows as values of slots, NaN where one is missing; slots before the start too."""
        steps = np.full(self.last, np.nan)
        steps[self.index] = values
        fine = steps.repeat(self.per_step)
        fine = fine[self.before % self.per_slot :]
        whole = len(fine) // self.per_slot
        slots = fine[: whole * self.per_slot].reshape(whole, self.per_slot).mean(axis=1)
        history = self.before // self.per_slot
        if whole - history < self.time.slots:
            has = f"{max(0, whole - history)} slots of {self.time.slot_s:g} s from {self.start}"
            raise SignalError(
                f"{self.place}: region {self.region} has {has}, time.slots = {self.time.slots} must not be more"
            )
        return np.asarray(slots[: history + self.time.slots], dtype=np.float64)

    def moment(self, slot: int) -> pd.Timestamp:
        """When a slot, counted from the start, begins."""
        return self.start + pd.Timedelta(slot * self.slot, unit="ns")
