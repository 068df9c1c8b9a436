"""The kernels of the compiled engine: regions and replicas on the arrays of a `State`.

The same model as the SimPy engine's, told once more in compiled form: physics is shared, queues, clock and events are
not. Kernels never allocate and never touch a Python object, so they run without the interpreter's lock, and
without numba's reference counts, which cost more than the model itself.
"""

import numpy as np
from numba.extending import register_jitable

from glbdes import physics
from glbdes.engine.compiled import kernel
from glbdes.engine.fast_state import *  # noqa: F403

NEVER = np.iinfo(np.int64).max

for _formula in (
    physics.to_clock_ns,
    physics.iterations_s,
    physics.iterations_end_ns,
    physics.iterations_ended,
    physics.iterations_j,
    physics.request_iterations_j,
    physics.idle_j,
):
    register_jitable(_formula)

to_clock_ns = physics.to_clock_ns
iterations_end_ns = physics.iterations_end_ns
iterations_ended = physics.iterations_ended
iterations_j = physics.iterations_j
request_iterations_j = physics.request_iterations_j
idle_j = physics.idle_j


@kernel
def lowest_bit(word):
    """Index of the lowest bit set in a word that is not 0."""
    n = 0
    if word & np.uint64(0xFFFFFFFF) == 0:
        n += 32
        word >>= np.uint64(32)
    if word & np.uint64(0xFFFF) == 0:
        n += 16
        word >>= np.uint64(16)
    if word & np.uint64(0xFF) == 0:
        n += 8
        word >>= np.uint64(8)
    if word & np.uint64(0xF) == 0:
        n += 4
        word >>= np.uint64(4)
    if word & np.uint64(0x3) == 0:
        n += 2
        word >>= np.uint64(2)
    if word & np.uint64(0x1) == 0:
        n += 1
    return n


@kernel
def schedule(st, k, at_ns):
    """Replica k's next step happens at `at_ns`: play its matches of the tournament again."""
    next_ns, tree = st.next_ns, st.tree
    next_ns[k] = at_ns
    leaves = len(tree)
    node = (leaves + k) >> 1
    while node >= 1:
        left = 2 * node
        if left >= leaves:
            a = left - leaves
            b = a + 1
        else:
            a = tree[left]
            b = tree[left + 1]
        winner = a if next_ns[a] <= next_ns[b] else b
        if winner == tree[node] and winner != k:
            return
        tree[node] = winner
        node >>= 1


@kernel
def hold(st, g, k, change):
    """Replica k of region g holds `change` more requests."""
    reg, bits = st.reg, st.bits
    words = reg[g, WORDS]
    i = k - reg[g, FIRST]
    bit = np.uint64(1) << np.uint64(i & 63)
    old = st.rep[k, HELD]
    new = old + change
    st.rep[k, HELD] = new
    st.levels[g, old] -= 1
    st.levels[g, new] += 1
    at = reg[g, BITS] + (i >> 6)
    if old < reg[g, MAX_BATCH]:
        bits[at + old * words] ^= bit
    if new < reg[g, MAX_BATCH]:
        bits[at + new * words] |= bit
    if new < reg[g, LOWEST]:
        reg[g, LOWEST] = new
    while reg[g, LOWEST] < reg[g, MAX_BATCH] and st.levels[g, reg[g, LOWEST]] == 0:
        reg[g, LOWEST] += 1


@kernel
def admitting(st, g, tokens):
    """The admitting replica of region g with the fewest requests, lowest index first; NONE if there is none."""
    reg, bits, rep = st.reg, st.bits, st.rep
    words, first = reg[g, WORDS], reg[g, FIRST]
    for held in range(reg[g, LOWEST], reg[g, MAX_BATCH]):
        if st.levels[g, held] == 0:
            continue
        at = reg[g, BITS] + held * words
        for w in range(words):
            word = bits[at + w]
            while word != 0:
                k = first + 64 * w + lowest_bit(word)
                if rep[k, KV_FREE] >= tokens:
                    return k
                word &= word - np.uint64(1)
    return NONE


