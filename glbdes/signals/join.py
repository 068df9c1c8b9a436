"""Several tidy tables as one: columns side by side, years one after another, on one step."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from glbdes.base.reading import UnreadableError, regular
from glbdes.errors import SignalError
from glbdes.signals.imports import Facts, Imported, facts_of
from glbdes.signals.sources.download import fetch
from glbdes.signals.sources.series import Piece, Slots, check, holds, onto
from glbdes.signals.tidy import COLUMNS, KEYS, read_tidy
from glbdes.units import NS_PER_S

MARGINAL: Final = "marginal"


def join(paths: Sequence[Path], made_by: str, more: Sequence[str] | None = None) -> Imported:
    """The tables at `paths` as one, on the coarsest of their steps, over the time that all columns have.

    `more` : columns of further footprints, as `tidy.read_tidy` takes them.

    Raises
    ------
    SignalError
        Two tables that give the same signal of a region for the same time; no time that all have; marginal carbon of
        some regions beside average carbon of others; what a table alone can have wrong.
    """
    pieces: dict[str, dict[str, list[Piece]]] = {}
    told = [facts_of(path) for path in paths]
    for path in paths:
        table = read_tidy(path, more)
        columns = [column for column in table.columns if column not in KEYS]
        for name, rows in table.groupby("region", sort=False):
            for column in columns:
                if (some := rows[column].notna()).any():
                    piece = _piece(path, str(name), column, rows[some])
                    check(piece)
                    pieces.setdefault(str(name), {}).setdefault(column, []).append(piece)
    if not pieces:
        raise SignalError(f"{paths[0]}: has no values")
    _one_kind(paths, told)
    step_ns = max(_step_ns(piece) for columns in pieces.values() for found in columns.values() for piece in found)
    grids = {name: {c: onto(found, step_ns) for c, found in columns.items()} for name, columns in pieces.items()}
    first, end = _common(grids, paths)
    table = pd.concat([_rows(name, grids[name], first, end) for name in pieces], ignore_index=True)
    known = [column for column in COLUMNS if column in table.columns]
    table = table[[*known, *(column for column in table.columns if column not in COLUMNS)]].sort_values(
        list(KEYS)[::-1], ignore_index=True, kind="stable"
    )
    return Imported(table, _facts(paths, told, grids, (first, end), made_by))


def _piece(path: Path, name: str, column: str, rows: pd.DataFrame) -> Piece:
    times = rows["time_utc"].to_numpy().astype("datetime64[ns]").astype(np.int64)
    values = {column: rows[column].to_numpy(dtype=np.float64)}
    return Piece(path, name, times, values, rows.index.to_numpy(dtype=np.int64) + 1, "UTC")


def _step_ns(piece: Piece) -> int:
    """The coarsest step of a table; a second if it has a single row."""
    return int(holds(piece.utc_ns).max()) if len(piece.utc_ns) > 1 else NS_PER_S


def _common(grids: Mapping[str, Mapping[str, Slots]], paths: Sequence[Path]) -> tuple[int, int]:
    """When what all columns have begins and ends, in ns."""
    spans = {
        (name, column): (slots.first_ns, slots.first_ns + len(slots.values[column]) * slots.step_ns)
        for name, columns in grids.items()
        for column, slots in columns.items()
    }
    late, early = max(spans, key=lambda key: spans[key][0]), min(spans, key=lambda key: spans[key][1])
    first, end = spans[late][0], spans[early][1]
    if first >= end:
        told = f"{late[1]} of {late[0]} begins at {_moment(first)}, {early[1]} of {early[0]} ends at {_moment(end)}"
        raise SignalError(f"{', '.join(map(str, paths))}: {told}, must have some time in common")
    return first, end


def _rows(name: str, columns: Mapping[str, Slots], first: int, end: int) -> pd.DataFrame:
    step_ns = next(iter(columns.values())).step_ns
    values = {}
    for column, slots in columns.items():
        skipped = (first - slots.first_ns) // step_ns
        values[column] = slots.values[column][skipped : skipped + (end - first) // step_ns]
    times = (first + np.arange((end - first) // step_ns) * step_ns).astype("datetime64[ns]")
    table = pd.DataFrame({"time_utc": times, "region": name, **values})
    return table.dropna(how="all", subset=list(columns))


def _one_kind(paths: Sequence[Path], told: Sequence[Facts | None]) -> None:
    """Refuse marginal carbon of one region beside average carbon of another: what they are worth is not comparable."""
    kinds: dict[bool, tuple[Path, str, str]] = {}
    for path, facts in zip(paths, told, strict=True):
        for name, region in ({} if facts is None else facts["regions"]).items():
            kind = region.get("kind")
            if isinstance(kind, str):
                kinds.setdefault(kind == MARGINAL, (path, name, kind))
    if len(kinds) > 1:
        (path, name, kind), (other, second, different) = kinds.values()
        told_of = f"carbon of {second} is {different}, that of {name} ({path}) is {kind}"
        raise SignalError(f"{other}: {told_of}, must be all marginal or all average")


def _facts(
    paths: Sequence[Path],
    told: Sequence[Facts | None],
    grids: Mapping[str, Mapping[str, Slots]],
    span: tuple[int, int],
    made_by: str,
) -> dict[str, Any]:
    first, end = span
    regions = {}
    for name, columns in grids.items():
        known = [facts["regions"][name] for facts in told if facts is not None and name in facts["regions"]]
        step_ns = next(iter(columns.values())).step_ns
        rows = _rows(name, columns, first, end)
        regions[name] = {
            "slots": len(rows),
            "first": _moment(first),
            "last": _moment(end - step_ns),
            "missing_slots": {column: (end - first) // step_ns - int(rows[column].notna().sum()) for column in columns},
            "share_estimated": _estimated(known, list(columns)),
            **{key: one[key] for one in known for key in ("kind", "wue", "ewif", "price") if key in one},
        }
    return {
        "made_by": made_by,
        "step_s": step_ns // NS_PER_S,
        "files": [
            {"name": path.name, "sha256": _sha256(path), "told": facts} for path, facts in zip(paths, told, strict=True)
        ],
        "regions": regions,
    }


def _estimated(known: Sequence[dict[str, Any]], columns: Sequence[str]) -> dict[str, float]:
    """By column, where it is known: the mean over tables, weighed by their slots."""
    found = {}
    for column in columns:
        shares = [one["share_estimated"].get(column) for one in known]
        slots = [one["slots"] for one, share in zip(known, shares, strict=True) if share is not None]
        if slots:
            found[column] = float(np.average([share for share in shares if share is not None], weights=slots))
    return found


def _sha256(path: Path) -> str:
    try:
        regular(path)
    except UnreadableError as error:
        raise SignalError(f"{path}: {error}") from error
    return fetch(path).sha256


def _moment(utc_ns: int) -> str:
    return str(np.datetime64(int(utc_ns), "ns").astype("datetime64[s]"))
