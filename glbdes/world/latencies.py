"""A matrix of measured latencies becomes the table `[network.latency_s]` of a scenario.

    ,us-east-1,eu-central-1        header: names of regions, the first cell is anything
    us-east-1,1.2,93.5             a row for each gateway: its name, and the time to each region
    eu-central-1,93.5,1.1

Half of a round trip counts as one way.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glbdes.base import tables
from glbdes.base.reading import UnreadableError
from glbdes.base.seals import checksum
from glbdes.errors import TraceError, brief, nearest
from glbdes.scenario.sizes import MOST_ONE_WAY_S
from glbdes.units import MS_PER_S, US_PER_S

PER_S: Final = {"s": 1, "ms": MS_PER_S, "us": US_PER_S}
WAYS: Final = {True: 2, False: 1}  # of a measurement: a round trip is two


class Latencies(NamedTuple):
    """One way, in seconds."""

    gateways: tuple[str, ...]
    regions: tuple[str, ...]
    one_way_s: NDArray[np.float64]  # [g, r]


def read_matrix(path: Path, unit: str, *, rtt: bool, renamed: Mapping[str, str] | None = None) -> Latencies:
    """The matrix in a CSV file, in `unit` ("s", "ms", "us"), of round trips if `rtt`; names as `renamed` has them.

    Raises `TraceError`: no such table, a name that is missing or twice there, a cell that is no number >= 0 or is more
    than an hour one way.
    """
    if not path.is_file():
        raise TraceError(f"{path}: no such file")
    try:
        cells = tables.csv(path, header=None, dtype=str, keep_default_na=False, skip_blank_lines=False)
    except UnreadableError as error:
        raise TraceError(f"{path}: {error}") from error
    if min(cells.shape) < 2:
        raise TraceError(f"{path}: must have a header with regions' names, and below a row for each gateway")
    gateways, regions = (_names(one, what, path, renamed or {}) for one, what in _headings(cells))
    per_s = PER_S[unit] * WAYS[rtt]
    one_way_s = np.empty((len(gateways), len(regions)))
    for place, region in enumerate(regions):
        column = cells.iloc[1:, place + 1]
        one_way_s[:, place] = tables.numbers(column).to_numpy(dtype=np.float64) / per_s
        bad = ~((one_way_s[:, place] >= 0) & (one_way_s[:, place] <= MOST_ONE_WAY_S))
        if bad.any():
            row = int(np.argmax(bad))
            told = f"from {gateways[row]} to {region}: '{brief(column.iloc[row])}' {unit}"
            rule = f"must be a number >= 0, and at most {MOST_ONE_WAY_S:g} s one way"
            raise TraceError(f"{path}, line {row + 2}: {told}, {rule}")
    return Latencies(gateways, regions, one_way_s)


def restricted(found: Latencies, gateways: Sequence[str], regions: Sequence[str], path: Path) -> Latencies:
    """Those of the scenario's own gateways and regions, in its order. Raises `TraceError` for one that is not there."""
    for what, wanted, known in (("gateway", gateways, found.gateways), ("region", regions, found.regions)):
        missing = [name for name in wanted if name not in known]
        if missing:
            where = "row" if what == "gateway" else "column"
            told = f"{path}: no {where} for {what} '{brief(missing[0])}'{nearest(missing[0], known)}"
            more = f" (and {len(missing) - 1} more)" if missing[1:] else ""
            raise TraceError(f"{told}{more}; --rename THEIRS=OURS gives a name of theirs one of ours")
    rows = [found.gateways.index(name) for name in gateways]
    columns = [found.regions.index(name) for name in regions]
    return Latencies(tuple(gateways), tuple(regions), found.one_way_s[np.ix_(rows, columns)])


def to_toml(found: Latencies, path: Path, made_by: str) -> str:
    """The table `[network.latency_s]`, seconds to nine digits."""
    lines = [f"# One way, s. Made by: {made_by}", f"# {brief(path.name)}, SHA-256 {checksum(path)}", ""]
    for gateway, row in zip(found.gateways, found.one_way_s.tolist(), strict=True):
        lines.append(f"[network.latency_s.{_key(gateway)}]")
        lines += [f"{_key(region)} = {float(f'{s:.9g}')!r}" for region, s in zip(found.regions, row, strict=True)]
        lines.append("")
    return "\n".join(lines[:-1]) + "\n"


def _headings(cells: pd.DataFrame) -> tuple[tuple[list[str], str], tuple[list[str], str]]:
    return (cells.iloc[1:, 0].tolist(), "gateway"), (cells.iloc[0, 1:].tolist(), "region")


def _names(written: list[str], what: str, path: Path, renamed: Mapping[str, str]) -> tuple[str, ...]:
    """Names without blanks around them, each of them once."""
    names = [renamed.get(one.strip(), one.strip()) for one in written]
    for place, name in enumerate(names):
        where = f"line {place + 2}" if what == "gateway" else f"line 1, column {place + 2}"
        if not name:
            raise TraceError(f"{path}, {where}: no name of a {what}, must have one")
        if name in names[:place]:
            raise TraceError(f"{path}, {where}: {what} '{brief(name)}' is there twice, must be once")
    return tuple(names)


def _key(name: str) -> str:
    """A key of TOML: bare if it can be, else quoted."""
    if name.isascii() and name.replace("-", "_").isidentifier():
        return name
    escaped = "".join(one if one.isprintable() and one not in '"\\' else f"\\U{ord(one):08x}" for one in name)
    return f'"{escaped}"'
