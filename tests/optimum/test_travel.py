"""Least travel against HiGHS, by hand, and under every policy: less network time, and nothing else changes."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from scipy.optimize import linprog

from glbdes import policy
from glbdes.engine import fluid
from glbdes.errors import InvariantError
from glbdes.optimum import offline, travel
from glbdes.scenario import model as scenario
from glbdes.world import Policy, World, build, meter
from tests.fingerprints import PARTIAL
from tests.views import make_view
from tests.worlds import ListSink

PLANNED = ["cost", "carbon", "water", "cost_carbon", "cost_carbon_water"]
PLANNED += ["eglb", "eglb_simplex", "eglb_ahead", "eglb_chain", "receding_horizon", "offline"]
LIMITED = ("slo.interactive.max_one_way_ms=60", *PARTIAL)
DELAY = ("objective.delay_usd_per_s=1e-6", "objective.queue_wait_s=[[0, 0], [0.9, 2], [1, 9]]")


class Problem(NamedTuple):
    """Arguments of `travel.least`."""

    weights: np.ndarray  # [g, r]
    demand: np.ndarray  # [g]
    latency_s: np.ndarray  # [g, r]
    mask: np.ndarray  # [g, r]

    @property
    def loads(self) -> np.ndarray:
        return (self.demand[:, None] * self.weights).sum(axis=0)

    @property
    def network_s(self) -> float:
        return float((self.demand[:, None] * self.weights * self.latency_s).sum())


def random_problem(seed: int) -> Problem:
    """Up to 16 x 16, of every kind: ties, gateways alike, no demand, loads and latencies of several orders."""
    rng = np.random.default_rng(seed)
    g, r = rng.integers(1, 17, 2)
    coarse = seed % 3 == 0
    latency_s = rng.integers(0, 4, (g, r)) * 0.01 if coarse else rng.random((g, r)) * 10.0 ** rng.integers(-3, 1)
    mask = rng.random((g, r)) < rng.choice([0.3, 0.6, 1.0])
    mask[np.arange(g), rng.integers(r, size=g)] = True
    if seed % 5 == 0:
        latency_s[1::2], mask[1::2] = latency_s[0], mask[0]
    weights = np.where(mask, rng.random((g, r)) * (rng.random((g, r)) < rng.choice([0.2, 1.0])), 0.0)
    weights[weights.sum(axis=1) == 0] = mask[weights.sum(axis=1) == 0]
    weights /= weights.sum(axis=1, keepdims=True)
    demand = rng.integers(0, 4, g).astype(float) if coarse else rng.random(g) * 10.0 ** rng.integers(-3, 4)
    demand[rng.integers(g)] += 0.5
    return Problem(weights, demand, latency_s, mask)


def highs_network_s(problem: Problem) -> float:
    """The least network time of the problem's loads, in flows of a unit demand: HiGHS's tolerances are absolute."""
    g, r = problem.mask.shape
    total, unit = problem.demand.sum(), problem.latency_s.max() or 1.0
    found = linprog(
        problem.latency_s.ravel() / unit,
        A_eq=np.vstack((np.kron(np.eye(g), np.ones(r)), np.kron(np.ones(g), np.eye(r)))),
        b_eq=np.concatenate((problem.demand, problem.loads)) / total,
        bounds=[(0, None if free else 0) for free in problem.mask.ravel()],
    )
    assert found.status == 0, found.message
    return float(found.fun * unit * total)


def nearer(problem: Problem) -> Problem:
    return problem._replace(weights=travel.least(*problem))


@pytest.mark.parametrize("seed", range(120))
def test_loads_are_the_same_and_network_time_is_that_of_highs(seed):
    problem = random_problem(seed)
    found = nearer(problem)
    total = problem.demand.sum()
    np.testing.assert_allclose(found.loads, problem.loads, rtol=1e-12, atol=1e-12 * total)
    np.testing.assert_allclose(found.weights.sum(axis=1), 1.0, rtol=1e-12)
    assert (found.weights >= 0).all()
    assert (found.weights[~problem.mask] == 0).all()
    assert found.network_s <= problem.network_s * (1 + 1e-12)
    assert found.network_s <= highs_network_s(problem) + 1e-9 * total * (problem.latency_s.max() or 1.0)
    np.testing.assert_array_equal(found.weights[problem.demand == 0], problem.weights[problem.demand == 0])


def test_most_random_problems_have_something_to_gain():
    """Or else the test above would show nothing."""
    gains = [1 - nearer(p).network_s / p.network_s for p in map(random_problem, range(120)) if p.network_s > 0]
    assert np.mean(np.array(gains) > 0.01) > 0.5


def test_a_gateway_makes_way_for_one_that_would_have_to_go_farther():
    """By hand: both would rather stay in region 0; gateway 1 loses 1 s by going away, gateway 0 loses 5 s."""
    latency_s = np.array([[1.0, 6.0], [1.0, 2.0]])
    found = travel.least(np.full((2, 2), 0.5), np.array([1.0, 1.0]), latency_s, np.ones((2, 2), dtype=bool))
    np.testing.assert_array_equal(found, [[1, 0], [0, 1]])


def test_gateways_alike_get_the_same_weights():
    latency_s = np.array([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    weights = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    found = travel.least(weights, np.array([1.0, 1.0, 1.0]), latency_s, np.ones((3, 2), dtype=bool))
    np.testing.assert_array_equal(found, [[1, 0], [1, 0], [0, 1]])


@pytest.mark.parametrize(
    "latency_s", [[[1.0, 1.0], [1.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]], ids=["all alike", "all at home"]
)
def test_a_plan_that_cannot_gain_stays_as_it_is(latency_s):
    weights = np.eye(2)
    mask = np.ones((2, 2), dtype=bool)
    assert travel.least(weights, np.array([1.0, 2.0]), np.array(latency_s), mask) is weights


def test_loads_that_gateways_cannot_make_up_are_a_fault_of_ours():
    weights, mask = np.array([[0.0, 1.0], [0.5, 0.5]]), np.array([[True, False], [True, True]])
    latency_s = np.array([[0.0, 1.0], [0.0, 1.0]])
    with pytest.raises(InvariantError, match="cannot be made up"):
        travel.least(weights, np.ones(2), latency_s, mask)


def test_prices_of_gateways_are_not_traded_for_travel():
    """A price by gateway says who is to go where."""
    view = make_view([1.0, 1.0], [1.0, 1.0], latency_ns=np.array([[0, 10**9], [10**9, 0]]))
    cost = np.array([[2.0, 1.0], [1.0, 2.0]])
    np.testing.assert_array_equal(policy.transport.plan(cost, view), [[0, 1], [1, 0]])
    np.testing.assert_array_equal(policy.transport.plan(np.array([1.0, 2.0]), view), [[1, 0], [0, 1]])


class Watch:
    """A policy's plans, each beside the demand and the mask that it was made for."""

    def __init__(self, watched: Policy) -> None:
        self.watched, self.problems = watched, []

    def plan(self, view):
        weights = self.watched.plan(view)
        self.problems.append(Problem(weights, view.demand_rps, view.latency_s, view.mask))
        return weights

    def observe(self, outcome):
        if hasattr(self.watched, "observe"):
            self.watched.observe(outcome)


