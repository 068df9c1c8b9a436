"""Rates by hand, and requests that depend on the scenario and its seed alone."""

import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from glbdes.errors import ScenarioError, TraceError
from glbdes.scenario import Scenario
from glbdes.scenario import model as scenario
from glbdes.workload import Requests
from glbdes.workload import requests as workload

SLOT_NS = 20_000_000_000
LAWS = ("poisson", "gamma", "mmpp")


def make(
    time: dict[str, Any] | None = None, gateways: dict[str, Any] | None = None, seed: int = 1, **keys: Any
) -> Scenario:
    tables = {name: keys.pop(name) for name in ("slo", "policy", "dispatch", "signals") if name in keys}
    return scenario.validate(
        {
            "name": "small",
            "seed": seed,
            "time": {"slots": 30, "simulated_s_per_slot": 20.0, **(time or {})},
            "regions": {"texas": {"profile": "h100_llama8b"}, "japan": {"profile": "h100_llama8b"}},
            "gateways": gateways or {"texas": {"load": 0.5}, "osaka": {"rate_per_s": 8.0, "utc_offset_h": 9.0}},
            "workload": keys,
            **tables,
        }
    )


def rates(given: Scenario, folder: Path | None = None, load: np.ndarray | None = None) -> np.ndarray:
    return workload.expected_rps(given, np.array([10.0, np.nan]), folder, load=load)


def slots_of(given: Scenario, order: list[int] | None = None) -> dict[int, Requests]:
    stream = workload.stream(given, rates(given))
    return {slot: stream(slot) for slot in (range(given.time.slots) if order is None else order)}


def same(a: Requests, b: Requests, but: tuple[str, ...] = ()) -> bool:
    names = [field.name for field in fields(Requests) if field.name not in but]
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in names)


def column(slots: dict[int, Requests], name: str) -> np.ndarray:
    return np.concatenate([getattr(requests, name) for requests in slots.values()])


# Rates


def test_a_constant_rate_is_load_of_home_or_rate_times_scale() -> None:
    np.testing.assert_allclose(rates(make(load_scale=2.0)), np.tile([10.0, 16.0], (30, 1)), rtol=1e-15)


@pytest.mark.parametrize("slot_s", [3600.0, 900.0, 10_800.0, 86_400.0])
def test_a_diurnal_rate_has_the_base_rate_as_its_mean_over_a_day(slot_s: float) -> None:
    given = make({"slots": round(86_400 / slot_s), "slot_s": slot_s}, shape="diurnal", diurnal_amplitude=0.7)
    np.testing.assert_allclose(rates(given).mean(axis=0), [5.0, 8.0], rtol=1e-12)


@pytest.mark.parametrize(("start", "peak_h"), [("2022-09-22T00:00:00", 14.5), ("2022-09-22T07:00:00", 3.5)])
def test_each_gateway_is_busiest_at_the_peak_of_its_own_clock(start: str, peak_h: float) -> None:
    given = make({"slots": 24, "start_utc": start}, shape="diurnal", diurnal_peak_h=peak_h)
    busiest_utc = rates(given).argmax(axis=0) + int(start[11:13])
    assert (busiest_utc % 24).tolist() == [math.floor(peak_h), (math.floor(peak_h) - 9) % 24]


def test_a_diurnal_peak_and_trough_have_the_asked_amplitude() -> None:
    shape = rates(make({"slots": 24 * 60, "slot_s": 60.0}, shape="diurnal", diurnal_amplitude=0.4))[:, 1] / 8.0
    assert (shape.max(), shape.min()) == (pytest.approx(1.4, abs=1e-4), pytest.approx(0.6, abs=1e-4))


def test_a_slot_gets_the_mean_of_the_daily_curve_over_its_time() -> None:
    fine = rates(make({"slots": 24 * 60, "slot_s": 60.0}, shape="diurnal")).reshape(24, 60, 2).mean(axis=1)
    np.testing.assert_allclose(rates(make({"slots": 24}, shape="diurnal")), fine, rtol=1e-12)


def test_a_load_trace_multiplies_every_gateway(tmp_path: Path) -> None:
    (tmp_path / "load.csv").write_text("load\n" + "\n".join(str(slot / 10) for slot in range(30)))
    given = make(shape="trace", load_file="load.csv", load_scale=2.0)
    np.testing.assert_allclose(rates(given, tmp_path), np.outer(np.arange(30) / 10, [10.0, 16.0]), rtol=1e-15)


def test_the_load_beside_the_signals_goes_before_the_load_file(tmp_path: Path) -> None:
    given = make(shape="trace", load_file="absent.csv")
    np.testing.assert_array_equal(rates(given, tmp_path, np.arange(40.0)), np.outer(np.arange(30.0), [5.0, 8.0]))


def test_a_load_trace_that_is_missing_or_short_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"no load trace 'absent\.csv'"):
        rates(make(shape="trace", load_file="absent.csv"), tmp_path)
    with pytest.raises(TraceError, match=r"has 29 slots, must have time\.slots = 30"):
        rates(make(shape="trace", load_file="absent.csv"), tmp_path, np.ones(29))
    with pytest.raises(ScenarioError, match=r"workload\.load_file: missing"):
        rates(make(shape="trace", signals={"source": "folder"}), tmp_path)


# Requests


