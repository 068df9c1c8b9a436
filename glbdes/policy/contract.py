"""The contract that every policy is held to, as a list of checks on small made-up fleets.

A policy may be any object with `plan(view)`; what it must not do is break a plan's rules, touch its input, change its
mind, or look ahead. Every built-in passes; `glbdes check-policy` runs the same checks on yours.
"""

import os
import random
import warnings
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from dataclasses import fields, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from glbdes.errors import GlbdesError, PolicyError, RefusalError
from glbdes.policy.made_up import SIGNALS, SLOTS, Fleet, fleets, objectives, outcome_of, view_of
from glbdes.signals import Signals
from glbdes.world import Floats, Outcome, Policy, View, guard
from glbdes.world.view import ask, observer

Factory = Callable[[], Policy]
TURN = SLOTS // 2  # the last slot before the two futures of the look-ahead check part
AHEAD = 3  # slots whose prices are known beforehand, where any are


class Check(NamedTuple):
    """One rule, whether the policy keeps it, and what went wrong if not."""

    rule: str
    passed: bool
    detail: str


def check(factory: Factory, name: str = "policy") -> list[Check]:
    """All checks of the policies that `factory` makes, a fresh one for each. Raises nothing of the policy's making."""
    made_up = fleets()
    usual = made_up[0]
    rules: list[tuple[str, Callable[[Factory, Fleet, str], object], Fleet]] = [
        *((f"valid plans: {fleet.name}", _plans, fleet) for fleet in made_up),
        *((f"valid plans, or a refusal: {fleet.name}", _plans_or_refusal, fleet) for fleet in objectives(usual)),
        ("input left untouched", _untouched, usual),
        ("the process left as it is", _undisturbed, usual),
        ("deterministic: two fresh instances agree", _deterministic, usual),
        ("blind to the future", _blind, usual),
        ("blind to the future beyond known prices", _blind, replace(usual, ahead=AHEAD)),
    ]
    return [_attempt(rule, partial(keeps, factory, fleet, name)) for rule, keeps, fleet in rules]


def _attempt(rule: str, run: Callable[[], object]) -> Check:
    try:
        with guard.staying():
            run()
    except (GlbdesError, _Broken) as error:
        return Check(rule, False, str(error))
    return Check(rule, True, "")


class _Broken(Exception):  # noqa: N818  (never leaves this module)
    """A rule that the policy does not keep."""


def _plans_or_refusal(factory: Factory, fleet: Fleet, name: str) -> None:
    """A policy need not know every objective, but must say so."""
    with suppress(RefusalError):
        _plans(factory, fleet, name)


def _untouched(factory: Factory, fleet: Fleet, name: str) -> None:
    _plans(factory, fleet, name, watch=True)


def _undisturbed(factory: Factory, fleet: Fleet, name: str) -> None:
    """What other code in the process relies on is not a policy's to change. (The first rules have made policies and
    had their plans by now, so that modules which change it when they are first imported have been imported.)"""

    def watched(call: Callable[..., Any], *args: Any) -> Any:
        random.random(), np.random.random()  # noqa: NPY002  (so that no seed brings them back to here)
        before = _process()
        result = call(*args)
        for what, state in _process().items():
            if state != before[what]:
                raise PolicyError(f"changed {what}, which is not its own")
        return result

    class Watched:
        def __init__(self) -> None:
            self.policy = watched(factory)

        def plan(self, view: View) -> Any:
            return watched(self.policy.plan, view)

        def observe(self, outcome: Outcome) -> None:
            if hasattr(self.policy, "observe"):
                watched(self.policy.observe, outcome)

    drawn = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        _plans(Watched, fleet, name)
    finally:
        random.setstate(drawn[0])
        np.random.set_state(drawn[1])  # noqa: NPY002


