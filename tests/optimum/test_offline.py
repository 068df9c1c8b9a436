"""The offline optimum: the authors' figure, certificates without HiGHS, and the programme written out in full."""

from dataclasses import replace
from types import SimpleNamespace

import highspy
import numpy as np
import pytest
from scipy.optimize import linprog

from glbdes.engine import fluid
from glbdes.errors import InfeasibleError, InvariantError
from glbdes.optimum import linear, offline
from glbdes.policy import BUILT_IN, load, transport
from glbdes.world import World, meter
from tests.paper import PARTIAL, objective_usd, paper_world, par, totals
from tests.worlds import ListSink, make_fleet, make_requests, make_signals, make_world


def random_world(seed: int, *, host_w: float = 0.0, outage: bool = False) -> World:
    """Up to 6 slots of 4 gateways and 4 regions, masked; demand that fits."""
    rng = np.random.default_rng(seed)
    slots, gateways, regions = rng.integers(1, 7), rng.integers(1, 5), rng.integers(2, 5)
    shape = (slots, regions)
    allowed = rng.random((gateways, regions)) < 0.7
    allowed[:, -1] = True
    capacity = rng.uniform(1.0, 2.0, regions)
    capacity[-1] = gateways * 2.0
    world = make_world(
        make_requests([]),
        slots=slots,
        gateways=gateways,
        regions=regions,
        allowed=allowed,
        capacity_rps=capacity,
        it_kwh_per_request=rng.uniform(1e-4, 3e-4, regions),
        fleet=make_fleet(regions, host_w=host_w, replicas=rng.integers(1, 4, regions)),
        outages=[(0, 0, 3600 * 10**9)] if outage else [],
        signals=make_signals(
            slots,
            regions,
            price_usd_per_kwh=rng.uniform(-0.02, 0.3, shape),
            carbon_g_per_kwh=rng.uniform(50, 700, shape),
            wue_l_per_kwh=rng.uniform(0.2, 3, shape),
            ewif_l_per_kwh=rng.uniform(1, 6, shape),
            pue=rng.uniform(1.05, 1.5, shape),
        ),
    )
    return replace(world, expected_rps=rng.uniform(0.0, 2.0, (slots, gateways)))


def objective(world: World, policy) -> float:
    """The objective (eq. 9 of docs/model.md) of a policy in the fluid world, through engine and meter."""
    sink = ListSink()
    fluid.run(world, policy, sink, policy_name="policy")
    parts = [meter.footprint(meter.slot_energy(world, r).it_kwh, world.signals, r.slot) for r in sink.slots]
    usd, kg, litres = (sum(getattr(p, name) for p in parts) for name in ("cost_usd", "carbon_kg", "water_l"))
    return float(usd.sum() + world.carbon_usd_per_kg * kg.max() + world.water_usd_per_l * litres.max())


def bound(world: World, optimum: offline.Optimum) -> float:
    """Lagrange's lower bound of (O) at the optimum's dual prices, slot by slot with our own transport solver.

    For any prices that sum to mu, max_r footprint >= sum_r price * footprint / mu, so no plan costs less than this.
    """
    signals = world.signals
    total = 0.0
    for slot in range(world.slots):
        kwh = meter.footprint(world.it_kwh_per_request * world.slot_s, signals, slot)
        price = kwh.cost_usd + optimum.carbon_usd_per_kg * kwh.carbon_kg + optimum.water_usd_per_l * kwh.water_l
        flow = transport.solve(price, world.expected_rps[slot], world.capacity_rps, world.allowed)
        assert flow.factor == pytest.approx(1.0, abs=1e-9)
        total += float((flow.rate * price).sum())
    return total


def test_the_authors_figure_and_its_row_of_the_table():
    world = paper_world()
    optimum = offline.solve(world)
    assert optimum.objective_usd == pytest.approx(623661.35, rel=1e-7)
    row = [optimum.cost_usd.mean(), optimum.water_l.mean() / 1e3, optimum.water_l.max() / 1e3, par(optimum.water_l)]
    row += [optimum.carbon_kg.mean() / 1e3, optimum.carbon_kg.max() / 1e3, par(optimum.carbon_kg)]
    np.testing.assert_allclose(row, [33669.5, 1432.8, 1818.7, 1.269, 104.91, 118.56, 1.130], rtol=5e-4)


