"""Replicas that schedule in chunks, in worlds: the SimPy engine against the twin that takes every step."""

import pytest

from glbdes.engine.simpy import engine as simpy_engine
from tests import chunked_world_twin
from tests.chunked_worlds import chunked_world
from tests.random_worlds import CLOCKS_NS, Moody, differences
from tests.worlds import ListSink


def run(world, seed: int) -> ListSink:
    sink = ListSink()
    simpy_engine.run(world, Moody(seed), sink, policy_name="test")
    return sink


def disagreements(seed: int, clock_ns: int) -> list[str]:
    world = chunked_world(seed, clock_ns)
    return differences(run(world, seed), chunked_world_twin.simulate(world, Moody(seed)), exact=clock_ns > 1)


@pytest.mark.parametrize("clock_ns", CLOCKS_NS)
def test_the_engine_and_the_twin_agree_on_every_field(clock_ns):
    found = {seed: lines for seed in range(30) if (lines := disagreements(seed, clock_ns))}
    assert found == {}


@pytest.mark.slow
@pytest.mark.parametrize("clock_ns", CLOCKS_NS)
def test_the_engine_and_the_twin_agree_on_every_field_of_2000_worlds(clock_ns):
    found = {seed: lines for seed in range(30, 530) if (lines := disagreements(seed, clock_ns))}
    assert found == {}
