"""Sweeps: every point exactly once, whatever happens to the processes that simulate them."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import glbdes
from glbdes.base import seals
from glbdes.cli.main import main
from glbdes.errors import RecordsError, ScenarioError
from glbdes.records import headline
from glbdes.study import sweep_file
from glbdes.study.sweep import Sweep, sweep
from tests.runs import DAMAGES, damaged, little

SWEEP = """
scenario = "little.toml"
set = ["time.slots=2"]
[[grid]]
policy = ["nearest", "cost_carbon", "eglb"]
seed = [1, 2]
[[list]]
policy.name = "eglb"
policy.step = [0.3, 1.2]
objective.carbon_usd_per_t = [100.0, 200.0]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep") / "in"
    little(folder)
    (folder / "small.toml").write_text(SWEEP)
    return folder


@pytest.fixture(scope="module")
def undisturbed(folder, tmp_path_factory):
    return sweep(folder / "small.toml", out=tmp_path_factory.mktemp("out") / "sweep")


def test_there_is_a_row_a_point_with_the_run_s_own_figures(undisturbed, folder):
    table = undisturbed.table
    assert list(table["policy"]) == ["nearest"] * 2 + ["cost_carbon"] * 2 + ["eglb"] * 4
    assert table["policy.step"].dropna().tolist() == [0.3, 1.2]
    settings = ["time.slots=2", "policy.step=1.2", "objective.carbon_usd_per_t=200.0"]
    alone = glbdes.simulate(folder / "little.toml", policy="eglb", overrides=settings).summary
    assert table["objective_usd"].iloc[7] == alone["objective_usd"]
    assert table["ttft_p95_s"].iloc[7] == alone["latency_s"]["ttft"]["p95"]
    assert (table["over_bound"] > 0).all()
    assert table["error"].isna().all()


def test_keys_that_a_point_does_not_set_are_missing_in_its_row(folder, tmp_path):
    file = folder / "mixed.toml"
    text = (
        'scenario = "little.toml"\nset = ["time.slots=1"]\n[[grid]]\npolicy = "nearest"\n[[grid]]\npolicy.name = "eglb"'
    )
    file.write_text(text + '\npolicy.map = ["euclidean", "entropic"]\npolicy.step = 0.5\n')
    found = sweep(file, out=tmp_path / "out")
    assert found.table["policy.map"].isna().tolist() == [True, False, False]
    assert found.table["policy.step"].isna().tolist() == [True, False, False]
    labels = found.figure("front").to_dict()["datasets"].values()
    assert {row["policy"] for rows in labels for row in rows if "policy" in row} == {
        "nearest", "eglb euclidean", "eglb entropic"
    }  # fmt: skip


def test_a_scenario_s_own_policy_keeps_its_arguments_and_others_have_none_of_them(folder):
    policies = [point.plan.scenario.policy for point in sweep_file.load(folder / "small.toml").points]
    assert policies[2].arguments == {"carbon_usd_per_t": 100.0}
    assert policies[0].arguments == {}
    assert policies[6].arguments == {"step": 0.3}


def test_a_finished_point_is_not_simulated_again(undisturbed, folder, monkeypatch):
    before = {path.name: path.stat().st_mtime_ns for path in (undisturbed.path / "points").iterdir()}
    monkeypatch.setattr("glbdes.study.sweep.measure", None)  # whoever calls it fails
    again = sweep(folder / "small.toml", out=undisturbed.path)
    assert again.table.equals(undisturbed.table)
    assert before == {path.name: path.stat().st_mtime_ns for path in (again.path / "points").iterdir()}


def test_a_point_that_is_new_is_simulated_and_the_others_are_kept(undisturbed, folder, tmp_path):
    more = folder / "more.toml"
    more.write_text(SWEEP.replace("seed = [1, 2]", "seed = [1, 2, 3]"))
    heard = []
    out = tmp_path / "out"
    sweep(folder / "small.toml", out=out)
    found = sweep(more, out=out, progress=lambda ended, expected: heard.append((ended, expected)))
    assert heard == [(8, 11), (9, 11), (10, 11), (11, 11)]
    assert len(found.table) == 11


def test_means_are_over_seeds_alone(undisturbed):
    means = undisturbed.means()
    assert len(means) == 5
    table = undisturbed.table
    nearest = table[table["policy"] == "nearest"]["cost_usd"]
    row = means[means["policy"] == "nearest"].iloc[0]
    assert row["cost_usd"] == pytest.approx(nearest.mean())
    assert row["cost_usd_half95"] == pytest.approx(headline.half_width(nearest))
    assert means["seeds"].tolist() == [2, 2, 2, 1, 1]