@pytest.mark.parametrize("allowed", [True, PARTIAL], ids=["full", "partial"])
def test_primal_is_dual_is_lagranges_bound_is_the_replay(allowed):
    world = paper_world(allowed)
    optimum = offline.solve(world)
    assert optimum.dual_usd == pytest.approx(optimum.objective_usd, rel=1e-9)
    assert bound(world, optimum) == pytest.approx(optimum.objective_usd, rel=1e-8)
    assert objective_usd(totals(world, offline.Replay(optimum.weights))) == pytest.approx(
        optimum.objective_usd, rel=1e-8
    )
    assert optimum.carbon_usd_per_kg.sum() == pytest.approx(1.5)
    assert optimum.water_usd_per_l.sum() == pytest.approx(0.06)


def test_less_flexibility_costs_more():
    assert offline.solve(paper_world()).objective_usd < offline.solve(paper_world(PARTIAL)).objective_usd


@pytest.mark.parametrize("seed", range(25))
def test_merged_gateways_lose_nothing_against_the_programme_in_full(seed):
    world = random_world(seed)
    s, g, r = world.slots, world.gateways, world.regions
    kwh = [meter.footprint(world.it_kwh_per_request * world.slot_s, world.signals, slot) for slot in range(s)]
    usd, kg, litres = (
        np.repeat(np.array([getattr(k, name) for k in kwh])[:, None, :], g, axis=1)
        for name in ("cost_usd", "carbon_kg", "water_l")
    )
    n = s * g * r
    region = np.tile(np.eye(r), s * g)  # [r, n]
    upper = np.vstack(
        [
            np.hstack([region * kg.ravel(), -np.ones((r, 1)), np.zeros((r, 1))]),
            np.hstack([region * litres.ravel(), np.zeros((r, 1)), -np.ones((r, 1))]),
            np.hstack([np.kron(np.eye(s), np.tile(np.eye(r), g)), np.zeros((s * r, 2))]),
        ]
    )
    upper_bound = np.concatenate([np.zeros(2 * r), np.tile(world.capacity_rps, s)])
    equal = np.hstack([np.kron(np.eye(s * g), np.ones(r)), np.zeros((s * g, 2))])
    bounds = [(0, None if free else 0) for free in np.tile(world.allowed.ravel(), s)] + [(0, None)] * 2
    cost = np.concatenate([usd.ravel(), [world.carbon_usd_per_kg, world.water_usd_per_l]])
    found = linprog(cost, upper, upper_bound, equal, world.expected_rps.ravel(), bounds)
    assert len(cost) == n + 2
    assert offline.solve(world).objective_usd == pytest.approx(found.fun, rel=1e-6)


@pytest.mark.parametrize("seed", range(25))
def test_replay_costs_what_the_optimum_says_with_host_power_and_outages(seed):
    world = random_world(seed, host_w=300.0, outage=True)
    optimum = offline.solve(world)
    assert objective(world, offline.Replay(optimum.weights)) == pytest.approx(optimum.objective_usd, rel=1e-9)
    assert optimum.dual_usd == pytest.approx(optimum.objective_usd, rel=1e-7)


@pytest.mark.parametrize("name", [name for name in BUILT_IN if name not in ("nearest", "uniform")])
def test_no_policy_beats_the_optimum(name):
    """Those that keep to capacities, that is; the others may overload what is cheap."""
    for seed in range(10):
        world = random_world(seed)
        least = offline.solve(world).objective_usd
        assert objective(world, load(name, {})) >= least * (1 - 1e-9)


def test_scale_does_not_matter():
    world = random_world(3)
    small = replace(world, expected_rps=world.expected_rps * 1e-6, capacity_rps=world.capacity_rps * 1e-6)
    assert offline.solve(small).objective_usd == pytest.approx(offline.solve(world).objective_usd * 1e-6, rel=1e-7)


def test_demand_that_does_not_fit_is_infeasible():
    world = random_world(3)
    with pytest.raises(InfeasibleError, match="exceeds what the regions"):
        offline.solve(replace(world, expected_rps=world.expected_rps * 100))


@pytest.mark.parametrize("what", ["prices", "dual"])
def test_an_answer_without_certificate_is_refused(what, monkeypatch):
    def cheat(highs):
        found = highspy.Highs.getSolution(highs)
        price = np.array(found.row_dual) * (0.9 if what == "dual" else -1.0)
        return SimpleNamespace(col_value=found.col_value, row_dual=price)

    monkeypatch.setattr(linear._Quiet, "getSolution", cheat, raising=False)
    with pytest.raises(InvariantError, match="without certificate"):
        offline.solve(random_world(3))


@pytest.mark.parametrize("allowed", [True, PARTIAL], ids=["full", "partial"])
def test_keeping_every_gateway_apart_gives_the_same_optimum(allowed):
    world = paper_world(allowed)
    apart = offline.solve(world, merged=False).objective_usd
    assert offline.solve(world).objective_usd == pytest.approx(apart, rel=1e-7)
