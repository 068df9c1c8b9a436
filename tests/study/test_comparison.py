"""Policies side by side: the same requests for all, a table that is the runs' own figures, and nothing half made."""

import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner

import glbdes
from glbdes.base import jobs, seals
from glbdes.cli.main import main
from glbdes.errors import GlbdesError, InvariantError, PolicyError, RecordsError
from glbdes.present import study_tables
from glbdes.study import Comparison, compare, paired
from tests.runs import DAMAGES, damaged, little

POLICIES = ("nearest", "cost", "eglb", "offline")


@pytest.fixture(scope="module")
def scenario(tmp_path_factory):
    return little(tmp_path_factory.mktemp("compare") / "in")


@pytest.fixture(scope="module")
def found(scenario, tmp_path_factory):
    return compare(scenario, POLICIES, seeds=2, out=tmp_path_factory.mktemp("out") / "comparison")


def test_every_policy_meets_the_same_requests(found):
    columns = ["request_id", "gateway", "arrival_ns", "prompt_tokens", "output_tokens"]
    for seed in (7, 8):
        first, *others = (
            found.run(policy, seed).requests.to_table(columns=columns).sort_by("request_id").to_pandas()
            for policy in POLICIES
        )
        assert len(first) > 100
        assert all(first.equals(other) for other in others)
    assert found.info["requests_sha256"]["7"] != found.info["requests_sha256"]["8"]


def test_policies_that_met_different_requests_are_not_compared():
    with pytest.raises(InvariantError, match="policy b, seed 1: its requests differ"):
        paired.same_requests([("a", 1, "one"), ("b", 1, "two")])


def test_the_table_is_that_of_the_runs(found, scenario):
    runs = found.runs.set_index(["policy", "seed"])
    assert len(runs) == 8
    alone = glbdes.simulate(scenario, policy="cost", seed=8).summary
    row = runs.loc[("cost", 8)]
    assert row["objective_usd"] == alone["objective_usd"]
    assert row["ttft_p95_s"] == alone["latency_s"]["ttft"]["p95"]
    assert row["carbon_par"] == alone["par"]["carbon"]
    assert row["carbon_max_kg"] == max(region["carbon_kg"] for region in alone["regions"].values())
    assert row["slo_share"] == pytest.approx(alone["slo"]["chat"]["all"])
    table = found.table.set_index("policy")
    assert list(table.index) == list(POLICIES)
    assert table.loc["cost", "cost_usd"] == pytest.approx(runs.loc["cost", "cost_usd"].mean())
    difference = runs.loc["cost", "cost_usd"] - runs.loc["nearest", "cost_usd"]
    assert table.loc["cost", "cost_usd_difference"] == pytest.approx(difference.mean())


def test_gaps_are_told_against_the_bound(found):
    bound = found.info["reference"]["usd"]
    assert found.info["reference"]["by_request"]
    assert 0 < bound < found.runs["objective_usd"].min()
    assert (found.runs["bound_usd"] == bound).all()
    assert np.allclose(found.runs["over_bound"], found.runs["objective_usd"] / bound - 1)
    assert np.allclose(found.runs["over_bound_usd"], found.runs["objective_usd"] - bound)
    assert found.runs["over_optimum"].isna().all()  # which is of a flow
    assert study_tables.notes(found.info, found.runs)[1].startswith("Over bound")


def test_requests_that_were_not_served_leave_the_bound_in_doubt(found):
    lost = found.runs.assign(served=found.runs["requests"] - 2.0)
    assert "16 requests were not served" in study_tables.notes(found.info, lost)[-1]


def test_a_rule_that_ignores_plans_is_told_and_named_everywhere(scenario, tmp_path):
    rule = ["dispatch.rule=least_loaded"]
    found = compare(scenario, ("nearest", "cost"), overrides=rule, out=tmp_path / "out")
    assert found.table.loc[0, "objective_usd"] == found.table.loc[1, "objective_usd"]
    assert list(found.shown["policy"]) == ["nearest: least_loaded (no plan)", "cost: least_loaded (no plan)"]
    assert study_tables.notes(found.info, found.runs)[0].startswith("Policy 'nearest' is ignored")
    assert "cost: least_loaded (no plan)" in (found.path / "comparison.md").read_text()
    one = study_tables.one(found.run("cost").records)
    assert one[0] == ["", "least_loaded (no plan)"]
    told = CliRunner().invoke(main, ["summary", str(found.run("cost").path)]).output
    assert "policy least_loaded (no plan)" in told
    checked = CliRunner().invoke(main, ["check", str(scenario), "--set", *rule]).output
    for text in (told, checked):
        assert "is ignored: dispatch.rule = 'least_loaded'" in " ".join(text.split())


