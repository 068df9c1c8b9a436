"""Who waits at which replica, where replicas schedule in chunks and have queues of their own."""

from glbdes.base.compiled import helper
from glbdes.engine.fast.books import queue_area
from glbdes.engine.fast.order import admitting, hold
from glbdes.engine.fast.state import *  # noqa: F403


@helper
def here(st, g, k, new):
    """Replica k now has `new` requests, running and waiting."""
    st.crep[k, HERE] = new
    hold(st, g, k, min(new, st.reg[g, MAX_BATCH]))


@helper
def fewest(st, g):
    """The replica of region g with the fewest requests, lowest index first."""
    best = admitting(st, g, 0)
    if best == NONE:
        best = st.reg[g, FIRST]
        for k in range(st.reg[g, FIRST] + 1, st.reg[g, LAST]):
            if st.crep[k, HERE] < st.crep[best, HERE]:
                best = k
    return best


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
