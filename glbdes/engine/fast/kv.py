"""KV caches of the compiled engine, block by block, where requests begin alike (docs/model.md, "Prefixes").

Free blocks are a list, from the least recently freed to the last. `table` finds a block by its content: open
addressing, contents that follow one another side by side; `far` says how far from where its search begins each one is.
Blocks of the same content are a list, by the time at which they were filled.
"""

import numpy as np

from glbdes.base.compiled import helper
from glbdes.engine.fast.kv_state import GROUP_BITS
from glbdes.engine.fast.state import *  # noqa: F403

HASHED_BITS, SPREAD_BITS = 30, 12
HASHED = (1 << HASHED_BITS) - 1
FACTOR = 0x9E3779B1  # 32 bits of the golden ratio: products of HASHED bits with it fit into 63
IN_GROUP = np.int64((1 << GROUP_BITS) - 1)
OWN_BITS = 24  # of the content of a request's own blocks: their place; no request has more


# Contents


@helper
def begin_chain(st, q, chain):
    """Request q, which has no blocks, has the contents of `chain` at its beginning."""
    preq = st.preq
    copy = chain // st.pnum[CHAINS] if chain >= 0 else 0
    preq[q, CHAIN] = chain - copy * st.pnum[CHAINS] if chain >= 0 else NONE
    preq[q, SHIFT] = copy * st.pnum[CONTENTS]
    preq[q, SLOT] = NONE
    preq[q, BLOCKS], preq[q, FILLED], preq[q, TOKENS] = 0, 0, 0


@helper
def run_at(st, q, i):
    """The run of request q's chain that its block i is in."""
    chain = st.preq[q, CHAIN]
    if chain == NONE:
        return np.int64(0)
    j, last = st.chains[chain, RUN_FIRST], st.chains[chain, RUN_LAST]
    while j + 1 < last and st.runs[j + 1, RUN_INDEX] <= i:
        j += 1
    return j


@helper
def content_of(st, q, i, j):
    """The content of request q's block i; j: its run."""
    chain = st.preq[q, CHAIN]
    if chain != NONE and i < st.chains[chain, CHAIN_BLOCKS]:
        return st.runs[j, RUN_SHIFT] + i + st.preq[q, SHIFT]
    return -1 - (st.req[q, ID] << OWN_BITS) - i


@helper
def run_after(st, q, i, j):
    """The run of block i + 1, where j is that of block i."""
    chain = st.preq[q, CHAIN]
    if chain != NONE and j + 1 < st.chains[chain, RUN_LAST] and st.runs[j + 1, RUN_INDEX] == i + 1:
        return j + 1
    return j


@helper
def place_of(content, mask):
    """Where the search for a content begins."""
    group = content >> GROUP_BITS
    hashed = (((group ^ (group >> HASHED_BITS)) & HASHED) * FACTOR) >> SPREAD_BITS
    return ((hashed << GROUP_BITS) + (content & IN_GROUP)) & mask


@helper
def block_of(st, k, content):
    """The block of replica k with that content that was filled first; NONE if there is none."""
    table, far, at, mask = st.table, st.far, st.kv[k, TABLE_AT], st.kv[k, MASK]
    i = place_of(content, mask)
    away = 0
    while True:
        b = np.int64(table[at + i])
        if b == NONE or (far[at + i] == away and st.content[b] == content):
            return b
        i = (i + 1) & mask
        away += 1


@helper
def fill(st, k, b, content):
    """Block b of replica k holds `content` from now on."""
    table, far, at, mask = st.table, st.far, st.kv[k, TABLE_AT], st.kv[k, MASK]
    i = place_of(content, mask)
    st.content[b] = content
    st.same[b] = NONE
    away = 0
    while True:
        other = np.int64(table[at + i])
        if other == NONE:
            table[at + i] = b
            far[at + i] = away
            return
        if far[at + i] == away and st.content[other] == content:
            while st.same[other] != NONE:
                other = np.int64(st.same[other])
            st.same[other] = b
            return
        i = (i + 1) & mask
        away += 1


