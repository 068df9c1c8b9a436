"""Profiles: what files may say, the prompt table, and the capacity and energy formulas."""

import re
from pathlib import Path

import numpy as np
import pytest

from glbdes.errors import ProfileError
from glbdes.hardware import Profile, profile
from glbdes.hardware.physics import iterations_j, iterations_s
from glbdes.hardware.profile import Iteration, Prefill, Serving


def make(**changes) -> Profile:
    values = {
        "name": "toy",
        "gpu": "toy",
        "model": "toy",
        "max_batch": 4,
        "kv_tokens": 1000,
        "idle_w": 100.0,
        "sleep_w": 50.0,
        "iteration": Iteration(a_s=0.01, beta_s=1e-4, gamma_s=1e-6, e0_j=5.0, e1_j=0.1, e2_j=1e-4),
        "prefill": Prefill(pad_tokens=10, tokens=(10, 20, 40), time_s=(1.0, 2.0, 6.0), energy_j=(10.0, 20.0, 50.0)),
        **changes,
    }
    return Profile(**values)


SERVED = Serving(source="toy", iteration_s=0.001, request_s=1e-5, prefill_factor=(2.0, 1.0, 0.5), energy_factor=1.5)

TEXT = """
name = "mine"
gpu = "x"
model = "y"
max_batch = 4
kv_tokens = 1000
idle_w = 100
sleep_w = 50.0
[iteration]
a_s = 0.01
beta_s = 0.0
gamma_s = 0.0
e0_j = 1.0
e1_j = 0.0
e2_j = 0.0
[prefill]
tokens = [10, 20]
time_s = [1.0, 2.0]
energy_j = [1.0, 2.0]
"""


def test_every_shipped_profile_loads_under_its_own_name():
    assert profile.shipped() == ["h100_llama8b", "h200_llama8b", "h200_qwen32b"]
    for name in profile.shipped():
        assert profile.load(name).name == name


def test_a_file_of_the_user_is_found_beside_the_scenario_and_goes_before_a_shipped_name(tmp_path):
    (tmp_path / "mine.toml").write_text(TEXT)
    (tmp_path / "h100_llama8b").write_text(TEXT)
    assert profile.load("mine.toml", tmp_path).name == "mine"
    assert profile.load("h100_llama8b", tmp_path).name == "mine"


def test_a_profile_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        make().max_batch = 5


def test_an_h200_is_faster_than_an_h100_at_everything_and_a_larger_model_slower():
    h100, h200, large = (profile.load(name) for name in profile.shipped())
    lengths = np.array([1, 100, 1000, 3000])
    assert h200.a_s < h100.a_s < large.a_s
    assert h200.gamma_s < h100.gamma_s < large.gamma_s
    assert (h200.prefill_of(lengths)[0] < h100.prefill_of(lengths)[0]).all()
    assert (h100.prefill_of(lengths)[0] < large.prefill_of(lengths)[0]).all()


# The table of prompts


def test_prompts_are_padded_up_to_the_longest_measured_length_and_then_follow_the_last_slope():
    seconds, joules = make().prefill_table(60)
    assert seconds.shape == joules.shape == (61,)
    expected = {1: 1.0, 10: 1.0, 11: 2.0, 20: 2.0, 21: 4.0, 30: 4.0, 31: 6.0, 40: 6.0, 41: 6.2, 60: 10.0}
    for tokens, value in expected.items():
        assert seconds[tokens] == pytest.approx(value), tokens
    assert joules[60] == pytest.approx(50.0 + 20 * 1.5)


def test_serving_changes_the_prompt_table_the_iteration_and_its_energy():
    bare, served = make(), make(serving=SERVED)
    lengths = np.array([10, 20, 40])
    np.testing.assert_allclose(served.prefill_of(lengths)[0], [2.0, 2.0, 3.0])
    np.testing.assert_allclose(served.prefill_of(lengths)[1], 1.5 * bare.prefill_of(lengths)[1])
    assert (served.a_s, served.beta_s, served.gamma_s) == pytest.approx((0.011, 1.1e-4, 1e-6))
    assert (served.e0_j, served.e1_j, served.e2_j) == pytest.approx((7.5, 0.15, 1.5e-4))


@pytest.mark.parametrize("name", ["h100_llama8b", "h200_llama8b", "h200_qwen32b"])
def test_a_longer_prompt_never_takes_or_costs_less(name):
    seconds, joules = profile.load(name).prefill_table(40_000)
    assert (seconds > 0).all()
    assert (np.diff(seconds) >= 0).all()
    assert (np.diff(joules) >= 0).all()


# Capacity and energy


def test_capacity_of_a_single_slot_is_one_over_a_requests_own_time():
    toy = make()
    own_s = 4.0 + iterations_s(7, 1, 30 + 1, toy.a_s, toy.beta_s, toy.gamma_s)
    assert profile.capacity_rps(toy, np.array([30]), np.array([8]), 1) == pytest.approx(1 / own_s)


