"""Which of the pools of one model in a region gets a request: by hand, and as chains of Markov in the long run."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import coo_array, eye_array, vstack
from scipy.sparse.linalg import spsolve

from glbdes.hardware import physics
from glbdes.units import NS_PER_S
from glbdes.workload import Requests
from glbdes.world import World
from tests.engine.test_queueing import ENGINES
from tests.worlds import Fixed, ListSink, make_fleet, make_requests, make_world

MEAN_TOKENS = 1000
MEANS_S = (0.1, 0.15)  # of service in the two pools


def of_two(world: World, in_order: bool = False) -> World:
    """`world`, whose two regions are two pools of one."""
    pools = {"region_of": np.array([0, 0]), "first_of": np.array([0, 0]), "pools_in_order": in_order}
    return replace(world, allowed=world.allowed & [True, False], **pools)


def pools_of(world: World, engine: str) -> list[int]:
    sink = ListSink()
    ENGINES[engine](world, Fixed([[1.0, 0.0]]), sink, policy_name="fixed")
    return sink.table["region"].tolist()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("rule", [physics.SMOOTH, physics.LEAST_LOADED])
def test_the_least_loaded_pool_gets_a_request_or_the_first_with_a_place(engine: str, rule: int) -> None:
    """Pool 0 has two places, pool 1 four; six requests at once, then one more each."""
    requests = make_requests([1, 2, 3, 4, 5, 6, 7, 8], prompt=10, output=50)
    fleet = make_fleet(2, replicas=[1, 2], max_batch=2)
    world = make_world(requests, regions=2, fleet=fleet, dispatch=rule)
    assert pools_of(of_two(world), engine) == [0, 1, 1, 0, 1, 1, 0, 1]
    assert pools_of(of_two(world, in_order=True), engine) == [0, 0, 1, 1, 1, 1, 0, 1]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_request_goes_to_a_pool_that_can_hold_it(engine: str) -> None:
    requests = make_requests([1, 2, 3, 4], prompt=[10, 400, 400, 400], output=10)
    fleet = make_fleet(2, kv_tokens=[100, 1000], max_batch=8)
    world = make_world(requests, regions=2, fleet=fleet)
    for in_order in (False, True):
        assert pools_of(of_two(world, in_order), engine) == [0, 1, 1, 1]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_request_that_no_pool_can_hold_is_rejected(engine: str) -> None:
    world = make_world(make_requests([1], prompt=400, output=10), regions=2, fleet=make_fleet(2, kv_tokens=[50, 100]))
    sink = ListSink()
    ENGINES[engine](of_two(world), Fixed([[1.0, 0.0]]), sink, policy_name="fixed")
    assert sink.table["status"].tolist() == [physics.REJECTED]
    assert sink.meter("rejected").tolist() == [[1, 0]]


def stationary(moves: list[tuple[int, int, float]], states: int) -> np.ndarray:
    """The stationary law of a chain of `moves`, (from, to, rate)."""
    begin, end, rate = map(np.array, zip(*moves, strict=True))
    flow = coo_array((rate, (end, begin)), shape=(states, states)).tocsr()
    out = coo_array((rate, (begin, begin)), shape=(states, states)).tocsr()
    balance = (flow - out)[1:]
    whole = vstack([balance, coo_array(np.ones((1, states)))]).tocsc()
    return np.asarray(spsolve(whole + 0 * eye_array(states).tocsc(), np.append(np.zeros(states - 1), 1.0)))


def chain(rate: float, most: int, in_order: bool) -> tuple[float, np.ndarray]:
    """Of two servers of exponential service, with up to `most` requests each: the share of requests that is lost, and
    the mean numbers of requests at each."""

    def state(a: int, b: int) -> int:
        return a * (most + 1) + b

    moves, lost = [], []
    for a in range(most + 1):
        for b in range(most + 1):
            first = a < 1 if in_order and min(a, b) < 1 else a <= b
            to = (a + 1, b) if first else (a, b + 1)
            if max(to) <= most:
                moves.append((state(a, b), state(*to), rate))
            else:
                lost.append(state(a, b))
            moves += [(state(a, b), state(a - 1, b), 1 / MEANS_S[0])] * (a > 0)
            moves += [(state(a, b), state(a, b - 1), 1 / MEANS_S[1])] * (b > 0)
    law = stationary(moves, (most + 1) ** 2)
    grid = law.reshape(most + 1, most + 1)
    counts = np.arange(most + 1)
    return float(law[lost].sum()), np.array([grid.sum(axis=1) @ counts, grid.sum(axis=0) @ counts])


def exponential_world(rate: float, n: int, seed: int, max_queue: int, in_order: bool) -> World:
    """Poisson arrivals, `n` or so, at two pools of one replica that holds one request, of exponential service."""
    slots = max(1, n // 100_000)
    slot_s = n / slots / rate

    def stream(slot: int) -> Requests:
        rng = np.random.default_rng([seed, slot])
        count = rng.poisson(rate * slot_s)
        arrival_ns = np.sort(rng.integers(0, round(slot_s * NS_PER_S), count)) + slot * round(slot_s * NS_PER_S)
        tokens = np.maximum(np.ceil(rng.exponential(MEAN_TOKENS, count)), 1).astype(np.int64)
        zeros, ones = np.zeros(count, dtype=np.int64), np.ones(count, dtype=np.int64)
        ids = np.arange(count, dtype=np.int64) + (slot << 32)
        return Requests(ids, zeros, zeros, tokens, ones, arrival_ns.astype(np.int64), np.zeros(count))

    most = 30 * MEAN_TOKENS
    seconds = np.maximum(np.arange(most + 1) - 0.5, 0.0) / MEAN_TOKENS * np.array(MEANS_S)[:, None]
    tables = {"prefill_s": seconds, "prefill_j": np.ones_like(seconds), "profile": [0, 1]}
    fleet = make_fleet(2, max_batch=1, kv_tokens=most, max_queue=max_queue, **tables)
    world = make_world(stream, slots=slots, slot_s=slot_s, regions=2, fleet=fleet, dispatch=physics.SMOOTH)
    return of_two(world, in_order)


def assert_as_the_chain(n: int, share: float, engine: str, in_order: bool) -> None:
    """Lost requests and mean numbers at both pools are within `share` of those of the chain."""
    rate = 0.8 * sum(1 / mean for mean in MEANS_S)
    max_queue, most = (0, 1) if in_order else (60, 61)
    lost, numbers = chain(rate, most, in_order)
    world, sink = exponential_world(rate, n, 1, max_queue, in_order), ListSink()
    ENGINES[engine](world, Fixed([[1.0, 0.0]]), sink, policy_name="fixed")
    found = sink.meter("system_area_ns").sum(axis=0) / world.horizon_ns
    rejected = sink.meter("rejected").sum() / sink.meter("arrived").sum()
    print(f"mean numbers {found}, of the chain {numbers}; lost {rejected:.4f}, of the chain {lost:.4f}")
    np.testing.assert_allclose(found, numbers, rtol=share)
    assert rejected == pytest.approx(lost, rel=share, abs=1e-6)


@pytest.mark.parametrize("in_order", [False, True])
def test_a_short_run_of_two_pools_is_about_as_the_chain(in_order: bool) -> None:
    assert_as_the_chain(100_000, 0.05, "fast", in_order)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("in_order", [False, True])
def test_two_pools_are_a_queue_of_two_different_servers(engine: str, in_order: bool) -> None:
    assert_as_the_chain(1_500_000 if engine == "fast" else 500_000, 0.02, engine, in_order)
