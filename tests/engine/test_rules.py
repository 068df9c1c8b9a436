"""Each rule of docs/model.md on a case that can be worked out by hand.

Time is in whole seconds here: prefill of n tokens takes n seconds and costs 10 n joules, an iteration takes one second
whatever the batch, and costs 12 + b + 0.1 K joules; idle replicas draw 100 W, sleeping ones 10 W.
"""

import numpy as np
import pytest

from glbdes.engine.fast import driver as fast
from glbdes.engine.simpy import engine as simpy_engine
from glbdes.hardware.physics import (
    FAILED,
    LEAST_LOADED,
    PLAN_LEAST_LOADED,
    REJECTED,
    SERVED,
    SMOOTH,
    SPILLOVER,
    TIMED_OUT,
    WEIGHTED,
)
from glbdes.units import J_PER_KWH, NS_PER_S
from glbdes.world import meter
from tests.worlds import Fixed, ListSink, make_fleet, make_requests, make_signals, make_world

ENGINES = {"simpy": simpy_engine.run, "fast": fast.run}


@pytest.fixture(params=ENGINES)
def run(request):
    """Run a world of whole seconds on each engine: requests as a dict of lists of seconds, or counts."""

    def run_world(world, policy=None) -> ListSink:
        sink = ListSink()
        everywhere = Fixed(np.ones((world.gateways, world.regions)))
        ENGINES[request.param](world, policy or everywhere, sink, policy_name="test")
        return sink

    return run_world


def fleet(regions: int = 1, **columns):
    tokens = np.arange(1001)
    plain = {"a_s": 1.0, "beta_s": 0.0, "gamma_s": 0.0, "e0_j": 12.0, "e1_j": 1.0, "e2_j": 0.1}
    power = {"idle_w": 100.0, "sleep_w": 10.0, "host_w": 0.0, "kv_tokens": 1000}
    return make_fleet(regions, prefill_s=1.0 * tokens, prefill_j=10.0 * tokens, **{**plain, **power, **columns})


def world(arrivals_s, *, regions=1, latency_s=0, timeout_s=None, outages_s=(), telemetry_s=0, requests=None, **rest):
    """A world in seconds; `requests` go to `make_requests`, fleet columns in `pool`."""
    pool = rest.pop("pool", {})
    rest.setdefault("slot_s", 1000.0)
    if timeout_s is not None:
        rest["timeout_ns"] = timeout_s * NS_PER_S
    return make_world(
        make_requests([round(t * NS_PER_S) for t in arrivals_s], **(requests or {})),
        regions=regions,
        fleet=fleet(regions, **pool),
        latency_ns=np.asarray(latency_s) * NS_PER_S,
        outages=[(r, down * NS_PER_S, up * NS_PER_S) for r, down, up in outages_s],
        telemetry_ns=telemetry_s * NS_PER_S,
        **rest,
    )


def seconds(sink: ListSink, name: str) -> list[float]:
    return [-1 if x == -1 else x / NS_PER_S for x in sink.table[f"{name}_ns"].tolist()]


def column(sink: ListSink, name: str) -> list:
    return sink.table[name].tolist()


class Plans:
    """One plan a slot."""

    def __init__(self, *plans) -> None:
        self.plans = plans

    def plan(self, view):
        return Fixed(self.plans[view.slot]).plan(view)


# Replicas: prefill, decode, admission ---------------------------------------------------------------------------


def test_a_lone_request(run):
    sink = run(world([0], latency_s=2, requests={"prompt": 3, "output": 4}))
    assert (seconds(sink, "start"), seconds(sink, "first_token"), seconds(sink, "finish")) == ([2], [5], [8])
    # prefill 30 J; three iterations of 12 + 1 J and contexts 4 + 5 + 6
    assert column(sink, "energy_j") == pytest.approx([30 + 3 * 13 + 0.1 * 15])


def test_one_output_token_is_finished_with_its_prefill(run):
    sink = run(world([0], requests={"prompt": 3, "output": 1}))
    assert (seconds(sink, "first_token"), seconds(sink, "finish")) == ([3], [3])
    assert column(sink, "energy_j") == pytest.approx([30])


