"""Classes that may not go far, from the scenario to the records; and delay in the accounts."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import glbdes
from glbdes.errors import ScenarioError
from glbdes.present import preview
from glbdes.records import optimum_figures as optimum
from glbdes.study import Run
from glbdes.study.run import prepare
from glbdes.world import limits
from glbdes.world.build import build
from tests.runs import little

ENGINES = ("simpy", "fast", "fluid")
CLASSES = "slo={chat={share=3.0,ttft_s=1.0},batch={share=1.0}}"
NEAR = "slo.chat.max_one_way_ms=10.0"  # only the gateway's own region is as near
FAR = "slo.chat.max_one_way_ms=1000.0"


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    """Two regions 26 ms apart, `here` and `there`, each with a gateway."""
    return little(tmp_path / "little")


def run(scenario: Path, *settings: str, engine: str = "simpy", policy: str = "cost") -> Run:
    return glbdes.simulate(scenario, engine=engine, policy=policy, overrides=[CLASSES, *settings])


def table(found: Run) -> pd.DataFrame:
    return found.requests.to_table().to_pandas().sort_values("request_id", ignore_index=True)


@pytest.mark.parametrize("engine", ["simpy", "fast"])
@pytest.mark.parametrize("rule", ["smooth", "weighted", "least_loaded", "spillover"])
def test_no_request_of_a_limited_class_goes_far(scenario: Path, engine: str, rule: str) -> None:
    free = table(run(scenario, f"dispatch.rule={rule}", engine=engine))
    kept = table(run(scenario, NEAR, f"dispatch.rule={rule}", engine=engine))
    chat = kept[kept["slo"] == "chat"]
    assert (chat["gateway"].astype(str) == chat["region"].astype(str)).all()
    batch = kept[kept["slo"] == "batch"]
    assert (batch["gateway"].astype(str) != batch["region"].astype(str)).any()
    same = ["request_id", "gateway", "slo", "arrival_ns", "prompt_tokens", "output_tokens"]
    pd.testing.assert_frame_equal(free[same], kept[same])


def test_both_request_engines_agree(scenario: Path) -> None:
    fault = 'faults=[{region="there",start_h=0.5,end_h=1.2}]'
    simpy, fast = (table(run(scenario, NEAR, fault, engine=name, policy="eglb")) for name in ("simpy", "fast"))
    pd.testing.assert_frame_equal(simpy, fast)
    stranded = simpy[(simpy["slo"] == "chat") & (simpy["gateway"] == "there") & (simpy["status"] == "failed")]
    assert len(stranded)  # nowhere else to go while its region is down
    assert simpy[simpy["slo"] == "batch"]["status"].eq("served").all()


def test_a_limit_that_nothing_exceeds_changes_no_request(scenario: Path) -> None:
    """With a plan that does not tell classes apart, and private random numbers."""
    free = table(run(scenario, 'dispatch.rule="weighted"', policy="uniform"))
    pd.testing.assert_frame_equal(free, table(run(scenario, FAR, 'dispatch.rule="weighted"', policy="uniform")))


@pytest.mark.parametrize("engine", ENGINES)
def test_plans_tell_classes_apart(scenario: Path, engine: str) -> None:
    plans = run(scenario, NEAR, engine=engine).plans
    assert len(plans) == 3 * 2 * 2 * 2  # slots, gateways, classes, regions
    chat = plans[(plans["slo"] == "chat") & (plans["weight"] > 0)]
    assert (chat["gateway"].astype(str) == chat["region"].astype(str)).all()
    np.testing.assert_allclose(plans.groupby(["slot", "gateway", "slo"], observed=True)["weight"].sum(), 1.0)
    assert run(scenario, engine=engine).plans["slo"].isna().all()


def test_rows_share_the_demand_of_their_gateway(scenario: Path) -> None:
    plain, limited = (prepare(scenario, overrides=[CLASSES, *more]) for more in ([], [NEAR]))
    world, apart = build(plain.scenario, plain.folder), build(limited.scenario, limited.folder)
    np.testing.assert_allclose(apart.expected_rps[:, 0], 0.75 * world.expected_rps[:, 0])
    np.testing.assert_allclose(apart.expected_rps[:, 1], 0.25 * world.expected_rps[:, 0])
    assert limits.row_names(limited.scenario, apart) == ["here (chat)", "here (batch)", "there (chat)", "there (batch)"]
    assert [row.regions for row in preview.preview(limited.scenario, apart).gateways] == [1, 2, 1, 2]


def test_a_limit_below_every_region_is_refused(scenario: Path) -> None:
    rule = r"slo.chat.max_one_way_ms = 0.5 ms, must be >= 1 ms, the nearest region of gateway 'here'"
    with pytest.raises(ScenarioError, match=rule):
        run(scenario, "slo.chat.max_one_way_ms=0.5")


@pytest.mark.parametrize("engine", ["simpy", "fast"])
def test_delay_is_what_requests_took(scenario: Path, engine: str) -> None:
    found = run(scenario, "regions.*.replicas=1", "fleet.max_batch=1", engine=engine)
    weight = found.summary["request_weight"]
    away = found.plans.groupby(["gateway", "region"], observed=True)["dispatched"].sum()
    prepared = prepare(scenario, overrides=[CLASSES])
    latency = pd.DataFrame(build(prepared.scenario, prepared.folder).latency_s, ["here", "there"], ["here", "there"])
    network_s = sum(2 * latency.loc[g, r] * n for (g, r), n in away.items()) * weight
    assert found.summary["totals"]["network_s"] == pytest.approx(network_s, rel=1e-12)
    queued_s = found.slots["queue_mean"].sum() * 20.0 * weight
    assert found.summary["totals"]["waiting_s"] == pytest.approx(queued_s, rel=1e-9)


def test_delay_of_a_flow_follows_an_outage(scenario: Path) -> None:
    fault = 'faults=[{region="there",start_h=0.5,end_h=1.0}]'
    flow, requests = (run(scenario, fault, engine=name, policy="nearest").summary for name in ("fluid", "fast"))
    assert flow["totals"]["network_s"] == pytest.approx(requests["totals"]["network_s"], rel=0.2)
    stranded = [fault, 'gateways.there.regions=["there"]']
    less = run(scenario, *stranded, engine="fluid", policy="nearest").summary
    planned = run(scenario, engine="fluid", policy="nearest").summary
    assert less["totals"]["network_s"] < 0.95 * planned["totals"]["network_s"]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_objective_has_norm_weights_and_delay(scenario: Path, engine: str) -> None:
    settings = ["objective.norm=2", "regions.there.carbon_weight=3.0", "objective.delay_usd_per_s=0.01"]
    found = run(scenario, *settings, engine=engine).summary
    regions, totals = found["regions"], found["totals"]
    carbon = np.hypot(regions["here"]["carbon_kg"], 3 * regions["there"]["carbon_kg"])
    water = np.hypot(regions["here"]["water_l"], regions["there"]["water_l"])
    delay_s = totals["network_s"] + totals["waiting_s"]
    by_hand = totals["cost_usd"] + 1.5 * carbon + 0.06 * water + 0.01 * delay_s
    assert delay_s > 0
    assert found["objective_usd"] == pytest.approx(by_hand, rel=1e-12)
    assert found["objective_terms"] == "cost + priced Euclidean length of weighted carbon and water + priced delay"


@pytest.mark.parametrize("norm", ['"inf"', "1", "2"])
@pytest.mark.parametrize("limit", [[], [NEAR]], ids=["free", "limited"])
def test_replaying_the_optimum_costs_what_it_says(scenario: Path, norm: str, limit: list[str]) -> None:
    settings = [CLASSES, f"objective.norm={norm}", "objective.delay_usd_per_s=0.002", "regions.here.water_weight=2.0"]
    prepared = prepare(scenario, overrides=[*settings, *limit])
    world = build(prepared.scenario, prepared.folder)
    told = optimum.summary(world, list(prepared.scenario.regions), by_request=False)
    ran = run(scenario, *settings[1:], *limit, engine="fluid", policy="offline").summary
    assert ran["objective_usd"] == pytest.approx(told["objective_usd"], rel=1e-6)
    assert told["totals"]["waiting_s"] == pytest.approx(ran["totals"]["waiting_s"], rel=1e-6, abs=1e-12)
    for policy in ("eglb", "eglb_simplex", "nearest"):
        other = run(scenario, *settings[1:], *limit, engine="fluid", policy=policy).summary
        assert other["objective_usd"] >= told["objective_usd"] * (1 - 1e-6)
