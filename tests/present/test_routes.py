"""A plan for a real router says what the plan says: whole numbers that add up, in the format's own words."""

import json
from pathlib import Path

import numpy as np
import pytest

from glbdes.errors import RecordsError
from glbdes.present import routes, yaml_text
from glbdes.present.routes import Choices, Plan, Row

jsonschema = pytest.importorskip("jsonschema")
yaml = pytest.importorskip("yaml")

SCHEMA = json.loads(Path(__file__).with_name("httproute_v1.json").read_text())  # Apache-2.0, see its $comment
ROWS = [
    Row("new_york", None, {"texas": 1 / 3, "virginia": 2 / 3, "japan": 0.0}),
    Row("osaka", None, {"texas": 0.0, "virginia": 0.0, "japan": 1.0}),
]
CLASSES = [Row("osaka", "chat", {"texas": 0.25, "japan": 0.75}), Row("osaka", "batch", {"texas": 1.0, "japan": 0.0})]


def plan(rows=ROWS):
    return Plan("three", "eglb", 5, "2022-09-22T05:00:00", 3600.0, rows)


def documents(kind, rows=ROWS, **choices):
    return list(yaml.safe_load_all(routes.to(kind, plan(rows), Choices(**choices))))


def test_whole_numbers_add_up_and_are_as_near_as_can_be():
    rng = np.random.default_rng(1)
    for n in (1, 2, 3, 10, 16):
        for total in (1, 7, 10_000, 1_000_000):
            shares = rng.dirichlet(np.ones(n))
            found = routes.whole(shares, total)
            assert found.sum() == total
            assert (np.abs(found - shares * total) < 1).all()


def test_what_is_missing_goes_to_the_largest_remainders_and_of_equal_ones_to_the_first():
    assert routes.whole(np.array([0.5, 0.26, 0.24]), 10).tolist() == [5, 3, 2]
    assert routes.whole(np.array([1.0, 1.0, 1.0]) / 3, 10).tolist() == [4, 3, 3]
    assert routes.whole(np.array([0.0, 1.0]), 10_000).tolist() == [0, 10_000]


@pytest.mark.parametrize("backend", ["Service", "ServiceImport", "InferencePool"])
@pytest.mark.parametrize("rows", [ROWS, CLASSES])
def test_routes_are_what_the_published_schema_asks_for(rows, backend):
    found = documents("gateway-api", rows, backend=backend, namespace="llm")
    assert len(found) == len({row.gateway for row in rows})
    for route in found:
        jsonschema.Draft202012Validator(SCHEMA).validate(route)
        for rule in route["spec"]["rules"]:
            assert sum(one["weight"] for one in rule["backendRefs"]) == 10_000


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"weight": 1_000_001}, "greater than the maximum"),
        ({"weight": 0.5}, "not of type 'integer'"),
        ({"name": ""}, "non-empty|too short"),
        ({"share": 1}, "Additional properties"),
        ({"port": None}, "'port' is a required property"),
    ],
)
def test_the_schema_finds_faults(change, said):
    route = documents("gateway-api")[0]
    backend = route["spec"]["rules"][0]["backendRefs"][0]
    backend.update(change)
    if backend["port"] is None:
        del backend["port"]
    with pytest.raises(jsonschema.ValidationError, match=said):
        jsonschema.Draft202012Validator(SCHEMA).validate(route)


def test_a_gateways_route_says_its_shares():
    route, other = documents("gateway-api")
    assert route["metadata"]["name"] == "three-new-york"
    assert route["spec"]["parentRefs"] == [{"name": "new-york"}]
    assert route["spec"]["rules"][0]["backendRefs"] == [
        {"name": "texas", "port": 80, "weight": 3333},
        {"name": "virginia", "port": 80, "weight": 6667},
    ]
    assert other["spec"]["rules"][0]["backendRefs"] == [{"name": "japan", "port": 80, "weight": 10_000}]


def test_classes_with_plans_of_their_own_are_told_by_a_header():
    rules = documents("gateway-api", CLASSES)[0]["spec"]["rules"]
    assert [rule["matches"][0]["headers"] for rule in rules] == [
        [{"name": "x-slo-class", "value": "chat"}],
        [{"name": "x-slo-class", "value": "batch"}],
    ]
    routed = documents("envoy", CLASSES)[0]["virtual_hosts"][0]["routes"]
    assert routed[0]["match"]["headers"] == [{"name": "x-slo-class", "string_match": {"exact": "chat"}}]


def test_llm_d_draws_regions_by_their_weights_and_does_not_take_the_best():
    config = documents("llm-d")[0]
    plugins = {one["type"]: one for one in config["plugins"]}
    assert (config["apiVersion"], config["kind"]) == ("llm-d.ai/v1alpha1", "EndpointPickerConfig")
    assert plugins["multicluster-topology-scorer"]["parameters"] == {
        "field": "region",
        "weights": {"texas": 3333, "virginia": 6667},
    }
    named = {one.get("name", one["type"]) for one in config["plugins"]}
    used = [one["pluginRef"] for one in config["schedulingProfiles"][0]["plugins"]]
    assert used == ["plan", "weighted-random-picker"]
    assert set(used) <= named
    with pytest.raises(RecordsError, match=r"osaka: its classes \(chat, batch\) .* name a class with --slo"):
        documents("llm-d", CLASSES)
    assert documents("llm-d", CLASSES[:1])


def test_envoy_splits_between_clusters():
    found = documents("envoy", total=100)[0]["virtual_hosts"][0]["routes"][0]["route"]["weighted_clusters"]["clusters"]
    assert found == [{"name": "texas", "weight": 33}, {"name": "virginia", "weight": 67}]


def test_json_says_shares_to_the_last_bit():
    found = json.loads(routes.to("json", plan(), Choices()))
    assert found["gateways"]["new_york"]["shares"] == ROWS[0].shares
    assert found["gateways"]["new_york"]["weights"] == {"texas": 3333, "virginia": 6667}
    assert (found["slot"], found["time_utc"], found["total"]) == (5, "2022-09-22T05:00:00", 10_000)
    by_class = json.loads(routes.to("json", plan(CLASSES), Choices()))["gateways"]["osaka"]["classes"]
    assert by_class["batch"]["weights"] == {"texas": 10_000}


def test_more_backends_than_a_route_takes_are_refused():
    many = [Row("here", None, {f"r{n}": 1 / 17 for n in range(17)})]
    with pytest.raises(RecordsError, match="here: 17 regions have a weight, and an HTTPRoute takes at most 16"):
        documents("gateway-api", many)
    assert documents("envoy", many)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([Row("a", None, {"b_c": 0.5, "b-c": 0.5})], "'b_c' and 'b-c' are both called 'b-c'"),
        ([Row("a_", None, {"b": 1.0})], "'a-' is no name in Kubernetes"),
    ],
)
def test_names_that_kubernetes_does_not_take_are_refused(rows, said):
    with pytest.raises(RecordsError, match=said):
        documents("gateway-api", rows)


def test_yaml_is_read_as_it_was_meant():
    value = {
        "a": [1, -2.5, 1e-05, True, None, "no", "x: y", "", "0x1", "#", "é", "on", "a b"],
        "b": {"c": [], "d": {}, "e": [[1, 2], [{"f": "g", "h": [1]}]]},
        "true": "1e3",
    }
    assert yaml.safe_load(yaml_text.dump(value)) == value
    assert yaml.safe_load(yaml_text.dump([])) == []
