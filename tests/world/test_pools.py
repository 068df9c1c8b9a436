"""Pools of regions from the scenario to the records, and what planners make of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import glbdes
from glbdes.errors import ScenarioError
from glbdes.optimum import bound, offline
from glbdes.policy.norms import leader
from glbdes.policy.simplex import Burden
from glbdes.records import optimum_figures
from glbdes.scenario import load
from glbdes.scenario.pools import labels
from glbdes.study import Run
from glbdes.study.sizing import size
from glbdes.study.varied import varied
from glbdes.world import World, awake
from glbdes.world.build import build
from glbdes.world.pools import summed
from tests.runs import PROFILE

ENGINES = ("simpy", "fast")
SMALL = 'profile = "little_profile.toml"\nmodel = "8b"\nreplicas = 2\n'
LARGE = 'profile = "large_profile.toml"\nmodel = "32b"\n'
SIGNALS = {
    "here": "latitude_deg = 0.0\nlongitude_deg = 0.0\npue = 1.1\nprice_usd_per_kwh = 0.1\ncarbon_g_per_kwh = 300.0\n"
    "wue_l_per_kwh = 0.5\newif_l_per_kwh = 2.0\n",
    "there": "latitude_deg = 0.0\nlongitude_deg = 30.0\npue = 1.4\nprice_usd_per_kwh = 0.05\ncarbon_g_per_kwh = 600.0\n"
    "wue_l_per_kwh = 1.5\newif_l_per_kwh = 1.0\n",
}
HEAD = """
name = "pools"
[time]
slots = 3
simulated_s_per_slot = 20.0
[workload.lengths]
law = "fixed"
prompt_tokens = 300
output_tokens = 40
[fleet]
host_w = 50.0
[gateways.west]
rate_per_s = 20.0
latitude_deg = 0.0
longitude_deg = 0.0
[gateways.east]
rate_per_s = 12.0
latitude_deg = 0.0
longitude_deg = 30.0
[slo.chat]
share = 3.0
model = "8b"
ttft_s = 1.0
[slo.deep]
model = "32b"
"""


def pools(region: str, **keys: str) -> str:
    """A region of pools, each of some keys."""
    found = [f'[[regions.{region}.pools]]\nname = "{name}"\n{said}' for name, said in keys.items()]
    return f"[regions.{region}]\n{SIGNALS[region]}" + "".join(found)


def scenario(folder: Path, name: str, *regions: str) -> Path:
    """A scenario of these regions, and its profiles beside it."""
    (folder / "little_profile.toml").write_text(PROFILE)
    large = (
        PROFILE.replace('"little"', '"large"').replace("a_s = 0.01", "a_s = 0.025").replace("e0_j = 3.0", "e0_j = 9.0")
    )
    (folder / "large_profile.toml").write_text(large)
    path = folder / f"{name}.toml"
    path.write_text(HEAD + "".join(regions))
    return path


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Two regions of two pools each, a model in each."""
    return scenario(tmp_path, "mixed", *(pools(region, small=SMALL, large=LARGE) for region in SIGNALS))


@pytest.fixture
def apart(tmp_path: Path) -> Path:
    """The same pools as four regions."""
    found = [
        f"[regions.{region}_{name}]\n{SIGNALS[region]}{said}"
        for region in SIGNALS
        for name, said in (("small", SMALL), ("large", LARGE))
    ]
    return scenario(tmp_path, "apart", *found)


@pytest.fixture
def alike(tmp_path: Path) -> Path:
    """Three pools in the first region, two of them of one model."""
    more = SMALL.replace("replicas = 2", "replicas = 1\nmax_batch = 4")
    first = pools("here", small=SMALL, large=LARGE, more=more)
    return scenario(tmp_path, "alike", first, pools("there", small=SMALL, large=LARGE))


def world_of(path: Path, *overrides: str) -> World:
    return build(load(path, overrides)[0], path.parent)


def table(run: Run) -> pd.DataFrame:
    return run.requests.to_table().to_pandas().sort_values("request_id", ignore_index=True)


def test_a_region_of_one_pool_is_the_region_with_its_keys(tmp_path: Path) -> None:
    head = HEAD.replace('model = "8b"\n', "").replace('model = "32b"\n', "")
    keys = SMALL.replace('model = "8b"\n', "")
    whole = scenario(tmp_path, "whole")
    whole.write_text(head + "".join(f"[regions.{name}]\n{said}{keys}" for name, said in SIGNALS.items()))
    pooled = tmp_path / "pooled.toml"
    pooled.write_text(head + "".join(pools(name, all=keys) for name in SIGNALS))
    mine, theirs = (glbdes.simulate(path, engine="simpy", policy="eglb") for path in (pooled, whole))
    pd.testing.assert_frame_equal(mine.slots, theirs.slots)
    pd.testing.assert_frame_equal(mine.plans, theirs.plans)
    assert (table(mine)["pool"] == "all").all()
    pd.testing.assert_frame_equal(table(mine).drop(columns="pool"), table(theirs))


