"""The public face: what `import glbdes` offers, and what help says of it."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import glbdes
from glbdes.errors import ScenarioError
from glbdes.scenario import said
from tests.runs import SCENARIO, little

FUNCTIONS = ("compare", "optimum", "report", "saturate", "scenario", "simulate", "size", "sweep")


def test_dir_shows_what_there_is():
    names = "Comparison GlbdesError Run Scenario Sweep __version__ compare optimum report saturate scenario simulate"
    assert dir(glbdes) == [*names.split(), "size", "sweep"]
    assert all(getattr(glbdes, name) is not None for name in dir(glbdes))
    assert re.match(r"\d+\.\d+", glbdes.__version__)
    with pytest.raises(AttributeError, match="has no attribute 'simulte'"):
        _ = glbdes.simulte


def test_importing_it_costs_nothing_and_rooms_can_be_called_in_any_order():
    code = """
import sys, glbdes
assert not {"pandas", "numpy", "pydantic"} & set(sys.modules), "imports too much"
import glbdes.optimum.flows
assert callable(glbdes.optimum) and glbdes.optimum.flows
assert glbdes.scenario("tiny").name == "tiny"
from glbdes import scenario
assert scenario.load("tiny")[0] == scenario("tiny")
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", FUNCTIONS)
def test_help_tells_every_parameter_by_itself(name):
    function = getattr(glbdes, name)
    told = inspect.getdoc(function)
    listed = re.findall(r"^(\*{0,2}\w+)\n    \S", told.partition("Parameters\n")[2], re.MULTILINE)
    assert listed == list(inspect.signature(function).parameters) != []
    assert all(one.annotation is not one.empty for one in inspect.signature(function).parameters.values())


def test_the_package_says_that_it_is_typed():
    assert (Path(glbdes.__file__).parent / "py.typed").exists()


def test_the_optimum_is_that_of_the_command(tmp_path):
    path = little(tmp_path / "in")
    assert glbdes.optimum(path)["bound_usd"] > 0
    assert glbdes.optimum(path, overrides=["engine=fluid"])["by_request"] is False


# Scenarios in Python


@pytest.fixture
def path(tmp_path):
    return little(tmp_path / "in")


def test_changes_are_laid_over_a_scenario_that_stays_as_it_is(path):
    base = glbdes.scenario(path)
    changed = base.with_(
        "seed=9", {"regions.*.pue": 1.5, "time.slots": 2}, policy="cost", objective={"carbon_usd_per_t": 7.0}
    )
    assert (changed.seed, changed.time.slots, changed.objective.carbon_usd_per_t) == (9, 2, 7.0)
    assert {region.pue for region in changed.regions.values()} == {1.5}
    assert (changed.policy.name, changed.policy.arguments) == ("cost", {})
    assert (base.seed, base.time.slots) == (7, 3)
    again = changed.with_(seed=10)
    assert (again.seed, again.time.slots) == (10, 2)
    assert again == glbdes.load_scenario(path, list(again.said.overrides))[0]


def test_a_policy_is_replaced_whole_and_other_tables_key_by_key(path):
    base = glbdes.scenario(path)
    assert base.policy.arguments == {"carbon_usd_per_t": 100.0}
    assert base.with_(policy={"name": "eglb", "step": 0.5}).policy.arguments == {"step": 0.5}
    assert base.with_({"policy.carbon_usd_per_t": 5.0}).policy.arguments == {"carbon_usd_per_t": 5.0}
    assert base.with_(regions={"mars": {"pue": 1.1}, "here": {"pue": 1.2}}).regions["here"].wue_l_per_kwh == 0.5


def test_a_run_of_it_is_that_of_the_file_with_settings(path, tmp_path):
    ours = glbdes.simulate(glbdes.scenario(path).with_(policy="cost", time={"slots": 1}))
    theirs = glbdes.simulate(path, policy="cost", overrides=["time.slots=1"])
    assert ours.requests.to_table().equals(theirs.requests.to_table())
    assert ours.info["scenario"] == theirs.info["scenario"]
    assert (ours.info["source"], ours.info["scenario_text"]) == (str(path), SCENARIO)
    assert ours.info["overrides"] == ['policy={"name" = "cost"}', "time.slots=1"]


def test_a_scenario_without_a_file(path, monkeypatch):
    import tomllib

    monkeypatch.chdir(path.parent)
    made = glbdes.scenario(tomllib.loads(SCENARIO))
    assert made == glbdes.scenario(path)
    assert made.with_({"time.slots": 1}).time.slots == 1
    with pytest.raises(ScenarioError, match="regions: missing"):
        glbdes.scenario({"name": "x", "time": {"slots": 1}, "gateways": {"a": {"rate_per_s": 1.0}}})
    copied = glbdes.Scenario(**made.model_dump())  # of models alone
    assert copied.with_(seed=3).seed == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"regions.*.pue": 0.5}, r"regions.here.pue = 0.5, must be >= 1"),
        ({"tme.slots": 3}, "unknown key"),
        ({"seed": None}, "seed: is None, must be a number, text, true or false, a list or a table"),
        ({"seed": 3 + 4j}, "must be a number"),
        ("seed", "must be key.path=value"),
        (3, "a change is a int, must be 'key.path=value' or a table"),
    ],
)
def test_what_cannot_be_is_refused(path, changes, message):
    with pytest.raises(ScenarioError, match=message):
        glbdes.scenario(path).with_(changes)


def test_values_of_any_kind_are_said_in_toml():
    import tomllib
    from datetime import datetime

    import numpy as np

    values = {
        "a": np.float64(0.1), "b": np.int64(3), "c": np.bool_(True), "d": 1e-300, "e": 'say "x"\n', "f": [1, [2.5]],
        "g": {"h i": {"j": -1}}, "k": Path("x/y"), "l": datetime(2022, 9, 22), "m": float("inf"), "n": (1, 2),
    }  # fmt: skip
    read = tomllib.loads(f"x = {said.written(values)}")["x"]
    assert read == {**values, "k": "x/y", "l": "2022-09-22T00:00:00", "n": [1, 2]}


# By hour


def test_hours_are_those_of_the_slots(path):
    run = glbdes.simulate(path)
    found, slots = run.hourly(), run.slots
    assert len(found) == 3 * 2
    assert found["carbon_kg"].tolist() == slots["carbon_kg"].tolist()
    assert found["requests"].sum() == slots["arrived"].sum() * run.info["request_weight"]
    halves = glbdes.simulate(path, overrides=["time.slot_s=1800", "time.slots=4"])
    found = halves.hourly()
    assert len(found) == 2 * 2
    assert found["it_kwh"].sum() == pytest.approx(halves.slots["it_kwh"].sum())
    assert found["pue"].tolist() == [1.1, 1.4] * 2
    first = halves.slots[halves.slots["slot"] < 2].groupby("region", observed=True)["water_l"].sum()
    assert found["water_l"].iloc[:2].tolist() == pytest.approx([first["here"], first["there"]])
