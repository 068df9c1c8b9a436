"""Requests depend on the scenario and its seed alone."""

from dataclasses import fields

import numpy as np
import pytest
from scipy import stats

from glbdes.scenario import Scenario
from glbdes.workload import Requests
from glbdes.workload.requests import stream
from tests.workload.small import make, rates

SLOT_NS = 20_000_000_000
LAWS = ("poisson", "gamma", "mmpp")


def slots_of(given: Scenario, order: list[int] | None = None) -> dict[int, Requests]:
    requests = stream(given, rates(given))
    return {slot: requests(slot) for slot in (range(given.time.slots) if order is None else order)}


def same(a: Requests, b: Requests, but: tuple[str, ...] = ()) -> bool:
    names = [field.name for field in fields(Requests) if field.name not in but]
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in names)


def column(slots: dict[int, Requests], name: str) -> np.ndarray:
    return np.concatenate([getattr(requests, name) for requests in slots.values()])


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


WARMUP_NS = 5_000_000_000


@pytest.mark.parametrize("law", LAWS)
def test_a_warmup_has_draws_of_its_own_and_leaves_the_others_as_they_are(law: str) -> None:
    given = make({"slots": 400}, arrivals=law)
    bare, warmed = stream(given, rates(given)), stream(given, rates(given), warmup_ns=WARMUP_NS)
    counts, ids = np.zeros(2), []
    for slot in range(400):
        plain, whole = bare(slot), warmed(slot)
        begin_ns = slot * (WARMUP_NS + SLOT_NS)
        counted = whole.arrival_ns >= begin_ns + WARMUP_NS
        for name in ("gateway", "slo", "prompt_tokens", "output_tokens", "uniform"):
            np.testing.assert_array_equal(getattr(whole, name)[counted], getattr(plain, name))
        moved_ns = slot * WARMUP_NS + WARMUP_NS
        np.testing.assert_array_equal(whole.arrival_ns[counted], plain.arrival_ns + moved_ns)
        assert (whole.arrival_ns >= begin_ns).all()
        assert (np.diff(whole.arrival_ns) >= 0).all()
        assert not np.isin(whole.uniform[~counted], plain.uniform).any()
        counts += np.bincount(whole.gateway[~counted], minlength=2)
        ids.append(whole.request_id)
    np.testing.assert_array_equal(np.concatenate(ids), np.arange(sum(map(len, ids))))
    expected = rates(given).sum(axis=0) * WARMUP_NS / 1e9
    spread = {"poisson": 1.0, "gamma": 2.0, "mmpp": 4.0}[law]
    assert (abs(counts - expected) < 4 * spread * np.sqrt(expected)).all()


def test_nobody_is_a_slot_too() -> None:
    quiet = make(gateways={"texas": {"load": 0.0}, "osaka": {"rate_per_s": 0.0}})
    requests = slots_of(quiet)[29]
    assert len(requests) == 0
    columns = [getattr(requests, field.name) for field in fields(Requests)]
    assert {column.dtype for column in columns if column is not None} == {
        np.dtype(np.int64),
        np.dtype(np.float64),
    }


def test_first_draws_are_what_they_have_always_been() -> None:
    """A golden row: the meaning of a seed may not change unnoticed, be it by us or by a new NumPy."""
    requests = slots_of(make({"slots": 2}), [1])[1]
    names = ("request_id", "gateway", "prompt_tokens", "output_tokens", "arrival_ns", "uniform")
    first = [getattr(requests, name)[0].item() for name in names]
    assert first == [244, 0, 181, 71, 20035568590, 0.2659584448525214]
