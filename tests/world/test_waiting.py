"""Expected waiting: Erlang C, and its pieces."""

from math import factorial

import numpy as np
import pytest

from glbdes.world import waiting


def by_hand(servers: int, utilisation: float) -> float:
    """Probability of waiting in the M/M/c queue, by the sum of its definition."""
    offered = servers * utilisation
    last = offered**servers / factorial(servers) / (1 - utilisation)
    return last / (sum(offered**k / factorial(k) for k in range(servers)) + last)


@pytest.mark.parametrize("servers", [1, 2, 5, 40])
@pytest.mark.parametrize("utilisation", [0.1, 0.5, 0.8, 0.95, 0.99])
def test_erlang_c_is_its_sum(servers: int, utilisation: float) -> None:
    mean_s = by_hand(servers, utilisation) / (10.0 * (1 - utilisation))
    assert waiting.erlang_c_wait_s(servers, 10.0, utilisation) == pytest.approx(mean_s, rel=1e-10)


def test_one_server_is_the_mm1_queue() -> None:
    assert waiting.erlang_c_wait_s(1, 2.0, 0.75) == pytest.approx(0.75 / (2.0 - 1.5))


def test_pieces_are_exact_at_knots_and_convex_between() -> None:
    capacity = np.array([10.0, 40.0])
    pieces = waiting.erlang_c(np.array([4, 64]), capacity, 0.9)
    np.testing.assert_allclose(pieces.width_rps.sum(axis=0), 0.9 * capacity)
    assert (np.diff(pieces.wait_s, axis=0) >= 0).all()
    for u in (0.5, 0.8, 0.9):
        expected = [
            u * rps * waiting.erlang_c_wait_s(c, rps, u) for c, rps in zip((4, 64), capacity.tolist(), strict=True)
        ]
        np.testing.assert_allclose(pieces.requests(u * capacity), expected, rtol=1e-12)
    between = 0.65 * 10.0 * waiting.erlang_c_wait_s(4, 10.0, 0.65)
    assert between <= pieces.requests(0.65 * capacity)[0] <= 1.2 * between
    beyond = pieces.requests(capacity)[0] - pieces.requests(0.9 * capacity)[0]
    assert beyond == pytest.approx(1.0 * pieces.wait_s[-1, 0])


def test_a_table_that_is_not_convex_is_refused() -> None:
    utilisation, wait_s = np.array([0.0, 0.5, 0.8]), np.array([[0.0], [1.0], [0.7]])
    with pytest.raises(ValueError, match=r"must be convex, but grows more slowly from 0.5 on"):
        waiting.from_wait(utilisation, wait_s, np.array([10.0]), 0.9)


def test_capacity_may_be_cut_below_the_last_knot() -> None:
    pieces = waiting.from_wait(np.array([0.0, 0.5, 0.8]), np.array([[0.0], [0.0], [1.0]]), np.array([10.0]), 0.6)
    np.testing.assert_allclose(pieces.width_rps.ravel(), [5.0, 1.0])
    np.testing.assert_allclose(pieces.requests(np.array([[5.0], [6.0]])).ravel(), [0.0, 8.0 / 3.0])


@pytest.mark.parametrize("utilisation", [0.5, 0.9, 0.99, 0.999])
def test_the_closed_form_of_many_servers_is_the_recursion_of_fewer(utilisation, monkeypatch):
    by_recursion = waiting._erlang_b.__wrapped__(20_000, 20_000 * utilisation)
    monkeypatch.setattr(waiting, "MOST_STEPS", 100)
    assert waiting._erlang_b.__wrapped__(20_000, 20_000 * utilisation) == pytest.approx(
        by_recursion, rel=1e-7, abs=1e-300
    )
