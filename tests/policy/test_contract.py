"""Every built-in keeps the contract, and each rule of the contract catches a policy that breaks it."""

import os
import warnings

import numpy as np
import pytest

from glbdes import policy
from glbdes.world import View
from tests import bad_policies

ARGUMENTS = [(name, {}) for name in policy.BUILT_IN]
ARGUMENTS += [("receding_horizon", {"window_h": 6.0, "forecast": "hourly", "feedback": "metered"})]
ARGUMENTS += [("eglb", {"map": "euclidean"}), ("eglb", {"feedback": "metered"})]
ARGUMENTS += [("eglb_simplex", {"feedback": "metered"}), ("eglb_ahead", {"window_h": 6.0})]
ARGUMENTS += [("eglb_chain", {"feedback": "planned", "simplex": 0.5})]
ARGUMENTS += [("eglb", {"eta_per_usd": 1e-3, "z_max_usd": [1.0, 2.0]})]


@pytest.mark.parametrize(("name", "arguments"), ARGUMENTS)
def test_built_in_keeps_every_rule(name, arguments):
    checks = policy.check(lambda: policy.load(name, arguments), name)
    assert [check for check in checks if not check.passed] == []
    assert len(checks) == 22


def uniform(view: View) -> np.ndarray:
    return view.mask / view.mask.sum(axis=1, keepdims=True)


class Forgetful:
    """Sums to less than 1."""

    def plan(self, view):
        return 0.9 * uniform(view)


class Trespasser:
    """Sends to regions that the mask forbids."""

    def plan(self, view):
        return np.full(view.mask.shape, 1 / view.mask.shape[1])


class Writer:
    """Makes its input writable and writes."""

    def plan(self, view):
        view.demand_rps.setflags(write=True)
        view.demand_rps[0] = 0.0
        return uniform(view)


class Gambler:
    """Draws from a generator without a seed."""

    def plan(self, view):
        weights = np.random.default_rng().random(view.mask.shape) * view.mask
        return weights / weights.sum(axis=1, keepdims=True)


class Leaky:
    """Keeps its state in the class, so that a second instance goes on where the first one stopped."""

    calls = 0

    def plan(self, view):
        Leaky.calls += 1
        weights = view.mask * (1 + np.arange(view.mask.shape[1]) * (Leaky.calls % 7))
        return weights / weights.sum(axis=1, keepdims=True)


class Seer:
    """Reads the next slot's price from the array behind its view of this one's."""

    def plan(self, view):
        horizon = view.price_usd_per_kwh.base
        cheapest = np.where(view.mask, horizon[min(view.slot + 1, view.slots - 1)], np.inf).argmin(axis=1)
        return np.eye(view.mask.shape[1])[cheapest]


class Reader:
    """Takes what it is told of coming prices, and reads on where that ends."""

    def plan(self, view):
        told = view.price_ahead_usd_per_kwh
        row = min(view.slot + 1 + len(told), view.slots - 1)
        price = told.base[row] if told.size else view.price_usd_per_kwh
        return np.eye(view.mask.shape[1])[np.where(view.mask, price, np.inf).argmin(axis=1)]


class Crash:
    """Raises in the third slot."""

    def plan(self, view):
        return uniform(view) if view.slot < 2 else 1 / 0


class Deaf:
    """Cannot take what it is told."""

    def plan(self, view):
        return uniform(view)

    def observe(self, outcome):
        raise KeyError("no such thing")


class WrongDuals:
    """Shows one price for all regions."""

    duals = {"carbon": 1.0}  # noqa: RUF012

    def plan(self, view):
        return uniform(view)


class Smuggler:
    """Writes into what it is told."""

    def plan(self, view):
        return uniform(view)

    def observe(self, outcome):
        outcome.dispatched.setflags(write=True)
        outcome.dispatched[0] = 0


class Mole:
    """Writes into the array behind its view."""

    def plan(self, view):
        view.price_usd_per_kwh.base.setflags(write=True)
        view.price_usd_per_kwh.base[-1] = 0.0
        return uniform(view)