def run(world: World, name: str) -> tuple[np.ndarray, list[Problem]]:
    """Cost, carbon and water [3, r] under a policy, and its plans."""
    asked = offline.Replay(offline.solve(world).weights) if name == "offline" else policy.load(name, {})
    watch, sink, totals = Watch(asked), ListSink(), np.zeros((3, world.regions))
    fluid.run(world, watch, sink, policy_name=name)
    for record in sink.slots:
        caused = meter.footprint(meter.slot_energy(world, record).it_kwh, world.signals, record.slot)
        totals += np.stack((caused.cost_usd, caused.carbon_kg, caused.water_l))
    return totals, watch.problems


@pytest.fixture(scope="module")
def worlds() -> dict[str, World]:
    made = {}
    for label, settings in {"free": (), "limited": LIMITED, "delayed": DELAY}.items():
        chosen, path = scenario.load("llm10", ("time.slots=10", "dispatch.overload=allow", *settings))
        made[label] = build.build(chosen, path.parent)
    return made


@pytest.mark.parametrize("label", ["free", "limited", "delayed"])
@pytest.mark.parametrize("name", PLANNED)
def test_every_policy_travels_least_and_its_footprints_are_those_of_its_loads(name, label, worlds, monkeypatch):
    world = worlds[label]
    totals, problems = run(world, name)
    for problem in problems[::3]:
        total = problem.demand.sum()
        assert problem.network_s <= highs_network_s(problem) + 1e-9 * total
    monkeypatch.setattr(travel, "least", lambda weights, *_: weights)
    before, plain = run(world, name)
    np.testing.assert_allclose(totals, before, rtol=1e-9)
    for near, far in zip(problems, plain, strict=True):
        np.testing.assert_allclose(near.loads, far.loads, rtol=1e-9, atol=1e-9 * near.demand.sum())
    if label == "free":
        assert sum(p.network_s for p in problems) < 0.8 * sum(p.network_s for p in plain)


def test_a_region_that_is_down_is_left_alone(worlds):
    world = worlds["free"]
    view = make_view(
        np.ones(10), np.full(10, 3.0), mask=np.tile(np.arange(10) != 3, (10, 1)), latency_ns=world.latency_ns
    )
    weights = policy.load("cost", {}).plan(replace(view, price_usd_per_kwh=np.arange(10.0)))
    assert (weights[:, 3] == 0).all()