@pytest.mark.parametrize("arrival_s", [2.5, 3], ids=["before the boundary", "at the boundary"])
def test_a_prefill_begins_at_the_first_boundary_at_or_after_admission(run, arrival_s):
    """The first request has tokens at 1, 2 and 3 s; the other's prefill stops it until 5 s."""
    sink = run(world([0, arrival_s], requests={"prompt": [1, 2], "output": [5, 2]}))
    assert seconds(sink, "start") == [0, 3]
    assert seconds(sink, "first_token") == [1, 5]
    assert seconds(sink, "finish") == [7, 6]
    # iterations of the first: alone at contexts 2, 3, then with the other at 4, then alone at 5
    assert column(sink, "energy_j")[0] == pytest.approx(10 + 12 + 12 + 6 + 12 + 4 + 0.1 * 14)
    assert column(sink, "energy_j")[1] == pytest.approx(20 + 6 + 1 + 0.1 * 3)


def test_prompts_are_prefilled_one_by_one_before_any_decoding(run):
    sink = run(world([0, 0, 0], requests={"prompt": [1, 2, 3], "output": 2}))
    assert seconds(sink, "first_token") == [1, 3, 6]
    assert seconds(sink, "finish") == [7, 7, 7]


def test_a_request_that_arrives_as_a_prefill_ends_is_prefilled_before_decoding(run):
    sink = run(world([0, 2], requests={"prompt": [2, 3], "output": 2}))
    assert seconds(sink, "start") == [0, 2]
    assert seconds(sink, "finish") == [6, 6]


def test_requests_go_to_the_replica_with_fewest_lowest_index_first(run):
    sink = run(world([0, 0, 0, 0, 0, 9], pool={"replicas": 3, "max_batch": 2}, requests={"prompt": 8, "output": 1}))
    assert column(sink, "replica") == [0, 1, 2, 0, 1, 2]  # at 9 s only the third is empty


def test_kv_room_is_reserved_for_prompt_and_output(run):
    fits = run(world([0, 0], pool={"kv_tokens": 10}, requests={"prompt": 3, "output": 2}))
    assert seconds(fits, "start") == [0, 3]
    waits = run(world([0, 0], pool={"kv_tokens": 9}, requests={"prompt": 3, "output": 2}))
    assert seconds(waits, "start") == [0, 4]


def test_nobody_passes_the_head_of_the_queue(run):
    """The second needs 9 of 10 tokens of room, so that the third, who would fit, waits for both."""
    sink = run(world([0, 1, 2], pool={"kv_tokens": 10}, requests={"prompt": [4, 5, 1], "output": [4, 4, 1]}))
    assert seconds(sink, "start") == [0, 7, 15]


def test_what_no_replica_can_hold_is_rejected(run):
    sink = run(world([0, 0], latency_s=2, pool={"kv_tokens": 10}, requests={"prompt": [8, 7], "output": 3}))
    assert column(sink, "status") == [REJECTED, SERVED]
    assert seconds(sink, "finish")[0] == 2


def test_a_full_queue_rejects(run):
    sink = run(world([0, 1, 2, 4], pool={"max_batch": 1, "max_queue": 1}, requests={"prompt": 2, "output": 1}))
    assert column(sink, "status") == [SERVED, SERVED, SERVED, SERVED]
    sink = run(world([0, 0, 1, 3], pool={"max_batch": 1, "max_queue": 1}, requests={"prompt": 2, "output": 1}))
    assert column(sink, "status") == [SERVED, SERVED, REJECTED, SERVED]
    assert seconds(sink, "finish")[2] == 1
    sink = run(world([0, 0], pool={"max_batch": 1, "max_queue": 0}, requests={"prompt": 2, "output": 1}))
    assert column(sink, "status") == [SERVED, REJECTED]


# Patience -------------------------------------------------------------------------------------------------------