@pytest.mark.parametrize("engine", ENGINES)
def test_pools_of_other_models_serve_as_regions_of_their_own_would(mixed: Path, apart: Path, engine: str) -> None:
    together, single = (glbdes.simulate(path, engine=engine, policy="cost") for path in (mixed, apart))
    ours, theirs = table(together), table(single)
    named = ours["region"].astype(str) + "_" + ours["pool"].astype(str)
    assert named.tolist() == theirs["region"].astype(str).tolist()
    pd.testing.assert_frame_equal(ours.drop(columns=["region", "pool"]), theirs.drop(columns="region"))
    assert set(zip(ours["slo"], ours["pool"], strict=True)) == {("chat", "small"), ("deep", "large")}
    sums = single.slots.assign(region=single.slots["region"].astype(str).str.split("_").str[0])
    sums = sums.groupby(["slot", "region"], sort=False)
    for name in (
        "arrived",
        "served",
        "it_kwh",
        "host_kwh",
        "carbon_kg",
        "water_l",
        "cost_usd",
        "network_s",
        "waiting_s",
    ):
        np.testing.assert_allclose(together.slots[name], sums[name].sum().to_numpy(), rtol=1e-12)
    longest = sums["queue_max"].max().to_numpy()
    np.testing.assert_array_equal(together.slots["queue_max"], longest)


def test_both_engines_have_the_same_records_of_pools(alike: Path) -> None:
    settings = ['faults=[{region="here",start_h=0.5,end_h=1.2}]', "dispatch.rule=spillover", "dispatch.spill_queue=0"]
    simpy, fast = (glbdes.simulate(alike, engine=name, policy="eglb", overrides=settings) for name in ENGINES)
    pd.testing.assert_frame_equal(table(simpy), table(fast))
    pd.testing.assert_frame_equal(simpy.slots, fast.slots)
    assert set(table(simpy)["pool"].dropna()) == {"small", "more", "large"}


def test_plans_see_pools_of_one_model_as_one(alike: Path) -> None:
    world, apart = world_of(alike), world_of(alike, "regions.here.pools.2.model=32b", "slo.chat.model=8b")
    assert world.region_of is not None
    assert world.first_of is not None
    assert world.region_of.tolist() == [0, 0, 0, 1, 1]  # small, more, large; small, large
    assert world.first_of.tolist() == [0, 0, 2, 3, 4]
    assert not world.allowed[:, 1].any()
    assert world.capacity_rps[1] == 0
    assert world.capacity_rps[0] > apart.capacity_rps[0]
    plans = glbdes.simulate(alike, engine="fast", policy="uniform").plans
    assert np.allclose(plans.groupby(["slot", "gateway", "slo"], observed=True)["weight"].sum(), 1.0)


@pytest.mark.parametrize("norm", ["'inf'", "1", "2"])
def test_the_optimum_of_pools_is_that_of_sums_over_regions(alike: Path, mixed: Path, norm: str) -> None:
    for path in (alike, mixed):
        world = world_of(path, f"objective.norm={norm}", "objective.carbon_usd_per_t=50000")
        found, flows = offline.solve(world), offline.solve(world, merged=False)
        assert found.objective_usd == pytest.approx(flows.objective_usd, rel=1e-6)
        borne = summed(world.footprint_price_usd * np.stack([found.carbon_kg, found.water_l]), world.region_of)
        usd = found.cost_usd.sum() + np.linalg.norm(borne, ord=world.norm, axis=1).sum()
        assert found.objective_usd == pytest.approx(usd, rel=1e-9)
        free = offline.solve(replace(world, region_of=None)).objective_usd
        if norm == "1":
            assert found.objective_usd == pytest.approx(free, rel=1e-9)
        else:  # the largest region bears more than the largest pool
            assert found.objective_usd > free * 1.01 if norm == "'inf'" else found.objective_usd > free
        figures = optimum_figures.summary(world, ("here", "there"), by_request=True)
        assert sum(one["carbon_kg"] for one in figures["regions"].values()) == pytest.approx(found.carbon_kg.sum())


