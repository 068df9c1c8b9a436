"""Pools of replicas: whose keys count, what they can do, what a request takes there."""

import pytest

from glbdes import scenario
from glbdes.errors import ScenarioError
from glbdes.hardware import profile
from glbdes.hardware.physics import NEVER_NS
from glbdes.units import J_PER_KWH
from glbdes.workload import lengths
from glbdes.world.build import build
from tests.world.built import SHORT, THREE, made


def test_a_regions_own_keys_go_before_those_of_the_fleet_and_of_the_profile() -> None:
    settings = ("fleet.replicas=3", "fleet.max_batch=32", "regions.sweden.replicas=5", "regions.oregon.idle_w=0")
    world = made("three", SHORT, *settings, "regions.singapore.kv_tokens=50000", "regions.sweden.max_queue=0")
    measured = profile.load("h100_llama8b", None)
    assert world.fleet.replicas.tolist() == [3, 5, 3]
    assert world.fleet.max_batch.tolist() == [32, 32, 32]
    assert world.fleet.idle_w.tolist() == [0.0, measured.idle_w, measured.idle_w]
    assert world.fleet.kv_tokens.tolist() == [measured.kv_tokens, measured.kv_tokens, 50000]
    assert world.fleet.max_queue.tolist() == [NEVER_NS, 0, NEVER_NS]


def test_regions_may_have_different_profiles() -> None:
    world = made("three", SHORT, "regions.sweden.profile=h200_llama8b")
    assert world.fleet.profile.tolist() == [0, 1, 0]
    assert world.fleet.prefill_s.shape == world.fleet.prefill_j.shape
    for row, name in enumerate(("h100_llama8b", "h200_llama8b")):
        seconds, joules = profile.load(name, None).prefill_table(4096)
        assert world.fleet.prefill_s[row, :4097] == pytest.approx(seconds)
        assert world.fleet.prefill_j[row, :4097] == pytest.approx(joules)
    assert world.fleet.a_s[1] == profile.load("h200_llama8b", None).a_s


def test_every_prompt_that_can_come_has_a_prefill_time() -> None:
    world = made("three", SHORT, "workload.lengths.max_tokens=5000")
    assert world.fleet.prefill_s.shape == (1, 5001)
    assert (world.fleet.prefill_s[:, 1:] > 0).all()


def test_a_batch_that_nobody_measured_is_refused() -> None:
    largest = profile.load("h100_llama8b", None).max_batch
    made("three", SHORT, f"regions.sweden.max_batch={largest}")
    with pytest.raises(ScenarioError, match=rf"regions\.sweden\.max_batch = {largest + 1} .* must be <= {largest}, "):
        made("three", SHORT, f"regions.sweden.max_batch={largest + 1}")


def test_capacity_is_that_of_all_replicas_and_what_plans_may_use_of_it() -> None:
    loaded, path = scenario.load(THREE, [SHORT, "fleet.replicas=4", "dispatch.max_utilisation=0.8"])
    world = build(loaded, path.parent)
    measured = profile.load("h100_llama8b", None)
    prompt, output = lengths.mix(loaded.workload.lengths, path.parent)
    one = profile.capacity_rps(measured, prompt, output, measured.max_batch)
    assert world.capacity_rps == pytest.approx(0.8 * 4 * one)
    joules = profile.it_j_per_request(measured, prompt, output, measured.max_batch)
    assert world.it_kwh_per_request == pytest.approx(joules / J_PER_KWH)
    added = profile.marginal_j(measured, prompt, output, measured.max_batch, measured.idle_w)
    assert 0 < added < joules
    assert world.marginal_kwh == pytest.approx(added / J_PER_KWH)
    assert world.rest_w == pytest.approx(4 * measured.idle_w)
    sleepy, _ = scenario.load(THREE, [SHORT, "fleet.sleep_after_s=5.0", "fleet.wake_s=1.0"])
    replicas = sleepy.fleet.replicas or 1
    assert build(sleepy, path.parent).rest_w == pytest.approx(replicas * measured.sleep_w)
