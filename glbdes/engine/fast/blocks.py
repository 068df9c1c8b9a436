"""KV caches of the compiled engine, as counts (docs/model.md, "Steps in chunks").

While no two requests share a prefix, nobody ever looks for a finished request's blocks. So free blocks are a number,
and of their queue only the places matter of those that preempted requests left there: how many blocks are before them,
plus how many have been popped off it so far, so that popping costs nothing. Decoding requests take a block in every
so many steps; how many take one in which step is told by their residues.
"""

from glbdes.base.compiled import helper
from glbdes.engine.fast.state import *  # noqa: F403


@helper
def full_blocks(st, tokens):
    """How many blocks `tokens` fill. Where a block holds a power of two, it costs no division."""
    return tokens >> st.cnum[LOG] if st.cnum[LOG] != NONE else tokens // st.cnum[BLOCK]


@helper
def beyond_blocks(st, tokens):
    """How many of `tokens` are beyond the blocks that they fill; below 0, as Python has it."""
    return tokens & (st.cnum[BLOCK] - 1) if st.cnum[LOG] != NONE else tokens % st.cnum[BLOCK]


@helper
def blocks_of(st, tokens):
    """How many blocks hold `tokens`."""
    return full_blocks(st, tokens + st.cnum[BLOCK] - 1)


@helper
def take(st, k, count):
    """Pop `count` blocks off replica k's queue of free ones."""
    st.crep[k, FREE] -= count
    st.crep[k, POPPED] += count


@helper
def count_residue(st, k, computed, change):
    """A request of replica k with so many tokens computed decodes from now on, or no longer."""
    st.residues[k, beyond_blocks(st, computed - st.rep[k, ITERATIONS])] += change


@helper
def next_blocks(st, k):
    """How many blocks the decoding requests of replica k need to take their next step."""
    return st.residues[k, beyond_blocks(st, -st.rep[k, ITERATIONS])]


@helper
def more_blocks(st, k, steps):
    """How many blocks the decoding requests of replica k need to take so many `steps`."""
    size, n = st.cnum[BLOCK], st.rep[k, ITERATIONS]
    cycles = full_blocks(st, steps)
    need = cycles * st.crep[k, DECODERS]
    at = beyond_blocks(st, -n)  # of those that take a block in the next step; whole cycles do not change it
    for _ in range(cycles * size, steps):
        need += st.residues[k, at]
        at = at - 1 if at > 0 else size - 1
    return need


@helper
def most_steps(st, k, room, most):
    """The most steps, at most `most`, that `room` blocks suffice for."""
    size, n, b = st.cnum[BLOCK], st.rep[k, ITERATIONS], st.crep[k, DECODERS]
    cycles = full_blocks(st, most)
    if b * (cycles + 1) <= room:
        return most
    cycles = min(room // b, cycles)
    steps, need = cycles * size, cycles * b
    at = beyond_blocks(st, -n)
    while steps < most:
        need += st.residues[k, at]
        if need > room:
            break
        at = at - 1 if at > 0 else size - 1
        steps += 1
    return steps


@helper
def leave(st, k, q, computed):
    """Preempted request q leaves the blocks of `computed` tokens at the queue's end, its last one first."""
    creq, crep = st.creq, st.crep
    creq[q, AHEAD_AT] = crep[k, FREE] + crep[k, POPPED]
    creq[q, LEFT] = blocks_of(st, computed)
    creq[q, LEFT_FULL] = full_blocks(st, computed)
    crep[k, FREE] += creq[q, LEFT]


@helper
def hits(st, k, q):
    """How many of its own blocks the preempted request q would find, from its first on."""
    creq = st.creq
    gap = creq[q, AHEAD_AT] - st.crep[k, POPPED]
    lost = min(creq[q, LEFT], -gap) if gap < 0 else 0
    return min(creq[q, LEFT] - lost, creq[q, LEFT_FULL], full_blocks(st, creq[q, KNOWN] - 1))


@helper
def reclaim(st, k, q, count):
    """Request q takes back `count` of its blocks from the queue; who left some behind them moves up."""
    creq, crep = st.creq, st.crep
    crep[k, FREE] -= count
    other = crep[k, WAIT_HEAD]
    for _ in range(crep[k, LOSERS]):
        if creq[other, AHEAD_AT] > creq[q, AHEAD_AT]:
            creq[other, AHEAD_AT] -= count
        other = st.links[other, NEXT]
