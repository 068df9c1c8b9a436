"""What policies know of the signals: last known values where one is missing, and prices published ahead."""

from datetime import datetime

import numpy as np
import pytest

from glbdes.errors import SignalError
from glbdes.scenario.model import Fault, KnownAhead, Time
from glbdes.signals import Signals, known
from glbdes.signals.known import price_ahead_slots
from glbdes.signals.tidy import SIGNALS


def truth(slots=6):
    ramp = np.arange(slots * 2, dtype=float).reshape(slots, 2)
    return Signals(ramp, ramp + 100, ramp + 200, ramp + 300, ramp * 0 + 1.1, np.zeros((slots, 2), dtype=np.int64))


def seen(*faults, true=None, slots=6, slot_s=3600.0):
    return known.seen(true or truth(slots), faults, ["a", "b"], Time(slots=slots, slot_s=slot_s))


def test_without_faults_policies_see_the_truth():
    outage = Fault(region="a", start_h=1, end_h=2)
    got = seen(outage)
    for name in SIGNALS:
        np.testing.assert_array_equal(getattr(got, name), getattr(truth(), name))
    assert not got.stale_slots.any()


@pytest.mark.parametrize(("signal", "columns"), known.HIDES.items())
def test_a_missing_signal_is_held_in_its_region_alone(signal, columns):
    got = seen(Fault(region="b", signal=signal, start_h=2, end_h=4))
    for name in SIGNALS:
        want = getattr(truth(), name).copy()
        if name in columns:
            want[2:4, 1] = want[1, 1]
        np.testing.assert_array_equal(getattr(got, name), want)
    assert got.stale_slots.T.tolist() == [[0] * 6, [0, 0, 1, 2, 0, 0]]


def test_faults_that_overlap_or_touch_make_one_gap():
    faults = [Fault(region="a", signal="price", start_h=s, end_h=e) for s, e in ((1, 3), (2, 4), (4, 5))]
    assert seen(*faults).stale_slots[:, 0].tolist() == [0, 1, 2, 3, 4, 0]


def test_a_held_value_is_as_old_as_it_was_when_it_was_last_known():
    true = truth()
    true.stale_slots[1, 0] = 3
    got = seen(Fault(region="a", signal="carbon", start_h=2, end_h=4), true=true)
    assert got.stale_slots[:, 0].tolist() == [0, 3, 4, 5, 0, 0]


def test_a_signal_is_missing_in_slots_that_begin_within_the_fault():
    got = seen(Fault(region="a", signal="price", start_h=0.25, end_h=1.0), slot_s=1800.0)
    assert got.stale_slots[:, 0].tolist() == [0, 1, 0, 0, 0, 0]


def test_a_signal_that_is_missing_from_the_first_slot_is_refused():
    with pytest.raises(SignalError, match=r"carbon of b is missing from start_h = 0 h on, must start at 1 h or later"):
        seen(Fault(region="b", signal="carbon", start_h=0, end_h=2))


@pytest.mark.parametrize(
    ("start", "slot_s", "slot", "known"),
    [
        ("2022-09-22T00:00:00", 3600.0, 0, 23),  # to the end of today
        ("2022-09-22T00:00:00", 3600.0, 12, 11),
        ("2022-09-22T00:00:00", 3600.0, 13, 34),  # published: to the end of tomorrow
        ("2022-09-22T00:00:00", 3600.0, 29, 0),  # but no further than the horizon
        ("2022-09-22T20:00:00", 3600.0, 0, 27),
        ("2022-09-22T20:00:00", 900.0, 0, 29),
        ("2022-09-22T12:00:00", 7200.0, 0, 5),
        ("2022-09-22T12:00:00", 7200.0, 1, 16),  # 14:00
    ],
)
def test_prices_known_a_day_ahead_are_published_at_their_hour(start, slot_s, slot, known):
    time = Time(slots=30, slot_s=slot_s, start_utc=datetime.fromisoformat(start))
    ahead = price_ahead_slots(KnownAhead(price="day_ahead"), time)
    assert ahead is not None
    assert ahead[slot] == min(known, 29 - slot)


def test_no_price_is_known_ahead_unless_the_scenario_says_so():
    assert price_ahead_slots(KnownAhead(), Time(slots=3)) is None
