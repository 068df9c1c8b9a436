"""Pools of one model in one region whose replicas are told to be awake or asleep: who is, and who gets requests.

Kernels of such worlds take longer to compile than all else here, so the compiled engine's are run by the interpreter,
in a process of their own, and compiled in the slow tests.
"""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glbdes.hardware.physics import LEAST_LOADED
from glbdes.world import Plan, View, World
from glbdes.world.scaling import Cap, Scaler, Scaling
from glbdes.world.view import Planner
from tests.engine.test_elastic import TOKENS, S
from tests.engine.test_queueing import ENGINES
from tests.worlds import Fixed, ListSink, make_fleet, make_requests, make_world

COMPILED = () if numba.config.DISABLE_JIT else (pytest.mark.slow,)
EACH = pytest.mark.parametrize("engine", ["simpy", pytest.param("fast", marks=COMPILED)])
FIRST = np.array([0, 0, 2])  # two pools of one model, and one of another


class Told:
    """A policy that keeps so many replicas of each pool awake in each slot; None: it does not say."""

    def __init__(self, *awake: list[int] | None) -> None:
        self.awake = awake

    def plan(self, view: View) -> np.ndarray | Plan:
        weights = view.mask * np.array([1.0] + [0.0] * (view.mask.shape[1] - 1))
        count = self.awake[view.slot]
        return weights if count is None else Plan(weights, np.array(count))


def two_pools(arrivals_s, engine: str, *awake: list[int] | None, in_order: bool = False, **given) -> ListSink:
    """Pools of two replicas that take one request at a time, a second for each, and 5 s to wake up."""
    fleet = make_fleet(
        2, replicas=2, max_batch=1, prefill_s=0.0 * TOKENS + 1.0, prefill_j=0.0 * TOKENS + 500.0, wake_ns=5 * S
    )
    how = Scaling("planned", np.zeros(2, int), np.ones(2), np.ones(2), 10 * S, 0, 0)._replace(**given)
    requests = make_requests((np.asarray(arrivals_s) * S).astype(int), 10, 1)
    world = make_world(requests, slots=len(awake), slot_s=100.0, regions=2, fleet=fleet, scaling=how)
    world = replace(
        world,
        region_of=np.array([0, 0]),
        first_of=np.array([0, 0]),
        pools_in_order=in_order,
        allowed=np.array([[True, False]]),
    )
    sink = ListSink()
    ENGINES[engine](world, Told(*awake), sink, policy_name="told")
    return sink


@EACH
@pytest.mark.parametrize("in_order", [False, True])
def test_a_pool_without_a_replica_awake_gets_no_request_while_another_has_one(engine: str, in_order: bool) -> None:
    sink = two_pools([10, 10.1, 10.2, 10.3], engine, [0, 1], in_order=in_order)
    assert sink.table["region"].tolist() == [1, 1, 1, 1]
    assert (sink.table["start_ns"] / S).tolist() == [10, 11, 12, 13]
    assert sink.meter("wakes").tolist() == [[0, 0]]


@EACH
def test_a_pool_whose_replicas_wake_up_gets_requests_when_they_have(engine: str) -> None:
    """Told as the second slot begins, they are awake at 105 s; the first pool is the one to have requests before."""
    sink = two_pools([101, 101, 101, 106, 106, 106], engine, [1, 0], [1, 2])
    assert sink.table["region"].tolist() == [0, 0, 0, 0, 1, 1]
    assert (sink.table["start_ns"] / S).tolist() == [101, 102, 103, 106, 106, 106]


@EACH
def test_where_no_pool_has_a_replica_awake_one_that_wakes_up_gets_requests_or_else_the_first(engine: str) -> None:
    assert two_pools([10, 11], engine, [0, 0]).table["region"].tolist() == [0, 0]
    sink = two_pools([100.5, 101], engine, [0, 0], [0, 1])
    assert sink.table["region"].tolist() == [1, 1]
    assert (sink.table["start_ns"] / S).tolist() == [105, 106]


