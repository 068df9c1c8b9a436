"""KV caches of the compiled engine, of either kind: as counts (`blocks`), or by what blocks hold (`kv`).

Which it is, is decided when kernels are compiled: while requests share nothing, counts say the same and are quicker.
"""

from glbdes.base.compiled import either, helper
from glbdes.engine.fast import blocks, kv
from glbdes.engine.fast.state import *  # noqa: F403

FIELD = "mine"  # a state has it where caches know what blocks hold


@helper
def find_own(st, k, q):
    """A preempted request may find blocks of its own, and those are all free."""
    return blocks.hits(st, k, q) if st.crep[k, LOSERS] > 0 else 0, 0


@helper
def take_over_own(st, k, q, found):
    if st.crep[k, LOSERS] > 0:
        st.crep[k, LOSERS] -= 1
        blocks.reclaim(st, k, q, found)
        st.creq[q, CACHED] += found * st.cnum[BLOCK]


@helper
def take_over_shared(st, k, q, found):
    if st.crep[k, LOSERS] > 0:
        st.crep[k, LOSERS] -= 1
    kv.share(st, k, q, found)
    st.creq[q, CACHED] += found * st.cnum[BLOCK]


@helper
def count_some(st, k, q, count, tokens):
    blocks.take(st, k, count)


@helper
def grow_blocks(st, k, q, count, tokens):
    kv.compute(st, k, q, tokens)


@helper
def count_more(st, k, count, steps):
    blocks.take(st, k, count)


@helper
def grow_rows(st, k, count, steps):
    kv.compute_all(st, k, steps)


@helper
def leave_shared(st, k, q, computed):
    kv.leave_all(st, k, q)


@helper
def count_free(st, k, q, computed):
    st.crep[k, FREE] += blocks.blocks_of(st, computed)


@helper
def begin_blocks(st, k):
    st.kv[k, GROWN] = 0


@helper
def row_of_blocks(st, k):
    st.kv[k, GROWN] = 1


@helper
def nothing(st, k):
    return


@helper
def not_found(st, g, k, most):
    return most


@helper
def no_chain(st, q, chain):
    return


find = either(FIELD, kv.search, find_own)  # (blocks found, those in use) of the head of who waits
take_over = either(FIELD, take_over_shared, take_over_own)  # it is admitted, and has those found
grow = either(FIELD, grow_blocks, count_some)  # so many more blocks for a request, so that it has `tokens` computed
grow_all = either(FIELD, grow_rows, count_more)  # the same of all who decode, after so many steps of the row
leave = either(FIELD, leave_shared, blocks.leave)  # a request is preempted
finished = either(FIELD, leave_shared, count_free)
begin_row = either(FIELD, begin_blocks, nothing)
first_grown = either(FIELD, row_of_blocks, nothing)  # every request that decodes has got its blocks for a first step
clear = either(FIELD, kv.clear, nothing)
until_found = either(FIELD, kv.until_found, not_found)
begin_chain = either(FIELD, kv.begin_chain, no_chain)
