"""Base power and what each request adds: below every meter, reached by full batches, and what gaps make of it."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import linprog

from glbdes.engine import fluid
from glbdes.engine.simpy import engine as simpy_engine
from glbdes.hardware import profile, step_rates
from glbdes.hardware.physics import NEVER_NS
from glbdes.hardware.step_tables import step_tables
from glbdes.optimum import bound, offline
from glbdes.scenario.demand import Lengths
from glbdes.units import J_PER_KWH, NS_PER_S
from glbdes.workload.lengths import sample
from glbdes.world import meter
from glbdes.world.outages import Outage
from glbdes.world.view import Planner
from tests.engine.differential import FINE_TICK_NS, fast_run, numbered, world_of
from tests.worlds import Fixed, ListSink, make_fleet, make_requests, make_signals, make_world


def added_j(world, request, r: int) -> float:
    """Equation 10 of docs/model.md for one request in region r, iteration by iteration."""
    fleet = world.fleet
    rest_w, host_w = rests_w(world, r)
    rest_w -= float(fleet.host_w[r]) - host_w  # the host works, too
    prompt, output, row = int(request["prompt_tokens"]), int(request["output_tokens"]), int(fleet.profile[r])
    prompts_s = fleet.prefill_s[row, prompt], fleet.chained_s[row, prompt]
    total = fleet.prefill_j[row, prompt] - max(rest_w * seconds for seconds in prompts_s)
    for j in range(1, output):
        shared = fleet.e0_j[r] - rest_w * fleet.a_s[r]  # below 0 the least is that of one alone
        shared = shared / fleet.max_batch[r] if shared > 0 else shared
        own = fleet.e1_j[r] - rest_w * fleet.beta_s[r]
        total += shared + own + (fleet.e2_j[r] - rest_w * fleet.gamma_s[r]) * (prompt + j)
    return float(total)


def rests_w(world, r: int) -> tuple[float, float]:
    """What a replica without work and its host draw at least."""
    fleet = world.fleet
    if fleet.sleep_after_ns[r] < NEVER_NS or world.scaling is not None:
        return float(min(fleet.sleep_w[r], fleet.idle_w[r])), float(fleet.host_sleep_w[r])
    return float(fleet.idle_w[r]), float(fleet.host_w[r])


def base_j(world, r: int) -> float:
    return float(world.fleet.replicas[r] * sum(rests_w(world, r)) * world.horizon_ns / NS_PER_S)


def metered_j(world, sink) -> np.ndarray:
    """[r] all that was drawn, hosts included; beyond the horizon, too, where they are not metered."""
    kwh = sum(meter.slot_energy(world, record).it_kwh for record in sink.slots) / world.weight
    busy_ns = sum(sink.meter(name).sum(axis=0) for name in ("prefill_ns", "decode_ns", "idle_ns", "down_ns"))
    late_ns = busy_ns - world.fleet.replicas * world.horizon_ns
    return kwh * J_PER_KWH + world.fleet.host_w * late_ns / NS_PER_S


@pytest.mark.parametrize("seed", range(20, 40))
def test_no_region_meters_less_than_its_base_and_what_its_requests_add(seed):
    """Whatever the rule of dispatch, the batches, the queue, or sleep. On a fine clock: rounding makes work longer."""
    case = numbered(seed, outages=0, tick_ns=FINE_TICK_NS, warmup_ns=0)
    world, sink = world_of(case), fast_run(case)
    drawn_j = metered_j(world, sink)
    served = sink.table[sink.table["status"] == 0]
    for r in range(world.regions):
        least_j = base_j(world, r) + sum(added_j(world, one, r) for one in served[served["region"] == r])
        assert drawn_j[r] >= least_j - 1e-9 * abs(least_j)


@pytest.mark.parametrize(("load", "within"), [(0.5, 2.0), (2.0, 1.3)])
def test_no_replica_that_schedules_in_chunks_meters_less_than_its_base_and_what_its_requests_add(load, within):
    """Nor is it far off where batches are full, though prompts come whole, and not in the best mixture of steps."""
    card, batch, budget, requests = profile.load("h100_llama8b"), 96, 8192, 1500
    prompt, output = sample(Lengths(max_tokens=8192), np.random.default_rng(1), requests)
    rate = load * step_rates.capacity_rps(card.chunked, prompt, output, batch, budget)
    arrival_s = np.cumsum(np.random.default_rng(2).exponential(1 / rate, requests))
    fleet = make_fleet(max_batch=batch, kv_tokens=card.kv_tokens, idle_w=card.idle_w, host_w=0.0)
    came = make_requests((arrival_s * NS_PER_S).astype(np.int64), prompt, output)
    world = make_world(came, slot_s=float(arrival_s[-1]) + 60.0, fleet=fleet)
    sink = ListSink()
    simpy_engine.run(replace(world, steps=step_tables([card.chunked], budget, 16, True)), Fixed([[1.0]]), sink)
    assert (sink.table["status"] == 0).all()
    drawn_j = metered_j(world, sink)[0] - card.idle_w * world.horizon_ns / NS_PER_S
    least_j = requests * step_rates.marginal_j(card.chunked, prompt, output, batch, budget, card.idle_w)
    assert least_j <= drawn_j <= within * least_j


def test_shares_of_steps_are_the_best_that_a_programme_finds():
    rng = np.random.default_rng(3)
    for batch, prompt, later in ((4, 100.0, 30.0), (16, 10.0, 200.0), (64, 500.0, 1.0)):
        steps = np.cumsum(rng.uniform(0.5, 2.0, 200)) + 20.0
        tokens = np.arange(1, 201)
        decoding = np.minimum(tokens, batch)
        rows = np.concatenate((np.stack((tokens, 0 * tokens), 1), np.stack((tokens - decoding, decoding), 1)))
        best = linprog([-prompt, -later], rows, np.concatenate((steps, steps)), bounds=[(0, None), (None, None)])
        alpha, beta = step_rates._shares(steps, batch, prompt, later)
        assert (rows @ [alpha, beta] <= np.concatenate((steps, steps)) + 1e-9).all()
        assert -best.fun * 0.99 <= alpha * prompt + beta * later <= -best.fun + 1e-9


def test_no_step_draws_more_than_the_most_that_a_step_can():
    steps = step_tables([profile.load("h100_llama8b").chunked], 512, 16, True)
    most = bound._most_of_steps(steps, 0, 32, 10_000)
    rng = np.random.default_rng(4)
    for _ in range(2000):
        batch, chunk = int(rng.integers(0, 33)), int(rng.integers(0, 480))
        before, context = int(rng.integers(0, 9000)), int(rng.integers(batch, 10_000))
        mode, tokens = int(chunk > 0), batch + chunk
        if tokens:
            each = (batch + mode, chunk * before, chunk**2)
            joules, seconds = (
                table[0, tokens] + modes[0, mode] @ (1, batch, context) + own[0] @ each
                for table, modes, own in (
                    (steps.tokens_j, steps.modes_j, steps.each_j), (steps.tokens_s, steps.modes_s, steps.each_s)
                )
            )  # fmt: skip
            assert joules / seconds <= most + 1e-9
    assert most < 1500


def test_full_batches_from_the_first_to_the_last_iteration_reach_it():
    """Two of two places decode together throughout; nobody waits and no prompt is chained."""
    tokens = np.arange(1001)
    fleet = make_fleet(1, max_batch=2, prefill_s=0.0 * tokens + 1e-9, prefill_j=5.0 + 0.0 * tokens)
    world = make_world(make_requests([0, 0], prompt=100, output=[50, 50]), fleet=fleet, slot_s=100.0)
    sink = ListSink()
    simpy_engine.run(world, Fixed([[1.0]]), sink)
    drawn_j = float(metered_j(world, sink)[0])
    least_j = base_j(world, 0) + sum(added_j(world, one, 0) for one in sink.table)
    assert drawn_j == pytest.approx(least_j, rel=1e-9)


def priced(price_usd_per_kwh):
    """One region of 100 W at rest and 200 W at most, in three slots of an hour."""
    signals = make_signals(3, 1, price_usd_per_kwh=np.reshape(price_usd_per_kwh, (3, 1)), pue=1.5)
    fleet = make_fleet(1, e0_j=2.0, a_s=0.01, beta_s=0.0, gamma_s=0.0, e1_j=0.0, e2_j=0.0, idle_w=100.0,
                       prefill_s=np.arange(1001) * 1.0, prefill_j=np.arange(1001) * 150.0, kv_tokens=1000)  # fmt: skip
    world = make_world(make_requests([]), slots=3, signals=signals, fleet=fleet, capacity_rps=10.0)
    return replace(world, rest_w=np.array([100.0]), marginal_kwh=np.array([1e-5]))


def test_prices_below_0_take_off_the_most_that_a_region_can_draw():
    world = priced([0.1, -0.2, 0.3])
    assert bound.most_w(world) == pytest.approx([200.0])
    assert bound.slack_usd(world) == pytest.approx(0.2 * 1.5 * 0.1)  # 100 W more for an hour
    assert bound.slack_usd(priced([0.1, 0.2, 0.3])) == 0
    told = bound.reference(world, by_request=True)
    assert told.usd == pytest.approx(offline.solve(world).objective_usd - 0.03)


def test_the_optimum_of_requests_holds_base_and_slope_and_that_of_the_flow_neither():
    world = priced([0.1, 0.2, 0.3])
    base_kwh = (100.0 + 50.0) / 1000.0
    assert world.base_kwh == pytest.approx([base_kwh])
    kwh = base_kwh + 3600 * 1e-5  # 1 request/s
    assert offline.solve(world).cost_usd == pytest.approx([1.5 * 0.6 * kwh])
    flow_kwh = 50.0 / 1000.0 + 3600 * 1e-4
    assert offline.solve(world.flow).cost_usd == pytest.approx([1.5 * 0.6 * flow_kwh])
    assert bound.reference(world, by_request=False).usd == offline.solve(world.flow).objective_usd


def test_policies_of_requests_see_base_and_slope_and_those_of_a_flow_what_it_charges():
    class Seen:
        def plan(self, view):
            self.view = view
            return np.ones((1, 1))

    world, seen = priced([0.1, 0.2, 0.3]), Seen()
    up = np.ones(1, dtype=bool)
    Planner(world, seen, "seen").plan(0, np.ones(1), up)
    assert (seen.view.it_kwh_per_request[0], seen.view.base_kwh[0]) == (1e-5, pytest.approx(0.15))
    kwh_kg_l = seen.view.base_footprint[:, 0] / 0.15
    assert kwh_kg_l == pytest.approx([1.5 * 0.4, 1.0 + 1.5 * 2.0])
    Planner(world, seen, "seen").plan(0, np.ones(1), ~up)
    assert seen.view.base_kwh[0] == 0  # down
    fluid.run(world, seen, ListSink(), policy_name="seen")
    assert (seen.view.it_kwh_per_request[0], seen.view.base_kwh[0]) == (1e-4, pytest.approx(0.05))


def test_a_gap_is_positive_for_the_worse_whatever_the_sign_of_the_optimum():
    assert bound.over(110.0, 100.0) == pytest.approx(0.1)
    assert bound.over(-90.0, -100.0) == pytest.approx(0.1)
    assert bound.over(5.0, 0.0) is None


def test_what_it_cannot_bound_is_said():
    world = priced([0.1, 0.2, 0.3])
    assert list(bound.doubts(world)) == []
    for changed, said in (
        ({"outages": (Outage(0, 10, 20),)}, "regions go down"),
        ({"delay_usd_per_s": 1e-3}, "delay has a price"),
        ({"demand": "last"}, "do not know the slot's demand"),
    ):
        assert said in " ".join(bound.doubts(replace(world, **changed)))
    assert bound.reference(replace(world, capacity_rps=np.array([0.5])), by_request=True) is None
    assert bound.most_w(world)[0] * 3600 / J_PER_KWH == pytest.approx(0.2)
