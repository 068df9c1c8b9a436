"""What policies are shown is theirs alone, and what they answer is held to the contract before anybody uses it."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nst

from glbdes.engine import fluid
from glbdes.engine.fast import driver as fast
from glbdes.engine.simpy import engine as simpy_engine
from glbdes.errors import PolicyError
from glbdes.signals import Signals
from glbdes.world import Outcome, View
from glbdes.world.answers import checked_duals, checked_plan
from glbdes.world.arrays import FOOTPRINTS
from glbdes.world.view import Shown
from tests.random_worlds import random_world
from tests.worlds import ListSink

WORLD = next(world for world in map(random_world, range(99)) if world.slots == 3 and world.allowed.size >= 6)
ENGINES = {"fluid": fluid.run, "simpy": simpy_engine.run, "fast": fast.run}


class Steady:
    """Plans that depend on the slot alone, and prices that do."""

    def __init__(self) -> None:
        self.duals: dict[str, Any] = {}

    def plan(self, view: View) -> np.ndarray:
        rng = np.random.default_rng(view.slot)
        self.weights = view.mask * rng.uniform(0.1, 1.0, view.mask.shape)
        self.weights /= self.weights.sum(axis=1, keepdims=True)
        self.duals = {name: rng.uniform(size=view.mask.shape[1]) for name in FOOTPRINTS}
        return self.weights

    def observe(self, outcome: Outcome) -> None:
        pass


class Vandal(Steady):
    """The same, and writes over all that it was ever shown, what lies behind it, and what it gave."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[np.ndarray] = []

    def plan(self, view: View) -> np.ndarray:
        weights = super().plan(view)
        self.scribble(view)
        return weights

    def observe(self, outcome: Outcome) -> None:
        self.scribble(outcome)
        for own in (self.weights, *self.duals.values()):
            own[...] = np.nan

    def scribble(self, shown: View | Outcome) -> None:
        self.seen += arrays_behind(shown)
        for array in self.seen:
            array.setflags(write=True)
            array[...] = 77
        object.__setattr__(shown, "slot", -1)


def arrays_behind(shown: Any) -> list[np.ndarray]:
    """Every array of what is shown, each preceded by those that it is a part of."""
    if isinstance(shown, np.ndarray):
        behind = [] if shown.base is None else arrays_behind(shown.base)
        return [*behind, shown]
    if isinstance(shown, View | Outcome | Signals):
        return [array for field in fields(shown) for array in arrays_behind(getattr(shown, field.name))]
    return [array for one in shown for array in arrays_behind(one)] if isinstance(shown, tuple) else []


@pytest.mark.parametrize("demand", ["truth", "last", "forecast"])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_policy_that_writes_over_all_it_is_shown_changes_nothing(engine, demand):
    world = replace(WORLD, demand=demand)
    clean, soiled = ListSink(), ListSink()
    ENGINES[engine](world, Steady(), clean, policy_name="steady")
    ENGINES[engine](world, Vandal(), soiled, policy_name="vandal")
    assert clean.table.tobytes() == soiled.table.tobytes()
    for one, other in zip(clean.slots, soiled.slots, strict=True):
        for field in ("weights", "demand_rps", "dispatched", "meters"):
            assert getattr(one, field).tobytes() == getattr(other, field).tobytes(), field
        assert {key: dual.tolist() for key, dual in one.duals.items()} == {
            key: dual.tolist() for key, dual in other.duals.items()
        }
        assert set(one.duals) == set(FOOTPRINTS)


def test_nothing_shown_is_the_engines_or_leads_into_the_future():
    shown = Shown(WORLD)
    engines = [value for value in vars(WORLD).values() if isinstance(value, np.ndarray)]
    engines += [getattr(signals, field.name) for signals in (WORLD.seen, WORLD.signals) for field in fields(Signals)]
    nothing, up = np.zeros(WORLD.regions), np.ones(WORLD.regions, dtype=bool)
    for slot in range(WORLD.slots):
        view = shown.view(slot, WORLD.expected_rps[slot], up, nothing, nothing, nothing)
        for array in arrays_behind(view):
            assert not any(np.shares_memory(array, other) for other in (*engines, nothing, up))
        for past in (*(getattr(view.past, field.name) for field in fields(Signals)), view.past_demand_rps):
            assert len(past) == slot
            assert past.base is not None
            assert not past.base[slot:].any()
        np.testing.assert_array_equal(view.past.pue, WORLD.seen.pue[:slot])
        direct = [getattr(view, field.name) for field in fields(View)]
        assert not any(array.flags.writeable for array in direct if isinstance(array, np.ndarray))


