"""Regions of the compiled engine whose replicas schedule in chunks (docs/model.md, "Steps in chunks")."""

import numpy as np

from glbdes.base.compiled import either, helper, inlined, prefetch
from glbdes.engine.fast.awake import tell
from glbdes.engine.fast.blocks import full_blocks
from glbdes.engine.fast.books import end, population_area, queue_area, spend
from glbdes.engine.fast.cache import clear
from glbdes.engine.fast.chunked import begin, look_again, rest, row_end_ns, row_ended, settle
from glbdes.engine.fast.chunked_books import lose_work
from glbdes.engine.fast.kv import compute_all, hits_of
from glbdes.engine.fast.order import gather, schedule
from glbdes.engine.fast.patience import be_patient, be_sure
from glbdes.engine.fast.region import turn_away
from glbdes.engine.fast.state import *  # noqa: F403
from glbdes.engine.fast.waiting import before, here, queue_down, queue_up, taking, unlink
from glbdes.hardware import physics


@helper
def with_fewest(st, g, q, now):
    return taking(st, g)


@helper
def with_prefix(st, g, q, now):
    """The replica of region g, of those that are awake or else wake up, that holds most of request q's prefix."""
    if st.pnum[BY_PREFIX] == 0:
        return taking(st, g)
    best, most, ready = NONE, np.int64(-1), False
    for k in range(st.reg[g, FIRST], st.reg[g, FIRST] + max(st.reg[g, AWAKE], 1)):
        awake = k - st.reg[g, FIRST] < st.reg[g, AWAKE] and st.rep[k, STATE] != RISING
        if ready and not awake:
            continue
        if st.rep[k, STATE] == DECODE:  # what the steps of its row that have begun did to its blocks
            elapsed = now - st.rep[k, BEGUN_NS]
            n = row_ended(st, g, k, elapsed)
            compute_all(st, k, n if row_end_ns(st, g, k, n) == elapsed else n + 1)
        held = hits_of(st, k, q)
        if (awake and not ready) or held > most or (held == most and before(st, g, k, best)):
            best, most, ready = k, held, awake
    return best


replica_for = either("mine", with_prefix, with_fewest)


@inlined
def arrive(st, g, q, now):
    """Request q reaches region g: it waits at the replica with the fewest requests, or is sent off."""
    met, reg, req, crep, links = st.met, st.reg, st.req, st.crep, st.links
    met[g, ARRIVED] += 1
    if reg[g, UP] == 0:
        turn_away(st, q)
        return
    room = (full_blocks(st, reg[g, KV_TOKENS]) - 1) * st.cnum[BLOCK]
    k = replica_for(st, g, q, now)
    crowded = crep[k, HERE] >= reg[g, MAX_BATCH] and reg[g, QUEUED] >= reg[g, MAX_QUEUE]
    if req[q, PROMPT] + req[q, OUTPUT] > room or crowded:
        met[g, REJECTED_N] += 1
        end(st, q, physics.REJECTED, now)
        return
    if req[q, ARRIVAL_NS] + st.clock[TIMEOUT_NS] <= now:
        met[g, TIMED_OUT_N] += 1
        end(st, q, physics.TIMED_OUT, now)
        return
    population_area(st, g, now)
    reg[g, POPULATION] += 1
    queue_up(st, g, now)
    be_patient(st, q)
    if reg[g, AWAKE] == 0:
        tell(st, g, np.int64(1), now)
    req[q, REPLICA] = k - reg[g, FIRST]
    st.creq[q, KNOWN], st.creq[q, COMPUTED], st.creq[q, LEFT] = req[q, PROMPT], 0, 0
    tail = crep[k, WAIT_TAIL]
    links[q, PREVIOUS], links[q, NEXT] = tail, NONE
    if tail == NONE:
        crep[k, WAIT_HEAD] = q
    else:
        links[tail, NEXT] = q
    crep[k, WAIT_TAIL] = q
    crep[k, WAIT_COUNT] += 1
    here(st, g, k, crep[k, HERE] + 1)
    prefetch(st.tokens_s, reg[g, PROFILE], min(req[q, PROMPT] + crep[k, DECODERS], st.cnum[BUDGET]))  # its step's time
    if st.rep[k, STATE] == IDLE:
        asleep = now >= st.rep[k, BEGUN_NS] + reg[g, SLEEP_AFTER_NS]
        spend(st, g, k, now)
        if asleep:
            met[g, WAKES] += 1
        if asleep and reg[g, WAKE_NS] > 0:
            st.rep[k, STATE] = WAKING
            schedule(st, k, now + reg[g, WAKE_NS])
        else:
            begin(st, k, now)  # it had no event
    elif crep[k, WAIT_COUNT] == 1:
        look_again(st, g, k, now)


@helper
def time_out(st, g, q, now):
    """Request q, which was never scheduled, has waited enough; who stood behind it may fit where it did not."""
    k = st.reg[g, FIRST] + st.req[q, REPLICA]
    head = st.crep[k, WAIT_HEAD] == q
    queue_down(st, g, now)
    be_sure(st, q)
    unlink(st, k, q)
    population_area(st, g, now)
    st.reg[g, POPULATION] -= 1
    st.met[g, TIMED_OUT_N] += 1
    here(st, g, k, st.crep[k, HERE] - 1)
    end(st, q, physics.TIMED_OUT, now)
    if head and st.crep[k, WAIT_COUNT] > 0:
        look_again(st, g, k, now)


@helper
def go_down(st, g, now):
    """Region g goes down: everyone there is turned away (in no order; the driver sorts)."""
    reg, crep = st.reg, st.crep
    reg[g, UP] = 0
    queue_area(st, g, now)
    for k in range(reg[g, FIRST], reg[g, LAST]):
        settle(st, g, k, now)
        lose_work(st, g, k, now)
        q = crep[k, WAIT_HEAD]
        while q != NONE:
            after = st.links[q, NEXT]
            if st.req[q, START_NS] == NONE:
                be_sure(st, q)
            turn_away(st, q)
            q = after
        for i in range(crep[k, RUNNING]):
            turn_away(st, st.running[k, i])
        population_area(st, g, now)
        reg[g, POPULATION] -= crep[k, HERE]
        here(st, g, k, np.int64(0))
        crep[k] = 0
        crep[k, WAIT_HEAD], crep[k, WAIT_TAIL] = NONE, NONE
        crep[k, FREE] = reg[g, KV_TOKENS] // st.cnum[BLOCK] - 1
        st.residues[k] = 0
        clear(st, k)
        st.rep[k, ACTIVE], st.rep[k, CONTEXT] = 0, 0
        rest(st, k, DOWN, now)
    gather(st, g)
    reg[g, QUEUED] = 0
