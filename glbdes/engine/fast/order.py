"""Who is next: the orderings that the compiled engine keeps, so that no event looks at more than a few replicas.

A tournament of next events over all replicas, sets of replicas by the number of requests they hold, and for each
replica a heap of its batch by the iteration in which a request finishes.
"""

import numpy as np

from glbdes.base.compiled import helper, prefetch
from glbdes.engine.fast.state import *  # noqa: F403


@helper
def lowest_bit(word):
    """Index of the lowest bit set in a word that is not 0."""
    n = 0
    if word & np.uint64(0xFFFFFFFF) == 0:
        n += 32
        word >>= np.uint64(32)
    if word & np.uint64(0xFFFF) == 0:
        n += 16
        word >>= np.uint64(16)
    if word & np.uint64(0xFF) == 0:
        n += 8
        word >>= np.uint64(8)
    if word & np.uint64(0xF) == 0:
        n += 4
        word >>= np.uint64(4)
    if word & np.uint64(0x3) == 0:
        n += 2
        word >>= np.uint64(2)
    if word & np.uint64(0x1) == 0:
        n += 1
    return n


@helper
def foresee(st, k, ahead):
    """Ask for what coming events will read: of the winners, some way below the final, of the matches that k plays."""
    node = (len(st.tree) >> 1) + k
    k = st.tree[node >> ahead, 1]
    prefetch(st.rep, k, 0)
    prefetch(st.rep, k, 8)
    prefetch(st.active, k, 0)
    prefetch(st.active, k, 8)
    prefetch(st.active, k, 16)
    prefetch(st.waiting, k, 0)
    leaf = (len(st.tree) >> 1) + k
    prefetch(st.tree, leaf, 0)
    prefetch(st.tree, leaf >> 1, 0)
    prefetch(st.tree, leaf >> 2, 0)
    k = st.tree[node >> (ahead + 3), 1]
    q = st.active[k, 0] & ROW if st.rep[k, STATE] == DECODE else st.waiting[k, st.rep[k, HEAD]]
    prefetch(st.req, q, 0)
    prefetch(st.req, q, 8)
    prefetch(st.reqf, q, 0)


@helper
def schedule(st, k, at_ns):
    """Replica k's next step happens at `at_ns`: play its matches of the tournament again, as far as winners change."""
    tree = st.tree
    node = (len(tree) >> 1) + k
    tree[node, 0] = at_ns
    time_ns, winner = at_ns, k
    while node > 1:
        rival = node ^ 1
        rival_ns = tree[rival, 0]
        if rival_ns < time_ns or (rival_ns == time_ns and rival < node):
            time_ns, winner = rival_ns, tree[rival, 1]
        node >>= 1
        if tree[node, 0] == time_ns and tree[node, 1] == winner:
            return
        tree[node, 0] = time_ns
        tree[node, 1] = winner


@helper
def hold(st, g, k, new):
    """Replica k of region g now holds `new` requests."""
    reg, bits = st.reg, st.bits
    words = reg[g, WORDS]
    i = k - reg[g, FIRST]
    bit = np.uint64(1) << np.uint64(i & 63)
    old = st.rep[k, HELD]
    st.rep[k, HELD] = new
    if i >= reg[g, AWAKE]:  # it takes none, so it is in no set
        return
    st.levels[g, old] -= 1
    st.levels[g, new] += 1
    at = reg[g, BITS] + (i >> 6)
    if old < reg[g, MAX_BATCH]:
        bits[at + old * words] ^= bit
    if new < reg[g, MAX_BATCH]:
        bits[at + new * words] |= bit
        if (i >> 6) < st.starts[g, new]:
            st.starts[g, new] = i >> 6
    if new < reg[g, LOWEST]:
        reg[g, LOWEST] = new
    while reg[g, LOWEST] < reg[g, MAX_BATCH] and st.levels[g, reg[g, LOWEST]] == 0:
        reg[g, LOWEST] += 1


@helper
def gather(st, g):
    """Put the sets of region g together anew: a replica is in one if it is to be awake, and not only rising to it."""
    reg, bits, rep = st.reg, st.bits, st.rep
    words, first, batch = reg[g, WORDS], reg[g, FIRST], reg[g, MAX_BATCH]
    for i in range(words * batch):
        bits[reg[g, BITS] + i] = np.uint64(0)
    for held in range(batch + 1):
        st.levels[g, held], st.starts[g, held] = 0, 0
    reg[g, LOWEST] = batch
    for i in range(reg[g, AWAKE]):
        held = rep[first + i, HELD]
        if rep[first + i, STATE] != RISING:
            st.levels[g, held] += 1
            if held < batch:
                bits[reg[g, BITS] + held * words + (i >> 6)] |= np.uint64(1) << np.uint64(i & 63)
                reg[g, LOWEST] = min(reg[g, LOWEST], held)


