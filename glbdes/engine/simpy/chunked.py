"""Regions of the SimPy engine whose replicas schedule in chunks (docs/model.md, "Steps in chunks")."""

from simpy import Environment

from glbdes.engine.simpy.chunked_replica import ChunkedReplica
from glbdes.engine.simpy.region import Owner, Region
from glbdes.engine.simpy.request import NONE, Request
from glbdes.engine.simpy.step_costs import Rules
from glbdes.hardware import physics
from glbdes.world import World


class ChunkedRegion(Region):
    """Equal replicas, each with a queue of its own; `queue` has all who wait, at whatever replica."""

    def __init__(self, env: Environment, world: World, index: int, owner: Owner) -> None:
        super().__init__(env, world, index, owner)
        assert world.steps is not None
        self.prefixes = world.prefixes
        self.by_prefix = world.by_prefix
        self.rules = Rules(self.pool, world.steps, int(world.fleet.profile[index]))
        self.servers = [ChunkedReplica(env, self.pool, self, i) for i in range(self.pool.replicas)]
        self.replicas = [*self.servers]

    @property
    def room_tokens(self) -> int:
        return self.rules.room_tokens

    def arrive(self, request: Request, now: int) -> None:
        """A request reaches the region: it waits at the replica with the fewest requests, or is sent off."""
        self.meter.arrived += 1
        if not self.up:
            self.owner.turn_away(request, now)
            return
        if request.prompt + request.output > self.room_tokens:
            self.refuse(request, physics.REJECTED, now)
            return
        replica = self.taking(self.holding(request, now))
        if replica.held >= self.pool.max_batch and len(self.queue) >= self.max_queue:
            self.refuse(request, physics.REJECTED, now)
        elif request.arrival_ns + self.timeout_ns <= now:
            self.refuse(request, physics.TIMED_OUT, now)
        else:
            self.enqueue(request, now)
            replica.join(request, now)

    def holding(self, request: Request, now: int) -> list[ChunkedReplica]:
        """Replicas that a request may be given to: those that are awake, or wake up, or the first; by prefix, those of
        them that hold most of it."""
        ready = [one for one in self.servers if one.accepts] or self.servers[: max(self.awake, 1)]
        if not self.by_prefix:
            return ready
        hits = [one.prefix(request, now) for one in ready]
        return [one for one, count in zip(ready, hits, strict=True) if count == max(hits)]

    def taking(self, ready: list[ChunkedReplica]) -> ChunkedReplica:
        """The one of `ready` that the next request is given to."""
        best = self.choose([one for one in ready if one.held < self.pool.max_batch])
        return best or min(ready, key=lambda one: one.held)

    def choose(self, free: list[ChunkedReplica]) -> ChunkedReplica | None:
        """Of `free` replicas the fullest that holds less than it is packed to, or else the one with the fewest
        requests; of equals the one of lowest index."""
        below = [one for one in free if one.held < self.pool.pack]
        if below:
            return max(below, key=lambda one: one.held)
        return min(free, key=lambda one: one.held, default=None)

    def drain(self, now: int) -> None:
        """Nothing to do: who waits, waits at a replica."""

    def contents(self, chain: int) -> list[int]:
        """Of the first blocks of a request of `chain`."""
        return [] if self.prefixes is None else self.prefixes.of(chain).tolist()

    def time_out(self, request: Request, now: int) -> None:
        """A request that was never scheduled has waited enough; one that was preempted is served."""
        if request.start_ns != NONE:
            return
        self.count_queue(now)
        del self.queue[request.id]
        self.count_population(-1, now)
        self.refuse(request, physics.TIMED_OUT, now)
        self.servers[request.replica].give_up(request, now)

    def scheduled(self, request: Request, now: int) -> None:
        """`request` waits no longer."""
        self.count_queue(now)
        del self.queue[request.id]
        if request.start_ns == NONE:
            request.start_ns = now

    def preempted(self, request: Request, now: int) -> None:
        """`request` waits again."""
        self.count_queue(now)
        self.queue[request.id] = request
        self.meter.queue_max = max(self.meter.queue_max, len(self.queue))


def region_of(world: World) -> type[Region]:
    """Which regions `world` has."""
    return Region if world.steps is None else ChunkedRegion
