"""The engine as a queue: M/M/c against Erlang C, M/D/1 against Pollaczek and Khinchine, and exact recursions.

A replica that holds one request at a time, with one output token per request, is a server whose service time is the
prefill of the prompt; exponential prompts make it exponential (in steps of 1/10,000 of its mean). Gateway and region
are no distance apart, so that a request's wait is `start - arrival`.

How long to run: the mean of n waits of an M/M/1 queue, in units of the mean service, has the variance s2 / n with

    s2 = rho (2 + 5 rho - 4 rho^2 + rho^3) / (1 - rho)^4          (Daley 1968; Whitt 1989)

which at rho = 0.95 is 6.1e5 for a mean wait of 19: a standard error of 0.65 % takes 4e7 requests. The standard error of
each run is estimated from its own batch means and printed (`pytest -s`).
"""

import heapq
from math import factorial, sqrt

import numpy as np
import pytest

from glbdes.engine.fast import driver as fast
from glbdes.engine.simpy import engine as simpy_engine
from glbdes.units import NS_PER_S
from glbdes.workload import Requests
from glbdes.world import World
from tests.worlds import Fixed, ListSink, make_fleet, make_world

MEAN_TOKENS = 10_000
SERVICE_S = 0.1
PER_SLOT = 100_000  # requests, on average
BATCHES = 40  # of a run, to estimate its standard error: each much longer than a busy period

ENGINES = {"simpy": simpy_engine.run, "fast": fast.run}


def erlang_c_wait(servers: int, rho: float) -> float:
    """Mean wait of M/M/c in units of the mean service: the probability of waiting / (c (1 - rho))."""
    load = servers * rho
    queued = load**servers / factorial(servers) / (1 - rho)
    return queued / (sum(load**k / factorial(k) for k in range(servers)) + queued) / (servers * (1 - rho))


def md1_wait(rho: float) -> float:
    """Mean wait of M/D/1 in units of the service."""
    return rho / (2 * (1 - rho))


def mm1_standard_error(rho: float, n: int) -> float:
    """Of the mean of n waits of M/M/1, in units of the mean service."""
    return sqrt(rho * (2 + 5 * rho - 4 * rho**2 + rho**3) / (1 - rho) ** 4 / n)


def queue_world(servers: int, rho: float, n: int, seed: int, exponential: bool = True) -> World:
    """Poisson arrivals, `n` or so, at one region of `servers` replicas; drawn slot by slot, in bounded memory."""
    rate = servers * rho / SERVICE_S
    slots = max(1, round(n / PER_SLOT))
    slot_s = n / slots / rate

    def stream(slot: int) -> Requests:
        rng = np.random.default_rng([seed, slot])
        count = rng.poisson(rate * slot_s)
        arrival_ns = np.sort(rng.integers(0, round(slot_s * NS_PER_S), count)) + slot * round(slot_s * NS_PER_S)
        prompts = np.ceil(rng.exponential(MEAN_TOKENS, count)) if exponential else np.full(count, MEAN_TOKENS)
        zeros, ones = np.zeros(count, dtype=np.int64), np.ones(count, dtype=np.int64)
        ids = np.arange(count, dtype=np.int64) + (slot << 32)
        tokens = np.maximum(prompts, 1).astype(np.int64)
        return Requests(ids, zeros, zeros, tokens, ones, arrival_ns.astype(np.int64), np.zeros(count))

    seconds = (np.arange(40 * MEAN_TOKENS + 1) - (0.5 if exponential else 0.0)) * (SERVICE_S / MEAN_TOKENS)
    fleet = make_fleet(
        replicas=servers, max_batch=1, kv_tokens=40 * MEAN_TOKENS, prefill_s=seconds, prefill_j=np.ones(len(seconds))
    )
    return make_world(stream, slots=slots, slot_s=slot_s, fleet=fleet)


class Waits:
    """A sink that keeps the waits alone, in seconds, by the time the requests ended."""

    def __init__(self) -> None:
        self.chunks: list[np.ndarray] = []

    def requests(self, chunk: np.ndarray) -> None:
        assert (chunk["status"] == 0).all()
        self.chunks.append(((chunk["start_ns"] - chunk["arrival_ns"]) / NS_PER_S).astype(np.float32))

    def slot(self, record) -> None:
        pass


