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


# Contents. Functions of a single block take the arrays that they need and not the state, which has too many to hand on.


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
def place_of(content, mask):
    """Where the search for a content begins."""
    group = content >> GROUP_BITS
    hashed = (((group ^ (group >> HASHED_BITS)) & HASHED) * FACTOR) >> SPREAD_BITS
    return ((hashed << GROUP_BITS) + (content & IN_GROUP)) & mask


@helper
def block_of(contents, table, far, at, mask, content):
    """The block with that content that was filled first; NONE if there is none."""
    i = place_of(content, mask)
    away = 0
    while True:
        b = np.int64(table[at + i])
        if b == NONE or (far[at + i] == away and contents[b] == content):
            return b
        i = (i + 1) & mask
        away += 1


@helper
def fill(contents, same, table, far, at, mask, b, content):
    """Block b holds `content` from now on."""
    i = place_of(content, mask)
    contents[b] = content
    same[b] = NONE
    away = 0
    while True:
        other = np.int64(table[at + i])
        if other == NONE:
            table[at + i] = b
            far[at + i] = away
            return
        if far[at + i] == away and contents[other] == content:
            while same[other] != NONE:
                other = np.int64(same[other])
            same[other] = b
            return
        i = (i + 1) & mask
        away += 1


@helper
def forget(contents, same, table, far, at, mask, b):
    """Block b holds nothing any more."""
    content = contents[b]
    if content == EMPTY:
        return
    i = place_of(content, mask)
    away = 0
    while far[at + i] != away or contents[table[at + i]] != content:
        i = (i + 1) & mask
        away += 1
    first = np.int64(table[at + i])
    contents[b] = EMPTY
    if first != b:
        while same[first] != b:
            first = np.int64(same[first])
        same[first] = same[b]
    elif same[b] != NONE:
        table[at + i] = same[b]
    else:
        close_gap(table, far, at, mask, i)
    same[b] = NONE


@helper
def close_gap(table, far, at, mask, gap):
    """The place `gap` is empty from now on: whoever was looked for across it moves up."""
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
def leave_all(st, k, q):
    """Request q leaves its blocks, the last one first."""
    preq, kv, after, before, users, mine = st.preq, st.kv, st.after, st.before, st.users, st.mine
    slot, head, tail, freed = preq[q, SLOT], kv[k, KV_HEAD], kv[k, KV_TAIL], 0
    for i in range(preq[q, BLOCKS] - 1, -1, -1):
        b = np.int64(mine[slot, i])
        users[b] -= 1
        if users[b] == 0:
            before[b], after[b] = tail, NONE
            if tail == NONE:
                head = b
            else:
                after[tail] = b
            tail = b
            freed += 1
    kv[k, KV_HEAD], kv[k, KV_TAIL] = head, tail
    st.crep[k, FREE] += freed
    st.slots[k, kv[k, SLOTS_FREE]] = slot - k * st.running.shape[1]
    kv[k, SLOTS_FREE] += 1
    preq[q, SLOT] = NONE
    preq[q, BLOCKS], preq[q, FILLED], preq[q, TOKENS] = 0, 0, 0


@helper
def pop_all(st, k, q, needed):
    """Request q gets so many blocks in all: free ones that were left longest ago, whose content is lost."""
    preq, kv, after, before, users, mine = st.preq, st.kv, st.after, st.before, st.users, st.mine
    contents, same, table, far, at, mask = st.content, st.same, st.table, st.far, kv[k, TABLE_AT], kv[k, MASK]
    slot, held, head = preq[q, SLOT], preq[q, BLOCKS], kv[k, KV_HEAD]
    for i in range(held, needed):
        b = head
        head = np.int64(after[b])
        users[b] = 1
        mine[slot, i] = b
        forget(contents, same, table, far, at, mask, b)
    kv[k, KV_HEAD] = head
    if head == NONE:
        kv[k, KV_TAIL] = NONE
    else:
        before[head] = NONE
    preq[q, BLOCKS] = needed
    st.crep[k, FREE] -= needed - held


