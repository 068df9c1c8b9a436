"""Replicas of the compiled engine that are told to be awake or asleep (docs/model.md, "Awake and asleep")."""

from glbdes.base.compiled import either, helper
from glbdes.engine.fast import chunked, replica
from glbdes.engine.fast.books import spend
from glbdes.engine.fast.order import gather, schedule
from glbdes.engine.fast.state import *  # noqa: F403

rest = either("crep", chunked.rest, replica.rest)


@helper
def tell(st, g, count, now):
    """So many replicas of region g are to be awake, and one at least if anybody waits. Returns whether it is more."""
    reg, rep = st.reg, st.rep
    before = reg[g, AWAKE]
    if reg[g, QUEUED] > 0 and count == 0:
        count = 1
    reg[g, AWAKE] = count
    for k in range(reg[g, FIRST] + before, reg[g, FIRST] + count):
        if rep[k, STATE] == ASLEEP:
            spend(st, g, k, now)
            st.met[g, WAKES] += 1
            if reg[g, WAKE_NS] > 0:
                rep[k, STATE], rep[k, BEGUN_NS] = RISING, now
                schedule(st, k, now + reg[g, WAKE_NS])
            else:
                rest(st, k, IDLE, now)
    for k in range(reg[g, FIRST] + count, reg[g, FIRST] + before):
        if rep[k, HELD] == 0 and (rep[k, STATE] == IDLE or rep[k, STATE] == RISING):
            spend(st, g, k, now)
            rest(st, k, ASLEEP, now)
    if count != before:
        gather(st, g)
    return count > before
