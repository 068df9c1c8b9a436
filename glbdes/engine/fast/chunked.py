"""Replicas of the compiled engine that schedule in chunks (docs/model.md, "Steps in chunks")."""

import numpy as np

from glbdes.base.compiled import helper, inlined, prefetch
from glbdes.engine.fast.blocks import beyond_blocks, blocks_of, count_residue, more_blocks, most_steps, next_blocks
from glbdes.engine.fast.books import (
    end,
    iterations_end_ns,
    iterations_ended,
    population_area,
    spend,
    to_clock_ns,
)
from glbdes.engine.fast.cache import (
    begin_row,
    clear,
    find,
    finished,
    first_grown,
    grow,
    grow_all,
    leave,
    take_over,
    until_found,
)
from glbdes.engine.fast.chunked_books import bill, count, count_mixed, mark, mixed_s, owe
from glbdes.engine.fast.order import gather, pop_active, push_active, remove_active, schedule
from glbdes.engine.fast.patience import be_sure
from glbdes.engine.fast.state import *  # noqa: F403
from glbdes.engine.fast.waiting import here, queue_down, queue_up, unlink
from glbdes.hardware import physics

DECODE_MODE, MIXED_MODE = 0, 1


@helper
def rest(st, k, state, now):
    """Replica k has nothing to do from `now` on."""
    st.rep[k, STATE] = state
    st.rep[k, BEGUN_NS] = now
    st.rep[k, ITERATIONS] = 0
    st.crep[k, STEPS] = 0
    st.shared_j[k], st.crepf[k, P_J], st.crepf[k, Q_J] = 0.0, 0.0, 0.0
    if state == ASLEEP:
        clear(st, k)
    schedule(st, k, NEVER)


@helper
def out_of_work(st, g, k):
    """What replica k does without work."""
    return IDLE if k - st.reg[g, FIRST] < st.reg[g, AWAKE] else ASLEEP


@helper
def begin(st, k, now):
    """Replica k puts its next step together when everything else of this instant has happened.

    Until then it must have no event: see `put_off`.
    """
    st.rep[k, STATE] = BETWEEN
    i = st.clock[PENDING_COUNT]
    st.clock[PENDING_COUNT] = i + 1
    st.clock[PENDING_NS] = now
    while i > 0 and st.pending[i - 1] > k:
        st.pending[i] = st.pending[i - 1]
        i -= 1
    st.pending[i] = k


@helper
def put_off(st, k):
    """Replica k has ended its step; if something else of this instant is still to come, it has no event until then."""
    if st.rep[k, STATE] == BETWEEN:
        schedule(st, k, NEVER)


@inlined
def compose_all(st):
    """The instant is over: replicas between two steps put their next ones together."""
    n, now = st.clock[PENDING_COUNT], st.clock[PENDING_NS]
    st.clock[PENDING_COUNT] = 0
    for i in range(n):
        k = st.pending[i]
        if st.rep[k, STATE] == BETWEEN:
            compose(st, st.rep[k, REGION], k, now)


@helper
def row_end_ns(st, g, k, n):
    """Clock time from the begin of replica k's row of steps to the end of its n-th."""
    p, b = st.reg[g, PROFILE], st.rep[k, EPOCH_B]
    gamma = st.modes_s[p, DECODE_MODE, 2]
    return iterations_end_ns(n, b, st.rep[k, EPOCH_K0], st.rows_s[p, b], 0.0, gamma, st.clock[TICK_NS])


@helper
def row_ended(st, g, k, elapsed):
    """How many steps of replica k's row have ended `elapsed` ns after its begin."""
    p, b, rep = st.reg[g, PROFILE], st.rep[k, EPOCH_B], st.rep
    gamma = st.modes_s[p, DECODE_MODE, 2]
    constant = st.rows_s[p, b]
    return iterations_ended(elapsed, rep[k, PLANNED], b, rep[k, EPOCH_K0], constant, 0.0, gamma, st.clock[TICK_NS])


@inlined
def look_again(st, g, k, now):
    """The head of who waits is a new one: a row of steps ends at the next boundary, if there is a place for it."""
    rep = st.rep
    if rep[k, STATE] != DECODE or st.crep[k, RUNNING] >= st.reg[g, MAX_BATCH]:
        return
    elapsed = now - rep[k, BEGUN_NS]
    n = row_ended(st, g, k, elapsed)
    if n == rep[k, PLANNED]:
        return
    if n == 0 or row_end_ns(st, g, k, n) < elapsed:
        n += 1  # else this very instant is a boundary
    if n < rep[k, PLANNED]:
        rep[k, PLANNED] = n
        schedule(st, k, rep[k, BEGUN_NS] + row_end_ns(st, g, k, n))


# Steps


