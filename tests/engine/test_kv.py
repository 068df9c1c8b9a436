"""Exact caches of the compiled engine, by pieces, against the SimPy engine's, block by block.

One replica's cache under random requests that take, fill, find and leave blocks. After each, both say the same about
the whole queue of free blocks, by content, and about every request. Kernels are run by the interpreter.
"""

import inspect
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import glbdes
from glbdes.engine.fast import kv, pieces
from glbdes.engine.fast.state import (
    AFTER,
    BEFORE,
    BLOCKS,
    EMPTY,
    FREE,
    ID,
    KNOWN,
    KV_HEAD,
    LOW,
    NONE,
    PROMPT,
    SIZE,
    SLOTS_FREE,
    UNTOUCHED,
    USERS,
    make_state,
    prefill_ticks,
    with_room,
)
from glbdes.engine.simpy.blocks import Blocks
from glbdes.workload.prefixes import of_contents
from glbdes.world import World
from tests.chunked_worlds import make_steps
from tests.worlds import make_fleet, make_requests, make_world

BATCH, REQUESTS, OPERATIONS = 6, 12, 150


class Pair:
    """A replica's cache as both engines keep it. Blocks are of one token."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = np.random.default_rng(seed)
        self.most = int(rng.choice([10, 40, 100]))  # blocks of a request
        self.room = self.most + int(rng.integers(0, 4 * self.most))
        self.chains = self.drawn_chains(int(rng.choice([1, 5, 32])))
        prefixes = of_contents([np.array(chain, dtype=np.int64) for chain in self.chains])
        fleet = make_fleet(max_batch=BATCH, kv_tokens=self.room + 1, prefill_s=np.zeros(self.most + 2))
        fleet = fleet._replace(prefill_j=np.zeros_like(fleet.prefill_s))
        world = make_world(make_requests([0]), fleet=fleet)
        world = World(**{**vars(world), "steps": make_steps(block_tokens=1), "prefixes": prefixes})
        self.st = with_room(make_state(world, [0], prefill_ticks(world)), REQUESTS)
        self.cache = Blocks(self.room)
        self.blocks: dict[int, list[int]] = {}  # of those that run, by request
        self.filled: dict[int, int] = {}
        for q in range(REQUESTS):
            self.come(q)

    def drawn_chains(self, step: int) -> list[list[int]]:
        """Each goes on where another one was left, mostly between parts of `step` blocks.

        Some begin in the middle of another one: prompts cannot, but caches need not know.
        """
        chains: list[list[int]] = [[]]
        aligned, fresh = self.rng.random() < 0.5, 0
        while len(chains) < 20:
            other = chains[self.rng.integers(len(chains))]
            kept = int(self.rng.integers(0, len(other) + 1))
            kept -= kept % step if self.rng.random() < 0.8 else 0
            own = int(self.rng.integers(1, self.most + 1))
            fresh += -fresh % step if aligned else 0
            first = int(self.rng.integers(0, kept + 1)) if self.rng.random() < 0.2 else 0
            chains.append((other[first:kept] + list(range(fresh, fresh + own)))[: self.most])
            fresh += own
        return chains

    def come(self, q: int) -> None:
        """Another request has row q from now on."""
        st, copies = self.st, 2 * len(self.chains)
        st.req[q, ID] += REQUESTS if st.creq[q, KNOWN] else q
        chain = int(self.rng.integers(-1, copies)) if self.rng.random() < 0.5 else int(self.rng.integers(0, 4))
        kv.begin_chain(st, np.int64(q), np.int64(chain))
        st.req[q, PROMPT] = st.creq[q, KNOWN] = self.rng.integers(1, self.most + 1)
        copy, row = divmod(chain, len(self.chains))
        shared = [] if chain == NONE else [content + copy * int(st.pnum[1]) for content in self.chains[row]]
        own = -((int(st.req[q, ID]) + 1) << kv.OWN_BITS)
        self.contents = {**getattr(self, "contents", {}), q: shared + [own + i for i in range(len(shared), self.most)]}

    def same(self, what: str, one: object, other: object) -> None:
        if one != other:
            raise AssertionError(f"{what}: {one}, {other}")

    def admit(self, q: int) -> None:
        st, k, cache = self.st, np.int64(0), self.cache
        found = cache.found(self.contents[q][: int(st.creq[q, KNOWN]) - 1])
        told = [len(found), sum(cache.users[block] > 0 for block in found)]
        self.same("found", list(map(int, kv.search(st, k, np.int64(q)))), told)
        chunk = int(self.rng.integers(1, int(st.creq[q, KNOWN]) - len(found) + 1))
        if not cache.fit(found, chunk):
            return
        kv.share(st, k, np.int64(q), np.int64(len(found)))
        cache.share(found)
        self.blocks[q], self.filled[q] = found, len(found)
        self.compute(q, chunk)

    def compute(self, q: int, more: int) -> None:
        """Some of the last blocks may stay empty, as one that is not full does."""
        had, cache = self.blocks[q], self.cache
        more = min(more, cache.free, self.most - len(had))
        size = 1 if self.rng.random() < 0.5 else 2
        needed, full = len(had) + more, max((len(had) + more) // size, self.filled[q])
        if more > 0:
            pieces.pop(self.st.kv, 0, self.st.piece, self.st.piece32, self.st.table, np.int64(more))
            self.st.crep[0, FREE] -= more
            self.st.preq[q, BLOCKS] = needed
            had += cache.take(more)
        if full > self.filled[q]:
            kv.fill_all(self.st, np.int64(0), np.int64(q), np.int64(full))
            for i in range(self.filled[q], full):
                cache.fill(had[i], self.contents[q][i])
            self.filled[q] = full

    def leave(self, q: int) -> None:
        kv.leave_all(self.st, np.int64(0), np.int64(q))
        self.cache.give_back(self.blocks.pop(q))
        if self.rng.random() < 0.6:
            self.come(q)

    def act(self) -> None:
        rng, running = self.rng, list(self.blocks)
        q = int(rng.integers(REQUESTS))
        if rng.random() < 0.01:
            for other in running:
                self.leave(other)
            kv.clear(self.st, np.int64(0))
            self.st.crep[0, FREE], self.cache = self.room, Blocks(self.room)
        elif q not in self.blocks:
            hits = self.cache.found(self.contents[q][: int(self.st.req[q, PROMPT]) - 1])
            self.same("hits", int(kv.hits_of(self.st, np.int64(0), np.int64(q))), len(hits))
            if len(running) < BATCH:
                self.admit(q)
        elif rng.random() < 0.6:
            self.compute(q, int(rng.choice([1, 1, 1, 3, 40])))
        else:
            self.leave(q)

    def compare(self) -> None:
        """Both caches are in the same state, and the one by pieces is sound."""
        st, cache = self.st, self.cache
        queue, p, before = [], int(st.kv[0, KV_HEAD]), NONE
        while p != NONE:
            low, size = int(st.piece[p, LOW]), int(st.piece32[p, SIZE])
            queue += [None] * size if low == EMPTY else range(low + size - 1, low - 1, -1)
            self.same("piece", [int(st.piece32[p, BEFORE]), int(st.piece32[p, USERS]), size > 0], [before, 0, True])
            self.same("in a circle", len(queue) > self.room, False)
            before, p = p, int(st.piece32[p, AFTER])
        self.same("queue", queue, [cache.content.get(block) for block in cache.unused])
        self.same("free", int(st.crep[0, FREE]), cache.free)
        self.same("rows", int(st.kv[0, UNTOUCHED]) <= self.room, True)
        self.same("slots", int(st.kv[0, SLOTS_FREE]), BATCH - len(self.blocks))
        for q, blocks in self.blocks.items():
            self.same("blocks", int(st.preq[q, BLOCKS]), len(blocks))


def differs(seed: int) -> str:
    """What the two caches do not agree on in world number `seed`, or nothing."""
    pair = Pair(seed)
    try:
        for _ in range(OPERATIONS):
            pair.act()
            pair.compare()
    except AssertionError as difference:
        return str(difference)
    return ""


# Each row plants a fault in the kernels: module, function, what it says, what it is made to say.
FAULTS = {
    "pieces that were filled first do not end those behind": (pieces, "piece_with", "end = min(end, low)", "pass"),
    "the last of a piece's blocks is not found": (pieces, "piece_with", "content < low +", "content + 1 < low +"),
    "a piece in others' use grows": (pieces, "can_grow", "or piece32[p, USERS] != 1", ""),
    "a piece grows by what is not next to it": (pieces, "can_grow", "piece[p, LOW] + piece32[p, SIZE] != low or", ""),
    "a piece grows beyond its group": (pieces, "can_grow", "or low & IN_GROUP == 0", ""),
    "a piece grows before others": (pieces, "can_grow", "piece[other, LOW] < end and", "False and"),
    "the piece filled last is found first": (
        pieces,
        "fill",
        "if last == NONE:",
        "if True:\n        piece32[p, BEHIND] = last",
    ),
    "what is lost is still found": (pieces, "forget", "if first != p:", "if True:\n        return\n    if first != p:"),
    "with the first piece all of a group is lost": (pieces, "forget", "piece32[p, BEHIND] != NONE", "False"),
    "a gap ends the search": (pieces, "close_gap", ">= (i - gap) & mask", "< 0"),
    "everything moves into gaps": (pieces, "close_gap", ">= (i - gap) & mask", ">= 0"),
    "who is behind a split piece is forgotten": (
        pieces,
        "split",
        "piece32[p, BEHIND] = piece32[p, BEHIND], rest",
        "piece32[p, BEHIND] = NONE, rest",
    ),
    "splits of pieces in use are free": (pieces, "split", "if piece32[p, USERS] == 0:", "if True:"),
    "splits of free pieces are not": (pieces, "split", "if piece32[p, USERS] == 0:", "if False:"),
    "the first half of a split is lost first": (
        pieces,
        "split",
        "piece[p, LOW]\n",
        "piece[p, LOW]\n    if piece32[p, USERS] == 0:\n        remove(kv, k, piece32, p)\n        "
        "append(kv, k, piece32, p)\n",
    ),
    "first blocks are lost first": (
        pieces,
        "pop",
        "piece32[p, SIZE] = size - count\n",
        "piece32[p, SIZE] = size - count\n            piece[p, LOW] += count * (piece[p, LOW] != EMPTY)\n",
    ),
    "rows are used once": (pieces, "pop", "kv[k, SPARE] = p", "pass"),
    "blocks that are not full disappear": (kv, "leave_all", "if freed > 0:", "if False:"),
    "first blocks leave first": (kv, "leave_all", "range(preq[q, PIECES] - 1, -1, -1)", "range(preq[q, PIECES])"),
    "pieces behind stay": (kv, "leave_all", "left -= size", "left = 0"),
    "the first pieces behind leave first": (kv, "leave_all", "while behind < left:", "while False:"),
    "who shares a piece takes it along": (kv, "leave_all", "if piece32[p, USERS] == 0:", "if True:"),
    "found pieces are not split before": (kv, "search", "if piece[p, LOW] < low:", "if False:"),
    "found pieces are not split behind": (kv, "search", "if low + piece32[p, SIZE] > high:", "if False:"),
    "a run goes on in another": (kv, "search", "high = min(high, shift + end)", "pass"),
    "free blocks that are found are in use": (kv, "search", "if piece32[p, USERS] > 0:", "if True:"),
    "what is found stays free": (kv, "share", "if piece32[p, USERS] == 1:", "if False:"),
    "hits go on in another run": (kv, "hits_of", "min(high - shift, end)", "high - shift"),
    "clearing forgets nothing": (kv, "clear", "st.table[i] = NONE", "pass"),
}


def plant(module, function: str, old: str, new: str) -> list[tuple]:
    """Replace `old` by `new` in `function` wherever it is known. Returns how to undo that."""
    original = getattr(module, function)
    source = inspect.getsource(original)
    assert source.count(old) == 1, f"{module.__name__}.{function} says {old!r} {source.count(old)} times"
    namespace: dict[str, object] = {}
    exec(compile(source.replace(old, new), f"<fault in {function}>", "exec"), vars(module), namespace)
    users = [user for user in (kv, pieces) if hasattr(user, function)]
    for user in users:
        setattr(user, function, namespace[function])
    return [(user, function, original) for user in users]


def caught(fault: str, seeds: range) -> bool:
    undo = plant(*FAULTS[fault])
    try:
        return any(map(stumbles, seeds))
    finally:
        for one in undo:
            setattr(*one)


def stumbles(seed: int) -> bool:
    """Whether the caches differ, or the faulty one fails or goes round in circles."""
    signal.signal(signal.SIGVTALRM, out_of_time)
    signal.setitimer(signal.ITIMER_VIRTUAL, 1.0)  # of the processor; a world takes 0.02
    try:
        return bool(differs(seed))
    except (ArithmeticError, LookupError, ValueError, TimeoutError):
        return True
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)


def out_of_time(*_):
    raise TimeoutError


def interpreted(expression: str) -> str:
    """What `expression` is where kernels are run by the interpreter."""
    root = Path(glbdes.__file__).resolve().parents[1]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(root)}
    code = f"from tests.engine.test_kv import *; print({expression})"
    told = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    return told.stdout.strip()


def test_a_cache_by_pieces_is_one_block_by_block():
    assert interpreted("{seed: found for seed in range(150) if (found := differs(seed))}") == "{}"


@pytest.mark.slow
def test_a_cache_by_pieces_is_one_block_by_block_20000_times():
    assert interpreted("{seed: found for seed in range(150, 20_150) if (found := differs(seed))}") == "{}"


def test_memory_is_what_the_model_says():
    """docs/model.md, "Prefixes": 40 to 48 bytes a block, and 5 for one of a running request."""
    assert interpreted("{seed: told for seed in range(8) if (told := not memory_as_told(seed))}") == "{}"


def memory_as_told(seed: int) -> bool:
    pair = Pair(seed)
    st, a_block = pair.st, (pair.st.piece.nbytes + pair.st.table.nbytes) / pair.room
    of_requests = (st.mine.nbytes + st.span.nbytes) / BATCH / (pair.most + 3)
    return 40 <= a_block <= 48 and of_requests <= 5 and np.shares_memory(st.piece, st.piece32)


def test_planted_faults_are_caught():
    assert interpreted("[fault for fault in FAULTS if not caught(fault, range(60))]") == "[]"
