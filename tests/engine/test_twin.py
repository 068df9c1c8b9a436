"""The request-level engines against the brute-force twin, world after random world, ties included."""

from collections import Counter

import numpy as np
import pytest

from glbdes.hardware.physics import DISPATCH_NAMES, FAILED, REJECTED, SERVED, TIMED_OUT
from tests.random_worlds import CLOCKS_NS, Moody, disagreements, engine_run, fast_run, random_world
from tests.twin import simulate

QUICK, LONG = 150, 2500  # worlds on each clock


def assert_agree(clock_ns: int, seeds: range, run=engine_run) -> None:
    for seed in seeds:
        found = disagreements(random_world(seed, clock_ns), seed, run)
        assert not found, f"world {seed} on a clock of {clock_ns} ns:\n" + "\n".join(found)


@pytest.mark.parametrize("clock_ns", CLOCKS_NS)
def test_engine_and_twin_agree_in_random_worlds(clock_ns):
    assert_agree(clock_ns, range(QUICK))


@pytest.mark.parametrize("clock_ns", CLOCKS_NS)
def test_compiled_engine_and_twin_agree_in_random_worlds(clock_ns):
    assert_agree(clock_ns, range(QUICK), fast_run)


@pytest.mark.slow
@pytest.mark.parametrize("clock_ns", CLOCKS_NS)
def test_engine_and_twin_agree_in_thousands_of_random_worlds(clock_ns):
    assert_agree(clock_ns, range(QUICK, LONG))


def test_the_random_worlds_press_on_every_rule():
    seen = Counter()
    for clock_ns in CLOCKS_NS:
        for seed in range(QUICK):
            world = random_world(seed, clock_ns)
            run = simulate(world, Moody(seed))
            table, meters = run.requests, np.array([record.meters for record in run.slots])
            seen.update({f"status {status}": int((table["status"] == status).any()) for status in range(4)})
            seen.update({f"dispatch {world.dispatch}": 1, "full attribution": int(world.full_attribution)})
            seen["hosts charged"] += int(world.active_attribution)
            seen["packed"] += int((world.fleet.pack > 0).any())
            if world.scaling is not None:
                seen.update({f"scaling {world.scaling.rule}": 1, "caps": int(bool(world.scaling.caps))})
                seen["told to sleep"] += int(meters["asleep_ns"].any())
                seen["told to wake"] += int(meters["wakes"].any())
                seen["none awake"] += int(any((np.asarray(record.awake) == 0).any() for record in run.slots))
            seen["dispatched again"] += int((table["attempts"] > 1).any())
            seen["served at last"] += int(((table["attempts"] > 1) & (table["status"] == SERVED)).any())
            seen["beyond the horizon"] += int((table["finish_ns"] > world.horizon_ns).any())
            seen["several slots"] += int(world.slots > 1)
            seen["queue"] += int((meters["queue_max"] > 1).any())
            delay = [v.admitted_ns is not None and v.admitted_ns > v.entered_ns for v in run.visits]
            seen["admitted from the queue"] += int(any(delay))
    statuses = [f"status {status}" for status in (SERVED, REJECTED, TIMED_OUT, FAILED)]
    rules = [f"dispatch {rule}" for rule in range(len(DISPATCH_NAMES))]
    others = ["full attribution", "dispatched again", "served at last", "beyond the horizon", "several slots", "queue"]
    others += [f"scaling {rule}" for rule in ("follow", "planned")]
    others += ["hosts charged", "packed", "caps", "told to sleep", "told to wake", "none awake"]
    rare = {name: seen[name] for name in [*statuses, *rules, *others, "admitted from the queue"] if seen[name] < 60}
    assert not rare, f"worlds in which it happens, of {QUICK * len(CLOCKS_NS)}: {rare}"
