"""Generation by fuel in four formats: names of fuels, ends of hours, two lines of header, years."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from glbdes.errors import SignalError
from glbdes.signals import fuels
from glbdes.signals.sources import csv_mix, eia930, entsoe_generation, owid
from glbdes.signals.sources.download import fetch
from glbdes.signals.sources.mixes import Wanted
from tests.downloads import written

GAL = 3.785411784 / 1000  # L per kWh
REN = Wanted(fuels.factors("ren", "water"), fuels.factors("ren", "carbon"))
NET = "Net Generation (MW) from "


def begins(utc_ns: np.ndarray) -> list[str]:
    return [str(stamp)[:16] for stamp in utc_ns.astype("datetime64[ns]")]


def eia(folder: Path, fuels_there: list[str], *rows: str) -> Path:
    columns = ["Balancing Authority", "UTC Time at End of Hour", "Demand (MW)", *fuels_there]
    return written(folder / "EIA930_BALANCE.csv", ",".join(f'"{name}"' for name in columns), *rows)


@pytest.mark.parametrize("solar", ["Solar", "Solar with Integrated Battery Storage"])
def test_eia_stamps_are_ends_of_hours_and_one_authority_of_many_is_taken(tmp_path: Path, solar: str) -> None:
    path = eia(
        tmp_path,
        [f"{NET}Coal", f"{NET}Natural Gas", f"{NET}{solar}", f"{NET}Battery Storage", f"{NET}Nuclear"],
        'PJM,07/01/2023 5:00:00 AM,"80,000","1,000","3,000",0,-500,',
        "CISO,07/01/2023 5:00:00 AM,20000,,100,100,700,",
        'PJM,07/01/2023 6:00:00 AM,"80,000","2,000","2,000",-4,900,',
    )
    (piece,) = eia930.read(fetch(path), Wanted(REN.ewif, REN.carbon, ("PJM",)))
    assert begins(piece.utc_ns) == ["2023-07-01T04:00", "2023-07-01T05:00"]
    np.testing.assert_allclose(piece.values["ewif_l_per_kwh"], [GAL * (450 + 3 * 300) / 4, GAL * 375])
    np.testing.assert_allclose(piece.values["carbon_g_per_kwh"], [(968 + 3 * 440) / 4, (968 + 440) / 2])
    assert piece.notes["negative_cells"] == 1
    assert piece.notes["ewif"] == "ren, hydropower 0 L/kWh"
    assert piece.notes["mix"] == {"coal": 0.375, "gas": 0.625, "solar": 0.0}
    with pytest.raises(SignalError, match="row 2: Balancing Authority = CISO after PJM"):
        eia930.read(fetch(path), REN)


def test_eias_adjusted_values_go_before_and_imputed_ones_are_estimates(tmp_path: Path) -> None:
    path = eia(
        tmp_path,
        [f"{NET}Coal", f"{NET}Coal (Imputed)", f"{NET}Coal (Adjusted)", f"{NET}Wind"],
        "PJM,12/31/2023 11:00:00 PM,1,-999,50,50,50",
        "PJM,01/01/2024 12:00:00 AM,1,100,,100,0",
    )
    (piece,) = eia930.read(fetch(path), REN)
    np.testing.assert_allclose(piece.values["ewif_l_per_kwh"], [GAL * 225, GAL * 450])
    assert piece.estimated is not None
    assert piece.estimated.tolist() == [True, False]
    assert begins(piece.utc_ns)[1] == "2023-12-31T23:00"


@pytest.mark.parametrize("lines", [1, 2])
def test_entsoe_generation_with_one_or_two_lines_of_header(tmp_path: Path, lines: int) -> None:
    """As pandas writes entsoe-py's table: consumption of storage is no fuel."""
    there = pd.date_range("2023-10-29 00:00", periods=4, freq="h", tz="Europe/Berlin")
    data = {
        ("Fossil Gas", "Actual Aggregated"): [100.0, 100, 100, 100],
        ("Fossil Hard coal", "Actual Aggregated"): [100.0, 300, 0, np.nan],
        ("Hydro Pumped Storage", "Actual Aggregated"): [500.0, 0, 0, 0],
        ("Hydro Pumped Storage", "Actual Consumption"): [0.0, 900, 0, 0],
        ("Wind Onshore", "Actual Aggregated"): [0.0, 0, 100, 100],
    }
    table = pd.DataFrame(data, index=there)
    if lines == 1:
        table = table.drop(columns=[("Hydro Pumped Storage", "Actual Consumption")])
        table.columns = [kind for kind, _ in table.columns]
    path = tmp_path / "gen.csv"
    table.to_csv(path)
    (piece,) = entsoe_generation.read(fetch(path), REN)
    np.testing.assert_allclose(piece.values["ewif_l_per_kwh"], [GAL * 375, GAL * 412.5, GAL * 150, np.nan])
    assert begins(piece.utc_ns) == ["2023-10-28T22:00", "2023-10-28T23:00", "2023-10-29T00:00", "2023-10-29T01:00"]
    table.columns = ["Cold fusion", *table.columns[1:]]
    table.to_csv(path)
    with pytest.raises(SignalError, match="unknown type of generation 'Cold fusion"):
        entsoe_generation.read(fetch(path), REN)


