"""Load curves on gateways' clocks: by hand, against the real one, and back through the reader of loads."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glbdes.errors import TraceError
from glbdes.signals import load_curves
from glbdes.signals.load_curves import Curve
from glbdes.signals.loads import read_load

REAL = Path(__file__).resolve().parents[2] / "../shared/data/real/servegen/m_small_rate_600s_week1.csv"
START = datetime(2022, 9, 22)
DAY = Curve({"load": np.arange(24.0)}, START, 3600.0, 0.0)  # the value is the hour


def write(folder: Path, text: str, name: str = "rates.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_servegens_rates_begin_at_midnight_of_beijing(tmp_path: Path) -> None:
    curve = load_curves.read_servegen([write(tmp_path, "t_s,requests_per_s\n600,5\n1200,7\n")], START, None)
    assert curve.start_utc == datetime(2022, 9, 21, 16, 10)
    assert (curve.step_s, curve.clock_h, curve.rates["load"].tolist()) == (600.0, 8.0, [5.0, 7.0])


def test_servegens_clients_are_added_up(tmp_path: Path) -> None:
    one = write(tmp_path, "0,1.5,8.6,Weibull,0.37,0.39\n600,0,0,,0,0\n1200,0.25,6,Gamma,0.5,3.4\n", "chunk-0-trace.csv")
    two = write(tmp_path, "600,2,1,Gamma,1,1\n1200,1,1,Gamma,1,1\n", "chunk-1-trace.csv")
    assert load_curves.read_servegen([one, two], START, None).rates["load"].tolist() == [1.5, 2.0, 1.25]


@pytest.mark.parametrize(
    ("text", "clock_h"),
    [
        ("time_utc,load\n2022-09-22T00:00,1\n2022-09-22T01:00,2\n", None),
        ("load,time_utc\n1,2022-09-22T02:00+02:00\n2,2022-09-22T03:00+02:00\n", None),
        ("time,load\n2022-09-22T05:30,1\n2022-09-22T06:30,2\n", 5.5),
        ("t_s,load\n19800,1\n23400,2\n", 5.5),
    ],
)
def test_a_csv_says_its_times_in_one_of_three_ways(tmp_path: Path, text: str, clock_h: float | None) -> None:
    curve = load_curves.read_csv(write(tmp_path, text), None, START, clock_h)
    assert (curve.start_utc, curve.step_s, curve.rates["load"].tolist()) == (START, 3600.0, [1.0, 2.0])


@pytest.mark.parametrize(("clock", "first"), [(9.0, 9), (-6, 18), ("Asia/Tokyo", 9), ("America/Chicago", 19)])
def test_shifted_a_gateway_sees_the_curve_at_its_own_hour(clock: float | str, first: int) -> None:
    there = load_curves.shape(DAY, {"a": clock}, to_local=True, scale="none", repeat=True).table
    assert there["a"].tolist() == [(hour + first) % 24 for hour in range(24)]
    at_once = load_curves.shape(DAY, {"a": clock}, scale="none").table
    assert at_once["a"].tolist() == list(range(24))


def test_summer_time_moves_the_curve() -> None:
    curve = DAY._replace(rates={"load": np.tile(np.arange(24.0), 3)}, start_utc=datetime(2023, 3, 25))
    berlin = load_curves.shape(curve, {"a": "Europe/Berlin"}, to_local=True, scale="none", repeat=True).table["a"]
    assert berlin[:24].tolist() == [(hour + 1) % 24 for hour in range(24)]
    assert berlin[48:].tolist() == [(hour + 2) % 24 for hour in range(24)]


def test_half_a_window_gets_the_mean_of_both() -> None:
    india = load_curves.shape(DAY, {"a": 5.5}, to_local=True, scale="none", repeat=True).table["a"]
    assert india[:3].tolist() == [5.5, 6.5, 7.5]
    assert india[18] == 11.5  # between 23 and 0
    assert india.mean() == pytest.approx(11.5, rel=1e-12)


def test_without_repeat_only_what_every_gateway_has_is_kept() -> None:
    shaped = load_curves.shape(DAY, {"east": 9.0, "west": -6.0, "half": 5.5}, to_local=True, scale="none")
    assert shaped.table["time_utc"].iloc[0] == pd.Timestamp("2022-09-22T06:00")
    assert shaped.table["east"].tolist() == list(range(15, 24))
    assert shaped.table["west"].tolist() == list(range(9))
    assert shaped.repeated == 0
    again = load_curves.shape(DAY, {"east": 9.0, "west": -6.0}, to_local=True, repeat=True, rows=30)
    assert (len(again.table), again.repeated) == (30, 21)


@pytest.mark.parametrize(("scale", "divisor"), [("peak", 23.0), ("mean", 11.5), ("none", 1.0)])
def test_loads_are_over_the_curves_peak_or_mean(scale: Any, divisor: float) -> None:
    shaped = load_curves.shape(DAY, {}, scale=scale)
    assert list(shaped.table) == ["time_utc", "load"]
    np.testing.assert_allclose(shaped.table["load"], np.arange(24) / divisor, rtol=1e-15)


def test_gateways_may_have_columns_of_their_own() -> None:
    curve = Curve({"a": np.arange(1.0, 25.0), "b": np.full(24, 2.0)}, START, 3600.0, 0.0)
    table = load_curves.shape(curve, {"b": 0.0, "a": 1.0}, to_local=True, repeat=True, scale="none").table
    assert (table["b"].tolist(), table["a"][:2].tolist()) == ([2.0] * 24, [2.0, 3.0])
    with pytest.raises(TraceError, match=r"no column for gateway 'c' \(there are a, b\)"):
        load_curves.shape(curve, {"c": 0.0})


@pytest.mark.parametrize("start", ["2022-09-22T00:00", "2022-09-22T00:00:30"])
@pytest.mark.parametrize("name", ["load.csv", "load.parquet"])
def test_what_is_written_is_read_back_a_column_a_gateway(tmp_path: Path, name: str, start: str) -> None:
    source = write(tmp_path, "t_s,load\n" + "".join(f"{3600 * hour},{hour}\n" for hour in range(24)))
    begin = datetime.fromisoformat(start)
    curve = load_curves.read_csv(source, None, begin, 0.0)
    shaped = load_curves.shape(curve, {"tokyo": 9.0, "here": 0.0}, to_local=True, repeat=True)
    load_curves.write(shaped, tmp_path / name, [source], {"format": "csv"})
    read = read_load(tmp_path / name, begin, 3600.0, 24, ["here", "tokyo"])
    np.testing.assert_array_equal(read, shaped.table[["here", "tokyo"]])
    beside = json.loads((tmp_path / f"{name}.json").read_text())
    assert (beside["rows"], beside["rows_from_a_curve_begun_again"]) == (24, 9)
    assert len(beside["sha256"]["rates.csv"]) == 64


def test_the_real_week_of_servegen() -> None:
    if not REAL.exists():
        pytest.skip("needs the data folder beside the checkout")
    theirs = pd.read_csv(REAL)["requests_per_s"]
    curve = load_curves.read_servegen([REAL], START, None)
    shaped = load_curves.shape(curve, {"beijing": 8.0, "utc": 0.0}, to_local=True, repeat=True)
    assert (shaped.windows, len(shaped.table)) == (1008, 1008)
    np.testing.assert_allclose(shaped.table["beijing"], theirs / theirs.max(), rtol=1e-15)
    assert shaped.table["utc"].iloc[48] == theirs.iloc[0] / theirs.max()  # its midnight is eight hours later
    assert shaped.table["utc"].sum() == pytest.approx(theirs.sum() / theirs.max(), rel=1e-12)
    assert shaped.table["time_utc"].iloc[[0, -1]].tolist() == [
        pd.Timestamp("2022-09-21T16:00"),
        pd.Timestamp("2022-09-28T15:50"),
    ]


def read(form: str, path: Path) -> Curve:
    if form == "csv":
        return load_curves.read_csv(path, None, START, None)
    return load_curves.read_servegen([path], START, None)


CHUNK = "0,1.5,8.6,Weibull,0.37,0.39\n600,0,0,,0,0\n1200,0.25,6,Gamma,0.5,3.4\n"
STAMPED = "time_utc,load\n2022-09-22T00:00,1\n2022-09-22T01:00,2\n2022-09-22T02:00,2\n"
RATES = "t_s,requests_per_s\n0,1\n600,2\n1200,3\n"


@pytest.mark.parametrize(
    ("form", "text", "message"),
    [
        ("servegen", RATES.replace(",2", ",-2"), r"line 3: requests_per_s = '-2', must be a number >= 0"),
        ("servegen", RATES.replace("600", "700"), r"window 3: t_s is 500 s after the one above, must be 700 s"),
        ("servegen", RATES.replace("600", "0"), r"a window is there twice"),
        ("servegen", RATES.replace("requests_per_s", "rate"), r"no column 'requests_per_s'"),
        ("servegen", "a,b\n1,2\n", r"must have the columns t_s and requests_per_s, or be a client's chunk"),
        ("servegen", "0,1,1\n600,x,1\n", r"line 2: requests_per_s = 'x', must be"),
        ("servegen", RATES.partition("600")[0], r"1 windows, must be at least two"),
        ("csv", "hour,load\n1,2\n", r"no column of times, must have one of time_utc, time, t_s"),
        ("csv", "time,load\n2022-09-22T00:00,1\n", r"column 'time' is on some clock; say which, --clock"),
        ("csv", "time_utc,load\nnoon,1\n", r"line 2: time_utc = 'noon', must be a date"),
        ("csv", "time_utc\n2022-09-22\n", r"no column of rates besides"),
        ("csv", "", r"cannot be read as a CSV table"),
    ],
)
def test_a_bad_curve_is_refused(tmp_path: Path, form: str, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(TraceError, match=message):
        read(form, path)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([("servegen", RATES), ("servegen", CHUNK), ("csv", STAMPED)]),
    st.integers(0, 120),
    st.integers(0, 4),
    st.text(max_size=5),
)
def test_damage_is_told_as_a_trace_error_or_gives_loads(
    tmp_path_factory: pytest.TempPathFactory, chosen: tuple[str, str], place: int, lost: int, noise: str
) -> None:
    form, text = chosen
    path = tmp_path_factory.mktemp("damage") / "rates.csv"
    path.write_bytes((text[: place % len(text)] + noise + text[place % len(text) + lost :]).encode())
    try:
        table = load_curves.shape(read(form, path), {}).table
    except TraceError:
        return
    assert ((table["load"] >= 0) & (table["load"] <= 1)).all()


def test_what_cannot_be_shaped_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"say when they begin, --start"):
        load_curves.read_servegen([write(tmp_path, RATES)], None, None)
    with pytest.raises(TraceError, match=r"line 2: time = '.*Z', .* without an offset"):
        load_curves.read_csv(write(tmp_path, "time,load\n2022-09-22T00:00Z,1\n"), None, None, 8.0)
    with pytest.raises(TraceError, match=r"no column 'loads'; did you mean 'load'"):
        load_curves.read_csv(write(tmp_path, "t_s,load\n0,1\n1,2\n"), "loads", START, None)
    with pytest.raises(TraceError, match=r"lasts 23 h, must last whole days"):
        load_curves.shape(DAY._replace(rates={"load": np.ones(23)}), {}, repeat=True)
    with pytest.raises(TraceError, match=r"24 windows, too few for all gateways' clocks"):
        load_curves.shape(DAY, {"a": -12.0, "b": 12.0}, to_local=True)
    with pytest.raises(TraceError, match=r"no time zone 'Europe/Berlim'; did you mean 'Europe/Berlin'"):
        load_curves.shape(DAY, {"a": "Europe/Berlim"}, to_local=True)
    with pytest.raises(TraceError, match=r"must be within 14 h"):
        load_curves.shape(DAY, {"a": 99.0}, to_local=True)
    with pytest.raises(TraceError, match=r"is 0 all the time"):
        load_curves.shape(DAY._replace(rates={"load": np.zeros(24)}), {})
