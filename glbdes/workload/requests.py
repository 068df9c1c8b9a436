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

from glbdes import resources
from glbdes.base import portable
from glbdes.errors import ScenarioError, TraceError, nearest
from glbdes.hardware.physics import to_clock_ns
from glbdes.scenario import Scenario
from glbdes.scenario.model import Gateway
from glbdes.signals.loads import read_load
from glbdes.units import H_PER_DAY, NS_PER_S, S_PER_H
from glbdes.workload import arrivals, lengths, replay

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


def expected_rps(
    scenario: Scenario, home_capacity_rps: Floats, folder: Path | None = None, load: Floats | None = None
) -> Floats:
    """Mean arrival rate of each slot and gateway, in requests per simulated second: float[s, g].

    rate[s, g] = base[g] * shape[s, g] * load_scale, where base is `rate_per_s`, or `load` * `home_capacity_rps` [g].
    A replayed trace brings its own rate, and base * shape is each gateway's share of it.

    `load` [slot] is a load trace that goes before `workload.load_file`.

    Raises `TraceError` for a load or request trace that is missing, wrong or too short, `ScenarioError` for a replay
    with a second trace as its shape or without any gateway to enter at.
    """
    workload = scenario.workload
    if workload.arrivals == "replay":
        replayed = replay.load(scenario, folder)
        counts = np.array([len(replayed.rows(slot)[0]) for slot in range(scenario.time.slots)])
        rates = counts[:, None] / scenario.time.simulated_s * _shares(scenario, home_capacity_rps)
    else:
        rates = _base_rps(scenario, home_capacity_rps) * _shape(scenario, folder, load) * workload.load_scale
    return np.asarray(rates, dtype=np.float64)


def stream(scenario: Scenario, expected_rps: Floats, folder: Path | None = None) -> Callable[[int], Requests]:
    """Slot to the requests that arrive in it. Slots may be asked for in any order, and again.

    `expected_rps` : float[s, g] as `expected_rps()` gives it.

    Raises `TraceError` and `ScenarioError` for what token lengths or a replay need.
    """
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


def _base_rps(scenario: Scenario, home_capacity_rps: Floats) -> Floats:
    """[g] the rate of each gateway before shape and scale."""
    gateways = zip(scenario.gateways.values(), home_capacity_rps, strict=True)
    return np.array([_given_rps(gateway, capacity_rps) for gateway, capacity_rps in gateways], dtype=np.float64)


def _given_rps(gateway: Gateway, home_capacity_rps: float) -> float:
    if gateway.rate_per_s is not None:
        return gateway.rate_per_s
    return np.nan if gateway.load is None else gateway.load * home_capacity_rps


def _shares(scenario: Scenario, home_capacity_rps: Floats) -> Floats:
    """[s, g] the share of a replayed trace that enters at each gateway: all alike, if none of them says how much."""
    if scenario.workload.shape == "trace":
        raise ScenarioError("workload.shape = 'trace', must be 'constant' or 'diurnal' because arrivals = 'replay'")
    base = _base_rps(scenario, home_capacity_rps)
    silent = [name for name, rate in zip(scenario.gateways, base, strict=True) if np.isnan(rate)]
    if len(silent) == len(base):
        base = np.ones(len(base))
    elif silent:
        rule = "must have one because other gateways do"
        raise ScenarioError([f"gateways.{name}: has neither `load` nor `rate_per_s`, {rule}" for name in silent])
    rates = base * _shape(scenario, None, None)
    if not rates.any():
        raise ScenarioError("gateways: all rates are 0 requests/s, so a replayed trace has nowhere to enter")
    return np.asarray(rates / rates.sum(axis=1, keepdims=True), dtype=np.float64)


def _shape(scenario: Scenario, folder: Path | None, load: Floats | None) -> Floats:
    """[s, g], or [s, 1] if it is the same for all gateways: the rate over the base rate."""
    if scenario.workload.shape == "diurnal":
        return _diurnal(scenario)
    if scenario.workload.shape == "trace":
        return _traced(scenario, folder, load)[:, None]
    return np.ones((scenario.time.slots, 1))


def _diurnal(scenario: Scenario) -> Floats:
    """[s, g] a cosine of the gateway's local hour, 1 in the mean over a day.

    1 + amplitude * cos(2 pi (hour - peak) / 24), averaged over each slot.
    """
    time, workload = scenario.time, scenario.workload
    slot_days = time.slot_s / (S_PER_H * H_PER_DAY)
    midnight = time.start_utc.replace(hour=0, minute=0, second=0, microsecond=0)
    start_days = (time.start_utc - midnight).total_seconds() / (S_PER_H * H_PER_DAY)
    middle_days = start_days + (np.arange(time.slots)[:, None] + 0.5) * slot_days
    offset_h = np.array([gateway.utc_offset_h for gateway in scenario.gateways.values()])
    after_peak_days = middle_days + (offset_h - workload.diurnal_peak_h) / H_PER_DAY
    # The mean of a cosine over a slot is its value in the middle times sinc.
    swing = workload.diurnal_amplitude * _sinc(slot_days) * portable.cos_turns(after_peak_days)
    return np.asarray(1.0 + swing, dtype=np.float64)


def _sinc(x: float) -> float:
    """sin(pi x) / (pi x) for x > 0."""
    return float(portable.cos_turns(x / 2 - 0.25)) / (np.pi * x)


def _traced(scenario: Scenario, folder: Path | None, load: Floats | None) -> Floats:
    """[s] the load trace: `load`, if it came with the signals, else `workload.load_file`."""
    time, name = scenario.time, scenario.workload.load_file
    if load is not None:
        if len(load) < time.slots:
            raise TraceError(f"the load beside the signals has {len(load)} slots, must have time.slots = {time.slots}")
        return load[: time.slots]
    if name is None:
        raise ScenarioError("workload.load_file: missing, must name a load trace because workload.shape = 'trace'")
    path = resources.find("traces", name, folder)
    if path is None:
        raise TraceError(f"no load trace '{name}'{nearest(name, resources.shipped('traces'))}")
    return read_load(path, time.start_utc, time.slot_s, time.slots)