@kernel
def push_active(st, k, q):
    """Request q joins the batch of replica k: a heap by (target, id)."""
    heap, req = st.active[k], st.req
    target, name = req[q, TARGET], req[q, ID]
    i = st.rep[k, ACTIVE]
    st.rep[k, ACTIVE] = i + 1
    while i > 0:
        up = (i - 1) >> 1
        p = heap[up]
        if req[p, TARGET] < target or (req[p, TARGET] == target and req[p, ID] < name):
            break
        heap[i] = p
        i = up
    heap[i] = q


@kernel
def pop_active(st, k):
    """Remove and return the request of replica k's batch that finishes first."""
    heap, req = st.active[k], st.req
    top = heap[0]
    n = st.rep[k, ACTIVE] - 1
    st.rep[k, ACTIVE] = n
    q = heap[n]
    target, name = req[q, TARGET], req[q, ID]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= n:
            break
        c = heap[child]
        if child + 1 < n:
            d = heap[child + 1]
            if req[d, TARGET] < req[c, TARGET] or (req[d, TARGET] == req[c, TARGET] and req[d, ID] < req[c, ID]):
                child += 1
                c = d
        if target < req[c, TARGET] or (target == req[c, TARGET] and name < req[c, ID]):
            break
        heap[i] = c
        i = child
    heap[i] = q
    return top


@kernel
def emit(st, q):
    """Write the record of request q and give its row back."""
    req, reqf, clock = st.req, st.reqf, st.clock
    record = st.out[clock[OUT_COUNT]]
    clock[OUT_COUNT] += 1
    record.request_id = req[q, ID]
    record.gateway = req[q, GATEWAY]
    record.region = req[q, AT_REGION]
    record.replica = req[q, REPLICA]
    record.slo = req[q, SLO]
    record.status = req[q, STATUS]
    record.attempts = req[q, ATTEMPTS]
    record.prompt_tokens = req[q, PROMPT]
    record.output_tokens = req[q, OUTPUT]
    record.arrival_ns = req[q, ARRIVAL_NS]
    record.start_ns = req[q, START_NS]
    record.first_token_ns = req[q, FIRST_NS]
    record.finish_ns = req[q, FINISH_NS]
    record.energy_j = reqf[q, ENERGY_J]
    record.cost_usd = reqf[q, COST_USD]
    record.carbon_g = reqf[q, CARBON_G]
    record.water_l = reqf[q, WATER_L]
    st.free[clock[FREE_COUNT]] = q
    clock[FREE_COUNT] += 1


@kernel
def end(st, q, status, now):
    """Request q leaves the simulation."""
    st.req[q, STATUS] = status
    st.req[q, FINISH_NS] = now
    if st.clock[SPREAD] == 0:
        emit(st, q)
    else:
        st.ended[st.clock[ENDED_COUNT]] = q
        st.clock[ENDED_COUNT] += 1


@kernel
def pay(st, g, q, joules):
    """Request q pays for `joules` at the slot's signals of region g."""
    regf, reqf = st.regf, st.reqf
    st.metf[g, ATTRIBUTED_J] += joules
    reqf[q, ENERGY_J] += joules
    reqf[q, COST_USD] += joules * regf[g, USD_PER_J]
    reqf[q, CARBON_G] += joules * regf[g, CARBON_PER_J]
    reqf[q, WATER_L] += joules * regf[g, WATER_PER_J]


@kernel
def charge(st, g, q, joules):
    """Request q pays now, or at the slot's end if idle energy is to be spread."""
    if st.clock[SPREAD] == 0:
        pay(st, g, q, joules)
        return
    i = st.clock[CHARGE_COUNT]
    st.clock[CHARGE_COUNT] = i + 1
    st.charges[i, 0] = g
    st.charges[i, 1] = q
    st.charges[i, 2] = joules


@kernel
def bill(st, g, k, q):
    """Charge request q of replica k for its iterations since its last bill (eq. 5) and for what it owes besides."""
    req, reqf, regf = st.req, st.reqf, st.regf
    upto = st.rep[k, ITERATIONS] - req[q, TARGET] + req[q, OUTPUT] - 1
    shared_j = st.shared_j[k] - reqf[q, SHARED_AT_J]
    joules = request_iterations_j(shared_j, req[q, DECODED], upto, req[q, PROMPT], regf[g, E1_J], regf[g, E2_J])
    req[q, DECODED] = upto
    reqf[q, SHARED_AT_J] = st.shared_j[k]
    charge(st, g, q, reqf[q, OWED_J] + joules)
    reqf[q, OWED_J] = 0.0


