"""The fluid engine: the paper's table on the authors' data, and small worlds by hand."""

from dataclasses import replace

import numpy as np
import pytest

from glbdes.engine import fluid
from glbdes.engine.simpy import engine as simpy_engine
from glbdes.errors import PolicyError
from glbdes.hardware import physics
from glbdes.units import J_PER_KWH
from glbdes.world import meter
from tests.paper import named, objective_usd, paper_world, par, totals
from tests.worlds import Fixed, ListSink, make_fleet, make_requests, make_world, slot_of

# EXPECTED.md of the data folder: cost avg, water avg, max, PAR, carbon avg, max, PAR, objective; in USD, m3, t.
TABLE = {
    "cost": (29169.9, 1525.1, 2607.5, 1.710, 108.71, 182.14, 1.675, 721352),
    "carbon": (45535.5, 1365.9, 2530.2, 1.852, 93.07, 158.44, 1.702, 844825),
    "water": (56183.8, 1243.9, 2010.4, 1.616, 99.63, 203.56, 2.043, 987806),
    "cost_carbon": (31272.4, 1467.8, 2669.6, 1.819, 100.22, 175.56, 1.752, 736248),
    "cost_carbon_water": (31473.6, 1429.5, 2566.6, 1.796, 101.13, 179.17, 1.772, 737491),
    "nearest": (47037.6, 1446.7, 2090.9, 1.445, 109.02, 153.37, 1.407, 825888),
}


@pytest.mark.parametrize("name", TABLE)
def test_every_cell_of_the_papers_table(name):
    total = totals(paper_world(), named(name))
    water, carbon = total["water"], total["carbon"]
    row = (total["cost"].mean(), water.mean(), water.max(), par(water))
    row += (carbon.mean(), carbon.max(), par(carbon), objective_usd(total))
    np.testing.assert_allclose(row, TABLE[name], rtol=5e-4)


def run(world, policy):
    sink = ListSink()
    fluid.run(world, policy, sink, policy_name="fixed")
    return sink


def world_of(demand, **keys):
    demand = np.asarray(demand, dtype=float)
    keys = {"slots": len(demand), "gateways": demand.shape[1], **keys}
    return replace(make_world(make_requests([]), **keys), expected_rps=demand)


def test_energy_follows_the_load_and_host_power_comes_on_top():
    world = world_of([[2.0, 1.0]], regions=2, it_kwh_per_request=[1e-3, 2e-3])
    sink = run(world, Fixed([[1.0, 0.0], [0.5, 0.5]]))
    energy = meter.slot_energy(world, sink.slots[0])
    np.testing.assert_allclose(energy.decode_kwh, [2.5 * 3600 * 1e-3, 0.5 * 3600 * 2e-3])
    np.testing.assert_allclose(energy.attributed_kwh, energy.decode_kwh)
    np.testing.assert_allclose(energy.host_kwh, [0.05, 0.05])  # 50 W for an hour
    np.testing.assert_array_equal(sink.slots[0].dispatched, [[7200, 0], [1800, 1800]])
    assert sink.chunks == []


def test_compressed_time_gives_the_same_energy():
    full = world_of([[2.0]], it_kwh_per_request=1e-3)
    short = world_of([[2.0]], it_kwh_per_request=1e-3, simulated_s=60.0)
    plan = Fixed([[1.0]])
    energies = [meter.slot_energy(world, run(world, plan).slots[0]).it_kwh for world in (full, short)]
    np.testing.assert_allclose(*energies)
    assert run(short, plan).slots[0].meters["decode_j"][0] == pytest.approx(2.0 * 60 * 1e-3 * J_PER_KWH)


HALF_NS = 1800 * 10**9


