"""Replicas that schedule in chunks, in worlds: the twin that takes every step, the SimPy engine, the compiled one."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

import glbdes
from glbdes.engine.fast import driver as fast
from glbdes.engine.simpy import chunked_replica
from glbdes.engine.simpy import engine as simpy_engine
from glbdes.engine.simpy.chunked import ChunkedRegion
from glbdes.engine.simpy.chunked_replica import ChunkedReplica
from glbdes.engine.simpy.dispatch import Dispatcher
from glbdes.engine.simpy.pools import Alike
from glbdes.engine.simpy.request import Request
from glbdes.engine.simpy.scheduler import Scheduler
from glbdes.engine.simpy.step_costs import Side
from glbdes.hardware import physics
from glbdes.world import World
from tests import chunked_world_twin
from tests.chunked_worlds import chunked_world, in_sessions, make_steps, parted_world
from tests.random_worlds import CLOCKS_NS, Moody, differences, random_world
from tests.worlds import Fixed, ListSink, make_fleet, make_requests, make_world

COARSE_NS = CLOCKS_NS[1:]
WORLDS = 240
MS = 1_000_000
# In the last two, requests were preempted and found blocks again before an outage sent them elsewhere.
FEW = [*product(range(20), CLOCKS_NS), (71, CLOCKS_NS[-1]), (85, CLOCKS_NS[1])]


FILLED = (111, CLOCKS_NS[-1])  # blocks are filled in a row of steps that somebody waits for, which is rare


def run(world, policy, engine=simpy_engine, **options) -> ListSink:
    sink = ListSink()
    engine.run(world, policy, sink, policy_name="test", **options)
    return sink


def disagreements(seed: int, clock_ns: int, pooled: bool = False, world: World | None = None) -> list[str]:
    world = chunked_world(seed, clock_ns, pooled) if world is None else world
    return differences(run(world, Moody(seed)), chunked_world_twin.simulate(world, Moody(seed)), exact=clock_ns > 1)


def apart(seed: int, clock_ns: int, world: World | None = None) -> list[str]:
    """Fields in which the two engines' records are not the same to the last bit."""
    world = chunked_world(seed, clock_ns) if world is None else world
    options = {"threads": 1 + seed % 3, "chunk": (1 << 17, 7)[seed % 2]}
    one, other = run(world, Moody(seed)), run(world, Moody(seed), fast, **options)
    found = [name for name in one.table.dtype.names if not np.array_equal(one.table[name], other.table[name])]
    for mine, theirs in zip(one.slots, other.slots, strict=True):
        names = mine.meters.dtype.names
        found += [f"slot {mine.slot} {n}" for n in names if not np.array_equal(mine.meters[n], theirs.meters[n])]
    return found


def prompts_first(seed: int) -> tuple[int, int, World]:
    """A world whose requests belong to sessions and whose replicas take no notice of that."""
    clock_ns = CLOCKS_NS[seed % len(CLOCKS_NS)]
    world = in_sessions(replace(random_world(seed, clock_ns), steps=make_steps()), np.random.default_rng(seed))
    return seed, clock_ns, replace(world, steps=None, prefixes=None, by_prefix=False)


def parted(seed: int, clock_ns: int | None = None) -> tuple[int, int, World]:
    """A world of long prompts that are alike in parts of several blocks."""
    clock_ns = CLOCKS_NS[seed % len(CLOCKS_NS)] if clock_ns is None else clock_ns
    return seed, clock_ns, parted_world(seed, clock_ns)


def of_pools(seed: int) -> tuple[int, int, World]:
    """A world of sessions with pools of one model in one region."""
    clock_ns = CLOCKS_NS[seed % len(CLOCKS_NS)]
    return seed, clock_ns, chunked_world(seed, clock_ns, pooled=True)


def prompts_first_of_pools(seed: int) -> tuple[int, int, World]:
    seed, clock_ns, world = of_pools(seed)
    return seed, clock_ns, replace(world, steps=None, prefixes=None, by_prefix=False)


# Three implementations


@pytest.mark.parametrize("clock_ns", CLOCKS_NS)
def test_the_engine_and_the_twin_agree_on_every_field(clock_ns):
    found = {seed: lines for seed in range(30) if (lines := disagreements(seed, clock_ns))}
    assert found == {}


