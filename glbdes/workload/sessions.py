"""Sessions: conversations whose every turn begins with all that was said before (docs/workload.md, "Sessions").

A session has a geometric number of turns, with exponential times between the arrivals of one and of the next. A turn's
prompt is the system prompt, all earlier turns and answers, and new tokens of its own; these and the answer's are drawn
by the law of lengths. A session that would become longer than a request may be ends before.

All sessions of a run are drawn at once: a turn depends on those before it, and so on other slots.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from glbdes.base import portable
from glbdes.errors import ScenarioError
from glbdes.scenario import Scenario
from glbdes.scenario.demand import Lengths, Sessions
from glbdes.units import NS_PER_S
from glbdes.workload import bounds, lengths
from glbdes.workload.prefixes import Prefixes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

STARTS, TURNS, STARTS_BEFORE, TURNS_BEFORE = range(16, 20)  # children of the scenario's seed, as in `requests`
TYPICAL = 4096  # sessions in the sample of what is typical
LONG = 10.0  # mean lengths of a session, after which hardly any goes on
TURN_BYTES = 200  # that a turn takes while sessions are drawn


class Turns(NamedTuple):
    """Turns of sessions, in a row; arrays [t]."""

    session: Ints  # non-decreasing, from 0
    after_s: Floats  # since the session's first turn
    prompt_tokens: Ints
    output_tokens: Ints


class Drawn(NamedTuple):
    """All turns that arrive in a run, by (arrival, gateway); arrays [n]."""

    arrival_ns: Ints
    gateway: Ints
    prompt_tokens: Ints
    output_tokens: Ints
    session: Ints  # numbered from 0
    sessions: int
    context: Ints  # [session] tokens at its end


def turns(given: Sessions, law: lengths.Law, most_tokens: int, rng: np.random.Generator, sessions: int) -> Turns:
    """The turns of so many sessions; `most_tokens` of a prompt with its answer."""
    stop = 1.0 / given.turns
    count = np.ones(sessions, dtype=np.int64)
    if stop < 1.0:
        count += np.floor(portable.log1p(-rng.random(sessions)) / portable.log1p(np.array(-stop))).astype(np.int64)
    session = np.repeat(np.arange(sessions), count)
    first = np.cumsum(count) - count
    gap_s = np.rint(-portable.log1p(-rng.random(len(session))) * given.think_s * NS_PER_S) / NS_PER_S
    gap_s[first] = 0.0
    new, output = law(*rng.random((2, len(session))))
    said = np.cumsum(new + output)
    context = given.system_tokens + said - np.repeat(said[first] - (new + output)[first], count)
    fits = context <= most_tokens
    fits[first] = True  # the law sees to that
    after_s = np.cumsum(gap_s)
    after_s = after_s - np.repeat(after_s[first], count)
    return Turns(session[fits], after_s[fits], (context - output)[fits], output[fits])


def law_of(given: Lengths, sessions: Sessions, folder: Path | None) -> lengths.Law:
    """Of the new tokens of a turn: beside the system prompt they fit into a request."""
    room = given.max_tokens - sessions.system_tokens
    return lengths.law(given.model_copy(update={"max_tokens": room}), folder)


def typical(given: Lengths, sessions: Sessions, folder: Path | None) -> Turns:
    """The turns of `TYPICAL` sessions, the same on every call."""
    law = law_of(given, sessions, folder)
    return turns(sessions, law, given.max_tokens, np.random.default_rng(0), TYPICAL)


def draw(scenario: Scenario, expected_rps: Floats, period_ns: int, folder: Path | None) -> Drawn:
    """The turns of a run whose gateways expect `expected_rps` [s, g]; a slot is `period_ns` long, with its warm-up.

    Sessions begin at the slot's rate over their mean number of turns; those underway as the run begins have begun
    before it. Raises `ScenarioError` if so many cannot be held.
    """
    given = scenario.workload.sessions
    assert given is not None
    common = typical(scenario.workload.lengths, given, folder)
    each = len(common.session) / TYPICAL
    slots, gateways = expected_rps.shape
    period_s = period_ns / NS_PER_S
    before_s = LONG * given.turns * given.think_s if given.turns > 1.0 else 0.0
    needed = TURN_BYTES * float(expected_rps.sum() * period_s + expected_rps[0].sum() * before_s)
    if needed > bounds.SHARE * bounds.memory_bytes():
        told = f"all turns of all sessions take {needed / 1e9:.3g} GB as they are drawn"
        rule = "too much for this machine; lower the load or the simulated time"
        raise ScenarioError(f"scenario '{scenario.name}': {told}, {rule}")
    law = law_of(scenario.workload.lengths, given, folder)
    parts: list[tuple[Ints, Ints, Turns]] = []
    for slot in range(-1, slots):  # the first one is all time before the run
        begin_s, lasts_s = (slot * period_s, period_s) if slot >= 0 else (-before_s, before_s)
        for gateway in range(gateways):
            sessions_in = float(expected_rps[max(slot, 0), gateway]) / each * lasts_s
            began_s, drawn = _begun(scenario, law, sessions_in, slot, gateway)
            begin_ns = np.rint((begin_s + began_s * lasts_s) * NS_PER_S).astype(np.int64)
            parts.append((begin_ns, np.full(len(began_s), gateway), drawn))
    return _together(parts, slots * period_ns, scenario.time.clock_ns)


def _begun(scenario: Scenario, law: lengths.Law, expected: float, slot: int, gateway: int) -> tuple[Floats, Turns]:
    """So many `expected` sessions that begin in a slot at a gateway: when, as shares of it, and their turns."""
    given = scenario.workload.sessions
    assert given is not None
    starts, others, index = (STARTS, TURNS, slot) if slot >= 0 else (STARTS_BEFORE, TURNS_BEFORE, 0)
    rng, more = (
        np.random.default_rng(np.random.SeedSequence(scenario.seed, spawn_key=(stream, gateway, index)))
        for stream in (starts, others)
    )
    began = np.sort(rng.random(rng.poisson(expected)))
    return began, turns(given, law, scenario.workload.lengths.max_tokens, more, len(began))


def _together(parts: list[tuple[Ints, Ints, Turns]], horizon_ns: int, clock_ns: int) -> Drawn:
    """What arrives before `horizon_ns` and not before 0, sorted; sessions are numbered by their first turn there."""
    first, columns = 0, []
    for begin_ns, gateway, drawn in parts:
        at_ns = begin_ns[drawn.session] + np.rint(drawn.after_s * NS_PER_S).astype(np.int64)
        at_ns = at_ns // clock_ns * clock_ns
        kept = (at_ns >= 0) & (at_ns < horizon_ns)
        rows = (at_ns, gateway[drawn.session], drawn.prompt_tokens, drawn.output_tokens, first + drawn.session)
        columns.append([row[kept] for row in rows])
        first += len(begin_ns)
    joined = [np.concatenate(column) for column in zip(*columns, strict=True)]
    order = np.lexsort((joined[1], joined[0]))  # stable: turns of one session stay in order
    arrival_ns, gateway, prompt, output, old = (column[order] for column in joined)
    names, begins, session = np.unique(old, return_index=True, return_inverse=True)
    rank = np.empty(len(names), dtype=np.int64)
    rank[np.argsort(begins)] = np.arange(len(names))
    session = rank[session.ravel()]
    context = np.zeros(len(names), dtype=np.int64)
    np.maximum.at(context, session, prompt + output)
    return Drawn(arrival_ns, gateway, prompt, output, session, len(names), context)


def prefixes(drawn: Drawn, system_tokens: int, block_tokens: int) -> Prefixes:
    """A chain a session: the blocks of the system prompt, which all have, and its own."""
    common = system_tokens // block_tokens
    blocks = drawn.context // block_tokens
    own = np.maximum(blocks - common, 0)
    begins = common + np.cumsum(own) - own  # numbers of their first own blocks
    runs = np.stack([np.zeros(drawn.sessions, dtype=np.int64), np.full(drawn.sessions, common)], axis=1)
    shift = np.stack([np.zeros(drawn.sessions, dtype=np.int64), begins - common], axis=1)
    kept = np.ones(runs.shape, dtype=bool)
    kept[:, 0] = common > 0
    first = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
    return Prefixes(first, runs[kept], shift[kept], blocks, common + int(own.sum()))
