"""The event loop of the compiled engine when regions must advance together: state-dependent dispatch, and faults."""

from glbdes.base.compiled import helper, kernel
from glbdes.engine.fast.books import end
from glbdes.engine.fast.dispatch import (
    BACK_COUNT,
    FLIGHT_COUNT,
    GATEWAY_KIND,
    NEXT_TICK_NS,
    REGION_KIND,
    REPLICA_KIND,
    TELEMETRY_KIND,
    TELEMETRY_NS,
    TIMEOUT_KIND,
    dispatch,
    look,
    refresh,
    send_back,
)
from glbdes.engine.fast.kinds import arrive, compose_all, go_down, put_off, step, time_out
from glbdes.engine.fast.pools import pool_at
from glbdes.engine.fast.region import come_up
from glbdes.engine.fast.state import *  # noqa: F403
from glbdes.engine.fast.travel import enter, pop_travel
from glbdes.hardware import physics

ALL_KINDS = 99


@helper
def handle_turned(st, rules, now):
    """Requests that regions turned away, in order of id: back to their gateways, or failed."""
    n = st.clock[TURNED_COUNT]
    rows, req = st.turned, st.req
    for i in range(1, n):
        q = rows[i]
        j = i
        while j > 0 and req[rows[j - 1], ID] > req[q, ID]:
            rows[j] = rows[j - 1]
            j -= 1
        rows[j] = q
    st.clock[TURNED_COUNT] = 0
    for i in range(n):
        q = rows[i]
        if not send_back(st, rules, q, now):
            st.met[st.req[q, AT_REGION], FAILED_N] += 1
            end(st, q, physics.FAILED, now)


@kernel
def set_up(st, rules, g, up, now):
    """Region g goes down or comes up."""
    if up:
        come_up(st, g, now)
    else:
        go_down(st, g, now)
        handle_turned(st, rules, now)
    rules.up[g] = up
    refresh(rules)


@helper
def gateway(st, rules, q, now):
    if not dispatch(st, rules, q, now):
        end(st, q, physics.FAILED, now)


@kernel
def advance_all(st, rules, coming, uniform, limit_ns, limit_kind):
    """Run all regions up to (limit_ns, limit_kind). Returns how many of `coming` have arrived at their gateways."""
    numbers, req = rules.numbers, st.req
    cursor, n = 0, len(coming)
    while True:
        now, kind = st.tree[1, 0], REPLICA_KIND
        if st.clock[LATE_COUNT] > 0:
            due = req[st.late[0], ARRIVAL_NS] + st.clock[TIMEOUT_NS]
            if due < now:
                now, kind = due, TIMEOUT_KIND
        if numbers[FLIGHT_COUNT] > 0 and req[rules.flight[0], FINISH_NS] < now:
            now, kind = req[rules.flight[0], FINISH_NS], REGION_KIND
        fresh = False
        if numbers[BACK_COUNT] > 0 and req[rules.back[0], FINISH_NS] < now:
            now, kind = req[rules.back[0], FINISH_NS], GATEWAY_KIND
        if cursor < n:
            due = coming[cursor, ARRIVAL_NS]
            if due < now:
                now, kind, fresh = due, GATEWAY_KIND, True
            elif due == now and kind == GATEWAY_KIND:
                fresh = coming[cursor, ID] < req[rules.back[0], ID]
        if st.clock[PENDING_COUNT] > 0:
            pending_ns = st.clock[PENDING_NS]
            if pending_ns < now and pending_ns < limit_ns and pending_ns < numbers[NEXT_TICK_NS]:
                compose_all(st)
                continue
        if now == NEVER and limit_ns == NEVER and st.clock[PENDING_COUNT] == 0:
            return cursor
        tick_ns = numbers[NEXT_TICK_NS]
        if tick_ns < now or (tick_ns == now and kind > TELEMETRY_KIND):
            now, kind = tick_ns, TELEMETRY_KIND
        if now > limit_ns or (now == limit_ns and kind >= limit_kind):
            return cursor
        if kind == REPLICA_KIND:
            k = st.tree[1, 1]
            step(st, k, now)
            put_off(st, k)
        elif kind == TIMEOUT_KIND:
            late = st.late[0]
            time_out(st, req[late, AT_REGION], late, now)
        elif kind == TELEMETRY_KIND:
            look(st, rules)
            numbers[NEXT_TICK_NS] += numbers[TELEMETRY_NS]
        elif kind == REGION_KIND:
            q = pop_travel(st, rules.flight, numbers[FLIGHT_COUNT], True)
            numbers[FLIGHT_COUNT] -= 1
            arrive(st, pool_at(st, q), q, now)
            if st.clock[TURNED_COUNT] > 0:
                handle_turned(st, rules, now)
        elif fresh:
            q = enter(st, coming, cursor)
            st.reqf[q, UNIFORM] = uniform[cursor]
            cursor += 1
            gateway(st, rules, q, now)
        else:
            q = pop_travel(st, rules.back, numbers[BACK_COUNT], False)
            numbers[BACK_COUNT] -= 1
            gateway(st, rules, q, now)
