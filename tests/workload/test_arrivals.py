"""Arrival laws have the rate that they are asked for and the burstiness that their formulas say."""

import numpy as np
import pytest

from glbdes.scenario.demand import Workload
from glbdes.workload import arrivals

RATE, LENGTH_S, SLOTS = 5.0, 40.0, 4000
WORKLOADS = {
    "poisson": Workload(arrivals="poisson"),
    "gamma_bursty": Workload(arrivals="gamma", burstiness_cv2=4.0),
    "gamma_even": Workload(arrivals="gamma", burstiness_cv2=0.25),
    "mmpp": Workload(arrivals="mmpp", burst_factor=6.0, burst_fraction=0.2, burst_mean_s=3.0),
}


def drawn(name: str, rate: float = RATE, length_s: float = LENGTH_S, slots: int = SLOTS) -> list[np.ndarray]:
    law, rng = arrivals.law(WORKLOADS[name]), np.random.default_rng(7)
    return [law(rng, rate, length_s) for _ in range(slots)]


def count_variance(name: str) -> float:
    """Variance of the number of arrivals in LENGTH_S, from the literature."""
    expected = RATE * LENGTH_S
    if name == "poisson":
        return expected
    workload = WORKLOADS[name]
    if name.startswith("gamma"):  # stationary renewal process, Cox (1962), section 4.5: up to terms that vanish
        cv2 = workload.burstiness_cv2
        return cv2 * expected + 1 / 6 - cv2**2 / 6
    # Two-state MMPP, Heffes and Lucantoni (1986), equation 6.
    share, factor = workload.burst_fraction, workload.burst_factor
    calm = RATE / (1 - share + share * factor)
    turn = 1 / workload.burst_mean_s + share / (workload.burst_mean_s * (1 - share))  # sum of the switching rates
    spread = (factor - 1) ** 2 * calm**2 * share * (1 - share)
    return expected + 2 * spread / turn * (LENGTH_S - (1 - np.exp(-turn * LENGTH_S)) / turn)


@pytest.mark.parametrize("name", WORKLOADS)
def test_times_are_sorted_and_inside_the_slot(name: str) -> None:
    for times in drawn(name, slots=300):
        assert (np.diff(times) >= 0).all()
        assert (times >= 0).all()
        assert (times < LENGTH_S).all()


@pytest.mark.parametrize("name", WORKLOADS)
def test_mean_rate_is_the_one_asked_for(name: str) -> None:
    counts = np.array([len(times) for times in drawn(name)])
    error = np.sqrt(count_variance(name) / SLOTS)
    assert abs(counts.mean() - RATE * LENGTH_S) < 3 * error
    assert error < 0.01 * RATE * LENGTH_S  # so that the line above means something


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_slot_starts_in_the_stationary_state(name: str) -> None:
    """An ordinary renewal process or a first state other than the stationary one shows in the first seconds."""
    length_s = 0.4  # two arrivals
    counts = np.array([len(times) for times in drawn(name, length_s=length_s, slots=20_000)])
    assert abs(counts.mean() - RATE * length_s) < 3 * counts.std() / np.sqrt(len(counts))
    assert 3 * counts.std() / np.sqrt(len(counts)) < 0.04 * RATE * length_s


@pytest.mark.parametrize("name", WORKLOADS)
def test_variance_of_counts_is_that_of_the_law(name: str) -> None:
    counts = np.array([len(times) for times in drawn(name)])
    squares = (counts - counts.mean()) ** 2
    assert abs(squares.mean() - count_variance(name)) < 4 * squares.std() / np.sqrt(SLOTS)


def test_indices_of_dispersion_tell_the_laws_apart() -> None:
    dispersion = {}
    for name in WORKLOADS:
        counts = np.array([len(times) for times in drawn(name, slots=1500)])
        dispersion[name] = counts.var() / counts.mean()
    assert dispersion["gamma_even"] < 0.4 < 0.8 < dispersion["poisson"] < 1.2 < 3.0 < dispersion["gamma_bursty"]
    assert dispersion["mmpp"] > 3.0


@pytest.mark.parametrize("name", ["poisson", "gamma_bursty", "mmpp"])
def test_arrivals_are_even_over_a_slot(name: str) -> None:
    """Chi-square-like: no tenth of the slot is favoured."""
    tenths = np.array([np.histogram(times, bins=10, range=(0, LENGTH_S))[0] for times in drawn(name)])
    error = tenths.std(axis=0) / np.sqrt(SLOTS)
    assert (abs(tenths.mean(axis=0) - RATE * LENGTH_S / 10) < 3.5 * error).all()


def test_gamma_gaps_have_the_asked_coefficient_of_variation() -> None:
    gaps = np.concatenate([np.diff(times) for times in drawn("gamma_bursty", rate=50.0, length_s=400.0, slots=20)])
    assert gaps.var() / gaps.mean() ** 2 == pytest.approx(4.0, rel=0.03)


@pytest.mark.parametrize("name", WORKLOADS)
def test_no_rate_means_no_arrivals(name: str) -> None:
    assert all(len(times) == 0 for times in drawn(name, rate=0.0, slots=5))