@kernel
def count(st, g, k, n):
    """Count the epoch's iterations up to the n-th, on the meter (eq. 4) and for the batch."""
    rep, regf = st.rep, st.regf
    new = n - rep[k, COUNTED]
    if new == 0:
        return
    b = rep[k, EPOCH_B]
    k0 = rep[k, EPOCH_K0] + b * rep[k, COUNTED]
    st.metf[g, DECODE_J] += iterations_j(new, b, k0, regf[g, E0_J], regf[g, E1_J], regf[g, E2_J])
    rep[k, COUNTED] = n
    rep[k, ITERATIONS] += new
    st.shared_j[k] += new * (regf[g, E0_J] / b)
    rep[k, CONTEXT] += new * b


@kernel
def spend(st, g, k, now):
    """Put replica k's time since the last call on the meter, by what it did."""
    rep, met = st.rep, st.met
    since = rep[k, SINCE_NS]
    rep[k, SINCE_NS] = now
    state = rep[k, STATE]
    if state == DECODE:
        met[g, DECODE_NS] += now - since
    elif state == PREFILL:
        met[g, PREFILL_NS] += now - since
    elif since < st.clock[HORIZON_NS]:
        until = min(now, st.clock[HORIZON_NS])
        if state == DOWN:
            met[g, DOWN_NS] += until - since
        else:
            met[g, IDLE_METER_NS] += until - since
            sleep_after = st.reg[g, SLEEP_AFTER_NS] if state == IDLE else physics.NEVER_NS
            power = st.regf[g, IDLE_W], st.regf[g, SLEEP_W]
            st.metf[g, IDLE_J] += idle_j(rep[k, IDLE_NS], since, until, sleep_after, power[0], power[1])


@kernel
def rest(st, k, state, now):
    """Replica k has nothing to do from `now` on."""
    st.rep[k, STATE] = state
    st.rep[k, IDLE_NS] = now
    st.rep[k, ITERATIONS] = 0
    st.shared_j[k] = 0.0
    schedule(st, k, NEVER)


@kernel
def begin(st, g, k, now):
    """Start what comes next on replica k: a prefill, an epoch of decoding, or a rest."""
    rep, regf = st.rep, st.regf
    rep[k, EPOCH_NS] = now
    if rep[k, WAITING] > 0:
        q = st.waiting[k, rep[k, HEAD]]
        st.req[q, START_NS] = now
        rep[k, STATE] = PREFILL
        schedule(st, k, now + st.prefill_ns[st.reg[g, PROFILE], st.req[q, PROMPT]])
    elif rep[k, ACTIVE] > 0:
        rep[k, STATE] = DECODE
        b, k0 = rep[k, ACTIVE], rep[k, CONTEXT]
        n = st.req[st.active[k, 0], TARGET] - rep[k, ITERATIONS]
        rep[k, EPOCH_B], rep[k, EPOCH_K0], rep[k, COUNTED], rep[k, PLANNED] = b, k0, 0, n
        a, beta, gamma = regf[g, A_S], regf[g, BETA_S], regf[g, GAMMA_S]
        schedule(st, k, now + iterations_end_ns(n, b, k0, a, beta, gamma, st.clock[TICK_NS]))
    else:
        rest(st, k, IDLE, now)


@kernel
def stop_at_boundary(st, g, k, now):
    """End replica k's epoch at the first iteration boundary at or after `now`."""
    rep, regf, tick = st.rep, st.regf, st.clock[TICK_NS]
    elapsed = now - rep[k, EPOCH_NS]
    b, k0, planned = rep[k, EPOCH_B], rep[k, EPOCH_K0], rep[k, PLANNED]
    a, beta, gamma = regf[g, A_S], regf[g, BETA_S], regf[g, GAMMA_S]
    n = iterations_ended(elapsed, planned, b, k0, a, beta, gamma, tick)
    if n == planned:
        return
    if iterations_end_ns(n, b, k0, a, beta, gamma, tick) == elapsed:
        spend(st, g, k, now)
        count(st, g, k, n)
        begin(st, g, k, now)
    elif n + 1 < planned:
        rep[k, PLANNED] = n + 1
        schedule(st, k, rep[k, EPOCH_NS] + iterations_end_ns(n + 1, b, k0, a, beta, gamma, tick))


