"""From a scenario to a run: what is replaced, what is recorded, and that nothing looks complete that is not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import glbdes
from glbdes.engine import simpy
from glbdes.errors import GlbdesError, InvariantError, RecordsError, ScenarioError
from glbdes.study import Run, report, run, simulate
from tests.runs import SCENARIO, little


@pytest.fixture
def scenario(tmp_path):
    return little(tmp_path / "in")


def test_a_run_has_requests_slots_plans_and_a_summary(scenario, tmp_path):
    done = simulate(scenario, out=tmp_path / "out")
    figures = done.summary
    assert done.path == tmp_path / "out"
    assert figures["requests"]["total"] == done.counted.count_rows() > 100
    assert figures["warmup_requests"] == done.requests.count_rows() - done.counted.count_rows() > 0
    assert figures["requests"]["served"] == figures["requests"]["total"]
    assert len(done.slots) == 3 * 2
    assert len(done.plans) == 3 * 2 * 2
    assert figures["meter_residual"] < 1e-9
    assert figures["requests_per_s"] > 0
    assert done.requests.to_table(columns=["ttft_s"]).to_pandas()["ttft_s"].min() > 0
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == figures
    assert "little, policy cost_carbon, seed 7" in repr(done)


def test_the_run_says_where_it_came_from(scenario, tmp_path):
    info = simulate(scenario, seed=8, overrides=["fleet.replicas=2"], out=tmp_path / "out").info
    assert info["scenario_text"] == SCENARIO
    assert info["scenario"]["fleet"]["replicas"] == 2
    assert info["overrides"] == ["fleet.replicas=2", "seed=8"]
    assert (info["seed"], info["engine"], info["policy"]) == (8, "simpy", "cost_carbon")
    assert set(info["versions"]) >= {"python", "glbdes", "numpy", "simpy", "pyarrow"}
    assert set(info["invariants"]) == {"requests", "attribution", "energy", "cost", "carbon", "water"}
    assert info["requests_per_s"] == pytest.approx((info["requests"] + info["warmup_requests"]) / info["wall_s"])


def test_the_same_seed_gives_the_same_requests_and_another_one_does_not(scenario):
    first, again = (simulate(scenario).requests.to_table() for _ in range(2))
    assert first.equals(again)
    assert not first.equals(simulate(scenario, seed=9).requests.to_table())


def test_another_policy_meets_the_same_requests_without_the_first_ones_arguments(scenario):
    usual, other = simulate(scenario), simulate(scenario, policy="nearest")
    assert other.info["scenario"]["policy"] == {"name": "nearest"}
    columns = ["request_id", "gateway", "arrival_ns", "prompt_tokens", "output_tokens"]
    mine, theirs = (
        one.requests.to_table(columns=columns).to_pandas().sort_values("request_id", ignore_index=True)
        for one in (usual, other)
    )
    assert mine.equals(theirs)


def test_the_same_policy_keeps_its_arguments_and_settings_go_on_top(scenario):
    assert run.prepare(scenario, policy="cost_carbon").scenario.policy.arguments == {"carbon_usd_per_t": 100.0}
    chosen = run.prepare(scenario, policy="eglb", overrides=["policy.z_max=2.0"]).scenario.policy
    assert (chosen.name, chosen.arguments) == ("eglb", {"z_max": 2.0})


def test_a_scenario_object_is_as_good_as_a_file(scenario, monkeypatch):
    loaded, path = glbdes.load_scenario(scenario)
    monkeypatch.chdir(path.parent)
    assert simulate(loaded).requests.to_table().equals(simulate(scenario).requests.to_table())
    assert run.prepare(loaded, seed=3, policy="nearest", overrides=["fleet.replicas=4"]).scenario.fleet.replicas == 4


def test_the_fluid_engine_writes_slots_and_no_requests(scenario):
    done = simulate(scenario, engine="fluid")
    figures = done.summary
    assert done.requests.count_rows() == 0
    assert figures["latency_s"]["ttft"]["mean"] is None
    assert figures["goodput_rps"] is None
    assert figures["requests_per_s"] is None
    assert figures["totals"]["it_kwh"] > 0
    assert figures["meter_residual"] < 1e-9
    assert done.slots["utilisation"].isna().all()
    assert figures["requests"]["total"] == pytest.approx(done.plans["dispatched"].sum())


def test_folders_in_runs_are_named_and_numbered(scenario, tmp_path):
    names = [simulate(scenario, runs=tmp_path / "runs", policy=name).path.name for name in ("nearest", "nearest")]
    assert names == ["little-nearest-seed7", "little-nearest-seed7-2"]


def test_a_run_without_a_folder_takes_its_records_with_it_when_python_ends(scenario):
    code = (
        "import glbdes, sys; requests = glbdes.simulate(sys.argv[1]).requests; "
        "assert requests.count_rows() > 0; print(requests.files[0])"
    )
    told = subprocess.run([sys.executable, "-c", code, scenario], capture_output=True, text=True, check=True)
    assert not Path(told.stdout.strip()).parents[2].exists()


def test_a_run_is_opened_again(scenario, tmp_path):
    done = simulate(scenario, out=tmp_path / "out")
    again = Run.open(tmp_path / "out")
    assert again.summary == done.summary
    assert again.slots.equals(done.slots)
    with pytest.raises(RecordsError, match="no such folder"):
        Run.open(tmp_path / "nothing")


def test_progress_ends_with_every_request(scenario):
    heard = []
    done = simulate(scenario, progress=lambda ended, expected: heard.append((ended, expected)))
    assert heard[0][0] == 0
    assert heard[-1][0] == done.summary["requests"]["total"] + done.summary["warmup_requests"]
    assert np.allclose(heard[-1][1], heard[-1][0], rtol=0.3)
    assert heard == sorted(heard)


@pytest.mark.parametrize(
    "bad",
    [
        {"overrides": ["time.slots=0"]},
        {"policy": "nearset"},
        {"engine": "simpie"},
        {"signals": "nowhere"},
        {"overrides": ["workload.load_scale=50"]},
    ],
)
def test_what_cannot_be_simulated_leaves_nothing_behind(scenario, tmp_path, bad):
    with pytest.raises(GlbdesError):
        simulate(scenario, out=tmp_path / "out", **bad)
    assert sorted(os.listdir(tmp_path)) == ["in"]


def test_a_run_whose_books_do_not_balance_is_not_kept(scenario, tmp_path, monkeypatch):
    class Thief:
        """An engine that takes a joule off each meter."""

        def __call__(self, world, policy, sink, **options):
            class Crooked:
                requests = staticmethod(sink.requests)

                @staticmethod
                def slot(record):
                    record.meters["decode_j"] -= 1.0
                    sink.slot(record)

            simpy.run(world, policy, Crooked(), **options)

    monkeypatch.setattr(run, "ENGINES", {"simpy": Thief()})
    with pytest.raises(InvariantError, match=r"energy in (here|there)"):
        simulate(scenario, out=tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == ["in"]


def test_an_unknown_scenario_is_told_with_the_nearest_name():
    with pytest.raises(ScenarioError, match="did you mean 'tiny'"):
        simulate("tinny")


def test_the_package_shows_its_few_names():
    assert set(glbdes.__all__) <= set(dir(glbdes)) | set(glbdes.__all__)
    assert glbdes.Run is Run
    assert glbdes.simulate is simulate
    with pytest.raises(AttributeError, match="no attribute 'simulat'"):
        _ = glbdes.simulat  # type: ignore[attr-defined]


def test_tiny_runs_from_start_to_end(tmp_path):
    done = simulate("tiny", out=Path(tmp_path) / "out")
    assert done.summary["requests"]["total"] > 1000
    assert set(done.summary["regions"]) == {"utah", "vancouver", "germany", "sweden", "singapore"}


OVERLOADED = ("workload.load_scale=2.5", "dispatch.overload=allow", "fleet.wake_s=3.0")


def test_a_run_that_compression_cannot_get_right_warns_in_its_summary_and_on_its_page(scenario):
    done = simulate(scenario, policy="nearest", overrides=OVERLOADED)
    planned, wake = done.summary["warnings"]
    assert planned.startswith("compressed time, planned above capacity: here in 3 slots (up to 125%)")
    assert "wake_s = 3 s, over 0.1 of a slot's 20 simulated s" in wake
    page = report.render(report.contents(done.path))
    assert page.count('<p class="warning">') == 2
    assert "planned above capacity: here in 3 slots" in page
    assert simulate(scenario).summary["warnings"] == []


def test_engines_agree_on_warmups(scenario):
    one, other = (simulate(scenario, engine=engine, overrides=["time.warmup_s=7"]) for engine in ("simpy", "fast"))
    assert one.summary["warmup_s"] == 7.0
    assert one.slots.equals(other.slots)
    assert one.plans.equals(other.plans)
    mine, theirs = (done.requests.to_table().sort_by("request_id") for done in (one, other))
    assert mine.equals(theirs)


def test_what_counts_is_drawn_the_same_however_long_slots_warm_up(scenario):
    names = ["gateway", "slo", "prompt_tokens", "output_tokens"]
    drawn = []
    for warmup_s in (0.0, 3.0):
        done = simulate(scenario, overrides=[f"time.warmup_s={warmup_s}", "dispatch.demand=forecast"])
        drawn.append(done.counted.to_table().sort_by("request_id").select(names).to_pylist())
        assert (done.summary["warmup_requests"] > 0) == (warmup_s > 0)
    assert drawn[0] == drawn[1]
