"""The state of the compiled engine: plain arrays, a row per replica, region or request, a column per field.

Rows instead of objects, so that kernels index and nothing is allocated while they run. What the fields mean is
docs/model.md; their names below are all that kernels and driver share. A state covers one region, if regions can
advance on their own, or all of them.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from glbdes.engine.fast.kv_state import kv_caches
from glbdes.errors import InvariantError
from glbdes.hardware.steps import decode_constant
from glbdes.units import NS_PER_S
from glbdes.world import Floats, Ints, World

NONE = -1
NEVER = np.int64(np.iinfo(np.int64).max)  # typed: kernels are compiled anew for every literal that they are called with
ROW_BITS = 28  # of a key: 268 M requests underway, and 36 bits for iterations, which are centuries
ROW = (1 << ROW_BITS) - 1
# What a replica is doing. WAKING: for a request that it has; RISING: since it was told to; ASLEEP: told to.
IDLE, WAKING, PREFILL, DECODE, BETWEEN, DOWN, ASLEEP, RISING = range(8)

# fmt: off
# Columns of `rep`. BEGUN_NS: of an epoch, a prefill or a rest. PLANNED: iterations, or the time of a prefill.
# PROMPTED_NS: the end of the last prefill.
(STATE, REGION, HELD, KV_FREE, CONTEXT, ITERATIONS, BEGUN_NS, EPOCH_B, EPOCH_K0, COUNTED, PLANNED, SINCE_NS,
 PROMPTED_NS, ACTIVE, WAITING, HEAD) = range(16)
# Columns of `reg`.
(FIRST, LAST, MAX_BATCH, KV_TOKENS, MAX_QUEUE, SLEEP_AFTER_NS, WAKE_NS, PROFILE, UP, QUEUED, QUEUE_HEAD, QUEUE_TAIL,
 POPULATION, POPULATION_NS, QUEUE_NS, WORDS, BITS, INDEX, LOWEST, AWAKE, PACK) = range(21)
# Columns of `regf`. CHARGED_HOST_W: of a replica at work, what its requests pay for.
(A_S, BETA_S, GAMMA_S, E0_J, E1_J, E2_J, IDLE_W, SLEEP_W, HOST_W, USD_PER_J, CARBON_PER_J, WATER_PER_J, HOST_SLEEP_W,
 CHARGED_HOST_W) = range(14)
# Columns of `met` and `metf`, in the order of METER_DTYPE.
(ARRIVED, SERVED_N, REJECTED_N, TIMED_OUT_N, FAILED_N, QUEUE_MAX, QUEUE_AREA, SYSTEM_AREA, PREFILL_NS, DECODE_NS,
 IDLE_METER_NS, DOWN_NS, ASLEEP_NS, WAKES) = range(14)
PREFILL_J, DECODE_J, IDLE_J, SLEEP_J, ATTRIBUTED_J = range(5)
# Columns of `req`, `reqf` and `links`: requests underway. A row of the first is two cache lines, of the second one.
(ID, GATEWAY, SLO, PROMPT, OUTPUT, ARRIVAL_NS, ATTEMPTS, AT_REGION,
 REPLICA, START_NS, FIRST_NS, DECODED, TARGET, STATUS, FINISH_NS, SESSION) = range(16)
UNIFORM, ENERGY_J, COST_USD, CARBON_G, WATER_L, OWED_J, SHARED_AT_J = range(7)
NEXT, PREVIOUS, LATE_AT = range(3)
# Where replicas schedule in chunks. Columns of `crep`: HERE, who runs and waits; RUNNING, of whom the first DECODERS
# decode; those who wait, a list by `links`, the first LOSERS of them preempted; FREE blocks; how many were POPPED off
# their queue; STEPS counted since all were billed; of the step with chunks its tokens and their products.
(HERE, RUNNING, DECODERS, WAIT_HEAD, WAIT_TAIL, WAIT_COUNT, LOSERS, FREE, POPPED, STEPS, STEP_TOKENS, STEP_PAST,
 STEP_SQUARE) = range(13)
# Columns of `creq`. KNOWN: tokens, of one that decodes when it was billed, and MARK the STEPS then. COMPUTED of those
# that do not decode, CHUNK of them in this step. PREEMPTIONS and CACHED tokens: for its record. AHEAD: blocks before
# its own in the queue of free ones, plus POPPED. LEFT: blocks that it left there, LEFT_FULL of them full.
KNOWN, COMPUTED, CHUNK, MARK, PREEMPTIONS, CACHED = range(6)
AHEAD_AT, LEFT, LEFT_FULL = 8, 9, 10
# Columns of `creqf` and `crepf`, which are the same memory as floats, so that what is read together lies together.
ATTENTION_J, RISING_J = 6, 7
P_J, Q_J = 13, 14
# Columns of `alike`: pools of a region and model from this one on, the first; whether requests fill them in order, and
# whether replicas are told to be awake or asleep.
ALIKE, IN_ORDER, TOLD = range(3)
# Elements of `cnum`. LOG: the binary logarithm of BLOCK, NONE if it has none.
BUDGET, BLOCK, WHOLE, LOG = range(4)
# Where requests have prefixes in common. Columns of `kv`: where a replica's pieces begin, how many blocks there are;
# the first and last free piece; where its part of `table` begins, the part's size less one; how many `slots` are free;
# for how many steps of the row the decoding requests have blocks; how many blocks the head of who waits has FOUND, in
# how many pieces; the first SPARE row of `piece`, and the first one that was never needed.
(KV_FIRST, KV_ROOM, KV_HEAD, KV_TAIL, TABLE_AT, MASK, SLOTS_FREE, GROWN, FOUND, FOUND_PIECES, SPARE,
 UNTOUCHED) = range(12)
# Columns of `piece`: the content of its first block; and of `piece32`, the same memory: how many blocks, who uses them,
# its neighbours among the free ones (of a spare row the next one), the next piece of its group.
LOW = 0
SIZE, USERS, BEFORE, AFTER, BEHIND = range(2, 7)
# Columns of `preq`. CHAIN, and the SHIFT of its contents' copy. SLOT: column of `mine`, and how many PIECES are there.
# BLOCKS in use, of which the first FILLED have their content, and TOKENS that they are for.
CHAIN, SHIFT, SLOT, BLOCKS, FILLED, TOKENS, PIECES = range(7)
# Columns of `chains` and `runs`, elements of `pnum`.
RUN_FIRST, RUN_LAST, CHAIN_BLOCKS = range(3)
RUN_INDEX, RUN_SHIFT = range(2)
CHAINS, CONTENTS, BY_PREFIX = range(3)
EMPTY = np.int64(np.iinfo(np.int64).min)  # the content of blocks that have none
# Requests to come: the first six columns of `req`, when they reach their region; session and chain, if there are any.
DUE_NS, SESSION_TO_COME, CHAIN_TO_COME = 6, 7, 8
# Elements of `clock`. AHEAD: how far above its leaf a replica's coming events are foreseen; 0: not at all.
(TICK_NS, TIMEOUT_NS, HORIZON_NS, SPREAD, FREE_COUNT, ENDED_COUNT, CHARGE_COUNT, LATE_COUNT, OUT_COUNT,
 TURNED_COUNT, AHEAD, PENDING_COUNT, PENDING_NS) = range(13)
# fmt: on


class State(NamedTuple):
    """Everything that changes. n: replicas, r: regions, q: rows of the request pool."""

    rep: Ints  # [n, 16]
    shared_j: Floats  # [n] the counter A of each replica
    active: Ints  # [n, max_batch] a heap by (target, id) of keys: the target, and in the last ROW_BITS the pool row
    waiting: Ints  # [n, max_batch] a ring of pool rows: admitted, no first token yet
    tree: Ints  # [2 * leaves, 2] a tournament of (time, replica): leaves in the second half, winners above, final at 1
    bits: NDArray[np.uint64]  # occupancy: for each region and number held, the set of such replicas that take requests
    levels: Ints  # [r, max_batch + 1] how many of them hold so many requests
    starts: Ints  # [r, max_batch + 1] the words of `bits` before this one are 0
    reg: Ints  # [r, 21]
    regf: Floats  # [r, 14]
    met: Ints  # [r, 14]
    metf: Floats  # [r, 5]
    prefill_ns: Ints  # [2, profile, tokens] second: of a prompt that begins where another ended
    prefill_j: Floats  # [profile, tokens]
    req: Ints  # [q, 16]
    reqf: Floats  # [q, 8]
    links: Ints  # [q, 3] of those that are queued
    free: Ints  # [q] a stack of unused rows
    late: Ints  # [q] a heap of queued rows by the end of their patience
    ended: Ints  # [q] rows of requests that have ended but not paid: their slot's idle energy is still to be spread
    turned: Ints  # [q] rows that a region has turned away since the last call
    charges: Floats  # [c, 3] region, row, joules: to be spread at the slot's end
    out: NDArray[Any]  # [o] REQUEST_DTYPE: records of requests that have ended since the last call
    clock: Ints  # [13]
    # None where prompts come first:
    crep: Ints | None  # [n, 16]
    crepf: Floats | None  # [n, 16] the same memory: counters P and Q
    running: Ints | None  # [n, max_batch] rows, by admission
    residues: Ints | None  # [n, block tokens] decoding requests by (computed - ITERATIONS) modulo the tokens of a block
    pending: Ints | None  # [n] replicas that put a step together at the end of this instant, in order
    creq: Ints | None  # [q, 16]
    creqf: Floats | None  # [q, 16] the same memory
    tokens_s: Floats | None  # [profile, tokens] the table D of steps
    tokens_j: Floats | None
    modes_s: Floats | None  # [profile, decode or mixed, 3]
    modes_j: Floats | None
    each_s: Floats | None  # [profile, 3]
    each_j: Floats | None
    rows_s: Floats | None  # [profile, batch] what of a step without chunks does not change with its context
    rows_j: Floats | None
    cnum: Ints | None  # [4]
    # None unless requests have prefixes in common (docs/model.md, "Prefixes"); m: blocks of all replicas
    kv: Ints | None  # [n, 12]
    piece: Ints | None  # [m, 4]
    piece32: NDArray[np.int32] | None  # [m, 8] the same memory
    table: NDArray[np.int32] | None  # for each replica, the first pieces of groups, hashed
    mine: NDArray[np.int32] | None  # [blocks, n * max_batch] the pieces that a running request uses
    span: NDArray[np.int8] | None  # [blocks, n * max_batch] how many blocks each was; the rest are the pieces behind
    slots: NDArray[np.int32] | None  # [n, max_batch] a stack of unused columns of `mine`
    preq: Ints | None  # [q, 7]
    chains: Ints | None  # [c, 3]
    runs: Ints | None  # [k, 2]
    pnum: Ints | None  # [3]
    sessions: Ints | None  # [1] how many; None where there are none
    alike: Ints | None  # [r, 3] pools of one model in one region; None where there are none


def prefill_ticks(world: World) -> Ints:
    """Prefill times on the clock: [2, profile, tokens], the second of prompts that begin where another ended."""
    prefill_s = np.stack([world.fleet.prefill_s, world.fleet.chained_s])
    ticks = np.floor(prefill_s * NS_PER_S / world.clock_ns + 0.5)
    return np.asarray(world.clock_ns * np.maximum(ticks, 1.0).astype(np.int64))


def make_state(world: World, regions: list[int], prefill_ns: Ints) -> State:
    """A fresh state for `regions`; `prefill_ns` as from `prefill_ticks`."""
    fleet = world.fleet
    counts = fleet.replicas[regions]
    n, r = int(counts.sum()), len(regions)
    batch = int(fleet.max_batch[regions].max())
    leaves = 1 << max(n - 1, 1).bit_length()
    reg = np.zeros((r, 21), dtype=np.int64)
    reg[:, LAST] = np.cumsum(counts)
    reg[:, FIRST] = reg[:, LAST] - counts
    reg[:, MAX_BATCH], reg[:, KV_TOKENS] = fleet.max_batch[regions], fleet.kv_tokens[regions]
    reg[:, MAX_QUEUE], reg[:, PROFILE] = fleet.max_queue[regions], fleet.profile[regions]
    reg[:, SLEEP_AFTER_NS], reg[:, WAKE_NS] = fleet.sleep_after_ns[regions], fleet.wake_ns[regions]
    reg[:, UP], reg[:, QUEUE_HEAD], reg[:, QUEUE_TAIL], reg[:, INDEX] = 1, NONE, NONE, regions
    reg[:, WORDS] = (counts + 63) // 64
    words = reg[:, WORDS] * reg[:, MAX_BATCH]
    reg[:, BITS] = np.cumsum(words) - words
    bits = np.zeros(int(words.sum()), dtype=np.uint64)
    for row, count in zip(reg, counts, strict=True):
        for i in range(int(count)):
            bits[row[BITS] + i // 64] |= np.uint64(1) << np.uint64(i % 64)
    reg[:, AWAKE], reg[:, PACK] = counts, fleet.pack[regions]
    regf = np.zeros((r, 14))
    columns = (fleet.a_s, fleet.beta_s, fleet.gamma_s, fleet.e0_j, fleet.e1_j, fleet.e2_j, fleet.idle_w, fleet.sleep_w)
    for column, values in enumerate((*columns, fleet.host_w)):
        regf[:, column] = values[regions]
    regf[:, HOST_SLEEP_W] = fleet.host_sleep_w[regions]
    regf[:, CHARGED_HOST_W] = fleet.host_w[regions] if world.active_attribution else 0.0
    rep = on_lines(n, 16, np.int64)
    rep[:, REGION] = np.repeat(np.arange(r), counts)
    rep[:, KV_FREE] = reg[rep[:, REGION], KV_TOKENS]
    rep[:, PROMPTED_NS] = NONE
    clock = np.zeros(13, dtype=np.int64)
    clock[AHEAD] = max(leaves.bit_length() - 8, 0)  # below 256 replicas, everything is near anyway
    if world.steps is not None:
        clock[AHEAD] = 0  # what is foreseen is what prompts first will read
    charges = 2 * world.max_attempts + 2  # that one request can run up in a slot, at most
    clock[:4] = world.clock_ns, world.timeout_ns, world.horizon_ns, charges if world.full_attribution else 0
    levels = np.zeros((r, batch + 1), dtype=np.int64)
    levels[:, 0] = counts
    tree = np.full((2 * leaves, 2), NEVER)
    tree[leaves:, 1] = np.arange(leaves)
    for node in range(leaves - 1, 0, -1):
        tree[node, 1] = tree[2 * node, 1]
    state = State(
        rep=rep,
        shared_j=np.zeros(n),
        active=np.zeros((n, batch), dtype=np.int64),
        waiting=np.zeros((n, batch), dtype=np.int64),
        tree=tree,
        bits=bits,
        levels=levels,
        starts=np.zeros((r, batch + 1), dtype=np.int64),
        reg=reg,
        regf=regf,
        met=np.zeros((r, 14), dtype=np.int64),
        metf=np.zeros((r, 5)),
        prefill_ns=prefill_ns,
        prefill_j=np.ascontiguousarray(fleet.prefill_j),
        req=on_lines(0, 16, np.int64),
        reqf=on_lines(0, 8, np.float64),
        links=np.zeros((0, 3), dtype=np.int64),
        free=np.zeros(0, dtype=np.int64),
        late=np.zeros(0, dtype=np.int64),
        ended=np.zeros(0, dtype=np.int64),
        turned=np.zeros(0, dtype=np.int64),
        charges=np.zeros((0, 3)),
        out=np.empty(0, dtype=world.kernel_dtype),
        clock=clock,
        **in_chunks(world, regions, rep),
        **kv_caches(world, regions, rep),
        sessions=np.array([world.sessions]) if world.in_sessions else None,
        alike=alike(world, regions),
    )
    return with_room(state, 0)


def alike(world: World, regions: list[int]) -> Ints | None:
    """`State.alike` of pools `regions`."""
    if world.first_of is None:
        return None
    count, told = np.bincount(world.first_of, minlength=world.regions), world.scaling is not None
    return np.array([[max(count[r], 1), world.pools_in_order, told] for r in regions], dtype=np.int64)


def in_chunks(world: World, regions: list[int], rep: Ints) -> dict[str, Any]:
    """The part of a state that only replicas need that schedule in chunks; without them, nothing."""
    fleet, steps = world.fleet, world.steps
    if steps is None:
        return dict.fromkeys((*CHUNK_FIELDS, *STEP_FIELDS))
    n, batch, size = len(rep), int(fleet.max_batch[regions].max()), steps.block_tokens
    shift = NONE if size & (size - 1) else size.bit_length() - 1
    crep, creq = on_lines(n, 16, np.int64), on_lines(0, 16, np.int64)
    crep[:, WAIT_HEAD] = crep[:, WAIT_TAIL] = NONE
    crep[:, FREE] = fleet.kv_tokens[regions][rep[:, REGION]] // steps.block_tokens - 1

    def rows(tokens: Floats, modes: Floats, each: Floats) -> Floats:
        b = np.arange(batch + 1)
        a, beta = modes[:, :1, 0], modes[:, :1, 1]
        return np.asarray(decode_constant(tokens[:, : batch + 1], b, a, beta, each[:, :1]))

    arrays = (
        crep,
        crep.view(np.float64),
        np.zeros((n, batch), dtype=np.int64),
        np.zeros((n, steps.block_tokens), dtype=np.int64),
        np.zeros(n, dtype=np.int64),
        creq,
        creq.view(np.float64),
        rows(steps.tokens_s, steps.modes_s, steps.each_s),
        rows(steps.tokens_j, steps.modes_j, steps.each_j),
        np.array([steps.budget, size, steps.whole_prompts, shift], dtype=np.int64),
    )
    tables = {name: np.array(getattr(steps, name)) for name in STEP_FIELDS}
    return {**dict(zip(CHUNK_FIELDS, arrays, strict=True)), **tables}


CHUNK_FIELDS = ["crep", "crepf", "running", "residues", "pending", "creq", "creqf", "rows_s", "rows_j", "cnum"]
STEP_FIELDS = ("tokens_s", "tokens_j", "modes_s", "modes_j", "each_s", "each_j")


def on_lines(rows: int, columns: int, dtype: Any) -> NDArray[Any]:
    """Zeros [rows, columns] that begin with a cache line of 64 bytes, 8 numbers."""
    memory = np.zeros(rows * columns + 8, dtype=dtype)
    first = -(memory.ctypes.data // 8) % 8
    return memory[first : first + rows * columns].reshape(rows, columns)


def longer(array: NDArray[Any], extra: int) -> NDArray[Any]:
    """`array`, made by `on_lines`, with `extra` more rows of zeros."""
    longer = on_lines(len(array) + extra, array.shape[1], array.dtype)
    longer[: len(array)] = array
    return longer


def with_room(state: State, arrivals: int) -> State:
    """The state with room for `arrivals` more requests, and for the records of all that may end."""
    unused, old = int(state.clock[FREE_COUNT]), len(state.req)
    most_ended = old - unused + arrivals
    if len(state.out) < most_ended:
        state = state._replace(out=np.empty(most_ended + most_ended // 4, dtype=state.out.dtype))
    if unused >= arrivals:
        return state
    extra = max(arrivals - unused, old, 1024)
    if old + extra > ROW:
        raise InvariantError(f"{old + extra:,} requests underway at a time, must be <= {ROW:,}")
    free = np.empty(old + extra, dtype=np.int64)
    free[:extra] = np.arange(old + extra - 1, old - 1, -1)
    free[extra : extra + unused] = state.free[:unused]
    state.clock[FREE_COUNT] += extra

    def grown(array: NDArray[Any] | None, factor: int = 1) -> Any:
        if array is None:
            return None
        return np.concatenate([array, np.zeros((factor * extra, *array.shape[1:]), dtype=array.dtype)])

    creq = None if state.creq is None else longer(state.creq, extra)
    return state._replace(
        req=longer(state.req, extra),
        reqf=longer(state.reqf, extra),
        links=grown(state.links),
        creq=creq,
        creqf=None if creq is None else creq.view(np.float64),
        preq=grown(state.preq),
        free=free,
        late=grown(state.late),
        ended=grown(state.ended),
        turned=grown(state.turned),
        charges=grown(state.charges, int(state.clock[SPREAD])),
    )


def take_records(state: State) -> tuple[State, NDArray[Any]]:
    """The records of the requests that have ended since the last call, and the state with a buffer for more."""
    count = int(state.clock[OUT_COUNT])
    state.clock[OUT_COUNT] = 0
    if count < len(state.out) // 4:  # else the records would hold on to much more memory than they need
        return state, state.out[:count].copy()
    return state._replace(out=np.empty_like(state.out)), state.out[:count]