def _process() -> dict[str, object]:
    """What belongs to the whole process, as it is now."""
    kind, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002  (only looked at)
    return {
        "the working folder": os.getcwd(),
        "the environment": dict(os.environ),
        "NumPy's error handling": np.geterr(),
        "the warning filters": list(warnings.filters),
        "the generator of `random`": random.getstate(),
        "the generator of `numpy.random`": (kind, np.asarray(keys).tobytes(), *rest),
    }


def _deterministic(factory: Factory, fleet: Fleet, name: str) -> None:
    _same(_plans(factory, fleet, name), _plans(factory, fleet, name), "the same input gave two plans")


def _blind(factory: Factory, fleet: Fleet, name: str) -> None:
    """Two worlds that are alike up to slot `TURN`, and in what is known of later ones, must get the same plans."""
    rng = np.random.default_rng(2)
    after = np.arange(SLOTS)[:, None] > TURN
    last = {"price_usd_per_kwh": TURN + fleet.ahead}
    other = {
        name: np.where(
            np.arange(SLOTS)[:, None] > last.get(name, TURN),
            rng.permuted(getattr(fleet.signals, name), axis=1),
            getattr(fleet.signals, name),
        )
        for name in SIGNALS
    }
    signals = replace(fleet.signals, **other)
    twin = replace(fleet, signals=signals, demand_rps=np.where(after, 0.3 * fleet.demand_rps, fleet.demand_rps))
    here, there = _plans(factory, fleet, name), _plans(factory, twin, name)
    _same(here[: TURN + 1], there[: TURN + 1], "the plan depends on what happens later")


def _same(first: list[Floats], second: list[Floats], told: str) -> None:
    for slot, (a, b) in enumerate(zip(first, second, strict=True)):
        if not np.array_equal(a, b):
            g, r = np.argwhere(a != b)[0]
            raise _Broken(f"slot {slot}: {told}: weights[{g}, {r}] = {a[g, r]:g} and {b[g, r]:g}")


def _plans(factory: Factory, fleet: Fleet, name: str, watch: bool = False) -> list[Floats]:
    """The plans of all slots, each held to the rules; outcomes are those of a fluid world."""
    policy = guard.call(f"policy '{name}'", factory)
    tell = observer(policy, name)
    theirs = deepcopy(fleet)  # whatever this policy does to its input, nobody else is told
    sums = np.zeros((1 + len(fleet.mu_usd), len(fleet.capacity_rps)))  # cost, carbon, water, ... so far
    plans = []
    for slot in range(SLOTS):
        view = view_of(theirs, slot, sums)
        before = _bytes(theirs, view) if watch else {}
        weights = ask(policy, view, name).weights
        if watch:
            _must_be(before, _bytes(theirs, view), f"slot {slot}: plan() changed its input: ")
        outcome = outcome_of(view_of(fleet, slot, sums), weights)
        sums += np.stack((outcome.cost_usd, *outcome.footprint))
        if tell is not None:
            before = _bytes(theirs, outcome) if watch else {}
            tell(outcome)
            if watch:
                _must_be(before, _bytes(theirs, outcome), f"slot {slot}: observe() changed its input: ")
        plans.append(weights)
    return plans


def _bytes(fleet: Fleet, shown: View | Outcome) -> dict[str, bytes]:
    """Every array of what is shown by name, as it is now, and of what lies behind it."""
    parts = [(type(shown).__name__.lower(), shown), ("the fleet", fleet), ("the past and the future", fleet.signals)]
    past = getattr(shown, "past", None)
    if isinstance(past, Signals):
        parts.append(("view.past", past))
    if fleet.past is not None:
        parts.append(("the history", fleet.past))
    found = [(f"{place}.{field.name}", getattr(part, field.name)) for place, part in parts for field in fields(part)]
    return {name: value.tobytes() for name, value in found if isinstance(value, np.ndarray)}


def _must_be(before: dict[str, bytes], after: dict[str, bytes], told: str) -> None:
    for name, value in before.items():
        if after.get(name) != value:
            raise _Broken(f"{told}{name}")
