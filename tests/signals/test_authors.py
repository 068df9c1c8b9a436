"""The authors' folder layout: a small folder made here, and the real one where it is."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from glbdes.errors import SignalError, TraceError
from glbdes.scenario.model import Region, SignalsSource, Time
from glbdes.signals import table as signals
from glbdes.signals.authors import is_authors, read_authors, read_authors_load, read_authors_load_by_slot

PAPER = Path(__file__).resolve().parents[2] / "../shared/data/paper"
HOURS = ("2022-09-22 00", "2022-09-22 01", "2022-09-22 02")


def write(path, header, values, hours=HOURS):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{hour},{value}" for hour, value in zip(hours, values, strict=False)]
    path.write_text("\n".join([f"Time (UTC),{header}", *rows]) + "\n")


@pytest.fixture
def folder(tmp_path):
    for name in ("Belguim", "Texas"):
        write(tmp_path / f"carbon/{name}_carbon.csv", "Carbon (kg/kWh)", (0.4, 0.5, 0.6))
        write(tmp_path / f"water/{name}_water.csv", " WUE (L/kWh)", (4.0, 5.0, 6.0))
        write(tmp_path / f"price/{name}_Price.csv", "Price (USD/MWh)", (-50.0, 60.0, 70.0))
    write(tmp_path / "AI_workload.csv", "Power (Watt)", (2708.0, 1354.0, 0.0))
    return tmp_path


def test_units_and_names_become_ours(folder):
    table = read_authors(folder)
    assert table["region"].unique().tolist() == ["belgium", "texas"]
    first = table.iloc[0]
    assert str(first["time_utc"]) == "2022-09-22 00:00:00"
    assert first["price_usd_per_kwh"] == pytest.approx(-0.05)
    assert first["carbon_g_per_kwh"] == pytest.approx(400.0)
    assert (first["wue_l_per_kwh"], first["ewif_l_per_kwh"], first["pue"]) == (4.0, 0.0, 1.0)
    np.testing.assert_array_equal(read_authors_load(folder), [1.0, 0.5, 0.0])


def test_load_is_aligned_to_the_start_of_the_horizon_like_signals(folder):
    hour, two = datetime(2022, 9, 22, 1), timedelta(hours=2).total_seconds()
    np.testing.assert_array_equal(read_authors_load_by_slot(folder, hour, two / 2, 2), [0.5, 0.0])
    np.testing.assert_array_equal(read_authors_load_by_slot(folder, hour, two, 1), [0.25])
    with pytest.raises(TraceError, match="must cover the 3 slots"):
        read_authors_load_by_slot(folder, hour, two / 2, 3)


def test_the_table_ends_where_the_shortest_signal_ends(folder):
    write(folder / "price/Texas_Price.csv", "Price (USD/MWh)", (1, 2, 3, 4), (*HOURS, "2022-09-22 03"))
    assert read_authors(folder).groupby("region").size().tolist() == [3, 3]


def test_the_right_spelling_of_belgium_is_read_too(folder):
    for path in folder.glob("*/Belguim*"):
        path.rename(path.with_name(path.name.replace("Belguim", "Belgium")))
    assert "belgium" in read_authors(folder)["region"].unique()


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


BAD = {
    "no folder": (lambda f: (f / "water").rename(f / "aqua"), r"has no file \*_water.csv"),
    "a region that lacks a signal": (
        lambda f: (f / "price/Texas_Price.csv").unlink(),
        r"price: has no file .* for texas",
    ),
    "other unit": (
        lambda f: edit(f / "carbon/Texas_carbon.csv", "(kg/kWh)", "(g/kWh)"),
        r"no column 'Carbon \(kg/kWh\)'",
    ),
    "no number": (lambda f: edit(f / "water/Texas_water.csv", "5.0", "wet"), r"row 2: WUE \(L/kWh\) = wet"),
    "no time": (lambda f: edit(f / "water/Texas_water.csv", HOURS[1], "one"), r"row 2: time_utc = one"),
    "unsorted": (lambda f: edit(f / "water/Texas_water.csv", HOURS[2], HOURS[0]), r"row 3: .* must be increasing"),
    "twice": (lambda f: edit(f / "water/Texas_water.csv", HOURS[2], HOURS[1]), r"row 3: .* must be increasing"),
    "no rows": (lambda f: write(f / "water/Texas_water.csv", " WUE (L/kWh)", ()), r"has no rows"),
    "empty": (lambda f: (f / "water/Texas_water.csv").write_text(""), r"truncated or damaged"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_folder_is_refused(folder, name):
    change, message = BAD[name]
    change(folder)
    with pytest.raises(SignalError, match=message):
        read_authors(folder)


@pytest.mark.parametrize(("value", "message"), [("-1", "= -1, must be a number >= 0"), ("", "= nan, must be")])
def test_a_bad_load_is_refused(folder, value, message):
    edit(folder / "AI_workload.csv", "1354.0", value)
    with pytest.raises(SignalError, match=message):
        read_authors_load(folder)


def test_a_load_that_is_not_there_is_told(folder):
    (folder / "AI_workload.csv").unlink()
    with pytest.raises(SignalError, match=r"AI_workload.csv: no such file"):
        read_authors_load(folder)


def test_a_hole_in_one_signal_is_a_gap_not_a_repair(folder):
    write(folder / "water/Texas_water.csv", " WUE (L/kWh)", (4.0, 6.0), (HOURS[0], HOURS[2]))
    with pytest.raises(SignalError, match=r"region texas, 2022-09-22 01:00:00: wue_l_per_kwh is missing"):
        signals.load(SignalsSource(source="."), {"texas": Region()}, Time(slots=3), folder)


def test_the_real_folder_is_read():
    if not is_authors(PAPER):
        pytest.skip("the data folder beside the checkout is absent")
    table = read_authors(PAPER)
    assert table.groupby("region").size().tolist() == [457] * 10
    means = table.groupby("region").mean(numeric_only=True)
    assert means.loc["texas", "price_usd_per_kwh"] == pytest.approx(0.06493, abs=1e-5)
    assert means.loc["belgium", "carbon_g_per_kwh"] == pytest.approx(480.2, abs=0.05)
    load = read_authors_load(PAPER)
    assert (len(load), load.max()) == (457, 1.0)
    assert load.mean() == pytest.approx(0.6378, abs=1e-4)
