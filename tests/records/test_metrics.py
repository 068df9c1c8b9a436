"""Figures are computed from the records alone, exactly, and agree with pandas and with hand-worked numbers."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from glbdes.engine.simpy import engine as simpy_engine
from glbdes.present import tables
from glbdes.records import metrics
from glbdes.records import writer as records
from glbdes.records.sketch import CACHE, Sketch
from glbdes.units import NS_PER_S
from tests.chunked_worlds import make_steps
from tests.runs import LIMITS, NAMES, busy_world, seal_again, write
from tests.worlds import Fixed, ListSink


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write(tmp_path_factory.mktemp("run"), busy_world(n=1000))


@pytest.fixture(scope="module")
def figures(run):
    return metrics.summary(run)


@pytest.fixture(scope="module")
def table(run):
    return run.requests.to_table().to_pandas()


def test_every_request_ends_somehow(figures, table):
    counts = figures["requests"]
    assert counts["total"] == 1000
    assert counts == {"total": 1000, **{name: int((table["status"] == name).sum()) for name in list(counts)[1:]}}


def test_quantiles_are_those_of_pandas(figures, table):
    for name in ("ttft", "tpot", "e2e"):
        column = table[f"{name}_s"].dropna()
        found = figures["latency_s"][name]
        assert found["mean"] == pytest.approx(column.mean(), rel=1e-12)
        for key, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            assert found[key] == pytest.approx(column.quantile(q), rel=1e-12)


def test_what_caches_did_is_told_of_requests_that_count(tmp_path):
    world = replace(busy_world(simulated_s=6.0, warmup_ns=4 * NS_PER_S), steps=make_steps(budget=512))
    run = write(tmp_path, world)
    table = run.counted.to_table().to_pandas()
    figures, scheduled = metrics.summary(run), table[table["start_ns"].notna()]
    found = {name: figures[name] for name in CACHE}
    once = scheduled[(scheduled["preemptions"] == 0) & (scheduled["attempts"] == 1)]
    spared = once["cached_tokens"].sum()
    assert found == {
        **table[["preemptions", "cached_tokens"]].sum(),
        "prompt_tokens": scheduled["prompt_tokens"].sum(),
        "prefill_tokens_spared": spared,
        "prefill_tokens_computed": once["prompt_tokens"].sum() - spared,
    }
    assert figures["prefix_hit_rate"] == spared / once["prompt_tokens"].sum()
    assert 0 < len(scheduled) < len(table) < run.requests.count_rows()
    assert found["preemptions"] > 0
    assert found["cached_tokens"] > 0
    line = "Preemptions: {preemptions:,}; {cached_tokens:,} tokens found in the cache and not computed (prompts had "
    rate = f"{found['prompt_tokens']:,}, {100 * figures['prefix_hit_rate']:.1f} % of prefills found)"
    assert line.format(**found) + rate in list(tables.summary(figures))
    sketch, sink = Sketch(world, {name: np.full(2, np.inf) for name in metrics.LATENCIES}), ListSink()
    simpy_engine.run(world, Fixed(np.full((2, 3), 1 / 3)), sink)
    sketch.requests(sink.table)
    assert sketch.figures()["cache"] == found


def test_where_prompts_come_first_no_line_is_for_caches(figures):
    assert figures["preemptions"] == figures["cached_tokens"] == 0
    assert not any("Preemptions" in line for line in tables.summary(figures) if isinstance(line, str))


def test_totals_are_sums_over_regions_and_slots(figures, run):
    slots = run.slots.to_pandas()
    for key, value in figures["totals"].items():
        assert value == pytest.approx(slots[key].sum(), rel=1e-12)
    for name in NAMES.regions:
        mine = slots[slots["region"] == name]
        assert figures["regions"][name]["carbon_kg"] == pytest.approx(mine["carbon_kg"].sum(), rel=1e-12)
        assert figures["regions"][name]["requests"] == mine["served"].sum()
        assert figures["regions"][name]["utilisation"] == pytest.approx(mine["utilisation"].mean(), rel=1e-12)


def test_par_is_the_largest_over_the_mean(figures):
    carbon = [region["carbon_kg"] for region in figures["regions"].values()]
    assert figures["par"]["carbon"] == pytest.approx(max(carbon) / (sum(carbon) / 3), rel=1e-12)


def test_the_objective_is_equation_9(figures):
    regions = figures["regions"].values()
    by_hand = (
        sum(region["cost_usd"] for region in regions)
        + 1.5 * max(region["carbon_kg"] for region in regions)
        + 0.06 * max(region["water_l"] for region in regions)
    )
    assert figures["objective_usd"] == pytest.approx(by_hand, rel=1e-12)
    assert figures["objective_terms"] == "cost + priced largest carbon and water"


def test_attainment_counts_requests_that_were_not_served_as_misses(figures, table):
    chat = table[table["slo"] == "chat"]
    ttft = (chat["ttft_s"] <= LIMITS["chat"]["ttft_s"]).mean()
    within = (chat["status"] == "served") & (
        (chat["tpot_s"] <= LIMITS["chat"]["tpot_s"]) | (chat["output_tokens"] == 1)
    )
    found = figures["slo"]["chat"]
    assert found["ttft"] == pytest.approx(ttft, rel=1e-12)
    assert found["tpot"] == pytest.approx(within.mean(), rel=1e-12)
    assert found["all"] == pytest.approx((within & (chat["ttft_s"] <= 1.0)).mean(), rel=1e-12)
    assert 0 < found["all"] < min(found["ttft"], found["tpot"])


def test_a_limit_that_a_class_does_not_state_has_no_attainment(figures, table):
    batch = table[table["slo"] == "batch"]
    found = figures["slo"]["batch"]
    assert (found["ttft"], found["tpot"], found["e2e"]) == (None, None, None)
    assert found["all"] == pytest.approx((batch["status"] == "served").mean(), rel=1e-12)
    assert figures["slo"]["chat"]["e2e"] is None


def test_goodput_is_requests_within_every_limit_per_second(figures, table):
    met = sum(figures["slo"][name]["all"] * (table["slo"] == name).sum() for name in NAMES.slo)
    assert figures["goodput_rps"] == pytest.approx(met / 40.0, rel=1e-12)


def test_the_meter_check_is_made_on_the_files(tmp_path, figures):
    assert figures["meter_residual"] < 1e-9
    write(tmp_path, busy_world())
    path = tmp_path / "requests" / "part-0.parquet"
    table = pq.read_table(path)
    dearer = pc.multiply(table["cost_usd"], 1.001)
    pq.write_table(table.set_column(table.schema.get_field_index("cost_usd"), "cost_usd", dearer), path)
    seal_again(tmp_path)
    assert metrics.summary(records.open_run(tmp_path))["meter_residual"] > 1e-6


def test_a_run_that_serves_nobody_has_no_latency_and_is_valid_json(tmp_path):
    world = busy_world(n=5, outages=[(r, 0, 100 * 10**9) for r in range(3)])
    figures = metrics.summary(write(tmp_path, world))
    assert figures["requests"] == {"total": 5, "served": 0, "rejected": 0, "timed_out": 0, "failed": 5}
    assert figures["latency_s"]["e2e"] == {"mean": None, "p50": None, "p95": None, "p99": None}
    assert figures["par"] == {"carbon": None, "water": None}
    assert figures["totals"]["it_kwh"] == 0
    assert figures["meter_residual"] == 0
    assert figures["goodput_rps"] == 0
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_a_run_without_any_request_has_a_summary(tmp_path):
    figures = metrics.summary(write(tmp_path, busy_world(n=0)))
    assert figures["requests"]["total"] == 0
    assert figures["slo"]["chat"] == {"ttft": None, "tpot": None, "e2e": None, "all": None, "asked": None}
    assert figures["totals"]["unattributed_kwh"] == pytest.approx(figures["totals"]["it_kwh"])


def test_figures_do_not_depend_on_row_groups(tmp_path, monkeypatch, figures):
    monkeypatch.setattr(records, "ROW_GROUP", 37)
    again = metrics.summary(write(tmp_path, busy_world(n=1000)))
    for key in ("requests", "slo", "regions", "totals"):
        assert again[key] == figures[key]
    assert np.allclose(list(again["latency_s"]["e2e"].values()), list(figures["latency_s"]["e2e"].values()))
