"""Dispatch of the compiled engine, and its event loops: all regions together, or one region on its own.

The rules are those of docs/model.md, section 3; the order of events at equal times is that of section 2.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from glbdes.base.compiled import either, helper, kernel
from glbdes.engine.fast.kinds import arrive, compose_all, put_off, step, time_out
from glbdes.engine.fast.order import foresee, foresee_arrival
from glbdes.engine.fast.pools import load_of, pool_for, pool_of, present_at
from glbdes.engine.fast.state import *  # noqa: F403
from glbdes.engine.fast.travel import enter, push_travel
from glbdes.hardware import physics
from glbdes.world import Bools, Floats, Ints, World

REPLICA_KIND, TIMEOUT_KIND, SLOT_KIND = physics.REPLICA, physics.TIMEOUT, physics.SLOT
TELEMETRY_KIND, REGION_KIND, GATEWAY_KIND = physics.TELEMETRY, physics.REGION_ARRIVAL, physics.GATEWAY_ARRIVAL
# Elements of `Rules.numbers`.
RULE, SPILL_QUEUE, TELEMETRY_NS, NEXT_TICK_NS, FLIGHT_COUNT, BACK_COUNT, MAX_ATTEMPTS, UNDERWAY = range(8)


class Rules(NamedTuple):
    """What dispatch goes by."""

    numbers: Ints  # [8]
    weights: Floats  # [g, r] the plan
    shares: Floats  # [g, r] of the plan, over the regions that are open
    cumulative: Floats  # [g, r]
    credits: Floats  # [g, r]
    nearest: Ints  # [g, r] regions by latency, then index
    allowed: Bools  # [g, r]
    latency_ns: Ints  # [g, r]
    up: Ints  # [r]
    seen_queue: Ints  # [r] at the last telemetry tick
    seen_load: Floats  # [r]
    seen_here: Ints  # [r]
    sent_rps: Floats  # [r] by the plan
    dispatched: Ints  # [g, r]
    flight: Ints  # [q] heap of rows on their way to a region
    back: Ints  # [q] heap of rows on their way back to a gateway
    homes: NDArray[np.int16] | None  # [session] its region; None: sessions keep none


def make_rules(world: World) -> Rules:
    shape = world.allowed.shape
    numbers = np.zeros(8, dtype=np.int64)
    stateful = world.dispatch in physics.STATE_DEPENDENT
    tick = 0 if world.telemetry_ns and stateful else NEVER
    numbers[:4] = world.dispatch, world.spill_queue, world.telemetry_ns, tick
    numbers[MAX_ATTEMPTS] = world.max_attempts
    return Rules(
        numbers=numbers,
        weights=np.zeros(shape),
        shares=np.zeros(shape),
        cumulative=np.zeros(shape),
        credits=np.zeros(shape),
        nearest=np.argsort(world.latency_ns, axis=1, kind="stable"),
        allowed=world.allowed,
        latency_ns=np.ascontiguousarray(world.latency_ns),
        up=np.ones(world.regions, dtype=np.int64),
        seen_queue=np.zeros(world.regions, dtype=np.int64),
        seen_load=np.zeros(world.regions),
        seen_here=np.zeros(world.regions, dtype=np.int64),
        sent_rps=np.zeros(world.regions),
        dispatched=np.zeros(shape, dtype=np.int64),
        flight=np.zeros(0, dtype=np.int64),
        back=np.zeros(0, dtype=np.int64),
        homes=None if world.affinity == physics.BY_REQUEST else np.full(world.sessions, NONE, dtype=np.int16),
    )


def with_travellers(rules: Rules, rows: int) -> Rules:
    """The rules with room for `rows` requests on their way."""
    if len(rules.flight) >= rows:
        return rules
    pad = np.zeros(rows - len(rules.flight), dtype=np.int64)
    return rules._replace(flight=np.concatenate([rules.flight, pad]), back=np.concatenate([rules.back, pad]))


@kernel
def refresh(rules):
    """Shares of the plan over the regions that are open to each gateway; all to the nearest if they have none."""
    for g in range(rules.weights.shape[0]):
        total = 0.0
        for r in range(rules.weights.shape[1]):
            if rules.allowed[g, r] and rules.up[r] != 0:
                total += rules.weights[g, r]
        nearest = NONE
        for i in range(rules.weights.shape[1]):
            r = rules.nearest[g, i]
            rules.shares[g, r] = 0.0
            if rules.allowed[g, r] and rules.up[r] != 0:
                nearest = r if nearest == NONE else nearest
                if total > 0.0:
                    rules.shares[g, r] = rules.weights[g, r] / total
                elif r == nearest:
                    rules.shares[g, r] = 1.0
        running = 0.0
        for r in range(rules.weights.shape[1]):
            running += rules.shares[g, r]
            rules.cumulative[g, r] = running


@helper
def weighted(rules, g, uniform):
    last = rules.shares.shape[1] - 1
    if rules.cumulative[g, last] <= 0.0:
        return NONE
    target = uniform * rules.cumulative[g, last]
    for r in range(last + 1):
        if rules.cumulative[g, r] > target:
            return r
    return np.argmax(rules.shares[g])


@helper
def smooth(rules, g):
    last = rules.shares.shape[1] - 1
    if rules.cumulative[g, last] <= 0.0:
        return NONE
    nearest = np.argmax(rules.shares[g])
    if rules.weights[g, nearest] <= 0.0:  # the plan has no place: nobody is owed for what the nearest takes
        return nearest
    best = NONE
    for r in range(last + 1):
        if rules.allowed[g, r] and rules.up[r] != 0:
            rules.credits[g, r] += rules.shares[g, r]
            if best == NONE or rules.credits[g, r] > rules.credits[g, best]:
                best = r
    rules.credits[g, best] -= 1.0
    return best


@helper
def least_loaded(st, rules, g):
    best, least = NONE, np.inf
    for i in range(rules.nearest.shape[1]):
        r = rules.nearest[g, i]
        if rules.allowed[g, r] and rules.up[r] != 0:
            load = rules.seen_load[r] if rules.numbers[TELEMETRY_NS] > 0 else load_of(st, r)
            if load < least:
                best, least = r, load
    return best


@helper
def queue_seen(st, rules, r):
    return rules.seen_queue[r] if rules.numbers[TELEMETRY_NS] > 0 else present_at(st, r, QUEUED)


@helper
def spillover(st, rules, g, uniform):
    first = weighted(rules, g, uniform)
    limit = rules.numbers[SPILL_QUEUE]
    if first == NONE or queue_seen(st, rules, first) <= limit:
        return first
    best, most = first, -1.0
    for i in range(rules.nearest.shape[1]):
        r = rules.nearest[g, i]
        if rules.allowed[g, r] and rules.up[r] != 0 and queue_seen(st, rules, r) <= limit and rules.shares[g, r] > most:
            best, most = r, rules.shares[g, r]
    return best


@helper
def plan_least_loaded(st, rules, g):
    first, best, least = NONE, NONE, np.inf
    for i in range(rules.nearest.shape[1]):
        r = rules.nearest[g, i]
        if first == NONE and rules.allowed[g, r] and rules.up[r] != 0:
            first = r
    for r in range(rules.weights.shape[1]):
        if rules.allowed[g, r] and rules.up[r] != 0 and rules.weights[g, r] > 0.0:
            here = rules.seen_here[r] if rules.numbers[TELEMETRY_NS] > 0 else present_at(st, r, POPULATION)
            load = (here + 1) / rules.sent_rps[r] if rules.sent_rps[r] > 0.0 else np.inf
            if best == NONE or load < least:
                best, least = r, load
    return first if best == NONE else best


@helper
def choose(st, rules, g, uniform):
    rule = rules.numbers[RULE]
    if rule == physics.WEIGHTED:
        return weighted(rules, g, uniform)
    if rule == physics.SMOOTH:
        return smooth(rules, g)
    if rule == physics.LEAST_LOADED:
        return least_loaded(st, rules, g)
    if rule == physics.PLAN_LEAST_LOADED:
        return plan_least_loaded(st, rules, g)
    return spillover(st, rules, g, uniform)


@helper
def by_plan(rules, coming, i, uniform):
    g = coming[i, GATEWAY]
    return weighted(rules, g, uniform) if rules.numbers[RULE] == physics.WEIGHTED else smooth(rules, g)


@helper
def home(rules, g, session):
    """The region of a session, if it is open to gateway g."""
    r = np.int64(rules.homes[session]) if session != NONE else NONE
    return r if r != NONE and rules.allowed[g, r] and rules.up[r] != 0 else NONE


@helper
def by_session(rules, coming, i, uniform):
    session = coming[i, SESSION_TO_COME]
    r = home(rules, coming[i, GATEWAY], session)
    if r == NONE:
        r = by_plan(rules, coming, i, uniform)
        if session != NONE:
            rules.homes[session] = r
    return r


region_ahead = either("homes", by_session, by_plan)


@kernel
def choose_all(rules, coming, uniform, region):
    """Dispatch `coming` by plan alone, before anything runs: the region of each, and when it gets there."""
    for i in range(len(coming)):
        g = coming[i, GATEWAY]
        r = region_ahead(rules, coming, i, uniform[i])
        region[i] = r
        coming[i, DUE_NS] = coming[i, ARRIVAL_NS] + rules.latency_ns[g, r]
        rules.dispatched[g, r] += 1


@kernel
def advance_alone(st, coming, region, limit_ns, limit_kind):
    """Run a state of one region up to (limit_ns, limit_kind); `coming` are its arrivals by (due, id). Of the pools that
    it may have `region` is the first.

    Returns how many of them have arrived.
    """
    cursor, n, first, ahead = 0, len(coming), np.int64(0), st.clock[AHEAD]
    while True:
        step_ns = st.tree[1, 0]
        late_ns = NEVER
        if st.clock[LATE_COUNT] > 0:
            late_ns = st.req[st.late[0], ARRIVAL_NS] + st.clock[TIMEOUT_NS]
        come_ns = coming[cursor, DUE_NS] if cursor < n else NEVER
        over = False  # the instant, for those that put steps together at its end
        if st.clock[PENDING_COUNT] > 0:
            pending_ns = st.clock[PENDING_NS]
            over = pending_ns < step_ns and pending_ns < late_ns and pending_ns < come_ns and pending_ns < limit_ns
        if over:
            pass
        elif step_ns <= late_ns and step_ns <= come_ns:
            if step_ns == NEVER or step_ns > limit_ns or (step_ns == limit_ns and limit_kind <= REPLICA_KIND):
                return cursor
            k = st.tree[1, 1]
            step(st, k, step_ns)
            over = step_ns < late_ns and step_ns < come_ns and step_ns < limit_ns  # other steps change nothing for k
            if not over:
                put_off(st, k)
            if ahead > 0:
                foresee(st, k, ahead)
        elif late_ns <= come_ns:
            if late_ns > limit_ns or (late_ns == limit_ns and limit_kind <= TIMEOUT_KIND):
                return cursor
            time_out(st, pool_of(st, st.late[0], region), st.late[0], late_ns)
        else:
            if come_ns > limit_ns or (come_ns == limit_ns and limit_kind <= REGION_KIND):
                return cursor
            q = enter(st, coming, cursor)
            cursor += 1
            st.req[q, ATTEMPTS] = 1
            g = pool_for(st, first, q)
            st.req[q, AT_REGION] = region + g
            arrive(st, g, q, come_ns)
            if ahead > 0:
                foresee_arrival(st, g)
        if over:
            compose_all(st)


@helper
def anew(rules, st, q):
    return choose(st, rules, st.req[q, GATEWAY], st.reqf[q, UNIFORM])


@helper
def at_home(rules, st, q):
    session = st.req[q, SESSION]
    r = home(rules, st.req[q, GATEWAY], session)
    if r == NONE:
        r = anew(rules, st, q)
        if r != NONE and session != NONE:
            rules.homes[session] = r
    return r


region_for = either("homes", at_home, anew)


@helper
def dispatch(st, rules, q, now):
    """Send request q on its way to a region; false if no region is open to it."""
    req, numbers = st.req, rules.numbers
    g = req[q, GATEWAY]
    r = region_for(rules, st, q)
    if r == NONE:
        return False
    req[q, AT_REGION] = r
    req[q, ATTEMPTS] += 1
    rules.dispatched[g, r] += 1
    req[q, FINISH_NS] = now + rules.latency_ns[g, r]
    push_travel(st, rules.flight, numbers[FLIGHT_COUNT], q, True)
    numbers[FLIGHT_COUNT] += 1
    return True


@helper
def look(st, rules):
    """A telemetry tick."""
    for r in range(len(st.reg)):
        rules.seen_queue[r] = present_at(st, r, QUEUED)
        rules.seen_load[r] = load_of(st, r)
        rules.seen_here[r] = present_at(st, r, POPULATION)


@helper
def send_back(st, rules, q, now):
    """A region that is down sends request q back to its gateway; false if it has been dispatched often enough."""
    req, numbers = st.req, rules.numbers
    req[q, REPLICA], req[q, START_NS], req[q, FIRST_NS] = NONE, NONE, NONE
    if req[q, ATTEMPTS] >= numbers[MAX_ATTEMPTS]:
        return False
    req[q, FINISH_NS] = now + rules.latency_ns[req[q, GATEWAY], req[q, AT_REGION]]
    push_travel(st, rules.back, numbers[BACK_COUNT], q, False)
    numbers[BACK_COUNT] += 1
    return True
