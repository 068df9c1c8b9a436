"""Fits: known coefficients come back, the shipped profiles are what the data gives, and bad files are refused."""

import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from glbdes.errors import ProfileError
from glbdes.hardware import Profile, profile
from glbdes.hardware.fit import fit_profile, residual_rows
from glbdes.hardware.gpu import read_gpu
from glbdes.hardware.measurements import Decode, Measurements, Prompts, Served, Work
from glbdes.hardware.profile import Iteration, Serving
from glbdes.hardware.written import to_toml

GPU = Path(__file__).resolve().parents[2] / "../shared/data/gpu"
RECIPES = {
    "h100_llama8b": {},
    "h200_llama8b": {"graph_tokens": 1024, "serving_of": "h100_llama8b"},
    "h200_qwen32b": {"graph_tokens": 1024, "serving_of": "h100_llama8b"},
}
TRUE = Iteration(a_s=0.007, beta_s=6e-6, gamma_s=4e-8, e0_j=3.0, e1_j=0.02, e2_j=2e-5)
HOST_S, REQUEST_S = 1.2e-4, 1.8e-5
FACTOR, CHAINED, ENERGY_FACTOR, IDLE_W = 0.9, 1.06, 1.05, 120.0


def data(name: str) -> Path:
    path = GPU / f"{name}.json"
    if not path.is_file():
        pytest.skip("the GPU measurements (data folder beside the checkout) are not here")
    return path


def fit_as_shipped(name: str):
    recipe = dict(RECIPES[name])
    if "serving_of" in recipe:
        recipe["serving_of"] = profile.load(recipe["serving_of"])
    return fit_profile(read_gpu(data(name)), **recipe)


def make_measured(served: bool | dict[float, Served] = True, **changes) -> Measurements:
    """Measurements without noise of a device that obeys the model."""
    batch, each = (grid.ravel() for grid in np.meshgrid([1, 4, 16, 64], [128, 1024, 4096]))
    tokens = np.array([64, 128, 256, 512, 1024])
    values = {
        "name": "toy",
        "gpu": "toy",
        "model": "toy",
        "max_batch": 64,
        "kv_tokens": 64 * 4096,
        "kv_source": "as measured",
        "idle_w": IDLE_W,
        "bare_w": 70.0,
        "decode": Decode(batch, batch * each, *iteration(batch, batch * each)),
        "prompts": Prompts(tokens, *prompt(np.maximum(tokens, 128))),
        "served": served if isinstance(served, dict) else {3.0: make_served()} if served else {},
        **changes,
    }
    return Measurements(**values)


def iteration(b, k):
    return TRUE.a_s + TRUE.beta_s * b + TRUE.gamma_s * k, TRUE.e0_j + TRUE.e1_j * b + TRUE.e2_j * k


def prompt(tokens):
    return 0.002 + 3e-5 * tokens, 1.0 + 0.02 * tokens


def make_served() -> Served:
    """Prompts of all lengths in pairs, each pair followed by ten iterations of a random batch, and by ten seconds of
    nothing."""
    rng = np.random.default_rng(1)
    rows, now, joules = [], 0.0, 0.0
    for padded in [128, 256, 512, 1024] * 8:
        seconds, energy = prompt(padded)
        for factor in (FACTOR, FACTOR * CHAINED):
            rows.append((True, now, now + factor * seconds, padded - 5, 0))
            now, joules = now + factor * seconds, joules + energy
        for b in rng.integers(1, 30, 10):
            bare_s, energy = iteration(b, 800 * b)
            rows.append((False, now, now + bare_s, 800 * b, b))
            now, joules = now + bare_s + HOST_S + REQUEST_S * b, joules + energy
        now += 10.0
    is_prompt, begin, end, tokens, batch = (np.array(column) for column in zip(*rows, strict=True))
    work = Work(is_prompt, begin, end, tokens, batch)
    gap_s = begin[1:] - end[:-1]
    none = np.empty(0)
    idle_s = gap_s[gap_s > 1.0].sum()
    return Served(none, none, none, none, none, work, joules * ENERGY_FACTOR + idle_s * IDLE_W, now)


