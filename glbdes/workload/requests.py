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
from glbdes.workload import arrivals, lengths, rates, replay, sessions
from glbdes.workload.prefixes import NONE, Prefixes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Children of the scenario's seed. The numbers are part of a scenario's meaning: never give one to another stream.
ARRIVALS, LENGTHS, SLO, DISPATCH, SPLIT, WARMUP = range(6)  # warm-ups have all of them again, from WARMUP on
SPLIT_SESSIONS = 15  # those of `sessions` begin with 16


@dataclass(frozen=True, eq=False)
class Requests:
    """Requests of a slot, sorted by (arrival_ns, gateway); arrays [n]. Those of its warm-up come first."""

    request_id: Ints  # counts up over the whole run, in this order
    gateway: Ints
    slo: Ints  # SLO class
    prompt_tokens: Ints  # >= 1
    output_tokens: Ints  # >= 1
    arrival_ns: Ints  # at the gateway, in [slot start, slot end), warm-up included
    uniform: Floats  # private to the request, in [0, 1): weighted dispatch
    session: Ints | None = None  # -1: it belongs to none; None: there are no sessions
    chain: Ints | None = None  # of the world's prefixes; -1: nothing in common with others

    def __len__(self) -> int:
        return len(self.request_id)


Each = Callable[[Callable[[int, int], NDArray[Any]]], NDArray[Any]]


class Demand(NamedTuple):
    """How many requests are expected, and those that come."""

    expected_rps: Floats  # [s, g] mean arrival rate
    requests: Callable[[int], Requests]  # that arrive in a slot
    prefixes: Prefixes | None = None  # what they have in common, where replicas look for it
    sessions: int = 0  # that they belong to


def demand(scenario: Scenario, capacity_rps: Floats, folder: Path | None = None, warmup_ns: int = 0) -> Demand:
    """What gateways ask of regions that together can do `capacity_rps` [r]. Raises as `expected_rps` and `stream`."""
    home_rps, load = rates.home_capacity_rps(scenario, capacity_rps), rates.load_beside_signals(scenario, folder)
    expected_rps = rates.expected_rps(scenario, home_rps, folder, load, warmup_ns)
    if scenario.in_megawatts:
        return Demand(expected_rps, _nothing_to_draw(scenario.name))
    source = _source(scenario, expected_rps, folder, warmup_ns)
    return Demand(expected_rps, _stream(scenario, source, warmup_ns), source.prefixes, source.sessions)


def stream(
    scenario: Scenario, expected_rps: Floats, folder: Path | None = None, warmup_ns: int = 0
) -> Callable[[int], Requests]:
    """Slot to the requests that arrive in it. Slots may be asked for in any order, and again.

    `expected_rps` : float[s, g] as `rates.expected_rps` gives it. With `warmup_ns`, each slot begins with that
    much more of the same kind; the draws of what counts are the same with it and without, but for ids and starts.

    Raises `TraceError` and `ScenarioError` for what token lengths or a replay need.
    """
    if scenario.in_megawatts:
        return _nothing_to_draw(scenario.name)
    return _stream(scenario, _source(scenario, expected_rps, folder, warmup_ns), warmup_ns)


def _source(scenario: Scenario, expected_rps: Floats, folder: Path | None, warmup_ns: int) -> "_Source":
    """Where the scenario's requests come from; a fluid run needs none of them."""
    if scenario.workload.sessions is not None:
        return _in_sessions(scenario, expected_rps, folder, warmup_ns)
    made = _replayed if scenario.workload.arrivals == "replay" else _drawn
    return made(scenario, expected_rps, folder, warmup_ns)