def test_patience_ends_in_the_queue_counted_from_the_gateway(run):
    late = {"pool": {"max_batch": 1}, "latency_s": 1, "requests": {"prompt": 9, "output": 1}, "timeout_s": 5}
    sink = run(world([0, 2], **late))
    assert column(sink, "status") == [SERVED, TIMED_OUT]
    assert seconds(sink, "finish") == [10, 7]
    assert column(sink, "energy_j")[1] == 0


def test_a_place_that_falls_free_at_the_last_moment_is_in_time(run):
    sink = run(world([0, 2], pool={"max_batch": 1}, requests={"prompt": 7, "output": 1}, timeout_s=5))
    assert column(sink, "status") == [SERVED, SERVED]
    assert seconds(sink, "start") == [0, 7]


def test_patience_does_not_matter_to_who_need_not_wait(run):
    sink = run(world([0, 1], pool={"max_batch": 1}, latency_s=6, requests={"prompt": 3, "output": 1}, timeout_s=5))
    assert column(sink, "status") == [SERVED, TIMED_OUT]  # both arrive too late; the first finds a free replica
    assert seconds(sink, "finish") == [9, 7]


def test_a_full_queue_comes_before_lost_patience(run):
    pool = {"max_batch": 1, "max_queue": 0}
    sink = run(world([0, 1], pool=pool, latency_s=6, requests={"prompt": 3, "output": 1}, timeout_s=5))
    assert column(sink, "status") == [SERVED, REJECTED]


def test_when_the_head_gives_up_the_next_may_fit(run):
    requests = {"prompt": [6, 5, 1], "output": [3, 4, 1]}
    sink = run(world([0, 1, 2], pool={"kv_tokens": 11}, requests=requests, timeout_s=4))
    assert column(sink, "status") == [SERVED, TIMED_OUT, SERVED]
    assert seconds(sink, "start") == [0, -1, 6]  # admitted at 5 s, behind the prefill that ends at 6 s


# Dispatch -------------------------------------------------------------------------------------------------------


def test_weighted_takes_the_first_region_whose_cumulative_weight_exceeds_the_uniform(run):
    uniform = [0.0, 0.49, 0.5, 0.74, 0.75, 0.99]
    sink = run(world([0] * 6, regions=3, requests={"uniform": uniform}), Fixed([[0.5, 0.25, 0.25]]))
    assert column(sink, "region") == [0, 0, 1, 1, 2, 2]


def test_weights_are_taken_over_the_regions_that_are_up(run):
    arguments = {"regions": 3, "outages_s": [(0, 5, 900)], "requests": {"uniform": [0.49, 0.5]}}
    sink = run(world([6, 6], **arguments), Fixed([[0.5, 0.25, 0.25]]))
    assert column(sink, "region") == [1, 2]


def test_smooth_is_deficit_round_robin(run):
    sink = run(world(range(8), regions=3, dispatch=SMOOTH), Fixed([[0.5, 0.25, 0.25]]))
    assert column(sink, "region") == [0, 1, 2, 0, 0, 1, 2, 0]


def test_smooth_keeps_a_credit_for_each_gateway(run):
    requests = {"gateway": [0, 1, 0, 1]}
    sink = run(world([0, 1, 2, 3], gateways=2, regions=2, dispatch=SMOOTH, requests=requests))
    assert column(sink, "region") == [0, 0, 1, 1]


def test_the_nearest_region_takes_what_the_plan_has_no_place_for(run):
    arguments = {"regions": 3, "latency_s": [[1, 3, 2]], "outages_s": [(0, 5, 900)]}
    for rule in (WEIGHTED, SMOOTH, SPILLOVER):
        assert column(run(world([6], dispatch=rule, **arguments), Fixed([[1, 0, 0]])), "region") == [2]


def test_a_request_fails_at_once_where_no_allowed_region_is_up(run):
    sink = run(world([6], regions=2, allowed=[[True, False]], outages_s=[(0, 5, 900)]))
    assert (column(sink, "status"), column(sink, "attempts"), column(sink, "region")) == ([FAILED], [0], [-1])
    assert seconds(sink, "finish") == [6]