OWID = (
    "country,year,iso_code," + ",".join(owid.FUELS),
    "Norway,2022,NOR,0,1,0,0,129,15,0,0,0",
    "Norway,2024,NOR,,2,,,98,,,,",
)


def test_a_year_of_a_country_is_the_same_in_each_of_its_hours(tmp_path: Path) -> None:
    path = written(tmp_path / "owid.csv", *OWID, "Sweden,2024,SWE,0,1,0,49,50,0,0,0,0")
    macknick = fuels.factors("macknick", "water")
    (piece,) = owid.read(fetch(path), Wanted(macknick, None, ("NOR",), None, (2024,)))
    assert piece.zone == "Norway"
    assert begins(piece.utc_ns)[::8783] == ["2024-01-01T00:00", "2024-12-31T23:00"]
    np.testing.assert_allclose(piece.values["ewif_l_per_kwh"], GAL * (2 * 198 + 98 * 4491) / 100)
    assert set(piece.rows.tolist()) == {2}


@pytest.mark.parametrize(
    ("zones", "years", "told"),
    [
        (("Norway",), (), "say which with --year"),
        (("Norway",), (2023,), "Norway has years 2022, 2024, must have --year 2023"),
        (("Norwya",), (2022,), "has no zone 'Norwya'; did you mean 'Norway'"),
        ((), (2024,), "has 2 zones, must have one; choose with --zone"),
    ],
)
def test_country_and_year_are_said(tmp_path: Path, zones: tuple[str, ...], years: tuple[int, ...], told: str) -> None:
    path = written(tmp_path / "owid.csv", *OWID, "Sweden,2024,SWE,0,1,0,49,50,0,0,0,0")
    with pytest.raises(SignalError, match=told):
        owid.read(fetch(path), Wanted(REN.ewif, None, zones, None, years))


def test_any_file_with_columns_of_fuels(tmp_path: Path) -> None:
    path = written(tmp_path / "mix.csv", "time,Coal_MW,natural gas (MW),load", "2023-01-01T00:00+01:00,1,3,9")
    (piece,) = csv_mix.read(fetch(path), REN)
    np.testing.assert_allclose(piece.values["ewif_l_per_kwh"], [GAL * 337.5])
    with pytest.raises(SignalError, match="has no numbers in columns of fuels, of time_utc, load"):
        csv_mix.read(fetch(written(tmp_path / "mix.csv", "time_utc,load", "2023-01-01,1")), REN)
    with pytest.raises(SignalError, match="say --tz"):
        csv_mix.read(fetch(written(tmp_path / "mix.csv", "time,coal", "2023-01-01,1")), REN)
