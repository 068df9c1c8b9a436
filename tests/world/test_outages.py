"""Outages on the simulated clock."""

from glbdes.units import NS_PER_S
from glbdes.world.outages import Outage
from tests.world.built import SHORT, made

NONE = "time.warmup_s=0"


def test_outages_shrink_with_the_slots_and_stay_apart() -> None:
    faults = "faults=[{region='sweden', start_h=1.5, end_h=2}, {region='oregon', start_h=0, end_h=1.5}]"
    world = made("three", SHORT, "time.simulated_s_per_slot=30", NONE, faults)
    assert world.outages == (Outage(0, 0, 45 * NS_PER_S), Outage(1, 45 * NS_PER_S, 60 * NS_PER_S))


def test_an_outage_shorter_than_a_tick_still_happens() -> None:
    world = made("three", SHORT, NONE, "time.clock_ns=1000000000", "faults=[{region='sweden', start_h=1, end_h=1.01}]")
    assert world.outages == (Outage(1, 30 * NS_PER_S, 31 * NS_PER_S),)


def test_warmups_come_between_and_a_slot_begins_before_its_warmup() -> None:
    faults = "faults=[{region='sweden', start_h=0.5, end_h=2}, {region='oregon', start_h=1, end_h=1.5}]"
    world = made("three", SHORT, "time.warmup_s=10", faults)
    seconds = [(region, down / NS_PER_S, up / NS_PER_S) for region, down, up in world.outages]
    assert seconds == [(1, 10 + 15, 80), (0, 40, 40 + 10 + 15)]