def test_least_loaded_counts_places_and_prefers_the_nearest_of_equals(run):
    pool = {"replicas": [1, 2, 1], "max_batch": 2}
    sink = run(
        world([0, 1, 2, 3, 4], regions=3, pool=pool, dispatch=LEAST_LOADED, latency_s=[[0.5, 0.25, 0.5]],
              requests={"prompt": 200})
    )  # fmt: skip
    # 0 of 2, 0 of 4, 0 of 2 -> 1 (nearest); 1/4 -> 0 (lowest of equals); 2; then 1/2, 1/4, 1/2 -> 1; all at 1/2 -> 1
    assert column(sink, "region") == [1, 0, 2, 1, 1]


def test_least_loaded_sees_only_the_last_tick(run):
    arguments = {"regions": 2, "dispatch": LEAST_LOADED, "requests": {"prompt": 200}, "pool": {"max_batch": 4}}
    assert column(run(world([1, 2, 9, 10, 11], **arguments)), "region") == [0, 1, 0, 1, 0]
    stale = run(world([1, 2, 9, 10, 11], telemetry_s=10, **arguments))
    assert column(stale, "region") == [0, 0, 0, 1, 1]  # the tick at 10 s comes before the arrival at 10 s


def test_plan_least_loaded_keeps_to_the_plan_and_to_its_proportions(run):
    """The plan sends twice as much to region 0 as to region 2, and nothing to region 1, which is nearest and empty."""
    arguments = {"regions": 3, "dispatch": PLAN_LEAST_LOADED, "requests": {"prompt": 200}, "latency_s": [[1, 0, 1]]}
    sink = run(world(range(0, 12, 2), **arguments), Fixed([[2, 0, 1]]))
    # (requests there + this one) / share: 1/2, then 2/2 and 1/1 are equal and the lowest index counts, then 3/2 and 1
    assert column(sink, "region") == [0, 0, 2, 0, 0, 2]


def test_plan_least_loaded_counts_what_all_gateways_are_to_send(run):
    """Gateway 0 may use both regions alike, but gateway 1 sends all of its three fourths to region 1."""
    arguments = {"regions": 2, "gateways": 2, "dispatch": PLAN_LEAST_LOADED}
    requests = {"prompt": 200, "gateway": [1, 1, 1, 0]}
    sink = run(world([0, 2, 4, 6], requests=requests, **arguments), Fixed([[1, 1], [0, 1]]))
    # three requests are at region 1, which is sent 7/2 of a request for each 1/2 of region 0: 4/3.5 < 1/0.5
    assert column(sink, "region") == [1, 1, 1, 1]


def test_plan_least_loaded_goes_to_the_nearest_where_the_plan_has_no_place_and_sees_the_last_tick(run):
    arguments = {"regions": 3, "dispatch": PLAN_LEAST_LOADED, "latency_s": [[1, 3, 2]], "outages_s": [(0, 5, 900)]}
    assert column(run(world([6], **arguments), Fixed([[1, 0, 0]])), "region") == [2]
    stale = {"regions": 2, "dispatch": PLAN_LEAST_LOADED, "requests": {"prompt": 200}, "telemetry_s": 10}
    assert column(run(world([1, 2, 9, 10, 11], **stale)), "region") == [0, 0, 0, 1, 1]


def test_spillover_goes_to_the_short_queue_with_the_largest_weight(run):
    """Region 0 has room for one and a queue of two; `spill_queue` 1."""
    arguments = {
        "regions": 3,
        "dispatch": SPILLOVER,
        "spill_queue": 1,
        "pool": {"max_batch": 1},
        "requests": {"prompt": 200, "uniform": 0.0},
    }
    sink = run(world(range(12), **arguments), Fixed([[0.4, 0.2, 0.4]]))
    # one served and two queued at 0, then at 2, then at 1; with all queues too long, the first choice stands
    assert column(sink, "region") == [0, 0, 0, 2, 2, 2, 1, 1, 1, 0, 0, 0]


def test_spillover_prefers_the_nearest_of_equal_weights(run):
    arguments = {
        "regions": 3,
        "dispatch": SPILLOVER,
        "spill_queue": 0,
        "latency_s": [[0, 0.5, 0.25]],
        "pool": {"max_batch": 1},
    }
    sink = run(world(range(3), requests={"prompt": 200, "uniform": 0.0}, **arguments), Fixed([[0.4, 0.3, 0.3]]))
    assert column(sink, "region") == [0, 0, 2]