def _stream(scenario: Scenario, source: "_Source", warmup_ns: int) -> Callable[[int], Requests]:
    """Slot to the requests that arrive in it."""
    slot_ns = _slot_ns(scenario)
    slo_upto = np.cumsum([slo.share for slo in scenario.slo.values()])
    first_id = [0]  # of each slot; grows as slots are drawn
    parts = (Part(WARMUP, 0, warmup_ns), Part(0, warmup_ns, slot_ns)) if warmup_ns else (Part(0, 0, slot_ns),)

    def requests(slot: int) -> Requests:
        while len(first_id) <= slot:
            before = len(first_id) - 1
            first_id.append(
                first_id[-1] + sum(len(times) for part in parts for times in source.arrival_ns(before, part))
            )
        drawn = [drawn_in(slot, part) for part in parts]
        columns = [np.concatenate(column) if len(parts) > 1 else column[0] for column in zip(*drawn, strict=True)]
        if len(first_id) == slot + 1:
            first_id.append(first_id[slot] + len(columns[0]))
        return Requests(first_id[slot] + np.arange(len(columns[0])), *columns)

    def slo(slot: int, part: Part, gateway: int, n: int) -> Ints:
        if source.slo is not None:
            return source.slo(slot, part, gateway)
        return _choose(slo_upto, _child(scenario, part.draws + SLO, gateway, slot).random(n))

    def drawn_in(slot: int, part: Part) -> list[NDArray[Any]]:
        """The columns of `Requests` but for the ids."""
        entered = source.arrival_ns(slot, part)
        counts = [len(times) for times in entered]
        arrival_ns = np.concatenate(entered)
        order = np.argsort(arrival_ns, kind="stable")  # keeps gateways, and the draws of each, in order

        def each(draw: Callable[[int, int], NDArray[Any]]) -> NDArray[Any]:
            """What `draw` says of each gateway's requests, in the order of arrival."""
            return np.concatenate([draw(g, n) for g, n in enumerate(counts)])[order]

        tokens = each(lambda g, n: np.stack(source.tokens(slot, part, g, n), axis=1))
        return [
            np.repeat(np.arange(len(counts)), counts)[order],
            each(lambda g, n: slo(slot, part, g, n)),
            np.ascontiguousarray(tokens[:, 0]),
            np.ascontiguousarray(tokens[:, 1]),
            slot * (warmup_ns + slot_ns) + part.from_ns + arrival_ns[order],
            each(lambda g, n: _child(scenario, part.draws + DISPATCH, g, slot).random(n)),
            *common(slot, part, each),
        ]

    def common(slot: int, part: Part, each: Each) -> list[Ints]:
        """Sessions and chains, if there are any."""
        if source.common is None:
            return []
        found = source.common
        both = each(lambda g, n: np.stack(found(slot, part, g), axis=1))
        return [np.ascontiguousarray(both[:, 0]), np.ascontiguousarray(both[:, 1])]

    return requests


def _nothing_to_draw(name: str) -> Callable[[int], Requests]:
    """Load in MW is power, not requests."""

    def requests(slot: int) -> Requests:
        why = "regions have a `capacity` in MW instead of a profile; run it on the engine 'fluid'"
        raise ScenarioError(f"scenario '{name}' has no requests (slot {slot}): {why}")

    return requests


class Part(NamedTuple):
    """A part of a slot, of which requests are drawn on their own."""

    draws: int  # added to the numbers of the streams
    from_ns: int  # since the slot's start
    lasts_ns: int


class _Source(NamedTuple):
    """Where arrivals and lengths come from."""

    arrival_ns: Callable[[int, Part], list[Ints]]  # slot -> for each gateway, sorted times since the part's start
    tokens: Callable[[int, Part, int, int], tuple[Ints, Ints]]  # slot, part, gateway, n -> prompt[n], output[n] of them
    slo: Callable[[int, Part, int], Ints] | None = None  # slot, part, gateway -> classes, where nothing is drawn
    common: Callable[[int, Part, int], tuple[Ints, Ints]] | None = None  # slot, part, gateway -> sessions, chains
    prefixes: Prefixes | None = None
    sessions: int = 0


