"""What a policy is shown crosses the wire to the last bit, whatever fields it has."""

import json
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from glbdes.errors import PolicyError
from glbdes.policy.wire import decode, encode
from glbdes.world import Outcome, View
from tests.views import make_view

Floats = NDArray[np.float64]


class Pair(NamedTuple):
    low: Floats
    high: float


@dataclass(frozen=True, eq=False)
class Later:
    """Kinds of fields that a view may have some day."""

    numbers: Floats
    flags: NDArray[np.bool_]
    counts: NDArray[np.int64]
    pair: Pair | None
    by_name: dict[str, Floats]
    words: tuple[str, ...]
    limit: float
    slot: int


def later(**changes):
    made = Later(
        np.array([[0.1, -0.0], [1e-310, 1 / 3]]),
        np.array([True, False]),
        np.array([2**62, -1]),
        Pair(np.array([np.inf, np.nan, -1.5]), float("inf")),
        {"carbon": np.array([1.0]), "lives": np.zeros((0, 3))},
        ("a", "b"),
        float("-inf"),
        7,
    )
    return replace(made, **changes)


def same(one, other):
    """Whether two values are the same in type and to the last bit."""
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if hasattr(one, "__dataclass_fields__"):
        return all(same(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and repr(one) == repr(other)


def sent(value, before=None, place="view"):
    return json.loads(json.dumps(encode(value, before, place), allow_nan=False))


def view(**changes):
    drawn = np.random.default_rng(3)
    made = make_view([1.0, 2.0], [4.0, 5.0, 6.0], price_usd_per_kwh=drawn.random(3), slots=9)
    return replace(made, **changes)


@pytest.mark.parametrize("value", [later(), later(pair=None), view()], ids=["later", "without", "view"])
def test_what_is_sent_is_what_is_read(value):
    again = decode(type(value), sent(value))
    assert same(value, again)


def test_arrays_that_are_read_are_read_only():
    again = decode(View, sent(view()))
    with pytest.raises(ValueError, match="read-only"):
        again.mask[0, 0] = False


def test_in_a_session_the_past_is_sent_once():
    rng = np.random.default_rng(4)
    past, ours, theirs, sizes = rng.random((200, 2)), {}, {}, []
    for slot in (0, 1, 2, 100, 101):
        value = view(slot=slot, past_demand_rps=past[:slot])
        written = sent(value, ours)
        sizes.append(len(json.dumps(written)))
        assert same(value, decode(View, written, theirs))
    assert sizes[-1] < 1.2 * sizes[2]
    assert written["past_demand_rps"] == {"after": 100, "rows": past[100:101].tolist()}
    assert written["latency_s"] == {"after": 2}


def test_what_changes_is_sent_again():
    ours, theirs = {}, {}
    for flags in ([True, False], [False, False], [False]):
        value = later(flags=np.array(flags))
        assert same(value, decode(Later, sent(value, ours), theirs))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"slot": 1.5}, "view.slot = 1.5, must be a whole number"),
        ({"slot": True}, "view.slot = True, must be a whole number"),
        ({"limit": "a lot"}, "view.limit = a lot, must be a number"),
        ({"numbers": [[1.0], [1.0, 2.0]]}, "view.numbers: is no array of numbers"),
        ({"numbers": "1"}, "view.numbers: holds text, must be numbers"),
        ({"numbers": [["x"]]}, "view.numbers: holds text"),
        ({"numbers": {"shape": [2]}}, r"view.numbers: shape \[2\], must be whole numbers, one of them 0"),
        ({"numbers": {"after": 3}}, "view.numbers: goes on after row 3, and here nothing came before"),
        ({"flags": [1, 0]}, "view.flags: is an array of int64, must be one of bool"),
        ({"pair": {"low": [1.0]}}, "view.pair.high: missing, must be given"),
        ({"pair": []}, "view.pair: is a list, must be an object"),
        ({"number": 1}, r"view.number: unknown field; did you mean 'numbers'\?"),
        ({"words": 3}, "view.words: is a int, must be a list"),
        ({"numbers": [["0.5"]]}, "view.numbers: holds text"),
    ],
)
def test_what_is_no_view_is_refused_with_its_place(change, said):
    with pytest.raises(PolicyError, match=said):
        decode(Later, {**sent(later()), **change})


def test_an_outcome_is_sent_like_a_view():
    numbers = np.array([1.0, 2.0])
    value = Outcome(3, numbers, np.array([[1, 2]]), numbers, numbers, numbers, numbers)
    assert same(value, decode(Outcome, sent(value)))
