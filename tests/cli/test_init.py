"""A first scenario for a fleet of one's own: it is valid, says what was said, and asks for what nobody says."""

import json
import pty
import subprocess
import sys

import pytest

from glbdes import scenario
from tests.cli.test_main import call

REGIONS = "aws:us-east-1,aws:eu-central-1,gcp:europe-west3"
SAID = f"--regions {REGIONS} --profile h100_llama8b --replicas 2,1,1 --load 0.4".split()
GRID = ["--price", ".06,.13,.14", "--carbon", "380,340,341", "--ewif", "1.9", "--wue", "0.3", "--pue", "1.2"]


def test_it_writes_a_scenario_that_runs_and_its_schema(tmp_path):
    told = call("init", str(tmp_path / "own"), *SAID, *GRID).stdout
    path = tmp_path / "own" / "mine.toml"
    assert str(path) in told
    found, _ = scenario.load(path)
    assert list(found.regions) == ["ashburn", "frankfurt_aws", "frankfurt_gcp"]
    assert [one.replicas for one in found.regions.values()] == [2, 1, 1]
    assert [one.price_usd_per_kwh for one in found.regions.values()] == [0.06, 0.13, 0.14]
    assert {one.time_zone for one in found.gateways.values()} == {"America/New_York", "Europe/Berlin"}
    assert json.loads((path.parent / "scenario.schema.json").read_text())["title"] == "glbdes scenario"
    assert "Valid." in call("check", str(path)).stdout


def test_what_a_provider_publishes_stays_its_own(tmp_path):
    call("init", str(tmp_path), "--regions", "aws:eu-central-1,aws:eu-west-1", *SAID[2:4], "--replicas", "1", *SAID[6:],
         "--price", ".1", "--carbon", "300", "--ewif", "2")  # fmt: skip
    text = (tmp_path / "mine.toml").read_text()
    assert "# pue = 1.24 is what its provider publishes" in text
    assert "\npue = " not in text


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (SAID[:2], "--profile: missing, must be given where nobody can be asked"),
        ([*SAID, *GRID[2:]], "--price: missing, must be given"),
        (["--regions", "aws:eu-centrl-1", *SAID[2:], *GRID], "did you mean 'aws:eu-central-1'"),
        (
            [*SAID, *GRID, "--replicas", "1,2"],
            "--replicas 1,2: 2 numbers, must be one number, or one for each of the 3",
        ),
        ([*SAID, *GRID, "--carbon", "dirty"], "--carbon 'dirty': must be a number"),
        ([*SAID, *GRID, "--start", "soon"], "--start 'soon': must be a date"),
        ([*SAID, *GRID, "--carbon=-1"], "carbon_g_per_kwh = -1"),
        ([*SAID, *GRID, "--signals", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_bad_answers_write_nothing(tmp_path, line, says):
    assert says in call("init", str(tmp_path / "own"), *line, code=2).stderr
    assert not (tmp_path / "own").exists()


def test_it_replaces_nothing_unasked(tmp_path):
    (tmp_path / "mine.toml").write_text("mine")
    assert "--overwrite" in call("init", str(tmp_path), *SAID, *GRID, code=2).stderr
    assert (tmp_path / "mine.toml").read_text() == "mine"
    call("init", str(tmp_path), *SAID, *GRID, "--overwrite")


def test_it_asks_somebody_who_is_there(tmp_path):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "glbdes", "init", str(tmp_path), "--regions", "aws:us-east-1,azure:eastus"]
    asked = subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with asked, open(ours, "w") as keys:
        keys.write("\n" * 8)
        keys.flush()
        _, questions = asked.communicate()
    assert asked.returncode == 0, questions
    assert "Replicas of each [2]" in questions
    found, _ = scenario.load(tmp_path / "mine.toml")
    assert {one.carbon_g_per_kwh for one in found.regions.values()} == {400}