def test_capacity_and_energy_of_a_full_batch_share_the_constant_terms():
    toy, prompt, output = make(), np.array([10, 40]), np.array([3, 5])
    context = np.array([11 + 12, 41 + 42 + 43 + 44])  # prompt + j in iteration j = 1 .. output - 1
    own_s = np.array([1.0, 6.0]) + np.array([2, 4]) * (0.01 / 4 + 1e-4) + 1e-6 * context
    own_j = np.array([10.0, 50.0]) + np.array([2, 4]) * (5.0 / 4 + 0.1) + 1e-4 * context
    assert profile.capacity_rps(toy, prompt, output, 4) == pytest.approx(1 / own_s.mean())
    assert profile.it_j_per_request(toy, prompt, output, 4) == pytest.approx(own_j.mean())


def test_what_a_request_adds_is_its_energy_in_a_full_batch_less_rest_for_its_time():
    toy, prompt, output = make(), np.array([10, 40]), np.array([3, 5])
    energy_j, time_s = (
        profile.it_j_per_request(toy, prompt, output, 4),
        1 / profile.capacity_rps(toy, prompt, output, 4),
    )
    assert profile.marginal_j(toy, prompt, output, 4, 0.0) == pytest.approx(energy_j)
    assert profile.marginal_j(toy, prompt, output, 4, 2.0) == pytest.approx(energy_j - 2.0 * time_s)
    idle = profile.marginal_j(
        toy, prompt, output, 4, 1000.0
    )  # 10 J rest in an iteration's constant 10 ms, above its 5 J
    alone_j, alone_s = (
        profile.it_j_per_request(toy, prompt, output, 1),
        1 / profile.capacity_rps(toy, prompt, output, 1),
    )
    assert idle == pytest.approx(alone_j - 1000.0 * alone_s)


def test_an_answer_of_one_token_is_a_prompt_and_nothing_else():
    one = np.array([1])
    assert profile.capacity_rps(make(), np.array([20]), one, 4) == pytest.approx(1 / 2.0)
    assert profile.it_j_per_request(make(), np.array([20]), one, 4) == pytest.approx(20.0)


def test_energy_of_a_batch_of_equals_is_that_of_its_iterations_and_prompts():
    toy, b = make(), 4
    batch_j = b * 20.0 + iterations_j(9, b, b * (20 + 1), toy.e0_j, toy.e1_j, toy.e2_j)
    assert b * profile.it_j_per_request(toy, np.array([20]), np.array([10]), b) == pytest.approx(batch_j)


# Bad files


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("max_batch = 4", "max_batch = 0", "max_batch = 0, must be >= 1"),
        ("idle_w = 100", "idle_w = -1.0", "idle_w = -1 W, must be >= 0"),
        ("a_s = 0.01", "a_s = 0.0", "iteration.a_s = 0 s, must be > 0"),
        ("a_s = 0.01", "a_s = nan", "iteration.a_s = nan s, must be"),
        ("beta_s = 0.0", "betas = 0.0", "iteration.betas: unknown key; did you mean 'beta_s'?"),
        ("beta_s = 0.0", "", "iteration.beta_s: missing"),
        ('gpu = "x"', "gpu = 1", "gpu = 1, must be a string"),
        ("sleep_w = 50.0", "sleep_w = 101.0", "sleep_w = 101 W, must be <= idle_w = 100 W"),
        ("tokens = [10, 20]", "tokens = [20, 10]", "prefill.tokens = [20, 10], must increase"),
        ("tokens = [10, 20]", "tokens = [10]", "prefill.tokens"),
        ("time_s = [1.0, 2.0]", "time_s = [1.0]", "prefill.time_s has 1 values, must have 2"),
        ("time_s = [1.0, 2.0]", "time_s = [2.0, 1.0]", "falls at 20 tokens"),
        ("energy_j = [1.0, 2.0]", "energy_j = [1.0, -2.0]", "prefill.energy_j.1 = -2, must be > 0"),
        ("[prefill]", "[prefill]\npad_tokens = 7", "prefill.tokens ends with 20, must be a multiple of"),
        ("[prefill]", "[prefill", "not valid TOML"),
    ],
)
def test_a_bad_file_is_refused_with_place_value_and_rule(tmp_path, old, new, message):
    assert TEXT.count(old) == 1
    path = tmp_path / "mine.toml"
    path.write_text(TEXT.replace(old, new))
    with pytest.raises(ProfileError, match=re.escape(message)) as error:
        profile.load("mine.toml", tmp_path)
    assert "mine.toml" in str(error.value)


def test_all_problems_of_a_file_come_at_once(tmp_path):
    (tmp_path / "mine.toml").write_text(
        TEXT.replace("max_batch = 4", "max_batch = 0").replace("a_s = 0.01", "a_s = -1.0")
    )
    with pytest.raises(ProfileError) as error:
        profile.load("mine.toml", tmp_path)
    assert len(str(error.value).splitlines()) == 2


def test_an_unknown_name_is_answered_with_the_nearest_one(tmp_path):
    with pytest.raises(ProfileError, match=r"no profile 'h100_lama8b'; did you mean 'h100_llama8b'\?"):
        profile.load("h100_lama8b", tmp_path)
    with pytest.raises(ProfileError, match="no profile 'nowhere/h100_llama8b'"):
        profile.load("nowhere/h100_llama8b", Path(tmp_path))
