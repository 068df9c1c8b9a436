"""SLO classes that may not go far, or not everywhere: a hard limit on one-way latency, or a model, by class.

A plan gives a gateway one row of weights. If classes have limits, or ask for different models, what a gateway's
requests may do depends on their class, so each class of each gateway becomes a row of its own, `gateway * classes +
class`: with its own mask, its share of the demand and its requests. Engines and policies need not know; records say
gateway and class again.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from glbdes.errors import ScenarioError
from glbdes.scenario import Scenario, pools
from glbdes.units import MS_PER_S, NS_PER_S
from glbdes.workload import Requests
from glbdes.world.arrays import Bools, Ints, World
from glbdes.world.pools import serves


def by_class(scenario: Scenario, world: World) -> World:
    """`world`, with a row for each gateway and class if any class has a limit, or there are several models.

    Raises `ScenarioError` if a gateway has no region with the model of a class, or none within its limit.
    """
    classes, columns = list(scenario.slo.values()), pools.columns(scenario)
    several = len({one.model for one in columns}) > 1
    if all(slo.max_one_way_ms is None for slo in classes) and not several:
        return world
    count = len(classes)
    share = np.array([slo.share for slo in classes])
    limit_ms = np.array([np.inf if slo.max_one_way_ms is None else slo.max_one_way_ms for slo in classes])
    latency_ns = np.repeat(world.latency_ns, count, axis=0)
    limit_ns = np.tile(limit_ms / MS_PER_S * NS_PER_S, world.gateways)
    allowed = np.repeat(world.allowed, count, axis=0)
    if several:
        models = [pools.model_of(scenario, name) for name in scenario.slo]
        allowed &= np.tile(serves(columns, models), (world.gateways, 1))
        problems = list(_without(scenario, np.asarray(allowed.any(axis=1))))
        if problems:
            raise ScenarioError(problems)
    within: Bools = allowed & (latency_ns <= limit_ns[:, None] + 0.5)
    nearest_ns = np.where(allowed, latency_ns, np.iinfo(np.int64).max).min(axis=1)
    problems = list(_isolated(scenario, nearest_ns, np.asarray(within.any(axis=1))))
    if problems:
        raise ScenarioError(problems)

    def requests(slot: int) -> Requests:
        drawn = world.requests(slot)
        return replace(drawn, gateway=drawn.gateway * count + drawn.slo)

    return replace(
        world,
        latency_ns=latency_ns,
        allowed=within,
        expected_rps=np.repeat(world.expected_rps, count, axis=1) * np.tile(share / share.sum(), world.gateways),
        requests=requests,
        classes=count,
    )


def row_names(scenario: Scenario, world: World) -> list[str]:
    """What each row of a plan is called: its gateway, and its class if rows are told apart by class."""
    if world.classes == 1:
        return list(scenario.gateways)
    return [f"{gateway} ({slo})" for gateway in scenario.gateways for slo in scenario.slo]


def _without(scenario: Scenario, served: Bools) -> Iterator[str]:
    """A line for each gateway and class whose model none of the gateway's regions has."""
    rows = [(gateway, name, slo) for gateway in scenario.gateways for name, slo in scenario.slo.items()]
    for (gateway, name, slo), open_to in zip(rows, served, strict=True):
        if not open_to:
            yield f"slo.{name}.model = '{slo.model}': no region that gateway '{gateway}' may use serves it"


def _isolated(scenario: Scenario, nearest_ns: Ints, reached: Bools) -> Iterator[str]:
    """A line for each gateway and class without any region."""
    rows = [(gateway, name, slo) for gateway in scenario.gateways for name, slo in scenario.slo.items()]
    for (gateway, name, slo), nearest, open_to in zip(rows, nearest_ns, reached, strict=True):
        if not open_to:
            least = f"must be >= {nearest / NS_PER_S * MS_PER_S:g} ms, the nearest region of gateway '{gateway}'"
            yield f"slo.{name}.max_one_way_ms = {slo.max_one_way_ms:g} ms, {least}"