@kernel
def admit(st, g, k, q, now):
    """Replica k takes in request q."""
    rep = st.rep
    hold(st, g, k, 1)
    rep[k, KV_FREE] -= st.req[q, PROMPT] + st.req[q, OUTPUT]
    st.req[q, REPLICA] = k - st.reg[g, FIRST]
    at = rep[k, HEAD] + rep[k, WAITING]
    size = st.waiting.shape[1]
    st.waiting[k, at if at < size else at - size] = q
    rep[k, WAITING] += 1
    if rep[k, STATE] == DECODE:
        if rep[k, WAITING] == 1:
            stop_at_boundary(st, g, k, now)
    elif rep[k, STATE] == IDLE:
        asleep = now >= rep[k, IDLE_NS] + st.reg[g, SLEEP_AFTER_NS]
        spend(st, g, k, now)
        if asleep and st.reg[g, WAKE_NS] > 0:
            rep[k, STATE] = WAKING
            schedule(st, k, now + st.reg[g, WAKE_NS])
        else:
            begin(st, g, k, now)


@kernel
def population(st, g, change, now):
    reg = st.reg
    st.met[g, SYSTEM_AREA] += reg[g, POPULATION] * (now - reg[g, POPULATION_NS])
    reg[g, POPULATION_NS] = now
    reg[g, POPULATION] += change


@kernel
def queue_area(st, g, now):
    reg = st.reg
    st.met[g, QUEUE_AREA] += reg[g, QUEUED] * (now - reg[g, QUEUE_NS])
    reg[g, QUEUE_NS] = now


@kernel
def sooner(st, p, q):
    """Whether queued request p loses patience before q."""
    req = st.req
    if req[p, ARRIVAL_NS] != req[q, ARRIVAL_NS]:
        return req[p, ARRIVAL_NS] < req[q, ARRIVAL_NS]
    if req[p, AT_REGION] != req[q, AT_REGION]:
        return req[p, AT_REGION] < req[q, AT_REGION]
    return req[p, ID] < req[q, ID]


@kernel
def sift_late(st, i, q):
    """Put request q at place i of the heap of patience, or where it belongs above or below."""
    heap, req, n = st.late, st.req, st.clock[LATE_COUNT]
    while i > 0 and sooner(st, q, heap[(i - 1) >> 1]):
        heap[i] = heap[(i - 1) >> 1]
        req[heap[i], LATE_AT] = i
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
        req[heap[i], LATE_AT] = i
        i = child
    heap[i] = q
    req[q, LATE_AT] = i


@kernel
def enqueue(st, g, q, now):
    reg, req, clock = st.reg, st.req, st.clock
    population(st, g, 1, now)
    queue_area(st, g, now)
    tail = reg[g, QUEUE_TAIL]
    req[q, PREVIOUS], req[q, NEXT] = tail, NONE
    if tail == NONE:
        reg[g, QUEUE_HEAD] = q
    else:
        req[tail, NEXT] = q
    reg[g, QUEUE_TAIL] = q
    reg[g, QUEUED] += 1
    st.met[g, QUEUE_MAX] = max(st.met[g, QUEUE_MAX], reg[g, QUEUED])
    if clock[TIMEOUT_NS] < physics.NEVER_NS:
        clock[LATE_COUNT] += 1
        sift_late(st, clock[LATE_COUNT] - 1, q)


@kernel
def dequeue(st, g, q, now):
    """Request q leaves the queue of region g, from wherever it stood."""
    reg, req, clock = st.reg, st.req, st.clock
    queue_area(st, g, now)
    before, after = req[q, PREVIOUS], req[q, NEXT]
    if before == NONE:
        reg[g, QUEUE_HEAD] = after
    else:
        req[before, NEXT] = after
    if after == NONE:
        reg[g, QUEUE_TAIL] = before
    else:
        req[after, PREVIOUS] = before
    reg[g, QUEUED] -= 1
    if clock[TIMEOUT_NS] < physics.NEVER_NS:
        clock[LATE_COUNT] -= 1
        last = st.late[clock[LATE_COUNT]]
        if last != q:
            sift_late(st, req[q, LATE_AT], last)


