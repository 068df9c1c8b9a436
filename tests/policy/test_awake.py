"""Whole replicas: rounded up, and fewer where the others can do what the last one does for less."""

from dataclasses import replace

import numpy as np
import pytest

from glbdes import policy
from glbdes.policy import awake, transport
from glbdes.world import Plan, View
from tests.views import make_view

REPLICA_RPS, AWAKE_KWH = 10.0, 0.4


def elastic(demand, prices, replicas: int = 3, least: int = 0, **given) -> View:
    """Regions of three replicas that should serve 10 requests/s each and can serve 12; a kWh a request, and 0.4 kWh a
    slot for a replica that is awake."""
    regions = len(prices)
    view = make_view(demand, [12.0 * replicas] * regions, price_usd_per_kwh=prices, **given)
    added_kwh = 1e-4
    return replace(
        view,
        it_kwh_per_request=np.full(regions, added_kwh + AWAKE_KWH / (REPLICA_RPS * view.slot_s)),
        replicas=np.full(regions, replicas),
        awake_least=np.full(regions, least),
        awake_most=np.full(regions, replicas),
        replica_rps=np.full(regions, REPLICA_RPS),
        awake_kwh=np.full(regions, AWAKE_KWH),
    )


def answered(view: View) -> Plan:
    price_usd = view.cost_usd_per_request
    found = awake.answer(transport.priced(price_usd, view), price_usd, view)
    assert isinstance(found, Plan)
    return found


def usd(plan: Plan, view: View) -> float:
    load = view.demand_rps @ plan.weights
    added_kwh = view.it_kwh_per_request - view.awake_kwh / (view.replica_rps * view.slot_s)
    kwh = plan.awake * view.awake_kwh + load * view.slot_s * added_kwh
    return float((kwh * view.price_usd_per_kwh * view.pue).sum())


def test_as_many_are_awake_as_the_cheapest_regions_need():
    assert answered(elastic([25.0], [0.1, 0.2])).awake.tolist() == [3, 0]


def test_a_replica_for_a_trifle_sleeps_if_others_have_room():
    """36 requests/s fit into the first region, one more does not: two replicas there do the work of one less."""
    view = elastic([37.0], [0.1, 0.11])
    rounded = Plan(transport.priced(view.cost_usd_per_request, view), np.array([3, 1]))
    found = answered(view)
    assert found.awake.tolist() in ([3, 1], [2, 2])
    assert usd(found, view) <= usd(rounded, view)


def test_a_plan_without_elastic_replicas_is_weights_alone():
    view = make_view([5.0], [10.0, 10.0])
    weights = transport.priced(view.cost_usd_per_request, view)
    assert awake.answer(weights, view.cost_usd_per_request, view) is weights


def test_the_least_stays_awake():
    assert answered(elastic([5.0], [0.1, 0.2], least=1)).awake.tolist() == [1, 1]


@pytest.mark.parametrize("seed", range(20))
def test_the_search_never_makes_a_plan_dearer_and_serves_all(seed):
    rng = np.random.default_rng(seed)
    regions, gateways = int(rng.integers(2, 6)), int(rng.integers(1, 5))
    mask = rng.random((gateways, regions)) < 0.7
    mask[np.arange(gateways), rng.integers(0, regions, gateways)] = True
    view = elastic(rng.uniform(0, 30.0 * regions / gateways, gateways), rng.uniform(0.05, 0.3, regions), mask=mask)
    weights = transport.priced(view.cost_usd_per_request, view)
    load = view.demand_rps @ weights
    rounded = Plan(weights, np.clip(np.ceil(np.round(load / REPLICA_RPS, 9)), 0, 3).astype(int))
    found = answered(view)
    assert usd(found, view) <= usd(rounded, view) * (1 + 1e-9)
    assert found.weights.sum(axis=1) == pytest.approx(1.0)
    assert (found.weights[~view.mask] == 0).all()
    served = view.demand_rps @ found.weights
    assert ((found.awake > 0) | (served <= 1e-9)).all()
    assert (found.awake <= view.awake_most).all()
    if (load <= view.capacity_rps * (1 + 1e-9)).all():  # the demand fits
        assert (served <= np.where(found.awake == 3, 36.0, 10.0 * found.awake) + 1e-6).all()


