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
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from glbdes.errors import GlbdesError, PolicyError, RefusalError
from glbdes.signals import Signals
from glbdes.units import S_PER_H
from glbdes.world import Bools, Floats, Ints, Outcome, Policy, View, guard
from glbdes.world.arrays import FOOTPRINTS
from glbdes.world.frozen import freeze
from glbdes.world.pools import signals_at_pools
from glbdes.world.view import ask, observer

Factory = Callable[[], Policy]
SLOTS = 24
TURN = SLOTS // 2  # the last slot before the two futures of the look-ahead check part
AHEAD = 3  # slots whose prices are known beforehand, where any are
_SIGNALS = ("price_usd_per_kwh", "carbon_g_per_kwh", "wue_l_per_kwh", "ewif_l_per_kwh", "pue")


class Check(NamedTuple):
    """One rule, whether the policy keeps it, and what went wrong if not."""

    rule: str
    passed: bool
    detail: str


@dataclass(frozen=True, eq=False)
class _Fleet:
    """A made-up fleet over `SLOTS` slots: arrays [s, r], [s, g] and [s, g, r]."""

    name: str
    signals: Signals
    demand_rps: Floats
    capacity_rps: Floats
    mask: Bools
    mu_usd: tuple[float, ...] = (1.5, 0.06)  # per kg, per L, and per unit of further footprints
    ahead: int = 0  # slots whose prices are known beforehand
    weight: float = 1.0  # of the last region's footprints
    norm: float = np.inf
    delay_usd_per_s: float = 0.0
    past: Signals | None = None  # from before the first slot
    elastic: bool = False  # do plans say how many replicas are awake?
    region_of: Ints | None = None  # [r] of pools; None: r counts regions