@kernel
def drain(st, g, now):
    """Admit from the head of region g's queue as far as replicas have room."""
    while st.reg[g, QUEUED] > 0:
        q = st.reg[g, QUEUE_HEAD]
        k = admitting(st, g, st.req[q, PROMPT] + st.req[q, OUTPUT])
        if k == NONE:
            return
        dequeue(st, g, q, now)
        admit(st, g, k, q, now)


@kernel
def time_out(st, g, q, now):
    dequeue(st, g, q, now)
    population(st, g, -1, now)
    st.met[g, TIMED_OUT_N] += 1
    end(st, q, physics.TIMED_OUT, now)
    drain(st, g, now)


@kernel
def turn_away(st, q):
    """Region is down: leave request q to whoever dispatches."""
    st.turned[st.clock[TURNED_COUNT]] = q
    st.clock[TURNED_COUNT] += 1


@kernel
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
        population(st, g, 1, now)
        admit(st, g, k, q, now)
    elif reg[g, QUEUED] >= reg[g, MAX_QUEUE]:
        met[g, REJECTED_N] += 1
        end(st, q, physics.REJECTED, now)
    elif req[q, ARRIVAL_NS] + st.clock[TIMEOUT_NS] <= now:
        met[g, TIMED_OUT_N] += 1
        end(st, q, physics.TIMED_OUT, now)
    else:
        enqueue(st, g, q, now)


@kernel
def finish(st, g, k, q, now):
    """The last token of request q."""
    rep, req = st.rep, st.req
    bill(st, g, k, q)
    hold(st, g, k, -1)
    rep[k, KV_FREE] += req[q, PROMPT] + req[q, OUTPUT]
    rep[k, CONTEXT] -= req[q, PROMPT] + 1 + req[q, DECODED]
    st.met[g, SERVED_N] += 1
    population(st, g, -1, now)
    end(st, q, physics.SERVED, now)


@kernel
def end_prefill(st, g, k, now):
    """The first token; the request joins the batch unless it was also the last."""
    rep, req, reqf = st.rep, st.req, st.reqf
    q = st.waiting[k, rep[k, HEAD]]
    rep[k, HEAD] = rep[k, HEAD] + 1 if rep[k, HEAD] + 1 < st.waiting.shape[1] else 0
    rep[k, WAITING] -= 1
    req[q, FIRST_NS] = now
    joules = st.prefill_j[st.reg[g, PROFILE], req[q, PROMPT]]
    st.metf[g, PREFILL_J] += joules
    reqf[q, OWED_J] += joules
    reqf[q, SHARED_AT_J] = st.shared_j[k]
    req[q, DECODED] = 0
    req[q, TARGET] = rep[k, ITERATIONS] + req[q, OUTPUT] - 1
    rep[k, CONTEXT] += req[q, PROMPT] + 1
    if req[q, OUTPUT] > 1:
        push_active(st, k, q)
    else:
        finish(st, g, k, q, now)


@kernel
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
        while rep[k, ACTIVE] > 0 and st.req[st.active[k, 0], TARGET] == rep[k, ITERATIONS]:
            finish(st, g, k, pop_active(st, k), now)
    rep[k, STATE] = BETWEEN
    if rep[k, HELD] < held and st.reg[g, QUEUED] > 0:
        drain(st, g, now)
    begin(st, g, k, now)


@kernel
def settle(st, now):
    """A slot ends: everything used so far is counted and charged."""
    rep, regf = st.rep, st.regf
    for g in range(len(st.reg)):
        population(st, g, 0, now)
        queue_area(st, g, now)
        for k in range(st.reg[g, FIRST], st.reg[g, LAST]):
            settle_replica(st, g, k, now)


@kernel
def settle_replica(st, g, k, now):
    rep, regf = st.rep, st.regf
    spend(st, g, k, now)
    if rep[k, STATE] == DECODE:
        a, beta, gamma = regf[g, A_S], regf[g, BETA_S], regf[g, GAMMA_S]
        elapsed, planned = now - rep[k, EPOCH_NS], rep[k, PLANNED]
        b, k0 = rep[k, EPOCH_B], rep[k, EPOCH_K0]
        count(st, g, k, iterations_ended(elapsed, planned, b, k0, a, beta, gamma, st.clock[TICK_NS]))
    for i in range(rep[k, ACTIVE]):
        bill(st, g, k, st.active[k, i])


