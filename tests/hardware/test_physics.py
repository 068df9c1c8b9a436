"""The closed forms against hand-worked numbers, plain sums and their own inverses."""

import math
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from glbdes.hardware import physics
from glbdes.units import NS_PER_S

A, BETA, GAMMA = 0.007, 2e-5, 3e-8

batches = st.integers(1, 256)
contexts = st.integers(1, 200_000)
counts = st.integers(0, 400)
clocks = st.sampled_from([1, 1000, 1_000_000, 10_000_000])
seconds = st.floats(1e-4, 0.05)
small = st.floats(0.0, 1e-4)
tiny = st.floats(0.0, 1e-6)


def test_iterations_of_a_batch_of_two_by_hand():
    # K = 100, 102, 104: 3*(0.01 + 2*0.001) + 0.0001*(100 + 102 + 104) = 0.036 + 0.0306
    assert physics.iterations_s(3, 2, 100, 0.01, 0.001, 0.0001) == pytest.approx(0.0666, rel=1e-14)
    assert physics.iterations_end_ns(3, 2, 100, 0.01, 0.001, 0.0001, 1) == 66_600_000
    assert physics.iterations_end_ns(3, 2, 100, 0.01, 0.001, 0.0001, 10_000_000) == 70_000_000
    # 3*(2 + 2*0.5) + 0.01*306 = 9 + 3.06
    assert physics.iterations_j(3, 2, 100, 2.0, 0.5, 0.01) == pytest.approx(12.06, rel=1e-14)


def test_no_iteration_takes_no_time_and_costs_nothing():
    assert physics.iterations_s(0, 3, 100, A, BETA, GAMMA) == 0.0
    assert physics.iterations_end_ns(0, 3, 100, A, BETA, GAMMA, 1000) == 0
    assert physics.iterations_j(0, 3, 100, 3.0, 0.1, 0.01) == 0.0


@pytest.mark.parametrize(
    ("duration_s", "clock_ns", "expected_ns"),
    [
        (0.0, 1, 1),
        (0.0, 1000, 1000),
        (1.4e-9, 1, 1),
        (1.6e-9, 1, 2),
        (1499e-9, 1000, 1000),
        (1501e-9, 1000, 2000),
        (1500e-9, 1000, 2000),
        (3600.0, 1, 3600 * NS_PER_S),
    ],
)
def test_durations_round_to_the_nearest_tick_and_take_at_least_one(duration_s, clock_ns, expected_ns):
    assert physics.to_clock_ns(duration_s, clock_ns) == expected_ns


@given(n=counts, b=batches, k0=contexts, a=seconds, beta=small, gamma=tiny)
def test_closed_forms_are_the_sums_over_single_iterations(n, b, k0, a, beta, gamma):
    total = math.fsum(a + beta * b + gamma * (k0 + b * i) for i in range(n))
    assert physics.iterations_s(n, b, k0, a, beta, gamma) == pytest.approx(total, rel=1e-12)
    assert physics.iterations_j(n, b, k0, a, beta, gamma) == pytest.approx(total, rel=1e-12)


@given(n=counts, m=counts, b=batches, k0=contexts)
def test_energy_of_an_epoch_is_that_of_its_parts(n, m, b, k0):
    parts = physics.iterations_j(n, b, k0, 3.0, 0.02, 2e-5) + physics.iterations_j(m, b, k0 + b * n, 3.0, 0.02, 2e-5)
    assert physics.iterations_j(n + m, b, k0, 3.0, 0.02, 2e-5) == pytest.approx(parts, rel=1e-12)


@given(n=st.integers(1, 2000), b=batches, k0=contexts, a=seconds, beta=small, gamma=tiny, clock_ns=clocks)
@example(n=1, b=1, k0=1, a=A, beta=0.0, gamma=0.0, clock_ns=1)
def test_iterations_ended_inverts_iterations_end(n, b, k0, a, beta, gamma, clock_ns):
    """At the end of iteration n it has ended; one nanosecond before, it has not."""
    law = (b, k0, a, beta, gamma, clock_ns)
    end_ns = physics.iterations_end_ns(n, *law)
    ended = physics.iterations_ended(end_ns, 3000, *law)
    assert ended >= n  # on a coarse clock iterations may end together
    assert physics.iterations_end_ns(ended, *law) <= end_ns < physics.iterations_end_ns(ended + 1, *law)
    assert physics.iterations_ended(end_ns - 1, 3000, *law) < n


@given(
    elapsed_ns=st.integers(0, 20 * NS_PER_S),
    n_max=counts,
    b=batches,
    k0=contexts,
    a=seconds,
    gamma=tiny,
    clock_ns=clocks,
)
def test_iterations_ended_is_the_largest_that_fits(elapsed_ns, n_max, b, k0, a, gamma, clock_ns):
    law = (b, k0, a, 1e-5, gamma, clock_ns)
    n = physics.iterations_ended(elapsed_ns, n_max, *law)
    assert 0 <= n <= n_max
    assert physics.iterations_end_ns(n, *law) <= elapsed_ns
    assert n == n_max or physics.iterations_end_ns(n + 1, *law) > elapsed_ns