# Known answers


def test_a_device_that_obeys_the_model_is_recovered():
    fitted, residuals = fit_profile(make_measured())
    for key, value in TRUE:
        assert getattr(fitted.iteration, key) == pytest.approx(value, rel=1e-9), key
    serving = fitted.serving
    assert (serving.iteration_s, serving.request_s) == pytest.approx((HOST_S, REQUEST_S), rel=1e-6)
    assert serving.prefill_factor == pytest.approx([FACTOR] * 4)
    assert serving.chained_factor == pytest.approx(CHAINED)
    assert serving.energy_factor == pytest.approx(ENERGY_FACTOR)
    assert max(residual.worst for residual in residuals) < 1e-9


def test_the_sums_that_engines_read_are_those_of_the_served_device():
    fitted, _ = fit_profile(make_measured())
    seconds, joules = fitted.prefill_table(1024)
    assert seconds[200] == pytest.approx(FACTOR * prompt(256)[0])
    assert joules[200] == pytest.approx(ENERGY_FACTOR * prompt(256)[1])
    assert fitted.a_s == pytest.approx(TRUE.a_s + HOST_S)


def test_no_coefficient_is_negative_even_where_the_data_would_have_it_so():
    decode = make_measured().decode
    shorter = decode._replace(time_s=0.01 - 1e-5 * decode.batch)
    fitted, _ = fit_profile(make_measured(decode=shorter))
    assert fitted.iteration.beta_s == 0.0


def test_without_a_served_run_serving_adds_nothing_or_what_another_profile_says():
    bare, _ = fit_profile(make_measured(served=False))
    assert (bare.a_s, bare.e0_j) == (bare.iteration.a_s, bare.iteration.e0_j)
    known, _ = fit_profile(make_measured())
    assumed, _ = fit_profile(make_measured(served=False), serving_of=known)
    assert assumed.serving.source.startswith("assumed: as in toy")
    assert assumed.a_s == known.a_s


def test_prompts_and_energy_are_fitted_to_the_run_of_the_lowest_rate():
    other = make_served()
    fast = other._replace(energy_j=9 * other.energy_j)
    alone, _ = fit_profile(make_measured())
    both, _ = fit_profile(make_measured(served={11.0: fast, 3.0: make_served()}))
    assert both.serving.energy_factor == alone.serving.energy_factor
    assert both.serving.prefill_factor == alone.serving.prefill_factor
    assert both.serving.chained_factor == alone.serving.chained_factor


def test_the_host_s_time_is_fitted_to_the_batches_of_all_runs():
    """The run at the lowest rate decodes alone and says nothing of what a request adds."""
    fitted, _ = fit_profile(make_measured(served={3.0: _at_batch_one(make_served()), 11.0: make_served()}))
    assert fitted.serving.request_s == pytest.approx(REQUEST_S, rel=1e-6)
    assert fitted.serving.source.startswith("host time fitted to the runs served at 3/s and 11/s")


def test_hiccups_of_the_host_change_its_mean_and_not_what_a_request_adds():
    """A third of the steps of large batches take a millisecond longer."""
    run = make_served()
    late = (~run.work.is_prompt) & (run.work.batch > 25) & (np.arange(len(run.work.batch)) % 3 == 0)
    shift = 0.001 * np.cumsum(np.append(0, late[:-1]))
    hiccups = run._replace(work=run.work._replace(begin_s=run.work.begin_s + shift, end_s=run.work.end_s + shift))
    fitted, _ = fit_profile(make_measured(served={3.0: hiccups}))
    assert fitted.serving.request_s == pytest.approx(REQUEST_S, rel=0.1)
    assert fitted.serving.iteration_s > HOST_S * 1.05


def _at_batch_one(run: Served) -> Served:
    """`run` with its iterations made anew for a batch of one, everything else as it was."""
    work = run.work
    duration = np.where(work.is_prompt, work.end_s - work.begin_s, iteration(np.ones(len(work.batch)), 800)[0])
    host_s = np.where(work.is_prompt, 0.0, HOST_S + REQUEST_S)
    idle = np.append(np.maximum(work.begin_s[1:] - work.end_s[:-1] - 1.0, 0.0) > 0, False) * 10.0
    begin = np.cumsum(np.append(0.0, (duration + host_s + idle)[:-1]))
    batch = np.where(work.is_prompt, work.batch, 1)
    tokens = np.where(work.is_prompt, work.tokens, 800)
    return run._replace(work=Work(work.is_prompt, begin, begin + duration, tokens, batch))


