"""What happens at a region, by the kind of its replicas: prompts first (`region`), or in chunks (`chunked_region`)."""

from glbdes.base.compiled import either, helper, kernel
from glbdes.engine.fast import awake, chunked, chunked_region, region
from glbdes.engine.fast.books import population_area, queue_area
from glbdes.engine.fast.replica import settle_replica
from glbdes.engine.fast.state import *  # noqa: F403


@helper
def nothing(st):
    return


@helper
def nothing_of(st, k):
    return


FIELD = "crep"  # a state has it where replicas schedule in chunks
arrive = either(FIELD, chunked_region.arrive, region.arrive, inline=True)
time_out = either(FIELD, chunked_region.time_out, region.time_out)
go_down = either(FIELD, chunked_region.go_down, region.go_down)
step = either(FIELD, chunked.step, region.step, inline=True)
settle_one = either(FIELD, chunked.settle, settle_replica)
keep_awake = either(FIELD, awake.tell, region.keep_awake)
compose_all = either(FIELD, chunked.compose_all, nothing, inline=True)
put_off = either(FIELD, chunked.put_off, nothing_of)


@kernel
def settle(st, now):
    """A slot ends: everything used so far is counted and charged."""
    for g in range(len(st.reg)):
        population_area(st, g, now)
        queue_area(st, g, now)
        for k in range(st.reg[g, FIRST], st.reg[g, LAST]):
            settle_one(st, g, k, now)


@kernel
def keep_all_awake(st, counts, now):
    """So many replicas of the regions, `counts` by number of region, are to be awake from now on."""
    for g in range(len(st.reg)):
        keep_awake(st, g, counts[st.reg[g, INDEX]], now)
