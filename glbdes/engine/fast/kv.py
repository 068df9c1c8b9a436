"""Exact KV caches of the compiled engine, where requests begin alike (docs/model.md, "Prefixes").

A request's full blocks are the pieces (`pieces`) in its column of `mine`. What it holds beyond them is a number. Where
only a part of a piece is found it is split, so a request that uses all of it has the pieces behind, too.
"""

import numpy as np

from glbdes.base.compiled import helper
from glbdes.engine.fast.pieces import IN_GROUP, append, append_empty, can_grow, fill, piece_with, pop, remove, split
from glbdes.engine.fast.state import *  # noqa: F403

OWN_BITS = 24  # of the content of a request's own blocks: their place; no request has more


@helper
def begin_chain(st, q, chain):
    """Request q, which has no blocks, has the contents of `chain` at its beginning."""
    preq = st.preq
    copy = chain // st.pnum[CHAINS] if chain >= 0 else 0
    preq[q, CHAIN] = chain - copy * st.pnum[CHAINS] if chain >= 0 else NONE
    preq[q, SHIFT] = copy * st.pnum[CONTENTS]
    preq[q, SLOT] = NONE
    preq[q, BLOCKS], preq[q, FILLED], preq[q, TOKENS], preq[q, PIECES] = 0, 0, 0, 0


@helper
def run_of(st, q, i, most):
    """(shift, end): request q's blocks i .. end - 1, end <= `most`, have the contents shift + their places."""
    chain = st.preq[q, CHAIN]
    if chain == NONE or i >= st.chains[chain, CHAIN_BLOCKS]:
        return -((st.req[q, ID] + 1) << OWN_BITS), most
    runs, j, last = st.runs, st.chains[chain, RUN_FIRST], st.chains[chain, RUN_LAST]
    while j + 1 < last and runs[j + 1, RUN_INDEX] <= i:
        j += 1
    end = runs[j + 1, RUN_INDEX] if j + 1 < last else st.chains[chain, CHAIN_BLOCKS]
    return runs[j, RUN_SHIFT] + st.preq[q, SHIFT], min(end, most)


@helper
def leave_all(st, k, q):
    """Request q leaves its blocks, the last one first."""
    preq, kv, piece, piece32, mine, span = st.preq, st.kv, st.piece, st.piece32, st.mine, st.span
    slot, freed = preq[q, SLOT], preq[q, BLOCKS] - preq[q, FILLED]
    if freed > 0:
        append_empty(kv, k, piece, piece32, freed)
    for i in range(preq[q, PIECES] - 1, -1, -1):
        left = np.int64(span[i, slot])
        while left > 0:
            p = np.int64(mine[i, slot])
            size = np.int64(piece32[p, SIZE])
            behind = size
            while behind < left:
                p = np.int64(piece32[p, BEHIND])
                size = np.int64(piece32[p, SIZE])
                behind += size
            left -= size
            piece32[p, USERS] -= 1
            if piece32[p, USERS] == 0:
                append(kv, k, piece32, p)
                freed += size
    st.crep[k, FREE] += freed
    st.slots[k, kv[k, SLOTS_FREE]] = slot - k * st.running.shape[1]
    kv[k, SLOTS_FREE] += 1
    preq[q, SLOT] = NONE
    preq[q, BLOCKS], preq[q, FILLED], preq[q, TOKENS], preq[q, PIECES] = 0, 0, 0, 0


@helper
def fill_all(st, k, q, full):
    """The first `full` blocks of request q have their content."""
    preq, kv, piece, piece32, mine, span = st.preq, st.kv, st.piece, st.piece32, st.mine, st.span
    slot, i, n = preq[q, SLOT], preq[q, FILLED], preq[q, PIECES]
    while i < full:
        shift, end = run_of(st, q, i, full)
        while i < end:
            low = shift + i
            size = min(end - i, IN_GROUP + 1 - (low & IN_GROUP))
            last = np.int64(mine[n - 1, slot]) if n > 0 else NONE
            if n > 0 and can_grow(piece, piece32, last, low, low + size):
                piece32[last, SIZE] += size
                span[n - 1, slot] += size
            else:
                mine[n, slot] = fill(kv, k, piece, piece32, st.table, low, size)
                span[n, slot] = size
                n += 1
            i += size
    preq[q, FILLED], preq[q, PIECES] = full, n


