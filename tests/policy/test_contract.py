"""Every built-in keeps the contract, and each rule of the contract catches a policy that breaks it."""

import numpy as np
import pytest

from glbdes import policy
from glbdes.world import View

ARGUMENTS = [(name, {}) for name in policy.BUILT_IN]
ARGUMENTS += [("receding_horizon", {"window_h": 6.0, "forecast": "hourly", "feedback": "metered"})]
ARGUMENTS += [("eglb", {"map": "entropic"}), ("eglb", {"feedback": "metered"})]
ARGUMENTS += [("eglb_simplex", {"feedback": "metered"}), ("eglb_ahead", {"window_h": 6.0})]
ARGUMENTS += [("eglb", {"eta_per_usd": 1e-3, "z_max_usd": [1.0, 2.0]})]


@pytest.mark.parametrize(("name", "arguments"), ARGUMENTS)
def test_built_in_keeps_every_rule(name, arguments):
    checks = policy.check(lambda: policy.load(name, arguments), name)
    assert [check for check in checks if not check.passed] == []
    assert len(checks) == 17


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


BROKEN = [
    (Forgetful, "valid plans: several gateways and regions", "sum to 0.9, must be 1"),
    (Trespasser, "valid plans: a region goes down", "must be 0 where the mask forbids"),
    (Trespasser, "valid plans: a gateway may not use every region", "must be 0 where the mask forbids"),
    (Writer, "input left untouched", "view.demand_rps"),
    (Gambler, "deterministic: two fresh instances agree", "the same input gave two plans"),
    (Leaky, "deterministic: two fresh instances agree", "the same input gave two plans"),
    (Seer, "blind to the future", "slot 12: the plan depends on what happens later"),
    (Reader, "blind to the future beyond known prices", "slot 12: the plan depends on what happens later"),
    (Crash, "valid plans: one region", "ZeroDivisionError"),
    (Deaf, "valid plans: one gateway", "no such thing"),
    (WrongDuals, "valid plans: one gateway", "duals['carbon']"),
]


@pytest.mark.parametrize(("broken", "rule", "told"), BROKEN)
def test_broken_policy_is_caught_by_its_rule(broken, rule, told):
    found = {check.rule: check for check in policy.check(broken, broken.__name__)}
    assert not found[rule].passed
    assert told in found[rule].detail


def test_a_rule_that_is_kept_is_not_reported_broken():
    found = {check.rule: check.passed for check in policy.check(Trespasser)}
    assert found["valid plans: several gateways and regions"]
    assert found["blind to the future"]


def test_constructor_that_fails_is_reported_not_raised():
    checks = policy.check(lambda: policy.load("eglb", {"map": "flat"}), "eglb")
    assert not any(check.passed for check in checks)
    assert "map = 'flat'" in checks[0].detail
