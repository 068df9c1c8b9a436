"""History: what sources hold from before the start, as far back as it is whole and asked for."""

from dataclasses import fields
from datetime import timedelta

import numpy as np
import pytest

from glbdes.errors import SignalError
from glbdes.scenario.model import Fault, KnownAhead, Region, SignalsSource, Time
from glbdes.signals import known
from glbdes.signals import table as signals
from tests.signals.test_table import CONSTANT, START, table, written


def environment(tmp_path, frame, slots=3, hour=6.0, regions=("north", "south"), faults=(), slot_s=3600.0, **source):
    """The signals of `slots` slots that begin `hour` hours after the file does."""
    source = SignalsSource(source=written(tmp_path, frame).name, **source)
    regions = regions if isinstance(regions, dict) else {name: Region() for name in regions}
    time = Time(slots=slots, slot_s=slot_s, start_utc=START + timedelta(hours=hour))
    return known.environment(source, regions, faults, KnownAhead(), time, tmp_path)


def test_what_stands_before_the_start_is_the_past_and_the_horizon_is_what_it_was(tmp_path):
    got = environment(tmp_path, table(12))
    assert got.past.price_usd_per_kwh.tolist() == [[1 + h, 101 + h] for h in range(6)]
    bare = environment(tmp_path, table(12), history_h=0)
    assert bare.past is None
    for one, other in ((got.truth, bare.truth), (got.seen, bare.seen)):
        for field in fields(signals.Signals):
            assert getattr(one, field.name).tobytes() == getattr(other, field.name).tobytes()


@pytest.mark.parametrize(
    ("history_h", "slot_s", "hours"),
    [(4.0, 3600.0, [3, 4, 5, 6]), (4.9, 3600.0, [3, 4, 5, 6]), (1.2, 1800.0, [6, 6]), (5.0, 7200.0, [3.5, 5.5])],
)
def test_it_reaches_back_by_whole_slots_within_history_h(tmp_path, history_h, slot_s, hours):
    got = environment(tmp_path, table(12), history_h=history_h, slot_s=slot_s)
    assert got.past.price_usd_per_kwh[:, 0].tolist() == hours


def test_it_is_as_long_as_that_of_the_region_with_the_least(tmp_path):
    frame = table(12)
    late = frame[(frame.region == "north") | (frame.time_utc >= START + timedelta(hours=4))]
    got = environment(tmp_path, late)
    assert got.past.price_usd_per_kwh.tolist() == [[5, 105], [6, 106]]


def test_regions_of_constants_have_always_been_as_they_are_and_alone_have_no_past(tmp_path):
    got = environment(tmp_path, table(12), regions={"north": Region(), "fixed": Region(**CONSTANT)})
    assert got.past.price_usd_per_kwh.tolist() == [[1 + h, 0.1] for h in range(6)]
    assert environment(tmp_path, table(12), regions={"fixed": Region(**CONSTANT)}).past is None
    constant = SignalsSource(source="constant")
    alone = known.environment(constant, {"fixed": Region(**CONSTANT)}, (), KnownAhead(), Time(slots=3), tmp_path)
    assert alone.past is None


def holed(hours=12):
    frame = table(hours)
    frame.loc[(frame.region == "south") & (frame.time_utc == START + timedelta(hours=2)), "carbon_g_per_kwh"] = np.nan
    return frame


def test_a_gap_ends_it_unless_values_may_be_held(tmp_path):
    assert environment(tmp_path, holed()).past.price_usd_per_kwh[:, 0].tolist() == [4, 5, 6]
    held = environment(tmp_path, holed(), missing="hold").past
    assert held.price_usd_per_kwh[:, 0].tolist() == [1, 2, 3, 4, 5, 6]
    assert held.stale_slots[:, 1].tolist() == [0, 0, 1, 0, 0, 0]


def test_a_gap_that_reaches_into_the_horizon_is_refused_as_ever(tmp_path):
    frame = table(12)
    frame.loc[frame.time_utc == START + timedelta(hours=6), "carbon_g_per_kwh"] = np.nan
    with pytest.raises(SignalError, match="06:00:00: carbon_g_per_kwh is missing"):
        environment(tmp_path, frame)


def test_a_signal_that_is_missing_from_the_first_slot_on_is_held_from_the_past(tmp_path):
    fault = Fault(region="north", signal="price", start_h=0, end_h=2)
    got = environment(tmp_path, table(12), faults=[fault])
    assert got.seen.price_usd_per_kwh[:, 0].tolist() == [6, 6, 9]
    assert got.truth.price_usd_per_kwh[:, 0].tolist() == [7, 8, 9]
    assert got.seen.stale_slots[:, 0].tolist() == [1, 2, 0]
    with pytest.raises(SignalError, match="no earlier value to hold"):
        environment(tmp_path, table(12), faults=[fault], hour=0)


def test_drawn_signals_have_a_past_where_a_run_begins_after_their_start(tmp_path):
    time = Time(slots=3, start_utc=START + timedelta(hours=5))
    regions = {"japan": Region(), "texas": Region()}
    got = known.environment(SignalsSource(source="synthetic"), regions, (), KnownAhead(), time, tmp_path)
    whole = signals.load(SignalsSource(source="synthetic"), regions, Time(slots=8, start_utc=START), tmp_path)
    np.testing.assert_array_equal(got.past.carbon_g_per_kwh, whole.carbon_g_per_kwh[:5])


def test_it_takes_no_more_room_than_there_is_beside_the_horizon(tmp_path, monkeypatch):
    monkeypatch.setattr(signals, "MOST_CELLS", 2 * (3 + 4))
    assert environment(tmp_path, table(12)).past.price_usd_per_kwh[:, 0].tolist() == [3, 4, 5, 6]


def test_a_history_of_less_than_no_hours_is_refused():
    with pytest.raises(ValueError, match=r"history_h[\s\S]*greater than or equal to 0"):
        SignalsSource(history_h=-1.0)
