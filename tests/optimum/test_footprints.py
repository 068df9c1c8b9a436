"""The offline optimum with k footprints: against the whole programme written for SciPy, and what changes nothing."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import linprog

from glbdes.optimum import offline
from glbdes.world import World
from glbdes.world.footprints import Footprint
from tests.further import alike, flow, plans

THREE = (Footprint("health", "usd", 0.9),)
FOUR = (*THREE, Footprint("scarcity", "l", 0.4))


def whole_programme_usd(world: World) -> float:
    """(O) in flows, a variable for each slot, gateway and region and for each footprint's largest."""
    signals, prices = world.signals, world.footprint_price_usd
    per_kwh = np.stack(
        (
            signals.pue * signals.price_usd_per_kwh,
            signals.pue * signals.carbon_g_per_kwh / 1000,
            signals.wue_l_per_kwh + signals.pue * signals.ewif_l_per_kwh,
            *np.moveaxis(signals.further_per_kwh, 1, 0),
        )
    )
    amounts = per_kwh * world.planned_kwh_per_request * world.slot_s
    always = (per_kwh * world.base_kwh).sum(axis=1)
    slots, gateways, regions, kinds = world.slots, world.gateways, world.regions, len(prices)
    flows = slots * gateways * regions
    slot, gateway, region = (one.ravel() for one in np.indices((slots, gateways, regions)))
    cost = np.concatenate((amounts[0, slot, region], np.ones(kinds)))
    upper, bound = np.zeros((kinds * regions + slots * regions, flows + kinds)), []
    for k in range(kinds):
        upper[k * regions + region, np.arange(flows)] = prices[k, region] * amounts[1 + k, slot, region]
        upper[k * regions : (k + 1) * regions, flows + k] = -1.0
        bound.append(-prices[k] * always[1 + k])
    upper[kinds * regions + slot * regions + region, np.arange(flows)] = 1.0
    bound.append(np.tile(world.capacity_rps, slots))
    equal = np.zeros((slots * gateways, flows + kinds))
    equal[slot * gateways + gateway, np.arange(flows)] = 1.0
    highest = np.where(world.allowed[gateway, region], np.inf, 0.0)
    limits = [*((0, most) for most in highest), *((None, None) for _ in range(kinds))]
    found = linprog(cost, upper, np.concatenate(bound), equal, world.expected_rps.ravel(), limits)
    assert found.status == 0
    return float(found.fun + always[0].sum())


@pytest.mark.parametrize("merged", [True, False])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("further", [THREE, FOUR], ids=["three", "four"])
def test_the_optimum_is_that_of_the_whole_programme(seed: int, further: tuple[Footprint, ...], merged: bool) -> None:
    world = flow(seed, further, slots=5, base=True)
    world = replace(world, equity_weight=np.random.default_rng(seed).uniform(0.5, 2.0, (2 + len(further), 4)))
    found = offline.solve(world, merged=merged)
    assert found.objective_usd == pytest.approx(whole_programme_usd(world), rel=1e-9)
    assert found.dual_usd == pytest.approx(found.objective_usd, rel=1e-7)
    # The prices of each footprint sum to mu, region by region of its weighted one.
    told = (found.further_usd / world.equity_weight[2:]).sum(axis=1)
    np.testing.assert_allclose(told, [one.usd for one in further], rtol=1e-6)
    requests = (found.weights * world.expected_rps[:, :, None]).sum(axis=1) * world.slot_s
    kwh = requests * world.it_kwh_per_request + world.base_kwh
    np.testing.assert_allclose(found.further, (kwh[:, None] * world.signals.further_per_kwh).sum(axis=0), rtol=1e-9)


@pytest.mark.parametrize("norm", [np.inf, 1.0, 2.0])
@pytest.mark.parametrize("kind", ["split", "swapped", "told only"])
def test_the_optimum_is_the_same_however_footprints_are_named(kind: str, norm: float) -> None:
    here, there = (replace(world, norm=norm) for world in alike(4)[kind])
    one, other = offline.solve(here), offline.solve(there)
    if kind == "told only":
        assert one.objective_usd == other.objective_usd
        np.testing.assert_array_equal(one.weights, other.weights)
        assert other.further.sum() > 0
        assert not other.further_usd.any()
    else:
        assert one.objective_usd == pytest.approx(other.objective_usd, rel=1e-6 if norm == 2 else 1e-9)
        np.testing.assert_allclose(one.carbon_kg, other.carbon_kg, rtol=1e-2 if norm == 2 else 1e-6)


def test_a_replayed_optimum_meters_the_value_of_a_flow() -> None:
    world = flow(5, FOUR)
    found = offline.solve(world)
    np.testing.assert_allclose(plans(world, offline.Replay(found.weights)), found.weights, atol=1e-12)
