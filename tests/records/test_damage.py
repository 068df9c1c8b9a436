"""Records that are not as they were written say so, whatever was changed: by its checksum, or else by what it says."""

import json
import random
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from glbdes.cli.main import main
from glbdes.errors import RecordsError
from glbdes.records import metrics
from glbdes.records import writer as records
from glbdes.study import Run, simulate
from tests.runs import little, seal_again

BYTES = 200
FILES = ("requests/part-0.parquet", "slots.parquet", "plans.parquet", "summary.json", "run.json")
KINDS = {"whole": [], "sampled": ['records.requests="sample:0.1"'], "none": ['records.requests="none"']}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of each kind."""
    folder = tmp_path_factory.mktemp("made")
    scenario = little(folder / "in")
    for kind, overrides in KINDS.items():
        simulate(scenario, overrides=overrides, out=folder / kind)
    simulate(scenario, engine="fluid", out=folder / "fluid")
    return folder


@pytest.fixture
def run(made, tmp_path):
    """A run to damage."""
    return shutil.copytree(made / "whole", tmp_path / "run")


def summary(folder):
    return CliRunner().invoke(main, ["summary", str(folder)])


def refused(folder, file):
    """One message that names the file, exit code 2, nothing else."""
    told = summary(folder)
    assert told.exit_code == 2, (file, told.exception, told.output)
    assert isinstance(told.exception, SystemExit)
    assert told.stdout == ""
    assert told.stderr.count("Error: ") == 1
    assert str(folder / file) in "".join(told.stderr.splitlines())


def test_the_files_are_all_there_are(run):
    assert sorted(path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()) == sorted(FILES)
    assert summary(run).exit_code == 0


@pytest.mark.parametrize("kind", [*KINDS, "fluid"])
def test_any_single_byte_that_changes_is_found(made, tmp_path, kind):
    """Places are drawn over all files by length; the small ones, which a draw might miss, have some of their own."""
    folder = shutil.copytree(made / kind, tmp_path / "run")
    chance = random.Random(5)
    whole = {name: (folder / name).read_bytes() for name in FILES}
    names = chance.choices(FILES, [len(whole[name]) for name in FILES], k=BYTES // 4 - 2 * len(FILES)) + 2 * list(FILES)
    for name in names:
        content = bytearray(whole[name])
        content[chance.randrange(len(content))] ^= chance.randrange(1, 256)
        (folder / name).write_bytes(content)
        refused(folder, name)
        (folder / name).write_bytes(whole[name])
    assert summary(folder).exit_code == 0


@pytest.mark.parametrize("kind", [*KINDS, "fluid"])
def test_an_edited_cost_is_found_in_runs_of_any_kind(made, tmp_path, kind):
    folder = shutil.copytree(made / kind, tmp_path / "run")
    edit(folder / "slots.parquet", "cost_usd", lambda cost: pc.multiply(cost, 0.5))
    refused(folder, "slots.parquet")


def edit(path, name, change):
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.schema.get_field_index(name), name, change(table[name])), path)


def nan(column):
    values = column.to_numpy().copy()
    values[1] = np.nan
    return pa.array(values)


def shorter(path, rows):
    pq.write_table(pq.read_table(path)[:rows], path)


def wider(path):
    table = pq.read_table(path)
    pq.write_table(table.append_column("extra", pa.array([1] * len(table))), path)


def narrower(path):
    pq.write_table(pq.read_table(path).drop_columns(["region"]), path)


DAMAGES = {
    "NaN in energy_kwh": ("requests/part-0.parquet", lambda path: edit(path, "energy_kwh", nan), "energy_kwh = nan"),
    "NaN in a meter": ("slots.parquet", lambda path: edit(path, "it_kwh", nan), "it_kwh = nan, must be finite"),
    "a null meter": (
        "slots.parquet",
        lambda path: edit(path, "carbon_kg", lambda c: pa.array([None, *c.to_pylist()[1:]], pa.float64())),
        "carbon_kg is missing in 1 rows",
    ),
    "no slots": ("slots.parquet", lambda path: shorter(path, 0), "0 rows, must be 6"),
    "fewer plans": ("plans.parquet", lambda path: shorter(path, 3), "3 rows, must be 12"),
    "fewer requests": ("requests/part-0.parquet", lambda path: shorter(path, 9), "9 rows, must be "),
    **{
        f"{name} column in {file}": (file, change, told)
        for file in FILES[:3]
        for name, change, told in (
            ("an unknown", wider, "unknown column 'extra'"),
            ("a missing", narrower, "column 'region' is missing"),
        )
    },
    "text for a number": (
        "slots.parquet",
        lambda path: edit(path, "cost_usd", lambda c: c.cast(pa.string())),
        "cost_usd is string, must be double",
    ),
    "truncated": ("plans.parquet", lambda path: path.write_bytes(path.read_bytes()[:-50]), "not Parquet"),
    "another region": (
        "slots.parquet",
        lambda path: edit(path, "region", lambda c: pa.array(["nowhere"] * len(c)).dictionary_encode().cast(c.type)),
        "'nowhere' is not in list",
    ),
}


def read_all(folder):
    found = records.open_run(folder)
    metrics.summary(found)
    _ = (found.requests, found.slots, found.plans)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_told_of_even_where_checksums_were_made_anew(run, damage):
    file, change, told = DAMAGES[damage]
    change(run / file)
    refused(run, file)
    seal_again(run)
    with pytest.raises(RecordsError, match=rf"{file}: .*{told}"):
        read_all(run)


def test_a_file_that_is_none_of_the_run_s_is_told_of(run):
    """Other readers would take it for requests."""
    shutil.copy(run / FILES[0], run / "requests" / "part-1.parquet")
    refused(run, "requests/part-1.parquet")


@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_is_told_of(run, file):
    (run / file).unlink()
    told = summary(run)
    assert told.exit_code == 2
    assert f"it has no {file}" in told.stderr or "missing" in told.stderr


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seed": "one"}, "seed = 'one', must be a whole number"),
        ({"by_request": 1}, "by_request = 1, must be true or false"),
        ({"wall_s": None}, "wall_s = None, must be a number"),
        ({"invariants": {}}, "invariants.energy: missing"),
        ({"scenario": []}, r"scenario = \[\], must be a table"),
        ({"overrides": {}}, "overrides = a table, must be a"),
        ({"files": {}}, "files.requests/part-0.parquet: missing, must be given"),
        ({"files": 3}, "files = 3, must be a table"),
        ({"sketch": {"met": 1}}, "sketch.met = 1, must be a table"),
        ({"format": 4}, "format = 4, must be 5, written by an older glbdes"),
    ],
)
def test_run_json_says_what_it_must(run, change, told):
    seal_again(run, **change)
    with pytest.raises(RecordsError, match=rf"run\.json: .*{told}"):
        Run.open(run)


def test_the_number_of_slots_is_that_of_the_scenario(run):
    info = json.loads((run / "run.json").read_text())
    info["files"]["slots.parquet"]["rows"] = 0
    shorter(run / "slots.parquet", 0)
    seal_again(run, files=info["files"])
    with pytest.raises(RecordsError, match=r"files\.slots\.parquet\.rows = 0, must be 6"):
        Run.open(run)


def test_a_table_is_held_to_its_checksum_when_it_is_read_and_not_before(run):
    shorter(run / "plans.parquet", 3)
    opened = Run.open(run)
    assert len(opened.slots) == 6
    with pytest.raises(RecordsError, match=r"plans\.parquet: damaged, or changed"):
        _ = opened.plans
    with pytest.raises(RecordsError, match=r"plans\.parquet: damaged, or changed"):
        _ = opened.summary
