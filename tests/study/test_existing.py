"""Runs that are there already are compared as a comparison's own are, and refused if they are no alternatives."""

import numpy as np
import pytest
from click.testing import CliRunner

from glbdes.cli.main import main
from glbdes.errors import RecordsError
from glbdes.study import Comparison, compare, simulate
from glbdes.study.existing import compare_runs
from tests.runs import little


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("existing")
    scenario = little(folder / "in")
    for policy in ("nearest", "cost"):
        for seed in (7, 8):
            simulate(scenario, policy=policy, seed=seed, engine="simpy", out=folder / f"{policy}{seed}")
    compare(scenario, ["nearest", "cost"], seeds=2, out=folder / "made")
    simulate(scenario, policy="cost", overrides=["fleet.host_w=60", "time.slots=2"], out=folder / "other")
    simulate(scenario, policy="eglb", overrides=["policy.step=0.5"], out=folder / "half")
    simulate(scenario, policy="eglb", overrides=["policy.step=0.1"], out=folder / "tenth")
    simulate(scenario, policy="cost", engine="fluid", out=folder / "flow")
    return folder


ALL = ("nearest7", "cost7", "nearest8", "cost8")


def told(*args):
    return CliRunner().invoke(main, [str(one) for one in args])


def test_the_table_is_that_of_a_comparison(folder, tmp_path):
    found = compare_runs([folder / name for name in ALL], out=tmp_path / "out")
    made = Comparison.open(folder / "made")
    numbers = [name for name in made.table.columns if name != "policy"]
    assert found.policies == made.policies == ["nearest", "cost"]
    assert np.array_equal(found.table[numbers], made.table[numbers], equal_nan=True)
    for key in ("seeds", "reference", "requests_sha256", "dispatch"):
        assert found.info[key] == made.info[key]
    assert found.run("cost", 8).path == folder / "cost8"
    assert list(found.records()) == ["nearest", "cost"]


def test_the_command_compares_runs(folder, tmp_path):
    done = told("compare", "--runs", folder / "nearest7", folder / "cost7", "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "less nearest" in done.output or "nearest" in done.output
    assert Comparison.open(tmp_path / "out").policies == ["nearest", "cost"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("cost7",), "1 run to compare, must be two or more"),
        (("cost7", "other"), r"(?s)time.slots: 3 in .*cost7, 2 in .*other\n?.*fleet.host_w: 50.0 in .*60.0"),
        (("cost7", "flow"), "simulated: requests in .*, a flow in"),
        (("cost7", "cost7"), "policy 'cost', seed 7 is there twice"),
        (("cost7", "nearest8"), "policy 'cost' has seeds 7, 'nearest' has 8, must be the same"),
        (("cost7", "in"), "not a finished run"),
    ],
)
def test_runs_that_are_no_alternatives_are_refused_with_the_difference(folder, tmp_path, names, said):
    with pytest.raises(RecordsError, match=said):
        compare_runs([folder / name for name in names], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_policies_of_one_name_are_told_apart_by_their_arguments(folder, tmp_path):
    found = compare_runs([folder / "half", folder / "tenth", folder / "cost7"], out=tmp_path / "out")
    assert found.policies == ["eglb (step 0.5)", "eglb (step 0.1)", "cost"]
    assert found.run("eglb (step 0.1)").path == folder / "tenth"


@pytest.mark.parametrize("option", ["--engine=fast", "--policies=cost", "--seeds=2", "--set=seed=3", "--workers=2"])
def test_what_has_run_cannot_be_changed(folder, option):
    done = told("compare", "--runs", folder / "nearest7", folder / "cost7", option)
    assert done.exit_code == 2
    assert f"{option.split('=')[0]} does not go with --runs" in done.output


def test_several_scenarios_are_refused():
    done = told("compare", "tiny", "llm10")
    assert done.exit_code == 2
    assert "2 scenarios, must be one; if they are runs: --runs tiny llm10" in done.output


def test_gaps_are_left_out_if_the_scenarios_files_are_gone(tmp_path):
    scenario = little(tmp_path / "in")
    runs = [simulate(scenario, policy=name, out=tmp_path / name).path for name in ("nearest", "cost")]
    (tmp_path / "in" / "little_profile.toml").unlink()
    lines = []
    found = compare_runs(runs, out=tmp_path / "out", tell=lines.append)
    assert found.table["over_bound"].isna().all()
    assert lines[0].startswith("no gap to the bound is told: ")
