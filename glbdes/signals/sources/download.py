"""A file as somebody downloaded it: its bytes, their hash, its table, its columns by name.

Compressed with gzip or not. What columns mean is the source's.
"""

import gzip
import hashlib
import unicodedata
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glbdes.base import tables
from glbdes.base.files import reason
from glbdes.base.reading import UnreadableError, json_document, regular
from glbdes.errors import SignalError, brief, nearest

MOST_BYTES: Final = 1 << 30  # of a file, unpacked
_GZIP: Final = b"\x1f\x8b"


@dataclass(frozen=True)
class Download:
    """One file: where it is, the SHA-256 of its bytes as they lie there, its bytes unpacked."""

    path: Path
    sha256: str
    content: bytes

    def table(self, **options: Any) -> pd.DataFrame:
        """Its CSV table; columns without blanks around them, rows that are empty left out. Raises `SignalError`."""
        try:
            table = tables.csv_content(self.content, **({"skipinitialspace": True} | options))
        except UnreadableError as error:
            raise SignalError(f"{self.path}: {error}") from error
        if isinstance(table.columns, pd.MultiIndex):
            table.columns = [" / ".join(map(str, names)).strip() for names in table.columns]
        table.columns = [str(name).strip() for name in table.columns]
        if table.empty:
            raise SignalError(f"{self.path}: has no rows, must have one for each time")
        return table

    def document(self) -> Any:
        """Its JSON document. Raises `SignalError`."""
        try:
            return json_document(self.content.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise SignalError(f"{self.path}: is not UTF-8 text, must be JSON") from error
        except UnreadableError as error:
            raise SignalError(f"{self.path}: {error}") from error


def fetch(path: Path) -> Download:
    """The file at `path`. Raises `SignalError` where it cannot be read or unpacked, or is too large."""
    try:
        regular(path, MOST_BYTES)
        content = path.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        if content.startswith(_GZIP):
            with gzip.open(BytesIO(content)) as file:
                content = file.read(MOST_BYTES + 1)
    except UnreadableError as error:
        raise SignalError(f"{path}: {error}") from error
    except (OSError, EOFError, zlib.error) as error:
        raise SignalError(f"{path}: cannot be read: {reason(error)}; damaged? Download it again") from error
    if len(content) > MOST_BYTES:
        raise SignalError(f"{path}: has more than {MOST_BYTES:,} bytes unpacked, must have at most that")
    return Download(path, sha256, content)


def row(bad: "pd.Series[bool]") -> int:
    """The row of the file, counted from 1 without the header, where `bad`, of some or all rows, is first true."""
    return int(bad.index[int(np.argmax(bad.to_numpy(dtype=bool)))]) + 1


def find(table: pd.DataFrame, names: Sequence[str]) -> str | None:
    """The column of `table` that has the first of `names` it knows; letters' case and kinds of digits are the same."""
    plain = {_plain(column): column for column in table.columns}
    return next((plain[_plain(name)] for name in names if _plain(name) in plain), None)


def column(table: pd.DataFrame, names: Sequence[str], download: Download, remedy: str = "") -> str:
    """As `find`. Raises `SignalError` if there is no such column, with the columns that there are."""
    found = find(table, names)
    if found is None:
        wanted = " or ".join(f"'{name}'" for name in names)
        has = brief(", ".join(map(str, table.columns)))
        told = f"{download.path}: has no column {wanted}{nearest(names[0], table.columns)} (it has: {has})"
        raise SignalError(told + (f"; {remedy}" if remedy else ""))
    return found


def numbers(column: "pd.Series[Any]", download: Download) -> NDArray[np.float64]:
    """Floats, NaN where a cell is empty. Raises `SignalError` for a cell that is neither, or infinite."""
    values = tables.numbers(column)
    wrong = (values.isna() & column.notna()) | np.isinf(values)
    if wrong.any():
        told = f"{column.name} = {brief(column[wrong].iloc[0])}, must be a number, or empty where it is unknown"
        raise SignalError(f"{download.path}, row {row(wrong)}: {told}")
    return np.asarray(values, dtype=np.float64)


def zones(
    table: pd.DataFrame, name: str, download: Download, chosen: Iterable[str], remedy: str = "choose with --zone"
) -> dict[str, "pd.Series[bool]"]:
    """The rows of each zone in column `name`: those `chosen`, or the only one there is.

    Raises `SignalError` if a zone is empty or not there, or there are several and none is chosen.
    """
    column = table[name].astype("string").str.strip()
    if (empty := column.isna() | (column == "")).any():
        raise SignalError(f"{download.path}, row {row(empty)}: {name} is empty, must name a zone")
    there = list(dict.fromkeys(column))
    if missing := [zone for zone in chosen if zone not in there]:
        known = f"; the file has {brief(', '.join(there))}"
        raise SignalError(f"{download.path}: has no zone '{brief(missing[0])}'{nearest(missing[0], there)}{known}")
    wanted = list(dict.fromkeys(chosen)) or there
    if len(wanted) > 1 and not chosen:
        told = f"{name} = {brief(there[1])} after {brief(there[0])}: has {len(there)} zones, must have one; {remedy}"
        raise SignalError(f"{download.path}, row {row(column != there[0])}: {told}")
    return {zone: column == zone for zone in wanted}


def _plain(name: object) -> str:
    return " ".join(unicodedata.normalize("NFKC", str(name)).casefold().split())
