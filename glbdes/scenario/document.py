"""A scenario's plain document: what is absent or of another type is nothing, and breaks no rule."""

from collections.abc import Iterator, Mapping
from math import inf, nan
from typing import Any, NamedTuple

from glbdes.errors import MOST_SHOWN, brief

Document = Mapping[str, Any]


class Problem(NamedTuple):
    """A rule that is broken: where (dotted path) and what to say about it."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{brief(self.place)}{brief(self.message, 2 * MOST_SHOWN)}"


def table(document: Any, *keys: str) -> Document:
    """The table at `keys`; an empty one if there is none."""
    for key in keys:
        document = document.get(key) if isinstance(document, Mapping) else None
    return document if isinstance(document, Mapping) else {}


def entries(document: Document, key: str) -> list[Document]:
    """The list of tables at `key`, with an empty one for whatever in it is none."""
    value = document.get(key)
    return [table({key: entry}, key) for entry in value] if isinstance(value, list | tuple) else []


def number(table: Document, key: str) -> float:
    """The number at `key`; if there is none NaN, which breaks no rule."""
    value = table.get(key)
    try:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else nan
    except OverflowError:  # a whole number of hundreds of digits
        return inf


def pool_tables(document: Document) -> Iterator[tuple[str, Document]]:
    """The path and the table of every pool of a plain document: a region's own where it has no pools."""
    regions = table(document, "regions")
    for name in regions:
        pools = entries(table(regions, name), "pools")
        for index, pool in enumerate(pools):
            yield f"regions.{name}.pools.{index}", pool
        if not pools:
            yield f"regions.{name}", table(regions, name)
