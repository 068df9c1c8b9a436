"""The window of known prices and forecasts, and what looking ahead is worth on the authors' data."""

from dataclasses import replace

import numpy as np
import pytest

from glbdes.optimum import offline
from glbdes.policy import transport
from glbdes.policy.ahead import EGLBAhead
from glbdes.policy.forecast import FORECASTS, persistence
from glbdes.policy.window import Window, expected, served
from glbdes.world import View, World
from glbdes.world.view import Shown
from tests.paper import PARTIAL, named, objective_usd, paper_world, par, totals
from tests.policy.test_eglb import outcome, step_view


def day_ahead(world: World, published_h: int = 13) -> World:
    """`world`, an hourly one from midnight on, with the next day's prices published at an hour of each day."""
    hour = np.arange(world.slots)
    end = 24 * (hour // 24 + 1 + (hour % 24 >= published_h))
    return replace(world, price_ahead_slots=np.minimum(end, world.slots) - hour - 1)


def view_at(world: World, slot: int) -> View:
    nothing = np.zeros(world.regions)
    up = np.ones(world.regions, dtype=bool)
    shown = Shown(world)
    shown.past_demand_rps[:slot] = world.expected_rps[:slot]
    return shown.view(slot, world.expected_rps[slot], up, nothing, nothing, nothing)


def test_view_holds_the_prices_known_ahead_and_no_others():
    world = day_ahead(paper_world(slots=60))
    for slot, known in ((0, 23), (12, 11), (13, 34), (23, 24), (36, 11), (37, 22), (59, 0)):
        ahead = view_at(world, slot).price_ahead_usd_per_kwh
        np.testing.assert_array_equal(ahead, world.signals.price_usd_per_kwh[slot + 1 : slot + 1 + known])
    assert view_at(paper_world(slots=3), 0).price_ahead_usd_per_kwh.shape == (0, 10)


def test_window_has_known_prices_then_forecasts_and_the_present_first():
    world = day_ahead(paper_world(slots=100))
    view, ahead = view_at(world, 40), 30  # prices are known to slot 71
    assert len(view.price_ahead_usd_per_kwh) == 31
    window = expected(view, ahead, persistence)
    kwh, signals = 1000.0 / 3600, world.signals  # of a unit of load for a second
    np.testing.assert_allclose(window.cost_usd, kwh * signals.price_usd_per_kwh[40:71])
    carbon = 1.5 * kwh * signals.carbon_g_per_kwh[40] / 1000
    np.testing.assert_allclose(window.footprint_usd[0], np.tile(carbon, (31, 1)))
    np.testing.assert_allclose(window.footprint_usd[1, 5], 0.06 * kwh * signals.wue_l_per_kwh[40])
    np.testing.assert_allclose(window.requests, np.tile(world.expected_rps[40] * 3600, (31, 1)))
    further = expected(view, 40, persistence)
    np.testing.assert_allclose(further.cost_usd[32:], np.tile(kwh * signals.price_usd_per_kwh[40], (9, 1)))


@pytest.mark.parametrize("seed", range(20))
def test_slots_at_once_are_the_transport_programmes_one_by_one(seed):
    rng = np.random.default_rng(seed)
    n, g, r = 5, 3, 4
    mask = np.ones((g, r), dtype=bool) if seed % 2 else rng.random((g, r)) < 0.7
    mask[:, 0] = True
    view = replace(step_view(), capacity_rps=rng.uniform(0, 2, r) + np.eye(r)[0], mask=mask)
    requests = rng.uniform(0, 3600 * 2, (n, g)) * rng.integers(0, 2, (n, 1))  # too many for some, none in some
    price = rng.normal(size=(n, r))
    window = Window(price, np.zeros((2, n, r)), requests, np.zeros((2, n, r)))
    for slot, found in enumerate(served(price, window, view)):
        one = transport.solve(price[slot], requests[slot], view.capacity_rps * 3600, mask)
        np.testing.assert_allclose(found, one.rate.sum(axis=0), atol=1e-8)


def test_first_step_by_hand():
    """One slot, nothing known ahead: a step of `damping` from 1/2 towards softmax of the slot's own footprints."""
    policy = EGLBAhead(step=0.8, damping=0.5)
    policy.plan(replace(step_view(price_usd_per_kwh=[0.1, 0.3]), slot=0))
    odds = np.exp(0.8 * np.array([1.0, 0.2]))  # footprints in units of the largest; all 4 slots are left
    np.testing.assert_allclose(policy.duals["carbon"], 1.5 * (0.25 + 0.5 * odds / odds.sum()))


def test_metered_feedback_learns_from_outcomes_only():
    duals = []
    for told in ([1.0, 1.0], [1.0, 4.0]):
        policy = EGLBAhead(feedback="metered")
        policy.plan(step_view())
        policy.observe(outcome(told))
        policy.plan(replace(step_view(), slot=1))
        duals.append(policy.duals["carbon"][1])
    assert duals[0] < duals[1]


@pytest.mark.parametrize(
    "arguments",
    [{"step": 0.0}, {"damping": 0.0}, {"damping": 1.1}, {"forecast": "oracle"}, {"window_h": -1.0}, {"feedback": "x"}],
)
def test_arguments_out_of_range_are_named(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        EGLBAhead(**arguments)


@pytest.mark.parametrize("name", FORECASTS)
def test_every_forecast_serves(name):
    world = day_ahead(paper_world(slots=50))
    assert objective_usd(totals(world, named("eglb_ahead", forecast=name, window_h=30.0))) > 0


@pytest.mark.parametrize("allowed", [True, pytest.param(PARTIAL, marks=pytest.mark.slow)], ids=["full", "partial"])
def test_prices_known_a_day_ahead_bring_it_within_one_percent_on_the_authors_data(allowed):
    world = paper_world(allowed)
    least = offline.solve(world).objective_usd
    blind = objective_usd(totals(world, named("eglb_simplex")))
    reached = totals(day_ahead(world), named("eglb_ahead"))
    assert 1.002 < objective_usd(reached) / least < 1.01
    assert objective_usd(reached) < blind - 0.003 * least
    assert par(reached["carbon"]) < 1.15
    assert par(reached["water"]) < 1.35