def test_iterations_ended_is_exact_after_a_very_long_epoch():
    law = (200, 100_000, A, BETA, GAMMA, 1)
    for n in (10_000, 99_999, 100_000):
        assert physics.iterations_ended(physics.iterations_end_ns(n, *law), 100_000, *law) == n


def test_a_request_pays_its_own_iterations_by_hand():
    # iterations 2, 3, 4 of a prompt of 10: contexts 12, 13, 14 = 39 tokens
    assert physics.request_iterations_j(5.0, 1, 4, 10, 0.5, 0.01) == pytest.approx(5.0 + 1.5 + 0.39, rel=1e-14)


@given(
    prompts=st.lists(st.integers(1, 5000), min_size=1, max_size=20),
    done=st.integers(0, 50),
    n=st.integers(1, 300),
)
def test_the_shares_of_a_batch_add_up_to_its_energy(prompts, done, n):
    """Eq. 4 is eq. 5 summed over the batch; each request has decoded `done` iterations before."""
    b = len(prompts)
    k0 = sum(prompts) + b * (done + 1)
    shares = (physics.request_iterations_j(n * 3.0 / b, done, done + n, p, 0.02, 2e-5) for p in prompts)
    assert math.fsum(shares) == pytest.approx(physics.iterations_j(n, b, k0, 3.0, 0.02, 2e-5), rel=1e-12)


@pytest.mark.parametrize(
    ("from_s", "to_s", "expected_j"),
    [
        (10, 12, 200.0),  # awake: idle since 10 s, asleep from 15 s
        (10, 15, 500.0),
        (10, 20, 550.0),  # 5 s at 100 W, 5 s at 10 W
        (14, 16, 110.0),
        (15, 20, 50.0),
        (18, 20, 20.0),
        (18, 18, 0.0),
    ],
)
def test_an_idle_replica_draws_idle_power_until_it_sleeps(from_s, to_s, expected_j):
    times_ns = (10 * NS_PER_S, from_s * NS_PER_S, to_s * NS_PER_S, 5 * NS_PER_S)
    assert idle_j(*times_ns, 100.0, 10.0) == pytest.approx(expected_j, rel=1e-14)


def idle_j(idle_ns, from_ns, to_ns, sleep_after_ns, idle_w, sleep_w):
    """What a replica without work draws, awake and asleep."""
    awake_to = physics.awake_until(idle_ns, from_ns, to_ns, sleep_after_ns)
    return physics.power_j(idle_w, awake_to - from_ns) + physics.power_j(sleep_w, to_ns - awake_to)


def test_a_replica_that_never_sleeps_draws_idle_power():
    assert idle_j(0, 0, 10**15, physics.NEVER_NS, 100.0, 10.0) == pytest.approx(1e8)


@given(
    cuts=st.lists(st.integers(0, 10**12), min_size=3, max_size=6).map(sorted),
    sleep_after_ns=st.sampled_from([0, 1, 10**9, 10**11, physics.NEVER_NS]),
)
def test_idle_energy_of_pieces_adds_up(cuts, sleep_after_ns):
    idle_ns = cuts[0]
    pieces = (idle_j(idle_ns, a, b, sleep_after_ns, 130.0, 75.0) for a, b in pairwise(cuts))
    whole = idle_j(idle_ns, cuts[0], cuts[-1], sleep_after_ns, 130.0, 75.0)
    assert whole == pytest.approx(math.fsum(pieces), rel=1e-12, abs=1e-9)


def test_formulas_return_bare_python_numbers():
    assert type(physics.to_clock_ns(0.1, 1)) is int
    assert type(physics.iterations_s(3, 2, 100, A, BETA, GAMMA)) is float
    assert type(physics.iterations_end_ns(3, 2, 100, A, BETA, GAMMA, 1)) is int
    assert type(physics.iterations_ended(10**9, 50, 2, 100, A, BETA, GAMMA, 1)) is int
    assert type(physics.iterations_j(3, 2, 100, 3.0, 0.1, 0.01)) is float
    assert type(physics.request_iterations_j(1.0, 0, 3, 10, 0.1, 0.01)) is float
    assert type(idle_j(0, 0, 10, 5, 1.0, 0.5)) is float


def test_the_order_of_events_is_that_of_the_model():
    order = (
        physics.REPLICA,
        physics.TIMEOUT,
        physics.FAULT,
        physics.SLOT,
        physics.TELEMETRY,
        physics.REGION_ARRIVAL,
        physics.GATEWAY_ARRIVAL,
    )
    assert order == tuple(range(7))