@pytest.mark.parametrize("policy", ["eglb", "eglb_simplex", "eglb_ahead", "eglb_chain", "receding_horizon", "cost"])
def test_no_policy_meters_less_than_the_bound(alike: Path, policy: str) -> None:
    overrides = ["objective.carbon_usd_per_t=50000"]
    run = glbdes.simulate(alike, engine="fast", policy=policy, overrides=overrides)
    reference = bound.reference(world_of(alike, *overrides), by_request=True)
    assert reference is not None
    assert run.summary["objective_usd"] > 0.99 * reference.usd
    duals = run.slots["carbon_dual_usd_per_kg"].to_numpy(dtype=float).reshape(-1, 2)
    if policy not in ("cost", "eglb"):  # prices of regions, whatever pools they have: on the simplex
        assert np.allclose(duals.sum(axis=1), 50.0, rtol=1e-6)


def test_multipliers_are_of_regions_and_not_of_pools() -> None:
    class View:
        region_of = np.array([0, 0, 1])
        footprint_price_usd = np.ones((2, 3))

    burden = Burden(View())  # type: ignore[arg-type]
    burden.add(np.array([[3.0, 3.0, 4.0], [1.0, 1.0, 5.0]]))
    assert burden.total_usd.tolist() == [[6.0, 4.0], [2.0, 5.0]]
    assert burden.squares.tolist() == [36.0, 25.0]
    assert leader(np.inf, burden.total_usd)[0].argmax() == 0


def test_a_cap_of_power_is_shared_by_the_pools_of_a_region(mixed: Path) -> None:
    cap = 'faults=[{region="here",kind="power_cap",max_kw=%s,start_h=0.0,end_h=1.0}]'
    with pytest.raises(ScenarioError, match=r"faults.0.max_kw = 0.1 kW, must be >= .* one replica of here.small"):
        world_of(mixed, cap % "0.1")
    scaling = world_of(mixed, cap % "9.0").scaling
    assert scaling is not None
    assert [one.region for one in scaling.caps] == [0, 1]


def test_a_cap_leaves_those_awake_that_take_the_least_for_what_they_serve(alike: Path) -> None:
    """One of each pool at least; then no other numbers at the same power serve more, but for whole replicas."""
    sets = [*(f"regions.here.pools.{n}.replicas=6" for n in range(3)), "dispatch.overload=allow"]
    cap = 'faults=[{region="here",kind="power_cap",max_kw=%g,start_h=0.0,end_h=1.0}]'
    told = r"faults.0.max_kw = 0.5 kW, must be >= .* one replica of here.small, and one of here.more at full batches"
    with pytest.raises(ScenarioError, match=told):
        world_of(alike, *sets, cap % 0.5)
    seen = []
    for max_kw in (3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 7.0, 8.0):
        scaling = world_of(alike, *sets, cap % max_kw).scaling
        assert scaling is not None
        seen.append([one.replicas for one in scaling.caps][:2])
        assert scaling.caps[0].region == 0
        assert scaling.caps[1].region == 1
    small, more = np.array(seen).T
    assert small.min() >= 1
    assert more.min() >= 1
    assert (np.diff(small) >= 0).all()
    assert ((more == 1) | (small == 6)).all()  # larger batches serve more a watt
    assert seen[-1] == [6, 6]


def test_a_cap_of_pools_of_one_model_is_the_capacity_that_is_left_of_both(alike: Path) -> None:
    cap = 'faults=[{region="here",kind="power_cap",max_kw=3.0,start_h=0.0,end_h=1.0}]'
    sets = ["regions.here.pools.1.replicas=4", "regions.here.pools.2.replicas=3", "dispatch.overload=allow"]
    world, free = world_of(alike, *sets, cap), world_of(alike, *sets)
    assert world.scaling is not None
    most = np.array([next((c.replicas for c in world.scaling.caps if c.region == r), 9) for r in (0, 1)])
    most = np.minimum(most, world.fleet.replicas[:2])
    assert (most < world.fleet.replicas[:2]).any()
    share = (most * world.scaling.replica_rps[:2]).sum()
    share /= (world.fleet.replicas[:2] * world.scaling.replica_rps[:2]).sum()
    found = awake.capacity_rps(world)
    assert found[0, 0] == pytest.approx(share * free.capacity_rps[0])
    assert (found[:, 1] == 0).all()
    assert found[2] == pytest.approx(free.capacity_rps)


