"""Footprints that a scenario names: what they are per kWh of IT energy, from files and constants, heard or not."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from glbdes.errors import SignalError
from glbdes.scenario.footprints import Footprint
from glbdes.scenario.model import Fault, KnownAhead, Region, SignalsSource, Time
from glbdes.signals import environment
from glbdes.signals.describe import describe
from glbdes.signals.join import join
from glbdes.signals.table import load

SIGNALS = {
    "pue": 1.25,
    "price_usd_per_kwh": 0.1,
    "carbon_g_per_kwh": 400.0,
    "wue_l_per_kwh": 2.0,
    "ewif_l_per_kwh": 4.0,
}
HEALTH = {"health": Footprint(unit="usd")}
SCARCITY = {"scarcity": Footprint(unit="l", per="water_l")}


def region(**footprints: float) -> Region:
    return Region(**SIGNALS, footprints=footprints)


def per_kwh(footprints: dict[str, Footprint], **constants: float) -> float:
    got = load(SignalsSource(), {"a": region(**constants)}, Time(slots=2), None, footprints)
    assert got.further_per_kwh.shape == (2, 1, 1)
    assert (got.further_per_kwh[0] == got.further_per_kwh[1]).all()
    return float(got.further_per_kwh[0, 0, 0])


def test_a_kwh_of_the_facility_has_pue_in_it_and_one_of_it_energy_has_not() -> None:
    assert per_kwh(HEALTH, health=0.2) == 0.2 * 1.25
    assert per_kwh({"health": Footprint(unit="usd", pue=False)}, health=0.2) == 0.2


def test_litres_are_weighed_on_site_and_off_site() -> None:
    assert per_kwh(SCARCITY, scarcity=10.0) == pytest.approx(10 * (2.0 + 1.25 * 4.0))
    assert per_kwh(SCARCITY, scarcity_on_site=10.0, scarcity_off_site=3.0) == pytest.approx(10 * 2 + 3 * 1.25 * 4)


def table(folder: Path, column: str, values: tuple[float, ...], name: str = "s.csv") -> str:
    rows = [f"2022-09-22T{hour:02}:00,a,{value}" for hour, value in enumerate(values)]
    (folder / name).write_text(f"time_utc,region,{column}\n" + "\n".join(rows) + "\n")
    return name


def test_a_file_has_a_column_named_after_the_footprint(tmp_path: Path) -> None:
    source = SignalsSource(source=table(tmp_path, "health_usd_per_kwh", (0.1, 0.2, 0.3)))
    got = load(source, {"a": region()}, Time(slots=3), tmp_path, HEALTH)
    np.testing.assert_allclose(got.further_per_kwh[:, 0, 0], [0.125, 0.25, 0.375])
    with pytest.raises(SignalError, match=r"unknown column 'health_usd_per_kwh'.*needs its table \[footprints\.NAME\]"):
        load(source, {"a": region()}, Time(slots=3), tmp_path)
    with pytest.raises(SignalError, match=r"health_usd_per_kwh = 1, but signals.source = 's.csv' gives it too: remove"):
        load(source, {"a": region(health=1.0)}, Time(slots=3), tmp_path, HEALTH)
    negative = SignalsSource(source=table(tmp_path, "health_usd_per_kwh", (0.1, -0.2, 0.3)))
    with pytest.raises(SignalError, match=r"health_usd_per_kwh = -0\.2, must be >= 0"):
        load(negative, {"a": region()}, Time(slots=3), tmp_path, HEALTH)


def test_what_nobody_gives_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SignalError, match=r"regions\.a\.footprints\.health is missing, and .* no column health_usd"):
        per_kwh(HEALTH)
    with pytest.raises(SignalError, match=r"regions\.a\.footprints: scarcity_off_site_l_per_l is given neither there"):
        per_kwh(SCARCITY, scarcity_on_site=1.0)
    with pytest.raises(SignalError, match=r"has scarcity_l_per_l and scarcity_on_site_l_per_l.* too, must have one"):
        per_kwh(SCARCITY, scarcity=1.0, scarcity_on_site=1.0, scarcity_off_site=1.0)


def test_files_with_footprints_are_joined_and_described(tmp_path: Path) -> None:
    one = tmp_path / table(tmp_path, "health_usd_per_kwh", (0.1, 0.2), "one.csv")
    two = tmp_path / table(tmp_path, "marginal_g_per_kwh", (300.0, 500.0), "two.csv")
    joined = join([one, two], "test").table
    assert list(joined.columns) == ["time_utc", "region", "health_usd_per_kwh", "marginal_g_per_kwh"]
    assert describe(two)["regions"]["a"]["signals"]["marginal_g_per_kwh"]["mean"] == 400.0


def test_policies_hold_what_they_do_not_hear(tmp_path: Path) -> None:
    source = SignalsSource(source=table(tmp_path, "health_usd_per_kwh", (0.1, 0.2, 0.3, 0.4)))
    faults = [Fault(region="a", signal="health", start_h=1, end_h=3)]
    got = environment(source, {"a": region()}, faults, KnownAhead(), Time(slots=4), tmp_path, HEALTH)
    np.testing.assert_allclose(got.truth.further_per_kwh[:, 0, 0], [0.125, 0.25, 0.375, 0.5])
    np.testing.assert_allclose(got.seen.further_per_kwh[:, 0, 0], [0.125, 0.125, 0.125, 0.5])
    assert got.seen.stale_slots[:, 0].tolist() == [0, 1, 2, 0]
    np.testing.assert_array_equal(got.seen.carbon_g_per_kwh, got.truth.carbon_g_per_kwh)


def test_water_that_is_not_heard_holds_what_is_weighed_by_litres(tmp_path: Path) -> None:
    rows = "\n".join(f"2022-09-22T0{hour}:00,a,{hour + 1.0}" for hour in range(3))
    (tmp_path / "s.csv").write_text(f"time_utc,region,wue_l_per_kwh\n{rows}\n")
    own = Region(**{**SIGNALS, "wue_l_per_kwh": None, "ewif_l_per_kwh": 0.0}, footprints={"scarcity": 10.0})
    faults = [Fault(region="a", signal="water", start_h=1, end_h=2)]
    source = SignalsSource(source="s.csv")
    got = environment(source, {"a": own}, faults, KnownAhead(), Time(slots=3), tmp_path, SCARCITY)
    assert got.truth.further_per_kwh[:, 0, 0].tolist() == [10.0, 20.0, 30.0]
    assert got.seen.further_per_kwh[:, 0, 0].tolist() == [10.0, 10.0, 30.0]


def test_the_page_tells_the_means_of_the_published_health_damage() -> None:
    folder = Path(__file__).resolve().parents[2] / "../shared/data/real/health"
    if not folder.exists():
        pytest.skip("needs the hourly health damage in ../shared/data/real/health")
    page = (Path(__file__).resolve().parents[2] / "docs" / "footprints.md").read_text()
    for grid in ("CISO", "ERCO", "PJM", "TVA"):
        table = pd.read_csv(folder / f"{grid}.csv.gz")
        inside, outside = (table[f"{side}_health_cost"].mean() for side in ("internal", "external"))
        row = next(line for line in page.splitlines() if line.startswith(f"| {grid} "))
        assert f"| {inside:.2f} | {outside:.2f} | {(inside + outside) / 1000:.4f} |" in row
