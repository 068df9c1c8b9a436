"""What the compiled engine writes down: meters of regions, charges of requests, and their records."""

import numpy as np
from numba.extending import register_jitable

from glbdes.base.compiled import either, helper, kernel
from glbdes.engine.fast.state import *  # noqa: F403
from glbdes.hardware import physics

for _formula in (
    physics.to_clock_ns,
    physics.iterations_s,
    physics.iterations_end_ns,
    physics.iterations_ended,
    physics.iterations_j,
    physics.request_iterations_j,
    physics.awake_until,
    physics.power_j,
    physics.host_j,
    physics.host_share_j,
):
    register_jitable(_formula)

to_clock_ns = physics.to_clock_ns
iterations_end_ns = physics.iterations_end_ns
iterations_ended = physics.iterations_ended
iterations_j = physics.iterations_j
request_iterations_j = physics.request_iterations_j
awake_until = physics.awake_until
power_j = physics.power_j
host_j = physics.host_j
host_share_j = physics.host_share_j


@helper
def no_cache(st, q):
    return 0, 0


@helper
def of_cache(st, q):
    """How often request q was preempted and how many tokens it found; the next one in its row begins with none."""
    creq = st.creq
    told = creq[q, PREEMPTIONS], creq[q, CACHED]
    creq[q, PREEMPTIONS], creq[q, CACHED] = 0, 0
    return told


preemptions_and_cached = either("creq", of_cache, no_cache)


@helper
def no_session(st, q, record):
    return


@helper
def of_session(st, q, record):
    record["session"] = st.req[q, SESSION]


write_session = either("sessions", of_session, no_session)


@helper
def emit(st, q):
    """Write the record of request q and give its row back."""
    req, reqf, clock = st.req, st.reqf, st.clock
    record = st.out[clock[OUT_COUNT]]
    clock[OUT_COUNT] += 1
    record["request_id"] = req[q, ID]
    record["gateway"] = req[q, GATEWAY]
    record["region"] = req[q, AT_REGION]
    record["replica"] = req[q, REPLICA]
    record["slo"] = req[q, SLO]
    record["status"] = req[q, STATUS]
    record["attempts"] = req[q, ATTEMPTS]
    record["prompt_tokens"] = req[q, PROMPT]
    record["output_tokens"] = req[q, OUTPUT]
    record["arrival_ns"] = req[q, ARRIVAL_NS]
    record["start_ns"] = req[q, START_NS]
    record["first_token_ns"] = req[q, FIRST_NS]
    record["finish_ns"] = req[q, FINISH_NS]
    record["energy_j"] = reqf[q, ENERGY_J]
    record["cost_usd"] = reqf[q, COST_USD]
    record["carbon_g"] = reqf[q, CARBON_G]
    record["water_l"] = reqf[q, WATER_L]
    record["preemptions"], record["cached_tokens"] = preemptions_and_cached(st, q)
    write_session(st, q, record)
    st.free[clock[FREE_COUNT]] = q
    clock[FREE_COUNT] += 1


@helper
def end(st, q, status, now):
    """Request q leaves the simulation."""
    st.req[q, STATUS] = status
    st.req[q, FINISH_NS] = now
    if st.clock[SPREAD] == 0:
        emit(st, q)
    else:
        st.ended[st.clock[ENDED_COUNT]] = q
        st.clock[ENDED_COUNT] += 1


@helper
def pay(st, g, q, joules):
    """Request q pays for `joules` at the slot's signals of region g."""
    regf, reqf = st.regf, st.reqf
    st.metf[g, ATTRIBUTED_J] += joules
    reqf[q, ENERGY_J] += joules
    reqf[q, COST_USD] += joules * regf[g, USD_PER_J]
    reqf[q, CARBON_G] += joules * regf[g, CARBON_PER_J]
    reqf[q, WATER_L] += joules * regf[g, WATER_PER_J]


@helper
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


