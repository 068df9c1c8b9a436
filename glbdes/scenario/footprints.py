"""Footprints beyond carbon and water, as a scenario names them: what each is per kWh, and what it costs.

A footprint NAME of unit U is given by series, each a constant in a region's `footprints` or a column of its signals:

    per = "kwh"       NAME                             column NAME_U_per_kwh
    per = "water_l"   NAME, for all litres, or         column NAME_U_per_l
                      NAME_on_site and NAME_off_site   columns NAME_on_site_U_per_l, NAME_off_site_U_per_l

This module owns these names and the rules on them; what becomes of the series is in `signals.further`.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from glbdes.errors import brief, nearest
from glbdes.scenario.document import Document, Problem, number, pool_tables, table
from glbdes.scenario.kinds import Model, NonNegative

BUILT_IN: Final = ("carbon", "water")  # whose keys are their own, in [objective] and [regions.NAME]
MOST: Final = 16  # of one scenario
SIDES: Final = ("on_site", "off_site")
# Columns of records that a footprint of this name and unit would have, too.
TAKEN: Final = (
    *("cost_usd", "embodied_kg", "energy_kwh", "network_s", "waiting_s", "ttft_s", "tpot_s", "e2e_s"),
    *(f"{kind}_kwh" for kind in ("prefill", "decode", "idle", "sleep", "host", "it", "facility")),
    *(
        "attributed_kwh",
        "unattributed_kwh",
        "queue_mean",
        "queue_max",
        "in_system_mean",
        "stale_slots",
        "awake_planned",
    ),
    *("prompt_tokens", "output_tokens", "cached_tokens", "arrival_ns", "start_ns", "first_token_ns", "finish_ns"),
    *("request_id", "request_weight", "time_utc", "timed_out"),
)
PREFIXES: Final = ("unattributed_", "warmup_")  # of columns that each footprint has


class Footprint(Model):
    """`[footprints.NAME]`: its unit, what its signal is per, and the price of the largest regional one."""

    unit: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*$", max_length=16)]
    per: Literal["kwh", "water_l"] = "kwh"
    pue: bool = True  # per kWh of the facility, as carbon is; false: of IT energy
    price_usd_per_unit: NonNegative = 0.0  # of the objective's norm of it; 0: it is told, and nothing else


def column(series: str, footprint: Footprint) -> str:
    """The column of a file of signals that holds `series`."""
    return f"{series}_{footprint.unit}_per_{'kwh' if footprint.per == 'kwh' else 'l'}"


def alternatives(name: str, footprint: Footprint) -> tuple[tuple[str, ...], ...]:
    """The series that footprint `name` may be given by: one tuple, or another."""
    if footprint.per == "kwh":
        return ((name,),)
    return ((name,), tuple(f"{name}_{side}" for side in SIDES))


def columns(footprints: Mapping[str, Footprint]) -> dict[str, str]:
    """The columns that a file may have for `footprints`, and the series that each is."""
    return {
        column(series, one): series
        for name, one in footprints.items()
        for chosen in alternatives(name, one)
        for series in chosen
    }


def broken(document: Document) -> Iterator[Problem]:
    """Rules between footprints, the regions' constants and weights, and names that are there already."""
    named = table(document, "footprints")
    if len(named) > MOST:
        yield Problem("footprints", f": {len(named)}, must be <= {MOST}")
        return
    series: dict[str, str] = {}
    for name in named:
        yield from _name(str(name), table(named, name))
        sides = SIDES if table(named, name).get("per") == "water_l" else ()
        for one in (str(name), *(f"{name}_{side}" for side in sides)):
            if one in series:
                yield Problem(f"footprints.{name}", f": its series '{one}' is that of footprints.{series[one]}, too")
            series[one] = str(name)
    for region in table(document, "regions"):
        place = f"regions.{region}"
        for key in table(document, "regions", region, "footprints"):
            if key not in series:
                yield Problem(f"{place}.footprints.{key}", f": no such footprint{nearest(str(key), series)}")
        for key in table(document, "regions", region, "footprint_weights"):
            if key in BUILT_IN:
                yield Problem(f"{place}.footprint_weights.{key}", f": must be {place}.{key}_weight")
            elif key not in named:
                yield Problem(f"{place}.footprint_weights.{key}", f": no such footprint{nearest(str(key), named)}")


def _name(name: str, footprint: Document) -> Iterator[Problem]:
    unit = footprint.get("unit")
    if name in BUILT_IN:
        keys = "objective.carbon_usd_per_t" if name == "carbon" else "objective.water_usd_per_m3"
        yield Problem(f"footprints.{name}", f": {name} is there already, priced by {keys}; take another name")
    elif isinstance(unit, str) and (f"{name}_{unit}" in TAKEN or name.startswith(PREFIXES)):
        told = f": records may have a column '{brief(f'{name}_{unit}')}' already; take another name"
        yield Problem(f"footprints.{name}", told)
    if footprint.get("per") == "water_l" and footprint.get("pue") is False:
        rule = "must not be given with per = 'water_l': litres off site have it in them, those on site have not"
        yield Problem(f"footprints.{name}.pue", f" = false, {rule}")


def heard(document: Any) -> list[str]:
    """What a fault may hide from policies: signals, by the names that `[[faults]]` uses."""
    return ["price", *BUILT_IN, *map(str, table(document, "footprints"))]


def embodied(document: Document) -> Iterator[Problem]:
    """A replica that has `embodied_kg` has a life, and the other way round, in [fleet] and a region together."""
    shared = table(document, "fleet")
    for place, own in pool_tables(document):
        keys = ("embodied_kg", "life_years")
        given = {key: shared.get(key) if own.get(key) is None else own[key] for key in keys}
        lacking = [key for key, value in given.items() if value is None]
        if len(lacking) == 1:
            other = next(key for key in given if key != lacking[0])
            value = number({other: given[other]}, other)
            told = f": missing, must be given (here or in [fleet]) because {other} = {value:g}"
            yield Problem(f"{place}.{lacking[0]}", told)
