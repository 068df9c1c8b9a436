"""Pools, models and classes: what goes together, and what is told if it does not."""

from copy import deepcopy
from typing import Any

import pytest

from glbdes.errors import ScenarioError
from glbdes.scenario import load, pools, validate

PLACE = {"latitude_deg": 0.0, "longitude_deg": 0.0, "price_usd_per_kwh": 0.1, "carbon_g_per_kwh": 1.0}
PLACE |= {"wue_l_per_kwh": 1.0, "ewif_l_per_kwh": 1.0, "pue": 1.1}
SMALL = {"name": "small", "profile": "h100_llama8b", "model": "8b"}
LARGE = {"name": "large", "profile": "h200_qwen32b", "model": "32b"}
MIXED: dict[str, Any] = {
    "name": "mixed",
    "time": {"slots": 1},
    "regions": {"one": {**PLACE, "pools": [SMALL, LARGE]}, "two": {**PLACE, "profile": "h100_llama8b", "model": "8b"}},
    "gateways": {"one": {"rate_per_s": 1.0}},
    "slo": {"chat": {"model": "8b"}, "deep": {"model": "32b"}},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """`MIXED` with a value at a dotted path; None removes what is there."""
    document = deepcopy(MIXED)
    *keys, last = path.split(".")
    holder: Any = document
    for key in keys:
        holder = holder[int(key)] if isinstance(holder, list) else holder.setdefault(key, {})
    if value is None:
        del holder[last]
    else:
        holder[int(last) if isinstance(holder, list) else last] = value
    return document


def test_pools_are_columns_region_by_region() -> None:
    found = pools.columns(validate(MIXED))
    assert [one.place for one in found] == ["one.small", "one.large", "two"]
    assert [(one.region, one.pool, one.model) for one in found] == [
        (0, "small", "8b"),
        (0, "large", "32b"),
        (1, None, "8b"),
    ]


def test_pools_of_one_model_stand_side_by_side() -> None:
    more = {**SMALL, "name": "more"}
    found = pools.columns(validate(changed("regions.one.pools", [SMALL, LARGE, more])))
    assert [one.place for one in found] == ["one.small", "one.more", "one.large", "two"]


PROBLEMS = {
    "a class without its model": ("slo.deep.model", "70b", "slo.deep.model = '70b': no pool serves it"),
    "a class that does not choose": ("slo.deep.model", None, "slo.deep.model: missing, must be one of '8b', '32b'"),
    "a pool that does not say": (
        "regions.one.pools.1.model",
        None,
        "regions.one.pools.1.model: missing, must be given",
    ),
    "a region that does not say": ("regions.two.model", None, "regions.two.model: missing, must be given"),
    "a pool without a profile": ("regions.one.pools.0.profile", None, "regions.one.pools.0: has no `profile`, must be"),
    "a pool without a name": ("regions.one.pools.0.name", None, "regions.one.pools.0.name"),
    "two of a name": ("regions.one.pools.1.name", "small", "regions.one.pools: 2 are called 'small'"),
    "keys beside pools": ("regions.one.replicas", 3, "regions.one.replicas: must not stand beside the region's pools"),
    "a capacity beside pools": ("regions.one.capacity", 3.0, "regions.one.capacity: must not stand beside"),
    "too few awake": ("regions.one.pools.0.min_awake", 3, "regions.one.pools.0.min_awake = 3, must be <= 1"),
    "half an embodied footprint": ("regions.one.pools.1.embodied_kg", 9.0, "regions.one.pools.1.life_years: missing"),
    "no class at all": ("slo", None, "slo.default.model: missing, must be one of"),
}


@pytest.mark.parametrize("what", PROBLEMS)
def test_what_does_not_go_together_is_told(what: str) -> None:
    path, value, told = PROBLEMS[what]
    with pytest.raises(ScenarioError) as caught:
        validate(changed(path, value))
    assert told in str(caught.value)


def test_pools_of_one_model_in_a_region_may_sleep_and_be_capped() -> None:
    alike = changed("regions.one.pools", [SMALL, {**SMALL, "name": "more"}, LARGE])
    for rule in ("always_on", "follow", "planned"):
        validate(alike | {"scaling": {"rule": rule}})
    validate(alike | {"faults": [{"region": "one", "kind": "power_cap", "max_kw": 9.0, "start_h": 0.0, "end_h": 1.0}]})


def test_the_shipped_scenario_has_two_models_and_two_pools_of_one() -> None:
    mixed, _ = load("mixed")
    found = pools.columns(mixed)
    assert {one.model for one in found} == {"llama8b", "qwen32b"}
    assert [one.place for one in found if one.place.startswith("vancouver")] == [
        "vancouver.h100",
        "vancouver.h200",
        "vancouver.large",
    ]
