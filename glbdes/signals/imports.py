"""From pieces of public data to one tidy table, with a file beside it that says where it comes from.

`TABLE.json` beside `TABLE`: the source's licence and rule of times, each file's SHA-256, each region's hours, gaps and
share of estimated values.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from glbdes.base.files import put, whole
from glbdes.base.reading import UnreadableError, json_document, text
from glbdes.errors import SignalError
from glbdes.signals.sources.download import Download
from glbdes.signals.sources.series import Piece, Slots, check, onto
from glbdes.signals.tidy import COLUMNS, KEYS
from glbdes.units import H_PER_DAY, NS_PER_S, S_PER_H

Facts = dict[str, Any]

DECIMALS: Final = 6  # of a value; of a price, see below
PRICE_DECIMALS: Final = 9  # 1e-6 USD/MWh
MOST_GAPS: Final = 50  # that are listed
MOST_SIDE_BYTES: Final = 8 << 20
LEAP_DAY: Final = "leap-day"  # what --accept may say


@dataclass(frozen=True)
class Imported:
    """A tidy table, sorted by region and time, and what the file beside it says."""

    table: pd.DataFrame
    facts: Facts


@dataclass(frozen=True)
class Given:
    """A file, and the region that the user gave it, if any."""

    download: Download
    region: str | None


def gather(
    read: Sequence[tuple[Given, Sequence[Piece]]],
    step_s: int,
    about: Mapping[str, Any],
    accept: Sequence[str] = (),
) -> Imported:
    """All pieces as one table: regions by the user's names, else the source's; slots of `step_s`.

    `about` is what the side file says of the source: made_by, source, licence.

    Raises
    ------
    SignalError
        A piece without a name; times that go back or stand twice; values out of range; files of a region that overlap;
        a February 29 that is left out (unless `accept` has "leap-day"); no values at all.
    """
    regions: dict[str, list[Piece]] = {}
    for given, pieces in read:
        if given.region is not None and len(pieces) > 1:
            raise SignalError(
                f"{given.download.path}: has {len(pieces)} zones, must have one to be called {given.region}"
            )
        for piece in pieces:
            name = given.region or piece.zone
            if name is None:
                raise SignalError(f"{piece.path}: does not say of which region it is; write NAME={piece.path.name}")
            check(piece)
            regions.setdefault(name, []).append(piece)
    parts, facts = [], {}
    for name, pieces in regions.items():
        if len(kinds := {str(piece.notes.get("kind")) for piece in pieces}) > 1:
            told = f"region {name} would have carbon that is {' and '.join(sorted(kinds))}, must be of one kind"
            raise SignalError(f"{pieces[-1].path}: {told}")
        slots = onto(pieces, step_s * NS_PER_S)
        if LEAP_DAY not in accept:
            _leap_day(slots, name, pieces)
        parts.append(_rows(slots, name, pieces))
        facts[name] = _region(slots, pieces)
    table = pd.concat(parts, ignore_index=True).sort_values(list(KEYS)[::-1], ignore_index=True, kind="stable")
    files = [_file(given, pieces) for given, pieces in read]
    return Imported(table, {**about, "step_s": step_s, "files": files, "regions": facts})


def write(imported: Imported, path: Path) -> Path:
    """The table as CSV or Parquet at `path`, and what is told of it beside it: where that is.

    Raises `SignalError` for another suffix, and `RecordsError`, with nothing written, where that cannot be done.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise SignalError(f"{path}: is '{path.suffix}', must be .csv or .parquet")
    side = beside(path)
    with whole(path) as half:
        if path.suffix == ".csv":
            form = "%Y-%m-%dT%H:%M:%S" if (imported.table["time_utc"].dt.second != 0).any() else "%Y-%m-%dT%H:%M"
            times = imported.table["time_utc"]
            stamps = {when: when.strftime(form) for when in times.unique()}  # far fewer than rows
            imported.table.assign(time_utc=times.map(stamps)).to_csv(
                half, index=False, lineterminator="\n", encoding="utf-8"
            )
        else:
            imported.table.to_parquet(half, index=False, compression="zstd")
        put(side, json.dumps(imported.facts, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    return side


def beside(path: Path) -> Path:
    """Where the facts on the table at `path` are."""
    return path.with_name(path.name + ".json")


def facts_of(path: Path) -> Facts | None:
    """What is told beside the table at `path`; None if nothing is. Raises `SignalError` if it cannot be read."""
    side = beside(path)
    if not side.exists():
        return None
    try:
        found = json_document(text(side, MOST_SIDE_BYTES))
    except UnreadableError as error:
        raise SignalError(f"{side}: {error}") from error
    regions = found.get("regions") if isinstance(found, dict) else None
    if not isinstance(regions, dict) or not all(_sound(region) for region in regions.values()):
        raise SignalError(f"{side}: is not what an import writes beside its table; remove it, or import again")
    facts: Facts = found
    return facts


def _sound(region: Any) -> bool:
    """Whether that is said of a region which others count on."""
    if not isinstance(region, dict) or not isinstance(region.get("slots"), int) or region["slots"] < 0:
        return False
    shares = region.get("share_estimated")
    return isinstance(shares, dict) and all(type(share) is float and 0 <= share <= 1 for share in shares.values())


def _rows(slots: Slots, name: str, pieces: Sequence[Piece]) -> pd.DataFrame:
    some = ~np.all([np.isnan(values) for values in slots.values.values()], axis=0)
    if not some.any():
        raise SignalError(f"{pieces[0].path}: region {name} has no value in any slot of {slots.step_ns / NS_PER_S:g} s")
    times = (slots.first_ns + np.flatnonzero(some) * slots.step_ns).astype("datetime64[ns]")
    values = {
        column: slots.values[column][some].round(PRICE_DECIMALS if column.startswith("price") else DECIMALS)
        for column in COLUMNS
        if column in slots.values
    }
    return pd.DataFrame({"time_utc": times, "region": name, **values})


def gaps(missing: "np.ndarray[Any, Any]", first_ns: int, step_ns: int) -> list[tuple[str, int]]:
    """Each run of missing slots: when it begins, and how many they are."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], missing.astype(np.int8), [0]])))
    return [(_moment(first_ns + int(low) * step_ns), int(high - low)) for low, high in edges.reshape(-1, 2)]


def _region(slots: Slots, pieces: Sequence[Piece]) -> Facts:
    """What is told of one region."""
    known = {column: ~np.isnan(values) for column, values in slots.values.items()}
    some = np.any(list(known.values()), axis=0)
    runs = gaps(~some, slots.first_ns, slots.step_ns)
    zones = sorted({piece.zone for piece in pieces if piece.zone is not None})
    return {
        "zone": zones[0] if len(zones) == 1 else zones,
        "slots": int(some.sum()),
        "first": _moment(slots.first_ns),
        "last": _moment(slots.first_ns + (len(some) - 1) * slots.step_ns),
        "missing_slots": int((~some).sum()),
        "gaps": [{"first": when, "slots": often} for when, often in runs[:MOST_GAPS]],
        "share_estimated": {}
        if slots.estimated is None
        else {column: float(slots.estimated[there].mean().round(DECIMALS)) for column, there in known.items()},
        "mean": {
            column: float(np.mean(values[known[column]]).round(DECIMALS)) for column, values in slots.values.items()
        },
        **_notes(pieces),
    }


def _notes(pieces: Sequence[Piece]) -> Facts:
    """What sources note: one value, or one a file where they differ."""
    found: dict[str, list[Any]] = {}
    for piece in pieces:
        for key, value in piece.notes.items():
            found.setdefault(key, []).append(value)
    return {key: values[0] if all(value == values[0] for value in values) else values for key, values in found.items()}


def _file(given: Given, pieces: Sequence[Piece]) -> Facts:
    return {
        "name": given.download.path.name,
        "sha256": given.download.sha256,
        "rows": int(sum(len(piece.utc_ns) for piece in pieces)),
        "times": pieces[0].times,
    }


def _leap_day(slots: Slots, name: str, pieces: Sequence[Piece]) -> None:
    """Refuse a series that goes on from February 28 to March 1 in a leap year."""
    missing = np.all([np.isnan(values) for values in slots.values.values()], axis=0)
    day = H_PER_DAY * S_PER_H * NS_PER_S // slots.step_ns
    for when, often in gaps(missing, slots.first_ns, slots.step_ns):
        begin = pd.Timestamp(when)
        span = pd.date_range(begin, periods=often, freq=pd.Timedelta(slots.step_ns, unit="ns"))
        if ((span.month == 2) & (span.day == 29)).sum() >= day and often < 2 * day:
            path, after = _row_after(pieces, begin)
            told = f"region {name} has no {begin.year}-02-29, which was a day"
            remedy = "complete the file, or say --accept leap-day to leave a gap"
            raise SignalError(f"{path}, row {after}: {told}; {remedy}")


def _row_after(pieces: Sequence[Piece], when: pd.Timestamp) -> tuple[Path, int]:
    for piece in sorted(pieces, key=lambda piece: int(piece.utc_ns[0])):
        later = np.flatnonzero(piece.utc_ns > when.as_unit("ns").value)
        if len(later):
            return piece.path, int(piece.rows[later[0]])
    return pieces[0].path, 1


def _moment(utc_ns: int) -> str:
    return str(np.datetime64(int(utc_ns), "ns").astype("datetime64[s]"))
