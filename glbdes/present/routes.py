"""A slot's plan as configurations of real routers.

Shares become whole numbers by the largest remainder, so that each gateway's add up exactly. Sources of the formats: the
HTTPRoute of Gateway API v1 (at most 16 backends, weights 0 to 1,000,000), llm-d's `EndpointPickerConfig` with its
scorer of whole clusters, Envoy's `RouteConfiguration`.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from glbdes.errors import RecordsError, brief
from glbdes.present import yaml_text
from glbdes.world import Floats, Ints

TOTAL: Final = 10_000
MOST_TOTAL: Final = 1_000_000  # of one weight in Kubernetes
MOST_BACKENDS: Final = 16  # of a rule of an HTTPRoute
MOST_NAME: Final = 253
_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
BACKENDS: Final[Mapping[str, Mapping[str, str]]] = {
    "Service": {},
    "ServiceImport": {"group": "multicluster.x-k8s.io", "kind": "ServiceImport"},
    "InferencePool": {"group": "inference.networking.k8s.io", "kind": "InferencePool"},
}


class Row(NamedTuple):
    """Where the requests of a gateway go, or of one class of it: shares by region, which add up to 1."""

    gateway: str
    slo: str | None  # None: all classes
    shares: Mapping[str, float]


class Plan(NamedTuple):
    """What held in a slot of a run."""

    scenario: str
    policy: str
    slot: int
    time_utc: str
    slot_s: float
    rows: Sequence[Row]


@dataclass(frozen=True)
class Choices:
    """What a configuration needs beside the plan."""

    total: int = TOTAL
    namespace: str | None = None
    backend: str = "Service"
    port: int = 80
    class_header: str = "x-slo-class"  # says a request's class where classes have plans of their own
    clusters: str = "/etc/epp/clusters.yaml"  # llm-d: the file that lists the clusters


def to(kind: str, plan: Plan, choices: Choices) -> str:
    """The text of a configuration, `kind` one of `KINDS`. Raises `RecordsError` for what the format cannot say."""
    return KINDS[kind](plan, choices)


def whole(shares: Floats, total: int) -> Ints:
    """`shares` [n], >= 0, as whole numbers that add up to `total`: rounded down, and what is missing to the largest
    remainders, of equal ones to the first.
    """
    exact = shares / shares.sum() * total
    floor = np.floor(exact)
    missing = total - int(floor.sum())
    order = np.argsort(-(exact - floor), kind="stable")
    floor[order[:missing]] += 1
    return np.asarray(floor, dtype=np.int64)


def weights(row: Row, total: int) -> dict[str, int]:
    """The whole-number weights of a row by region; regions that get none are left out."""
    found = whole(np.array(list(row.shares.values())), total)
    return {region: int(weight) for region, weight in zip(row.shares, found, strict=True) if weight}


def _of_gateway(plan: Plan) -> Iterator[tuple[str, list[Row]]]:
    for gateway in dict.fromkeys(row.gateway for row in plan.rows):
        yield gateway, [row for row in plan.rows if row.gateway == gateway]


def _about(plan: Plan) -> str:
    return f"{plan.scenario}, policy {plan.policy}, slot {plan.slot}, from {plan.time_utc} UTC for {plan.slot_s:g} s"


def _json(plan: Plan, choices: Choices) -> str:
    gateways: dict[str, Any] = {}
    for row in plan.rows:
        said = {"shares": dict(row.shares), "weights": weights(row, choices.total)}
        if row.slo is None:
            gateways[row.gateway] = said
        else:
            gateways.setdefault(row.gateway, {"classes": {}})["classes"][row.slo] = said
    document = {**plan._asdict(), "total": choices.total, "gateways": gateways}
    return json.dumps({key: value for key, value in document.items() if key != "rows"}, indent=2) + "\n"


def _gateway_api(plan: Plan, choices: Choices) -> str:
    names = _dns([*(row.gateway for row in plan.rows), *(region for row in plan.rows for region in row.shares)])
    documents = []
    for gateway, rows in _of_gateway(plan):
        metadata: dict[str, Any] = {"name": _checked(f"{_dashed(plan.scenario)}-{names[gateway]}")}
        if choices.namespace is not None:
            metadata["namespace"] = choices.namespace
        route = {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": metadata,
            "spec": {
                "parentRefs": [{"name": names[gateway]}],
                "rules": [_rule(row, names, choices) for row in rows],
            },
        }
        documents.append((f"Gateway {gateway}: {_about(plan)}", route))
    return yaml_text.documents(documents)


def _rule(row: Row, names: Mapping[str, str], choices: Choices) -> dict[str, Any]:
    found = weights(row, choices.total)
    if len(found) > MOST_BACKENDS:
        rule = f"an HTTPRoute takes at most {MOST_BACKENDS} backends (a smaller --total rounds small shares away)"
        raise RecordsError(f"gateway {row.gateway}: {len(found)} regions have a weight, and {rule}")
    match: dict[str, Any] = {"path": {"type": "PathPrefix", "value": "/"}}
    if row.slo is not None:
        match["headers"] = [{"name": choices.class_header, "value": row.slo}]
    port = {} if choices.backend == "InferencePool" else {"port": choices.port}
    backends = [
        {**BACKENDS[choices.backend], "name": names[region], **port, "weight": weight}
        for region, weight in found.items()
    ]
    return {"matches": [match], "backendRefs": backends}


def _llm_d(plan: Plan, choices: Choices) -> str:
    documents = []
    for gateway, rows in _of_gateway(plan):
        if len(rows) > 1:
            classes = ", ".join(str(row.slo) for row in rows)
            rule = "an EndpointPickerConfig has one plan: name a class with --slo"
            raise RecordsError(f"gateway {gateway}: its classes ({classes}) have plans of their own, and {rule}")
        topology = {"field": "region", "weights": weights(rows[0], choices.total)}
        config = {
            "apiVersion": "llm-d.ai/v1alpha1",
            "kind": "EndpointPickerConfig",
            "plugins": [
                {"type": "multicluster-file-discovery", "name": "clusters", "parameters": {"path": choices.clusters}},
                {"type": "topology-extractor", "parameters": {"region": "region"}},
                {"type": "multicluster-topology-scorer", "name": "plan", "parameters": topology},
                {"type": "weighted-random-picker"},
            ],
            "schedulingProfiles": [
                {
                    "name": "clusters",
                    "plugins": [{"pluginRef": "plan", "weight": 1}, {"pluginRef": "weighted-random-picker"}],
                }
            ],
        }
        told = f"Gateway {gateway}: {_about(plan)}\nOne endpoint a region, with its name as the label 'region'."
        documents.append((told, config))
    return yaml_text.documents(documents)


def _envoy(plan: Plan, choices: Choices) -> str:
    documents = []
    for gateway, rows in _of_gateway(plan):
        routes = []
        for row in rows:
            match: dict[str, Any] = {"prefix": "/"}
            if row.slo is not None:
                match["headers"] = [{"name": choices.class_header, "string_match": {"exact": row.slo}}]
            found = weights(row, choices.total)
            clusters = [{"name": region, "weight": weight} for region, weight in found.items()]
            routes.append({"match": match, "route": {"weighted_clusters": {"clusters": clusters}}})
        host = {"name": gateway, "domains": ["*"], "routes": routes}
        documents.append((f"Gateway {gateway}: {_about(plan)}", {"name": gateway, "virtual_hosts": [host]}))
    return yaml_text.documents(documents)


def _dns(names: Sequence[str]) -> dict[str, str]:
    """What names are called in Kubernetes: with - for _. Raises `RecordsError` if that is no name, or two are alike."""
    found: dict[str, str] = {}
    for name in dict.fromkeys(names):
        called = _checked(_dashed(name))
        twin = next((other for other, taken in found.items() if taken == called), None)
        if twin is not None:
            raise RecordsError(f"'{twin}' and '{name}' are both called '{called}' in Kubernetes, must differ")
        found[name] = called
    return found


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _checked(name: str) -> str:
    if len(name) > MOST_NAME or not _LABEL.fullmatch(name):
        rule = f"must be at most {MOST_NAME} lower-case letters, digits and -, and end with a letter or digit"
        raise RecordsError(f"'{brief(name)}' is no name in Kubernetes, {rule}")
    return name


KINDS: Final[Mapping[str, Callable[[Plan, Choices], str]]] = {
    "gateway-api": _gateway_api,
    "llm-d": _llm_d,
    "envoy": _envoy,
    "json": _json,
}