# Pools of one model in a region


def pooled(rng: np.random.Generator, least: int = 0) -> View:
    """Three regions, the first of two pools of one model, which takes the requests of both; a load of up to all."""
    first = np.array([0, 0, 2, 3])
    replicas, replica_rps = rng.integers(1, 5, 4), rng.uniform(3.0, 12.0, 4)
    capacity_rps = np.bincount(first, replicas * replica_rps, minlength=4) * 1.2
    prices, added_kwh = rng.uniform(0.05, 0.3, 3)[[0, 0, 1, 2]], rng.uniform(0.5e-4, 2e-4, 4)
    mask = rng.random((3, 4)) < 0.8
    mask[:, 1], mask[np.arange(3), [0, 2, 3]] = False, True
    demand_rps = rng.uniform(0.0, 0.3, 3) * capacity_rps.sum() * rng.random()
    view = make_view(demand_rps, capacity_rps, price_usd_per_kwh=prices, mask=mask, pue=np.full(4, 1.2))
    each_kwh = added_kwh + AWAKE_KWH / (replica_rps * view.slot_s)
    each_kwh[:2] = each_kwh[:2].min()
    return replace(
        view,
        it_kwh_per_request=each_kwh,
        replicas=replicas,
        awake_least=np.minimum(least, replicas),
        awake_most=replicas,
        replica_rps=replica_rps,
        awake_kwh=np.full(4, AWAKE_KWH),
        added_kwh=added_kwh,
        first_of=first,
    )


@pytest.mark.parametrize("seed", range(60))
def test_pools_of_one_model_have_enough_awake_for_what_the_plan_sends_them_together(seed):
    view = pooled(np.random.default_rng(seed), least=seed % 2)
    found = answered(view)
    assert (view.awake_least <= found.awake).all()
    assert (found.awake <= view.awake_most).all()
    assert found.weights.sum(axis=1) == pytest.approx(1.0)
    served = view.demand_rps @ found.weights
    assert served[1] == 0  # the first pool's column is that of both
    aimed = np.bincount(view.first_of, found.awake * view.replica_rps, minlength=4)
    all_awake = np.bincount(view.first_of, view.awake_most - found.awake, minlength=4) == 0
    fits = transport.solve(price_usd := view.cost_usd_per_request, view.demand_rps, view.capacity_rps, view.mask)
    assert price_usd[0] == price_usd[1]
    assert fits.factor > 1 or (served <= np.where(all_awake, view.capacity_rps, aimed) + 1e-6).all()


@pytest.mark.parametrize("seed", range(60))
def test_the_cheaper_pool_of_one_model_is_awake_first(seed):
    view = pooled(np.random.default_rng(seed))
    price_usd = view.cost_usd_per_request
    view = replace(view, delay_usd_per_s=1e-9)  # what is rounded up, and nothing tried asleep
    found = awake.answer(transport.plan(price_usd, view), price_usd, view)
    each_kwh = view.added_kwh + view.awake_kwh / (view.replica_rps * view.slot_s)
    cheap, dear = np.argsort(each_kwh[:2], kind="stable")
    assert found.awake[dear] == 0 or found.awake[cheap] == view.awake_most[cheap]


def test_a_request_takes_the_mean_of_the_pools_that_are_awake():
    view = replace(pooled(np.random.default_rng(0)), replica_rps=np.array([2.0, 6.0, 1.0, 1.0]))
    task = awake._Task(view, np.ones(4), np.array([1.0, 5.0, 7.0, 9.0]), view.replica_rps, view.awake_most)
    assert awake._request_usd(task, np.array([3, 1, 0, 2]))[[0, 2, 3]].tolist() == [3.0, 7.0, 9.0]
    assert awake._request_usd(task, np.array([0, 1, 1, 1]))[0] == 5.0


@pytest.mark.parametrize("name", ["cost", "eglb", "eglb_simplex", "eglb_ahead", "eglb_chain", "receding_horizon"])
def test_policies_that_price_say_how_many_are_awake(name):
    view = elastic([25.0, 3.0], [0.1, 0.2, 0.3])
    found = policy.load(name, {}).plan(view)
    assert isinstance(found, Plan)
    assert found.awake.sum() == 3
