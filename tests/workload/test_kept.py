"""Draws that are kept are the draws, and no more of them than there is room for."""

from dataclasses import fields

import numpy as np

from glbdes.workload import Requests
from glbdes.workload.kept import Kept
from glbdes.workload.requests import stream
from tests.workload.small import make, rates


def alike(a: Requests, b: Requests) -> bool:
    pairs = [(getattr(a, one.name), getattr(b, one.name)) for one in fields(Requests)]
    return all(np.array_equal(x, y) and (x is None or x.dtype == y.dtype) for x, y in pairs)


def test_what_is_kept_is_what_was_drawn_and_is_drawn_once() -> None:
    given, asked = make({}), []

    def draw(slot: int) -> Requests:
        asked.append(slot)
        return stream(given, rates(given))(slot)

    kept, slots = Kept(), range(given.time.slots)
    for _ in range(2):
        assert all(alike(kept.of("a", draw)(slot), stream(given, rates(given))(slot)) for slot in slots)
    assert asked == [*slots]
    kept.of("b", draw)(0)
    assert asked == [*slots, 0]  # another key, another draw
    kept.clear()
    kept.of("a", draw)(0)
    assert asked == [*slots, 0, 0]


def test_what_finds_no_room_is_drawn_each_time() -> None:
    given = make({})
    size = Kept()
    size.of("a", stream(given, rates(given)))(0)
    kept = Kept(most_bytes=size.bytes)
    for _ in range(2):
        found = [kept.of("a", stream(given, rates(given)))(slot) for slot in range(2)]
        assert all(alike(one, stream(given, rates(given))(slot)) for slot, one in enumerate(found))
    assert kept.bytes == size.bytes
