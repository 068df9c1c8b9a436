"""Carbon intensity as Electricity Maps and WattTime offer it: both generations of headers, units, zones, refusals."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from glbdes.errors import SignalError
from glbdes.signals.sources import electricity_maps, watttime
from glbdes.signals.sources.download import fetch
from tests.downloads import NEW, OLD, carbon_rows, real, written

MOER_2 = ("timestamp,MOER,MOER version,frequency", "2023-01-01T00:00:00+00:00,1000,3.0,300")
MOER_3 = (
    "point_time,value,region,signal_type,units",
    "2023-01-01T00:00:00+00:00,1000,CAISO_NORTH,co2_moer,lbs_co2_per_mwh",
    "2023-01-01T00:05:00+00:00,,CAISO_NORTH,co2_moer,lbs_co2_per_mwh",
)


@pytest.mark.parametrize("header", [OLD, NEW])
@pytest.mark.parametrize(("basis", "factor"), [("lca", 1.0), ("direct", 0.5)])
def test_both_generations_of_headers_are_read_by_name(tmp_path: Path, header: str, basis: str, factor: float) -> None:
    rows = carbon_rows("DE", [400.0, 300.0, ""], estimated=(1,))
    (piece,) = electricity_maps.read(fetch(written(tmp_path / "a.csv.gz", header, *rows)), basis)
    assert piece.zone == "DE"
    np.testing.assert_array_equal(piece.values["carbon_g_per_kwh"], [400.0 * factor, 300.0 * factor, np.nan])
    assert piece.estimated is not None
    assert piece.estimated.tolist() == [False, True, False]
    assert piece.utc_ns.astype("datetime64[ns]")[1] == np.datetime64("2023-01-01T01:00")


def test_of_several_zones_those_are_taken_that_are_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", OLD, *carbon_rows("DE", [1.0, 2.0]), *carbon_rows("FR", [3.0, 4.0]))
    (piece,) = electricity_maps.read(fetch(path), "lca", ("FR",))
    assert (piece.zone, piece.values["carbon_g_per_kwh"].tolist(), piece.rows.tolist()) == ("FR", [3.0, 4.0], [3, 4])
    with pytest.raises(SignalError, match=r"a\.csv, row 3: Zone Id = FR after DE: has 2 zones, .* --zone"):
        electricity_maps.read(fetch(path))
    with pytest.raises(SignalError, match=r"has no zone 'FI'.*the file has DE, FR"):
        electricity_maps.read(fetch(path), "lca", ("FI",))


@pytest.mark.parametrize(
    ("header", "rows", "told"),
    [
        (OLD.replace("gCO₂eq/kWh", "kgCO₂eq/MWh"), carbon_rows("DE", [1.0]), "must be in gCO2eq/kWh"),
        (OLD, carbon_rows("DE", [1.0, "many"]), r"row 2: .*\(LCA\) = many, must be a number"),
        (OLD, ["2023-13-01 00:00:00" + carbon_rows("DE", [1.0])[0][19:]], "row 1: .* must be a time"),
        (OLD, carbon_rows("", [1.0]), "row 1: Zone Id is empty"),
        (OLD, [], "has no rows"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_row(tmp_path: Path, header: str, rows: list[str], told: str) -> None:
    with pytest.raises(SignalError, match=told):
        electricity_maps.read(fetch(written(tmp_path / "a.csv", header, *rows)))


@pytest.mark.parametrize("name", ["DE-LU_2024", "SG_2023", "US-TEX-ERCO_2023"])
def test_real_years_are_what_pandas_finds_in_them(name: str) -> None:
    path = real(f"carbon_em/{name}_hourly.csv.gz")
    (piece,) = electricity_maps.read(fetch(path))
    table = pd.read_csv(path)
    values = piece.values["carbon_g_per_kwh"]
    assert len(values) == len(table) == (8784 if "2024" in name else 8760)
    assert np.mean(values) == pytest.approx(table.iloc[:, 5].mean(), rel=1e-12)
    first, last = piece.utc_ns[[0, -1]].astype("datetime64[ns]").astype("datetime64[s]").astype(str)
    assert [first, last] == [table.iloc[0, 0].replace(" ", "T"), table.iloc[-1, 0].replace(" ", "T")]
    assert piece.estimated is not None
    assert piece.estimated.mean() == table["Data Estimated"].mean()


@pytest.mark.parametrize("lines", [MOER_2, MOER_3])
def test_pounds_per_mwh_become_grams_per_kwh_and_marginal_is_marked(tmp_path: Path, lines: tuple[str, ...]) -> None:
    (piece,) = watttime.read(fetch(written(tmp_path / "moer.csv", *lines)))
    assert piece.values["carbon_g_per_kwh"][0] == pytest.approx(453.59237, rel=1e-12)  # 1000 lb are 453.59237 kg
    assert piece.notes["kind"] == "marginal"
    assert piece.zone == (None if lines is MOER_2 else "CAISO_NORTH")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("co2_moer", "health_damage"), "signal_type = health_damage, must be one of"),
        (("lbs_co2_per_mwh", "kg_co2_per_kwh"), "units = kg_co2_per_kwh, must be one of lbs_co2_per_mwh"),
        ((",1000,", ",0.45,"), r"row 1: value = 0.45 .* must be in lb/MWh; convert it"),
        (("value", "percent"), "has no column 'value' or 'MOER'"),
    ],
)
def test_other_units_and_other_signals_are_refused(tmp_path: Path, change: tuple[str, str], told: str) -> None:
    path = written(tmp_path / "moer.csv", *(line.replace(*change) for line in MOER_3))
    with pytest.raises(SignalError, match=told):
        watttime.read(fetch(path))