def _command(folder, out, *more):
    call = [sys.executable, "-m", "glbdes.cli.main", "sweep", str(folder / "small.toml"), "-o", str(out), "--quiet"]
    return subprocess.Popen([*call, "--workers", "2", *more], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def _points(out):
    return len(list((out / "points").glob("*.json"))) if (out / "points").is_dir() else 0


def _same(one: Path, other: Path):
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in ("sweep.parquet", "sweep.csv"))


@pytest.mark.parametrize("times", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_a_sweep_that_is_killed_ends_as_an_undisturbed_one(undisturbed, folder, tmp_path, times):
    out = tmp_path / "out"
    chance = random.Random(times)
    for n in range(times):
        running = _command(folder, out)
        while _points(out) < n + 1 and running.poll() is None:  # at least one more point each time
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.1))
        running.send_signal(signal.SIGKILL)
        running.communicate()
    assert not (out / "sweep.json").exists() or _points(out) == 8
    last = _command(folder, out)
    assert last.communicate(timeout=60)[1] == b""
    assert last.returncode == 0
    assert _same(out, undisturbed.path)
    assert sorted(os.listdir(out)) == ["lock", "points", "sweep.csv", "sweep.json", "sweep.parquet"]
    assert _points(out) == len(os.listdir(out / "points")) == 8


def test_what_was_half_written_when_a_sweep_was_killed_goes(undisturbed, folder, tmp_path):
    out = tmp_path / "out"
    (out / "points").mkdir(parents=True)
    for path in (out / "points" / "0123.89ab.half.json", out / "sweep.cdef.half.csv"):
        path.write_text("{")
    found = sweep(folder / "small.toml", out=out)
    assert _same(found.path, undisturbed.path)
    assert not list(out.rglob("*.half*"))


def test_two_sweeps_do_not_share_a_folder(folder, tmp_path):
    fcntl = pytest.importorskip("fcntl")
    out = tmp_path / "out"
    (out / "points").mkdir(parents=True)
    with (out / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RecordsError, match="another sweep is writing there"):
            sweep(folder / "small.toml", out=out)


def test_a_folder_that_is_no_sweep_s_is_left_alone(folder, tmp_path):
    (tmp_path / "precious").write_text("")
    with pytest.raises(RecordsError, match="is no sweep's"):
        sweep(folder / "small.toml", out=tmp_path)
    assert os.listdir(tmp_path) == ["precious"]


def test_a_point_that_cannot_be_simulated_has_an_error_and_the_others_figures(folder, tmp_path):
    file = folder / "hard.toml"
    file.write_text('scenario = "little.toml"\nset = ["time.slots=1"]\n[[grid]]\nworkload.load_scale = [0.5, 50.0]\n')
    told = CliRunner().invoke(main, ["sweep", str(file), "-o", str(tmp_path / "out"), "--workers", "1"])
    assert told.exit_code == 2
    assert "1 of 2 points could not be simulated" in told.stderr
    assert "expected load" in told.stderr
    found = Sweep.open(tmp_path / "out")
    assert found.table["error"].isna().tolist() == [True, False]
    assert np.isnan(found.table["cost_usd"].iloc[1])
    assert len(found.means()) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("scenario = 'little.toml'\n[[gird]]\nseed = 1", "unknown key 'gird'; did you mean 'grid'"),
        ("[[grid]]\nseed = 1", "scenario is missing"),
        ("scenario = 'little.toml'", "nothing to sweep"),
        ("scenario = 'little.toml'\n[[grid]]\nseed = []", "seed has no values"),
        ("scenario = 'little.toml'\n[[list]]\nseed = [1, 2]\npolicy = ['cost', 'water', 'eglb']", "2, 3 values"),
        ("scenario = 'little.toml'\n[[grid]]\nseed = [1, 1]", "two points are the same run"),
        ("scenario = 'little.toml'\n[[grid]]\nsede = [1, 2]", "sede"),
        ("scenario = 'little.toml'\n[[grid]]\npolicy = ['eglb', 'egbl']", "did you mean 'eglb'"),
        ("scenario = 'litle.toml'\n[[grid]]\nseed = 1", "no scenario file"),
        ("scenario = ", "not valid TOML"),
    ],
)
def test_a_sweep_file_s_faults_are_told_before_anything_runs(folder, tmp_path, text, says):
    file = folder / "bad.toml"
    file.write_text(text)
    with pytest.raises(ScenarioError, match=says):
        sweep(file, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("name", ["sweep.json", "sweep.parquet"])
def test_a_damaged_sweep_says_so(undisturbed, tmp_path, name, kind):
    folder = shutil.copytree(undisturbed.path, tmp_path / "sweep")
    damaged(folder, name, kind)
    told = CliRunner().invoke(main, ["report", str(folder), "-o", str(tmp_path / "page.html")])
    assert told.exit_code == 2, told.output
    assert isinstance(told.exception, SystemExit)
    assert told.stderr.count("Error: ") == 1
    assert str(folder / name) in "".join(told.stderr.splitlines())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"keys": "seed"}, "keys = 'seed', must be a"),
        ({"points": -1}, "points = -1, must be >= 0"),
        ({"text": None}, "text = None, must be a string"),
        ({"files": {}}, r"files\.sweep\.parquet: missing"),
    ],
)
def test_sweep_json_says_what_it_must(undisturbed, tmp_path, change, told):
    info = json.loads((undisturbed.path / "sweep.json").read_text()) | change
    (tmp_path / "sweep.json").write_bytes(seals.sealed(info))
    with pytest.raises(RecordsError, match=rf"sweep\.json: {told}"):
        Sweep.open(tmp_path)