def test_the_engine_and_the_twin_agree_on_prompts_that_are_alike_in_parts():
    """Where there are few enough tokens for the twin, which takes them one by one."""
    worlds = [one for one in map(parted, range(20)) if one[2].steps.budget < 80]
    assert len(worlds) > 7
    assert {one[:2]: lines for one in worlds if (lines := disagreements(*one[:2], world=one[2]))} == {}


@pytest.mark.parametrize("clock_ns", CLOCKS_NS)
def test_the_engine_and_the_twin_agree_on_sessions_in_pools_of_one_model(clock_ns):
    found = {seed: lines for seed in range(30) if (lines := disagreements(seed, clock_ns, pooled=True))}
    assert found == {}


def test_worlds_of_sessions_in_pools_press_on_what_is_each_pool_s_own():
    """Sessions that are in several pools of a region, blocks found in every one, pools told to sleep, and all rules."""
    told = Counter()
    for seed in range(30):
        _, _, world = of_pools(seed)
        if world.first_of is None:
            continue
        sink = run(world, Moody(seed))
        table = sink.table[(sink.table["session"] >= 0) & (sink.table["status"] == physics.SERVED)]
        of = {(int(s), int(world.first_of[r]), int(r)) for s, r in zip(table["session"], table["region"], strict=True)}
        told["sessions in several pools"] += len(of) - len({(session, first) for session, first, _ in of})
        hit = table[table["cached_tokens"] > 0]["region"]
        told["hits in later pools"] += int((world.first_of[hit] != hit).sum())
        told["hits in first pools"] += int((world.first_of[hit] == hit).sum())
        told[f"affinity {world.affinity}"] += 1
        told["by prefix"] += world.by_prefix
        told["told to sleep"] += world.scaling is not None
        told["in order"] += world.pools_in_order
    assert len(told) == 9
    assert min(told.values()) > 2, told


@pytest.mark.slow
@pytest.mark.parametrize("clock_ns", CLOCKS_NS)
def test_the_engine_and_the_twin_agree_on_every_field_of_2000_worlds(clock_ns):
    found = {seed: lines for seed in range(30, 530) if (lines := disagreements(seed, clock_ns))}
    assert found == {}


def test_the_compiled_engine_says_the_same_to_the_last_bit():
    """Its kernels run by the interpreter, in a process of its own: compiling them takes longer than all the rest."""
    code = "from tests.engine.test_chunked import FEW, apart, of_pools, parted, prompts_first, prompts_first_of_pools; "
    code += "worlds = [*FEW, *map(prompts_first, range(8)), *map(parted, range(40))]; "
    code += "worlds += [*map(of_pools, range(30)), *map(prompts_first_of_pools, range(8))]; "
    code += "print([(*one[:2], found) for one in worlds if (found := apart(*one))])"
    root = Path(glbdes.__file__).resolve().parents[1]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(root)}
    told = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True)
    assert told.stdout == "[]\n", told.stdout + told.stderr


@pytest.mark.slow
def test_the_compiled_engine_says_the_same_in_1000_worlds():
    found = {(seed, clock): lines for clock in CLOCKS_NS for seed in range(250) if (lines := apart(seed, clock))}
    assert found == {}


@pytest.mark.slow
def test_the_compiled_engine_says_the_same_in_1000_worlds_of_prompts_that_are_alike_in_parts():
    worlds = (parted(seed, clock) for clock in CLOCKS_NS for seed in range(250))
    assert {one[:2]: lines for one in worlds if (lines := apart(*one))} == {}


@pytest.mark.slow
def test_the_compiled_engine_says_the_same_of_sessions_in_pools_of_one_model():
    found = {seed: lines for seed in range(200) if (lines := apart(*of_pools(seed)))}
    assert found == {}
    found = {seed: lines for seed in range(100) if (lines := apart(*prompts_first_of_pools(seed)))}
    assert found == {}