@helper
def forget(st, k, b):
    """Block b of replica k holds nothing any more."""
    content = st.content[b]
    if content == EMPTY:
        return
    table, far, at, mask, same = st.table, st.far, st.kv[k, TABLE_AT], st.kv[k, MASK], st.same
    i = place_of(content, mask)
    away = 0
    while far[at + i] != away or st.content[table[at + i]] != content:
        i = (i + 1) & mask
        away += 1
    first = np.int64(table[at + i])
    st.content[b] = EMPTY
    if first != b:
        while same[first] != b:
            first = np.int64(same[first])
        same[first] = same[b]
    elif same[b] != NONE:
        table[at + i] = same[b]
    else:
        close_gap(st, at, mask, i)
    same[b] = NONE


@helper
def close_gap(st, at, mask, gap):
    """The place `gap` is empty from now on: whoever was looked for across it moves up."""
    table, far = st.table, st.far
    i = gap
    while True:
        i = (i + 1) & mask
        b = table[at + i]
        if b == NONE:
            break
        over = (i - gap) & mask
        if far[at + i] >= over:
            table[at + gap] = b
            far[at + gap] = far[at + i] - over
            gap = i
    table[at + gap] = NONE


# Blocks


@helper
def pop(st, k):
    """The free block of replica k that was left longest ago, for one user; what it held is lost."""
    kv = st.kv
    b = kv[k, KV_HEAD]
    following = np.int64(st.after[b])
    kv[k, KV_HEAD] = following
    if following == NONE:
        kv[k, KV_TAIL] = NONE
    else:
        st.before[following] = NONE
    st.users[b] = 1
    forget(st, k, b)
    return b


@helper
def keep(st, k, b):
    """One more request of replica k uses block b, which may have been free."""
    st.users[b] += 1
    if st.users[b] > 1:
        return
    kv, left, right = st.kv, np.int64(st.before[b]), np.int64(st.after[b])
    if left == NONE:
        kv[k, KV_HEAD] = right
    else:
        st.after[left] = right
    if right == NONE:
        kv[k, KV_TAIL] = left
    else:
        st.before[right] = left
    st.crep[k, FREE] -= 1


@helper
def leave_all(st, k, q):
    """Request q leaves its blocks, the last one first."""
    preq, kv, after, before, users = st.preq, st.kv, st.after, st.before, st.users
    mine = st.mine[preq[q, SLOT]]
    tail, freed = kv[k, KV_TAIL], 0
    for i in range(preq[q, BLOCKS] - 1, -1, -1):
        b = np.int64(mine[i])
        users[b] -= 1
        if users[b] == 0:
            before[b], after[b] = tail, NONE
            if tail == NONE:
                kv[k, KV_HEAD] = b
            else:
                after[tail] = b
            tail = b
            freed += 1
    kv[k, KV_TAIL] = tail
    st.crep[k, FREE] += freed
    st.slots[k, kv[k, SLOTS_FREE]] = preq[q, SLOT] - k * st.running.shape[1]
    kv[k, SLOTS_FREE] += 1
    preq[q, SLOT] = NONE
    preq[q, BLOCKS], preq[q, FILLED], preq[q, TOKENS] = 0, 0, 0


@helper
def compute(st, k, q, tokens):
    """Request q has blocks for its first `tokens` tokens, and those of them that are full have their content."""
    preq, size = st.preq, st.cnum[BLOCK]
    mine = st.mine[preq[q, SLOT]]
    held, needed = preq[q, BLOCKS], (tokens + size - 1) // size
    for i in range(held, needed):
        mine[i] = pop(st, k)
    if needed > held:
        preq[q, BLOCKS] = needed
        st.crep[k, FREE] -= needed - held
    preq[q, TOKENS] = tokens
    filled, full = preq[q, FILLED], tokens // size
    if filled < full:
        j = run_at(st, q, filled)
        for i in range(filled, full):
            fill(st, k, np.int64(mine[i]), content_of(st, q, i, j))
            j = run_after(st, q, i, j)
        preq[q, FILLED] = full