@helper
def preempt(st, g, k, now):
    """The request that was admitted last loses its blocks and waits again, before all others. Returns it."""
    rep, crep, creq, links = st.rep, st.crep, st.creq, st.links
    last = crep[k, RUNNING] - 1
    q = st.running[k, last]
    crep[k, RUNNING] = last
    computed = creq[q, COMPUTED]
    if last < crep[k, DECODERS]:
        owe(st, k, q)
        computed = creq[q, KNOWN] - 1
        remove_active(st, k, q)
        count_residue(st, k, computed, -1)
        crep[k, DECODERS] = last
        rep[k, CONTEXT] -= creq[q, KNOWN]
    leave(st, k, q, computed)
    creq[q, COMPUTED] = 0
    creq[q, PREEMPTIONS] += 1
    head = crep[k, WAIT_HEAD]
    links[q, PREVIOUS], links[q, NEXT] = NONE, head
    if head == NONE:
        crep[k, WAIT_TAIL] = q
    else:
        links[head, PREVIOUS] = q
    crep[k, WAIT_HEAD] = q
    crep[k, WAIT_COUNT] += 1
    crep[k, LOSERS] += 1
    queue_up(st, g, now)
    return q


@helper
def run_decoders(st, g, k, now):
    """Decoding requests get a block each that need one, where there are too few. Returns whether the last one did."""
    crep, creq, i = st.crep, st.creq, 0
    while i < crep[k, DECODERS]:
        q = st.running[k, i]
        computed = creq[q, KNOWN] + crep[k, STEPS] - creq[q, MARK] - 1
        need = 1 if beyond_blocks(st, computed) == 0 else 0
        while need > crep[k, FREE]:
            if preempt(st, g, k, now) == q:
                return False
        grow(st, k, q, need, computed + 1)
        i += 1
    return True


@inlined
def admit(st, g, k, left, now):
    """Waiting requests are admitted from the head, while there is room for them."""
    crep, creq, size = st.crep, st.creq, st.cnum[BLOCK]
    while crep[k, WAIT_COUNT] > 0 and left > 0 and crep[k, RUNNING] < st.reg[g, MAX_BATCH]:
        q = crep[k, WAIT_HEAD]
        found, used = find(st, k, q)
        tokens = min(creq[q, KNOWN] - found * size, left)
        total = blocks_of(st, found * size + tokens)
        needed = blocks_of(st, creq[q, KNOWN]) if st.cnum[WHOLE] != 0 else total
        if needed - used > crep[k, FREE]:
            return
        unlink(st, k, q)
        take_over(st, k, q, found)
        grow(st, k, q, total - found, found * size + tokens)
        creq[q, COMPUTED], creq[q, CHUNK] = found * size, tokens
        st.running[k, crep[k, RUNNING]] = q
        crep[k, RUNNING] += 1
        left -= tokens
        queue_down(st, g, now)
        if st.req[q, START_NS] == NONE:
            st.req[q, START_NS] = now
            be_sure(st, q)


@inlined
def compose(st, g, k, now):
    """A step of replica k, or a row of them, begins."""
    rep, crep, creq = st.rep, st.crep, st.creq
    if crep[k, HERE] == 0:
        rest(st, k, out_of_work(st, g, k), now)
        return
    losers, first_need, on = crep[k, LOSERS], next_blocks(st, k), True
    begin_row(st, k)
    if first_need <= crep[k, FREE]:
        grow_all(st, k, first_need, np.int64(1))
    else:
        on = run_decoders(st, g, k, now)
        first_grown(st, k)
    left = st.cnum[BUDGET] - crep[k, DECODERS]
    if on and crep[k, RUNNING] > crep[k, DECODERS]:  # one whose prompt is unfinished, and it was admitted last
        q = st.running[k, crep[k, RUNNING] - 1]
        tokens = min(creq[q, KNOWN] - creq[q, COMPUTED], left)
        need = blocks_of(st, creq[q, COMPUTED] + tokens) - blocks_of(st, creq[q, COMPUTED])
        if need > crep[k, FREE]:
            preempt(st, g, k, now)
        else:
            grow(st, k, q, need, creq[q, COMPUTED] + tokens)
            creq[q, CHUNK] = tokens
            left -= tokens
    preempted = crep[k, LOSERS] > losers
    if not preempted:
        admit(st, g, k, left, now)
    rep[k, BEGUN_NS] = now
    if crep[k, RUNNING] > crep[k, DECODERS]:
        rep[k, STATE] = PREFILL
        rep[k, PLANNED] = to_clock_ns(mixed_s(st, g, k), st.clock[TICK_NS])
        schedule(st, k, now + rep[k, PLANNED])
        return
    rep[k, STATE] = DECODE
    rep[k, EPOCH_B], rep[k, EPOCH_K0], rep[k, COUNTED] = crep[k, DECODERS], rep[k, CONTEXT], 0
    n = np.int64(1)
    if not preempted:
        most = until_found(st, g, k, (st.active[k, 0] >> ROW_BITS) - rep[k, ITERATIONS])
        n = most_steps(st, k, crep[k, FREE] + first_need, most)
    rep[k, PLANNED] = n
    schedule(st, k, now + row_end_ns(st, g, k, n))
    foresee_finish(st, k)


