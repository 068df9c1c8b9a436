"""Cloud regions: a table that holds together, and what a region or gateway has from it."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from glbdes.base import zones
from glbdes.cli.main import main
from glbdes.errors import ScenarioError
from glbdes.scenario import Scenario, clouds, validate
from glbdes.world import build
from glbdes.world.remarks import remarks
from tests.downloads import real

FRANKFURT = clouds.known()["aws:eu-central-1"]
OTHERS = {"price_usd_per_kwh": 0.1, "carbon_g_per_kwh": 300.0, "ewif_l_per_kwh": 1.0}
HEADER = "time_utc,region,price_usd_per_kwh,carbon_g_per_kwh,wue_l_per_kwh,ewif_l_per_kwh,pue\n"


def made(region: dict[str, Any], gateway: dict[str, Any] | None = None, **tables: Any) -> Scenario:
    return validate(
        {
            "name": "clouds",
            "time": {"slots": 1},
            "regions": {"a": {"profile": "h100_llama8b", "cloud": "aws:eu-central-1", **region}},
            "gateways": {"a": {"load": 0.1, **(gateway or {})}},
            **tables,
        }
    )


def listed(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["regions", "list", *arguments])
    assert result.exit_code == code, result.output
    return result


def test_every_cloud_region_is_somewhere_on_earth_and_its_figures_have_a_page() -> None:
    with (clouds.FOLDER / "regions.csv").open(encoding="utf-8", newline="") as lines:
        names = [row["cloud"] for row in csv.DictReader(lines)]
    assert names == sorted(set(names))
    for one in clouds.known().values():
        assert one.provider in clouds.PROVIDERS
        assert clouds.sources()[one.provider]["efficiency"].startswith("https://")
        assert -90 <= one.latitude_deg <= 90
        assert -180 <= one.longitude_deg <= 180
        assert one.time_zone in zones.names()
        assert one.zones
        assert one.pue is None or 1 < one.pue < 1.6
        assert one.wue_l_per_kwh is None or 0 < one.wue_l_per_kwh < 3
        assert (one.pue is None) == (one.year is None) == (not one.of)


def test_a_region_stands_where_its_cloud_region_does_and_has_what_nobody_else_gives() -> None:
    scenario = made(OTHERS)
    assert (scenario.regions["a"].latitude_deg, scenario.regions["a"].longitude_deg) == (50.11, 8.68)
    assert scenario.gateways["a"].latitude_deg == 50.11
    assert scenario.gateways["a"].time_zone == "Europe/Berlin"
    assert validate(scenario.model_dump()) == scenario
    world = build.build(scenario, Path())
    assert (world.signals.pue[0, 0], world.signals.wue_l_per_kwh[0, 0]) == (1.24, 0.17)
    (said,) = [line for line in remarks(scenario, world) if "aws:eu-central-1" in line]
    page = clouds.sources()["aws"]["efficiency"]
    what = "coordinates of Frankfurt; wue_l_per_kwh = 0.17 and pue = 1.24 of the region, 2025"
    assert said == f"From Amazon Web Services ({page}): a, aws:eu-central-1 ({what})"


def test_what_a_scenario_says_itself_goes_first() -> None:
    own = {"latitude_deg": 1.0, "longitude_deg": 2.0, "pue": 1.5, "wue_l_per_kwh": 0.5, **OTHERS}
    scenario = made(own, {"utc_offset_h": 3.0})
    assert (scenario.regions["a"].latitude_deg, scenario.gateways["a"].time_zone) == (1.0, None)
    world = build.build(scenario, Path())
    assert (world.signals.pue[0, 0], world.signals.wue_l_per_kwh[0, 0], world.lent) == (1.5, 0.5, ())
    assert not [line for line in remarks(scenario, world) if "aws:" in line]


@pytest.mark.parametrize("zone", ["DE-LU", "DE", "a"])
def test_its_grid_zone_is_found_in_a_file_and_what_the_file_gives_goes_first(tmp_path: Path, zone: str) -> None:
    rows = [f"2022-09-22T00:00,{zone},0.1,333,,2.0,1.11\n", "2022-09-22T00:00,ZA,0.3,800,1.0,2.0,1.4\n"]
    (tmp_path / "mine.csv").write_text(HEADER + "".join(rows))
    world = build.build(made({}, signals={"source": "mine.csv"}), tmp_path)
    assert world.signals.carbon_g_per_kwh[0, 0] == 333
    assert (world.signals.pue[0, 0], world.signals.wue_l_per_kwh[0, 0]) == (1.11, FRANKFURT.wue_l_per_kwh)
    assert world.lent == (("a", "wue_l_per_kwh"),)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("aws:eu-centrl-1", "'aws:eu-central-1'"),
        ("europe-west3", "'gcp:europe-west3'"),
        ("azure:westeuropa", "'azure:westeurope'"),
        ("mainframe", None),
    ],
)
def test_an_unknown_cloud_region_is_refused_with_those_near(name: str, near: str | None) -> None:
    with pytest.raises(ScenarioError) as caught:
        made({"cloud": name})
    (said,) = caught.value.problems
    assert said.startswith(f"regions.a.cloud = '{name}': no such cloud region")
    assert near in said if near else "did you mean" not in said


def test_the_command_lists_those_that_are_asked_for() -> None:
    found = json.loads(listed("--provider", "aws", "--like", "berlin", "--json").stdout)
    assert [one["name"] for one in found["regions"]] == ["aws:eu-central-1"]
    assert found["regions"][0]["page"] == clouds.sources()["aws"]["efficiency"]
    text = listed("--like", "FRANK").stdout
    assert "gcp:europe-west3" in text
    assert "https://datacenters.google/efficiency/" in text
    assert "'gcp:us-east1'" in listed("--like", "gcp:us-eest1", code=2).stderr


def test_every_region_of_googles_table_and_codecarbons_is_known() -> None:
    with real("factors/gcp_region_carbon_2024.csv").open(encoding="utf-8") as lines:
        theirs = {f"gcp:{row['Google Cloud Region']}" for row in csv.DictReader(lines)}
    assert {name for name in clouds.known() if name.startswith("gcp:")} == theirs
    with real("factors/codecarbon_cloud_impact.csv").open(encoding="utf-8-sig") as lines:
        rows = {f"gcp:{row['region']}": row["city"] for row in csv.DictReader(lines)}
    for name, city in rows.items():
        if name != "gcp:me-cenrtal1":  # their spelling
            town = clouds.known()[name].place.lower().replace("saint-", "st. ")
            assert city.lower() in town