def test_the_worlds_press_on_every_rule(monkeypatch):
    """Preemption, own blocks found again, rows of steps, mixed steps, and all statuses."""
    told = {"steps": 0, "rows": 0, "mixed": 0, "beside": 0, "preempted": 0, "found again": 0, "found of others": 0}
    complete = Scheduler.complete

    def watched(self, step, times=1):
        told["steps"] += times
        told["rows"] += times > 1
        told["mixed"] += bool(step.chunks)
        told["beside"] += bool(step.chunks and step.decoding)
        told["preempted"] += len(step.preempted)
        told["found again"] += sum(chunk.job.preemptions > 0 and chunk.before > 0 for chunk in step.chunks)
        told["found of others"] += sum(job.preemptions == 0 and job.cached > 0 for job in step.admitted)
        return complete(self, step, times)

    monkeypatch.setattr(Scheduler, "complete", watched)
    statuses = set()
    for seed in range(30):
        for clock_ns in (1, CLOCKS_NS[-1]):
            statuses |= set(run(chunked_world(seed, clock_ns), Moody(seed)).table["status"].tolist())
    assert statuses == {physics.SERVED, physics.REJECTED, physics.TIMED_OUT, physics.FAILED}
    assert all(count > 20 for count in told.values()), told


# By hand


def one_region(arrival_ms, prompt, output, **fleet):
    """One replica whose steps take 10 ms, whatever they do, and cost 1 J."""
    steps = make_steps(budget=16, block_tokens=4)
    flat = {name: np.full_like(getattr(steps, name), value) for name, value in (("tokens_s", 0.01), ("tokens_j", 1.0))}
    none = {name: np.zeros_like(getattr(steps, name)) for name in ("modes_s", "modes_j", "each_s", "each_j")}
    requests = make_requests(np.array(arrival_ms) * MS, prompt, output)
    world = make_world(requests, slot_s=10.0, fleet=make_fleet(**{"max_batch": 4, "kv_tokens": 400, **fleet}))
    return run(world.__class__(**{**vars(world), "steps": steps._replace(**flat, **none)}), Fixed([[1.0]])).table


