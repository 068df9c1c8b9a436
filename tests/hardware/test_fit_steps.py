"""Steps: known coefficients come back, energy follows, files and ranges that say too little are refused."""

import re
from pathlib import Path

import numpy as np
import pytest

from glbdes.errors import ProfileError
from glbdes.hardware import profile
from glbdes.hardware.chunked import Chunked, Cost
from glbdes.hardware.derived import derived
from glbdes.hardware.fit_steps import Region, bands, fit_chunked, where_work_is, with_host
from glbdes.hardware.measurements import Steps
from glbdes.hardware.physics import iterations_s
from glbdes.hardware.steps import shared_cost
from glbdes.hardware.steps_file import read_steps
from glbdes.hardware.steps_profile import Replica, profile_of, residuals
from glbdes.hardware.written import to_toml

VLLM = Path(__file__).resolve().parents[2] / "../shared/data/vllm"
TRUE = Cost(
    tokens=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
    table=(0.010, 0.010, 0.0101, 0.0102, 0.0105, 0.011, 0.012, 0.014, 0.02, 0.04),
    decode=(0.0, 2e-5, 1e-7),
    mixed=(5e-4, 4e-5, 3e-7),
    delta=5e-9,
    eps=2e-9,
)
WHOLE = Region(64, 1, 4096, 10**9)
REPLICA = Replica("toy", "toy", "toy", max_batch=64, kv_tokens=50_000, idle_w=30.0, sleep_w=10.0)


def grid(cost: Cost = TRUE, energy: Cost | None = None) -> Steps:
    """Steps without noise of a server that obeys the formula."""
    axes = [0, 16, 100, 256, 448], [0, 128, 1024], [0, 1, 2, 3, 7, 16, 32, 64], [128, 1000, 4096]
    tokens, before, batch, context = (axis.ravel() for axis in np.meshgrid(*axes))
    keep = ((tokens > 0) | (before == 0)) & ((tokens > 0) | (batch > 0)) & ((batch > 0) | (context == 128))
    steps = Steps(tokens, before, batch, context * (batch > 0), tokens * 1.0, None).only(keep)
    steps = steps._replace(time_s=cost.of_steps(steps))
    return steps if energy is None else steps._replace(energy_j=energy.of_steps(steps))


# The formula


def test_a_step_is_the_sum_of_its_terms():
    """Seven requests of 100 tokens and a chunk of 9 behind 50: 16 tokens, 8 scheduled."""
    one = Steps(*(np.array([n]) for n in (9, 50, 7, 100)), np.zeros(1), None)
    cost = TRUE.model_copy(update={"head": 1e-3})
    by_hand = 0.0105 + 8e-3 + 5e-4 + 7 * 4e-5 + 700 * 3e-7 + 450 * 5e-9 + 81 * 2e-9
    assert cost.of_steps(one) == pytest.approx(by_hand, rel=1e-14)
    alone = one._replace(prefill_tokens=np.array([0]), prefill_context=np.array([0]))
    assert cost.of_steps(alone) == pytest.approx(0.0102 - 0.0001 / 4 + 7e-3 + 7 * 2e-5 + 700 * 1e-7, rel=1e-14)


def test_the_table_goes_on_with_its_last_slope():
    assert TRUE.of_tokens(np.array([512, 768])) == pytest.approx([0.04, 0.06])
    assert TRUE.of_tokens(np.array([1])) == pytest.approx([0.010])


def test_what_grows_with_tokens_is_paid_by_tokens():
    """A chunk of 30 and two decoding requests: all of D(32) - D(1) is paid, and nothing more."""
    whole, first = 0.011, 0.010
    shares = [shared_cost(whole, first, 32, own) for own in (30, 1, 1)]
    assert sum(shares) == pytest.approx(whole - first)
    assert shares[0] == pytest.approx(30 * shares[1])


# Fits


def test_known_coefficients_come_back():
    found = fit_chunked(grid(), WHOLE, "toy", 300.0).time_s
    assert found.decode == pytest.approx(TRUE.decode, rel=1e-6)
    assert found.mixed == pytest.approx(TRUE.mixed, rel=1e-6)
    assert (found.delta, found.eps) == pytest.approx((TRUE.delta, TRUE.eps), rel=1e-6)
    assert found.of_tokens(np.array([1, 20, 300])) == pytest.approx(TRUE.of_tokens(np.array([1, 20, 300])), rel=1e-6)


def test_measured_energy_is_fitted_beside_time_and_assumed_energy_is_power_times_time():
    energy = TRUE.model_copy(update={"table": tuple(400 * value for value in TRUE.table), "eps": 7e-7})
    measured = fit_chunked(grid(energy=energy), WHOLE, "toy")
    assert (measured.energies, measured.active_w) == ("measured", None)
    assert measured.energy_j.eps == pytest.approx(7e-7, rel=1e-5)
    assumed = fit_chunked(grid(), WHOLE, "toy", 300.0)
    assert (assumed.energies, assumed.active_w) == ("assumed", 300.0)
    assert assumed.energy_j.of_steps(grid()) == pytest.approx(300.0 * grid().time_s)


