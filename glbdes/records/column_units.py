"""The unit of each column, from the end of its name, as metadata that Parquet files carry.

A reader finds it at the column (`schema.field("e2e_s").metadata[b"unit"]` in pyarrow) and, for readers that show a
file's own metadata alone (DuckDB's `parquet_kv_metadata`), all of them as one JSON document under the key `units`.
"""

import json
from typing import Any, Final

import pyarrow as pa

METADATA: Final = "units"  # key of the file's own metadata

# What a name ends with, and the unit that it says.
ENDS: Final = {
    "ns": "ns",
    "s": "s",
    "ms": "ms",
    "kwh": "kWh",
    "w": "W",
    "usd": "USD",
    "kg": "kg",
    "g": "g",
    "l": "L",
    "rps": "1/s",
    "utc": "UTC",
}


def unit(name: str) -> str | None:
    """The unit that a column's name ends with: "kWh" of `it_kwh`, "g/kWh" of `carbon_g_per_kwh`; None: it says none."""
    above, _, below = name.rpartition("_per_")
    if above:
        over, under = unit(above), unit(f"_{below}")
        return f"{over}/{under}" if over and under else None
    head, _, end = name.rpartition("_")
    return ENDS.get(end) if head or name.startswith("_") else None


def with_units(schema: Any) -> Any:
    """`schema` with the unit of each column in the column's metadata and, of all, in its own. Types stay."""
    units = {field.name: found for field in schema if (found := unit(field.name)) is not None}
    fields = [field.with_metadata({"unit": units[field.name]}) if field.name in units else field for field in schema]
    return pa.schema(fields, metadata={METADATA: json.dumps(units)})
