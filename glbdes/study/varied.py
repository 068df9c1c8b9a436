"""Whose replicas a search varies: regions, and pools of regions by themselves, each called by its place."""

from collections.abc import Mapping, Sequence
from typing import Any

from glbdes.errors import ScenarioError, brief, nearest
from glbdes.scenario import Scenario, pools
from glbdes.scenario.pools import Column


def varied(vary: Sequence[str], scenario: Scenario) -> dict[str, int]:
    """The replicas, as the scenario has them, of every pool that `vary` names, by its place ("texas", "utah.h100").

    Raises `ScenarioError` with everything else in `vary`.
    """
    columns, chosen, problems = pools.columns(scenario), set[str](), [] if vary else [NOTHING]
    for text in vary:
        found = _meant(text.strip().split("."), scenario, columns)
        if isinstance(found, str):
            problems.append(f"--vary '{brief(text)}': {found}")
        else:
            chosen |= {one.place for one in found}
    if problems:
        raise ScenarioError(problems)
    shared = scenario.fleet.replicas or 1
    return {one.place: one.keys.replicas or shared for one in columns if one.place in chosen}


def put_in(document: dict[str, Any], replicas: Mapping[str, int]) -> None:
    """Give every pool of `replicas` that many, in a scenario's `document`."""
    for place, count in replicas.items():
        name, _, pool = place.partition(".")
        region = document["regions"][name]
        owner = next(one for one in region["pools"] if one["name"] == pool) if pool else region
        owner["replicas"] = count


NOTHING = "--vary: nothing to vary; e.g. regions.*.replicas"
RULE = "must be regions.*.replicas, regions.NAME.replicas or regions.NAME.pools.N.replicas"


def _meant(parts: Sequence[str], scenario: Scenario, columns: Sequence[Column]) -> Sequence[Column] | str:
    """The pools that the `parts` of a key mean; or what is wrong with it."""
    names = list(scenario.regions)
    match parts:
        case ["regions", "*", "replicas"]:
            return columns
        case ["regions", name, "replicas"] | ["regions", name, "pools", _, "replicas"] if name not in names:
            return f"no such region{nearest(name, names)}"
        case ["regions", name, "replicas"]:
            return [one for one in columns if names[one.region] == name]
        case ["regions", name, "pools", number, "replicas"]:
            there = scenario.regions[name].pools
            if number not in map(str, range(len(there))):
                return f"no such pool; regions.{name} has {len(there)}, counted from 0"
            return [one for one in columns if names[one.region] == name and one.pool == there[int(number)].name]
    return RULE
