"""Gaps between tokens, from steps carried out one by one: by hand, and against the records of the SimPy engine."""

from dataclasses import replace

import numpy as np
import pytest

from glbdes.engine.simpy import engine as simpy_engine
from glbdes.units import NS_PER_S
from glbdes.world import World
from tests.chunked_worlds import make_steps
from tests.token_gaps import Tokens, replay
from tests.worlds import Fixed, ListSink, make_fleet, make_requests, make_world

MS = 1_000_000


def busy(chunked: bool) -> World:
    """Requests of up to three chunks for a batch of six, which is full now and then and empty now and then."""
    rng = np.random.default_rng(4)
    n = 300
    arrival_s = np.cumsum(rng.exponential(0.08, n) * rng.choice([0.3, 3.0], n))
    came = make_requests(
        (arrival_s * NS_PER_S).astype(np.int64), prompt=rng.integers(1, 150, n), output=rng.integers(1, 25, n)
    )
    fleet = make_fleet(max_batch=6, prefill_s=2e-4 * np.arange(200.0), prefill_j=np.arange(200.0), chained=1.1)
    world = make_world(came, fleet=fleet)
    return replace(world, steps=make_steps()) if chunked else world


def gaps(tokens: Tokens) -> list[tuple[int, int]]:
    return sorted(zip(tokens.gap_ns.tolist(), tokens.count.tolist(), strict=True))


def test_a_prompt_is_in_the_gap_of_who_waits_for_it():
    came = make_requests([0, 5 * MS], prompt=[100, 200], output=[3, 2])
    world = make_world(came, fleet=make_fleet(a_s=0.01, beta_s=0.0, gamma_s=0.0))
    tokens = replay(world)
    assert tokens.first_ns.tolist() == [1 * MS, 13 * MS]
    assert tokens.finish_ns.tolist() == [23 * MS, 23 * MS]
    assert gaps(tokens) == [(10 * MS, 1), (10 * MS, 1), (12 * MS, 1)]


def test_a_quantile_counts_tokens():
    tokens = Tokens(np.array([0]), np.array([0]), np.array([30, 10, 20]), np.array([1, 98, 1]))
    assert [tokens.gap_quantile_ns(q) for q in (0.5, 0.98, 0.99, 1.0)] == [10, 10, 20, 30]


@pytest.mark.parametrize("chunked", [False, True])
def test_steps_one_by_one_end_in_the_records_times(chunked):
    world, sink = busy(chunked), ListSink()
    simpy_engine.run(world, Fixed([[1.0]]), sink)
    tokens, table = replay(world), sink.table
    assert np.abs(tokens.first_ns - table["first_token_ns"]).max() <= 1
    assert np.abs(tokens.finish_ns - table["finish_ns"]).max() <= 1
    assert (table["start_ns"] > table["arrival_ns"]).mean() > 0.2  # some had to wait
    assert tokens.count.sum() == (table["output_tokens"] - 1).sum()
    assert (tokens.gap_ns * tokens.count).sum() == (tokens.finish_ns - tokens.first_ns).sum()


def test_who_would_wait_for_the_cache_is_refused():
    came = make_requests([0, 0], prompt=60, output=10)
    with pytest.raises(AssertionError, match="cache"):
        replay(make_world(came, fleet=make_fleet(kv_tokens=100)))