def check(factory: Factory, name: str = "policy") -> list[Check]:
    """All checks of the policies that `factory` makes, a fresh one for each. Raises nothing of the policy's making."""
    fleets = _fleets()
    usual = fleets[0]
    rules: list[tuple[str, Callable[[Factory, _Fleet, str], object], _Fleet]] = [
        *((f"valid plans: {fleet.name}", _plans, fleet) for fleet in fleets),
        *((f"valid plans, or a refusal: {fleet.name}", _plans_or_refusal, fleet) for fleet in _objectives(usual)),
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


def _plans_or_refusal(factory: Factory, fleet: _Fleet, name: str) -> None:
    """A policy need not know every objective, but must say so."""
    with suppress(RefusalError):
        _plans(factory, fleet, name)


def _untouched(factory: Factory, fleet: _Fleet, name: str) -> None:
    _plans(factory, fleet, name, watch=True)


def _undisturbed(factory: Factory, fleet: _Fleet, name: str) -> None:
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


def _deterministic(factory: Factory, fleet: _Fleet, name: str) -> None:
    _same(_plans(factory, fleet, name), _plans(factory, fleet, name), "the same input gave two plans")


def _blind(factory: Factory, fleet: _Fleet, name: str) -> None:
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
        for name in _SIGNALS
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


def _plans(factory: Factory, fleet: _Fleet, name: str, watch: bool = False) -> list[Floats]:
    """The plans of all slots, each held to the rules; outcomes are those of a fluid world."""
    policy = guard.call(f"policy '{name}'", factory)
    tell = observer(policy, name)
    theirs = deepcopy(fleet)  # whatever this policy does to its input, nobody else is told
    sums = np.zeros((1 + len(fleet.mu_usd), len(fleet.capacity_rps)))  # cost, carbon, water, ... so far
    plans = []
    for slot in range(SLOTS):
        view = _view(theirs, slot, sums)
        before = _bytes(theirs, view) if watch else {}
        weights = ask(policy, view, name).weights
        if watch:
            _must_be(before, _bytes(theirs, view), f"slot {slot}: plan() changed its input: ")
        outcome = _outcome(_view(fleet, slot, sums), weights)
        sums += np.stack((outcome.cost_usd, *outcome.footprint))
        if tell is not None:
            before = _bytes(theirs, outcome) if watch else {}
            tell(outcome)
            if watch:
                _must_be(before, _bytes(theirs, outcome), f"slot {slot}: observe() changed its input: ")
        plans.append(weights)
    return plans


def _bytes(fleet: _Fleet, shown: View | Outcome) -> dict[str, bytes]:
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


def _view(fleet: _Fleet, slot: int, sums: Floats) -> View:
    """What an engine would show, slices of the whole horizon included: the past must not be a way into the future."""
    gateways, regions = fleet.mask.shape[1:]
    now = {name: getattr(fleet.signals, name)[slot] for name in _SIGNALS}
    view = View(
        slot=slot,
        slots=SLOTS,
        slot_s=float(S_PER_H),
        demand_rps=fleet.demand_rps[slot],
        capacity_rps=fleet.capacity_rps,
        it_kwh_per_request=np.linspace(1e-4, 2e-4, regions),
        base_kwh=np.linspace(2.0, 1.0, regions) * fleet.mask[slot].any(axis=0),
        **now,
        latency_s=np.abs(np.arange(gateways)[:, None] - np.arange(regions)) * 0.01,
        mask=fleet.mask[slot],
        past=fleet.signals.upto(slot) if fleet.past is None else fleet.signals.upto(slot).after(fleet.past),
        past_demand_rps=fleet.demand_rps[:slot],
        cost_usd=sums[0].copy(),
        carbon_kg=sums[1].copy(),
        water_l=sums[2].copy(),
        carbon_usd_per_kg=fleet.mu_usd[0],
        water_usd_per_l=fleet.mu_usd[1],
        price_ahead_usd_per_kwh=fleet.signals.price_usd_per_kwh[slot + 1 : slot + 1 + fleet.ahead],
        footprint_price_usd=np.array(fleet.mu_usd)[:, None] * np.append(np.ones(regions - 1), fleet.weight),
        norm=fleet.norm,
        delay_usd_per_s=fleet.delay_usd_per_s,
        waiting=None,
        footprints=(*FOOTPRINTS, *(f"further_{k}" for k in range(len(fleet.mu_usd) - len(FOOTPRINTS)))),
        further_per_kwh=fleet.signals.further_per_kwh[slot],
        further=sums[3:].copy(),
        region_of=fleet.region_of,
    )
    view = _elastic(view) if fleet.elastic else view
    freeze(view)
    return view


def _elastic(view: View) -> View:
    """The same where regions have three replicas each, one of which always sleeps in every fourth slot."""
    three = np.full(len(view.capacity_rps), 3)
    replica_rps, awake_kwh = view.capacity_rps / 3.5, np.linspace(0.4, 0.3, len(three))
    return replace(
        view,
        it_kwh_per_request=view.it_kwh_per_request + awake_kwh / (replica_rps * view.slot_s),
        replicas=three,
        awake_least=0 * three,
        awake_most=three - (view.slot % 4 == 0),
        replica_rps=replica_rps,
        awake_kwh=awake_kwh,
    )


def _outcome(view: View, weights: Floats) -> Outcome:
    requests = view.demand_rps[:, None] * weights * view.slot_s
    served = requests.sum(axis=0)
    base, per_request = view.base_footprint, view.footprint_per_request
    outcome = Outcome(
        slot=view.slot,
        demand_rps=view.demand_rps.copy(),
        dispatched=np.rint(requests).astype(np.int64),
        it_kwh=view.base_kwh + served * view.it_kwh_per_request,
        cost_usd=view.base_kwh * view.pue * view.price_usd_per_kwh + served * view.cost_usd_per_request,
        carbon_kg=base[0] + served * per_request[0],
        water_l=base[1] + served * per_request[1],
        further=base[2:] + served * per_request[2:],
    )
    freeze(outcome)
    return outcome


def _fleets() -> list[_Fleet]:
    """The worlds that a policy must get through. The first is the one of the other checks."""
    some = np.ones((SLOTS, 4, 5), dtype=bool)
    some[:, 0, 2:] = some[:, 1, :2] = some[:, 3, 1:4] = False
    down = np.ones((SLOTS, 4, 5), dtype=bool)
    down[5:9, :, 1] = down[8:12, :, 3] = False
    usual = _fleet("several gateways and regions", 4, 5)
    idle = usual.demand_rps * np.array([0.0, 1.0, 1.0, 0.0])
    idle[3] = 0.0
    dry = replace(usual, name="gateways and slots without demand", demand_rps=idle)
    return [
        usual,
        _fleet("a gateway may not use every region", 4, 5, mask=some),
        _fleet("a region goes down", 4, 5, mask=down),
        _fleet("more load than capacity", 4, 5, load=1.4),
        _fleet("one region", 3, 1),
        _fleet("one gateway", 1, 4),
        dry,
        replace(usual, name="no price on carbon and water", mu_usd=(0.0, 0.0)),
        replace(usual, name="plans say how many replicas are awake", elastic=True),
        _pools(usual),
        replace(usual, name="a past before the first slot", past=_fleet("", 4, 5, seed=3).signals),
    ]


def _pools(usual: _Fleet) -> _Fleet:
    """Its columns as pools of three regions, of two models for two gateways each; one is closed."""
    mask, of = np.array([[0, 1, 0, 0, 1]] * 2 + [[1, 0, 1, 0, 0]] * 2, dtype=bool), np.array([0, 0, 1, 1, 2])
    pooled = replace(usual, name="regions have pools", signals=signals_at_pools(usual.signals, of), region_of=of)
    return replace(pooled, mask=np.tile(mask, (SLOTS, 1, 1)), capacity_rps=usual.capacity_rps * mask.any(axis=0))


def _objectives(usual: _Fleet) -> list[_Fleet]:
    """The first fleet under other objectives than the default one."""
    shape = usual.signals.pue.shape
    third = replace(usual.signals, further_per_kwh=np.random.default_rng(3).uniform(0.1, 2.0, (shape[0], 1, shape[1])))
    return [
        replace(usual, name="one region's footprints count threefold", weight=3.0),
        replace(usual, name="the sum of footprints counts", norm=1.0),
        replace(usual, name="the Euclidean length of footprints counts", norm=2.0),
        replace(usual, name="delay has a price", delay_usd_per_s=1e-3),
        replace(usual, name="a third footprint has a price", signals=third, mu_usd=(*usual.mu_usd, 0.5)),
    ]


def _fleet(
    name: str, gateways: int, regions: int, load: float = 0.6, mask: Bools | None = None, seed: int = 1
) -> _Fleet:
    """Signals and demand that vary by slot and region, prices below 0 among them; `load` as a share of all capacity."""
    rng = np.random.default_rng(seed)
    shape = (SLOTS, regions)
    signals = Signals(
        price_usd_per_kwh=rng.uniform(-0.02, 0.3, shape),
        carbon_g_per_kwh=rng.uniform(50, 700, shape),
        wue_l_per_kwh=rng.uniform(0.2, 3, shape),
        ewif_l_per_kwh=rng.uniform(1, 6, shape),
        pue=rng.uniform(1.05, 1.5, shape),
        stale_slots=np.zeros(shape, dtype=np.int64),
    )
    capacity = rng.uniform(5, 15, regions)
    shares = rng.dirichlet(np.full(gateways, 5.0), SLOTS)
    mask = np.ones((SLOTS, gateways, regions), dtype=bool) if mask is None else mask
    return _Fleet(name, signals, shares * capacity.sum() * load, capacity, mask)
