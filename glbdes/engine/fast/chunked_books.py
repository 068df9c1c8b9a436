"""What steps of the compiled engine take and cost, and who pays for them, where replicas schedule in chunks."""

import numpy as np
from numba.extending import register_jitable

from glbdes.base.compiled import helper, prefetch
from glbdes.engine.fast.books import charge, iterations_end_ns, iterations_j
from glbdes.engine.fast.state import *  # noqa: F403
from glbdes.hardware import steps

for _formula in (steps.step_cost, steps.shared_cost):
    register_jitable(_formula)

step_cost = steps.step_cost
shared_cost = steps.shared_cost


@helper
def mixed(st, g, k, table, modes, each):
    """Seconds or joules of the step with chunks that replica k has put together."""
    p, crep = st.reg[g, PROFILE], st.crep
    work = crep[k, RUNNING], crep[k, DECODERS], st.rep[k, CONTEXT], crep[k, STEP_PAST], crep[k, STEP_SQUARE]
    mode = modes[p, 1, 0], modes[p, 1, 1], modes[p, 1, 2]
    terms = each[p, 0], each[p, 1], each[p, 2]
    return step_cost(table[p, crep[k, STEP_TOKENS]], *work, mode, terms)


@helper
def mixed_s(st, g, k):
    """Seconds of the step with chunks that replica k puts together; what it computes is written down."""
    crep, creq, b = st.crep, st.creq, st.crep[k, DECODERS]
    tokens, past, square = b, np.int64(0), np.int64(0)
    for i in range(b, crep[k, RUNNING]):
        q = st.running[k, i]
        chunk = creq[q, CHUNK]
        tokens += chunk
        past += chunk * creq[q, COMPUTED]
        square += chunk * chunk
    crep[k, STEP_TOKENS], crep[k, STEP_PAST], crep[k, STEP_SQUARE] = tokens, past, square
    prefetch(st.tokens_j, st.reg[g, PROFILE], tokens)  # which the step's end will read
    return mixed(st, g, k, st.tokens_s, st.modes_s, st.each_s)


@helper
def equal_j(st, g, k):
    """What everyone pays alike for a step with chunks."""
    p, scheduled = st.reg[g, PROFILE], st.crep[k, RUNNING]
    return (st.tokens_j[p, 1] + st.modes_j[p, 1, 0] + st.each_j[p, 0] * scheduled) / scheduled


@helper
def share_j(st, g, k, equal, own):
    """What everyone pays who has `own` tokens computed in a step with chunks, beside attention and beta."""
    p, tokens = st.reg[g, PROFILE], st.crep[k, STEP_TOKENS]
    return equal + shared_cost(st.tokens_j[p, tokens], st.tokens_j[p, 1], tokens, own)


@helper
def chunk_j(st, g, k, equal, q):
    """What request q pays for its chunk."""
    p, c = st.reg[g, PROFILE], st.creq[q, CHUNK]
    own = share_j(st, g, k, equal, c)
    return own + st.each_j[p, 1] * (c * st.creq[q, COMPUTED]) + st.each_j[p, 2] * (c * c)


@helper
def count_mixed(st, g, k):
    """Count a step with chunks, on the meter, for its chunks and for who decodes."""
    p, crep, crepf = st.reg[g, PROFILE], st.crep, st.crepf
    st.metf[g, PREFILL_J] += mixed(st, g, k, st.tokens_j, st.modes_j, st.each_j)
    equal = equal_j(st, g, k)
    for i in range(crep[k, DECODERS], crep[k, RUNNING]):
        q = st.running[k, i]
        st.reqf[q, OWED_J] += chunk_j(st, g, k, equal, q)
    if crep[k, DECODERS] > 0:
        beta, gamma = st.modes_j[p, 1, 1], st.modes_j[p, 1, 2]
        crep[k, STEPS] += 1
        st.shared_j[k] += share_j(st, g, k, equal, np.int64(1)) + beta
        crepf[k, P_J] += gamma
        crepf[k, Q_J] += gamma * crep[k, STEPS]