@helper
def compute(st, k, q, tokens):
    """Request q has blocks for its first `tokens` tokens, and those of them that are full have their content."""
    preq, size = st.preq, st.cnum[BLOCK]
    needed = (tokens + size - 1) // size
    if needed > preq[q, BLOCKS]:
        pop(st.kv, k, st.piece, st.piece32, st.table, needed - preq[q, BLOCKS])
        st.crep[k, FREE] -= needed - preq[q, BLOCKS]
        preq[q, BLOCKS] = needed
    preq[q, TOKENS] = tokens
    if preq[q, FILLED] < tokens // size:
        fill_all(st, k, q, tokens // size)


@helper
def compute_all(st, k, steps):
    """So many steps of the row have begun: decoding requests of replica k have the blocks for them."""
    preq, size, running = st.preq, st.cnum[BLOCK], st.running
    new = steps - st.kv[k, GROWN]
    st.kv[k, GROWN] = steps
    if new > 0:
        for i in range(st.crep[k, DECODERS]):
            q = running[k, i]
            tokens = preq[q, TOKENS] + new
            if (tokens + size - 1) // size > preq[q, BLOCKS] or tokens // size > preq[q, FILLED]:
                compute(st, k, q, tokens)
            else:
                preq[q, TOKENS] = tokens


@helper
def search(st, k, q):
    """(found, in use): how many first blocks of request q are there, and how many of them somebody uses.

    The pieces that are found are all of these blocks and no others, and are in the column of `mine` that the next
    request admitted will get.
    """
    kv, piece, piece32, mine, span = st.kv, st.piece, st.piece32, st.mine, st.span
    at, mask = kv[k, TABLE_AT], kv[k, MASK]
    most = (st.creq[q, KNOWN] - 1) // st.cnum[BLOCK]
    slot = k * st.running.shape[1] + st.slots[k, kv[k, SLOTS_FREE] - 1]
    used, i, n, more = np.int64(0), np.int64(0), 0, True
    while more and i < most:
        shift, end = run_of(st, q, i, most)
        while more and i < end:
            low = shift + i
            p, high = piece_with(piece, piece32, st.table, at, mask, low)
            more = p != NONE
            if more:
                high = min(high, shift + end)
                if piece[p, LOW] < low:
                    p = split(kv, k, piece, piece32, p, low)
                if low + piece32[p, SIZE] > high:
                    split(kv, k, piece, piece32, p, high)
                mine[n, slot], span[n, slot] = p, high - low
                n += 1
                i = high - shift
                if piece32[p, USERS] > 0:
                    used += high - low
    kv[k, FOUND], kv[k, FOUND_PIECES] = i, n
    return i, used


@helper
def until_found(st, g, k, most):
    """How many steps, at most `most`, go by until one fills the block that the head of who waits did not find."""
    if st.crep[k, WAIT_COUNT] == 0 or st.crep[k, RUNNING] >= st.reg[g, MAX_BATCH]:
        return most
    head, i, size = st.crep[k, WAIT_HEAD], st.kv[k, FOUND], st.cnum[BLOCK]
    chain = st.preq[head, CHAIN]
    if chain == NONE or i >= min((st.creq[head, KNOWN] - 1) // size, st.chains[chain, CHAIN_BLOCKS]):
        return most
    wanted = run_of(st, head, i, i + 1)[0] + i
    for n in range(st.crep[k, DECODERS]):
        q = st.running[k, n]
        if st.preq[q, FILLED] <= i and run_of(st, q, i, i + 1)[0] + i == wanted:
            most = min(most, (i + 1) * size - st.preq[q, TOKENS])  # those of the first step are among the tokens
    return most


@helper
def hits_of(st, k, q):
    """How many first blocks of request q, which is not at replica k, are there."""
    at, mask = st.kv[k, TABLE_AT], st.kv[k, MASK]
    most, i = (st.req[q, PROMPT] - 1) // st.cnum[BLOCK], np.int64(0)
    while i < most:
        shift, end = run_of(st, q, i, most)
        while i < end:
            p, high = piece_with(st.piece, st.piece32, st.table, at, mask, shift + i)
            if p == NONE:
                return i
            i = min(high - shift, end)
    return most


@helper
def share(st, k, q, found):
    """Request q, which is admitted, uses the blocks that `search` found, whether they are free or not."""
    preq, kv, piece32, mine = st.preq, st.kv, st.piece32, st.mine
    kv[k, SLOTS_FREE] -= 1
    slot = k * st.running.shape[1] + st.slots[k, kv[k, SLOTS_FREE]]
    preq[q, SLOT], preq[q, PIECES] = slot, kv[k, FOUND_PIECES]
    preq[q, BLOCKS], preq[q, FILLED], preq[q, TOKENS] = found, found, found * st.cnum[BLOCK]
    for i in range(kv[k, FOUND_PIECES]):
        p = np.int64(mine[i, slot])
        piece32[p, USERS] += 1
        if piece32[p, USERS] == 1:
            remove(kv, k, piece32, p)
            st.crep[k, FREE] -= piece32[p, SIZE]


@helper
def clear(st, k):
    """Replica k's cache is empty, and nobody uses it."""
    kv, batch, first = st.kv, st.running.shape[1], st.kv[k, KV_FIRST]
    kv[k, KV_HEAD], kv[k, KV_TAIL], kv[k, SLOTS_FREE], kv[k, GROWN] = first, first, batch, 0
    kv[k, SPARE], kv[k, UNTOUCHED] = NONE, first + 1
    st.piece[first, LOW], st.piece32[first, SIZE], st.piece32[first, USERS] = EMPTY, kv[k, KV_ROOM], 0
    st.piece32[first, BEFORE], st.piece32[first, AFTER], st.piece32[first, BEHIND] = NONE, NONE, NONE
    for i in range(kv[k, TABLE_AT], kv[k, TABLE_AT] + kv[k, MASK] + 1):
        st.table[i] = NONE
    for i in range(batch):
        st.slots[k, i] = batch - 1 - i
