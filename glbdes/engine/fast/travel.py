"""Requests of the compiled engine on their way: they enter, and travel between gateways and regions."""

from glbdes.base.compiled import either, helper
from glbdes.engine.fast.cache import begin_chain
from glbdes.engine.fast.state import *  # noqa: F403


@helper
def of_no_session(st, q, coming, i):
    return


@helper
def of_session(st, q, coming, i):
    st.req[q, SESSION] = coming[i, SESSION_TO_COME]
    begin_chain(st, q, coming[i, CHAIN_TO_COME])


take_session = either("sessions", of_session, of_no_session)


@helper
def enter(st, coming, i):
    """Request i of `coming` is underway; its row."""
    st.clock[FREE_COUNT] -= 1
    q = st.free[st.clock[FREE_COUNT]]
    req, reqf = st.req, st.reqf
    for column in range(DUE_NS):
        req[q, column] = coming[i, column]
    req[q, ATTEMPTS] = 0
    req[q, AT_REGION], req[q, REPLICA], req[q, START_NS], req[q, FIRST_NS] = NONE, NONE, NONE, NONE
    reqf[q, ENERGY_J], reqf[q, COST_USD], reqf[q, CARBON_G], reqf[q, WATER_L] = 0.0, 0.0, 0.0, 0.0
    reqf[q, OWED_J] = 0.0
    take_session(st, q, coming, i)
    return q


@helper
def before(st, p, q, by_region):
    """Whether travelling request p is due before q."""
    req = st.req
    if req[p, FINISH_NS] != req[q, FINISH_NS]:
        return req[p, FINISH_NS] < req[q, FINISH_NS]
    if by_region and req[p, AT_REGION] != req[q, AT_REGION]:
        return req[p, AT_REGION] < req[q, AT_REGION]
    return req[p, ID] < req[q, ID]


@helper
def push_travel(st, heap, n, q, by_region):
    i = n
    while i > 0 and before(st, q, heap[(i - 1) >> 1], by_region):
        heap[i] = heap[(i - 1) >> 1]
        i = (i - 1) >> 1
    heap[i] = q


@helper
def pop_travel(st, heap, n, by_region):
    """Remove and return the first of a heap of n travelling requests."""
    top, q, i = heap[0], heap[n - 1], 0
    while True:
        child = 2 * i + 1
        if child >= n - 1:
            break
        if child + 1 < n - 1 and before(st, heap[child + 1], heap[child], by_region):
            child += 1
        if not before(st, heap[child], q, by_region):
            break
        heap[i] = heap[child]
        i = child
    heap[i] = q
    return top
