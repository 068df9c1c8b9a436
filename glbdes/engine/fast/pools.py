"""Pools of one model in one region of the compiled engine: which of them gets a request (docs/model.md, "Pools").

They stand side by side, and whoever dispatches knows the first of them only, where `ALIKE` says how many they are.
"""

import numpy as np

from glbdes.base.compiled import either, helper
from glbdes.engine.fast.blocks import full_blocks
from glbdes.engine.fast.state import *  # noqa: F403


@helper
def places_of(st, g):
    """Requests that the replicas of pool g hold that are awake."""
    return max(st.reg[g, AWAKE], 1) * st.reg[g, MAX_BATCH]


@helper
def load_of(st, g):
    """Requests per place in the pools that g is the first of."""
    population, places = np.int64(0), np.int64(0)
    for p in range(g, g + st.reg[g, ALIKE]):
        population += st.reg[p, POPULATION]
        places += places_of(st, p)
    return population / places


@helper
def present_at(st, g, column):
    """Requests in the pools that g is the first of: `POPULATION`, or those `QUEUED`."""
    present = np.int64(0)
    for p in range(g, g + st.reg[g, ALIKE]):
        present += st.reg[p, column]
    return present


@helper
def room_in_blocks(st, g):
    return (full_blocks(st, st.reg[g, KV_TOKENS]) - 1) * st.cnum[BLOCK]


@helper
def room_in_tokens(st, g):
    return st.reg[g, KV_TOKENS]


room_of = either("crep", room_in_blocks, room_in_tokens)


@helper
def one_of(st, g, q):
    """Of the pools that g is the first of, the one for request q: of those that can hold it at all the least loaded,
    or the first with a place."""
    last, tokens = g + st.reg[g, ALIKE], st.req[q, PROMPT] + st.req[q, OUTPUT]
    fits = False
    for p in range(g, last):
        fits = fits or tokens <= room_of(st, p)
    best, least = g, np.inf
    for p in range(g, last):
        if fits and tokens > room_of(st, p):
            continue
        places = places_of(st, p)
        if st.reg[g, IN_ORDER] != 0 and st.reg[p, POPULATION] < places:
            return p
        load = st.reg[p, POPULATION] / places
        if load < least:
            best, least = p, load
    return best


@helper
def pool_for(st, g, q):
    return g if st.reg[g, ALIKE] == 1 else one_of(st, g, q)