def test_long_prompts_grow_with_the_square_of_their_length():
    """A device whose layers take 30 us a token and whose attention 0.5 ns a squared token."""
    tokens = np.array([128, 256, 512, 1024, 2048])
    seconds = 0.002 + 3e-5 * tokens + 5e-10 * tokens**2
    fitted, _ = fit_profile(make_measured(served=False, prompts=Prompts(tokens, seconds, 700.0 * seconds)))
    assert fitted.prefill.beyond_s == pytest.approx((3e-5, 5e-10))
    at = np.array([10_000])
    assert fitted.prefill_of(at)[0] == pytest.approx(0.002 + 3e-5 * at + 5e-10 * at**2)
    assert fitted.prefill_of(at)[1] == pytest.approx(700.0 * fitted.prefill_of(at)[0])


def test_on_an_h200_the_growth_is_that_of_longer_prompts_than_its_graphs_took():
    """Measured eagerly at 2,048 to 4,096 tokens, and ignored by the table: 4,096 take 113 ms there."""
    fitted, _ = fit_as_shipped("h200_llama8b")
    bare = fitted.model_copy(update={"serving": Serving()})
    assert bare.prefill.tokens[-1] == 1024
    assert bare.prefill_of(np.array([4096]))[0] == pytest.approx(0.113, rel=0.03)


def test_prompts_beyond_the_longest_graph_are_ignored():
    fitted, _ = fit_profile(make_measured(), graph_tokens=512)
    assert fitted.prefill.tokens == (128, 256, 512)


def test_a_profile_survives_being_written_and_read(tmp_path):
    fitted, residuals = fit_profile(make_measured())
    (tmp_path / "toy.toml").write_text(to_toml(fitted, residuals, "a test", "as measured"))
    again = profile.load("toy.toml", tmp_path)
    assert_alike(again, fitted, rel=1e-5)
    assert to_toml(again, residuals, "a test", "as measured") == to_toml(fitted, residuals, "a test", "as measured")


def test_residuals_are_rows_of_text():
    _, residuals = fit_profile(make_measured(served=False))
    assert [row[:2] for row in residual_rows(residuals)] == [("iteration time", "12"), ("iteration energy", "12")]


def test_a_grid_that_varies_batch_alone_is_refused():
    decode = make_measured().decode
    flat = decode._replace(context=100 * decode.batch)
    with pytest.raises(ProfileError, match="do not tell a, beta and gamma apart"):
        fit_profile(make_measured(decode=flat))


def test_a_single_length_of_prompt_is_refused():
    with pytest.raises(ProfileError, match="prefill has 1 lengths that are a multiple of 128 tokens up to 128 tokens"):
        fit_profile(make_measured(), graph_tokens=128)


# Real measurements


@pytest.mark.parametrize("name", RECIPES)
def test_the_shipped_profiles_are_what_the_measurements_give(name):
    fitted, residuals = fit_as_shipped(name)
    shipped = profile.load(name)
    assert_alike(shipped, fitted, rel=2e-5)
    head = (profile.SHIPPED / f"{name}.toml").read_text().splitlines()[0]
    flags = "".join(f" --{key.replace('_', '-')} {value}" for key, value in RECIPES[name].items())
    assert head.endswith(f"Made by: glbdes profile fit {name}.json{flags}")
    assert tomllib.loads(to_toml(fitted, residuals, "", "")).keys() == shipped.model_dump().keys()


@pytest.mark.parametrize("name", RECIPES)
def test_the_model_of_an_iteration_fits_the_grid(name):
    _, (time, energy, *_) = fit_as_shipped(name)
    assert time.mean < 0.009
    assert time.worst < 0.022
    assert energy.mean < 0.015
    assert energy.worst < 0.075


