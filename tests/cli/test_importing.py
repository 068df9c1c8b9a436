"""Public data on the command line: a table and where it comes from, or one message and neither."""

import hashlib
import json
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from glbdes.cli.main import main
from tests.downloads import NEW, OLD, carbon_rows, real, written

ZONES = ("AU-NSW", "CA-ON", "DE-LU", "JP-TK", "SG", "US-CAL-CISO", "US-MIDA-PJM", "US-TEX-ERCO")


def call(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def refused(folder: Path, *arguments: object) -> str:
    """The message of a command that fails and writes nothing."""
    before = set(folder.iterdir())
    result = call(*arguments, code=2)
    assert set(folder.iterdir()) == before
    assert result.stdout == ""
    return result.stderr


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_carbon_of_two_zones_and_where_it_comes_from(here: Path) -> None:
    berlin = written(here / "de.csv", OLD, *carbon_rows("DE", [400.0, "", 300.0], estimated=(2,)))
    written(here / "us.csv.gz", NEW, *carbon_rows("US-TEX-ERCO", [500.0, 510.0]))
    told = call("import", "carbon", "--format", "electricitymaps", "germany=de.csv", "us.csv.gz", "-o", "c.csv").stdout
    assert "germany" in told
    assert "50.0%" in told  # of Germany's two hours one is estimated
    assert Path("c.csv").read_text().splitlines() == [
        "time_utc,region,carbon_g_per_kwh",
        "2023-01-01T00:00,US-TEX-ERCO,500.0",
        "2023-01-01T01:00,US-TEX-ERCO,510.0",
        "2023-01-01T00:00,germany,400.0",
        "2023-01-01T02:00,germany,300.0",
    ]
    facts = json.loads(Path("c.csv.json").read_text())
    assert facts["licence"].startswith("ODbL")
    assert facts["files"][0] == {
        "name": "de.csv",
        "sha256": hashlib.sha256(berlin.read_bytes()).hexdigest(),
        "rows": 3,
        "times": "UTC, by the header",
    }
    germany = facts["regions"]["germany"]
    assert (germany["zone"], germany["missing_slots"]) == ("DE", 1)
    assert germany["share_estimated"] == {"carbon_g_per_kwh": 0.5}
    assert germany["gaps"] == [{"first": "2023-01-01T01:00:00", "slots": 1}]
    assert germany["kind"] == "average, life cycle"


def leap(zone: str, without: str = "") -> list[str]:
    """Three days at the end of February 2024, one of them left out."""
    days = [day for day in ("2024-02-28", "2024-02-29", "2024-03-01") if day != without]
    return [row for day in days for row in carbon_rows(zone, [100.0] * 24, day)]


@pytest.mark.parametrize(
    ("lines", "extra", "told"),
    [
        ([OLD, *carbon_rows("DE", [1.0]), *carbon_rows("FR", [1.0])], [], "a.csv, row 2: Zone Id = FR after DE"),
        ([OLD, *carbon_rows("DE", [400.0, -3.0])], [], "a.csv, row 2: 2023-01-01 01:00:00 UTC: carbon_g_per_kwh = -3"),
        ([OLD, *carbon_rows("DE", [1.0] * 3)], ["a.csv"], "2023-01-01 00:00:00 UTC is in a.csv too"),
        ([OLD, *leap("DE", "2024-02-29")], [], "a.csv, row 25: region DE has no 2024-02-29"),
        ([OLD.replace("gCO₂eq/kWh", "gCO₂eq/MWh"), *carbon_rows("DE", [1.0])], [], "must be in gCO2eq/kWh"),
        ([OLD, *carbon_rows("DE", [""])], [], "region DE has no value"),
    ],
)
def test_bad_input_is_one_message_and_nothing_is_written(
    here: Path, lines: list[str], extra: list[str], told: str
) -> None:
    written(here / "a.csv", *lines)
    message = refused(here, "import", "carbon", "--format", "electricitymaps", "a.csv", *extra, "-o", "c.csv")
    assert told in message


def test_a_leap_day_that_is_there_or_accepted_is_no_error(here: Path) -> None:
    command = ["import", "carbon", "--format", "electricitymaps", "a.csv", "-o", "c.csv"]
    written(here / "a.csv", OLD, *leap("DE"))
    call(*command)
    assert json.loads(Path("c.csv.json").read_text())["regions"]["DE"]["missing_slots"] == 0
    written(here / "a.csv", OLD, *leap("DE", "2024-02-29"))
    call(*command, "--accept", "leap-day")
    assert json.loads(Path("c.csv.json").read_text())["regions"]["DE"]["missing_slots"] == 24


def test_marginal_and_average_carbon_are_not_joined(here: Path) -> None:
    written(here / "a.csv", OLD, *carbon_rows("DE", [1.0, 2.0]))
    moer = [f"2023-01-01T00:{5 * i:02d}:00+00:00,{1000 + i}" for i in range(12)]
    written(here / "m.csv", "point_time,value", *moer)
    call("import", "carbon", "--format", "electricitymaps", "a.csv", "-o", "c.csv")
    call("import", "carbon", "--format", "watttime", "here=m.csv", "-o", "m2.csv")
    got = pd.read_csv("m2.csv")
    assert got["carbon_g_per_kwh"].tolist() == [pytest.approx(1005.5 * 0.45359237, abs=1e-6)]
    assert "must be all marginal or all average" in refused(here, "signals", "join", "c.csv", "m2.csv", "-o", "j.csv")


def test_joined_tables_make_a_scenario(here: Path) -> None:
    """Columns side by side on the coarsest step over the time that all have; the scenario sees those values."""
    written(here / "a.csv", OLD, *carbon_rows("DE", [100.0 + i for i in range(8)]))
    call("import", "carbon", "--format", "electricitymaps", "east=a.csv", "-o", "c.csv")
    half = pd.date_range("2023-01-01T02:00", periods=8, freq="30min")
    pd.DataFrame({"time_utc": half, "region": "east", "price_usd_per_kwh": np.arange(8) / 100}).to_csv("p.csv")
    frame = pd.read_csv("p.csv", index_col=0)
    frame.to_csv("p.csv", index=False)
    call("signals", "join", "c.csv", "p.csv", "-o", "joined.csv")
    assert pd.read_csv("joined.csv").to_dict("list") == {
        "time_utc": [f"2023-01-01T{hour:02d}:00" for hour in (2, 3, 4, 5)],
        "region": ["east"] * 4,
        "price_usd_per_kwh": [0.005, 0.025, 0.045, 0.065],
        "carbon_g_per_kwh": [102.0, 103.0, 104.0, 105.0],
    }
    facts = json.loads(Path("joined.csv.json").read_text())
    assert facts["files"][0]["told"]["licence"].startswith("ODbL")
    assert facts["files"][1]["told"] is None
    assert facts["regions"]["east"]["share_estimated"] == {"carbon_g_per_kwh": 0.0}  # of prices nobody said
    Path("world.toml").write_text(
        """
name = "world"
engine = "fluid"
time = {slots = 4, start_utc = 2023-01-01T02:00:00}
signals = {source = "joined.csv"}
fleet = {profile = "h100_llama8b", replicas = 10}
regions.east = {pue = 1.0, wue_l_per_kwh = 0.0, ewif_l_per_kwh = 0.0}
gateways.east = {load = 0.5}
policy = {name = "nearest"}
"""
    )
    totals = json.loads(call("simulate", "world.toml", "-o", "run", "--json").stdout)["totals"]
    slots = pd.read_parquet("run/slots.parquet")
    assert totals["it_kwh"] > 0
    assert totals["carbon_kg"] == pytest.approx(slots["facility_kwh"] @ np.arange(102.0, 106.0) / 1000)
    assert totals["cost_usd"] == pytest.approx(slots["facility_kwh"] @ [0.005, 0.025, 0.045, 0.065])


def test_tables_of_the_same_hours_are_not_joined(here: Path) -> None:
    written(here / "a.csv", OLD, *carbon_rows("DE", [1.0, 2.0]))
    call("import", "carbon", "--format", "electricitymaps", "a.csv", "-o", "c.csv")
    assert "is in c.csv too" in refused(here, "signals", "join", "c.csv", "c.csv", "-o", "j.csv")
    written(here / "b.csv", "time_utc,region,pue", "2024-01-01T00:00,DE,1.1")
    assert "must have some time in common" in refused(here, "signals", "join", "c.csv", "b.csv", "-o", "j.csv")


def test_real_zones_of_a_year_in_bearable_time(here: Path) -> None:
    """Sixteen zone-years: those that are there, twice."""
    files = [
        f"{half}_{i}={real(f'carbon_em/{zone}_2023_hourly.csv.gz')}" for half in "ab" for i, zone in enumerate(ZONES)
    ]
    begin = perf_counter()
    call("import", "carbon", "--format", "electricitymaps", *files, "-o", "c.csv")
    assert perf_counter() - begin < 20  # 1 s on the developers' machine; here it is one of many
    got = pd.read_csv("c.csv")
    assert len(got) == 16 * 8760
    for i, zone in enumerate(ZONES):
        theirs = pd.read_csv(real(f"carbon_em/{zone}_2023_hourly.csv.gz"))
        ours = got[got["region"] == f"b_{i}"]
        assert ours["carbon_g_per_kwh"].mean() == pytest.approx(theirs.iloc[:, 5].mean(), rel=1e-9)
        assert ours["time_utc"].iloc[-1] == "2023-12-31T23:00"


def test_weather_becomes_water_and_names_are_needed(here: Path) -> None:
    path = real("weather_openmeteo/SG_2023.json.gz")
    command = ("import", "weather", "--format", "open-meteo", "--wue", "ren")
    assert "does not say of which region it is; write NAME=" in refused(here, *command, path, "-o", "w.csv")
    assert "--cycles = 1, must be > 1" in refused(here, *command, "--cycles", 1, f"sg={path}", "-o", "w.csv")
    told = call(*command, f"singapore={path}", "-o", "w.csv").stdout
    assert "wet bulb stull" in told
    assert json.loads(Path("w.csv.json").read_text())["regions"]["singapore"]["wue"] == "ren, 6 cycles, wet bulb stull"
    got = pd.read_csv("w.csv", parse_dates=["time_utc"])
    assert str(got["time_utc"].iloc[0]) == "2022-12-31 16:00:00"  # eight hours before midnight there
    assert len(got) == 8760
    assert 3 < got["wue_l_per_kwh"].mean() < 8  # hot and humid all year
    assert got["wue_l_per_kwh"].min() > 1


def test_prices_of_a_user_in_local_time_and_euros(here: Path) -> None:
    """A year of Berlin's clocks, hours in order: 8,760 hours of UTC, a daily exchange rate, a bad one told of."""
    there = pd.date_range("2023-01-01", "2024-01-01", freq="h", tz="Europe/Berlin", inclusive="left")
    euros = 80 + 30 * np.sin((there.hour - 13) / 24 * 2 * np.pi) + np.random.default_rng(1).normal(0, 9, 8760)
    euros = euros.round(2)
    euros = pd.Series(euros).mask(np.arange(8760) == 100)  # one is missing
    stamps = there.tz_localize(None).astype(str)
    pd.DataFrame({"Date": stamps, "Day-ahead price [EUR/MWh]": euros}).to_csv("p.csv", index=False)
    days = pd.date_range("2022-12-31", "2023-12-31")
    pd.DataFrame({"date": days, "USD": 1.0 + np.arange(366) / 1000}).to_csv("fx.csv", index=False)
    command = ("import", "price", "--format", "csv", "de=p.csv", "-o", "out.csv")
    assert "p.csv, row 1: Date = 2023-01-01 00:00:00 has no offset" in refused(here, *command, "--fx", 1.08)
    assert "say --fx with USD for one EUR" in refused(here, *command, "--tz", "Europe/Berlin")
    wrong = refused(here, *command, "--tz", "America/New_York", "--fx", 1.08)
    assert "row 1683: Date = 2023-03-12 02:00:00 is an hour that clocks in America/New_York leave out" in wrong
    assert "is in EUR/MWh, must be in USD/MWh" in refused(here, *command, "--unit", "USD/MWh", "--tz", "Europe/Berlin")
    call(*command, "--tz", "Europe/Berlin", "--fx", "fx.csv")
    got = pd.read_csv("out.csv", parse_dates=["time_utc"]).set_index("time_utc")["price_usd_per_kwh"]
    utc = there.tz_convert("UTC").tz_localize(None)
    rate = 1.0 + np.asarray((utc.normalize() - days[0]).days) / 1000
    wanted = pd.Series(euros.to_numpy() * rate / 1000, index=utc).dropna()
    pd.testing.assert_series_equal(got, wanted, check_names=False, check_freq=False, rtol=1e-6)
    germany = json.loads(Path("out.csv.json").read_text())["regions"]["de"]
    assert germany["gaps"] == [{"first": "2023-01-05T03:00:00", "slots": 1}]
    assert germany["price"].startswith("EUR/MWh, daily USD/EUR of fx.csv, SHA-256 ")
    assert "hours of the day: highest at 19:00" in germany["signs_of_shifted_stamps"]


def test_a_mix_names_its_factors_and_needs_them_said(here: Path) -> None:
    written(here / "m.csv", "time_utc,coal,hydro", "2023-01-01T00:00,1,3", "2023-01-01T01:00,3,1")
    command = ("import", "mix", "--format", "csv", "alps=m.csv", "-o", "m2.csv")
    assert "Missing option '--ewif'" in refused(here, *command)
    told = call(*command, "--ewif", "waterwise", "--carbon", "ipcc").stdout
    assert "Water off site: waterwise, hydropower 17 L/kWh" in told
    assert "Carbon: average, of generation, by factors: ipcc" in told
    got = pd.read_csv("m2.csv")
    np.testing.assert_allclose(got["ewif_l_per_kwh"], [(1.51 + 3 * 17) / 4, (3 * 1.51 + 17) / 4])
    np.testing.assert_allclose(got["carbon_g_per_kwh"], [(820 + 3 * 24) / 4, (3 * 820 + 24) / 4])
    assert json.loads(Path("m2.csv.json").read_text())["regions"]["alps"]["mix"] == {"coal": 0.5, "hydro": 0.5}


def test_a_table_is_described_and_drawn(here: Path) -> None:
    written(here / "a.csv", OLD, *carbon_rows("DE", [400.0, "", 300.0], estimated=(2,)))
    call("import", "carbon", "--format", "electricitymaps", "germany=a.csv", "-o", "c.csv")
    told = call("signals", "describe", "c.csv", "-o", "c.svg").stdout
    assert "carbon, g/kWh" in told
    assert "50.0%" in told
    assert "Carbon: average, life cycle" in told
    assert Path("c.svg").read_text().startswith("<svg")
    found = json.loads(call("signals", "describe", "c.csv", "--json").stdout)
    assert found["regions"]["germany"]["signals"]["carbon_g_per_kwh"]["mean"] == 350.0
    assert "must be one of .svg, .png, .pdf" in refused(here, "signals", "describe", "c.csv", "-o", "c.gif")
    for damage in ('{"regions": {"germany": {"slots": 2, "share_estimated": null}}}', "{}", "[]", "{"):
        Path("c.csv.json").write_text(damage)
        assert "c.csv.json: " in refused(here, "signals", "describe", "c.csv")
        assert "c.csv.json: " in refused(here, "signals", "join", "c.csv", "-o", "j.csv")


def test_real_carbon_and_weather_side_by_side_are_what_pandas_makes_of_them(here: Path) -> None:
    """Two zones, their clocks apart: the hours that both files of both have, and the formulas written out again."""
    zones = {"berlin": "DE-LU", "dallas": "US-TEX-ERCO"}
    carbon = [f"{name}={real(f'carbon_em/{zone}_2023_hourly.csv.gz')}" for name, zone in zones.items()]
    water = [f"{name}={real(f'weather_openmeteo/{zone}_2023.json.gz')}" for name, zone in zones.items()]
    call("import", "carbon", "--format", "electricitymaps", "--basis", "direct", *carbon, "-o", "c.parquet")
    call("import", "weather", "--format", "open-meteo", "--wue", "ren", "--cycles", 4, *water, "-o", "w.csv")
    call("signals", "join", "c.parquet", "w.csv", "-o", "joined.csv")
    got = pd.read_csv("joined.csv", parse_dates=["time_utc"])
    begin, end = pd.Timestamp("2023-01-01T05:00"), pd.Timestamp("2023-12-31T22:00")  # Dallas's first, Berlin's last
    for name, zone in zones.items():
        theirs = pd.read_csv(real(f"carbon_em/{zone}_2023_hourly.csv.gz"), index_col=0, parse_dates=True)
        answer = pd.read_json(real(f"weather_openmeteo/{zone}_2023.json.gz"), typ="series")
        hourly = pd.DataFrame(answer["hourly"])
        t, rh = hourly["temperature_2m"], hourly["relative_humidity_2m"]
        wet = t * np.arctan(0.151977 * (rh + 8.313659) ** 0.5) + np.arctan(t + rh) - np.arctan(rh - 1.676331)
        wet = np.minimum(wet + 0.00391838 * rh**1.5 * np.arctan(0.023101 * rh) - 4.686035, t) * 1.8 + 32
        wue = (4 / 3 * (6e-5 * wet**3 - 0.01 * wet**2 + 0.61 * wet - 10.4)).clip(lower=0.05)
        wue.index = pd.to_datetime(hourly["time"]) - pd.Timedelta(seconds=answer["utc_offset_seconds"])
        ours = got[got["region"] == name].set_index("time_utc")
        assert (ours.index[0], ours.index[-1], len(ours)) == (begin, end, 8754)
        np.testing.assert_allclose(ours["carbon_g_per_kwh"], theirs.iloc[:, 3][begin:end], rtol=1e-9)
        np.testing.assert_allclose(ours["wue_l_per_kwh"], wue[begin:end], atol=1e-6)


def test_regions_from_one_file_and_from_one_zone_of_it(here: Path) -> None:
    fuels = "coal_electricity,gas_electricity,oil_electricity,nuclear_electricity,hydro_electricity,wind_electricity"
    header = f"country,year,iso_code,{fuels},solar_electricity,biofuel_electricity"
    owid = written(
        here / "owid.csv",
        f"{header},other_renewable_exc_biofuel_electricity",
        "Japan,2023,JPN,1,0,0,0,0,0,0,0,0",
        "United States,2023,USA,0,1,0,0,0,0,0,0,0",
    )
    mix = ["import", "mix", "--format", "owid", "--ewif", "ren", "--year", "2023", owid]
    zones = ["--zone", "texas=United States", "--zone", "ohio=USA", "--zone", "tokyo=Japan"]
    call(*mix, *zones, "-o", "mix.csv")
    found = pd.read_csv("mix.csv").groupby("region")["ewif_l_per_kwh"].unique()
    assert found.map(lambda one: one.round(2).tolist()).to_dict() == {"texas": [1.14], "ohio": [1.14], "tokyo": [1.7]}
    twice = refused(here, *mix[:-1], f"a={owid}", *zones, "-o", "other.csv")
    assert "names regions, as NAME=FILE and --region do; say it once" in twice
    assert "must be ZONE or NAME=ZONE" in refused(here, *mix, "--zone", "=Japan", "-o", "other.csv")
