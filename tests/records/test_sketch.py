"""Runs that do not keep all their requests: the same figures, and quantiles within the documented error."""

import numpy as np
import pytest

from glbdes.errors import ScenarioError
from glbdes.records.sketch import HIGHEST_S, LOWEST_S, QUANTILE_ERROR, QUANTILES, Sketch
from glbdes.records.writer import sampled
from glbdes.study import simulate
from glbdes.world import REQUEST_DTYPE
from tests.runs import little
from tests.worlds import make_requests, make_world

SKETCHED = ("latency_s", "wall_s", "requests_per_s", "meter_residual")


@pytest.fixture(scope="module")
def scenario(tmp_path_factory):
    return little(tmp_path_factory.mktemp("in") / "scenario")


@pytest.fixture(scope="module")
def whole(scenario, tmp_path_factory):
    return simulate(scenario, out=tmp_path_factory.mktemp("whole") / "run")


@pytest.mark.parametrize("kept", ["none", "sample:0.25"])
def test_figures_are_those_of_all_requests(kept, scenario, whole, tmp_path):
    run = simulate(scenario, overrides=[f"records.requests={kept}"], out=tmp_path / "run")
    exact, found = whole.summary, run.summary
    assert {key: found[key] for key in found if key not in SKETCHED} == {
        key: exact[key] for key in exact if key not in SKETCHED
    }
    assert found["meter_residual"] < 1e-9
    columns = whole.counted.to_table().to_pandas()
    for name, latency in found["latency_s"].items():
        assert latency["mean"] == pytest.approx(exact["latency_s"][name]["mean"], rel=1e-6)
        for key, q in QUANTILES.items():  # of the sample itself: the sketch does not interpolate
            order_statistic = columns[f"{name}_s"].quantile(q, interpolation="lower")
            assert latency[key] == pytest.approx(order_statistic, rel=QUANTILE_ERROR + 1e-6)


def test_a_sample_is_some_of_the_same_requests(scenario, whole, tmp_path):
    run = simulate(scenario, overrides=["records.requests=sample:0.25"], out=tmp_path / "run")
    mine, everyone = (done.requests.to_table().to_pandas().set_index("request_id") for done in (run, whole))
    assert len(mine) / len(everyone) == pytest.approx(0.25, abs=0.02)
    assert mine.equals(everyone.loc[mine.index])


def test_none_keeps_none(scenario, tmp_path):
    run = simulate(scenario, overrides=["records.requests=none"], out=tmp_path / "run")
    assert run.requests.count_rows() == 0
    assert run.summary["requests"]["total"] == run.info["requests"] > 100


@pytest.mark.parametrize("kept", ["some", "sample:2", "sample:", "sample:-0.1"])
def test_anything_else_is_refused(kept, scenario, tmp_path):
    with pytest.raises(ScenarioError, match=r"records\.requests"):
        simulate(scenario, overrides=[f"records.requests={kept}"], out=tmp_path / "run")


def test_samples_are_even_in_every_stretch_of_ids():
    chosen = sampled(np.arange(1_000_000), 0.01)
    assert chosen.sum() == pytest.approx(10_000, abs=20)
    assert (np.abs(chosen.reshape(100, -1).sum(axis=1) - 100) <= 5).all()


@pytest.mark.parametrize("scale_s", [LOWEST_S * 10, 1.0, HIGHEST_S / 1e4])
def test_quantiles_are_within_the_documented_error(scale_s):
    rng = np.random.default_rng(3)
    world = make_world(make_requests([0]))
    sketch = Sketch(world, {name: np.array([np.inf]) for name in ("ttft", "tpot", "e2e")})
    chunk = np.zeros(100_001, dtype=REQUEST_DTYPE)
    chunk["output_tokens"] = 1
    chunk["finish_ns"] = np.maximum(rng.lognormal(0.0, 1.0, len(chunk)) * scale_s * 1e9, 1e3).astype(np.int64)
    chunk["first_token_ns"] = chunk["finish_ns"]
    for part in np.array_split(chunk, 7):
        sketch.requests(part)
    figures = sketch.figures()
    for key, q in QUANTILES.items():
        exact = np.quantile(chunk["finish_ns"] / 1e9, q)
        assert figures["latency_s"]["e2e"][key] == pytest.approx(exact, rel=1.01 * QUANTILE_ERROR)
    assert figures["latency_s"]["tpot"] == {"mean": None, "p50": None, "p95": None, "p99": None}
    assert figures["met"]["all"] == figures["of_class"] == [len(chunk)]