def test_the_host_s_time_takes_assumed_power_and_no_measured_energy():
    assumed = with_host(fit_chunked(grid(), WHOLE, "toy", 300.0), 1e-3, 1e-5, "toy")
    one = grid().only(np.arange(len(grid().time_s)) == 0)
    scheduled = one.batch + (one.prefill_tokens > 0)
    assert assumed.seconds.of_steps(one) == pytest.approx(one.time_s + 1e-3 + 1e-5 * scheduled)
    assert assumed.energy_j.of_steps(one) == pytest.approx(300.0 * assumed.seconds.of_steps(one))
    measured = fit_chunked(grid(energy=TRUE), WHOLE, "toy")
    assert with_host(measured, 1e-3, 1e-5, "toy").energy_j == measured.energy_j


def test_steps_outside_the_region_change_nothing_and_are_told_apart():
    far = grid()
    slow = far._replace(time_s=np.where(far.context == 4096, 9.0, far.time_s))
    region = WHOLE._replace(context_max=1000)
    assert fit_chunked(slow, region, "toy", 1.0).time_s == fit_chunked(far, region, "toy", 1.0).time_s
    told = bands(fit_chunked(slow, region, "toy", 1.0), slow, region)
    assert max(band.worst for band in told if band.fitted) < 1e-6
    assert max(band.worst for band in told if not band.fitted) > 0.5
    assert sum(band.points for band in told) == len(slow.time_s)


def test_work_is_where_a_law_s_contexts_lie_and_the_cache_holds_them():
    prompt, output = np.full(100, 500), np.full(100, 400)  # contexts from 500 to 900
    assert where_work_is(grid(), prompt, output, 64, 10**6) == Region(64, 128, 1000, 10**6)
    assert where_work_is(grid(), prompt, output, 64, 5000).batch_max == 16  # nine of 520 tokens
    long = where_work_is(grid(), 8 * prompt, output, 4, 10**6)
    assert (long.batch_max, long.context_min, long.context_max) == (7, 1000, 4096)


def test_no_step_is_fitted_that_the_cache_cannot_hold():
    assert not Region(64, 1, 4096, 64 * 1000).of(grid())[grid().batch * grid().context > 64 * 1000].any()


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (
            lambda s: s.only(~s.mixed),
            "has 0 mixed steps of at most 64 requests of 1 to 4096 tokens, must have at least",
        ),
        (lambda s: s.only(s.mixed), "has 0 decode-only steps"),
        (lambda s: s.only(s.prefill_context == 0), "do not tell delta from other coefficients"),
        (lambda s: s.only(~s.mixed | (s.context <= 128)), "do not tell gamma, mixed from other coefficients"),
    ],
)
def test_steps_that_say_too_little_are_refused(chosen, message):
    with pytest.raises(ProfileError, match=re.escape(message)):
        fit_chunked(chosen(grid()), WHOLE, "toy", 300.0)


def test_energy_is_measured_or_assumed_and_not_both():
    with pytest.raises(ProfileError, match="has neither, must have a column 'energy_j', or a power"):
        fit_chunked(grid(), WHOLE, "toy")
    with pytest.raises(ProfileError, match="has both"):
        fit_chunked(grid(energy=TRUE), WHOLE, "toy", 300.0)


def test_a_profile_of_steps_survives_being_written_and_read(tmp_path):
    made, told = profile_of(grid(), WHOLE, REPLICA, "toy.csv", 300.0)
    (tmp_path / "toy.toml").write_text(to_toml(made, residuals(told), "a test", "as given"))
    again = profile.load("toy.toml", tmp_path)
    assert again.chunked.time_s.of_steps(grid()) == pytest.approx(grid().time_s, rel=1e-5)
    assert again.chunked.energy_j.of_steps(grid()) == pytest.approx(300 * grid().time_s, rel=1e-5)
    assert profile.assumptions(again, in_chunks=True) == (
        "The energy of toy was not measured: 300 W at work are assumed",
    )


def test_prompts_first_take_what_single_prompts_and_full_batches_take_in_steps():
    made, _ = profile_of(grid(), WHOLE, REPLICA, "toy.csv", 300.0)
    lengths = np.array([16, 64, 256])
    zero = 0 * lengths
    whole = Steps(lengths, zero, zero, zero, zero + 1.0, None)
    assert made.prefill_of(lengths)[0] == pytest.approx(TRUE.of_steps(whole), rel=1e-6)
    full = Steps(*(np.array([n]) for n in (0, 0, 64, 1000)), np.ones(1), None)
    assert iterations_s(1, 64, 64_000, made.a_s, made.beta_s, made.gamma_s) == pytest.approx(TRUE.of_steps(full)[0])


# Derived


