"""Regions of public clouds: where they stand, on which grid, and what their providers publish of energy and water.

The table is `cloud_regions/regions.csv`, the pages that it comes from `cloud_regions/sources.toml`. A cloud region is
called by its provider and its own name: "aws:eu-central-1". What a provider does not publish of a region is None.
"""

import csv
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from glbdes.errors import MOST_SHOWN, brief

FOLDER: Final = Path(__file__).with_name("cloud_regions")
PROVIDERS: Final = ("aws", "gcp", "azure")
LENT: Final = ("pue", "wue_l_per_kwh")  # signals that stand in, as constants, where nobody gives them
MOST_NEAR: Final = 3


class Cloud(NamedTuple):
    """A region of a public cloud."""

    name: str  # "aws:eu-central-1"
    place: str  # the town that the coordinates are of
    latitude_deg: float
    longitude_deg: float
    time_zone: str  # IANA
    zones: tuple[str, ...]  # of the grid: Electricity Maps' name, then others for the same
    pue: float | None
    wue_l_per_kwh: float | None  # on site, per IT kWh
    of: str  # what these two are of: the region, or a campus
    year: int | None

    @property
    def provider(self) -> str:
        return self.name.partition(":")[0]

    @property
    def place_deg(self) -> dict[str, float]:
        return {"latitude_deg": self.latitude_deg, "longitude_deg": self.longitude_deg}

    @property
    def constants(self) -> dict[str, float]:
        """Published values by signal."""
        return {key: value for key in LENT if (value := getattr(self, key)) is not None}


@cache
def known() -> Mapping[str, Cloud]:
    """Every cloud region by its name, sorted."""
    with (FOLDER / "regions.csv").open(encoding="utf-8", newline="") as lines:
        found = [_cloud(row) for row in csv.DictReader(lines)]
    return MappingProxyType({one.name: one for one in sorted(found)})


@cache
def sources() -> Mapping[str, Mapping[str, str]]:
    """By provider, and "zones": its name, and its pages on `regions` and `efficiency`."""
    return tomllib.loads((FOLDER / "sources.toml").read_text(encoding="utf-8"))


def of(name: Any) -> Cloud | None:
    """The cloud region called `name`, if there is one."""
    return known().get(name) if isinstance(name, str) else None


def near(name: str) -> str:
    """`; did you mean ...?` for the names closest to `name`, by themselves or without their provider."""
    if len(name) > MOST_SHOWN:
        return ""
    own = {one.partition(":")[2]: one for one in sorted(known(), reverse=True)}
    matches = get_close_matches(name, known(), MOST_NEAR, 0.6)
    matches += [own[match] for match in get_close_matches(name.partition(":")[2] or name, own, MOST_NEAR, 0.7)]
    found = [f"'{one}'" for one in list(dict.fromkeys(matches))[:MOST_NEAR]]
    return f"; did you mean {' or '.join(found)}?" if found else ""


def like(text: str | None, provider: str | None = None) -> Iterator[Cloud]:
    """Those of `provider` with `text` in their name, place, grid zone or time zone, whatever its case."""
    for one in known().values():
        words = " ".join((one.name, one.place, one.time_zone, *one.zones)).lower()
        if (provider is None or one.provider == provider) and (text is None or text.lower() in words):
            yield one


def unknown(name: str) -> str:
    """Why `name` is none of them."""
    return f"'{brief(name)}': no such cloud region{near(name)} (`glbdes regions list` has all)"


def _cloud(row: Mapping[str, str]) -> Cloud:
    def number(key: str) -> float | None:
        return float(row[key]) if row[key] else None

    return Cloud(
        name=row["cloud"],
        place=row["place"],
        latitude_deg=float(row["latitude_deg"]),
        longitude_deg=float(row["longitude_deg"]),
        time_zone=row["time_zone"],
        zones=tuple(row["zone"].split()),
        pue=number("pue"),
        wue_l_per_kwh=number("wue_l_per_kwh"),
        of=row["of"],
        year=int(row["year"]) if row["year"] else None,
    )