@pytest.mark.parametrize("law", LAWS)
def test_requests_are_sorted_on_the_clock_and_inside_their_slot(law: str) -> None:
    for slot, requests in slots_of(make({"clock_ns": 250_000_000}, arrivals=law)).items():
        assert (np.diff(requests.arrival_ns) >= 0).all()
        tied = np.diff(requests.arrival_ns) == 0
        assert tied.sum() > 20  # 80 ticks and 260 requests a slot
        assert (np.diff(requests.gateway)[tied] >= 0).all()
        assert (requests.arrival_ns % 250_000_000 == 0).all()
        assert requests.arrival_ns.min() >= slot * SLOT_NS
        assert requests.arrival_ns.max() < (slot + 1) * SLOT_NS


@pytest.mark.parametrize("law", LAWS)
def test_any_order_of_slots_gives_the_same_requests_and_ids(law: str) -> None:
    given = make(arrivals=law)
    forward, shuffled = slots_of(given), slots_of(given, [29, 3, 4, 3, 0, 28])
    for slot, requests in shuffled.items():
        assert same(requests, forward[slot])
    ids = column(forward, "request_id")
    np.testing.assert_array_equal(ids, np.arange(len(ids)))


def test_a_longer_horizon_and_other_rules_leave_the_requests_as_they_are() -> None:
    base = slots_of(make())
    for other in (
        make({"slots": 31}),
        make(policy={"name": "cost"}, dispatch={"rule": "least_loaded"}),
    ):
        assert all(same(requests, base[slot]) for slot, requests in slots_of(other).items() if slot in base)


def test_streams_do_not_disturb_one_another() -> None:
    base = slots_of(make())
    lengths = slots_of(make(lengths={"law": "geometric", "prompt_tokens": 50, "output_tokens": 50}))
    classes = slots_of(make(slo={"a": {}, "b": {}}))
    busier = slots_of(make(gateways={"texas": {"load": 0.5}, "osaka": {"rate_per_s": 9.0}}))
    for slot, requests in base.items():
        assert same(requests, lengths[slot], but=("prompt_tokens", "output_tokens"))
        assert same(requests, classes[slot], but=("slo",))
        assert np.array_equal(
            requests.arrival_ns[requests.gateway == 0], busier[slot].arrival_ns[busier[slot].gateway == 0]
        )


def test_seeds_gateways_and_slots_have_draws_of_their_own() -> None:
    one, two = slots_of(make(seed=1)), slots_of(make(seed=2))
    uniforms = np.concatenate([column(one, "uniform"), column(two, "uniform")])
    assert len(np.unique(uniforms)) == len(uniforms)
    arrivals = column(one, "arrival_ns") % SLOT_NS
    assert len(np.unique(arrivals)) > 0.9999 * len(arrivals)


@pytest.mark.parametrize("law", LAWS)
def test_requests_come_at_the_expected_rate_at_every_gateway(law: str) -> None:
    given = make({"slots": 600}, arrivals=law, shape="diurnal", diurnal_amplitude=0.5)
    expected = rates(given) * 20.0
    slots = slots_of(given)
    counts = np.array([np.bincount(requests.gateway, minlength=2) for requests in slots.values()])
    errors = (counts - expected).std(axis=0) * np.sqrt(len(counts))
    assert (abs((counts - expected).sum(axis=0)) < 3 * errors).all()
    assert (errors < 0.03 * expected.sum(axis=0)).all()


def test_a_diurnal_stream_is_busiest_when_its_rate_is() -> None:
    slots = slots_of(make({"slots": 24, "simulated_s_per_slot": 200.0}, shape="diurnal", diurnal_amplitude=0.9))
    counts = np.array([np.bincount(requests.gateway, minlength=2) for requests in slots.values()])
    assert np.corrcoef(counts[:, 0], counts[:, 1])[0, 1] < -0.3  # nine hours apart
    angle = np.exp(2j * np.pi * (np.arange(24) + 0.5) / 24)
    peaks_h = np.angle(counts.T @ angle) / (2 * np.pi) * 24 % 24
    assert peaks_h.tolist() == pytest.approx([14.0, 5.0], abs=0.3)


def test_uniforms_are_uniform_and_independent_of_the_rest() -> None:
    slots = slots_of(make({"slots": 200}))
    uniform = column(slots, "uniform")
    assert stats.kstest(uniform, "uniform").pvalue > 0.01
    for name in ("prompt_tokens", "output_tokens", "arrival_ns", "gateway"):
        assert abs(stats.spearmanr(uniform, column(slots, name)).statistic) < 3 / np.sqrt(len(uniform))


def test_classes_get_their_shares() -> None:
    slo = column(slots_of(make({"slots": 200}, slo={"a": {"share": 3.0}, "b": {"share": 1.0}})), "slo")
    assert set(slo.tolist()) == {0, 1}
    assert abs((slo == 1).mean() - 0.25) < 3 * np.sqrt(0.25 * 0.75 / len(slo))
    assert set(column(slots_of(make()), "slo").tolist()) == {0}


def test_nobody_is_a_slot_too() -> None:
    quiet = make(gateways={"texas": {"load": 0.0}, "osaka": {"rate_per_s": 0.0}})
    requests = slots_of(quiet)[29]
    assert len(requests) == 0
    assert {getattr(requests, field.name).dtype for field in fields(Requests)} == {
        np.dtype(np.int64),
        np.dtype(np.float64),
    }


def test_first_draws_are_what_they_have_always_been() -> None:
    """A golden row: the meaning of a seed may not change unnoticed, be it by us or by a new NumPy."""
    requests = slots_of(make({"slots": 2}), [1])[1]
    names = ("request_id", "gateway", "prompt_tokens", "output_tokens", "arrival_ns", "uniform")
    first = [getattr(requests, name)[0].item() for name in names]
    assert first == [244, 0, 181, 71, 20035568590, 0.2659584448525214]