def test_load_moves_away_for_as_long_as_a_region_is_down():
    world = world_of([[4.0]], regions=3, outages=[(0, HALF_NS, 2 * HALF_NS)])
    sink = run(world, Fixed([[0.5, 0.25, 0.25]]))
    np.testing.assert_array_equal(sink.slots[0].dispatched, [[3600, 5400, 5400]])
    np.testing.assert_array_equal(sink.slots[0].meters["down_ns"], [HALF_NS, 0, 0])
    np.testing.assert_allclose(meter.slot_energy(world, sink.slots[0]).host_kwh, [0.025, 0.05, 0.05])


def test_the_nearest_region_takes_what_the_plan_sends_to_none_that_is_up():
    world = world_of([[4.0]], regions=3, latency_ns=[[1, 9, 5]], outages=[(0, HALF_NS, 2 * HALF_NS)])
    np.testing.assert_array_equal(run(world, Fixed([[1.0, 0.0, 0.0]])).slots[0].dispatched, [[7200, 0, 7200]])


def test_a_gateway_without_any_region_up_causes_nothing():
    world = world_of([[4.0, 1.0]], regions=2, allowed=[[True, False], [True, True]], outages=[(0, 0, 2 * HALF_NS)])
    sink = run(world, Fixed([[1.0, 0.0], [0.5, 0.5]]))
    np.testing.assert_array_equal(sink.slots[0].dispatched, [[0, 0], [0, 3600]])


def test_outage_of_other_replicas_counts_replica_time():
    world = world_of([[1.0]], regions=2, fleet=make_fleet(2, replicas=3), outages=[(1, 0, HALF_NS)])
    np.testing.assert_array_equal(run(world, Fixed([[1.0, 0.0]])).slots[0].meters["down_ns"], [0, 3 * HALF_NS])


def test_the_request_level_engine_converges_to_it():
    """Evenly spaced requests whose energy does not depend on the batch: the same kWh, but for whole requests.

    A weight splits N requests of a slot to within one request a gateway (smooth dispatch), and what is in flight at the
    end of a slot is charged in the next.
    """
    slots, seconds, rps = 3, 200, np.array([4.0, 2.0])
    arrival_ns = [np.arange(int(slots * seconds * rate)) * int(1e9 / rate) for rate in rps]
    gateway = np.repeat([0, 1], [len(times) for times in arrival_ns])
    requests = make_requests(np.concatenate(arrival_ns), prompt=100, output=10, gateway=gateway)
    joules = 100 * 1e-2 + 9 * 0.5  # prefill at 10 mJ a token, nine iterations
    world = world_of(
        np.tile(rps, (slots, 1)),
        regions=3,
        slot_s=float(seconds),
        fleet=make_fleet(3, replicas=4, e0_j=0.0, e1_j=0.5, e2_j=0.0, idle_w=0.0, sleep_w=0.0),
        it_kwh_per_request=joules / J_PER_KWH,
        dispatch=physics.SMOOTH,
    )
    world = replace(world, requests=slot_of(requests, world.slot_ns))
    plan = Fixed([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
    sink = ListSink()
    simpy_engine.run(world, plan, sink, policy_name="fixed")
    kwh = [
        sum(meter.slot_energy(world, record).it_kwh for record in one.slots[:slots]) for one in (sink, run(world, plan))
    ]
    assert len(sink.table) == len(requests)
    one_request_kwh = joules / J_PER_KWH
    np.testing.assert_allclose(*kwh, atol=4 * one_request_kwh, rtol=0)


def test_progress_counts_expected_requests():
    told = []
    fluid.run(world_of([[1.0], [2.0]]), Fixed([[1.0]]), ListSink(), policy_name="fixed", progress=told.append)
    assert told == [3600, 10800]


def test_policy_that_breaks_a_rule_is_named():
    class Bad:
        def plan(self, view):
            return -view.mask.astype(float)

    with pytest.raises(PolicyError, match=r"policy 'fixed', slot 0: weights\[0, 0\] = -1, must be >= 0"):
        run(world_of([[1.0]]), Bad())
