"""Functions that are the same on every processor, against exact arithmetic and against NumPy."""

from collections.abc import Callable
from decimal import Decimal, localcontext

import numpy as np
import pytest

from glbdes.base import portable

RNG = np.random.default_rng(1)
ULPS = 4


def ulps(found: np.ndarray, exact: Callable[[Decimal], Decimal], at: np.ndarray) -> float:
    """How far `found` is from the exact values at most, in units of their last place."""
    with localcontext(prec=50):
        wanted = [exact(Decimal(x)) for x in at.tolist()]
        error = [
            abs(Decimal(x) - w) / Decimal(float(np.spacing(abs(float(w))))) for x, w in zip(found, wanted, strict=True)
        ]
    return float(max(error))


def test_the_exponential_is_exact_to_a_few_units_in_the_last_place():
    x = np.concatenate([RNG.uniform(-700, 700, 300), RNG.normal(size=300), RNG.normal(size=100) * 1e-9])
    assert ulps(portable.exp(x), Decimal.exp, x) < ULPS
    assert portable.exp([0.0, -1e9, -np.inf]).tolist() == [1.0, 0.0, 0.0]


def test_an_exponential_too_large_is_told_as_numpy_tells_it():
    with pytest.warns(RuntimeWarning, match="overflow"):
        assert np.isinf(portable.exp(1e300))


def test_the_logarithm_is_exact_to_a_few_units_in_the_last_place():
    x = np.concatenate([np.exp(RNG.uniform(-700, 700, 300)), RNG.uniform(0.5, 2, 300), 1 + RNG.uniform(0, 1e-9, 100)])
    assert ulps(portable.log(x), Decimal.ln, x) < ULPS
    assert portable.log(1.0) == 0.0
    assert portable.log(2.0) == np.log(2.0)


def test_the_logarithm_of_nearly_1_loses_nothing():
    x = np.concatenate([-RNG.random(300), RNG.choice([-1, 1], 300) * 10.0 ** RNG.uniform(-18, -1, 300)])
    assert ulps(portable.log1p(x), lambda value: (1 + value).ln(), x) < ULPS
    assert portable.log1p([0.0, 1e-300]).tolist() == [0.0, 1e-300]


def test_cosines_of_turns():
    turns = np.concatenate([RNG.uniform(-3, 3, 1000), [1 / 3, 1e9 + 0.125]])
    np.testing.assert_allclose(portable.cos_turns(turns), np.cos(2 * np.pi * (turns - np.rint(turns))), atol=1e-15)
    assert portable.cos_turns([0, 0.25, 0.5, -0.75, 7]).tolist() == [1, 0, -1, 0, 1]


def test_products_are_those_of_matrices():
    left, right = RNG.random((3, 5, 7)), RNG.random((7, 4))
    np.testing.assert_allclose(portable.product(left, right), left @ right, rtol=1e-14)
    np.testing.assert_allclose(portable.product(left, right[:, 0]), left @ right[:, 0], rtol=1e-14)
    np.testing.assert_allclose(portable.product(left[0, 0], right), left[0, 0] @ right, rtol=1e-14)
    assert portable.product(np.zeros((2, 0)), np.zeros((0, 3))).tolist() == [[0.0] * 3] * 2


def test_a_product_adds_up_from_the_first_to_the_last():
    """1e16 + 1 is 1e16, so the order shows."""
    assert portable.product([1e16, 1.0, -1e16, 1.0], np.ones(4)) == 1.0
    assert portable.product([1e16, -1e16, 1.0, 1.0], np.ones(4)) == 2.0


def test_interpolation_is_numpys():
    nodes, values = np.sort(RNG.random(20)), RNG.random(20)
    x = np.concatenate([RNG.uniform(-0.2, 1.2, 500), nodes])
    np.testing.assert_array_max_ulp(portable.interp(x, nodes, values), np.interp(x, nodes, values), 8)
    assert portable.interp(0.5, [1.0], [3.0]) == 3.0
    assert portable.interp([0.0, 1.0, 1.5, 2.0], [0, 1, 1, 2], [0, 1, 3, 5]).tolist() == [0, 3, 4, 5]


def test_rounding_makes_equal_what_rounding_errors_tell_apart():
    third = np.array([1 / 3, 1 - 2 / 3])
    assert third[0] != third[1]
    for equal in (portable.rounded(third), portable.settled(1e9 * third), portable.graded(1e9 * third)):
        assert equal[0] == equal[1]
    assert portable.settled([0.1, -0.3, 1e-20]).tolist() == [0.1, -0.3, 0.0]
    assert portable.settled([1e20, 3e20 + 1e5]).tolist() == [1e20, 3e20]
    assert portable.settled([0.0, 0.0]).tolist() == [0.0, 0.0]
    assert portable.settled([]).tolist() == []
    assert portable.settled([1e-305, 3e-308]).tolist() == [1e-305, 3e-308]


def test_grades_are_whole_and_the_largest_is_always_the_same():
    values = np.array([[1.0, -3.0], [1e-20, 2e-20], [0.0, 0.0]])
    assert portable.graded(values, axis=1).tolist() == [[333333333333, -1e12], [5e11, 1e12], [0, 0]]
    assert portable.graded(values).tolist()[1:] == [[0, 0], [0, 0]]
