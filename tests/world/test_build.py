"""A world is what its scenario says, in indices, nanoseconds and requests per second."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from glbdes import resources
from glbdes.errors import InfeasibleError, ProfileError, ScenarioError, SignalError
from glbdes.hardware.physics import LEAST_LOADED, NEVER_NS
from glbdes.scenario import model as scenario
from glbdes.units import NS_PER_S, S_PER_H
from glbdes.world import network
from glbdes.world.build import build
from tests.paper import FOLDER, PARTIAL, paper_world
from tests.world.built import SHORT, THREE, made

# Time


def test_a_compressed_slot_is_shorter_and_weighs_more() -> None:
    world = made("three", SHORT, "time.slot_s=3600", "time.simulated_s_per_slot=30")
    assert (world.slots, world.slot_ns, world.slot_s, world.weight) == (3, 30 * NS_PER_S, 3600.0, 120.0)


def test_every_duration_is_a_multiple_of_the_clock() -> None:
    settings = ("time.clock_ns=7000000", "dispatch.telemetry_s=0.5", "dispatch.timeout_s=10", "fleet.sleep_after_s=9")
    world = made("three", SHORT, *settings, "fleet.wake_s=2")
    times = [world.slot_ns, world.telemetry_ns, world.timeout_ns, *world.latency_ns.ravel()]
    times += [*world.fleet.sleep_after_ns, *world.fleet.wake_ns]
    assert all(time > 0 and time % 7_000_000 == 0 for time in times)


def test_what_is_not_set_never_happens() -> None:
    world = made("three", SHORT)
    assert world.timeout_ns == NEVER_NS
    assert (world.fleet.sleep_after_ns == NEVER_NS).all()
    assert (world.fleet.max_queue == NEVER_NS).all()
    assert world.telemetry_ns == 0
    assert world.outages == ()


# Load


def test_load_counts_in_the_capacity_of_the_home_region() -> None:
    settings = ("workload.shape=constant", "regions.sweden.replicas=3", "gateways.oregon.home=sweden")
    world = made("three", SHORT, *settings, "dispatch.max_utilisation=0.9", "gateways.singapore.load=0.3")
    one = world.capacity_rps[0] / 0.9
    assert world.expected_rps == pytest.approx(np.tile([0.6 * 3 * one, 0.6 * 3 * one, 0.3 * one], (3, 1)))


def test_a_rate_in_requests_needs_no_home() -> None:
    settings = ("workload.shape=constant", "gateways.lima={rate_per_s=0.25,latitude_deg=-12.05,longitude_deg=-77.04}")
    assert made("three", SHORT, *settings).expected_rps[:, 3] == pytest.approx(0.25)


def test_requests_come_at_the_expected_rate() -> None:
    world = made("three")
    drawn = sum(len(world.requests(slot)) for slot in range(world.slots))
    expected = world.expected_rps.sum() * world.period_ns / NS_PER_S
    assert drawn == pytest.approx(expected, abs=4 * expected**0.5)


def test_the_same_scenario_makes_the_same_world() -> None:
    one, other = made("three", SHORT), made("three", SHORT)
    for name in ("arrival_ns", "gateway", "prompt_tokens", "output_tokens", "uniform"):
        assert (getattr(one.requests(2), name) == getattr(other.requests(2), name)).all()


def test_seed_changes_requests_and_nothing_else() -> None:
    one, other = made("three", SHORT), made("three", SHORT, "seed=2")
    assert (
        len(one.requests(0)) != len(other.requests(0))
        or (one.requests(0).arrival_ns != other.requests(0).arrival_ns).any()
    )
    assert (one.expected_rps == other.expected_rps).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["workload.load_scale=2", "workload.shape=constant"],
            r"scenario 'three', slot 0: expected load of all 3 gateways = .* requests/s, must be <= .* requests/s: "
            r"dispatch.max_utilisation = 0.9 of all 3 regions, where it may go",
        ),
        (
            ["gateways.sweden.regions=['sweden']", "gateways.sweden.load=0.95", "workload.shape=constant"],
            r"slot 0: expected load of gateway sweden = .* of region sweden, where it may go",
        ),
        (
            ["gateways.*.regions=['sweden', 'oregon']", "gateways.*.load=0.7", "workload.shape=constant"],
            r"slot 0: expected load of all 3 gateways = .* of regions oregon, sweden, where it may go",
        ),
    ],
)
def test_load_that_does_not_fit_is_refused_and_may_be_allowed(settings: list[str], message: str) -> None:
    with pytest.raises(InfeasibleError, match=message):
        made("three", SHORT, *settings)
    assert made("three", SHORT, *settings, "dispatch.overload=allow").slots == 3


# What the comments of llm10 invite to


@pytest.mark.parametrize(
    "settings",
    [
        ["dispatch.rule=least_loaded", "regions.japan.replicas=4"],
        ["workload.shape=diurnal", "workload.load_scale=0.6"],
        ["gateways.texas.regions=['texas', 'nevada']"],
        ["workload.arrivals=gamma"],
        ["workload.arrivals=mmpp"],
    ],
)
def test_variants_that_llm10_names_can_be_built(settings: list[str]) -> None:
    assert len(made("llm10", *settings).requests(0)) > 1000


def test_faults_that_llm10_shows_are_valid(tmp_path: Path) -> None:
    text, _, faults = (resources.root("scenarios") / "llm10.toml").read_text().partition("# [[faults]]")
    shown = ("# [[faults]]" + faults).replace("# ", "")
    (tmp_path / "faulty.toml").write_text(text + shown.replace("#\n", "\n"))
    world = made(str(tmp_path / "faulty.toml"))
    assert [outage.region for outage in world.outages] == [4]
    assert world.seen.stale_slots[30:36, 0].tolist() == [1, 2, 3, 4, 5, 6]


# Places, dispatch, signals


def test_latency_is_the_networks_on_the_clock() -> None:
    loaded, path = scenario.load(THREE, [SHORT, "time.clock_ns=1000"])
    world = build(loaded, path.parent)
    assert world.latency_s == pytest.approx(
        network.latency_s(loaded.network, loaded.gateways, loaded.regions), abs=0.5e-6
    )


def test_even_the_nearest_region_is_a_tick_away() -> None:
    assert made("three", SHORT, "network.base_s=0").latency_ns.min() == 1


def test_mask_and_dispatch_are_those_of_the_scenario() -> None:
    settings = ("gateways.sweden.regions=['sweden', 'oregon']", "dispatch.rule=least_loaded", "dispatch.demand=last")
    world = made("three", SHORT, *settings, "records.attribution=full")
    assert world.allowed.tolist() == [[True, True, True], [True, True, False], [True, True, True]]
    assert (world.dispatch, world.demand, world.full_attribution) == (LEAST_LOADED, "last", True)


def test_objective_is_in_the_worlds_units() -> None:
    world = made("three", SHORT)
    assert (world.carbon_usd_per_kg, world.water_usd_per_l) == pytest.approx((1.5, 0.06))


def test_policies_do_not_see_a_missing_signal_and_the_books_do() -> None:
    settings = ("signals.source=llm10_signals.csv", "time.slots=48")
    faults = "faults=[{region='texas', signal='carbon', start_h=10, end_h=20}]"
    world = made("llm10", *settings, faults)
    assert (world.seen.carbon_g_per_kwh[10:20, 0] == world.signals.carbon_g_per_kwh[9, 0]).all()
    assert (world.signals.carbon_g_per_kwh[10:20, 0] != world.signals.carbon_g_per_kwh[9, 0]).any()
    assert world.outages == ()


def test_arrays_of_a_world_are_read_only() -> None:
    world = made("three", SHORT)
    arrays = [getattr(world, field.name) for field in fields(world)]
    arrays = [
        array for array in [*arrays, *world.fleet, *vars(world.signals).values()] if isinstance(array, np.ndarray)
    ]
    assert len(arrays) > 25
    assert not any(array.flags.writeable for array in arrays)


@pytest.mark.parametrize(
    ("setting", "error", "message"),
    [
        ("fleet.profile=h100_llama8", ProfileError, r"h100_llama8.*did you mean 'h100_llama8b'"),
        ("signals.source=no.csv", SignalError, r"no\.csv"),
        ("regions.*.pue=1.0", SignalError, r"price_usd_per_kwh"),
    ],
)
def test_files_and_signals_that_are_not_there_are_reported(setting: str, error: type[Exception], message: str) -> None:
    constants = "regions.sweden={pue=1.1}" if "pue" in setting else SHORT
    with pytest.raises(error, match=message):
        made("three", constants, setting)


# Megawatts


@pytest.mark.parametrize(("name", "mask"), [("paper", np.ones((10, 10), dtype=bool)), ("paper_partial", PARTIAL)])
def test_paper_scenario_on_the_authors_files_is_the_papers_setting(name: str, mask: np.ndarray) -> None:
    by_hand = paper_world(mask)  # skips without the data
    world = made(name, signals=FOLDER)
    assert (world.slots, world.slot_s, world.weight) == (by_hand.slots, by_hand.slot_s, by_hand.weight)
    assert (world.allowed == mask).all()
    for column in ("expected_rps", "capacity_rps", "it_kwh_per_request"):
        assert getattr(world, column) == pytest.approx(getattr(by_hand, column), rel=1e-12)
    for column in ("price_usd_per_kwh", "carbon_g_per_kwh", "wue_l_per_kwh", "ewif_l_per_kwh", "pue"):
        assert getattr(world.signals, column) == pytest.approx(getattr(by_hand.signals, column), rel=1e-12)
    assert (world.carbon_usd_per_kg, world.water_usd_per_l) == pytest.approx((1.5, 0.06))


def test_a_megawatt_for_an_hour_is_a_megawatt_hour() -> None:
    world = made("paper", SHORT)
    assert world.it_kwh_per_request * S_PER_H == pytest.approx(1000.0)
    assert (world.fleet.host_w == 0).all()


def test_a_fleet_in_megawatts_has_no_requests() -> None:
    with pytest.raises(ScenarioError, match="engine 'fluid'"):
        made("paper", SHORT).requests(0)


def test_load_in_megawatts_that_does_not_fit_says_so() -> None:
    with pytest.raises(InfeasibleError, match=r"all 10 gateways = 12 MW, must be <= 10 MW"):
        made("paper", "workload.load_scale=1.2")
