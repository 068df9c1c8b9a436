"""Who waits at which replica, where replicas schedule in chunks and have queues of their own."""

from glbdes.base.compiled import helper
from glbdes.engine.fast.books import queue_area
from glbdes.engine.fast.order import admitting, hold
from glbdes.engine.fast.state import *  # noqa: F403


@helper
def here(st, g, k, new):
    """Replica k now has `new` requests, running and waiting."""
    st.crep[k, HERE] = new
    if st.rep[k, STATE] == RISING:  # it is in no set yet
        st.rep[k, HELD] = min(new, st.reg[g, MAX_BATCH])
    else:
        hold(st, g, k, min(new, st.reg[g, MAX_BATCH]))


@helper
def taking(st, g):
    """The replica of region g that the next request is given to: one that is awake, else one that wakes up."""
    best = admitting(st, g, 0)
    if best != NONE:
        return best
    ready = False
    for k in range(st.reg[g, FIRST], st.reg[g, FIRST] + max(st.reg[g, AWAKE], 1)):
        awake = k - st.reg[g, FIRST] < st.reg[g, AWAKE] and st.rep[k, STATE] != RISING
        if best == NONE or (awake and not ready) or (awake == ready and before(st, g, k, best)):
            best, ready = k, awake
    return best


@helper
def before(st, g, k, other):
    """Whether replica k is chosen before one of lower index, neither being in a set."""
    mine, its, pack = st.crep[k, HERE], st.crep[other, HERE], st.reg[g, PACK]
    if mine < pack or its < pack:
        return mine < pack and (its >= pack or mine > its)
    return mine < its


@helper
def unlink(st, k, q):
    """Request q stands in replica k's queue no longer."""
    crep, links = st.crep, st.links
    before, after = links[q, PREVIOUS], links[q, NEXT]
    if before == NONE:
        crep[k, WAIT_HEAD] = after
    else:
        links[before, NEXT] = after
    if after == NONE:
        crep[k, WAIT_TAIL] = before
    else:
        links[after, PREVIOUS] = before
    crep[k, WAIT_COUNT] -= 1


@helper
def queue_up(st, g, now):
    queue_area(st, g, now)
    st.reg[g, QUEUED] += 1
    st.met[g, QUEUE_MAX] = max(st.met[g, QUEUE_MAX], st.reg[g, QUEUED])


@helper
def queue_down(st, g, now):
    queue_area(st, g, now)
    st.reg[g, QUEUED] -= 1
