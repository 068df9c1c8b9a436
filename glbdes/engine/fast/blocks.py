"""KV caches of the compiled engine, as counts (docs/model.md, "Steps in chunks").

While no two requests share a prefix, nobody ever looks for a finished request's blocks. So free blocks are a number,
and of their queue only the places matter of those that preempted requests left there: how many blocks are before them,
plus how many have been popped off it so far, so that popping costs nothing. Decoding requests take a block in every
so many steps; how many take one in which step is told by their residues.
"""

from glbdes.base.compiled import helper
from glbdes.engine.fast.state import *  # noqa: F403


@helper
def blocks_of(st, tokens):
    """How many blocks hold `tokens`."""
    return (tokens + st.cnum[BLOCK] - 1) // st.cnum[BLOCK]


@helper
def take(st, k, count):
    """Pop `count` blocks off replica k's queue of free ones."""
    st.crep[k, FREE] -= count
    st.crep[k, POPPED] += count


@helper
def count_residue(st, k, computed, change):
    """A request of replica k with so many tokens computed decodes from now on, or no longer."""
    st.residues[k, (computed - st.rep[k, ITERATIONS]) % st.cnum[BLOCK]] += change


@helper
def more_blocks(st, k, steps):
    """How many blocks the decoding requests of replica k need to take so many `steps`."""
    size, n = st.cnum[BLOCK], st.rep[k, ITERATIONS]
    cycles = steps // size
    need = cycles * st.crep[k, DECODERS]
    at = -n % size  # of those that take a block in the next step; whole cycles do not change it
    for _ in range(cycles * size, steps):
        need += st.residues[k, at]
        at = at - 1 if at > 0 else size - 1
    return need


@helper
def most_steps(st, k, room, most):
    """The most steps, at most `most`, that `room` blocks suffice for."""
    size, n, b = st.cnum[BLOCK], st.rep[k, ITERATIONS], st.crep[k, DECODERS]
    if b * (most // size + 1) <= room:
        return most
    cycles = min(room // b, most // size)
    steps, need = cycles * size, cycles * b
    at = -n % size
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
    creq[q, LEFT_FULL] = computed // st.cnum[BLOCK]
    crep[k, FREE] += creq[q, LEFT]


@helper
def hits(st, k, q):
    """How many of its own blocks the preempted request q would find, from its first on."""
    creq = st.creq
    gap = creq[q, AHEAD_AT] - st.crep[k, POPPED]
    lost = min(creq[q, LEFT], -gap) if gap < 0 else 0
    return min(creq[q, LEFT] - lost, creq[q, LEFT_FULL], (creq[q, KNOWN] - 1) // st.cnum[BLOCK])


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