@EACH
def test_a_plan_without_numbers_wakes_the_cheapest_pool_beside_what_is_awake_anyway(engine: str) -> None:
    """1.5 requests/s of replicas that serve one each: two replicas of the cheapest, or one where another is awake."""
    arrivals = np.arange(0.0, 100.0, 1 / 1.5)
    for least, cheapest, awake in (([0, 0], [0, 1], [2, 0]), ([0, 0], [1, 0], [0, 2]), ([1, 0], [1, 0], [1, 1])):
        sink = two_pools(arrivals, engine, None, least=np.array(least), cheapest=np.array(cheapest))
        assert sink.slots[0].awake.tolist() == awake


@EACH
def test_where_a_cap_is_in_force_the_other_pool_does_the_work(engine: str) -> None:
    caps = (Cap(0, 100 * S, 200 * S, 1),)
    arrivals = np.arange(0.0, 200.0, 0.5)
    sink = two_pools(arrivals, engine, None, None, cheapest=np.array([0, 1]), caps=caps)
    assert [record.awake.tolist() for record in sink.slots] == [[2, 0], [1, 1]]


# What the rules say


def elastic_world(rng: np.random.Generator, rule: str) -> World:
    """Three pools, two of them of one model, and a load of up to all that they can serve."""
    replicas = rng.integers(1, 9, 3)
    how = Scaling(
        rule=rule,
        least=np.minimum(rng.integers(0, 3, 3), replicas),
        utilisation=rng.uniform(0.3, 1.0, 3),
        replica_rps=rng.uniform(0.5, 5.0, 3),
        every_ns=10 * S,
        cool_down_ns=0,
        age_ns=0,
        cheapest=rng.permutation(3),
        caps=tuple(Cap(r, 0, 50 * S, int(rng.integers(1, replicas[r] + 1))) for r in range(3) if rng.random() < 0.3),
    )
    world = make_world(
        make_requests([]), slot_s=100.0, regions=3, gateways=2, fleet=make_fleet(3, replicas=replicas), scaling=how
    )
    most = how.aimed_rps * replicas
    loads = [rng.uniform(0.0, 1.2) * most[:2].sum(), rng.uniform(0.0, 1.2) * most[2]]
    return replace(
        world,
        region_of=np.array([0, 0, 1]),
        first_of=FIRST,
        pools_in_order=bool(rng.integers(2)),
        expected_rps=np.array([loads]),
        allowed=np.array([[True, False, False], [False, False, True]]),
    )


def said(world: World, now_ns: int = 0) -> np.ndarray:
    """What a scaler says in the first slot of a plan that sends each gateway's load to its own model."""
    planner = Planner(world, Fixed(world.allowed), "test")
    weights = planner.plan(0, world.expected_rps[0], np.ones(3, dtype=bool))
    scaler = Scaler(world)
    scaler.open_slot(0, weights, planner)
    found = scaler.awake(now_ns, np.zeros(3, dtype=np.int64))
    assert found is not None
    return found


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 1 << 32), st.sampled_from(["planned", "follow"]))
def test_pools_of_one_model_are_together_as_many_as_their_load_needs(seed: int, rule: str) -> None:
    """They serve the load as far as caps let them, each within its own limits; a plan's, with less than a replica to
    spare where more are awake than are so anyway."""
    world = elastic_world(np.random.default_rng(seed), rule)
    scaling = world.scaling
    assert scaling is not None
    most = scaling.most(world.fleet.replicas, 0, world.period_ns)
    awake = said(world)
    assert (awake <= most).all()
    assert (awake >= np.minimum(scaling.least, most)).all()
    load = world.expected_rps[0]
    serve = np.bincount(FIRST, awake * scaling.aimed_rps)[[0, 2]]
    can = np.bincount(FIRST, most * scaling.aimed_rps)[[0, 2]]
    assert (serve >= np.minimum(load, can) * (1 - 1e-9)).all()
    if rule == "planned":
        for r in np.flatnonzero(awake > scaling.least):
            lead = FIRST[r]
            assert serve[lead // 2] - load[lead // 2] < scaling.aimed_rps[lead == FIRST].max() * (1 + 1e-9)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 1 << 32))
def test_a_dearer_pool_wakes_only_when_the_cheaper_is_awake_as_far_as_it_may_be(seed: int) -> None:
    world = elastic_world(np.random.default_rng(seed), "planned")
    scaling = world.scaling
    assert scaling is not None
    most = scaling.most(world.fleet.replicas, 0, world.period_ns)
    cheap, dear = (r for r in scaling.cheapest.tolist() if r < 2)
    awake = said(world)
    assert awake[dear] <= min(scaling.least[dear], most[dear]) or awake[cheap] == most[cheap]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 1 << 32))