def test_prompts_go_in_chunks_and_who_comes_meanwhile_waits_for_the_step_s_end():
    """Budget 16: 20 tokens in two steps; who comes at 5 ms begins with the second, beside the rest of the first."""
    table = one_region([0, 5], [20, 8], [2, 2])
    assert (table["start_ns"] // MS).tolist() == [0, 10]
    assert (table["first_token_ns"] // MS).tolist() == [20, 20]
    assert (table["finish_ns"] // MS).tolist() == [30, 30]
    assert table["energy_j"].tolist() == pytest.approx([2.0, 1.0])  # a step alone, and half of two


def test_requests_of_one_instant_share_a_step():
    table = one_region([0, 0], [4, 4], [1, 1])
    assert (table["finish_ns"] // MS).tolist() == [10, 10]
    assert table["energy_j"].tolist() == pytest.approx([0.5, 0.5])


def test_a_preempted_request_computes_anew_what_it_does_not_find():
    """Five blocks of four: two requests of 8 tokens fill four, and of their 9th tokens only one finds a block."""
    table = one_region([0, 0], [8, 8], [5, 5], kv_tokens=24)
    first, second = table
    assert first["finish_ns"] // MS == 50
    assert second["first_token_ns"] // MS == 10
    # Its answer's second token comes only when the first request has left, after a step for what was lost.
    assert second["finish_ns"] // MS == 50 + 10 * 4
    assert table["preemptions"].tolist() == [0, 1]
    assert table["cached_tokens"].tolist() == [0, 8]  # two full blocks, which nobody took


def test_more_than_max_batch_wait_or_are_rejected():
    table = one_region([0, 1, 2], [4, 4, 4], [1, 1, 1], max_batch=1, max_queue=1)
    assert table["status"].tolist() == [physics.SERVED, physics.SERVED, physics.REJECTED]


def test_a_request_beyond_the_room_is_rejected():
    """Six blocks, one reserved."""
    table = one_region([0, 100], [16, 17], [4, 4], kv_tokens=27)
    assert table["status"].tolist() == [physics.SERVED, physics.REJECTED]


# Planted faults


def replaced(owner: type, name: str, make: Callable) -> Callable:
    return lambda patch: patch.setattr(owner, name, make(getattr(owner, name)))


def without(owner: type, name: str) -> Callable:
    """`owner.name` does nothing."""
    return replaced(owner, name, lambda original: lambda *_: None)


def longer_rows(original):
    """Rows of steps ignore that blocks end."""
    return lambda self, step: 1 if step.chunks else min(job.output - job.generated for job in step.decoding)


def first_index(patch) -> None:
    """The first replica gets everything."""
    patch.setattr(ChunkedRegion, "arrive", _arrive_at_the_first)


def _arrive_at_the_first(self, request, now):
    servers = self.servers
    self.servers = servers[:1]
    try:
        _ARRIVE(self, request, now)
    finally:
        self.servers = servers


_ARRIVE = ChunkedRegion.arrive

FAULTS: dict[str, Callable] = {
    "rows do not end where blocks do": replaced(Scheduler, "repeats", longer_rows),
    "rows do not end for a new head": without(ChunkedReplica, "look_again"),
    "who gives up changes nothing for those behind": replaced(
        ChunkedReplica,
        "give_up",
        lambda original: (
            lambda self, request, now: (
                self.scheduler.waiting.remove(self.jobs[request.id][0]),
                self.jobs.pop(request.id),
                setattr(self, "held", self.held - 1),
            )
        ),
    ),
    "preempted requests lose patience": lambda patch: patch.setattr(
        ChunkedRegion, "preempted", lambda self, request, now: _wait_again(self, request, now)
    ),
    "a preempted request is not waiting": replaced(
        ChunkedRegion, "preempted", lambda original: lambda self, request, now: self.queue.update({request.id: request})
    ),
    "preempted requests do not owe": replaced(
        ChunkedReplica, "owe", lambda original: lambda self, request: self.state == 4 or original(self, request)
    ),
    "a step begins before others come": lambda patch: patch.setattr(physics, "STEP", physics.REPLICA),
    "chunks share evenly": replaced(Side, "share", lambda original: lambda self, step, own: original(self, step, 1)),
    "chunks are free of attention": replaced(
        Side, "chunk", lambda original: lambda self, step, chunk: self.share(step, chunk.tokens)
    ),
    "hosts of steps are free": without(ChunkedReplica, "share_host"),
    "who is still waking up gets requests": lambda patch: patch.setattr(
        ChunkedReplica, "accepts", property(lambda self: self.wanted)
    ),
    "who is to sleep gets requests": lambda patch: patch.setattr(ChunkedReplica, "accepts", True),
    "lost steps are free": without(ChunkedReplica, "lose_mixed"),
    "lost rows are free": without(ChunkedReplica, "lose_decode"),
    "the cache outlives an outage": replaced(
        ChunkedReplica,
        "reset",
        lambda original: lambda self, state, now: _keep_cache(original, self, state, now),
    ),
    "the first replica gets everything": first_index,
    "room counts the reserved block": lambda patch: patch.setattr(
        "glbdes.engine.simpy.step_costs.room_tokens", lambda kv_tokens, size: kv_tokens // size * size
    ),
    "the first token is of the last try": replaced(
        ChunkedReplica,
        "first_token",
        lambda original: (
            lambda self, job, now: (
                setattr(self.jobs[job.id][1], "first_token_ns", now),
                original(self, job, now),
            )
        ),
    ),
    "preemptions are counted once": replaced(ChunkedReplica, "note", lambda original: _note(original, _once)),
    "tokens found are those of the last admission": replaced(
        ChunkedReplica, "note", lambda original: _note(original, _last_found)
    ),
    "preemptions are those of the last attempt": replaced(
        Request, "forget_progress", lambda original: _forget(original, "preemptions")
    ),
    "rows do not end where blocks are filled that the head looks for": replaced(
        Scheduler, "_fillings", lambda original: lambda self, step, head: iter(())
    ),
    "requests of a session go anywhere": replaced(
        Dispatcher, "region_for", lambda original: lambda self, request: self.choose(request)
    ),
    "a session waits for its region": replaced(Dispatcher, "region_for", lambda original: _stay),
    "a slot changes nothing for sessions": replaced(Dispatcher, "follow", lambda original: _follow(original)),
    "the replica with the longest prefix is not asked for": replaced(
        ChunkedRegion,
        "holding",
        lambda original: lambda self, request, now: _without_prefixes(original, self, request, now),
    ),
    "of equal prefixes the first": replaced(
        ChunkedRegion,
        "holding",
        lambda original: (
            lambda self, request, now: original(self, request, now)[: 1 if self.by_prefix else len(self.servers)]
        ),
    ),
    "a replica remembers while it sleeps": without(Scheduler, "forget"),
    "caches are seen as they were when the row began": replaced(
        ChunkedReplica,
        "prefix",
        lambda original: lambda self, request, now: len(self.scheduler.hits(self.job(request))),
    ),
    "whoever looks sees the steps to come": replaced(
        Scheduler, "reach", lambda original: lambda self, step, begun: original(self, step, begun + 1)
    ),
    "nobody has anything in common": replaced(ChunkedRegion, "contents", lambda original: lambda self, chain: []),
    "tokens found are those of the last attempt": replaced(
        Request, "forget_progress", lambda original: _forget(original, "cached_tokens")
    ),
}


def _note(original, afterwards):
    def note(self, step):
        original(self, step)
        for job in (*step.preempted, *step.admitted):
            afterwards(self.jobs[job.id][1], job)

    return note


def _once(request, job):
    request.preemptions = min(request.preemptions, 1)


def _last_found(request, job):
    request.cached_tokens = job.computed


def _forget(original, field):
    def forget(self):
        original(self)
        setattr(self, field, 0)

    return forget


def _without_prefixes(original, self, request, now):
    self.by_prefix = False
    return original(self, request, now)


def _stay(self, request):
    """To the region that its session has, up or down."""
    if self.affinity == physics.BY_REQUEST or request.session not in self.homes:
        self.homes[request.session] = self.choose(request)
        return self.homes[request.session]
    return self.homes[request.session]


def _follow(original):
    def follow(self, plan, demand_rps):
        homes = dict(self.homes)
        original(self, plan, demand_rps)
        self.homes = homes

    return follow


def _wait_again(self, request, now):
    self.count_queue(now)
    self.queue[request.id] = request
    self.meter.queue_max = max(self.meter.queue_max, len(self.queue))
    request.start_ns = chunked_replica.NONE


def _keep_cache(original, self, state, now):
    cache = getattr(getattr(self, "scheduler", None), "cache", None)
    original(self, state, now)
    if cache is not None:
        self.scheduler.cache = cache


@pytest.mark.parametrize("what", FAULTS)
def test_a_planted_fault_is_caught(what, monkeypatch):
    FAULTS[what](monkeypatch)

    def differs(seed: int, clock_ns: int) -> bool:
        try:
            return bool(disagreements(seed, clock_ns))
        except (AssertionError, ArithmeticError, AttributeError, LookupError, ValueError):
            return True

    assert any(differs(*one) for one in [FILLED, *((n, COARSE_NS[n % len(COARSE_NS)]) for n in range(WORLDS))]), what


# Planted faults: sessions in pools of one model


def _same_pool(original):
    """A session stays with the pool that it had first, and not with its region alone."""
    pools: dict[tuple[int, int], object] = {}

    def pool_for(self, request):
        if request.session == -1:
            return original(self, request)
        return pools.setdefault((id(self), request.session), original(self, request))

    return pool_for


def _fullest_cache(original):
    """The pool whose replicas hold most of the request's prefix."""

    def pool_for(self, request):
        able = [pool for pool in self.pools if request.prompt + request.output <= pool.room_tokens] or self.pools
        now = int(self.pools[0].env._now)
        hits = [max(one.prefix(request, now) for one in pool.servers) for pool in able]
        return able[hits.index(max(hits))] if max(hits) > 0 else original(self, request)

    return pool_for


def _one_cache(patch) -> None:
    """Replicas of the same number in pools of one model share what they know."""
    original = Alike.__init__

    def alike(self, pools, in_order):
        original(self, pools, in_order)
        for pool in pools[1:]:
            for mine, first in zip(pool.servers, pools[0].servers, strict=False):
                mine.scheduler.cache = first.scheduler.cache

    patch.setattr(Alike, "__init__", alike)


POOLED_FAULTS: dict[str, Callable] = {
    "a session stays with its pool": replaced(Alike, "pool_for", _same_pool),
    "the pool that holds most of a prefix": replaced(Alike, "pool_for", _fullest_cache),
    "pools share a cache": _one_cache,
    "the first pool for all sessions": replaced(
        Alike,
        "pool_for",
        lambda original: lambda self, request: self.pools[0] if request.session >= 0 else original(self, request),
    ),
}


@pytest.mark.parametrize("what", [None, *POOLED_FAULTS])
def test_a_fault_planted_in_sessions_in_pools_is_caught(what, monkeypatch):
    if what is not None:
        POOLED_FAULTS[what](monkeypatch)

    def differs(seed: int) -> bool:
        try:
            return bool(disagreements(seed, COARSE_NS[seed % len(COARSE_NS)], pooled=True))
        except (AssertionError, ArithmeticError, AttributeError, LookupError, ValueError):
            return True

    assert any(map(differs, range(60))) == (what is not None), what
