"""How long compressed slots warm up, and where compression is warned of."""

from dataclasses import replace

import numpy as np
import pytest

from glbdes import scenario
from glbdes.scenario.model import Time
from glbdes.units import NS_PER_S
from glbdes.world import METER_DTYPE, SlotRecord, World, compression
from tests.world.built import SHORT, THREE, made

SERVERS, CAPACITY_RPS = np.array([48, 96]), np.array([12.0, 16.0])


@pytest.mark.parametrize(
    ("time", "expected_s"),
    [
        ({}, 0.0),
        ({"simulated_s_per_slot": 3600.0}, 0.0),
        ({"simulated_s_per_slot": 30.0}, 18.0),  # 3 x 96 / 16
        ({"simulated_s_per_slot": 30.0, "warmup_s": 0.0}, 0.0),
        ({"simulated_s_per_slot": 30.0, "warmup_s": 2.5}, 2.5),
        ({"warmup_s": 2.5}, 2.5),
    ],
)
def test_a_slot_warms_up_for_what_is_said_or_three_residences(time: dict, expected_s: float) -> None:
    assert compression.warmup_s(Time(slots=1, **time), SERVERS, CAPACITY_RPS) == expected_s


def test_the_rule_rounds_up_to_tenths() -> None:
    compressed = Time(slots=1, simulated_s_per_slot=30.0)
    assert compression.warmup_s(compressed, SERVERS[:1], np.array([47.0])) == 3.1  # 3.064
    assert compression.warmup_s(compressed, SERVERS[:1], np.array([1e6])) == 0.1
    assert compression.warmup_s(compressed, None, CAPACITY_RPS) == 0.0


def test_a_world_has_it_on_its_clock_and_a_flow_has_none() -> None:
    world = made("three", SHORT, "time.warmup_s=2.25", "time.clock_ns=100000000")
    assert (world.warmup_ns, world.period_ns, world.horizon_ns) == (2_300_000_000, 32_300_000_000, 96_900_000_000)
    assert made("three", SHORT).warmup_ns == 18 * NS_PER_S
    assert made("three", SHORT, "time.slot_s=30").warmup_ns == 0
    assert made("three", SHORT, "engine=fluid", "time.warmup_s=5").warmup_ns == 0


def warned(*settings: str) -> list[str]:
    chosen, _ = scenario.load(THREE, (SHORT, *settings))
    return compression.warnings(chosen, made("three", SHORT, *settings))


OVERLOAD = ("dispatch.overload=allow", "workload.load_scale=3")


def test_what_does_not_compress_is_warned_of() -> None:
    assert warned() == []
    assert warned("fleet.sleep_after_s=2.9", "fleet.wake_s=3.0") == []
    (sleep,) = warned("fleet.sleep_after_s=3.1")
    assert sleep.startswith(
        "compressed time, all 3 regions: sleep_after_s = 3.1 s, over 0.1 of a slot's 30 simulated s"
    )
    (wake,) = warned("regions.sweden.wake_s=3.1")
    assert wake.startswith("compressed time, sweden: wake_s = 3.1 s")
    (over,) = warned(*OVERLOAD)
    assert "all 3 regions: in slot" in over
    assert "Queues do not compress" in over


def test_real_time_and_flows_are_not_warned_of() -> None:
    bad = (*OVERLOAD, "fleet.sleep_after_s=100", "fleet.wake_s=100")
    assert len(warned(*bad)) == 3
    assert warned(*bad, "time.slot_s=30") == []
    assert warned(*bad, "engine=fluid") == []


def test_wake_ups_and_looks_are_warned_of_with_what_is_enough() -> None:
    follow = ("scaling.rule=follow", "scaling.every_s=1", "scaling.cool_down_s=0", "fleet.wake_s=6")
    (wake,) = warned(*follow)
    assert wake.endswith("time.simulated_s_per_slot >= 60 s shows them")
    assert [line.split(": ")[1].split(" = ")[0] for line in warned(*follow, "scaling.cool_down_s=9")] == [
        "wake_s",
        "scaling.cool_down_s",
    ]
    assert warned(*follow, "fleet.wake_s=3") == []


def test_sessions_are_warned_of() -> None:
    sessions = ("workload.sessions.turns=3", "serving.scheduler=chunked")
    assert ["have prefixes in common" in line for line in warned(*sessions)] == [True]
    assert warned(*sessions, "time.slot_s=30") == []


def planned(world: World, slot: int, weights: np.ndarray) -> SlotRecord:
    meters = np.zeros(world.regions, dtype=METER_DTYPE)
    return SlotRecord(slot, weights, world.expected_rps[slot], np.zeros_like(weights, dtype=np.int64), meters, {})


def test_a_run_warns_of_what_was_planned() -> None:
    world = made("three", SHORT)
    utilisation = 0.9
    full_rps = world.capacity_rps / utilisation
    world = replace(world, expected_rps=np.tile(full_rps, (3, 1)))
    home, away = np.eye(3), np.eye(3)
    away[0] = [0.5, 0.5, 0.0]  # the second region gets half of the first one's load as well
    watch = compression.Watch(world, utilisation)
    watch.slot(planned(world, 0, home))
    assert watch.warnings(["a", "b", "c"]) == []
    watch.slot(planned(world, 2, away))
    (line,) = watch.warnings(["a", "b", "c"])
    assert line.startswith(
        f"compressed time, planned above capacity: b in 1 slots (up to {1 + full_rps[0] / 2 / full_rps[1]:.0%})"
    )