def test_a_forecast_is_shared_as_requests_will_be(seed: int) -> None:
    """Filled alike by load per place; in order, the second begins when the first is full."""
    world = elastic_world(np.random.default_rng(seed), "follow")
    scaling = world.scaling
    assert scaling is not None
    parts = Scaler(replace(world))
    parts.weights = world.allowed / world.allowed.sum(axis=1, keepdims=True)
    found = parts._sent_rps(0, 0, scaling)
    room = scaling.capped(world.fleet.replicas, 0, 1) * scaling.aimed_rps
    assert found[2] == world.expected_rps[0, 1]
    if world.pools_in_order:
        assert found[0] == pytest.approx(min(world.expected_rps[0, 0], room[0]))
        assert found[1] == pytest.approx(min(world.expected_rps[0, 0] - found[0], room[1]))
    else:
        assert found[:2].sum() == pytest.approx(world.expected_rps[0, 0])
        assert found[0] / room[0] == pytest.approx(found[1] / room[1])


def test_each_pool_follows_the_requests_that_it_sees() -> None:
    """Nothing is expected; within ten seconds 30 requests have reached the first pool and 10 the second."""
    how = Scaling("follow", np.zeros(2, int), np.full(2, 0.5), np.full(2, 2.0), 10 * S, 0, 0)
    world = make_world(make_requests([]), slot_s=100.0, regions=2, fleet=make_fleet(2, replicas=9), scaling=how)
    world = replace(world, region_of=np.array([0, 0]), first_of=np.array([0, 0]), expected_rps=np.zeros((1, 1)))
    scaler = Scaler(world)
    for at_s, arrived, awake in ((0, [0, 0], [0, 0]), (10, [30, 10], [3, 1]), (20, [30, 60], [0, 5])):
        found = scaler.awake(at_s * S, np.array(arrived))
        assert found is not None
        assert found.tolist() == awake


@EACH
def test_the_dispatcher_counts_places_of_replicas_awake_alone(engine: str) -> None:
    """Two regions, the first of two pools of two places each, one of them asleep: with a request each they are alike,
    and the lower index gets the next; with the sleeping pool's places the first region would get two."""
    fleet = make_fleet(3, replicas=2, max_batch=1)
    how = Scaling("planned", np.zeros(3, int), np.ones(3), np.ones(3), 10 * S, 0, 0)
    world = make_world(
        make_requests([1, 2, 3, 4], prompt=100, output=50), regions=3, fleet=fleet, scaling=how, dispatch=LEAST_LOADED
    )
    world = replace(world, region_of=np.array([0, 0, 1]), first_of=FIRST, allowed=np.array([[True, False, True]]))
    sink = ListSink()
    ENGINES[engine](world, Told([2, 0, 2]), sink, policy_name="told")
    assert sink.table["region"].tolist() == [0, 2, 0, 2]


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="this is that process")
def test_the_compiled_engine_does_so_too() -> None:
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-k", "fast", __file__]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(root)}
    told = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert told.returncode == 0, told.stdout + told.stderr
