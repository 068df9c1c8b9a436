"""Local time by the names of the IANA time zone database, from the package tzdata: no system's own rules."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from glbdes.units import S_PER_H


@cache
def names() -> frozenset[str]:
    """Every name that is known: "Europe/Berlin", "America/Chicago", ..."""
    return frozenset((files("tzdata") / "zones").read_text(encoding="utf-8").split())


def offsets_h(name: str, moments: Sequence[datetime]) -> list[float]:
    """Hours that local time in the zone `name`, one of `names()`, is ahead of UTC at each moment (UTC, no offset)."""
    local = zone(name)
    ahead = (moment.replace(tzinfo=UTC).astimezone(local).utcoffset() for moment in moments)
    return [0.0 if offset is None else offset.total_seconds() / S_PER_H for offset in ahead]


@cache
def zone(name: str) -> ZoneInfo:
    """The rules of the zone `name`, one of `names()`."""
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)
