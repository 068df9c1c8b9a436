"""Forecasts by hand, and by what they must not depend on."""

import numpy as np
import pytest

from glbdes.policy import forecast
from glbdes.policy.forecast import DECAY, FORECASTS, hourly, persistence, seasonal, slots_per_day, trailing


def test_persistence_repeats_the_last_value():
    np.testing.assert_array_equal(persistence(np.array([1.0, 2.0, 7.0]), 3, 2), [7, 7, 7])


def test_seasonal_repeats_the_last_day_in_phase():
    known = np.array([9.0, 9.0, 1.0, 2.0, 3.0])  # days of 3 slots: the next one is like the third last
    np.testing.assert_array_equal(seasonal(known, 5, 3), [1, 2, 3, 1, 2])


def test_trailing_repeats_whole_days_only():
    known = np.arange(8.0)  # two days of 3 slots, and a bit
    np.testing.assert_array_equal(trailing(known, 7, 3), [2, 3, 4, 5, 6, 7, 2])
    known = np.arange(20.0)  # more than DAYS_KEPT days
    assert trailing(known, 1, 3)[0] == 20 - 3 * forecast.DAYS_KEPT


def test_hourly_weighs_older_days_less():
    known = np.array([8.0, 1.0, 4.0, 1.0])  # days of 2 slots; the phase of the next slot was 8, then 4
    np.testing.assert_allclose(hourly(known, 3, 2), [(4 + DECAY * 8) / (1 + DECAY), 1.0, (4 + DECAY * 8) / (1 + DECAY)])


def test_what_is_not_known_yet_comes_from_what_is():
    known = np.array([5.0, 6.0])
    for name, one in FORECASTS.items():
        assert set(one(known, 4, 24)) <= {5.0, 6.0}, name


@pytest.mark.parametrize("name", FORECASTS)
@pytest.mark.parametrize("n", [0, 1, 5, 60])
def test_a_series_that_repeats_itself_is_foretold_in_any_shape(name, n):
    day = 4
    table = np.arange(4.0)[:, None] * [1.0, -2.0]
    known = table[np.arange(14) % day] if name != "persistence" else np.tile(table[0], (14, 1))
    future = table[np.arange(14, 14 + n) % day] if name != "persistence" else np.tile(table[0], (n, 1))
    found = FORECASTS[name](known, n, day)
    assert found.shape == (n, 2)
    np.testing.assert_allclose(found, future, atol=1e-12)


@pytest.mark.parametrize(("slot_s", "slots"), [(3600, 24), (900, 96), (86400, 1), (7 * 86400, 1)])
def test_slots_per_day(slot_s, slots):
    assert slots_per_day(slot_s) == slots


@pytest.mark.parametrize("name", FORECASTS)
@pytest.mark.parametrize("day", [1, 2, 24])
def test_nobody_looks_back_farther_than_is_said(name, day):
    """So policies need not hand over, or copy, a past that grows."""
    long = np.random.default_rng(3).random((20 * day + 1, 2))
    for n in (1, day, 3 * day + 1):
        seen = long[-forecast.DAYS_SEEN * day - 1 :]
        np.testing.assert_array_equal(FORECASTS[name](seen, n, day), FORECASTS[name](long, n, day))
