"""Pools of one model in one region of the compiled engine: which of them gets a request (docs/model.md, "Pools").

They stand side by side, and whoever dispatches knows the first of them only: `alike` of a state says how many they are.
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
def load_of_one(st, g):
    return st.reg[g, POPULATION] / places_of(st, g)


@helper
def load_of_all(st, g):
    population, places = np.int64(0), np.int64(0)
    for p in range(g, g + st.alike[g, ALIKE]):
        population += st.reg[p, POPULATION]
        places += places_of(st, p)
    return population / places


@helper
def queued_at_one(st, g):
    return st.reg[g, QUEUED]


@helper
def queued_at_all(st, g):
    queued = np.int64(0)
    for p in range(g, g + st.alike[g, ALIKE]):
        queued += st.reg[p, QUEUED]
    return queued


@helper
def present_at_one(st, g):
    return st.reg[g, POPULATION]


@helper
def present_at_all(st, g):
    present = np.int64(0)
    for p in range(g, g + st.alike[g, ALIKE]):
        present += st.reg[p, POPULATION]
    return present


load_of = either("alike", load_of_all, load_of_one)
queued_at = either("alike", queued_at_all, queued_at_one)
present_at = either("alike", present_at_all, present_at_one)


@helper
def room_in_blocks(st, g):
    return (full_blocks(st, st.reg[g, KV_TOKENS]) - 1) * st.cnum[BLOCK]


@helper
def room_in_tokens(st, g):
    return st.reg[g, KV_TOKENS]


room_of = either("crep", room_in_blocks, room_in_tokens)


@helper
def only_pool(st, g, q):
    return g


@helper
def one_of_all(st, g, q):
    """Of the pools that g is the first of, the one for request q: of those that can hold it at all the least loaded,
    or the first with a place."""
    last, tokens = g + st.alike[g, ALIKE], st.req[q, PROMPT] + st.req[q, OUTPUT]
    fits = False
    for p in range(g, last):
        fits = fits or tokens <= room_of(st, p)
    best, least = g, np.inf
    for p in range(g, last):
        if fits and tokens > room_of(st, p):
            continue
        if st.alike[p, IN_ORDER] != 0 and st.reg[p, POPULATION] < places_of(st, p):
            return p
        load = load_of_one(st, p)
        if load < least:
            best, least = p, load
    return best


pool_for = either("alike", one_of_all, only_pool)


@helper
def the_first(st, q, first):
    return np.int64(0)


@helper
def its_own(st, q, first):
    return st.req[q, AT_REGION] - first


pool_of = either("alike", its_own, the_first)  # of request q, in a state of pools from number `first` on
