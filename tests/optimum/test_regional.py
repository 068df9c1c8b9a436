"""Loads of regions with masks as cuts, against the programme in flows and against every union written out."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.sparse import csr_array

from glbdes.errors import InfeasibleError
from glbdes.optimum import offline, regional
from glbdes.optimum.linear import Programme, Rows
from glbdes.optimum.regional import Task, Unions
from glbdes.policy import receding, transport
from glbdes.policy.receding import RecedingHorizon
from glbdes.world import feasibility
from tests.optimum.test_offline import random_world
from tests.paper import PARTIAL, objective_usd, paper_world, stretch, totals
from tests.policy.test_ahead import view_at


def drawn(seed: int, slots: int = 4) -> tuple[Task, np.ndarray]:
    """A random task whose demand fits, and the masks [c, r] of its classes."""
    rng = np.random.default_rng(seed)
    classes, regions = int(rng.integers(2, 6)), int(rng.integers(2, 7))
    allowed = rng.random((classes, regions)) < 0.5
    allowed[np.arange(classes), rng.integers(0, regions, classes)] = True
    flows = rng.random((slots, classes, regions)) * allowed
    capacity = flows.sum(axis=1) * rng.uniform(1.0, 2.0, (slots, regions)) + 1e-3
    shape = (slots, regions)
    burden = rng.uniform(0.0, 3.0, (2, *shape))
    cost, so_far = rng.uniform(-0.2, 1.0, shape), rng.uniform(0, 1, (2, regions))
    return Task(cost, burden, so_far, flows.sum(axis=2), capacity), allowed


def in_flows(task: Task, allowed: np.ndarray) -> float:
    """The optimum with every flow a variable, by SciPy."""
    (n, regions), classes = task.cost.shape, len(allowed)
    slot, kind, region = np.nonzero(np.broadcast_to(allowed, (n, *allowed.shape)))
    m = len(slot)
    upper, bound = np.zeros((2 * regions + n * regions, m + 2)), np.zeros(2 * regions + n * regions)
    for k in range(2):
        upper[k * regions + region, np.arange(m)] = task.burden[k, slot, region]
        upper[k * regions : (k + 1) * regions, m + k] = -1.0
    bound[: 2 * regions] = -task.so_far.ravel()
    upper[2 * regions + slot * regions + region, np.arange(m)] = 1.0
    bound[2 * regions :] = task.capacity.ravel()
    equal = np.zeros((n * classes, m + 2))
    equal[slot * classes + kind, np.arange(m)] = 1.0
    cost = np.concatenate((task.cost[slot, region], [1.0, 1.0]))
    found = linprog(cost, upper, bound, equal, task.demand.ravel())
    assert found.status == 0
    return float(found.fun)


@pytest.mark.parametrize("seed", range(40))
def test_cuts_are_the_programme_in_flows(seed: int) -> None:
    task, allowed = drawn(seed)
    listed = regional.listed(allowed, 10**6)
    assert listed is not None
    unions = Unions(task.demand, allowed, listed)
    found = regional.solve(task, unions)
    best = in_flows(task, allowed)
    assert found.value == pytest.approx(best, rel=1e-7, abs=1e-7)
    assert found.dual == pytest.approx(best, rel=1e-7, abs=1e-7)
    flows = unions.flows(found.load)
    assert (flows >= 0).all()
    assert (flows[:, ~allowed] == 0).all()
    np.testing.assert_allclose(flows.sum(axis=2), task.demand, atol=1e-7)
    np.testing.assert_allclose(flows.sum(axis=1), found.load, atol=1e-7)
    by_slot = regional.solve(task, receding._SlotBySlot(task.demand, allowed))
    assert by_slot.value == pytest.approx(best, rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("seed", range(20))
def test_a_start_elsewhere_changes_nothing_but_the_time(seed: int) -> None:
    task, allowed = drawn(seed, slots=6)
    listed = regional.listed(allowed, 10**6)
    assert listed is not None
    later = Task(task.cost[1:], task.burden[:, 1:], task.so_far, task.demand[1:], task.capacity[1:])
    unions = Unions(later.demand, allowed, listed)
    warm = regional.solve(task, Unions(task.demand, allowed, listed)).warm.later(len(later.cost))
    found = regional.solve(later, unions, warm)
    assert found.value == pytest.approx(regional.solve(later, unions).value, rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("seed", range(30))
def test_connected_unions_say_what_all_unions_say(seed: int) -> None:
    """The factor by which capacities must grow, and whether loads can be made up of flows."""
    rng = np.random.default_rng(seed)
    allowed = rng.random((5, 7)) < 0.3
    allowed[np.arange(5), rng.integers(0, 7, 5)] = True
    demand, capacity = rng.random((1, 5)), rng.random(7)
    listed = feasibility.unions(allowed)
    assert listed is not None
    worst = 1.0
    for size in range(1, 6):
        for chosen in combinations(range(5), size):
            union = allowed[list(chosen)].any(axis=0)
            inside = ~(allowed & ~union).any(axis=1)
            worst = max(worst, float(demand[0, inside].sum() / capacity[union].sum()))
    unions = Unions(demand, allowed, listed)
    assert unions.factor(capacity[None])[0] == pytest.approx(worst, rel=1e-12)
    assert transport.solve(np.zeros(7), demand[0], capacity, allowed).factor == pytest.approx(worst, rel=1e-9)
    assert receding._SlotBySlot(demand, allowed).factor(capacity[None])[0] == pytest.approx(worst, rel=1e-9)
    flows = unions.flows(capacity[None] * worst)
    np.testing.assert_allclose(flows.sum(axis=2), demand, atol=1e-12)
    assert (flows.sum(axis=1) <= capacity * worst + 1e-12).all()


@pytest.mark.parametrize("seed", range(10))
def test_offline_with_too_many_unions_is_solved_in_flows(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    world = random_world(seed, outage=True)
    least = offline.solve(world).objective_usd
    monkeypatch.setattr(offline, "UNIONS_MAX", 0)
    assert offline.solve(world).objective_usd == pytest.approx(least, rel=1e-7)


def test_receding_with_too_many_unions_is_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    world = stretch(paper_world(PARTIAL), 0, 30)
    listed = objective_usd(totals(world, RecedingHorizon()))
    monkeypatch.setattr(receding, "UNIONS_MAX", 0)
    assert objective_usd(totals(world, RecedingHorizon())) == pytest.approx(listed, rel=2e-3)


def test_receding_starts_from_the_slot_before_and_finds_the_same_multipliers() -> None:
    world = stretch(paper_world(PARTIAL), 0, 60)
    policy, so_far = RecedingHorizon(), np.zeros((2, 10))
    before: regional.Warm | None = None
    for slot in range(40, 44):
        view = view_at(world, slot)
        window = policy._window(view)
        cold = receding.solve(so_far, window, view)
        warm = receding.solve(so_far, window, view, before)
        np.testing.assert_allclose(warm.gamma, cold.gamma, atol=1e-6)
        before = warm.warm


def test_contradicting_rows_are_infeasible() -> None:
    rows = Rows(csr_array(np.ones((1, 2))), np.array([3.0]), np.array([np.inf]))
    with pytest.raises(InfeasibleError, match="contradict"):
        Programme(np.ones(2), np.zeros(2), np.ones(2), rows).solve()


def test_the_solver_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    offline.solve(replace(random_world(1), norm=np.inf))
    assert capfd.readouterr() == ("", "")
