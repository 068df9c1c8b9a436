"""The recipes on the page run as they stand there, and agree with one another."""

import json
import re
from pathlib import Path

import pytest

from glbdes.study import simulate
from tests.runs import little

PAGE = (Path(__file__).resolve().parents[2] / "docs/recipes.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
# In the small run of the test it is 3 pm in its second slot, in the line islands.
HERE = {"texas": "there", "America/Chicago": "Pacific/Kiritimati"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipes")
    return simulate(little(folder / "in"), policy="uniform", out=folder / "runs" / "mine")


@pytest.fixture(scope="module")
def wanted(run):
    """Litres by gateway, counted one by one."""
    found: dict[str, float] = {}
    for row in run.requests.to_table().to_pylist():
        if row["region"] == "there" and not row["warmup"] and row["slot"] == 1:
            found[row["gateway"]] = found.get(row["gateway"], 0.0) + row["water_l"] * row["request_weight"]
    assert len(found) == 2
    return dict(sorted(found.items(), key=lambda one: -one[1]))


def block(text):
    """What the recipe that has `text` leaves behind."""
    [code] = [one for one in BLOCKS if text in one]
    for theirs, ours in HERE.items():
        code = code.replace(theirs, ours)
    names: dict = {}
    exec(code, names)
    return names


def test_the_main_recipe_has_four_lines_in_each_tool():
    for tool in ("duckdb", "polars", "pandas"):
        [code] = [one for one in BLOCKS if f"import {tool}" in one]
        assert len([line for line in code.splitlines() if line and not line.startswith("import")]) <= 4


@pytest.mark.parametrize("tool", ["duckdb", "pandas", "polars"])
def test_who_caused_most_water(run, wanted, tool, monkeypatch):
    pytest.importorskip(tool)
    monkeypatch.chdir(run.path.parents[1])
    water = block(f"import {tool}")["water"]
    rows = {"duckdb": "fetchall", "polars": "rows", "pandas": "items"}
    found = getattr(water, rows[tool])()
    found = {str(name): value for name, value in found}
    assert list(found) == list(wanted)
    assert list(found.values()) == pytest.approx(list(wanted.values()))


def test_the_other_recipes_say_what_they_promise(run, monkeypatch):
    monkeypatch.chdir(run.path.parents[1])
    assert set(block("idxmax")["dirtiest"]["region"]) == {"here", "there"}
    assert block("approximate_median")["waits"].num_rows == 2
    assert block("pivot_table")["shares"].sum(axis=1).tolist() == pytest.approx([1.0] * 3)
    assert block("read_schema")["units"]["carbon_g_per_kwh"] == "g/kWh"


def test_duckdb_shows_the_units(run, monkeypatch):
    duckdb = pytest.importorskip("duckdb")
    monkeypatch.chdir(run.path.parents[1])
    query = re.search(r"`(SELECT value .*?)`", PAGE)[1]
    [(value,)] = duckdb.sql(query).fetchall()
    assert json.loads(bytes(value))["it_kwh"] == "kWh"
