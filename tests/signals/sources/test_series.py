"""Rows of any step on slots: means over time, gaps that stay gaps, steps that change, pieces that overlap."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glbdes.errors import SignalError
from glbdes.signals.sources.series import Piece, check, holds, onto
from glbdes.units import NS_PER_S, S_PER_H

HOUR = S_PER_H * NS_PER_S
QUARTER = HOUR // 4


def piece(times: list[int], values: list[float], path: str = "a.csv") -> Piece:
    rows = np.arange(len(times)) + 1
    return Piece(Path(path), "here", np.array(times), {"carbon_g_per_kwh": np.array(values, float)}, rows, "UTC")


def slots(*pieces: Piece, step_ns: int = HOUR) -> tuple[int, list[float]]:
    found = onto(pieces, step_ns)
    return found.first_ns, found.values["carbon_g_per_kwh"].tolist()


def test_quarters_of_an_hour_become_the_mean_of_their_hour() -> None:
    assert slots(piece([i * QUARTER for i in range(8)], [1, 2, 3, 4, 5, 6, 7, 8])) == (0, [2.5, 6.5])


def test_an_hour_that_lacks_a_quarter_is_missing() -> None:
    first, values = slots(piece([i * QUARTER for i in range(12) if i != 5], [1.0] * 11))
    assert first == 0
    np.testing.assert_array_equal(values, [1, np.nan, 1])


def test_rows_at_half_past_are_shared_by_two_hours() -> None:
    """As local hours are where clocks are half an hour off."""
    half = HOUR // 2
    first, values = slots(piece([half + i * HOUR for i in range(4)], [10, 20, 30, 40]))
    assert (first, values) == (HOUR, [15, 25, 35])  # the first and last half hour have no other half


def test_a_value_holds_over_a_step_that_is_longer_than_a_slot() -> None:
    assert slots(piece([0, 3 * HOUR], [1, 2]))[1] == [1, 1, 1, 2, 2, 2]


def test_a_market_may_go_from_hours_to_quarters() -> None:
    hours = [i * HOUR for i in range(30)]
    quarters = [30 * HOUR + i * QUARTER for i in range(40)]
    values = slots(piece(hours + quarters, [1.0] * 30 + [float(i % 4) for i in range(40)]))[1]
    assert values == [1.0] * 30 + [1.5] * 10


def test_a_gap_is_no_step() -> None:
    times = [i * HOUR for i in range(40) if i not in (7, 8, 9, 20)]
    assert set(holds(np.array(times)).tolist()) == {HOUR}
    values = slots(piece(times, [1.0] * 36))[1]
    assert np.flatnonzero(np.isnan(values)).tolist() == [7, 8, 9, 20]


def test_years_are_one_after_another_whatever_their_order() -> None:
    early, late = piece([0, HOUR], [1, 2]), piece([2 * HOUR, 3 * HOUR], [3, 4], "b.csv")
    assert slots(late, early) == slots(early, late) == (0, [1, 2, 3, 4])
    again = piece([HOUR, 2 * HOUR], [9, 9], "c.csv")
    with pytest.raises(SignalError, match=r"c\.csv, row 1: 1970-01-01 01:00:00 UTC is in a\.csv too"):
        onto([again, early], HOUR)


@pytest.mark.parametrize(
    ("times", "values", "told"),
    [
        ([0, HOUR, HOUR], [1, 1, 1], "row 3: 1970-01-01 01:00:00 UTC stands there twice"),
        ([0, HOUR, 0], [1, 1, 1], "row 3: .* comes after 1970-01-01 01:00:00"),
        ([0, HOUR], [1, -2], r"row 2: .* carbon_g_per_kwh = -2, must be >= 0"),
        ([0, HOUR], [1, 1e13], "row 2: .* in size"),
    ],
)
def test_rows_that_cannot_be_are_refused(times: list[int], values: list[float], told: str) -> None:
    with pytest.raises(SignalError, match=told):
        check(piece(times, values))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 47), st.floats(0, 1000)), min_size=2, max_size=10, unique_by=lambda x: x[0]),
    st.sampled_from([1, 2, 4]),
)
def test_what_is_known_of_a_slot_is_the_mean_of_its_rows(rows: list[tuple[int, float]], per_hour: int) -> None:
    """Rows with holes anywhere, against a sum over each slot's own rows."""
    step, rows = HOUR // per_hour, sorted(rows)
    whole = [(48 + i, 1.0) for i in range(48)]  # so that the step is known
    first, values = slots(piece([i * step for i, _ in rows + whole], [value for _, value in rows + whole]))
    known = dict(rows + whole)
    for slot in range(96 // per_hour):
        own = [known[i] for i in range(slot * per_hour, (slot + 1) * per_hour) if i in known]
        at = (slot * HOUR - first) // HOUR
        got = values[at] if at >= 0 else np.nan
        assert got == pytest.approx(np.mean(own)) if len(own) == per_hour else np.isnan(got)