class Listener(Steady):
    """Keeps what it was told of the past."""

    def __init__(self) -> None:
        super().__init__()
        self.pasts: list[np.ndarray] = []

    def plan(self, view: View) -> np.ndarray:
        assert len(view.past_demand_rps) == view.slot
        self.pasts.append(np.stack([getattr(view.past, field.name) for field in fields(Signals)[:6]]))
        return super().plan(view)


@pytest.mark.parametrize("engine", ENGINES)
def test_history_comes_before_the_first_slot_and_changes_nothing_else(engine):
    drawn = [np.random.default_rng(1).uniform(1, 2, (4, WORLD.regions)) for _ in fields(Signals)[:5]]
    further = np.zeros((4, len(WORLD.further), WORLD.regions))
    past = Signals(*drawn, np.zeros((4, WORLD.regions), dtype=np.int64), further)
    bare, told, sinks = Listener(), Listener(), (ListSink(), ListSink())
    ENGINES[engine](WORLD, bare, sinks[0], policy_name="bare")
    ENGINES[engine](replace(WORLD, past=past), told, sinks[1], policy_name="told")
    before = np.stack([getattr(past, field.name) for field in fields(Signals)[:6]])
    for without, with_history in zip(bare.pasts, told.pasts, strict=True):
        np.testing.assert_array_equal(with_history, np.concatenate((before, without), axis=1))
    assert sinks[0].table.tobytes() == sinks[1].table.tobytes()


class Burglar(Steady):
    """Opens the mask, and sends where it was closed."""

    def plan(self, view: View) -> np.ndarray:
        view.mask.setflags(write=True)
        view.mask[...] = True
        object.__setattr__(view, "mask", np.ones_like(view.mask))
        return np.full(view.mask.shape, 1 / view.mask.shape[1])


@pytest.mark.parametrize("engine", ENGINES)
def test_a_plan_is_held_to_the_mask_that_was_shown(engine):
    allowed = WORLD.allowed.copy()
    allowed[0] = np.eye(WORLD.regions, dtype=bool)[0]
    with pytest.raises(PolicyError, match="must be 0 where the mask forbids"):
        ENGINES[engine](replace(WORLD, allowed=allowed), Burglar(), ListSink(), policy_name="burglar")


MASK = np.array([[True, True, False], [True, True, True]])

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.complex_numbers() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner, max_size=2),
)
shapes = st.sampled_from([(), (2,), (3,), (2, 3), (3, 2), (2, 3, 1), (0, 3)])
arrays = shapes.flatmap(lambda shape: nst.arrays(nst.scalar_dtypes() | nst.byte_string_dtypes(), shape))
plausible = nst.arrays(np.float64, (2, 3), elements=st.sampled_from([0.0, 0.5, 1.0, 1 / 3, -1e-7, np.nan, 1e308]))


@given(anything | arrays | plausible)
def test_any_answer_is_a_valid_plan_or_a_policy_error(answer):
    try:
        plan = checked_plan(answer, MASK)
    except PolicyError:
        return
    assert plan.dtype == np.float64
    assert plan.shape == MASK.shape
    assert (plan[MASK] >= 0).all()
    assert (plan[~MASK] == 0).all()
    np.testing.assert_allclose(plan.sum(axis=1), 1.0, rtol=1e-15)
    assert not np.shares_memory(plan, np.asarray(answer))


prices = anything | arrays | nst.arrays(np.float64, (3,))


@given(anything | st.dictionaries(st.sampled_from(FOOTPRINTS) | st.text() | st.integers(), prices, max_size=3))
def test_any_duals_are_finite_prices_of_footprints_or_a_policy_error(shown):
    try:
        duals = checked_duals(shown, 3)
    except PolicyError:
        return
    assert set(duals) <= set(FOOTPRINTS)
    for name, dual in duals.items():
        assert dual.dtype == np.float64
        assert dual.shape == (3,)
        assert np.isfinite(dual).all()
        assert not np.shares_memory(dual, np.asarray(shown[name]))


def test_good_answers_pass_whatever_they_are_made_of():
    for good in ([[0.5, 0.5, 0], [0, 0, 1]], MASK & [[1, 0, 0], [0, 0, 1]], np.eye(2, 3, dtype=np.float32)):
        assert checked_plan(good, MASK).sum() == 2
    assert checked_duals({"carbon": [1, 2, 3]}, 3)["carbon"].tolist() == [1.0, 2.0, 3.0]
    assert checked_duals(None, 3) == {}