@helper
def admitting_at(st, g, tokens, held):
    """The first replica of region g that holds so many requests and has room for `tokens`; NONE if there is none."""
    reg, bits, rep = st.reg, st.bits, st.rep
    words, first = reg[g, WORDS], reg[g, FIRST]
    at = reg[g, BITS] + held * words
    start = st.starts[g, held]
    while bits[at + start] == 0:
        start += 1
    st.starts[g, held] = start
    for w in range(start, words):
        word = bits[at + w]
        while word != 0:
            k = first + 64 * w + lowest_bit(word)
            if rep[k, KV_FREE] >= tokens:
                return k
            word &= word - np.uint64(1)
    return NONE


@helper
def admitting(st, g, tokens):
    """Of the admitting replicas of region g the fullest that holds less than it is packed to, or else the one with the
    fewest requests; of equals the one of lowest index. NONE if there is none."""
    reg = st.reg
    for held in range(reg[g, PACK] - 1, -1, -1):
        if st.levels[g, held] > 0:
            k = admitting_at(st, g, tokens, held)
            if k != NONE:
                return k
    for held in range(max(reg[g, LOWEST], reg[g, PACK]), reg[g, MAX_BATCH]):
        if st.levels[g, held] > 0:
            k = admitting_at(st, g, tokens, held)
            if k != NONE:
                return k
    return NONE


@helper
def ahead_of(st, one, other):
    """Whether the request of key `one` finishes before that of `other`."""
    if one >> ROW_BITS == other >> ROW_BITS:
        return st.req[one & ROW, ID] < st.req[other & ROW, ID]
    return one < other


@helper
def push_active(st, k, q):
    """Request q joins the batch of replica k: a heap by (target, id)."""
    heap = st.active[k]
    key = st.req[q, TARGET] << ROW_BITS | q
    i = st.rep[k, ACTIVE]
    st.rep[k, ACTIVE] = i + 1
    while i > 0:
        up = (i - 1) >> 1
        if ahead_of(st, heap[up], key):
            break
        heap[i] = heap[up]
        i = up
    heap[i] = key


@helper
def pop_active(st, k):
    """Remove and return the request of replica k's batch that finishes first."""
    heap = st.active[k]
    top = heap[0] & ROW
    n = st.rep[k, ACTIVE] - 1
    st.rep[k, ACTIVE] = n
    key = heap[n]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= n:
            break
        if child + 1 < n and ahead_of(st, heap[child + 1], heap[child]):
            child += 1
        if ahead_of(st, key, heap[child]):
            break
        heap[i] = heap[child]
        i = child
    heap[i] = key
    return top


@helper
def foresee_arrival(st, g):
    """Ask for what admitting the next arrival will read: of the replica that is likely to take it."""
    reg = st.reg
    held = reg[g, LOWEST]
    if held < reg[g, MAX_BATCH]:
        start = st.starts[g, held]
        word = st.bits[reg[g, BITS] + held * reg[g, WORDS] + start]
        if word != 0:
            k = reg[g, FIRST] + 64 * start + lowest_bit(word)
            node = (len(st.tree) >> 1) + k
            prefetch(st.rep, k, 0)
            prefetch(st.rep, k, 8)
            prefetch(st.waiting, k, 0)
            prefetch(st.tree, node, 0)
            prefetch(st.tree, node >> 1, 0)
            prefetch(st.tree, node >> 2, 0)
            prefetch(st.tree, node >> 3, 0)


@helper
def remove_active(st, k, q):
    """Request q leaves the heap of replica k, from wherever it stood."""
    heap = st.active[k]
    i = 0
    while heap[i] & ROW != q:
        i += 1
    n = st.rep[k, ACTIVE] - 1
    st.rep[k, ACTIVE] = n
    if i == n:
        return
    key = heap[n]
    while i > 0 and ahead_of(st, key, heap[(i - 1) >> 1]):
        heap[i] = heap[(i - 1) >> 1]
        i = (i - 1) >> 1
    while True:
        child = 2 * i + 1
        if child >= n:
            break
        if child + 1 < n and ahead_of(st, heap[child + 1], heap[child]):
            child += 1
        if ahead_of(st, key, heap[child]):
            break
        heap[i] = heap[child]
        i = child
    heap[i] = key
