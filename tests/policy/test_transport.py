"""The slot's transport programme against HiGHS, against certificates of its own, and by hand."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from glbdes.errors import InfeasibleError
from glbdes.policy import transport
from tests.paper import PARTIAL


class Problem(NamedTuple):
    cost: np.ndarray  # [g, r]
    demand: np.ndarray  # [g]
    capacity: np.ndarray  # [r]
    mask: np.ndarray  # [g, r]


def random_problem(seed: int) -> Problem:
    """Up to 12 x 12, of every kind: gateways alike or not, coarse values that force ties, slack, tight or short."""
    rng = np.random.default_rng(seed)
    g, r = rng.integers(1, 13, 2)
    coarse = seed % 3 == 0
    cost = (
        rng.integers(-3, 4, (g, r)).astype(float) if coarse else rng.normal(size=(g, r)) * 10.0 ** rng.integers(-5, 4)
    )
    if seed % 4 == 0:
        cost = np.tile(cost[:1], (g, 1))
    mask = rng.random((g, r)) < rng.choice([0.3, 0.6, 1.0])
    mask[np.arange(g), rng.integers(r, size=g)] = True
    demand = rng.integers(0, 4, g).astype(float) if coarse else rng.random(g)
    demand[rng.integers(g)] += 0.5
    capacity = rng.integers(1, 4, r).astype(float) if coarse else 0.1 + rng.random(r)
    capacity *= demand.sum() / capacity.sum() * rng.choice([0.7, 1.0, 1.3, 3.0])
    return Problem(cost, demand, capacity, mask)


def highs_factor(problem: Problem) -> float:
    """The smallest factor f with demand met and load <= f * capacity: a linear programme in (x, f)."""
    g, r = problem.mask.shape
    equal = np.hstack([np.kron(np.eye(g), np.ones(r)), np.zeros((g, 1))])
    upper = np.hstack([np.kron(np.ones(g), np.eye(r)), -problem.capacity[:, None]])
    bounds = [(0, None if free else 0) for free in problem.mask.ravel()] + [(1, None)]
    cost = np.append(np.zeros(g * r), 1.0)
    return float(linprog(cost, A_ub=upper, b_ub=np.zeros(r), A_eq=equal, b_eq=problem.demand, bounds=bounds).fun)


def highs_cost(problem: Problem, capacity: np.ndarray) -> float:
    g, r = problem.mask.shape
    unit = np.abs(problem.cost).max() or 1.0  # HiGHS's tolerances are absolute
    found = linprog(
        problem.cost.ravel() / unit,
        A_ub=np.kron(np.ones(g), np.eye(r)),
        b_ub=capacity,
        A_eq=np.kron(np.eye(g), np.ones(r)),
        b_eq=problem.demand,
        bounds=[(0, None if free else 0) for free in problem.mask.ravel()],
    )
    assert found.status == 0, found.message
    return float(found.fun * unit)


def assert_feasible(problem: Problem, flow: transport.Flow) -> None:
    total = problem.demand.sum()
    assert (flow.rate >= 0).all()
    assert (flow.rate[~problem.mask] == 0).all()
    np.testing.assert_allclose(flow.rate.sum(axis=1), problem.demand, rtol=1e-12, atol=1e-12 * total)
    assert (flow.rate.sum(axis=0) <= problem.capacity * flow.factor + 1e-11 * total).all()
    np.testing.assert_allclose(flow.weights.sum(axis=1), 1.0, rtol=1e-12)
    assert (flow.weights[~problem.mask] == 0).all()


def dual_objective(problem: Problem, flow: transport.Flow) -> float:
    """A lower bound of every feasible cost, from prices that the flow itself implies.

    -v[r] >= 0 is the worth of room in r (0 where some is left): the cheapest way to hand on load from r, along flows
    that exist, to a region with room. u[g] = min_r cost - v; then cost >= sum_g u * demand + sum_r v * capacity for any
    prices v <= 0, whatever made them, so equality proves the flow optimal.
    """
    total = problem.demand.sum()
    room = problem.capacity * flow.factor - flow.rate.sum(axis=0) > 1e-9 * total
    cost = np.where(problem.mask, problem.cost, np.inf)
    used = flow.rate > 1e-9 * total
    # moves[r, q]: the least that it costs to send to q a unit that now goes to r
    moves = np.where(used[:, :, None], cost[:, None, :] - np.where(problem.mask, cost, 0)[:, :, None], np.inf).min(
        axis=0
    )
    np.fill_diagonal(moves, 0.0)
    # Load that no path leads to any room from is worth as much as anyone could save by coming in.
    to_room = np.where(room, 0.0, 1 + 2 * len(room) * np.abs(problem.cost).max())
    for _ in range(len(room)):
        to_room = np.minimum(to_room, (moves + to_room[None, :]).min(axis=1))
    v = -to_room
    u = (cost - v).min(axis=1)
    return float(u @ problem.demand + v @ (problem.capacity * flow.factor))


@pytest.mark.parametrize("seed", range(150))
def test_cost_is_that_of_highs_and_the_flow_is_feasible(seed):
    problem = random_problem(seed)
    flow = transport.solve(*problem)
    assert_feasible(problem, flow)
    # HiGHS meets constraints to 1e-7 only, so it gets a hair more room where the problem has none to spare.
    scale = np.abs(problem.cost).max() * problem.demand.sum()
    assert (flow.rate * problem.cost).sum() == pytest.approx(
        highs_cost(problem, problem.capacity * flow.factor * (1 + 1e-12)), rel=1e-9, abs=1e-9 * scale
    )


@pytest.mark.parametrize("seed", range(150))
def test_prices_that_the_flow_implies_prove_it_optimal(seed):
    problem = random_problem(seed)
    flow = transport.solve(*problem)
    scale = np.abs(problem.cost).max() * problem.demand.sum()
    cost = (flow.rate * problem.cost).sum()
    assert dual_objective(problem, flow) == pytest.approx(cost, rel=1e-9, abs=1e-9 * scale)


@pytest.mark.parametrize("seed", range(150))
def test_capacities_are_raised_by_the_smallest_factor(seed):
    problem = random_problem(seed)
    assert transport.solve(*problem).factor == pytest.approx(highs_factor(problem), rel=1e-8)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), scale=st.sampled_from([1e-9, 1e-3, 1e6]))
def test_plan_does_not_depend_on_the_units(seed, scale):
    problem = random_problem(seed)
    here = transport.solve(*problem)
    there = transport.solve(problem.cost * scale, problem.demand / scale, problem.capacity / scale, problem.mask)
    assert (there.rate * scale * problem.cost).sum() == pytest.approx(
        (here.rate * problem.cost).sum(), rel=1e-9, abs=1e-9
    )


def test_regions_fill_in_order_of_cost_and_gateways_alike_get_the_same_weights():
    mask = np.ones((2, 3), dtype=bool)
    flow = transport.solve(np.array([3.0, 1.0, 2.0]), np.array([2.0, 4.0]), np.array([5.0, 3.0, 2.0]), mask)
    np.testing.assert_allclose(flow.weights, [[1 / 6, 3 / 6, 2 / 6]] * 2)
    np.testing.assert_allclose(flow.rate.sum(axis=0), [1, 3, 2])
    assert flow.factor == 1.0


def test_a_bound_gateway_pushes_a_free_one_to_its_second_choice():
    cost = np.array([1.0, 2.0])
    mask = np.array([[True, False], [True, True]])
    flow = transport.solve(cost, np.array([1.0, 1.0]), np.array([1.5, 9.0]), mask)
    np.testing.assert_allclose(flow.rate, [[1.0, 0.0], [0.5, 0.5]])


def test_ties_go_to_the_lowest_index():
    flow = transport.solve(np.zeros(3), np.array([1.0]), np.full(3, 2.0), np.array([[False, True, True]]))
    np.testing.assert_array_equal(flow.weights, [[0.0, 1.0, 0.0]])


def test_overload_is_shared_evenly():
    flow = transport.solve(np.array([1.0, 2.0]), np.array([6.0]), np.array([1.0, 3.0]), np.ones((1, 2), dtype=bool))
    assert flow.factor == 1.5
    np.testing.assert_allclose(flow.rate, [[1.5, 4.5]])


def test_overload_of_some_gateways_raises_no_more_than_it_must():
    mask = np.array([[True, False], [True, True]])
    flow = transport.solve(np.array([1.0, 2.0]), np.array([3.0, 1.0]), np.array([1.0, 1.0]), mask)
    assert flow.factor == pytest.approx(3.0, rel=1e-12)  # gateway 0 may only use region 0
    np.testing.assert_allclose(flow.rate, [[3.0, 0.0], [0.0, 1.0]], atol=1e-12)


def test_gateway_without_demand_gets_the_cheapest_region_with_room():
    mask = np.array([[True, True], [True, True], [False, True]])
    flow = transport.solve(np.array([1.0, 2.0]), np.array([1.0, 0.0, 0.0]), np.array([2.0, 2.0]), mask)
    np.testing.assert_array_equal(flow.weights, [[1, 0], [1, 0], [0, 1]])
    none = transport.solve(np.array([1.0, 2.0]), np.zeros(3), np.array([2.0, 2.0]), mask)
    np.testing.assert_array_equal(none.weights, [[1, 0], [1, 0], [0, 1]])


@pytest.mark.parametrize("mask", [[[True, False]], [[True, False], [True, True]]])
def test_demand_without_any_capacity_is_infeasible(mask):
    mask = np.array(mask)
    with pytest.raises(InfeasibleError, match="none of its regions has any capacity"):
        transport.solve(np.array([1.0, 2.0]), np.ones(len(mask)), np.array([0.0, 5.0]), mask)


@pytest.mark.parametrize("seed", range(40))
def test_the_papers_mask_at_its_tightest_load(seed):
    """All capacity is needed: every set of gateways that is short is found, and nothing is lost to rounding."""
    rng = np.random.default_rng(seed)
    problem = Problem(np.tile(rng.random(10), (10, 1)), np.full(10, 1.0), np.ones(10), PARTIAL)
    flow = transport.solve(*problem)
    assert_feasible(problem, flow)
    assert flow.factor == pytest.approx(highs_factor(problem), rel=1e-9)


def test_nearly_no_demand_beside_much_is_served():
    mask = np.array([[True, True], [True, False]])
    flow = transport.solve(np.array([2.0, 1.0]), np.array([1e-15, 1e3]), np.array([2e3, 2e3]), mask)
    np.testing.assert_allclose(flow.weights.sum(axis=1), 1.0)
    assert (flow.weights >= 0).all()
