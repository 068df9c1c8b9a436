"""Requests as arrays; all randomness of a run is drawn here, from named children of the scenario's seed.

Every (stream, gateway, slot) has a generator of its own, so requests depend on nothing but the scenario: neither on
the policy, nor on which slots were drawn before. docs/workload.md describes the laws.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from glbdes.errors import ScenarioError
from glbdes.hardware.physics import to_clock_ns
from glbdes.scenario import Scenario
from glbdes.units import NS_PER_S
from glbdes.workload import arrivals, lengths, rates, replay

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Children of the scenario's seed. The numbers are part of a scenario's meaning: never give one to another stream.
ARRIVALS, LENGTHS, SLO, DISPATCH, SPLIT = range(5)


@dataclass(frozen=True, eq=False)
class Requests:
    """Requests of a slot, sorted by (arrival_ns, gateway); arrays [n]."""

    request_id: Ints  # counts up over the whole run, in this order
    gateway: Ints
    slo: Ints  # SLO class
    prompt_tokens: Ints  # >= 1
    output_tokens: Ints  # >= 1
    arrival_ns: Ints  # at the gateway, in [slot start, slot end)
    uniform: Floats  # private to the request, in [0, 1): weighted dispatch

    def __len__(self) -> int:
        return len(self.request_id)


class Demand(NamedTuple):
    """How many requests are expected, and those that come."""

    expected_rps: Floats  # [s, g] mean arrival rate
    requests: Callable[[int], Requests]  # that arrive in a slot


def demand(scenario: Scenario, capacity_rps: Floats, folder: Path | None = None) -> Demand:
    """What gateways ask of regions that together can do `capacity_rps` [r]. Raises as `expected_rps` and `stream`."""
    home_rps = rates.home_capacity_rps(scenario, capacity_rps)
    expected_rps = rates.expected_rps(scenario, home_rps, folder, rates.load_beside_signals(scenario, folder))
    return Demand(expected_rps, stream(scenario, expected_rps, folder))


def stream(scenario: Scenario, expected_rps: Floats, folder: Path | None = None) -> Callable[[int], Requests]:
    """Slot to the requests that arrive in it. Slots may be asked for in any order, and again.

    `expected_rps` : float[s, g] as `rates.expected_rps` gives it.

    Raises `TraceError` and `ScenarioError` for what token lengths or a replay need.
    """
    if scenario.in_megawatts:
        return _nothing_to_draw(scenario.name)
    replays = scenario.workload.arrivals == "replay"
    source = _replayed(scenario, expected_rps, folder) if replays else _drawn(scenario, expected_rps, folder)
    slot_ns = _slot_ns(scenario)
    slo_upto = np.cumsum([slo.share for slo in scenario.slo.values()])
    first_id = [0]  # of each slot; grows as slots are drawn

    def requests(slot: int) -> Requests:
        while len(first_id) <= slot:
            first_id.append(first_id[-1] + sum(map(len, source.arrival_ns(len(first_id) - 1))))
        entered = source.arrival_ns(slot)
        counts = [len(times) for times in entered]
        if len(first_id) == slot + 1:
            first_id.append(first_id[slot] + sum(counts))
        arrival_ns = np.concatenate(entered)
        order = np.argsort(arrival_ns, kind="stable")  # keeps gateways, and the draws of each, in order

        def each(draw: Callable[[int, int], NDArray[Any]]) -> NDArray[Any]:
            return np.concatenate([draw(g, n) for g, n in enumerate(counts)])[order]

        tokens = each(lambda g, n: np.stack(source.tokens(slot, g, n), axis=1))
        return Requests(
            request_id=first_id[slot] + np.arange(len(order)),
            gateway=np.repeat(np.arange(len(counts)), counts)[order],
            slo=_choose(slo_upto, each(lambda g, n: _child(scenario, SLO, g, slot).random(n))),
            prompt_tokens=np.ascontiguousarray(tokens[:, 0]),
            output_tokens=np.ascontiguousarray(tokens[:, 1]),
            arrival_ns=slot * slot_ns + arrival_ns[order],
            uniform=each(lambda g, n: _child(scenario, DISPATCH, g, slot).random(n)),
        )

    return requests


def _nothing_to_draw(name: str) -> Callable[[int], Requests]:
    """Load in MW is power, not requests."""

    def requests(slot: int) -> Requests:
        why = "regions have a `capacity` in MW instead of a profile; run it on the engine 'fluid'"
        raise ScenarioError(f"scenario '{name}' has no requests (slot {slot}): {why}")

    return requests


class _Source(NamedTuple):
    """Where arrivals and lengths come from."""

    arrival_ns: Callable[[int], list[Ints]]  # slot -> for each gateway, sorted times since the slot's start
    tokens: Callable[[int, int, int], tuple[Ints, Ints]]  # slot, gateway, n -> prompt[n], output[n] of those arrivals


def _drawn(scenario: Scenario, expected_rps: Floats, folder: Path | None) -> _Source:
    """Arrivals and lengths from their laws."""
    law = arrivals.law(scenario.workload)
    lengths_law = lengths.law(scenario.workload.lengths, folder)
    clock_ns, slot_ns = scenario.time.clock_ns, _slot_ns(scenario)

    def gateway_ns(slot: int, gateway: int) -> Ints:
        rng = _child(scenario, ARRIVALS, gateway, slot)
        times_s = law(rng, float(expected_rps[slot, gateway]), slot_ns / NS_PER_S)
        ticks = (times_s * (NS_PER_S / clock_ns)).astype(np.int64)
        return clock_ns * np.minimum(ticks, slot_ns // clock_ns - 1)  # the product may round up to the slot's end

    def tokens(slot: int, gateway: int, n: int) -> tuple[Ints, Ints]:
        u, v = _child(scenario, LENGTHS, gateway, slot).random((2, n))
        return lengths_law(u, v)

    return _Source(lambda slot: [gateway_ns(slot, g) for g in range(expected_rps.shape[1])], tokens)


def _replayed(scenario: Scenario, expected_rps: Floats, folder: Path | None) -> _Source:
    """Arrivals and lengths of a trace, each request at a gateway drawn in proportion to the slot's rates."""
    replayed, clock_ns = replay.load(scenario, folder), scenario.time.clock_ns

    def entries(slot: int) -> tuple[Ints, Ints, Ints]:
        """(ns since the slot's start, row of the trace, gateway) of the slot's requests."""
        times_ns, rows = replayed.rows(slot)
        gateway = _choose(np.cumsum(expected_rps[slot]), _child(scenario, SPLIT, 0, slot).random(len(rows)))
        return times_ns // clock_ns * clock_ns, rows, gateway

    def arrival_ns(slot: int) -> list[Ints]:
        times_ns, _, gateway = entries(slot)
        return [times_ns[gateway == g] for g in range(expected_rps.shape[1])]

    def tokens(slot: int, gateway: int, n: int) -> tuple[Ints, Ints]:
        _, rows, entered = entries(slot)
        rows = rows[entered == gateway]
        return replayed.trace.prompt_tokens[rows], replayed.trace.output_tokens[rows]

    return _Source(arrival_ns, tokens)


def _child(scenario: Scenario, stream: int, gateway: int, slot: int) -> np.random.Generator:
    """The generator of one stream at one gateway in one slot."""
    return np.random.default_rng(np.random.SeedSequence(scenario.seed, spawn_key=(stream, gateway, slot)))


def _choose(upto: Floats, uniform: Floats) -> Ints:
    """The first index whose cumulated weight `upto` exceeds uniform [n] x total weight."""
    index: Ints = np.searchsorted(upto, uniform * upto[-1], side="right").astype(np.int64)
    return index


def _slot_ns(scenario: Scenario) -> int:
    return to_clock_ns(scenario.time.simulated_s, scenario.time.clock_ns)
