"""The SimPy engine against a real H100 under load (bench/hardware.py, docs/validation.md)."""

import pytest

from bench import hardware
from glbdes.hardware import Profile
from glbdes.hardware.fit import fit_profile
from glbdes.hardware.gpu import read_gpu
from glbdes.hardware.measurements import Measurements
from glbdes.hardware.profile import Serving

# Relative errors that the prediction may have.
LIMITS = {"TTFT mean": 0.03, "TTFT p95": 0.05, "TPOT mean": 0.03, "TPOT p99": 0.05}
LIMITS |= {"E2E mean": 0.03, "E2E p99": 0.05, "energy": 0.05, "TTFT p99": 0.05}


@pytest.fixture(scope="module")
def data() -> Measurements:
    if not hardware.MEASURED.is_file():
        pytest.skip("the GPU measurements (data folder beside the checkout) are not here")
    return read_gpu(hardware.MEASURED)


@pytest.fixture(scope="module")
def fitted(data: Measurements) -> Profile:
    """From the run at 3 requests/s and the bare device, nothing of the run at 11."""
    return fit_profile(Measurements(**{**vars(data), "served": {3.0: data.served[3.0]}}))[0]


@pytest.fixture(scope="module")
def shipped(data: Measurements) -> Profile:
    """As shipped: host time from both runs."""
    return fit_profile(data)[0]


def errors(profile: Profile, data: Measurements, rate: float) -> dict[str, float]:
    return {row.quantity: row.error for row in hardware.compare(profile, data.served[rate], phases=0)}


@pytest.mark.parametrize("rate", [3.0, 11.0])
def test_latency_and_energy_under_load_are_those_of_the_device(data, fitted, rate):
    found = errors(fitted, data, rate)
    assert {key: error for key, error in found.items() if abs(error) > LIMITS.get(key, 0.05)} == {}


@pytest.mark.parametrize("rate", [3.0, 11.0])
def test_the_shipped_profile_is_nearer_still(data, shipped, rate):
    found = errors(shipped, data, rate)
    limits = {key: min(limit, 0.03) for key, limit in LIMITS.items()}
    assert {key: error for key, error in found.items() if abs(error) > limits.get(key, 0.03)} == {}


def test_without_longer_chained_prompts_the_tail_of_ttft_would_miss(data, fitted):
    one_time = fitted.serving.model_copy(update={"chained_factor": 1.0})
    found = errors(fitted.model_copy(update={"serving": one_time}), data, 11.0)
    assert found["TTFT p99"] < -LIMITS["TTFT p99"]


def test_the_bare_device_alone_would_miss_so_the_limits_can_fail(data, fitted):
    found = errors(fitted.model_copy(update={"serving": Serving()}), data, 11.0)
    assert abs(found["E2E mean"]) > LIMITS["E2E mean"]
    assert abs(found["TTFT mean"]) > LIMITS["TTFT mean"]