@helper
def foresee_finish(st, k):
    """Ask for what the end of replica k's row will read: of the request that is first to finish."""
    q = st.active[k, 0] & ROW
    prefetch(st.req, q, 0)
    prefetch(st.req, q, 8)
    prefetch(st.reqf, q, 0)
    prefetch(st.creq, q, 0)


@inlined
def step(st, k, now):
    """A wake-up, a step or a row of steps ends."""
    g = st.rep[k, REGION]
    spend(st, g, k, now)
    risen = st.rep[k, STATE] == RISING
    if st.rep[k, STATE] == PREFILL:
        end_mixed(st, g, k, now)
    elif st.rep[k, STATE] == DECODE:
        end_row(st, g, k, st.rep[k, PLANNED])
    finish_all(st, g, k, now)
    if st.crep[k, HERE] > 0:
        begin(st, k, now)
    else:
        rest(st, k, out_of_work(st, g, k), now)
    if risen:
        gather(st, g)


@inlined
def end_mixed(st, g, k, now):
    """A step with chunks has ended."""
    rep, crep, creq, req = st.rep, st.crep, st.creq, st.req
    count_mixed(st, g, k)
    old = crep[k, DECODERS]
    if old > 0:
        rep[k, ITERATIONS] += 1
        rep[k, CONTEXT] += old
    for i in range(old, crep[k, RUNNING]):
        q = st.running[k, i]
        creq[q, COMPUTED] += creq[q, CHUNK]
        if creq[q, COMPUTED] == creq[q, KNOWN]:
            known = creq[q, KNOWN] + 1
            if req[q, FIRST_NS] == NONE:
                req[q, FIRST_NS] = now
            mark(st, k, q, known)
            req[q, TARGET] = rep[k, ITERATIONS] + req[q, OUTPUT] - (known - req[q, PROMPT])
            count_residue(st, k, known - 1, 1)
            rep[k, CONTEXT] += known
            crep[k, DECODERS] += 1
            push_active(st, k, q)


@inlined
def end_row(st, g, k, n):
    """n steps without chunks have ended."""
    count(st, g, k, n)
    grow_all(st, k, more_blocks(st, k, n) - next_blocks(st, k), n)
    st.rep[k, ITERATIONS] += n
    st.rep[k, CONTEXT] += n * st.crep[k, DECODERS]


@inlined
def finish_all(st, g, k, now):
    """Who has its last token leaves, by id."""
    rep, crep, running = st.rep, st.crep, st.running
    while rep[k, ACTIVE] > 0 and st.active[k, 0] >> ROW_BITS == rep[k, ITERATIONS]:
        q = pop_active(st, k)
        bill(st, g, k, q, True)
        known = st.creq[q, KNOWN]
        finished(st, k, q, known - 1)
        count_residue(st, k, known - 1, -1)
        rep[k, CONTEXT] -= known
        i = 0
        while running[k, i] != q:
            i += 1
        for j in range(i, crep[k, RUNNING] - 1):
            running[k, j] = running[k, j + 1]
        crep[k, RUNNING] -= 1
        crep[k, DECODERS] -= 1
        here(st, g, k, crep[k, HERE] - 1)
        st.met[g, SERVED_N] += 1
        population_area(st, g, now)
        st.reg[g, POPULATION] -= 1
        end(st, q, physics.SERVED, now)


@helper
def settle(st, g, k, now):
    """A slot ends: everything that replica k used so far is counted and charged."""
    crep, creq = st.crep, st.creq
    spend(st, g, k, now)
    if st.rep[k, STATE] == DECODE:
        count(st, g, k, row_ended(st, g, k, now - st.rep[k, BEGUN_NS]))
    for i in range(crep[k, RUNNING]):
        bill(st, g, k, st.running[k, i], i < crep[k, DECODERS])
    q = crep[k, WAIT_HEAD]
    for _ in range(crep[k, LOSERS]):
        bill(st, g, k, q, False)
        q = st.links[q, NEXT]
    crep[k, STEPS] = 0
    st.shared_j[k], st.crepf[k, P_J], st.crepf[k, Q_J] = 0.0, 0.0, 0.0
    for i in range(crep[k, DECODERS]):
        mark(st, k, st.running[k, i], creq[st.running[k, i], KNOWN])
