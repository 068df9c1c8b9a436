"""A replica of the compiled engine: prefill, decoding, rest and interruption (docs/model.md, sections 4 and 7)."""

from glbdes.base.compiled import helper
from glbdes.engine.fast.books import (
    bill,
    charge,
    count,
    end,
    iterations_end_ns,
    iterations_ended,
    iterations_j,
    population_area,
    request_iterations_j,
    spend,
)
from glbdes.engine.fast.order import hold, push_active, schedule
from glbdes.engine.fast.state import *  # noqa: F403
from glbdes.hardware import physics


@helper
def rest(st, k, state, now):
    """Replica k has nothing to do from `now` on."""
    st.rep[k, STATE] = state
    st.rep[k, BEGUN_NS] = now
    st.rep[k, ITERATIONS] = 0
    st.shared_j[k] = 0.0
    schedule(st, k, NEVER)


@helper
def begin(st, g, k, now):
    """Start what comes next on replica k: a prefill, an epoch of decoding, or a rest."""
    rep, regf = st.rep, st.regf
    rep[k, BEGUN_NS] = now
    if rep[k, WAITING] > 0:
        q = st.waiting[k, rep[k, HEAD]]
        st.req[q, START_NS] = now
        rep[k, STATE] = PREFILL
        chained = 1 if rep[k, PROMPTED_NS] == now else 0
        rep[k, PLANNED] = st.prefill_ns[chained, st.reg[g, PROFILE], st.req[q, PROMPT]]
        schedule(st, k, now + rep[k, PLANNED])
    elif rep[k, ACTIVE] > 0:
        rep[k, STATE] = DECODE
        b, k0 = rep[k, ACTIVE], rep[k, CONTEXT]
        n = (st.active[k, 0] >> ROW_BITS) - rep[k, ITERATIONS]
        rep[k, EPOCH_B], rep[k, EPOCH_K0], rep[k, COUNTED], rep[k, PLANNED] = b, k0, 0, n
        a, beta, gamma = regf[g, A_S], regf[g, BETA_S], regf[g, GAMMA_S]
        schedule(st, k, now + iterations_end_ns(n, b, k0, a, beta, gamma, st.clock[TICK_NS]))
    else:
        rest(st, k, IDLE if k - st.reg[g, FIRST] < st.reg[g, AWAKE] else ASLEEP, now)


@helper
def stop_at_boundary(st, g, k, now):
    """End replica k's epoch at the first iteration boundary at or after `now`."""
    rep, regf, tick = st.rep, st.regf, st.clock[TICK_NS]
    elapsed = now - rep[k, BEGUN_NS]
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
        schedule(st, k, rep[k, BEGUN_NS] + iterations_end_ns(n + 1, b, k0, a, beta, gamma, tick))


@helper
def admit(st, g, k, q, now):
    """Replica k takes in request q."""
    rep = st.rep
    hold(st, g, k, rep[k, HELD] + 1)
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
        asleep = now >= rep[k, BEGUN_NS] + st.reg[g, SLEEP_AFTER_NS]
        spend(st, g, k, now)
        if asleep:
            st.met[g, WAKES] += 1
        if asleep and st.reg[g, WAKE_NS] > 0:
            rep[k, STATE] = WAKING
            schedule(st, k, now + st.reg[g, WAKE_NS])
        else:
            begin(st, g, k, now)


@helper
def finish(st, g, k, q, now):
    """The last token of request q."""
    rep, req = st.rep, st.req
    bill(st, g, k, q)
    hold(st, g, k, rep[k, HELD] - 1)
    rep[k, KV_FREE] += req[q, PROMPT] + req[q, OUTPUT]
    rep[k, CONTEXT] -= req[q, PROMPT] + 1 + req[q, DECODED]
    st.met[g, SERVED_N] += 1
    population_area(st, g, now)
    st.reg[g, POPULATION] -= 1
    end(st, q, physics.SERVED, now)


@helper
def end_prefill(st, g, k, now):
    """The first token; the request joins the batch unless it was also the last."""
    rep, req, reqf = st.rep, st.req, st.reqf
    q = st.waiting[k, rep[k, HEAD]]
    rep[k, HEAD] = rep[k, HEAD] + 1 if rep[k, HEAD] + 1 < st.waiting.shape[1] else 0
    rep[k, WAITING] -= 1
    if rep[k, WAITING] == 0:
        rep[k, HEAD] = 0
    req[q, FIRST_NS] = now
    rep[k, PROMPTED_NS] = now
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


@helper
def settle_replica(st, g, k, now):
    rep, regf = st.rep, st.regf
    spend(st, g, k, now)
    if rep[k, STATE] == DECODE:
        a, beta, gamma = regf[g, A_S], regf[g, BETA_S], regf[g, GAMMA_S]
        elapsed, planned = now - rep[k, BEGUN_NS], rep[k, PLANNED]
        b, k0 = rep[k, EPOCH_B], rep[k, EPOCH_K0]
        count(st, g, k, iterations_ended(elapsed, planned, b, k0, a, beta, gamma, st.clock[TICK_NS]))
    elif rep[k, STATE] == PREFILL and regf[g, CHARGED_HOST_W] > 0.0:
        q = st.waiting[k, rep[k, HEAD]]
        charge(st, g, q, st.reqf[q, OWED_J])
        st.reqf[q, OWED_J] = 0.0
    for i in range(rep[k, ACTIVE]):
        bill(st, g, k, st.active[k, i] & ROW)


@helper
def lose_work(st, g, k, now):
    """An interrupted prefill or iteration is charged in proportion."""
    rep, regf, req = st.rep, st.regf, st.req
    elapsed = now - rep[k, BEGUN_NS]
    if rep[k, STATE] == PREFILL:
        q = st.waiting[k, rep[k, HEAD]]
        done = elapsed / rep[k, PLANNED]
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
            q = st.active[k, i] & ROW
            own = req[q, DECODED]
            charge(st, g, q, done * request_iterations_j(e0 / b, own, own + 1, req[q, PROMPT], e1, e2))
