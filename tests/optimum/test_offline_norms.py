"""The offline optimum with regions' weights, other norms and a price of delay, held to a certificate of its own."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest

from glbdes.optimum import offline
from glbdes.policy import transport
from glbdes.world import World, meter
from glbdes.world.waiting import Waiting
from tests.optimum.test_offline import random_world
from tests.paper import PARTIAL, paper_world
from tests.views import make_view

NORMS = (1.0, 2.0, inf)


def weighted_world(seed: int, norm: float, delay: bool, **options: object) -> World:
    """A random world with random weights, and delay at a random price with random pieces."""
    world = random_world(seed, **options)
    rng = np.random.default_rng(seed + 1000)
    world = replace(world, norm=norm, equity_weight=rng.uniform(0.0, 3.0, (2, world.regions)))
    if not delay:
        return world
    shares, wait_s = (
        rng.dirichlet(np.ones(3), world.regions).T,
        np.cumsum(rng.uniform(0, 2, (3, world.regions)), axis=0),
    )
    latency_ns = rng.integers(0, 10**8, world.allowed.shape)
    return replace(
        world, latency_ns=latency_ns, delay_usd_per_s=1e-4, waiting=Waiting(shares * world.capacity_rps, wait_s)
    )


def best_at_prices(world: World, price_usd: np.ndarray) -> float:
    """What the cheapest plans come to if footprints cost `price_usd` [k, r], whatever their norm; host power apart."""
    value = 0.0
    for slot in range(world.slots):
        one = meter.footprint(world.it_kwh_per_request * world.slot_s, world.signals, slot)
        price = one.cost_usd + price_usd[0] * one.carbon_kg + price_usd[1] * one.water_l  # of a request/s for a slot
        view = make_view(world.expected_rps[slot], world.capacity_rps, mask=world.allowed, latency_ns=world.latency_ns)
        delay_usd = world.delay_usd_per_s * world.slot_s
        view = replace(view, delay_usd_per_s=delay_usd, waiting=world.waiting)
        rate = view.demand_rps[:, None] * transport.priced(price, view)
        value += float((rate * (price + 2 * delay_usd * view.latency_s)).sum())
        if world.waiting is not None:
            value += delay_usd * float(world.waiting.requests(rate.sum(axis=0)).sum())
    return value


@pytest.mark.parametrize("delay", [False, True])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("seed", range(12))
def test_its_prices_prove_it(seed: int, norm: float, delay: bool) -> None:
    """Multipliers in the norm's dual ball bound every plan from below, and these do so at the optimum."""
    world = weighted_world(seed, norm, delay)
    found = offline.solve(world)
    prices = np.stack([found.carbon_usd_per_kg, found.water_usd_per_l])
    usd = world.footprint_price_usd
    gamma = np.where(usd > 0, prices / np.where(usd > 0, usd, 1.0), 0.0)
    assert (np.linalg.norm(gamma, {1.0: inf, 2.0: 2.0, inf: 1.0}[norm], axis=1) <= 1 + 1e-6).all()
    tolerance = 1e-5 if norm == 2 else 1e-7
    assert best_at_prices(world, prices) == pytest.approx(found.objective_usd, rel=tolerance)
    assert found.dual_usd == pytest.approx(found.objective_usd, rel=1e-6 if norm == 2 else 1e-7)


@pytest.mark.parametrize("delay", [False, True])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("seed", range(12))
def test_merged_and_unmerged_agree(seed: int, norm: float, delay: bool) -> None:
    world = weighted_world(seed, norm, delay, host_w=300.0)
    apart = offline.solve(world, merged=False)
    assert offline.solve(world).objective_usd == pytest.approx(apart.objective_usd, rel=1e-6 if norm == 2 else 1e-7)


@pytest.mark.parametrize("allowed", [True, PARTIAL], ids=["full", "partial"])
def test_norms_on_the_authors_data(allowed: object) -> None:
    """A norm of ten footprints: their largest <= their length <= their sum, and so the optima."""
    world = paper_world(allowed)
    largest, length, total = (offline.solve(replace(world, norm=norm)).objective_usd for norm in (inf, 2.0, 1.0))
    assert largest < length < total
    doubled = replace(world, equity_weight=np.full((2, 10), 2.0))
    twice = replace(world, carbon_usd_per_kg=2 * world.carbon_usd_per_kg, water_usd_per_l=2 * world.water_usd_per_l)
    assert offline.solve(doubled).objective_usd == pytest.approx(offline.solve(twice).objective_usd, rel=1e-9)


def test_dear_delay_keeps_requests_at_home() -> None:
    world = replace(paper_world(slots=48), delay_usd_per_s=1e3)
    found = offline.solve(world)
    np.testing.assert_allclose(found.weights, np.broadcast_to(np.eye(10), found.weights.shape), atol=1e-9)
    assert found.network_s == 0.0
