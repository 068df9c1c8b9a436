"""A region of the compiled engine: its queue, and what happens there (docs/model.md, sections 4 and 7)."""

import numpy as np

from glbdes.base.compiled import helper
from glbdes.engine.fast.awake import tell
from glbdes.engine.fast.books import count, end, population_area, queue_area, spend
from glbdes.engine.fast.order import admitting, gather, hold, pop_active
from glbdes.engine.fast.patience import be_patient, be_sure
from glbdes.engine.fast.replica import admit, begin, end_prefill, finish, lose_work, rest, settle_replica
from glbdes.engine.fast.state import *  # noqa: F403
from glbdes.hardware import physics


@helper
def enqueue(st, g, q, now):
    reg, links = st.reg, st.links
    population_area(st, g, now)
    reg[g, POPULATION] += 1
    queue_area(st, g, now)
    tail = reg[g, QUEUE_TAIL]
    links[q, PREVIOUS], links[q, NEXT] = tail, NONE
    if tail == NONE:
        reg[g, QUEUE_HEAD] = q
    else:
        links[tail, NEXT] = q
    reg[g, QUEUE_TAIL] = q
    reg[g, QUEUED] += 1
    st.met[g, QUEUE_MAX] = max(st.met[g, QUEUE_MAX], reg[g, QUEUED])
    be_patient(st, q)


@helper
def dequeue(st, g, q, now):
    """Request q leaves the queue of region g, from wherever it stood."""
    reg, links = st.reg, st.links
    queue_area(st, g, now)
    before, after = links[q, PREVIOUS], links[q, NEXT]
    if before == NONE:
        reg[g, QUEUE_HEAD] = after
    else:
        links[before, NEXT] = after
    if after == NONE:
        reg[g, QUEUE_TAIL] = before
    else:
        links[after, PREVIOUS] = before
    reg[g, QUEUED] -= 1
    be_sure(st, q)


@helper
def drain(st, g, now):
    """Admit from the head of region g's queue as far as replicas have room."""
    while st.reg[g, QUEUED] > 0:
        q = st.reg[g, QUEUE_HEAD]
        k = admitting(st, g, st.req[q, PROMPT] + st.req[q, OUTPUT])
        if k == NONE:
            return
        dequeue(st, g, q, now)
        admit(st, g, k, q, now)


@helper
def keep_awake(st, g, count, now):
    """So many replicas of region g are to be awake from now on."""
    if tell(st, g, count, now):
        drain(st, g, now)


@helper
def time_out(st, g, q, now):
    dequeue(st, g, q, now)
    population_area(st, g, now)
    st.reg[g, POPULATION] -= 1
    st.met[g, TIMED_OUT_N] += 1
    end(st, q, physics.TIMED_OUT, now)
    drain(st, g, now)


@helper
def turn_away(st, q):
    """Region is down: leave request q to whoever dispatches."""
    st.turned[st.clock[TURNED_COUNT]] = q
    st.clock[TURNED_COUNT] += 1


@helper
def arrive(st, g, q, now):
    """Request q reaches region g."""
    met, reg, req = st.met, st.reg, st.req
    met[g, ARRIVED] += 1
    if reg[g, UP] == 0:
        turn_away(st, q)
        return
    tokens = req[q, PROMPT] + req[q, OUTPUT]
    if tokens > reg[g, KV_TOKENS]:
        met[g, REJECTED_N] += 1
        end(st, q, physics.REJECTED, now)
        return
    k = NONE
    if reg[g, QUEUED] == 0:
        k = admitting(st, g, tokens)
    if k != NONE:
        population_area(st, g, now)
        reg[g, POPULATION] += 1
        admit(st, g, k, q, now)
    elif reg[g, QUEUED] >= reg[g, MAX_QUEUE]:
        met[g, REJECTED_N] += 1
        end(st, q, physics.REJECTED, now)
    elif req[q, ARRIVAL_NS] + st.clock[TIMEOUT_NS] <= now:
        met[g, TIMED_OUT_N] += 1
        end(st, q, physics.TIMED_OUT, now)
    else:
        enqueue(st, g, q, now)
        if reg[g, AWAKE] == 0:
            keep_awake(st, g, np.int64(1), now)


@helper
def step(st, k, now):
    """A wake-up, prefill or epoch of replica k ends."""
    rep = st.rep
    g = rep[k, REGION]
    spend(st, g, k, now)
    held = rep[k, HELD]
    if rep[k, STATE] == PREFILL:
        end_prefill(st, g, k, now)
    elif rep[k, STATE] == DECODE:
        count(st, g, k, rep[k, PLANNED])
        while rep[k, ACTIVE] > 0 and st.active[k, 0] >> ROW_BITS == rep[k, ITERATIONS]:
            finish(st, g, k, pop_active(st, k), now)
    risen = rep[k, STATE] == RISING
    rep[k, STATE] = BETWEEN
    if risen:
        gather(st, g)
    if (rep[k, HELD] < held or risen) and st.reg[g, QUEUED] > 0:
        drain(st, g, now)
    begin(st, g, k, now)


@helper
def go_down(st, g, now):
    """Region g goes down: everyone there is turned away (in no order; the driver sorts)."""
    rep, reg = st.rep, st.reg
    reg[g, UP] = 0
    while reg[g, QUEUED] > 0:
        q = reg[g, QUEUE_HEAD]
        dequeue(st, g, q, now)
        population_area(st, g, now)
        reg[g, POPULATION] -= 1
        turn_away(st, q)
    for k in range(reg[g, FIRST], reg[g, LAST]):
        settle_replica(st, g, k, now)
        lose_work(st, g, k, now)
        for i in range(rep[k, WAITING]):
            at = rep[k, HEAD] + i
            turn_away(st, st.waiting[k, at % st.waiting.shape[1]])
        for i in range(rep[k, ACTIVE]):
            turn_away(st, st.active[k, i] & ROW)
        population_area(st, g, now)
        reg[g, POPULATION] -= rep[k, HELD]
        hold(st, g, k, np.int64(0))
        rep[k, ACTIVE], rep[k, WAITING], rep[k, HEAD], rep[k, CONTEXT] = 0, 0, 0, 0
        rep[k, KV_FREE], rep[k, PROMPTED_NS] = reg[g, KV_TOKENS], NONE
        rest(st, k, DOWN, now)
    gather(st, g)


@helper
def come_up(st, g, now):
    st.reg[g, UP] = 1
    for k in range(st.reg[g, FIRST], st.reg[g, LAST]):
        spend(st, g, k, now)
        rest(st, k, IDLE if k - st.reg[g, FIRST] < st.reg[g, AWAKE] else ASLEEP, now)