@kernel
def lose_work(st, g, k, now):
    """An interrupted prefill or iteration is charged in proportion."""
    rep, regf, req = st.rep, st.regf, st.req
    elapsed = now - rep[k, EPOCH_NS]
    if rep[k, STATE] == PREFILL:
        q = st.waiting[k, rep[k, HEAD]]
        done = elapsed / st.prefill_ns[st.reg[g, PROFILE], req[q, PROMPT]]
        joules = done * st.prefill_j[st.reg[g, PROFILE], req[q, PROMPT]]
        st.metf[g, PREFILL_J] += joules
        charge(st, g, q, joules)
    elif rep[k, STATE] == DECODE:
        b, k0, n, tick = rep[k, EPOCH_B], rep[k, EPOCH_K0], rep[k, COUNTED], st.clock[TICK_NS]
        a, beta, gamma = regf[g, A_S], regf[g, BETA_S], regf[g, GAMMA_S]
        e0, e1, e2 = regf[g, E0_J], regf[g, E1_J], regf[g, E2_J]
        begun = iterations_end_ns(n, b, k0, a, beta, gamma, tick)
        ends = iterations_end_ns(n + 1, b, k0, a, beta, gamma, tick)
        if ends == begun:
            return
        done = (elapsed - begun) / (ends - begun)
        st.metf[g, DECODE_J] += done * iterations_j(1, b, rep[k, CONTEXT], e0, e1, e2)
        for i in range(rep[k, ACTIVE]):
            q = st.active[k, i]
            own = req[q, DECODED]
            charge(st, g, q, done * request_iterations_j(e0 / b, own, own + 1, req[q, PROMPT], e1, e2))


@kernel
def go_down(st, g, now):
    """Region g goes down: everyone there is turned away (in no order; the driver sorts)."""
    rep, reg, req = st.rep, st.reg, st.req
    reg[g, UP] = 0
    while reg[g, QUEUED] > 0:
        q = reg[g, QUEUE_HEAD]
        dequeue(st, g, q, now)
        population(st, g, -1, now)
        turn_away(st, q)
    for k in range(reg[g, FIRST], reg[g, LAST]):
        settle_replica(st, g, k, now)
        lose_work(st, g, k, now)
        for i in range(rep[k, WAITING]):
            at = rep[k, HEAD] + i
            turn_away(st, st.waiting[k, at % st.waiting.shape[1]])
        for i in range(rep[k, ACTIVE]):
            turn_away(st, st.active[k, i])
        population(st, g, -rep[k, HELD], now)
        hold(st, g, k, -rep[k, HELD])
        rep[k, ACTIVE], rep[k, WAITING], rep[k, HEAD], rep[k, CONTEXT] = 0, 0, 0, 0
        rep[k, KV_FREE] = reg[g, KV_TOKENS]
        rest(st, k, DOWN, now)


@kernel
def come_up(st, g, now):
    st.reg[g, UP] = 1
    for k in range(st.reg[g, FIRST], st.reg[g, LAST]):
        spend(st, g, k, now)
        rest(st, k, IDLE, now)


@kernel
def spread_charges(st, slot_ns):
    """Full attribution: the slot's charges cover idle and host energy too, in proportion; then ended requests leave."""
    charges, metf, regf = st.charges, st.metf, st.regf
    n = st.clock[CHARGE_COUNT]
    for g in range(len(st.reg)):
        charged = 0.0
        for i in range(n):
            if charges[i, 0] == g:
                charged += charges[i, 2]
        powered_ns = (st.reg[g, LAST] - st.reg[g, FIRST]) * slot_ns - st.met[g, DOWN_NS]
        host_j = regf[g, HOST_W] * (powered_ns / 1000000000)
        factor = (metf[g, PREFILL_J] + metf[g, DECODE_J] + metf[g, IDLE_J] + host_j) / charged if charged > 0 else 0.0
        for i in range(n):
            if charges[i, 0] == g:
                pay(st, g, np.int64(charges[i, 1]), charges[i, 2] * factor)
    st.clock[CHARGE_COUNT] = 0
    for i in range(st.clock[ENDED_COUNT]):
        emit(st, st.ended[i])
    st.clock[ENDED_COUNT] = 0
