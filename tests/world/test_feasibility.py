"""Load fits where it may go exactly if a linear programme can place it: the oracle here is HiGHS."""

import numpy as np
import pytest
from scipy.optimize import linprog

from glbdes.world import feasibility
from glbdes.world.feasibility import worst_overload


def least_factor(demand: np.ndarray, capacity: np.ndarray, allowed: np.ndarray) -> float:
    """The smallest factor on all capacities with which `demand` can be placed."""
    gateways, regions = allowed.shape
    cost = np.append(np.zeros(gateways * regions), 1.0)
    rows = np.hstack([np.kron(np.eye(gateways), np.ones(regions)), np.zeros((gateways, 1))])
    columns = np.hstack([np.kron(np.ones(gateways), np.eye(regions)), -capacity[:, None]])
    bounds = [(0, None if open_to else 0) for open_to in allowed.ravel()] + [(0, None)]
    return float(linprog(cost, columns, np.zeros(regions), rows, demand, bounds).fun)


def random_case(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    gateways, regions, slots = rng.integers(1, 7, size=3)
    allowed = rng.random((gateways, regions)) < 0.4
    allowed[np.arange(gateways), rng.integers(0, regions, gateways)] = True
    return rng.exponential(size=(slots, gateways)), rng.exponential(size=regions) + 0.1, allowed


@pytest.mark.parametrize("unions_max", [feasibility.UNIONS_MAX, 0], ids=["unions", "programmes"])
@pytest.mark.parametrize("seed", range(40))
def test_worst_overload_is_the_linear_programmes(seed: int, unions_max: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feasibility, "UNIONS_MAX", unions_max)
    demand, capacity, allowed = random_case(seed)
    factors = [least_factor(row, capacity, allowed) for row in demand]
    for scale in (1.0, 0.999 / max(factors), 1.001 / max(factors)):
        found = worst_overload(scale * demand, capacity, allowed)
        if scale * max(factors) <= 1:
            assert found is None
            continue
        assert found is not None
        assert found.demand_rps / found.capacity_rps == pytest.approx(scale * max(factors), rel=1e-7)
        assert found.slot == int(np.argmax(factors))
        assert not (allowed[found.gateways] & ~found.regions).any()  # nowhere else to go
        assert found.demand_rps == pytest.approx(scale * demand[found.slot, found.gateways].sum())
        assert found.capacity_rps == pytest.approx(capacity[found.regions].sum())


def test_load_that_equals_the_capacity_fits() -> None:
    """0.1 + 0.2 > 0.3 in floating point; a fleet that is exactly full is not overloaded."""
    assert worst_overload(np.array([[0.1, 0.2]]), np.array([0.3]), np.ones((2, 1), dtype=bool)) is None


def test_gateways_that_share_a_small_region_are_named_and_others_are_not() -> None:
    allowed = np.array([[True, False], [True, False], [True, True]])
    found = worst_overload(np.array([[0.1, 0.1, 0.1], [0.6, 0.6, 0.1]]), np.array([1.0, 9.0]), allowed)
    assert found is not None
    assert (found.slot, list(found.gateways), list(found.regions)) == (1, [True, True, False], [True, False])