@pytest.mark.parametrize("rule", ["follow", "planned"])
@pytest.mark.parametrize("choice", ["least_loaded", "in_order"])
def test_both_engines_have_the_same_records_of_pools_that_are_told_to_sleep(
    alike: Path, rule: str, choice: str
) -> None:
    settings = [f"scaling.rule={rule}", f"serving.pool_choice={choice}", "scaling.every_s=4", "scaling.cool_down_s=5"]
    settings += ["fleet.min_awake=0", "fleet.wake_s=1", "fleet.sleep_w=20"]
    settings += [f"regions.here.pools.{n}.replicas=4" for n in range(3)]
    settings += ['faults=[{region="here",kind="power_cap",max_kw=4.0,start_h=1.0,end_h=1.6}]']
    simpy, fast = (glbdes.simulate(alike, engine=name, policy="eglb_simplex", overrides=settings) for name in ENGINES)
    pd.testing.assert_frame_equal(table(simpy), table(fast))
    pd.testing.assert_frame_equal(simpy.slots, fast.slots)
    assert (fast.slots["awake_planned"] < 12).any()


@pytest.mark.parametrize("policy", ["eglb", "eglb_simplex", "cost", "nearest"])
@pytest.mark.parametrize("rule", ["follow", "planned"])
def test_no_policy_meters_less_than_the_bound_where_pools_are_told_to_sleep(
    alike: Path, policy: str, rule: str
) -> None:
    overrides = ["objective.carbon_usd_per_t=50000", f"scaling.rule={rule}", "fleet.min_awake=0", "fleet.sleep_w=20"]
    run = glbdes.simulate(alike, engine="fast", policy=policy, overrides=overrides)
    reference = bound.reference(world_of(alike, *overrides), by_request=True)
    assert reference is not None
    assert run.summary["objective_usd"] > 0.99 * reference.usd


def test_a_request_of_pools_that_sleep_is_priced_by_the_cheapest(alike: Path) -> None:
    world = world_of(alike, "scaling.rule=planned")
    assert world.scaling is not None
    assert world.added_kwh is not None
    shown, _ = awake.shown_kwh(world)
    each = world.added_kwh + awake.awake_kwh(world) / (world.scaling.aimed_rps * world.slot_s)
    assert shown[0] == shown[1] == each[:2].min()
    assert shown[2:] == pytest.approx(each[2:])
    assert world.scaling.cheapest is not None
    assert [r for r in world.scaling.cheapest.tolist() if r < 2] == np.argsort(each[:2]).tolist()


def test_a_gateway_without_the_model_of_a_class_is_told(mixed: Path) -> None:
    with pytest.raises(ScenarioError, match=r"slo.deep.model = '32b': no region that gateway 'west' may use serves it"):
        world_of(mixed, "regions.here.pools.1.model=8b", 'gateways.west.regions=["here"]', "dispatch.overload=allow")


def test_pools_are_sized_as_regions_of_their_own_would_be(mixed: Path, apart: Path, tmp_path: Path) -> None:
    """Pools of other models, which compete for nothing: the same fleet, and the same is missed with one fewer."""
    found = [
        size(path, ["regions.*.replicas"], ["ttft_p99_s <= 0.6"], seeds=2, policy="nearest", out=tmp_path / path.stem)
        for path in (mixed, apart)
    ]
    assert isinstance(found[0].value, dict)
    assert isinstance(found[1].value, dict)
    assert {str(name).replace(".", "_"): n for name, n in found[0].value.items()} == found[1].value
    mine, others = (answer.step for answer in found)
    assert mine is not None
    assert others is not None
    assert mine.judged == others.judged
    assert [step.verdict for step in found[0].fewer] == [step.verdict for step in found[1].fewer]
    assert [*found[0].value] == ["here.small", "here.large", "there.small", "there.large"]
    chosen, _ = load(tmp_path / "mixed" / "size.toml")
    assert {place: pool.replicas for place, pool in labels(chosen).items()} == found[0].value


def test_single_pools_are_varied_and_the_others_stay(alike: Path, tmp_path: Path) -> None:
    plan = load(alike)[0]
    assert varied(["regions.here.pools.2.replicas"], plan) == {"here.more": 1}
    assert varied(["regions.here.replicas"], plan) == {"here.small": 2, "here.more": 1, "here.large": 1}
    with pytest.raises(ScenarioError, match=r"'regions.here.pools.3.replicas': no such pool; regions.here has 3"):
        varied(["regions.here.pools.3.replicas"], plan)
    with pytest.raises(ScenarioError, match=r"'regions.hers.pools.0.replicas': no such region; did you mean 'here'"):
        varied(["regions.hers.pools.0.replicas"], plan)
    keys = [f"regions.here.pools.{n}.replicas" for n in (0, 2)]
    answer = size(alike, keys, ["regions.here.utilisation <= 0.9"], seeds=2, out=tmp_path / "out")
    assert isinstance(answer.value, dict)
    assert [*answer.value] == ["here.small", "here.more"]
    chosen = labels(load(tmp_path / "out" / "size.toml")[0])
    assert {place: chosen[place].replicas for place in answer.value} == answer.value
    assert chosen["there.small"].replicas == 2