@helper
def count(st, g, k, n):
    """Count the row's steps up to the n-th, on the region's meter and for who decodes."""
    rep, crep, crepf, p = st.rep, st.crep, st.crepf, st.reg[g, PROFILE]
    new = n - rep[k, COUNTED]
    if new == 0:
        return
    b = rep[k, EPOCH_B]
    constant, gamma = st.rows_j[p, b], st.modes_j[p, 0, 2]
    k0 = rep[k, EPOCH_K0] + b * rep[k, COUNTED]
    st.metf[g, DECODE_J] += iterations_j(new, b, k0, constant, 0.0, gamma)
    st.shared_j[k] += new * (constant / b)
    crepf[k, P_J] += new * gamma
    crepf[k, Q_J] += gamma * (new * crep[k, STEPS] + new * (new + 1) // 2)
    crep[k, STEPS] += new
    rep[k, COUNTED] = n


@helper
def mark(st, k, q, known):
    """Request q has paid for everything so far; its next step reads `known` tokens."""
    st.creq[q, KNOWN] = known
    st.creq[q, MARK] = st.crep[k, STEPS]
    st.reqf[q, SHARED_AT_J] = st.shared_j[k]
    st.creqf[q, ATTENTION_J] = st.crepf[k, P_J]
    st.creqf[q, RISING_J] = st.crepf[k, Q_J]


@helper
def owe(st, k, q):
    """Request q, which decodes, owes for its steps since the last time."""
    creq, crepf, creqf = st.creq, st.crepf, st.creqf
    joules = st.shared_j[k] - st.reqf[q, SHARED_AT_J]
    joules += (creq[q, KNOWN] - creq[q, MARK] - 1) * (crepf[k, P_J] - creqf[q, ATTENTION_J])
    joules += crepf[k, Q_J] - creqf[q, RISING_J]
    st.reqf[q, OWED_J] += joules
    mark(st, k, q, creq[q, KNOWN] + st.crep[k, STEPS] - creq[q, MARK])


@helper
def bill(st, g, k, q, decodes):
    """Charge request q for all that it owes."""
    if decodes:
        owe(st, k, q)
    if st.reqf[q, OWED_J] > 0.0:
        charge(st, g, q, st.reqf[q, OWED_J])
    st.reqf[q, OWED_J] = 0.0


@helper
def lose_work(st, g, k, now):
    """An interrupted step of replica k is charged in proportion."""
    rep, crep, creq, p = st.rep, st.crep, st.creq, st.reg[g, PROFILE]
    elapsed = now - rep[k, BEGUN_NS]
    if rep[k, STATE] == PREFILL:
        done = elapsed / rep[k, PLANNED]
        st.metf[g, PREFILL_J] += done * mixed(st, g, k, st.tokens_j, st.modes_j, st.each_j)
        equal, beta, gamma = equal_j(st, g, k), st.modes_j[p, 1, 1], st.modes_j[p, 1, 2]
        for i in range(crep[k, RUNNING]):
            q = st.running[k, i]
            if i < crep[k, DECODERS]:
                own = share_j(st, g, k, equal, np.int64(1)) + beta + gamma * creq[q, KNOWN]
            else:
                own = chunk_j(st, g, k, equal, q)
            charge(st, g, q, done * own)
    elif rep[k, STATE] == DECODE:
        b, k0, n, tick = rep[k, EPOCH_B], rep[k, EPOCH_K0], rep[k, COUNTED], st.clock[TICK_NS]
        constant_s, gamma_s = st.rows_s[p, b], st.modes_s[p, 0, 2]
        begun = iterations_end_ns(n, b, k0, constant_s, 0.0, gamma_s, tick)
        ends = iterations_end_ns(n + 1, b, k0, constant_s, 0.0, gamma_s, tick)
        if ends == begun:
            return
        done = (elapsed - begun) / (ends - begun)
        constant, gamma = st.rows_j[p, b], st.modes_j[p, 0, 2]
        st.metf[g, DECODE_J] += done * iterations_j(1, b, k0 + b * n, constant, 0.0, gamma)
        for i in range(b):
            q = st.running[k, i]
            charge(st, g, q, done * (constant / b + gamma * creq[q, KNOWN]))
