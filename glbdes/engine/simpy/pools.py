"""Pools of one model in one region of the SimPy engine (docs/model.md, "Pools and models").

Whoever dispatches sees them as one region, and it is the region that gives a request to one of them when it gets there.
"""

from collections.abc import Sequence
from typing import Final

from glbdes.engine.simpy.region import Region
from glbdes.engine.simpy.request import Request


class Alike:
    """All pools of one model in one region; mostly there is one."""

    def __init__(self, pools: Sequence[Region], in_order: bool) -> None:
        self.pools = pools
        self.in_order = in_order

    @property
    def up(self) -> bool:
        return self.pools[0].up

    @property
    def population(self) -> int:
        return sum(pool.population for pool in self.pools)

    def queued(self) -> int:
        return sum(len(pool.queue) for pool in self.pools)

    def load(self) -> float:
        """Requests per place of replicas that are to be awake, queued ones included."""
        places = sum(pool.awake * pool.pool.max_batch for pool in self.pools)
        return self.population / (places or sum(pool.pool.max_batch for pool in self.pools))

    def pool_for(self, request: Request) -> Region:
        """Of the pools that can hold `request` at all and have a replica awake, the one with the smallest load per
        place, the first of equals; in order, the first that has a place free, if any has.

        If no replica is awake, pools are looked at whose replicas wake up; if none does, all of them, as if one did.
        """
        if len(self.pools) == 1:
            return self.pools[0]
        tokens = request.prompt + request.output
        able = [pool for pool in self.pools if tokens <= pool.room_tokens] or self.pools
        for count in COUNTS:
            loads = {}
            for pool in able:
                places = count(pool) * pool.pool.max_batch
                if self.in_order and pool.population < places:
                    return pool
                if places > 0:
                    loads[pool] = pool.population / places
            if loads:
                return min(loads, key=loads.__getitem__)
        raise AssertionError("there is one of each pool at least")


COUNTS: Final = (Region.ready, lambda pool: pool.awake, lambda pool: 1)  # of replicas, in the order of preference


def alike(pools: Sequence[Region], first_of: Sequence[int], in_order: bool) -> list[Alike]:
    """By pool: those that it is the first of, `first_of` [r] having the first of each; else itself."""
    indices = range(len(pools))
    together = [[p for p in indices if first_of[p] == r] or [r] for r in indices]
    return [Alike([pools[p] for p in one], in_order) for one in together]
