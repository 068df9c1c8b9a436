"""Tables that a user names: CSV and Parquet files, their times and numbers, one error whatever a parser does.

Cells that are no time or no number become NaT and NaN, so that the reader of the table can say where they stand.
"""

import warnings
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from glbdes.base.reading import UnreadableError, regular
from glbdes.errors import MOST_SHOWN, brief

MOST_ROWS: Final = 10**8
FIRST, LAST = pd.Timestamp("1700-01-01", tz="UTC"), pd.Timestamp("2260-01-01", tz="UTC")  # of a stamp in nanoseconds


def csv(path: Path, **options: Any) -> pd.DataFrame:
    """The table in a CSV file, as `pandas.read_csv` with `options` gives it. Raises `UnreadableError`."""
    regular(path)
    return _csv(path, options)


def csv_content(content: bytes, **options: Any) -> pd.DataFrame:
    """As `csv`, of the content of a file that was read already."""
    return _csv(BytesIO(content), options)


def _csv(source: Path | BytesIO, options: dict[str, Any]) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header would lose cells
            warnings.simplefilter("ignore", pd.errors.DtypeWarning)  # mixed columns are told of cell by cell
            return pd.DataFrame(pd.read_csv(source, **options))
    except Exception as error:  # decoders, decompressors and parsers have their own ways to fail
        raise UnreadableError(f"cannot be read as a CSV table; truncated or damaged? ({_told(error)})") from error


def parquet(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """The table in a Parquet file, or those of `columns` that it has. Raises `UnreadableError`."""
    regular(path)
    try:
        file = pq.ParquetFile(path)
        rows = file.metadata.num_rows
        if rows <= MOST_ROWS:
            table = file.read(
                None if columns is None else [name for name in columns if name in file.schema_arrow.names]
            )
            table.validate(full=True)  # text that is none would be met later
            return pd.DataFrame(table.to_pandas())
    except Exception as error:  # as above, and a truncated file may say anything
        raise UnreadableError(f"cannot be read as Parquet; truncated or damaged? ({_told(error)})") from error
    raise UnreadableError(f"has {rows:,} rows, must have at most {MOST_ROWS:,}")


def stamps(column: "pd.Series[Any]") -> "pd.Series[pd.Timestamp]":
    """Times in UTC and nanoseconds; NaT where there is none in ISO 8601, or one far from the present."""
    try:
        times = pd.to_datetime(column, utc=True, errors="coerce", format="ISO8601")
    except (TypeError, ValueError, OverflowError):  # not even that can be asked of some objects
        times = pd.Series(pd.NaT, index=column.index, dtype="datetime64[ns, UTC]")
    return times.where((times >= FIRST) & (times < LAST)).dt.as_unit("ns")


def numbers(column: "pd.Series[Any]") -> "pd.Series[float]":
    """Floats; NaN where there is no number."""
    if column.dtype.kind not in "biufO" and not pd.api.types.is_string_dtype(column):
        return pd.Series(np.nan, index=column.index)
    try:
        return pd.to_numeric(column, errors="coerce").astype("float64")
    except (TypeError, ValueError, OverflowError):  # objects that are no scalars, numbers of hundreds of digits
        return pd.Series(np.nan, index=column.index)


def _told(error: Exception) -> str:
    return brief(str(error).strip() or type(error).__name__, 2 * MOST_SHOWN)
