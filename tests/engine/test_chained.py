"""A prompt that begins where another ended takes longer, and one that does not, does not."""

import numpy as np
import pytest

from glbdes.engine.simpy import engine as simpy_engine
from tests.worlds import Fixed, ListSink, make_fleet, make_requests, make_world

MS = 1_000_000


def first_tokens_ms(arrivals_ms: list[float], **changes) -> list[float]:
    """One replica; a prompt of 100 tokens takes 1 ms alone and 1.5 ms chained, an iteration 10 ms."""
    fleet = make_fleet(a_s=0.01, beta_s=0.0, gamma_s=0.0, chained=1.5)
    requests = make_requests([round(at * MS) for at in arrivals_ms], prompt=100, **changes)
    sink = ListSink()
    simpy_engine.run(make_world(requests, fleet=fleet), Fixed([[1.0]]), sink)
    return (sink.table["first_token_ns"] / MS).tolist()


def test_prompts_that_wait_for_each_other_are_chained():
    assert first_tokens_ms([0.0, 0.0, 0.5], output=1) == pytest.approx([1.0, 2.5, 4.0])


def test_a_decode_iteration_or_a_rest_in_between_breaks_the_chain():
    assert first_tokens_ms([0.0, 1.5], output=5) == pytest.approx([1.0, 12.0])
    assert first_tokens_ms([0.0, 2.0], output=1) == pytest.approx([1.0, 3.0])


def test_a_prompt_that_arrives_at_the_very_end_of_another_is_chained():
    assert first_tokens_ms([0.0, 1.0], output=5) == pytest.approx([1.0, 2.5])
    assert np.allclose(first_tokens_ms([0.0, 1.0], output=1), [1.0, 2.5])
