"""Policies with k footprints: what is split, swapped or only told leads to the same plans."""

import numpy as np
import pytest

from glbdes.errors import RefusalError
from glbdes.policy import load
from glbdes.world.footprints import Footprint
from tests.further import alike, flow, plans
from tests.worlds import Fixed

LEARNING = {
    "eglb": {},
    "eglb planned": {"feedback": "planned", "rule": "sqrt"},
    "eglb as published": {"map": "euclidean"},
    "eglb_simplex": {},
    "eglb_ahead": {"window_h": 3},
    "eglb_chain": {},
    "receding_horizon": {"window_h": 6},
}


@pytest.mark.parametrize("kind", ["split", "swapped", "told only"])
@pytest.mark.parametrize("name", LEARNING)
def test_plans_are_the_same_however_footprints_are_named(name: str, kind: str) -> None:
    """Receding horizon is told the future: where a window repeats one slot, programmes have many optima."""
    future = name == "receding_horizon"
    arguments = [LEARNING[name] | ({"truth": world} if future else {}) for world in alike(3)[kind]]
    policies = [load(name.split()[0], one) for one in arguments]
    found = [plans(world, policy) for world, policy in zip(alike(3)[kind], policies, strict=True)]
    assert np.unique(found[0].round(6), axis=0).shape[0] > 3  # a plan that moves
    if kind == "told only":
        np.testing.assert_array_equal(*found)
    else:
        np.testing.assert_allclose(*found, atol=1e-9)


@pytest.mark.parametrize("name", LEARNING)
def test_a_price_on_a_third_footprint_changes_plans_and_has_duals(name: str) -> None:
    free, dear = (flow(3, (Footprint("health", "usd", usd),)) for usd in (0.0, 50.0))
    policy = load(name.split()[0], LEARNING[name])
    assert not np.allclose(plans(free, load(name.split()[0], LEARNING[name])), plans(dear, policy))
    assert list(policy.duals) == ["carbon", "water", "health"]
    assert 0 < policy.duals["health"].sum() <= 50.0 * 4


def test_a_sum_of_prices_reckons_with_a_further_footprint_by_name() -> None:
    world = flow(3, (Footprint("health", "usd", 0.0),))
    only = {"carbon_usd_per_t": 0.0, "water_usd_per_m3": 0.0}
    health = [
        (plans(world, load("cost_carbon_water", only | more)) * world.expected_rps[:, :, None]).sum(axis=1)
        for more in ({}, {"further": {"health": 1e6}})
    ]
    per_request = world.signals.further_per_kwh[:, 0] * world.it_kwh_per_request
    assert (health[1] * per_request).sum() < (health[0] * per_request).sum()
    with pytest.raises(RefusalError, match=r"further\.helth: no such footprint, must be one of health; did you mean"):
        plans(world, load("cost_carbon_water", {"further": {"helth": 1.0}}))
    with pytest.raises(RefusalError, match=r"further\.health: no such footprint, the scenario names none"):
        plans(flow(3), load("cost_carbon_water", {"further": {"health": 1.0}}))


def test_constants_of_the_paper_are_asked_for_each_footprint() -> None:
    world = flow(3, (Footprint("health", "usd", 1.0),))
    with pytest.raises(RefusalError, match=r"has 2 values, must be 3: of carbon, water, health"):
        plans(world, load("eglb", {"z_max_usd": [1.0, 1.0]}))
    assert plans(world, load("eglb", {"z_max_usd": [1.0, 1.0, 2.0]})).shape == (12, 3, 4)


def test_views_show_every_footprint_so_far_and_of_a_request() -> None:
    world = flow(3, (Footprint("health", "usd", 1.0), Footprint("told", "kg", 0.0)), base=True)
    seen = []

    class Looks(Fixed):
        def plan(self, view):
            seen.append(view)
            return super().plan(view)

        def observe(self, outcome):
            told.append(outcome.footprint)

    told: list[np.ndarray] = []
    plans(world, Looks(np.ones((3, 4))))
    view = seen[5]
    assert view.footprints == ("carbon", "water", "health", "told")
    assert view.footprint_price_usd[:, 0].tolist() == [1.5, 0.06, 1.0, 0.0]
    np.testing.assert_allclose(view.footprint, np.sum(told[:5], axis=0))
    per_request = world.signals.further_per_kwh[5] * world.it_kwh_per_request
    np.testing.assert_array_equal(view.footprint_per_request[2:], per_request)
    np.testing.assert_array_equal(view.past.further_per_kwh, world.signals.further_per_kwh[:5])
    np.testing.assert_allclose(view.base_footprint[2:], world.base_kwh * world.signals.further_per_kwh[5])
    assert not view.further_per_kwh.flags.writeable
    assert not view.further.flags.writeable