@pytest.mark.parametrize("kind", ["a byte", "cut off", "empty", "deep", "long number"])
def test_a_point_that_is_damaged_in_any_way_is_told_of(undisturbed, folder, tmp_path, kind):
    out = shutil.copytree(undisturbed.path, tmp_path / "out")
    victim = sorted((out / "points").iterdir())[0]
    damaged(out / "points", victim.name, kind)
    with pytest.raises(RecordsError, match=rf"{victim.name}: .*; delete it to simulate the point again"):
        sweep(folder / "small.toml", out=out)


def test_a_point_of_an_older_version_is_simulated_again(undisturbed, folder, tmp_path):
    out = shutil.copytree(undisturbed.path, tmp_path / "out")
    victim = sorted((out / "points").iterdir())[0]
    victim.write_text(json.dumps({"figures": {"cost_usd": 1.0}, "wall_s": 1.0}))
    assert _same(sweep(folder / "small.toml", out=out).path, undisturbed.path)


def test_a_damaged_point_is_told_of(undisturbed, folder, tmp_path):
    out = tmp_path / "out"
    sweep(folder / "small.toml", out=out)
    victim = next((out / "points").iterdir())
    victim.write_text(victim.read_text()[:40])
    with pytest.raises(RecordsError, match="delete it to simulate the point again"):
        sweep(folder / "small.toml", out=out)
    victim.unlink()
    assert _same(sweep(folder / "small.toml", out=out).path, undisturbed.path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # distributed's own, about sockets of a worker that was killed
def test_on_a_dask_cluster_a_killed_worker_costs_no_point(undisturbed, folder, tmp_path):
    distributed = pytest.importorskip("distributed", reason="glbdes[dask] is not installed")
    out = tmp_path / "out"
    killed = []
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as cluster:

        def strike(ended, expected):
            if ended == 2 and not killed:
                killed.append(next(iter(cluster.workers.values())).pid)
                os.kill(killed[0], signal.SIGKILL)

        found = sweep(folder / "small.toml", out=out, dask=cluster.scheduler_address, progress=strike)
    assert killed
    assert _same(found.path, undisturbed.path)
    assert len(pd.unique(found.table["point"])) == len(found.table) == 8


def test_no_scheduler_is_told_of(folder, tmp_path):
    pytest.importorskip("distributed", reason="glbdes[dask] is not installed")
    with pytest.raises(RecordsError, match="no dask scheduler at nonsense"):
        sweep(folder / "small.toml", out=tmp_path / "out", dask="nonsense://x")


def test_a_sweep_says_where_it_came_from(undisturbed):
    info = json.loads((undisturbed.path / "sweep.json").read_text())
    assert info["text"] == SWEEP
    assert info["points"] == 8
    assert "8 points over policy, seed" in repr(undisturbed)
    with pytest.raises(RecordsError, match="not a sweep that has ended"):
        Sweep.open(undisturbed.path / "points")


@pytest.mark.parametrize("file", ["tiny", "scenario"])
def test_a_scenario_is_no_sweep_file_and_how_one_looks_is_told(folder, file, monkeypatch):
    path = file if file == "tiny" else next(path for path in folder.glob("*.toml") if "[regions" in path.read_text())
    done = CliRunner().invoke(main, ["sweep", str(path)])
    assert done.exit_code == 2
    assert f"{path}: is a scenario, and a sweep file is meant, such as" in done.stderr
    assert "[[grid]]" in done.stderr
