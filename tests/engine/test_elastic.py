"""Replicas awake and asleep, by hand: who is told what, when, what it draws, and who pays for it."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glbdes.engine.simpy import engine as simpy_engine
from glbdes.errors import PolicyError
from glbdes.hardware.physics import NEVER_NS, REJECTED, SERVED
from glbdes.records.books import Books, counting
from glbdes.units import J_PER_KWH, NS_PER_S
from glbdes.world import Plan, View, World, meter
from glbdes.world.scaling import Cap, Scaler, Scaling
from glbdes.world.view import Planner
from tests.random_worlds import CLOCKS_NS, Moody, engine_run, random_world
from tests.worlds import Fixed, ListSink, make_fleet, make_requests, make_world

S = NS_PER_S
TOKENS = np.arange(101)


class Told:
    """A policy that keeps so many replicas of one region awake in each slot; None: it does not say."""

    def __init__(self, *awake: int | None) -> None:
        self.awake = awake

    def plan(self, view: View) -> np.ndarray | Plan:
        weights = np.ones(view.mask.shape)
        count = self.awake[view.slot]
        return weights if count is None else Plan(weights, np.array([count]))


def scaling(rule: str = "planned", **given) -> Scaling:
    values = {
        "rule": rule,
        "least": np.array([0]),
        "utilisation": np.array([0.5]),
        "replica_rps": np.array([2.0]),
        "every_ns": 10 * S,
        "cool_down_ns": 0,
        "age_ns": 0,
        **given,
    }
    return Scaling(**values)


def one_region(arrivals_s, *awake, slot_s: float = 100.0, how: Scaling | None = None, **given) -> ListSink:
    """A region of three replicas that take one request at a time: a second for a prompt, nothing else. 100 W idle, 10 W
    asleep, 5 s to wake up; hosts of 40 W, 4 W asleep."""
    fleet = make_fleet(
        replicas=3,
        max_batch=1,
        prefill_s=0.0 * TOKENS + 1.0,
        prefill_j=0.0 * TOKENS + 500.0,
        idle_w=100.0,
        sleep_w=10.0,
        host_w=40.0,
        host_sleep_w=4.0,
        wake_ns=5 * S,
    )
    requests = make_requests(np.asarray(arrivals_s) * S, 10, 1)
    world = make_world(
        requests,
        slots=len(awake),
        slot_s=slot_s,
        fleet=fleet,
        scaling=how or scaling(),
        active_attribution=True,
        **given,
    )
    sink = ListSink()
    simpy_engine.run(world, Told(*awake), sink)
    sink.world = world  # type: ignore[attr-defined]
    return sink


def starts(sink: ListSink) -> list[float]:
    return (sink.table["start_ns"] / S).tolist()


def test_who_is_to_sleep_from_the_start_sleeps_at_once_and_draws_that():
    sink = one_region([], 1)
    assert sink.meter("asleep_ns")[0, 0] == 200 * S
    assert sink.meter("idle_ns")[0, 0] == 300 * S
    assert sink.meter("idle_j")[0, 0] == pytest.approx(100 * 100)
    assert sink.meter("sleep_j")[0, 0] == pytest.approx(2 * 100 * 10)
    energy = meter.slot_energy(sink.world, sink.slots[0])
    assert energy.host_kwh[0] * J_PER_KWH == pytest.approx(100 * 40 + 200 * 4)
    assert sink.slots[0].awake.tolist() == [1]


def test_who_is_told_to_be_awake_takes_its_time_and_then_from_the_queue():
    """Seven requests come as a second replica is told: the first serves them, till the second is up for the last."""
    sink = one_region([100, 100, 100, 100, 100, 100, 100], 1, 2)
    assert starts(sink) == [100, 101, 102, 103, 104, 105, 105]
    assert sink.table["replica"].tolist() == [0, 0, 0, 0, 0, 0, 1]
    assert sink.meter("wakes")[:, 0].tolist() == [0, 1]
    assert sink.meter("idle_j")[1, 0] == pytest.approx(100 * (94 + 99))  # five of them of waking up
    assert sink.meter("sleep_j")[1, 0] == pytest.approx(1000)


def test_who_is_told_to_sleep_finishes_what_it_has_and_gets_nothing_more():
    sink = one_region([99.5, 99.5, 100.2], 2, 1)
    assert starts(sink) == [99.5, 99.5, 100.5]
    assert sink.meter("asleep_ns")[1, 0] == int((100 + 99.5) * S)


def test_a_request_wakes_the_first_replica_of_a_region_asleep():
    sink = one_region([50, 52], 0, 0)
    assert starts(sink) == [55, 56]
    assert sink.meter("wakes")[:, 0].tolist() == [1, 0]
    assert sink.meter("asleep_ns")[:, 0].tolist() == [(300 - 50) * S, 300 * S]  # until it is told anew


def test_a_plan_that_does_not_say_keeps_awake_what_its_load_needs():
    """One request/s is expected of replicas that do two, and half of that is aimed at; of nothing, none."""
    sink = one_region(np.arange(100), None, None, None)
    assert [record.awake.tolist() for record in sink.slots] == [[1], [0], [0]]
    sink = one_region(np.sort(np.tile(np.arange(100), 2)), None, how=scaling(least=np.array([1])))
    assert sink.slots[0].awake.tolist() == [2]


@pytest.mark.parametrize(
    ("awake", "told"),
    [
        (np.array([4]), r"awake\[0\] = 4 replicas, must be <= 3"),
        (np.array([-1]), r"awake\[0\] = -1 replicas, must be >= 0"),
        (np.array([0.5]), r"awake\[0\] = 0.5 replicas, must be a whole number"),
        (np.array([np.nan]), r"awake\[0\] = nan replicas, must be a whole number"),
        (np.array([1, 1]), r"awake an array of shape \(2,\), must be \(regions,\) = \(1,\)"),
        ("two", "awake str, must be an array of real numbers"),
    ],
)
def test_numbers_that_cannot_be_are_refused(awake, told):
    class Wrong:
        def plan(self, view: View) -> Plan:
            return Plan(np.ones(view.mask.shape), awake)

    world = make_world(make_requests([]), fleet=make_fleet(replicas=3), scaling=scaling())
    with pytest.raises(PolicyError, match=told):
        simpy_engine.run(world, Wrong(), ListSink(), policy_name="wrong")


def test_a_cap_sends_replicas_to_sleep_and_is_a_smaller_capacity_of_the_slots_that_it_touches():
    caps = (Cap(0, 120 * S, 150 * S, 1),)
    sink = one_region([], 3, 1, 3, how=scaling(caps=caps))
    assert sink.meter("asleep_ns")[:, 0].tolist() == [0, 200 * S, 0]
    assert sink.meter("wakes")[:, 0].tolist() == [0, 0, 2]
    always = make_world(
        make_requests([]), slots=3, slot_s=100.0, fleet=make_fleet(replicas=3), scaling=scaling("always_on", caps=caps)
    )
    views = []

    class Looking(Fixed):
        def plan(self, view: View) -> np.ndarray:
            views.append(view)
            return super().plan(view)

    sink = ListSink()
    simpy_engine.run(always, Looking([[1.0]]), sink)
    assert sink.meter("asleep_ns")[:, 0].tolist() == [0, 2 * 30 * S, 0]
    assert [view.capacity_rps[0] for view in views] == pytest.approx([10.0, 10.0 / 3, 10.0])


def test_what_is_left_unattributed_are_replicas_without_work_and_their_hosts():
    sink = one_region([10, 30.5, 31.5], 2)
    energy = meter.slot_energy(sink.world, sink.slots[0])
    paid_j = 3 * (500 + 40)
    assert sink.table["energy_j"].tolist() == pytest.approx([540, 540, 540])
    assert energy.attributed_kwh[0] * J_PER_KWH == pytest.approx(paid_j)
    assert (energy.it_kwh - energy.attributed_kwh)[0] * J_PER_KWH == pytest.approx(197 * 140 + 100 * 14)


@pytest.mark.parametrize("clock_ns", CLOCKS_NS)
def test_the_books_of_elastic_worlds_balance(clock_ns):
    for seed in range(8):
        made = random_world(seed, clock_ns, active_attribution=True, full_attribution=False)
        world, generated = counting(made)
        books, sink = Books(world, [str(r) for r in range(world.regions)]), engine_run(world, Moody(seed))
        for chunk in sink.chunks:
            books.requests(chunk)
        for record in sink.slots:
            book = books.slot(record)
            assert (book.unattributed_kwh >= -1e-15).all()
        assert max(books.check(generated).values()) < 1e-9


# Following the load


def followed(arrived: np.ndarray, cool_down: int, least: int, age: int) -> list[int]:
    """What `follow` says at looks a second apart, if so many have `arrived` by then; no forecast."""
    how = scaling(
        "follow",
        every_ns=S,
        cool_down_ns=cool_down * S,
        least=np.array([least]),
        age_ns=age * S,
        utilisation=np.array([1.0]),
    )
    fleet = make_fleet(replicas=9)
    world = make_world(make_requests([]), slot_s=float(len(arrived)), fleet=fleet, scaling=how)
    scaler = Scaler(world)
    scaler.open_slot(0, np.zeros((1, 1)), Planner(world, Fixed([[1.0]]), "test"))
    return [int(scaler.awake(at * S, np.array([count]))[0]) for at, count in enumerate(arrived)]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 25), min_size=2, max_size=12), st.integers(0, 6), st.integers(0, 3), st.integers(0, 4))
def test_follow_wakes_and_sleeps_no_more_than_its_rule_says(rates, cool_down, least, age):
    """Never beyond what is there or below the least; more only as soon as more was seen to be needed; fewer only when
    all of the cool-down has needed no more."""
    said = followed(np.concatenate(([0], np.cumsum(rates))), cool_down, least, age)
    asked = [least]  # what each look asks for: rates of a second, as old as they are
    for at in range(1, len(said)):
        rate = rates[at - 1 - age] if at - 1 - age >= 0 else 0
        asked.append(min(max(-(-rate // 2), least), 9))
    for at, (before, now) in enumerate(pairwise(said), start=1):
        window = asked[max(0, at - max(cool_down, 1) + 1) : at + 1]
        assert least <= now <= 9
        assert now == max(window)
        if now > before:
            assert asked[at] == now
        if now < before:
            assert all(count <= now for count in window)


def test_follow_looks_ahead_of_the_next_slot_by_a_wake_up():
    """The forecast rises from 1 to 5 requests/s: five replicas of 2/s at half of it are awake before it does."""
    how = scaling("follow", every_ns=10 * S, replica_rps=np.array([2.0]))
    world = make_world(
        make_requests([]), slots=2, slot_s=100.0, fleet=make_fleet(replicas=8, wake_ns=15 * S), scaling=how
    )
    world = World(**{**vars(world), "expected_rps": np.array([[1.0], [5.0]])})
    sink = ListSink()
    simpy_engine.run(world, Fixed([[1.0]]), sink)
    assert [record.awake.tolist() for record in sink.slots] == [[1], [5]]
    assert sink.meter("wakes")[:, 0].tolist() == [4, 0]
    assert sink.meter("asleep_ns")[0, 0] == (7 * 100 - 4 * 20) * S  # told at 80 s: at 90 s it would be too late


def test_nobody_is_left_in_the_queue_of_a_region_whose_replicas_all_sleep():
    for seed in range(15):
        world, generated = counting(random_world(seed, CLOCKS_NS[1], timeout_ns=NEVER_NS, outages=[]))
        table = engine_run(world, Moody(seed)).table
        assert len(table) == generated.count
        assert set(table["status"].tolist()) <= {SERVED, REJECTED}