def test_a_rule_within_the_plan_is_told_apart_from_it(scenario, tmp_path):
    found = compare(scenario, ("nearest", "cost"), overrides=["dispatch.rule=plan_least_loaded"], out=tmp_path / "out")
    assert found.table.loc[0, "objective_usd"] != found.table.loc[1, "objective_usd"]
    assert list(found.shown["policy"]) == ["nearest", "cost"]
    assert not any("ignored" in line for line in study_tables.notes(found.info, found.runs))


def test_as_a_flow_nothing_is_better_than_the_optimum_and_offline_meets_it(scenario, tmp_path):
    found = compare(scenario, POLICIES, engine="fluid", out=tmp_path / "out")
    gaps = found.table.set_index("policy")["over_optimum"]
    assert gaps["offline"] == pytest.approx(0, abs=1e-7)
    assert (gaps > -1e-9).all()
    assert found.table["over_bound"].isna().all()
    headings = [row[0] for row in study_tables.lines(found.table, study_tables.COMPARISON)[1]]
    assert "cost, USD" in headings
    assert not any("TTFT" in heading for heading in headings)  # a flow has none


def test_the_table_is_written_for_programs_and_for_papers(found):
    text = (found.path / "comparison.md").read_text()
    assert "| cost, USD |" in text
    assert "| less nearest |" in text
    assert len({line.count("|") for line in text.splitlines()}) == 1
    tex = (found.path / "comparison.tex").read_text()
    assert r"\begin{tabular}{lrrrr}" in tex
    assert r"$\pm$" in tex
    assert len((found.path / "comparison.csv").read_text().splitlines()) == 1 + len(POLICIES)


def test_a_comparison_is_opened_again(found):
    again = Comparison.open(found.path)
    assert again.table.equals(found.table)
    assert "nearest, cost, eglb, offline, 2 seed(s)" in repr(again)
    with pytest.raises(RecordsError, match="not a finished comparison"):
        Comparison.open(found.path / "runs")


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("name", ["comparison.json", "comparison.parquet", "runs.parquet", "runs/cost-seed7/run.json"])
def test_a_damaged_comparison_says_so(found, tmp_path, name, kind):
    folder = shutil.copytree(found.path, tmp_path / "comparison")
    damaged(folder, name, kind)
    told = CliRunner().invoke(main, ["report", str(folder), "-o", str(tmp_path / "page.html")])
    assert told.exit_code == 2, told.output
    assert isinstance(told.exception, SystemExit)
    assert told.stderr.count("Error: ") == 1
    assert str(folder / name) in "".join(told.stderr.splitlines())
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"policies": []}, "policies = .*, must have at least 1 entry"),
        ({"seeds": ["7"]}, r"seeds\.0 = '7', must be a whole number"),
        ({"requests_sha256": {"7": "x"}}, r"requests_sha256\.7 = 'x'"),
        ({"files": {}}, r"files\.comparison\.parquet: missing"),
    ],
)
def test_comparison_json_says_what_it_must(found, tmp_path, change, told):
    info = json.loads((found.path / "comparison.json").read_text()) | change
    (tmp_path / "comparison.json").write_bytes(seals.sealed(info))
    with pytest.raises(RecordsError, match=rf"comparison\.json: {told}"):
        Comparison.open(tmp_path)


@pytest.mark.parametrize(
    ("choices", "says"),
    [
        ({"policies": ["nearest", "cots"]}, "did you mean 'cost'"),
        ({"policies": ["cost", "cost"]}, "cost named twice"),
        ({"policies": []}, "no policies"),
        ({"seeds": 0}, "seeds = 0, must be >= 1"),
        ({"overrides": ["workload.load_scale=50"]}, "expected load"),
    ],
)
def test_what_cannot_be_compared_leaves_nothing_behind(scenario, tmp_path, choices, says):
    with pytest.raises(GlbdesError, match=says):
        compare(scenario, out=tmp_path / "out", **choices)
    assert os.listdir(tmp_path) == []


def test_worker_processes_give_what_one_process_gives(found, scenario, tmp_path):
    choices = ["--policies", ",".join(POLICIES), "--seeds", "2", "--workers", "2", "-o", str(tmp_path / "out")]
    told = CliRunner().invoke(main, ["compare", str(scenario), *choices])
    assert told.exit_code == 0, told.output
    assert "TTFT p95 of served, s" in told.stdout
    assert "verified" in told.stdout
    for name in ("runs.parquet", "comparison.parquet", "comparison.md"):
        assert (tmp_path / "out" / name).read_bytes() == (found.path / name).read_bytes()


def test_the_command_prints_json(scenario, tmp_path):
    choices = ["--policies", "nearest,offline", "--engine", "fluid", "--workers", "1", "--json"]
    told = CliRunner().invoke(main, ["compare", str(scenario), *choices, "-o", str(tmp_path / "out")])
    found = json.loads(told.stdout)
    assert [row["policy"] for row in found["table"]] == ["nearest", "offline"]
    assert found["table"][1]["over_optimum"] == pytest.approx(0, abs=1e-7)
    assert found["table"][0]["ttft_p95_s"] is None  # a flow has none
    assert found["path"] == str(tmp_path / "out")