@helper
def fill_all(st, k, q, full):
    """The first `full` blocks of request q have their content."""
    preq, kv, mine = st.preq, st.kv, st.mine
    contents, same, table, far, at, mask = st.content, st.same, st.table, st.far, kv[k, TABLE_AT], kv[k, MASK]
    slot, i = preq[q, SLOT], preq[q, FILLED]
    while i < full:
        shift, end = run_of(st, q, i, full)
        for n in range(i, end):
            fill(contents, same, table, far, at, mask, np.int64(mine[slot, n]), shift + n)
        i = end
    preq[q, FILLED] = full


@helper
def compute(st, k, q, tokens):
    """Request q has blocks for its first `tokens` tokens, and those of them that are full have their content."""
    preq, size = st.preq, st.cnum[BLOCK]
    needed = (tokens + size - 1) // size
    if needed > preq[q, BLOCKS]:
        pop_all(st, k, q, needed)
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

    The found ones are in the row of `mine` that the next request admitted will get.
    """
    kv, users, mine = st.kv, st.users, st.mine
    contents, table, far, at, mask = st.content, st.table, st.far, kv[k, TABLE_AT], kv[k, MASK]
    most = (st.creq[q, KNOWN] - 1) // st.cnum[BLOCK]
    slot = k * st.running.shape[1] + st.slots[k, kv[k, SLOTS_FREE] - 1]
    used, found, i = 0, most, np.int64(0)
    while i < most:
        shift, end = run_of(st, q, i, most)
        for n in range(i, end):
            b = block_of(contents, table, far, at, mask, shift + n)
            if b == NONE:
                found, end = n, most
                break
            mine[slot, n] = b
            used += users[b] > 0
        i = end
    kv[k, FOUND] = found
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
    wanted = run_of(st, head, i, i + 1)[0] + i
    for n in range(st.crep[k, DECODERS]):
        q = st.running[k, n]
        if st.preq[q, FILLED] <= i and run_of(st, q, i, i + 1)[0] + i == wanted:
            most = min(most, (i + 1) * size - st.preq[q, TOKENS])  # those of the first step are among the tokens
    return most


@helper
def hits_of(st, k, q):
    """How many first blocks of request q, which is not at replica k, are there."""
    kv = st.kv
    contents, table, far, at, mask = st.content, st.table, st.far, kv[k, TABLE_AT], kv[k, MASK]
    most, i = (st.req[q, PROMPT] - 1) // st.cnum[BLOCK], np.int64(0)
    while i < most:
        shift, end = run_of(st, q, i, most)
        for n in range(i, end):
            if block_of(contents, table, far, at, mask, shift + n) == NONE:
                return n
        i = end
    return most


@helper
def share(st, k, q, found):
    """Request q, which is admitted, uses the blocks that `search` found, whether they are free or not."""
    preq, kv, users, after, before, mine = st.preq, st.kv, st.users, st.after, st.before, st.mine
    kv[k, SLOTS_FREE] -= 1
    slot = k * st.running.shape[1] + st.slots[k, kv[k, SLOTS_FREE]]
    preq[q, SLOT] = slot
    preq[q, BLOCKS], preq[q, FILLED], preq[q, TOKENS] = found, found, found * st.cnum[BLOCK]
    head, tail, taken = kv[k, KV_HEAD], kv[k, KV_TAIL], 0
    for i in range(found):
        b = np.int64(mine[slot, i])
        users[b] += 1
        if users[b] == 1:
            left, right = np.int64(before[b]), np.int64(after[b])
            if left == NONE:
                head = right
            else:
                after[left] = right
            if right == NONE:
                tail = left
            else:
                before[right] = left
            taken += 1
    kv[k, KV_HEAD], kv[k, KV_TAIL] = head, tail
    st.crep[k, FREE] -= taken


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
