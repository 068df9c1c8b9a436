"""A heap of queued requests by the end of their patience, each of which knows its place in it."""

from glbdes.base.compiled import helper
from glbdes.engine.fast.state import *  # noqa: F403
from glbdes.hardware import physics


@helper
def sooner(st, p, q):
    """Whether queued request p loses patience before q."""
    req = st.req
    if req[p, ARRIVAL_NS] != req[q, ARRIVAL_NS]:
        return req[p, ARRIVAL_NS] < req[q, ARRIVAL_NS]
    if req[p, AT_REGION] != req[q, AT_REGION]:
        return req[p, AT_REGION] < req[q, AT_REGION]
    return req[p, ID] < req[q, ID]


@helper
def sift_late(st, i, q):
    """Put request q at place i of the heap of patience, or where it belongs above or below."""
    heap, links, n = st.late, st.links, st.clock[LATE_COUNT]
    while i > 0 and sooner(st, q, heap[(i - 1) >> 1]):
        heap[i] = heap[(i - 1) >> 1]
        links[heap[i], LATE_AT] = i
        i = (i - 1) >> 1
    while True:
        child = 2 * i + 1
        if child >= n:
            break
        if child + 1 < n and sooner(st, heap[child + 1], heap[child]):
            child += 1
        if not sooner(st, heap[child], q):
            break
        heap[i] = heap[child]
        links[heap[i], LATE_AT] = i
        i = child
    heap[i] = q
    links[q, LATE_AT] = i


@helper
def be_patient(st, q):
    """Request q waits, for as long as it will."""
    clock = st.clock
    if clock[TIMEOUT_NS] < physics.NEVER_NS:
        clock[LATE_COUNT] += 1
        sift_late(st, clock[LATE_COUNT] - 1, q)


@helper
def be_sure(st, q):
    """Request q, which was in the heap, waits no longer."""
    clock = st.clock
    if clock[TIMEOUT_NS] < physics.NEVER_NS:
        clock[LATE_COUNT] -= 1
        last = st.late[clock[LATE_COUNT]]
        if last != q:
            sift_late(st, st.links[q, LATE_AT], last)