def test_the_command_refuses_with_one_message(scenario, tmp_path):
    told = CliRunner().invoke(main, ["compare", str(scenario), "--policies", "nearset", "-o", str(tmp_path / "out")])
    assert told.exit_code == 2
    assert "did you mean 'nearest'" in told.stderr


def _dies(number):
    os._exit(1)


def test_a_worker_that_dies_is_told_of():
    with pytest.raises(jobs.WorkerError, match="worker process died"):
        list(jobs.each(_dies, [1, 2, 3], 2))


def _refuses(number):
    raise PolicyError(f"no {number}")


def test_what_a_worker_refuses_is_raised_here():
    with pytest.raises(PolicyError, match="no "):
        list(jobs.each(_refuses, [1, 2], 2))


ORPHANS = """
import os, sys, time
from glbdes.base import jobs

def linger(path):
    open(path + str(os.getpid()), "w").close()
    time.sleep(60)

if __name__ == "__main__":
    list(jobs.each(linger, [sys.argv[1]] * 2, 2))
"""


def test_workers_end_with_a_killed_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(ORPHANS)
    marks = tmp_path / "marks"
    marks.mkdir()
    parent = subprocess.Popen([sys.executable, str(script), f"{marks}/"], stderr=subprocess.DEVNULL)
    _until(lambda: len(os.listdir(marks)) == 2)
    workers = [int(name) for name in os.listdir(marks)]
    parent.kill()
    parent.wait()
    _until(lambda: not any(map(_alive, workers)))


def _until(happened, limit_s=20.0):
    end_s = time.monotonic() + limit_s
    while not happened():
        assert time.monotonic() < end_s, "it did not happen"
        time.sleep(0.05)


def _alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_package_shows_compare_even_when_its_module_is_loaded():
    assert glbdes.compare is compare


def test_signals_are_drawn_anew_and_what_intervals_cover_is_said(tmp_path):
    """Two draws of llm10's signals, of which the first are the shipped ones; requests are the same under both."""
    short = ["time.slots=3", "time.simulated_s_per_slot=1", "workload.load_scale=0.1"]
    found = compare("llm10", ("nearest", "cost"), signal_seeds=2, overrides=short, out=tmp_path / "out")
    assert found.info["signal_seeds"] == [1, 2]
    runs = found.runs.set_index(["policy", "signal_seed"])
    shipped = glbdes.simulate("llm10", policy="cost", overrides=short)
    assert runs.loc[("cost", 1), "cost_usd"] == shipped.summary["totals"]["cost_usd"]
    assert runs.loc[("cost", 2), "cost_usd"] != runs.loc[("cost", 1), "cost_usd"]
    assert runs.loc[("nearest", 1), "bound_usd"] != runs.loc[("nearest", 2), "bound_usd"]
    assert len(found.info["requests_sha256"]) == 1
    assert found.run("cost", signal_seed=2).info["scenario"]["signals"]["seed"] == 2
    assert found.table["draws"].tolist() == [2, 2]
    assert "2 draws of signals, ± 95 % over other signals and requests" in study_tables.draws(found.info)


@pytest.mark.parametrize("signals", [None, "llm10_signals.csv"])
def test_signals_that_are_not_drawn_cannot_be_drawn_anew(scenario, tmp_path, signals):
    with pytest.raises(GlbdesError, match=r"signal_seeds = 2: signals.source = .* must be 'synthetic' or"):
        compare(scenario, ("nearest",), signal_seeds=2, signals=signals, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # distributed's own
def test_on_a_dask_cluster_a_comparison_is_the_same(found, scenario, tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed", reason="glbdes[dask] is not installed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as cluster:
        monkeypatch.chdir(scenario.parent)  # where the workers are not
        again = compare(scenario.name, POLICIES, seeds=2, out=tmp_path / "out", dask=cluster.scheduler_address)
    assert again.table.equals(found.table)
    assert again.run("cost", 8).requests.to_table().equals(found.run("cost", 8).requests.to_table())


def test_no_scheduler_is_told_of(scenario, tmp_path):
    pytest.importorskip("distributed", reason="glbdes[dask] is not installed")
    with pytest.raises(RecordsError, match="no dask scheduler at nonsense"):
        compare(scenario, POLICIES, out=tmp_path / "out", dask="nonsense://x")
    assert not (tmp_path / "out").exists()


def test_a_scenario_of_pythons_is_compared_as_a_file_is(scenario, tmp_path):
    made = glbdes.scenario(scenario).with_({"time.slots": 1})
    theirs = compare(scenario, ("nearest", "cost"), overrides=["time.slots=1"], out=tmp_path / "theirs")
    assert compare(made, ("nearest", "cost"), out=tmp_path / "ours").table.equals(theirs.table)
