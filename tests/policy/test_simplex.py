"""Multiplicative weights on the simplices: a step by hand, invariances, and what they reach on real and drawn data."""

from dataclasses import replace

import numpy as np
import pytest

from glbdes.engine import fluid
from glbdes.optimum import offline
from glbdes.policy.simplex import EGLBSimplex
from tests.paper import PARTIAL, named, objective_usd, paper_world, par, totals
from tests.policy.test_eglb import outcome, step_view
from tests.worlds import ListSink


def test_first_steps_by_hand():
    policy = EGLBSimplex(step=0.8, feedback="planned")
    weights = policy.plan(step_view(price_usd_per_kwh=[0.1, 0.3]))
    np.testing.assert_allclose(policy.duals["carbon"], [0.75, 0.75])  # mu / 2 each: nothing is known yet
    np.testing.assert_allclose(weights, [[0.75, 0.25]])  # 0.1 + 0.375 + 0.03 < 0.3 + 0.225 + 0.03
    policy.plan(replace(step_view(), slot=1))
    # Footprints: 1.5 * 500 and 0.5 * 300 g/s, so in units of the largest 1 and 0.2; 3 of 4 slots are left.
    odds = np.exp(0.8 * np.sqrt(4 / 3) * np.array([1.0, 0.2]))
    np.testing.assert_allclose(policy.duals["carbon"], 1.5 * odds / odds.sum())
    odds = np.exp(0.8 * np.sqrt(4 / 3) * np.array([1.0, 1 / 3]))
    np.testing.assert_allclose(policy.duals["water"], 0.06 * odds / odds.sum())


def test_a_lead_counts_for_more_when_less_time_is_left():
    policy = EGLBSimplex(feedback="planned")
    policy.plan(step_view())
    policy.feedback = "metered"  # nothing is learnt from here on
    leads = []
    for slot in (1, 2, 3):
        policy.plan(replace(step_view(), slot=slot))
        leads.append(policy.duals["carbon"].max())
    assert leads == sorted(leads)
    assert leads[0] < leads[-1]


def test_metered_feedback_learns_from_outcomes_only():
    policy = EGLBSimplex(step=0.8, feedback="metered")
    policy.plan(step_view())
    policy.plan(replace(step_view(), slot=1))
    np.testing.assert_allclose(policy.duals["carbon"], [0.75, 0.75])
    policy.observe(outcome([1.0, 4.0]))
    policy.plan(replace(step_view(), slot=2))
    odds = np.exp(0.8 * np.sqrt(2) * np.array([0.25, 1.0]))
    np.testing.assert_allclose(policy.duals["carbon"], 1.5 * odds / odds.sum())


def test_a_footprint_without_price_has_no_dual():
    policy = EGLBSimplex(feedback="planned")
    for slot in range(3):
        policy.plan(
            replace(step_view(), slot=slot, footprint_price_usd=step_view().footprint_price_usd * [[0.0], [1.0]])
        )
    np.testing.assert_array_equal(policy.duals["carbon"], [0, 0])
    assert policy.duals["water"].max() > 0.03


@pytest.mark.parametrize("arguments", [{"step": 0.0}, {"step": np.inf}, {"feedback": "guessed"}])
def test_arguments_out_of_range_are_named(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        EGLBSimplex(**arguments)


def test_defaults_do_not_depend_on_units_of_load_or_money():
    world = paper_world(slots=100)
    small = replace(
        world,
        capacity_rps=world.capacity_rps * 1e-6,
        expected_rps=world.expected_rps * 1e-6,
        signals=replace(world.signals, price_usd_per_kwh=world.signals.price_usd_per_kwh * 64),
        carbon_usd_per_kg=world.carbon_usd_per_kg * 64,
        water_usd_per_l=world.water_usd_per_l * 64,
    )
    small = replace(small, seen=small.signals)
    sinks = ListSink(), ListSink()
    for one, sink in zip((world, small), sinks, strict=True):
        fluid.run(one, EGLBSimplex(), sink, policy_name="eglb_simplex")
    for here, there in zip(*(sink.slots for sink in sinks), strict=True):
        np.testing.assert_allclose(there.weights, here.weights, atol=1e-6)


@pytest.mark.parametrize("allowed", [True, PARTIAL], ids=["full", "partial"])
def test_within_one_and_a_half_percent_of_the_optimum_on_the_authors_data(allowed):
    """By the default step, which was chosen on synthetic signals; eGLB as published comes to 2.6 %."""
    world = paper_world(allowed)
    reached = totals(world, named("eglb_simplex"))
    assert 1.005 < objective_usd(reached) / offline.solve(world).objective_usd < 1.016
    assert par(reached["carbon"]) < 1.2
    assert par(reached["water"]) < 1.4
