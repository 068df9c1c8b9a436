"""What is exported of a run is what its records say."""

import csv
import io
import json

import pytest
from click.testing import CliRunner

from glbdes.cli.main import main
from glbdes.errors import RecordsError
from glbdes.study import export, simulate
from tests.runs import little


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    return simulate(little(folder / "in"), policy="uniform", out=folder / "run")


def told(*args):
    return CliRunner().invoke(main, [str(one) for one in args])


def test_the_plan_of_a_slot_is_that_of_the_records(run):
    found = export.plan(run.path, slot=1)
    rows = run.plans[run.plans["slot"] == 1]
    for row in found.rows:
        own = rows[rows["gateway"] == row.gateway]
        assert dict(zip(own["region"].astype(str), own["weight"], strict=True)) == row.shares
    assert [row.gateway for row in found.rows] == ["here", "there"]
    assert (found.slot, found.time_utc) == (1, "2022-09-22T01:00:00")


def test_an_hour_is_in_its_slot(run):
    assert [export.plan(run.path, hour=hour).slot for hour in (0, 0.99, 1, 2.5)] == [0, 0, 1, 2]


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({}, "which slot?"),
        ({"slot": 1, "hour": 1.0}, "which slot?"),
        ({"slot": 3}, "slot = 3, must be from 0 to 2"),
        ({"hour": 3.0}, "hour = 3 h, must be >= 0 and < 3"),
        ({"hour": float("nan")}, "hour = nan h"),
        ({"slot": 0, "gateway": "hier"}, r"gateway 'hier': not in the plan; did you mean 'here'\?"),
        ({"slot": 0, "slo": "chat"}, "none: classes have no plans of their own"),
    ],
)
def test_a_plan_that_is_not_there_is_refused(run, choices, said):
    with pytest.raises(RecordsError, match=said):
        export.plan(run.path, **choices)


def test_classes_with_plans_of_their_own_are_told_apart(tmp_path):
    scenario = little(tmp_path / "in")
    limited = simulate(
        scenario, overrides=["slo.chat.max_one_way_ms=5", "slo.batch={}"], policy="uniform", engine="fluid"
    )
    rows = export.plan(limited.path, slot=0, slo="chat").rows
    assert [(row.gateway, row.slo) for row in rows] == [("here", "chat"), ("there", "chat")]
    assert rows[0].shares == {"here": 1.0, "there": 0.0}


@pytest.mark.parametrize("kind", ["envoy", "gateway-api", "json", "llm-d"])
def test_the_command_writes_a_file(run, tmp_path, kind):
    out = tmp_path / "out.yaml"
    done = told("export", run.path, "--hour", "1", "--to", kind, "-o", out)
    assert done.exit_code == 0, done.output
    assert "slot 1, from 2022-09-22T01:00:00 UTC" in done.output
    assert "5000" in out.read_text()
    assert told("export", run.path, "--slot", "1", "--to", kind).output.strip() == out.read_text().strip()
    assert told("export", run.path, "--to", kind).exit_code == 2


@pytest.mark.parametrize("table", ["plans", "requests", "slots"])
def test_tables_are_exported_as_csv(run, tmp_path, table):
    rows = list(csv.DictReader(io.StringIO(told("run-csv", run.path, "--table", table, "--rows", "2").output)))
    assert len(rows) == 2
    source = run.requests.to_table().to_pandas() if table == "requests" else getattr(run, table)
    assert list(rows[0]) == list(source.columns)
    assert [row["region"] for row in rows] == source["region"].astype(str).head(2).tolist()
    number = {"plans": "weight", "requests": "energy_kwh", "slots": "it_kwh"}[table]
    assert [float(row[number]) for row in rows] == source[number].head(2).tolist()
    done = told("run-csv", run.path, "--table", table, "-o", tmp_path / "table.csv")
    assert done.exit_code == 0, done.output
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 1 + min(len(source), 1000)


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    for args in (["export", tmp_path, "--slot", "0", "--to", "json"], ["run-csv", tmp_path]):
        done = told(*args)
        assert done.exit_code == 2
        assert "not a finished run" in done.output


def test_json_for_a_program_has_every_region(run):
    found = json.loads(told("export", run.path, "--slot", "0", "--to", "json").output)
    assert set(found["gateways"]["here"]["shares"]) == {"here", "there"}
