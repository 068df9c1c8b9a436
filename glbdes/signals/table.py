"""Price, carbon intensity and water factors of each slot and region.

This module owns how a tidy table of signals becomes arrays [slot, region] over the horizon and the history before it:
alignment, gaps, constants from the regions' own tables. Reading files is in `tidy` and `authors`, what policies know of
the signals in `known`.

Steps and slots: a table has one fixed step. Slots may divide it (a value holds over its whole step) or be a multiple of
it (a slot gets the mean of its steps). `start_utc` must fall on a boundary of the coarser of the two.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glbdes.errors import MOST_PROBLEMS, SignalError, brief, nearest
from glbdes.resources import find, shipped
from glbdes.scenario import clouds
from glbdes.scenario.footprints import Footprint, columns
from glbdes.scenario.model import Region, SignalsSource, Time
from glbdes.scenario.sizes import MOST, MOST_CELLS
from glbdes.signals import further, synthetic
from glbdes.signals.authors import is_authors, read_authors
from glbdes.signals.grid import Grid
from glbdes.signals.join import join
from glbdes.signals.tidy import MINIMUM, SIGNALS, read_tidy
from glbdes.units import NS_PER_S, S_PER_H

Floats = NDArray[np.float64]

SYNTHETIC: Final = "synthetic"  # the source that is drawn
SUNDAY: Final = 6


@dataclass(frozen=True, eq=False)
class Signals:
    """Hourly (or slotwise) environment of each region, arrays [slot, region].

    `stale_slots` is how old the value in force is: 0 where it was known, n where the last known value is n slots old.
    """

    price_usd_per_kwh: Floats
    carbon_g_per_kwh: Floats
    wue_l_per_kwh: Floats  # on site, per IT kWh
    ewif_l_per_kwh: Floats  # off site, per grid (facility) kWh
    pue: Floats
    stale_slots: NDArray[np.int64]
    further_per_kwh: Floats = None  # type: ignore[assignment]  # [slot, k, region] per IT kWh, of other footprints; or none

    def __post_init__(self) -> None:
        if self.further_per_kwh is None:
            slots, regions = self.pue.shape
            object.__setattr__(self, "further_per_kwh", np.zeros((slots, 0, regions)))

    def upto(self, slot: int) -> "Signals":
        """The slots before `slot`, as views."""
        return self.part(slice(slot))

    def after(self, past: "Signals | None") -> "Signals":
        """The slots of `past` and then these, in arrays of their own."""
        first = self.part(slice(0)) if past is None else past
        return Signals(*(np.concatenate((getattr(first, k), getattr(self, k))) for k in self.__dataclass_fields__))

    def part(self, slots: slice) -> "Signals":
        """Some of the slots, as views."""
        return Signals(*(getattr(self, name)[slots] for name in self.__dataclass_fields__))


Footprints = Mapping[str, Footprint]


def load(
    source: SignalsSource,
    regions: Mapping[str, Region],
    time: Time,
    folder: Path | None,
    footprints: Footprints | None = None,
) -> Signals:
    """The signals of `regions`, in their order, over the horizon alone, `further_per_kwh` included; else as `told`."""
    found, _, series = told(source, regions, time, folder, footprints or {})
    per_kwh = further.per_it_kwh(footprints or {}, series, found.wue_l_per_kwh, found.ewif_l_per_kwh, found.pue)
    return replace(found, further_per_kwh=per_kwh).part(slice(-time.slots, None))


def told(
    source: SignalsSource, regions: Mapping[str, Region], time: Time, folder: Path | None, footprints: Footprints
) -> tuple[Signals, tuple[tuple[str, str], ...], further.Series]:
    """The signals of `regions`, in their order: of the history, oldest first, and then of the `time.slots` slots;
    (region, signal) of each that its cloud region lends; the series of `footprints`. `further_per_kwh` is not filled.

    The history are the slots before `time.start_utc`, up to `source.history_h`, of which every value is there in every
    region (or may be held); none if no source says anything of a region.

    `source.source` is "constant", "synthetic", a file or a folder in the authors' layout, `source.sources` files to be
    joined; relative paths start at `folder`, and a bare file name may be a shipped trace. The source gives the slotwise
    values, of the region's own name or its `signal`; a region's own constants fill what the source lacks. Both for the
    same signal is an error, but for PUE, where the region's own wins. A region with a `cloud` has the values of its
    grid zone if its own name is not there, and the published PUE and WUE where nobody gives one.

    Raises
    ------
    SignalError
        A source that cannot be found or read; a region or signal that nobody gives; values that are missing (unless
        `source.missing = "hold"`), twice there, unsorted or out of range; too few slots; a step that does not fit.
    """
    constants = {name: _constants(region, footprints) for name, region in regions.items()}
    more = tuple(columns(footprints))
    spare = {name: cloud.constants for name, region in regions.items() if (cloud := clouds.of(region.cloud))}
    if source.source == "constant" and source.sources is None:
        if named := [name for name, region in regions.items() if region.signal is not None]:
            told = f"regions.{named[0]}.signal = '{brief(regions[named[0]].signal)}'"
            raise SignalError(f"{told}, but signals.source = 'constant' has no names: name a file")
        return _assemble({}, constants, spare, time, "constant", footprints)
    if source.sources is not None:
        table, place = join([_path(one, folder) for one in source.sources], "", more).table, ", ".join(source.sources)
    elif source.source == SYNTHETIC:
        table, place = _drawn(source, time), "signals.source = 'synthetic'"
    else:
        table, place = _table(source.source, folder, more)
    given = {}
    known = set(table["region"])
    wanted = _wanted(source, len(regions), time)
    for name, region in regions.items():
        theirs = region.signal or (name if name in known else _zone(region, known) or name)
        if theirs in known:
            grid = Grid(table, time, place, theirs)
            given[name] = _region(table[table["region"] == theirs], grid, source, wanted, more)
        elif region.signal is not None:
            told = f"has no region '{brief(theirs)}'{nearest(theirs, known)}"
            raise SignalError(f"{place}: {told} (regions.{name}.signal)")
        elif any(column not in constants[name] | spare.get(name, {}) for column in SIGNALS):
            raise SignalError(f"{place}: has no region '{name}'{nearest(name, known)}")
    return _assemble(given, constants, spare, time, place, footprints)


def _zone(region: Region, known: Collection[str]) -> str | None:
    """The grid zone of its cloud region under the name that the source has it by."""
    cloud = clouds.of(region.cloud)
    return None if cloud is None else next((zone for zone in cloud.zones if zone in known), None)


def _wanted(source: SignalsSource, regions: int, time: Time) -> int:
    """Slots of history at most: those of `history_h`, and no more than may be held in memory beside the horizon."""
    return max(min(int(source.history_h * S_PER_H / time.slot_s + 1e-9), MOST_CELLS // regions - time.slots), 0)


def _drawn(source: SignalsSource, time: Time) -> pd.DataFrame:
    """Synthetic signals, long enough for the horizon."""
    known = synthetic.statistics()
    end_s = (time.start_utc - known.start_utc).total_seconds() + time.slots * time.slot_s
    hours = max(known.hours, ceil(end_s / S_PER_H))
    return synthetic.signals(synthetic.SHIPPED_SEED if source.seed is None else source.seed, hours)


def _path(source: str, folder: Path | None) -> Path:
    path = find("traces", source, folder)
    if path is None:
        known = shipped("traces")
        raise SignalError(f"signals.source = '{brief(source)}': no such file or folder{nearest(source, known)}")
    return path


def _table(source: str, folder: Path | None, more: tuple[str, ...]) -> tuple[pd.DataFrame, str]:
    path = _path(source, folder)
    if path.is_file():
        return read_tidy(path, more), source
    if not is_authors(path):
        raise SignalError(f"signals.source = '{source}': is no folder in the authors' layout (carbon/, price/, water/)")
    return read_authors(path), source


def _constants(region: Region, footprints: Footprints) -> dict[str, float]:
    """By column."""
    found = {column: value for column in SIGNALS if (value := getattr(region, column)) is not None}
    known = {series: column for column, series in columns(footprints).items()}
    return found | {known[series]: value for series, value in region.footprints.items()}


def _assemble(
    series: dict[str, tuple[dict[str, Floats], NDArray[np.int64]]],
    constants: dict[str, dict[str, float]],
    spare: dict[str, dict[str, float]],
    time: Time,
    place: str,
    footprints: Footprints,
) -> tuple[Signals, tuple[tuple[str, str], ...], further.Series]:
    """Columns of regions side by side, what of them is `spare`, and the series of `footprints`; every problem with who
    gives what in one report."""
    slots = min((len(ages) for given, ages in series.values() if given), default=time.slots)  # and those of the history
    arrays = {column: np.full((slots, len(constants)), np.nan) for column in (*SIGNALS, *columns(footprints))}
    stale = np.zeros((slots, len(constants)), dtype=np.int64)
    problems, lent = [], []
    for r, (name, own) in enumerate(constants.items()):
        given, ages = series.get(name, ({}, stale[:, r]))
        if given:
            stale[:, r] = ages[-slots:]
        for column in SIGNALS:
            if column in given and column in own and column != "pue":
                problems.append(f"regions.{name}.{column} = {own[column]:g}, but {place} gives it too: remove one")
            elif column not in given and column not in own and column in spare.get(name, {}):
                arrays[column][:, r] = spare[name][column]
                lent.append((name, column))
            elif column not in given and column not in own:
                problems.append(f"regions.{name}.{column} is given neither there nor by signals.source = '{place}'")
            else:
                arrays[column][:, r] = own[column] if column in own else given[column][-slots:]
        for told in further.chosen(footprints, name, given, own, f"signals.source = '{place}'"):
            if isinstance(told, str):
                problems.append(told)
            else:
                arrays[told[0]][:, r] = own[told[0]] if told[1] else given[told[0]][-slots:]
    if problems:
        more = ["and more"] * (len(problems) > MOST_PROBLEMS)
        raise SignalError("\n".join(problems[:MOST_PROBLEMS] + more))
    signals = Signals(**{column: arrays.pop(column) for column in SIGNALS}, stale_slots=stale)
    return signals, tuple(lent), arrays


def _region(
    rows: pd.DataFrame, grid: Grid, source: SignalsSource, wanted: int, more: tuple[str, ...]
) -> tuple[dict[str, Floats], NDArray[np.int64]]:
    """The columns that the table gives for one region, [slot], and how old the oldest value in force is.

    The last `time.slots` are those of the horizon; before them, up to `wanted` of the history.
    """
    stale = np.zeros(wanted + grid.time.slots, dtype=np.int64)
    arrays: dict[str, Floats] = {}
    for column in (*SIGNALS, *more):
        if column not in rows or rows[column].isna().all():
            continue
        _check_range(rows, column, grid)
        held, age = _hold(grid.slots(rows[column].to_numpy(dtype=np.float64)), column, grid, source)
        _no_clock_hole(age[-grid.time.slots :], column, grid)
        arrays[column] = held
        shortest = min(len(stale), len(age))
        stale = np.maximum(stale[-shortest:], age[-shortest:])
    return {column: held[-len(stale) :] for column, held in arrays.items()}, stale


def _no_clock_hole(age: NDArray[np.int64], column: str, grid: Grid) -> None:
    """Refuse to hold over the hour that clocks leave out in spring, if it alone is missing: stamps are local times."""
    slots = S_PER_H * NS_PER_S // grid.slot  # of an hour
    ends = np.flatnonzero((age == slots) & (np.append(age[1:], 0) == 0)) if slots else ()
    for end in ends:
        when = grid.moment(int(end) - slots + 1)
        if _clocks_jump(when):
            told = f"region {grid.region}, {when}: {column} lacks the one hour that clocks leave out in spring"
            remedy = "stamps are local times: make them UTC (glbdes import --tz does)"
            raise SignalError(f"{grid.place}: {told}; {remedy}")


def _clocks_jump(when: pd.Timestamp) -> bool:
    """Whether clocks somewhere in Europe, North America or Australia leave out the hour that begins at `when`."""
    europe = when.month == 3 and when.day >= 25 and when.hour in (1, 2)
    america = when.month == 3 and 8 <= when.day <= 14 and when.hour == 2
    australia = when.month == 10 and when.day <= 7 and when.hour == 2
    return when.weekday() == SUNDAY and when.minute == 0 and (europe or america or australia)


def _check_range(rows: pd.DataFrame, column: str, grid: Grid) -> None:
    values = rows[column].to_numpy(dtype=np.float64)
    low = MINIMUM.get(column, -np.inf if column in SIGNALS else 0.0)
    bad = (np.abs(values) > MOST) | (values < low)
    if bad.any():
        row = int(np.argmax(bad))
        rule = "finite" if np.isinf(values[row]) else f">= {low:g}" if values[row] < low else f"<= {MOST:g} in size"
        where = f"{grid.place}: region {grid.region}, {rows['time_utc'].iloc[row]}"
        raise SignalError(f"{where}: {column} = {values[row]:g}, must be {rule}")


def _hold(slots: Floats, column: str, grid: Grid, source: SignalsSource) -> tuple[Floats, NDArray[np.int64]]:
    """The values, gaps filled by the last known one, and how many slots old each is: all of the horizon's, and of the
    slots before it those after the last one that could not be filled."""
    order = np.arange(len(slots))
    known = np.maximum.accumulate(np.where(np.isnan(slots), -1, order))
    age = order - known
    first = len(slots) - grid.time.slots
    limit = source.max_stale_slots if source.missing == "hold" else 0
    missing = (age > limit) | (known < 0)
    if missing[first:].any():
        slot = int(np.argmax(missing[first:]))
        rule = {
            "error": 'must be there (signals.missing = "hold" would hold the last known value)',
            "hold": f"and so were the {limit} slots before it (signals.max_stale_slots)"
            if known[first + slot] >= 0
            else "and there is no earlier value to hold",
        }[source.missing]
        raise SignalError(f"{grid.place}: region {grid.region}, {grid.moment(slot)}: {column} is missing, {rule}")
    begin = int(np.flatnonzero(missing)[-1]) + 1 if missing.any() else 0
    return slots[known[begin:]], age[begin:].astype(np.int64)