def _drawn(scenario: Scenario, expected_rps: Floats, folder: Path | None, warmup_ns: int) -> _Source:
    """Arrivals and lengths from their laws."""
    law = arrivals.law(scenario.workload)
    lengths_law = lengths.law(scenario.workload.lengths, folder)
    clock_ns = scenario.time.clock_ns

    def gateway_ns(slot: int, part: Part, gateway: int) -> Ints:
        rng = _child(scenario, part.draws + ARRIVALS, gateway, slot)
        times_s = law(rng, float(expected_rps[slot, gateway]), part.lasts_ns / NS_PER_S)
        ticks = (times_s * (NS_PER_S / clock_ns)).astype(np.int64)
        return clock_ns * np.minimum(ticks, part.lasts_ns // clock_ns - 1)  # the product may round up to the end

    def tokens(slot: int, part: Part, gateway: int, n: int) -> tuple[Ints, Ints]:
        u, v = _child(scenario, part.draws + LENGTHS, gateway, slot).random((2, n))
        return lengths_law(u, v)

    return _Source(lambda slot, part: [gateway_ns(slot, part, g) for g in range(expected_rps.shape[1])], tokens)


def _replayed(scenario: Scenario, expected_rps: Floats, folder: Path | None, warmup_ns: int) -> _Source:
    """Arrivals and lengths of a trace, each request at its own gateway, or one drawn in proportion to the slot's rates.

    Requests of a session enter at one gateway, drawn at the rates of the slot in which it begins. A slot warms up with
    the end of its own stretch of the trace; those requests belong to no session, and have contents of their own.
    """
    replayed, clock_ns = replay.load(scenario, folder), scenario.time.clock_ns
    slots, number = scenario.time.slots, replayed.sessions
    split = _child(scenario, SPLIT_SESSIONS, 0, 0).random(number)  # decides on the gateway of each session
    named = np.empty(0, dtype=np.int64) if replayed.session is None else replayed.session
    known, first = np.unique(named[named >= 0], return_index=True)
    began_ns = replayed.arrival_ns[np.flatnonzero(named >= 0)[first]] if len(known) else first
    upto_rps = np.cumsum(expected_rps, axis=1)
    classes: Ints = np.empty(0, dtype=np.int64) if replayed.slo is None else replayed.slo

    def entries(slot: int, part: Part) -> tuple[Ints, Ints, Ints]:
        """(ns since the part's start, row of the trace, gateway) of the part's requests."""
        times_ns, rows = replayed.rows(slot) if part.draws == 0 else replayed.rows_before(slot, warmup_ns)
        if replayed.gateway is not None:
            return times_ns // clock_ns * clock_ns, rows, replayed.gateway[rows]
        uniform = _child(scenario, part.draws + SPLIT, 0, slot).random(len(rows))
        gateway = _choose(np.cumsum(expected_rps[slot]), uniform)
        if number and part.draws == 0:
            of = named[rows] >= 0
            session, lap = named[rows][of], replayed.lap(slot)[of]
            begin = np.minimum((began_ns[session] + lap * replayed.period_ns) // replayed.slot_ns, slots - 1)
            gateway[of] = [_choose(upto_rps[s], split[[one]])[0] for s, one in zip(begin, session, strict=True)]
        return times_ns // clock_ns * clock_ns, rows, gateway

    def arrival_ns(slot: int, part: Part) -> list[Ints]:
        times_ns, _, gateway = entries(slot, part)
        return [times_ns[gateway == g] for g in range(expected_rps.shape[1])]

    def tokens(slot: int, part: Part, gateway: int, n: int) -> tuple[Ints, Ints]:
        _, rows, entered = entries(slot, part)
        rows = rows[entered == gateway]
        return replayed.trace.prompt_tokens[rows], replayed.trace.output_tokens[rows]

    def slo(slot: int, part: Part, gateway: int) -> Ints:
        _, rows, entered = entries(slot, part)
        found: Ints = classes[rows[entered == gateway]]
        return found

    def common(slot: int, part: Part, gateway: int) -> tuple[Ints, Ints]:
        _, rows, entered = entries(slot, part)
        here = entered == gateway
        if part.draws:
            session, copy = np.full(len(rows), NONE), np.full(len(rows), replayed.laps(slots) + slot)
        else:
            copy = replayed.lap(slot)
            session = np.full(len(rows), NONE)
            if number:
                session = np.where(named[rows] >= 0, named[rows] + copy * number, NONE)
        chain = np.full(len(rows), NONE)
        if replayed.prefixes is not None:
            chain = rows + copy * replayed.prefixes.chains
        return session[here], chain[here]

    alike = common if replayed.session is not None or replayed.prefixes is not None else None
    if alike is None and scenario.dispatch.affinity != "request":
        rule = f"must be 'request': {scenario.workload.file} has neither sessions nor prefix_blocks"
        raise ScenarioError(f"dispatch.affinity = '{scenario.dispatch.affinity}', {rule}")
    all_laps = number * replayed.laps(slots)
    return _Source(arrival_ns, tokens, slo if len(classes) else None, alike, replayed.prefixes, all_laps)


def _in_sessions(scenario: Scenario, expected_rps: Floats, folder: Path | None, warmup_ns: int) -> _Source:
    """Turns of sessions, drawn over the whole of simulated time, warm-ups and all."""
    period_ns = warmup_ns + _slot_ns(scenario)
    drawn, given = sessions.draw(scenario, expected_rps, period_ns, folder), scenario.workload.sessions
    assert given is not None
    chunked = scenario.serving.scheduler == "chunked"
    prefixes = sessions.prefixes(drawn, given.system_tokens, scenario.serving.block_tokens) if chunked else None

    def rows(slot: int, part: Part, gateway: int) -> Ints:
        begin_ns = slot * period_ns + part.from_ns
        low, high = np.searchsorted(drawn.arrival_ns, [begin_ns, begin_ns + part.lasts_ns])
        found: Ints = low + np.flatnonzero(drawn.gateway[low:high] == gateway)
        return found

    def arrival_ns(slot: int, part: Part) -> list[Ints]:
        found = [rows(slot, part, g) for g in range(expected_rps.shape[1])]
        return [drawn.arrival_ns[one] - slot * period_ns - part.from_ns for one in found]

    def tokens(slot: int, part: Part, gateway: int, n: int) -> tuple[Ints, Ints]:
        found = rows(slot, part, gateway)
        return drawn.prompt_tokens[found], drawn.output_tokens[found]

    def common(slot: int, part: Part, gateway: int) -> tuple[Ints, Ints]:
        session = drawn.session[rows(slot, part, gateway)]
        return session, session

    return _Source(arrival_ns, tokens, None, common, prefixes, drawn.sessions)


def _child(scenario: Scenario, stream: int, gateway: int, slot: int) -> np.random.Generator:
    """The generator of one stream at one gateway in one slot."""
    return np.random.default_rng(np.random.SeedSequence(scenario.seed, spawn_key=(stream, gateway, slot)))


def _choose(upto: Floats, uniform: Floats) -> Ints:
    """The first index whose cumulated weight `upto` exceeds uniform [n] x total weight."""
    index: Ints = np.searchsorted(upto, uniform * upto[-1], side="right").astype(np.int64)
    return index


def _slot_ns(scenario: Scenario) -> int:
    return to_clock_ns(scenario.time.simulated_s, scenario.time.clock_ns)
