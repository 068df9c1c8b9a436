"""A series as a source has it, with its own step, and the same on a regular grid of slots.

A row holds from its stamp for as long as rows are apart around it: the step may change within a file, as where a market
goes from hours to quarters of an hour. A slot's value is the mean over its time; a slot that is not covered whole is
missing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import gcd
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from glbdes.errors import SignalError
from glbdes.scenario.sizes import MOST
from glbdes.signals.tidy import MINIMUM, MOST_STEPS
from glbdes.units import NS_PER_S

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]

RUN: Final = 12  # rows equally far apart make a step; fewer are the gaps of another
FINEST_NS: Final = NS_PER_S


@dataclass(frozen=True)
class Piece:
    """What one file says of one zone, in the order of its rows.

    zone : the source's name for it, None where the file has none
    utc_ns : int[n], when each row begins
    values : float[n] by column of `tidy.SIGNALS`, NaN where it is unknown
    estimated : bool[n], or None where the source does not say
    rows : int[n], the rows of the file, counted from 1
    """

    path: Path
    zone: str | None
    utc_ns: Ints
    values: Mapping[str, Floats]
    rows: Ints
    times: str  # the rule of its stamps, in words
    estimated: Flags | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Slots:
    """Values on a regular grid: `first_ns`, then every `step_ns`; NaN where a slot is missing."""

    first_ns: int
    step_ns: int
    values: Mapping[str, Floats]  # [slot]
    estimated: Flags | None  # [slot], whether any part of it is


def check(piece: Piece) -> None:
    """Raise `SignalError`, naming the row, unless its times increase and its values are such as signals have."""
    back = np.diff(piece.utc_ns) <= 0
    if back.any():
        i = int(np.argmax(back)) + 1
        now, before = (_moment(piece.utc_ns[j]) for j in (i, i - 1))
        rule = "stands there twice" if now == before else f"comes after {before}, must be later"
        raise SignalError(f"{piece.path}, row {piece.rows[i]}: {now} UTC {rule}; remove or sort rows, or see --tz")
    for column, values in piece.values.items():
        low = MINIMUM.get(column, -np.inf)
        bad = (values < low) | (np.abs(values) > MOST)
        if bad.any():
            i = int(np.argmax(bad))
            rule = f"must be >= {low:g}" if values[i] < low else f"must be <= {MOST:g} in size"
            told = f"{_moment(piece.utc_ns[i])} UTC: {column} = {values[i]:g}, {rule}, or empty where it is unknown"
            raise SignalError(f"{piece.path}, row {piece.rows[i]}: {told}")


def holds(utc_ns: Ints) -> Ints:
    """int[n]: how long each row holds, in ns: to the next one, or as long as rows around it if that is less."""
    if len(utc_ns) < 2:
        return np.zeros(len(utc_ns), dtype=np.int64)
    apart = np.diff(utc_ns)
    starts = np.flatnonzero(np.concatenate([[True], apart[1:] != apart[:-1]]))
    lengths = np.diff(np.append(starts, len(apart)))
    enough = lengths >= min(RUN, lengths.max())
    known = np.cumsum(enough) - 1  # the last run long enough, up to each
    step = apart[starts[enough]][np.maximum(known, 0)].repeat(lengths)
    return np.append(np.minimum(step, apart), step[-1])


def onto(pieces: Sequence[Piece], step_ns: int) -> Slots:
    """The pieces of one region, one after another, on slots of `step_ns` that begin at multiples of it.

    Raises `SignalError` for pieces that overlap, or whose rows do not divide time into whole seconds.
    """
    pieces = sorted(pieces, key=lambda piece: int(piece.utc_ns[0]))
    held = [_held(piece, step_ns) for piece in pieces]
    for i, piece in enumerate(pieces[1:]):
        end = int(pieces[i].utc_ns[-1] + held[i][-1])
        if piece.utc_ns[0] < end:
            told = f"{_moment(piece.utc_ns[0])} UTC is in {pieces[i].path} too, which ends at {_moment(end)}"
            raise SignalError(f"{piece.path}, row {piece.rows[0]}: {told}; leave one of them out, or name two regions")
    utc_ns, hold = np.concatenate([piece.utc_ns for piece in pieces]), np.concatenate(held)
    grain = gcd(step_ns, *map(int, np.unique(hold)), *map(int, np.unique(utc_ns % step_ns)))
    if grain < FINEST_NS:
        raise SignalError(f"{pieces[0].path}: rows are {grain} ns from whole slots, must be whole seconds")
    first = int(utc_ns[0]) // step_ns * step_ns
    slots = (int(utc_ns[-1] + hold[-1]) - first + step_ns - 1) // step_ns
    per_slot = step_ns // grain
    if slots * per_slot > MOST_STEPS:
        raise SignalError(f"{pieces[0].path}: has {slots:g} slots of {per_slot:g} parts, must be <= {MOST_STEPS:g}")
    begin, often = (utc_ns - first) // grain, hold // grain
    where = np.repeat(begin - np.concatenate([[0], np.cumsum(often)[:-1]]), often) + np.arange(often.sum())

    def spread(values: NDArray[Any], empty: Any) -> NDArray[Any]:
        fine = np.full(slots * per_slot, empty)
        fine[where] = np.repeat(values, often)
        return fine.reshape(slots, per_slot)

    columns = {
        column: spread(np.concatenate([piece.values[column] for piece in pieces]), np.nan).mean(axis=1)
        for column in pieces[0].values
    }
    flags = [piece.estimated for piece in pieces if piece.estimated is not None]
    some: Flags | None = None
    if len(flags) == len(pieces):
        some = np.asarray(spread(np.concatenate(flags), empty=False).any(axis=1), dtype=np.bool_)
    return _trimmed(Slots(first, step_ns, columns, some))


def _held(piece: Piece, step_ns: int) -> Ints:
    """As `holds`; a single row holds for one slot."""
    return np.full(1, step_ns, dtype=np.int64) if len(piece.utc_ns) == 1 else holds(piece.utc_ns)


def _trimmed(slots: Slots) -> Slots:
    """Without slots at either end that have no value."""
    some = ~np.all([np.isnan(values) for values in slots.values.values()], axis=0)
    if not some.any():
        return Slots(slots.first_ns, slots.step_ns, {c: v[:0] for c, v in slots.values.items()}, None)
    low, high = int(np.argmax(some)), len(some) - int(np.argmax(some[::-1]))
    flags = None if slots.estimated is None else slots.estimated[low:high]
    values = {column: values[low:high] for column, values in slots.values.items()}
    return Slots(slots.first_ns + low * slots.step_ns, slots.step_ns, values, flags)


def _moment(utc_ns: int) -> str:
    return str(np.datetime64(int(utc_ns), "ns").astype("datetime64[s]")).replace("T", " ")
