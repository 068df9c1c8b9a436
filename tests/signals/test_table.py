"""Signals: alignment of steps and slots, gaps, constants, what policies see, and what is refused."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest

from glbdes.errors import SignalError
from glbdes.scenario.model import Region, SignalsSource, Time
from glbdes.signals import table as signals

START = datetime(2022, 9, 22)
CONSTANT = {
    "price_usd_per_kwh": 0.1,
    "carbon_g_per_kwh": 300.0,
    "wue_l_per_kwh": 1.0,
    "ewif_l_per_kwh": 2.0,
    "pue": 1.2,
}


def table(hours=6, regions=("north", "south"), step="1h"):
    """Price 1 + hour (+ 100 in the second region), everything else a constant."""
    times = pd.date_range(START, periods=hours, freq=step)
    parts = [
        pd.DataFrame({"time_utc": times, "region": name} | CONSTANT).assign(
            price_usd_per_kwh=np.arange(hours) + 1.0 + 100.0 * r
        )
        for r, name in enumerate(regions)
    ]
    return pd.concat(parts, ignore_index=True)


def written(tmp_path, frame, name="signals.csv"):
    path = tmp_path / name
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path, index=False)
    return path


def load(tmp_path, frame, regions=("north", "south"), name="signals.csv", missing="error", stale=24, **time):
    source = SignalsSource(source=written(tmp_path, frame, name).name, missing=missing, max_stale_slots=stale)
    regions = regions if isinstance(regions, dict) else {name: Region() for name in regions}
    return signals.load(source, regions, Time(**({"slots": 4, "start_utc": START} | time)), tmp_path)


@pytest.mark.parametrize("name", ["signals.csv", "signals.parquet"])
def test_values_stand_in_the_order_of_the_scenarios_regions(tmp_path, name):
    got = load(tmp_path, table(), ("south", "north"), name)
    np.testing.assert_array_equal(got.price_usd_per_kwh, [[101, 1], [102, 2], [103, 3], [104, 4]])
    np.testing.assert_array_equal(got.ewif_l_per_kwh, np.full((4, 2), 2.0))
    assert not got.stale_slots.any()


def test_a_shipped_trace_is_found_by_its_name(tmp_path):
    got = signals.load(SignalsSource(source="llm10_signals.csv"), {"japan": Region()}, Time(slots=457), tmp_path)
    assert got.carbon_g_per_kwh.shape == (457, 1)


def test_synthetic_signals_are_drawn_by_their_seed_and_the_shipped_ones_are_one_of_them(tmp_path):
    def drawn(source, **time):
        return signals.load(SignalsSource(**source), {"japan": Region()}, Time(**{"slots": 457} | time), tmp_path)

    shipped, first = drawn({"source": "llm10_signals.csv"}), drawn({"source": "synthetic"})
    np.testing.assert_array_equal(shipped.carbon_g_per_kwh, first.carbon_g_per_kwh)
    second = drawn({"source": "synthetic", "seed": 2})
    assert (second.carbon_g_per_kwh != first.carbon_g_per_kwh).any()
    later = drawn({"source": "synthetic"}, slots=500, start_utc=START + timedelta(days=1))  # longer than the record
    assert later.carbon_g_per_kwh.shape == (500, 1)


@pytest.mark.parametrize(
    "start", [START + timedelta(hours=2), datetime(2022, 9, 22, 4, tzinfo=timezone(timedelta(hours=2)))]
)
def test_the_horizon_begins_at_start_utc(tmp_path, start):
    assert load(tmp_path, table(), start_utc=start).price_usd_per_kwh[:, 0].tolist() == [3, 4, 5, 6]


def test_times_with_an_offset_are_converted(tmp_path):
    frame = table()
    frame["time_utc"] = frame["time_utc"].dt.tz_localize("Etc/GMT-2").astype(str)  # two hours ahead of UTC
    assert load(tmp_path, frame).price_usd_per_kwh[:, 0].tolist() == [3, 4, 5, 6]
    aware = table().assign(time_utc=lambda t: t["time_utc"].dt.tz_localize(UTC))
    assert load(tmp_path, aware, name="a.parquet").price_usd_per_kwh[0, 0] == 1


def test_a_value_holds_over_all_slots_of_its_step(tmp_path):
    got = load(tmp_path, table(), slot_s=1800.0, slots=5, start_utc=START + timedelta(minutes=30))
    assert got.price_usd_per_kwh[:, 0].tolist() == [1, 2, 2, 3, 3]


def test_a_slot_gets_the_mean_of_its_steps(tmp_path):
    got = load(tmp_path, table(8), slot_s=7200.0, slots=3, start_utc=START + timedelta(hours=1))
    assert got.price_usd_per_kwh[:, 0].tolist() == [2.5, 4.5, 6.5]


def test_constants_fill_what_the_source_lacks(tmp_path):
    frame = table().drop(columns=["ewif_l_per_kwh", "pue"])
    regions = {"south": Region(ewif_l_per_kwh=3.0, pue=1.5), "own": Region(**CONSTANT)}
    got = load(tmp_path, frame, regions)
    assert got.ewif_l_per_kwh[0].tolist() == [3.0, 2.0]
    assert got.pue[0].tolist() == [1.5, 1.2]
    assert got.price_usd_per_kwh[0].tolist() == [101.0, 0.1]


def test_a_regions_own_pue_wins_over_the_sources(tmp_path):
    got = load(tmp_path, table(), {"north": Region(pue=1.5), "south": Region()})
    assert got.pue[0].tolist() == [1.5, 1.2]


def test_negative_prices_are_legal(tmp_path):
    got = load(tmp_path, table().assign(price_usd_per_kwh=-0.05))
    assert (got.price_usd_per_kwh == -0.05).all()


def test_constant_signals_need_no_file():
    got = signals.load(SignalsSource(), {"a": Region(**CONSTANT)}, Time(slots=3), None)
    assert {name: getattr(got, name)[2, 0] for name in CONSTANT} == CONSTANT


@pytest.mark.parametrize("how", ["absent", "empty"])
def test_a_gap_is_held_and_its_age_told(tmp_path, how):
    frame = table()
    gap = frame.index[1:3]
    if how == "absent":
        frame = frame.drop(gap)
    else:
        frame.loc[gap, "price_usd_per_kwh"] = np.nan
    got = load(tmp_path, frame, missing="hold")
    assert got.price_usd_per_kwh[:, 0].tolist() == [1, 1, 1, 4]
    assert got.stale_slots[:, 0].tolist() == [0, 1, 2, 0]
    assert not got.stale_slots[:, 1].any()
    halves = load(tmp_path, frame, missing="hold", slots=8, slot_s=1800.0)
    assert halves.stale_slots[:, 0].tolist() == [0, 0, 1, 2, 3, 4, 0, 0]
    later = load(tmp_path, frame, missing="hold", slots=3, start_utc=START + timedelta(hours=2))
    assert later.price_usd_per_kwh[:, 0].tolist() == [1, 4, 5]  # a value from before the horizon holds
    assert later.stale_slots[:, 0].tolist() == [2, 0, 0]
    with pytest.raises(SignalError, match=r"max_stale_slots"):
        load(tmp_path, frame, missing="hold", stale=1)
    with pytest.raises(SignalError, match=r"region north, 2022-09-22 01:00:00: price_usd_per_kwh is missing"):
        load(tmp_path, frame)


def test_a_gap_at_the_beginning_cannot_be_held(tmp_path):
    frame = table()
    frame.loc[0, "carbon_g_per_kwh"] = np.nan
    with pytest.raises(SignalError, match="no earlier value"):
        load(tmp_path, frame, missing="hold")


def cell(column, value, row=2):
    def change(frame):
        frame = frame.astype({column: object})
        frame.loc[row, column] = value
        return frame

    return change


BAD = {
    "price in USD/MWh": (
        lambda t: t.rename(columns={"price_usd_per_kwh": "price_usd_per_mwh"}),
        r"'price_usd_per_mwh' is in the wrong unit, must be price_usd_per_kwh = 0.001 x price_usd_per_mwh",
    ),
    "carbon in kg": (
        lambda t: t.rename(columns={"carbon_g_per_kwh": "carbon_kg_per_kwh"}),
        r"must be carbon_g_per_kwh = 1000 x carbon_kg_per_kwh",
    ),
    "carbon in t/MWh": (
        lambda t: t.rename(columns={"carbon_g_per_kwh": "carbon_t_per_mwh"}),
        r"must be carbon_g_per_kwh = 1000 x carbon_t_per_mwh",
    ),
    "water in m3/MWh": (
        lambda t: t.rename(columns={"wue_l_per_kwh": "wue_m3_per_mwh"}),
        r"must be wue_l_per_kwh = 1 x wue_m3_per_mwh",
    ),
    "misspelt column": (lambda t: t.rename(columns={"pue": "peu"}), r"unknown column 'peu'; did you mean 'pue'"),
    "no time": (lambda t: t.drop(columns="time_utc"), r"has no column 'time_utc'"),
    "no rows": (lambda t: t[:0], r"has no rows"),
    "no number": (cell("pue", "high"), r"row 3: pue = high, must be a number"),
    "no time stamp": (cell("time_utc", "noon"), r"row 3: time_utc = noon, must be a time"),
    "no region": (cell("region", None), r"row 3: region is empty"),
    "NaN": (cell("carbon_g_per_kwh", np.nan), r"north, 2022-09-22 02:00:00: carbon_g_per_kwh is missing"),
    "infinite": (cell("price_usd_per_kwh", "inf"), r"price_usd_per_kwh = inf, must be finite"),
    "negative carbon": (cell("carbon_g_per_kwh", -1.0), r"02:00:00: carbon_g_per_kwh = -1, must be >= 0"),
    "negative water": (cell("wue_l_per_kwh", -1.0), r"wue_l_per_kwh = -1, must be >= 0"),
    "pue below 1": (cell("pue", 0.9), r"pue = 0.9, must be >= 1"),
    "twice": (lambda t: pd.concat([t, t[:1]]).sort_values(["region", "time_utc"]), r"stands there twice"),
    "unsorted": (lambda t: t[::-1], r"must be sorted"),
    "off the step": (cell("time_utc", "2022-09-22T02:10"), r"off the file's step"),
    "signal that nobody gives": (
        lambda t: t.drop(columns="ewif_l_per_kwh"),
        r"regions.north.ewif_l_per_kwh is given neither there nor by signals.source = 'signals.csv'\nregions.south",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_table_is_refused(tmp_path, name):
    change, message = BAD[name]
    with pytest.raises(SignalError, match=message):
        load(tmp_path, change(table()))


BAD_TIMES = {
    "too few slots": ({"slots": 7}, r"has 6 slots of 3600 s from 2022-09-22 00:00:00, time.slots = 7 must not be more"),
    "before the file": ({"start_utc": START - timedelta(hours=1)}, r"must not be before 2022-09-22 00:00:00"),
    "after the file": ({"start_utc": START + timedelta(days=9)}, r"has 0 slots"),
    "between steps": ({"start_utc": START + timedelta(minutes=20)}, r"must fall on a step"),
    "slots that do not fit": ({"slot_s": 2500.0, "slots": 2}, r"step of 3600 s, time.slot_s = 2500 s must divide it"),
}


@pytest.mark.parametrize("name", BAD_TIMES)
def test_a_horizon_that_does_not_fit_is_refused(tmp_path, name):
    time, message = BAD_TIMES[name]
    with pytest.raises(SignalError, match=message):
        load(tmp_path, table(), **time)


def test_an_unknown_region_is_told_the_nearest(tmp_path):
    with pytest.raises(SignalError, match=r"has no region 'nort'; did you mean 'north'"):
        load(tmp_path, table(), ("nort",))


def test_a_constant_beside_a_series_is_refused(tmp_path):
    with pytest.raises(SignalError, match=r"regions.north.carbon_g_per_kwh = 5, but signals.csv gives it too"):
        load(tmp_path, table(), {"north": Region(carbon_g_per_kwh=5.0)})


def test_constants_that_lack_are_all_told():
    with pytest.raises(SignalError) as told:
        signals.load(SignalsSource(), {"a": Region(pue=1.1), "b": Region(**CONSTANT)}, Time(slots=2), None)
    assert [line.split()[0] for line in str(told.value).splitlines()] == [
        f"regions.a.{c}" for c in CONSTANT if c != "pue"
    ]


@pytest.mark.parametrize("name", ["cut.parquet", "cut.csv", "table.txt"])
def test_a_damaged_file_is_refused(tmp_path, name):
    path = written(tmp_path, table(), "cut.parquet" if name == "cut.parquet" else "cut.csv")
    path = path.rename(tmp_path / name)
    path.write_bytes(path.read_bytes()[:300] if name == "cut.parquet" else b"")
    with pytest.raises(SignalError, match=r"truncated or damaged|must be .csv or .parquet"):
        signals.load(SignalsSource(source=name), {"north": Region()}, Time(slots=2), tmp_path)


def test_a_source_that_is_not_there_is_told_the_nearest(tmp_path):
    with pytest.raises(SignalError, match=r"no such file or folder; did you mean 'llm10_signals.csv'"):
        signals.load(SignalsSource(source="llm10_signal.csv"), {"a": Region()}, Time(slots=2), tmp_path)
    with pytest.raises(SignalError, match="no folder in the authors' layout"):
        signals.load(SignalsSource(source="."), {"a": Region()}, Time(slots=2), tmp_path)


def test_a_region_may_have_another_name_in_the_source(tmp_path):
    regions = {"east": Region(signal="DE-LU"), "west": Region()}
    got = load(tmp_path, table(regions=("DE-LU", "west")), regions)
    np.testing.assert_array_equal(got.price_usd_per_kwh, [[1, 101], [2, 102], [3, 103], [4, 104]])
    with pytest.raises(SignalError, match=r"has no region 'DE-UL'; did you mean 'DE-LU'\? \(regions\.east\.signal\)"):
        load(tmp_path, table(regions=("DE-LU", "west")), regions | {"east": Region(signal="DE-UL")})
    with pytest.raises(SignalError, match=r"regions\.east\.signal = 'DE-LU', but signals\.source = 'constant'"):
        signals.load(SignalsSource(), {"east": Region(signal="DE-LU", **CONSTANT)}, Time(slots=1), tmp_path)


def test_several_files_are_joined(tmp_path):
    frame = table()
    written(tmp_path, frame[["time_utc", "region", "price_usd_per_kwh", "pue"]], "a.csv")
    written(tmp_path, frame.drop(columns=["price_usd_per_kwh", "pue"])[lambda rows: rows["region"] == "south"], "b.csv")
    own = {name: CONSTANT[name] for name in ("carbon_g_per_kwh", "wue_l_per_kwh", "ewif_l_per_kwh")}
    regions = {"south": Region(), "north": Region(**own)}
    got = signals.load(SignalsSource(sources=("a.csv", "b.csv")), regions, Time(slots=4, start_utc=START), tmp_path)
    np.testing.assert_array_equal(got.price_usd_per_kwh, [[101, 1], [102, 2], [103, 3], [104, 4]])
    with pytest.raises(SignalError, match=r"is in .*a\.csv too"):
        signals.load(SignalsSource(sources=("a.csv", "a.csv")), regions, Time(slots=4, start_utc=START), tmp_path)
    with pytest.raises(SignalError, match=r"'c\.csv': no such file"):
        signals.load(SignalsSource(sources=("a.csv", "c.csv")), regions, Time(slots=4, start_utc=START), tmp_path)


@pytest.mark.parametrize(
    ("hole", "refused"),
    [
        ("2023-03-26T02:00", True),  # Berlin's clocks
        ("2023-03-26T01:00", True),  # London's
        ("2023-03-12T02:00", True),  # New York's
        ("2023-10-01T02:00", True),  # Sydney's
        ("2023-03-26T05:00", False),
        ("2023-03-25T02:00", False),
    ],
)
@pytest.mark.parametrize("slot_s", [1800.0, 3600.0])
def test_the_hour_that_clocks_leave_out_is_not_held_over(tmp_path, hole, refused, slot_s):
    start = pd.Timestamp(hole).floor("D")
    times = pd.date_range(start, periods=24, freq="h")
    frame = pd.DataFrame({"time_utc": times, "region": "north"} | CONSTANT)
    frame = frame[frame["time_utc"] != pd.Timestamp(hole)]
    time = {"slots": int(86400 / slot_s), "slot_s": slot_s, "start_utc": start.to_pydatetime()}
    if refused:
        with pytest.raises(SignalError, match=r"lacks the one hour that clocks leave out .* stamps are local times"):
            load(tmp_path, frame, ("north",), missing="hold", **time)
    else:
        assert load(tmp_path, frame, ("north",), missing="hold", **time).stale_slots.any()
    longer = frame[frame["time_utc"] != pd.Timestamp(hole) + pd.Timedelta("1h")]
    assert load(tmp_path, longer, ("north",), missing="hold", **time).stale_slots.max() == 2 * 3600 / slot_s