def test_served_work_is_explained_within_a_few_percent_piece_by_piece():
    _, (_, _, slow, fast, prompts) = fit_as_shipped("h100_llama8b")
    assert slow.mean < 0.015
    assert fast.mean < 0.02
    assert prompts.mean < 0.025


# Bad measurement files


def document() -> dict:
    return {
        "gpu": {"name": "toy"},
        "model": "toy",
        "idle_bare_w": 70.0,
        "idle_loaded_w": 120.0,
        "max_ctx": 4096,
        "decode": [{"batch": 1, "context": 128, "iter_s": 0.007, "energy_counter_w": 400.0}],
        "prefill": [{"tokens": 128, "iter_s": 0.008, "energy_counter_w": 700.0}],
        "served": {
            "3.0": {
                "requests": [{"arrival": 0.1, "prompt": 9, "output": 9, "first": 0.2, "finish": 0.3}],
                "energy_j": 1.0,
                "window_s": 1.0,
                "iterations": [[0.1, 0.2, "p", 9, 0]],
            }
        },
    }


def test_a_measurement_file_is_read_with_context_summed_over_the_batch(tmp_path):
    content = document()
    content["decode"][0]["batch"] = 4
    path = tmp_path / "toy.json"
    path.write_text(json.dumps(content))
    read = read_gpu(path)
    assert (read.name, read.max_batch, read.kv_tokens) == ("toy", 4, 4 * 4096)
    assert read.decode.context.tolist() == [512]
    assert read.decode.energy_j.tolist() == [pytest.approx(2.8)]
    assert read.served[3.0].work.is_prompt.tolist() == [True]


def drop(key):
    return lambda content: content.pop(key)


def put(*path_and_value):
    *path, key, value = path_and_value

    def change(content):
        for part in path:
            content = content[part]
        content[key] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("model"), "has no 'model'"),
        (drop("prefill"), "has no 'prefill'"),
        (put("decode", []), "decode: is empty"),
        (put("decode", 0, "iter_s", -0.1), "decode[0]: iter_s = -0.1, must be > 0"),
        (put("decode", 0, "iter_s", float("nan")), "decode[0]: iter_s = nan, must be > 0"),
        (put("decode", 0, "batch", 1.5), "decode[0]: batch = 1.5, must be a whole number"),
        (put("prefill", 0, "tokens", "many"), "prefill[0]: tokens = 'many', must be a number"),
        (put("prefill", 0, 3), "prefill[0]: is int, must be a table"),
        (put("served", "fast", {}), "served has the key 'fast', must be a rate"),
        (put("served", "3.0", "iterations", 0, [1, 2]), "iterations[0] = [1, 2], must be"),
        (put("served", "3.0", "energy_j", 0), "energy_j = 0, must be > 0"),
    ],
)
def test_a_bad_measurement_file_is_refused_with_its_place(tmp_path, change, message):
    content = document()
    change(content)
    path = tmp_path / "toy.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ProfileError, match=re.escape(message)) as error:
        read_gpu(path)
    assert "toy.json" in str(error.value)


def test_a_file_that_is_missing_or_no_json_is_refused(tmp_path):
    with pytest.raises(ProfileError, match="cannot be read"):
        read_gpu(tmp_path / "none.json")
    (tmp_path / "cut.json").write_text('{"gpu": ')
    with pytest.raises(ProfileError, match="not valid JSON"):
        read_gpu(tmp_path / "cut.json")


def assert_alike(one: Profile, other: Profile, rel: float) -> None:
    """Equal but for the last digits of numbers."""
    flat_one, flat_other = flat(one.model_dump()), flat(other.model_dump())
    assert flat_one.keys() == flat_other.keys()
    for key, value in flat_one.items():
        expected = flat_other[key]
        assert value == (expected if isinstance(expected, str | None) else pytest.approx(expected, rel=rel)), key


def flat(values: dict) -> dict:
    found = {}
    for key, part in values.items():
        inside = flat(part) if isinstance(part, dict) else {"": part}
        found |= {f"{key}.{inner}": value for inner, value in inside.items()}
    return found