class Traveller:
    """Goes elsewhere, and stays there."""

    def plan(self, view):
        os.chdir("/")
        return uniform(view)


class Meddler:
    """Has other code's rounding errors raised."""

    def plan(self, view):
        return uniform(view)

    def observe(self, outcome):
        np.seterr(all="raise")


class Hush:
    """Wants no warnings, whoever's they are."""

    def __init__(self):
        warnings.simplefilter("ignore")

    def plan(self, view):
        return uniform(view)


class Seeder:
    """Draws from everybody's generator, always the same."""

    def plan(self, view):
        np.random.seed(1)  # noqa: NPY002
        weights = np.random.random(view.mask.shape) * view.mask  # noqa: NPY002
        return weights / weights.sum(axis=1, keepdims=True)


class Setter:
    """Leaves a note in the environment."""

    def plan(self, view):
        os.environ["GLBDES_TEST_NOTE"] = str(view.slot)
        return uniform(view)


BROKEN = [
    (Forgetful, "valid plans: several gateways and regions", "sum to 0.9, must be 1"),
    (Trespasser, "valid plans: a region goes down", "must be 0 where the mask forbids"),
    (Trespasser, "valid plans: a gateway may not use every region", "must be 0 where the mask forbids"),
    (Writer, "input left untouched", "view.demand_rps"),
    (Smuggler, "input left untouched", "observe() changed its input: outcome.dispatched"),
    (Mole, "input left untouched", "plan() changed its input: the past and the future.price_usd_per_kwh"),
    (Traveller, "the process left as it is", "changed the working folder"),
    (Meddler, "the process left as it is", "changed NumPy's error handling"),
    (Hush, "the process left as it is", "changed the warning filters"),
    (Seeder, "the process left as it is", "changed the generator of `numpy.random`"),
    (Setter, "the process left as it is", "changed the environment"),
    (Gambler, "deterministic: two fresh instances agree", "the same input gave two plans"),
    (Leaky, "deterministic: two fresh instances agree", "the same input gave two plans"),
    (Seer, "blind to the future", "slot 12: the plan depends on what happens later"),
    (Reader, "blind to the future beyond known prices", "slot 12: the plan depends on what happens later"),
    (Crash, "valid plans: one region", "ZeroDivisionError"),
    (Deaf, "valid plans: one gateway", "no such thing"),
    (WrongDuals, "valid plans: one gateway", "duals['carbon']"),
]


@pytest.mark.parametrize(("broken", "rule", "told"), BROKEN)
def test_broken_policy_is_caught_by_its_rule(broken, rule, told, monkeypatch):
    monkeypatch.setenv("GLBDES_TEST_NOTE", "")
    found = {check.rule: check for check in policy.check(broken, broken.__name__)}
    assert not found[rule].passed
    assert told in found[rule].detail


HARMLESS = ("Good", "Writes", "NeedsArgument")  # on the check's fleets, or without their arguments
BAD = [kind for name, kind in vars(bad_policies).items() if hasattr(kind, "plan") and name not in HARMLESS]


@pytest.mark.parametrize("bad", BAD)
def test_whatever_stops_a_run_fails_the_check(bad):
    checks = policy.check(bad, bad.__name__)
    assert len(checks) == 22
    assert not all(check.passed for check in checks)


def test_the_check_leaves_the_process_as_it_was():
    before = (os.getcwd(), np.geterr(), list(warnings.filters))
    for kind in (Traveller, Meddler, Hush):
        policy.check(kind)
    assert (os.getcwd(), np.geterr(), list(warnings.filters)) == before


def test_a_rule_that_is_kept_is_not_reported_broken():
    found = {check.rule: check.passed for check in policy.check(Trespasser)}
    assert found["valid plans: several gateways and regions"]
    assert found["blind to the future"]


def test_constructor_that_fails_is_reported_not_raised():
    checks = policy.check(lambda: policy.load("eglb", {"map": "flat"}), "eglb")
    assert not any(check.passed for check in checks)
    assert "map = 'flat'" in checks[0].detail
