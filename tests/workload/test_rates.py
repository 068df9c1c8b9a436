"""Mean arrival rates, by hand."""

import math
from pathlib import Path

import numpy as np
import pytest

from glbdes.errors import ScenarioError, TraceError
from tests.workload.small import make, rates


def test_a_constant_rate_is_load_of_home_or_rate_times_scale() -> None:
    np.testing.assert_allclose(rates(make(load_scale=2.0)), np.tile([10.0, 16.0], (30, 1)), rtol=1e-15)


@pytest.mark.parametrize("slot_s", [3600.0, 900.0, 10_800.0, 86_400.0])
def test_a_diurnal_rate_has_the_base_rate_as_its_mean_over_a_day(slot_s: float) -> None:
    given = make({"slots": round(86_400 / slot_s), "slot_s": slot_s}, shape="diurnal", diurnal_amplitude=0.7)
    np.testing.assert_allclose(rates(given).mean(axis=0), [5.0, 8.0], rtol=1e-12)


@pytest.mark.parametrize(("start", "peak_h"), [("2022-09-22T00:00:00", 14.5), ("2022-09-22T07:00:00", 3.5)])
def test_each_gateway_is_busiest_at_the_peak_of_its_own_clock(start: str, peak_h: float) -> None:
    given = make({"slots": 24, "start_utc": start}, shape="diurnal", diurnal_peak_h=peak_h)
    busiest_utc = rates(given).argmax(axis=0) + int(start[11:13])
    assert (busiest_utc % 24).tolist() == [math.floor(peak_h), (math.floor(peak_h) - 9) % 24]


def test_a_diurnal_peak_and_trough_have_the_asked_amplitude() -> None:
    shape = rates(make({"slots": 24 * 60, "slot_s": 60.0}, shape="diurnal", diurnal_amplitude=0.4))[:, 1] / 8.0
    assert (shape.max(), shape.min()) == (pytest.approx(1.4, abs=1e-4), pytest.approx(0.6, abs=1e-4))


def test_a_slot_gets_the_mean_of_the_daily_curve_over_its_time() -> None:
    fine = rates(make({"slots": 24 * 60, "slot_s": 60.0}, shape="diurnal")).reshape(24, 60, 2).mean(axis=1)
    np.testing.assert_allclose(rates(make({"slots": 24}, shape="diurnal")), fine, rtol=1e-12)


def test_a_load_trace_multiplies_every_gateway(tmp_path: Path) -> None:
    (tmp_path / "load.csv").write_text("load\n" + "\n".join(str(slot / 10) for slot in range(30)))
    given = make(shape="trace", load_file="load.csv", load_scale=2.0)
    np.testing.assert_allclose(rates(given, tmp_path), np.outer(np.arange(30) / 10, [10.0, 16.0]), rtol=1e-15)


def test_a_load_trace_may_have_a_column_a_gateway(tmp_path: Path) -> None:
    (tmp_path / "load.csv").write_text("osaka,texas\n" + "\n".join(f"{slot},{slot / 10}" for slot in range(30)))
    found = rates(make(shape="trace", load_file="load.csv"), tmp_path)
    np.testing.assert_allclose(found, np.outer(np.arange(30), [0.5, 8.0]), rtol=1e-15)


def test_the_load_beside_the_signals_goes_before_the_load_file(tmp_path: Path) -> None:
    given = make(shape="trace", load_file="absent.csv")
    np.testing.assert_array_equal(rates(given, tmp_path, np.arange(40.0)), np.outer(np.arange(30.0), [5.0, 8.0]))


def test_a_load_trace_that_is_missing_or_short_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"no load trace 'absent\.csv'"):
        rates(make(shape="trace", load_file="absent.csv"), tmp_path)
    with pytest.raises(TraceError, match=r"has 29 slots, must have time\.slots = 30"):
        rates(make(shape="trace", load_file="absent.csv"), tmp_path, np.ones(29))
    with pytest.raises(ScenarioError, match=r"workload\.load_file: missing"):
        rates(make(shape="trace", signals={"source": "folder"}), tmp_path)