def test_smooth_does_not_choose_a_region_that_is_down_however_much_is_owed_to_it(run):
    """Credits are -0.5, 0.49, 0.01 when region 1 goes down; shares of 0.98 and 0.02 make them 0.48, 0.49, 0.03."""
    arguments = {"regions": 3, "dispatch": SMOOTH, "outages_s": [(1, 5, 900)]}
    sink = run(world([0, 6], **arguments), Fixed([[0.5, 0.49, 0.01]]))
    assert column(sink, "region") == [0, 0]
    assert column(sink, "attempts") == [1, 1]


def test_smooth_sends_to_the_nearest_what_the_plan_has_no_place_for_whatever_is_owed(run):
    """Credits are 0, -2/7, -3/7, 5/7 when the plan becomes region 0 alone, which is down; region 2 is nearest."""
    arguments = {"slots": 2, "slot_s": 10.0, "dispatch": SMOOTH, "outages_s": [(0, 15, 900)]}
    plans = Plans([[0, 3 / 7, 1 / 7, 3 / 7]], [[1, 0, 0, 0]])
    latency = {"regions": 4, "latency_s": [[1, 1, 0, 1]]}
    sink = run(world([0, 1, 2, 3, 16], requests={"prompt": 1, "output": 1}, **arguments, **latency), plans)
    assert column(sink, "region")[4] == 2


def test_spillover_turns_from_the_nearest_too_when_the_plan_has_no_place(run):
    arguments = {"regions": 3, "latency_s": [[2, 0, 1]], "outages_s": [(0, 5, 900)], "dispatch": SPILLOVER}
    world_ = world([6, 7, 8], spill_queue=0, pool={"max_batch": 1}, requests={"prompt": 200}, **arguments)
    assert column(run(world_, Fixed([[1, 0, 0]])), "region") == [1, 1, 2]


# Faults ---------------------------------------------------------------------------------------------------------


def test_a_request_is_dispatched_again_one_latency_after_its_region_went_down(run):
    arguments = {
        "regions": 2,
        "latency_s": [[1, 2]],
        "outages_s": [(0, 5, 900)],
        "requests": {"prompt": 8, "output": 1},
    }
    sink = run(world([0], **arguments), Fixed([[1, 0]]))
    assert (column(sink, "region"), column(sink, "attempts")) == ([1], [2])
    assert seconds(sink, "start") == [8]  # down at 5, at the gateway at 6, in region 1 at 8
    assert column(sink, "energy_j") == pytest.approx([40 + 80])  # 4 of 8 s of the first prefill were run
    assert sink.meter("prefill_j")[0].tolist() == pytest.approx([40, 80])