@helper
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


@helper
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


@helper
def share_host_of_batch(st, g, k, span_ns):
    """The prompt, or everybody in the batch, that replica k works for during `span_ns` shares what its host draws."""
    if st.rep[k, STATE] == PREFILL:
        st.reqf[st.waiting[k, st.rep[k, HEAD]], OWED_J] += host_share_j(st.regf[g, CHARGED_HOST_W], span_ns, 1)
    else:
        st.shared_j[k] += host_share_j(st.regf[g, CHARGED_HOST_W], span_ns, st.rep[k, EPOCH_B])


@helper
def share_host_of_step(st, g, k, span_ns):
    """Who is in the steps that replica k takes during `span_ns` shares what its host draws (eq. 16)."""
    crep = st.crep
    share_j = host_share_j(st.regf[g, CHARGED_HOST_W], span_ns, crep[k, RUNNING])
    if crep[k, DECODERS] > 0:
        st.shared_j[k] += share_j
    for i in range(crep[k, DECODERS], crep[k, RUNNING]):
        st.reqf[st.running[k, i], OWED_J] += share_j


share_host = either("crep", share_host_of_step, share_host_of_batch)


@helper
def spend(st, g, k, now):
    """Put replica k's time since the last call on the meter, by what it did."""
    rep, met, metf = st.rep, st.met, st.metf
    since = rep[k, SINCE_NS]
    rep[k, SINCE_NS] = now
    state = rep[k, STATE]
    if state in (DECODE, PREFILL):
        met[g, DECODE_NS if state == DECODE else PREFILL_NS] += now - since
        if st.regf[g, CHARGED_HOST_W] > 0.0 and since < st.clock[HORIZON_NS]:
            share_host(st, g, k, min(now, st.clock[HORIZON_NS]) - since)
    elif since < st.clock[HORIZON_NS] and state != BETWEEN:
        until = min(now, st.clock[HORIZON_NS])
        if state == DOWN:
            met[g, DOWN_NS] += until - since
            return
        awake_to = since
        if state != ASLEEP:
            sleep_after = st.reg[g, SLEEP_AFTER_NS] if state == IDLE else physics.NEVER_NS
            awake_to = awake_until(rep[k, BEGUN_NS], since, until, sleep_after)
        met[g, IDLE_METER_NS] += until - since
        met[g, ASLEEP_NS] += until - awake_to
        metf[g, IDLE_J] += power_j(st.regf[g, IDLE_W], awake_to - since)
        metf[g, SLEEP_J] += power_j(st.regf[g, SLEEP_W], until - awake_to)


@helper
def population_area(st, g, now):
    """Bring the integral of the region's population up to date; call before it changes."""
    reg = st.reg
    st.met[g, SYSTEM_AREA] += reg[g, POPULATION] * (now - reg[g, POPULATION_NS])
    reg[g, POPULATION_NS] = now


@helper
def queue_area(st, g, now):
    """Bring the integral of the queue's length up to date; call before it changes."""
    reg = st.reg
    st.met[g, QUEUE_AREA] += reg[g, QUEUED] * (now - reg[g, QUEUE_NS])
    reg[g, QUEUE_NS] = now


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
        hosts_j = host_j(regf[g, HOST_W], regf[g, HOST_SLEEP_W], powered_ns, st.met[g, ASLEEP_NS])
        used_j = metf[g, PREFILL_J] + metf[g, DECODE_J] + metf[g, IDLE_J] + metf[g, SLEEP_J] + hosts_j
        factor = used_j / charged if charged > 0 else 0.0
        for i in range(n):
            if charges[i, 0] == g:
                pay(st, g, np.int64(charges[i, 1]), charges[i, 2] * factor)
    st.clock[CHARGE_COUNT] = 0
    for i in range(st.clock[ENDED_COUNT]):
        emit(st, st.ended[i])
    st.clock[ENDED_COUNT] = 0
