"""Pools of one model in one region of the compiled engine: which of them gets a request (docs/model.md, "Pools").

They stand side by side, and whoever dispatches knows the first of them only: `alike` of a state says how many they are.
Where no two are alike it is None, and kernels know nothing of all this.
"""

import numpy as np

from glbdes.base.compiled import either, helper
from glbdes.engine.fast.blocks import full_blocks
from glbdes.engine.fast.state import *  # noqa: F403


@helper
def load_of_one(st, g):
    return st.reg[g, POPULATION] / (max(st.reg[g, AWAKE], 1) * st.reg[g, MAX_BATCH])


@helper
def load_of_all(st, g):
    population, places, one_each = np.int64(0), np.int64(0), np.int64(0)
    for p in range(g, g + st.alike[g, ALIKE]):
        population += st.reg[p, POPULATION]
        places += st.reg[p, AWAKE] * st.reg[p, MAX_BATCH]
        one_each += st.reg[p, MAX_BATCH]
    return population / (places if places > 0 else one_each)


@helper
def present_at_one(st, g, column):
    return st.reg[g, column]


@helper
def present_at_all(st, g, column):
    present = np.int64(0)
    for p in range(g, g + st.alike[g, ALIKE]):
        present += st.reg[p, column]
    return present


FIELD = "alike"
load_of = either(FIELD, load_of_all, load_of_one)  # requests per place
present_at = either(FIELD, present_at_all, present_at_one)  # requests: `POPULATION`, or those `QUEUED`


@helper
def room_in_blocks(st, g):
    return (full_blocks(st, st.reg[g, KV_TOKENS]) - 1) * st.cnum[BLOCK]


@helper
def room_in_tokens(st, g):
    return st.reg[g, KV_TOKENS]


room_of = either("crep", room_in_blocks, room_in_tokens)


@helper
def itself(st, g, q):
    return g


@helper
def ready_of(st, g):
    """Replicas of pool g that are awake and take requests."""
    if st.alike[g, TOLD] == 0:
        return st.reg[g, AWAKE]
    ready, first = np.int64(0), st.reg[g, FIRST]
    for k in range(first, first + st.reg[g, AWAKE]):
        if st.rep[k, STATE] != RISING:
            ready += 1
    return ready


@helper
def one_of_all(st, g, q):
    """Of the pools that g is the first of, the one for request q: of those that can hold it at all and have a replica
    awake the least loaded, or the first with a place; else of those with replicas that wake up, else of all."""
    last, tokens = g + st.alike[g, ALIKE], st.req[q, PROMPT] + st.req[q, OUTPUT]
    fits = False
    for p in range(g, last):
        fits = fits or tokens <= room_of(st, p)
    best, least = g, np.inf
    for asked in range(3):
        for p in range(g, last):
            if fits and tokens > room_of(st, p):
                continue
            replicas = np.int64(1)
            if asked == 0:
                replicas = ready_of(st, p)
            elif asked == 1:
                replicas = st.reg[p, AWAKE]
            if replicas == 0:
                continue
            places = replicas * st.reg[p, MAX_BATCH]
            if st.alike[p, IN_ORDER] != 0 and st.reg[p, POPULATION] < places:
                return p
            load = st.reg[p, POPULATION] / places
            if load < least:
                best, least = p, load
        if least < np.inf:
            break
    return best


@helper
def the_first(st, q, first):
    return np.int64(0)


@helper
def its_own(st, q, first):
    return st.req[q, AT_REGION] - first


@helper
def where_sent(st, q):
    return st.req[q, AT_REGION]


@helper
def where_put(st, q):
    g = one_of_all(st, st.req[q, AT_REGION], q)
    st.req[q, AT_REGION] = g
    return g


pool_at = either(FIELD, where_put, where_sent)  # of request q, which gets there now, in a state of all pools
pool_for = either(FIELD, one_of_all, itself)
pool_of = either(FIELD, its_own, the_first)  # of request q, in a state of pools from number `first` on