def mean_wait(world: World, engine: str = "simpy") -> tuple[float, float]:
    """Mean wait of all requests and its standard error by batch means, in units of the mean service."""
    sink = Waits()
    ENGINES[engine](world, Fixed([[1.0]]), sink, policy_name="fixed")
    waits = np.concatenate(sink.chunks).astype(float) / SERVICE_S
    batches = [batch.mean() for batch in np.array_split(waits, BATCHES)]
    return float(waits.mean()), float(np.std(batches, ddof=1) / sqrt(BATCHES))


def assert_within(world: World, engine: str, expected: float, share: float) -> None:
    """The mean wait is within `share` of `expected`, and the run was long enough to say so at 2 standard errors."""
    mean, error = mean_wait(world, engine)
    off, error_share = mean / expected - 1, error / expected
    print(f"mean wait {mean:.4f}, expected {expected:.4f}: off by {off:+.3%}, standard error {error_share:.3%}")
    assert error <= share / 2 * expected
    assert abs(mean - expected) <= share * expected


@pytest.mark.parametrize("rho", [0.5, 0.8])
def test_a_short_run_waits_as_in_m_m_1_within_three_standard_errors(rho):
    n = 40_000
    mean, _ = mean_wait(queue_world(1, rho, n, seed=1))
    assert abs(mean - erlang_c_wait(1, rho)) <= 3 * mm1_standard_error(rho, n)


@pytest.mark.parametrize("rho", [0.5, 0.8])
def test_a_short_run_waits_as_in_m_m_4_within_three_standard_errors(rho):
    mean, error = mean_wait(queue_world(4, rho, 40_000, seed=2))
    assert abs(mean - erlang_c_wait(4, rho)) <= 3 * error


@pytest.mark.parametrize("rho", [0.5, 0.8])
def test_a_short_run_waits_as_in_m_d_1_within_three_standard_errors(rho):
    mean, error = mean_wait(queue_world(1, rho, 40_000, seed=3, exponential=False))
    assert abs(mean - md1_wait(rho)) <= 3 * error


LONG = [  # servers, rho, requests, engine: the SimPy engine where 2 % can be had in minutes
    (1, 0.5, 1_000_000, "simpy"),
    (1, 0.8, 3_000_000, "simpy"),
    (1, 0.95, 40_000_000, "fast"),
    (4, 0.5, 2_000_000, "simpy"),
    (4, 0.8, 4_000_000, "simpy"),
    (4, 0.95, 40_000_000, "fast"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("servers", "rho", "n", "engine"), LONG)
def test_mean_wait_is_erlang_c_within_2_percent(servers, rho, n, engine):
    assert_within(queue_world(servers, rho, n, seed=11), engine, erlang_c_wait(servers, rho), 0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rho", "n", "engine"), [(0.5, 1_000_000, "simpy"), (0.8, 2_000_000, "simpy"), (0.95, 20_000_000, "fast")]
)
def test_mean_wait_is_m_d_1_within_2_percent(rho, n, engine):
    assert_within(queue_world(1, rho, n, seed=12, exponential=False), engine, md1_wait(rho), 0.02)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("servers", "rho"), [(1, 0.95), (4, 0.95), (3, 1.1)])
def test_every_start_and_finish_is_that_of_the_first_free_server(servers, rho, engine):
    """FIFO G/G/c by its recursion (Kiefer and Wolfowitz): to the nanosecond, request for request."""
    world = queue_world(servers, rho, 3000, seed=4)
    sink = ListSink()
    ENGINES[engine](world, Fixed([[1.0]]), sink, policy_name="fixed")
    free_ns = [0] * servers
    for row in sink.table:
        start_ns = max(int(row["arrival_ns"]), heapq.heappop(free_ns))
        service_ns = round(float(world.fleet.prefill_s[0, row["prompt_tokens"]]) * NS_PER_S)
        assert (row["start_ns"], row["finish_ns"]) == (start_ns, start_ns + service_ns)
        heapq.heappush(free_ns, start_ns + service_ns)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("servers", [1, 4])
def test_littles_law_holds_as_an_integer_identity(servers, engine):
    """The areas under queue and population are the sums of the waits and of the sojourns."""
    sink = ListSink()
    ENGINES[engine](queue_world(servers, 0.9, 5000, seed=5), Fixed([[1.0]]), sink, policy_name="fixed")
    table = sink.table
    assert sink.meter("queue_area_ns").sum() == (table["start_ns"] - table["arrival_ns"]).sum()
    assert sink.meter("system_area_ns").sum() == (table["finish_ns"] - table["arrival_ns"]).sum()