@helper
def compute_all(st, k, steps):
    """So many steps of the row have begun: decoding requests of replica k have the blocks for them."""
    new = steps - st.kv[k, GROWN]
    st.kv[k, GROWN] = steps
    if new > 0:
        for i in range(st.crep[k, DECODERS]):
            q = st.running[k, i]
            compute(st, k, q, st.preq[q, TOKENS] + new)


@helper
def search(st, k, q):
    """(found, in use): how many first blocks of request q are there, and how many of them somebody uses.

    The found ones are in the row of `mine` that the next request admitted will get.
    """
    most = (st.creq[q, KNOWN] - 1) // st.cnum[BLOCK]
    mine = st.mine[k * st.running.shape[1] + st.slots[k, st.kv[k, SLOTS_FREE] - 1]]
    j, used, found = run_at(st, q, 0), 0, most
    for i in range(most):
        b = block_of(st, k, content_of(st, q, i, j))
        if b == NONE:
            found = i
            break
        mine[i] = b
        used += st.users[b] > 0
        j = run_after(st, q, i, j)
    st.kv[k, FOUND] = found
    return found, used


@helper
def until_found(st, g, k, most):
    """How many steps, at most `most`, go by until one fills the block that the head of who waits did not find."""
    if st.crep[k, WAIT_COUNT] == 0 or st.crep[k, RUNNING] >= st.reg[g, MAX_BATCH]:
        return most
    head, i, size = st.crep[k, WAIT_HEAD], st.kv[k, FOUND], st.cnum[BLOCK]
    chain = st.preq[head, CHAIN]
    if chain == NONE or i >= min((st.creq[head, KNOWN] - 1) // size, st.chains[chain, CHAIN_BLOCKS]):
        return most
    wanted = content_of(st, head, i, run_at(st, head, i))
    for n in range(st.crep[k, DECODERS]):
        q = st.running[k, n]
        if st.preq[q, FILLED] <= i and content_of(st, q, i, run_at(st, q, i)) == wanted:
            most = min(most, (i + 1) * size - st.preq[q, TOKENS])  # those of the first step are among the tokens
    return most


@helper
def hits_of(st, k, q):
    """How many first blocks of request q, which is not at replica k, are there."""
    most = (st.req[q, PROMPT] - 1) // st.cnum[BLOCK]
    j = run_at(st, q, 0)
    for i in range(most):
        if block_of(st, k, content_of(st, q, i, j)) == NONE:
            return i
        j = run_after(st, q, i, j)
    return most


@helper
def share(st, k, q, found):
    """Request q, which is admitted, uses the blocks that `search` found."""
    preq, kv = st.preq, st.kv
    kv[k, SLOTS_FREE] -= 1
    preq[q, SLOT] = k * st.running.shape[1] + st.slots[k, kv[k, SLOTS_FREE]]
    preq[q, BLOCKS], preq[q, FILLED], preq[q, TOKENS] = found, found, found * st.cnum[BLOCK]
    mine = st.mine[preq[q, SLOT]]
    for i in range(found):
        keep(st, k, np.int64(mine[i]))


@helper
def clear(st, k):
    """Replica k's cache is empty, and nobody uses it."""
    kv, batch = st.kv, st.running.shape[1]
    first, last = kv[k, KV_FIRST], kv[k, KV_FIRST] + kv[k, KV_ROOM]
    kv[k, KV_HEAD], kv[k, KV_TAIL], kv[k, SLOTS_FREE], kv[k, GROWN] = first, last - 1, batch, 0
    for b in range(first, last):
        st.content[b], st.users[b], st.same[b] = EMPTY, 0, NONE
        st.after[b], st.before[b] = b + 1, b - 1
    st.after[last - 1], st.before[first] = NONE, NONE
    for i in range(kv[k, TABLE_AT], kv[k, TABLE_AT] + kv[k, MASK] + 1):
        st.table[i] = NONE
    for i in range(batch):
        st.slots[k, i] = batch - 1 - i