@pytest.mark.parametrize("name", ["h100_llama8b", "h200_llama8b", "h200_qwen32b"])
def test_derived_steps_take_what_iterations_and_whole_prompts_take(name):
    shipped = profile.load(name)
    chunked = shipped.chunked
    assert (chunked.times, chunked.energies) == ("derived", "derived")
    batch, lengths = np.array([1, 8, 64, shipped.max_batch]), np.array(shipped.prefill.tokens)
    zero, none = 0 * batch, 0 * lengths
    decode, whole = Steps(zero, zero, batch, zero + 900, zero + 1.0, None), Steps(lengths, none, none, none, none, None)
    assert chunked.seconds.of_steps(decode) == pytest.approx(
        shipped.a_s + shipped.beta_s * batch + shipped.gamma_s * 900 * batch, rel=2e-5
    )
    assert chunked.energy_j.of_steps(decode) == pytest.approx(
        shipped.e0_j + shipped.e1_j * batch + shipped.e2_j * 900 * batch, rel=2e-5
    )
    for mine, theirs in zip((chunked.seconds, chunked.energy_j), shipped.prefill_of(lengths), strict=True):
        assert mine.of_steps(whole) == pytest.approx(theirs, rel=2e-5)


def test_a_mixed_step_reads_the_weights_once():
    """Derived: it takes less than its prompt and its iteration one after the other, and more than either."""
    chunked = derived(profile.load("h100_llama8b"))
    steps = Steps(*(np.array(n) for n in ([512, 512, 0], [0, 0, 0], [32, 0, 32], [900, 0, 900])), np.ones(3), None)
    both, prompt, iteration = chunked.seconds.of_steps(steps)
    assert max(prompt, iteration) < both < prompt + iteration - 0.005


# Files

HEAD = "prefill_tokens,prefill_context,decode_requests,decode_context,step_s\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as a CSV table"),
        (HEAD, "no rows, must have at least one below the header"),
        (HEAD.replace("step_s", "steps"), "no column 'step_s'; did you mean 'steps'?"),
        (HEAD + "0,0,1,16,0.01\n0,0,1.5,16,0.01\n", "line 3: decode_requests = '1.5', must be a whole number"),
        (HEAD + "0,0,1,16,nan\n", "line 2: step_s = 'nan', must be a number from"),
        (HEAD + "0,0,1,16,-1\n0,0,1,16,0\n", "line 2: step_s = '-1', must be a number from 1e-15 to 1e+12 (and 1 more"),
        (HEAD + "0,16,1,16,0.01\n", "line 2: prefill_context = '16', must be 0 without prefill_tokens"),
        (HEAD + "16,0,0,16,0.01\n", "line 2: decode_context = '16', must be 0 without decode_requests"),
        (HEAD + "0,0,2,0,0.01\n", "line 2: decode_context = '0', must be >= 1 with decode_requests"),
        (HEAD + "0,0,0,0,0.01\n", "line 2: decode_requests = '0', must be >= 1 without prefill_tokens"),
        (HEAD.replace("\n", ",energy_j\n") + "0,0,1,16,0.01,none\n", "line 2: energy_j = 'none', must be a number"),
    ],
)
def test_a_bad_file_of_steps_is_refused_with_its_line(tmp_path, text, message):
    path = tmp_path / "steps.csv"
    path.write_text(text)
    with pytest.raises(ProfileError, match=re.escape(message)) as error:
        read_steps(path)
    assert "steps.csv" in str(error.value)


def test_rules_of_the_chunked_part_are_told_with_their_place():
    good = fit_chunked(grid(), WHOLE, "toy", 300.0).model_dump()
    changes = {
        "table falls at 2 tokens": {"time_s": {**good["time_s"], "table": (0.02, *good["time_s"]["table"][1:])}},
        "tokens = [2, 1], must increase": {"time_s": {**good["time_s"], "tokens": (2, 1), "table": (1.0, 1.0)}},
        "table has 1 values, must have": {"energy_j": {**good["energy_j"], "table": (1.0,)}},
        "must begin below its end": {"context": (5, 4)},
        "active_w must be there if, and only if": {"active_w": None},
        "should be greater than or equal to 0": {"host_s": -1.0},
    }
    for message, change in changes.items():
        with pytest.raises(ValueError, match=re.escape(message)):
            Chunked.model_validate({**good, **change})
    missing = {**good, "time_s": {key: value for key, value in good["time_s"].items() if key != "mixed"}}
    with pytest.raises(ValueError, match=r"time_s.mixed"):
        Chunked.model_validate(missing)


@pytest.mark.parametrize("card", ["rtx4090_llama8b", "rtxpro6000_llama8b"])
def test_real_grids_are_fitted_where_work_is_and_not_elsewhere(card):
    path = VLLM / card / "steps.csv"
    if not path.is_file():
        pytest.skip("the measured steps (data folder beside the checkout) are not here")
    steps = read_steps(path)
    region = Region(128, 128, 2048, 550_000)
    told = bands(fit_chunked(steps, region, card, 300.0), steps, region)
    decode = [band for band in told if band.kind == "decode" and band.fitted]
    assert max(band.mean for band in decode) < 0.03
    assert max(band.worst for band in decode) < 0.035
    mixed = [band for band in told if band.kind == "mixed" and band.fitted]
    assert np.average([band.mean for band in mixed], weights=[band.points for band in mixed]) < 0.04
    assert max(band.mean for band in told if not band.fitted) > 0.1