def test_an_interrupted_iteration_is_charged_in_proportion(run):
    """In quarters of a second: the iteration from 3.0 to 4.0 s is cut at 3.25 s, with two requests in it."""
    requests = make_requests([0, 0], prompt=1, output=9)
    outages = [(0, 13 * NS_PER_S // 4, 900 * NS_PER_S)]
    world_ = make_world(requests, fleet=fleet(), outages=outages, max_attempts=1)
    sink = run(world_)
    assert column(sink, "status") == [FAILED, FAILED]
    # prefills to 2 s, one iteration of contexts 2 + 2, a quarter of one of 3 + 3
    each = 10 + (6 + 1 + 0.2) + 0.25 * (6 + 1 + 0.3)
    assert column(sink, "energy_j") == pytest.approx([each, each])
    assert sink.meter("decode_j")[0, 0] == pytest.approx(12 + 2 + 0.4 + 0.25 * (12 + 2 + 0.6))
    assert sink.meter("decode_ns")[0, 0] == 5 * NS_PER_S // 4


def test_a_request_that_reaches_a_region_that_is_down_goes_back(run):
    arguments = {"regions": 2, "latency_s": [[3, 4]], "requests": {"prompt": 2, "output": 1}}
    sink = run(world([0], outages_s=[(0, 3, 900)], **arguments), Fixed([[1, 0]]))
    assert seconds(sink, "start") == [10]  # at region 0 at 3, at the gateway at 6, at region 1 at 10
    assert sink.meter("arrived")[0].tolist() == [1, 1]
    sink = run(world([0], outages_s=[(0, 1, 3)], **arguments), Fixed([[1, 0]]))
    assert (column(sink, "attempts"), seconds(sink, "start")) == ([1], [3])  # up again just in time


def test_the_last_attempt_fails_where_it_is_turned_away(run):
    arguments = {"latency_s": 1, "outages_s": [(0, 5, 900)], "requests": {"prompt": 8, "output": 1}}
    sink = run(world([0], max_attempts=1, **arguments))
    assert (column(sink, "status"), column(sink, "attempts"), column(sink, "region")) == ([FAILED], [1], [0])
    assert (seconds(sink, "finish"), seconds(sink, "start"), column(sink, "replica")) == ([5], [-1], [-1])
    assert sink.meter("failed")[0, 0] == 1
    sink = run(world([0], max_attempts=2, **arguments))  # nowhere to go when it is back at its gateway
    assert (column(sink, "status"), column(sink, "attempts"), column(sink, "region")) == ([FAILED], [1], [0])
    assert seconds(sink, "finish") == [6]
    assert sink.meter("failed")[0, 0] == 0


def test_work_that_ends_as_the_region_goes_down_is_done(run):
    sink = run(world([0, 0], outages_s=[(0, 3, 900)], requests={"prompt": [3, 1], "output": 1}, max_attempts=1))
    assert column(sink, "status") == [SERVED, FAILED]
    assert column(sink, "energy_j") == pytest.approx([30, 0])


def test_patience_that_ends_as_the_region_goes_down_is_lost(run):
    arguments = {"timeout_s": 5, "outages_s": [(0, 5, 900)], "max_attempts": 1, "pool": {"max_batch": 1}}
    sink = run(world([0, 0, 1], requests={"prompt": 9, "output": 1}, **arguments))
    assert column(sink, "status") == [FAILED, TIMED_OUT, FAILED]


def test_waiting_counts_all_attempts(run):
    """Back from region 0 with 1 s of patience left, and none of it when region 1 has no place."""
    arguments = {"regions": 2, "latency_s": 1, "outages_s": [(0, 5, 900)], "timeout_s": 6, "pool": {"max_batch": 1}}
    sink = run(world([0, 3], requests={"prompt": [20, 20], "output": 1, "uniform": [0.0, 0.9]}, **arguments))
    assert column(sink, "status") == [TIMED_OUT, SERVED]
    assert seconds(sink, "finish")[0] == 7


def test_a_plan_holds_for_its_slot_but_state_dependent_rules_use_a_region_at_once(run):
    arguments = {"slots": 2, "slot_s": 20.0, "regions": 2, "latency_s": [[0, 1]], "outages_s": [(0, 0, 10)]}
    for rule, expected in ((WEIGHTED, [1, 1, 0]), (SMOOTH, [1, 1, 0]), (LEAST_LOADED, [1, 0, 0])):
        sink = run(world([5, 15, 25], dispatch=rule, requests={"prompt": 1, "output": 1}, **arguments), Fixed([[1, 0]]))
        assert column(sink, "region") == expected


def test_a_region_that_is_down_draws_nothing(run):
    sink = run(world([0], slot_s=10.0, outages_s=[(0, 2, 6)], requests={"prompt": 1, "output": 1}))
    assert sink.meter("idle_ns")[0, 0] == 5 * NS_PER_S
    assert sink.meter("down_ns")[0, 0] == 4 * NS_PER_S
    assert sink.meter("idle_j")[0, 0] == pytest.approx(500)


# Sleep ----------------------------------------------------------------------------------------------------------


def test_a_sleeper_wakes_before_its_first_prefill(run):
    pool = {"sleep_after_ns": 10 * NS_PER_S, "wake_ns": 3 * NS_PER_S}
    short = {"requests": {"prompt": 1, "output": 1}, "slot_s": 40.0, "pool": pool}
    assert seconds(run(world([9], **short)), "start") == [9]
    assert seconds(run(world([10], **short)), "start") == [13]  # without work for ten seconds: asleep
    sink = run(world([12, 14, 30], **short))
    assert seconds(sink, "start") == [15, 16, 30 + 3]  # awake until 17 + 10 s
    # 100 W to 10 s, 10 W to 12, 100 W while it wakes to 15; work to 17; 100 W to 27, 10 W to 30, 100 W to 33; 1 s of
    # work; 6 s of rest
    assert sink.meter("idle_j")[0, 0] == pytest.approx(1000 + 300 + 1000 + 300 + 600)
    assert sink.meter("sleep_j")[0, 0] == pytest.approx(20 + 30)
    assert sink.meter("asleep_ns")[0, 0] == (2 + 3) * NS_PER_S
    assert sink.meter("wakes")[0, 0] == 2
    assert sink.meter("idle_ns")[0, 0] == (40 - 3) * NS_PER_S


def test_the_choice_of_a_replica_does_not_look_at_sleep(run):
    pool = {"replicas": 2, "sleep_after_ns": 10 * NS_PER_S, "wake_ns": 3 * NS_PER_S}
    sink = run(world([0, 1, 15, 16], requests={"prompt": [2, 8, 1, 1], "output": 1}, pool=pool))
    assert column(sink, "replica") == [0, 1, 0, 1]  # at 15 s the first is asleep since 12 s, the other awake until 19 s
    assert seconds(sink, "start")[2] == 18


# Slots, charges, the horizon ------------------------------------------------------------------------------------


def test_each_slot_is_paid_at_its_own_signals(run):
    """Prefill to 8 s and two iterations in the first slot, the second of which ends with it; three in the other."""
    signals = make_signals(2, 1, price_usd_per_kwh=[[0.1], [0.3]], pue=1.5)
    sink = run(world([0], slots=2, slot_s=10.0, signals=signals, requests={"prompt": 8, "output": 6}))
    first_j = 80 + 2 * 13 + 0.1 * (9 + 10)
    then_j = 3 * 13 + 0.1 * (11 + 12 + 13)
    assert sink.meter("attributed_j")[:, 0] == pytest.approx([first_j, then_j])
    assert column(sink, "cost_usd") == pytest.approx([1.5 * (first_j * 0.1 + then_j * 0.3) / J_PER_KWH])


def test_a_step_is_charged_when_it_ends_and_its_time_where_it_passes(run):
    sink = run(world([6], slots=2, slot_s=10.0, requests={"prompt": 8, "output": 1}))
    assert sink.meter("prefill_j")[:, 0].tolist() == [0, 80]
    assert sink.meter("prefill_ns")[:, 0].tolist() == [4 * NS_PER_S, 4 * NS_PER_S]
    assert sink.meter("served")[:, 0].tolist() == [0, 1]


def test_what_arrives_at_a_boundary_belongs_to_the_new_slot(run):
    plans = Plans([[1, 0]], [[0, 1]])
    arguments = {"slots": 2, "slot_s": 10.0, "regions": 2, "requests": {"prompt": 1, "output": 1}}
    sink = run(world([9, 10], latency_s=1, **arguments), plans)
    assert column(sink, "region") == [0, 1]
    assert sink.meter("arrived").tolist() == [[0, 0], [1, 1]]


def test_after_the_horizon_work_is_metered_and_rest_is_not(run):
    sink = run(world([9], slot_s=10.0, pool={"replicas": 2, "host_w": 50.0}, requests={"prompt": 5, "output": 1}))
    assert sink.meter("prefill_ns")[0, 0] == 5 * NS_PER_S
    assert sink.meter("idle_ns")[0, 0] == (9 + 10) * NS_PER_S
    assert sink.meter("idle_j")[0, 0] == pytest.approx(1900)


def test_full_attribution_spreads_idle_and_host_energy_in_proportion(run):
    pool = {"host_w": 50.0}
    world_ = world([0, 5], slot_s=10.0, pool=pool, full_attribution=True, requests={"prompt": [1, 3], "output": 1})
    sink = run(world_)
    total = 10 + 30 + 6 * 100 + 10 * 50  # idle for 10 - 4 s
    assert column(sink, "energy_j") == pytest.approx([total / 4, total * 3 / 4])
    assert sink.meter("attributed_j")[0, 0] == pytest.approx(total)


def test_a_slot_without_work_keeps_its_idle_energy_unattributed(run):
    arguments = {"slots": 2, "slot_s": 10.0, "full_attribution": True, "requests": {"prompt": 1, "output": 1}}
    sink = run(world([15], **arguments))
    assert sink.meter("attributed_j")[:, 0] == pytest.approx([0, 10 + 900])
    assert sink.meter("idle_j")[:, 0] == pytest.approx([1000, 900])


def test_compressed_time_scales_the_slot_and_not_the_request(run):
    world_ = world([0], slot_s=3600.0, simulated_s=10.0, requests={"prompt": 1, "output": 1})
    sink = run(world_)
    assert column(sink, "energy_j") == pytest.approx([10])
    assert meter.slot_energy(world_, sink.slots[0]).prefill_kwh[0] == pytest.approx(360 * 10 / J_PER_KWH)
    assert sink.slots[0].demand_rps.tolist() == [0.1]


def test_queue_and_system_areas_by_hand(run):
    sink = run(world([0, 1, 2], slots=2, slot_s=5.0, pool={"max_batch": 1}, requests={"prompt": 4, "output": 1}))
    # queued: 1 to 4 s and 2 to 8 s; in the region: 0 to 4, 1 to 8, 2 to 12 s
    assert sink.meter("queue_area_ns")[:, 0].tolist() == [(3 + 3) * NS_PER_S, 3 * NS_PER_S]
    assert sink.meter("system_area_ns")[:, 0].tolist() == [(4 + 4 + 3) * NS_PER_S, (3 + 7) * NS_PER_S]
    assert sink.meter("queue_max")[:, 0].tolist() == [2, 1]


def test_a_warmup_has_meters_of_its_own_and_so_has_what_goes_on_after_the_last_slot(run):
    """Slots of 4 + 10 s. The first request: prefill from 1 to 3 s, tokens at 4, 5 and 6 s. The second: 23 to 33 s."""
    requests = {"prompt": [2, 10], "output": [4, 1]}
    sink = run(world([1, 23], slots=2, slot_s=10.0, warmup_ns=4 * NS_PER_S, requests=requests))
    (warm0,), (warm1, after) = (record.warmup for record in sink.slots)
    assert warm0["prefill_j"][0] == pytest.approx(20)
    assert warm0["decode_j"][0] == pytest.approx(12 + 1 + 0.3)
    assert warm0["attributed_j"][0] == pytest.approx(20 + 12 + 1 + 0.3)
    assert sink.meter("decode_j")[:, 0] == pytest.approx([2 * 13 + 0.4 + 0.5, 0])
    assert [meters["idle_j"][0] for meters in (warm0, warm1, after)] == pytest.approx([100, 400, 0])
    assert sink.meter("idle_j")[:, 0] == pytest.approx([800, 500])
    assert [meters["prefill_ns"][0] / NS_PER_S for meters in (warm0, warm1, after)] == [2, 0, 5]
    assert sink.meter("prefill_ns")[1, 0] == 5 * NS_PER_S
    assert after["prefill_j"][0] == after["attributed_j"][0] == pytest.approx(100)
    assert column(sink, "energy_j") == pytest.approx([20 + 13.3 + 26.9, 100])
    assert [record.demand_rps.tolist() for record in sink.slots] == [[0.0], [0.1]]
    assert [record.dispatched.tolist() for record in sink.slots] == [[[0]], [[1]]]
    assert [record.warmup_dispatched.tolist() for record in sink.slots] == [[[1]], [[0]]]
    assert [meters["served"][0] for meters in (warm0, warm1, after)] == [0, 0, 1]
    assert sink.meter("served")[:, 0].tolist() == [1, 0]
