"""The brute-force twin of worlds whose replicas schedule in chunks: every step is put together and carried out.

What a step is made of comes from `chunked_twin.Replica`; clock, slots, dispatch and outages are those of `twin`. Steps
without chunks whose batch stays the same follow one another without rounding in between, as docs/model.md says:
such a row ends when a request is finished, with a step that preempted somebody, before one that does, and with the
step that is running when the head of those who wait becomes another one while there is a place. It also ends before a
step that fills the first block that this head had not found as the row began.
"""

from math import fsum

from glbdes.hardware.physics import REJECTED, SERVED, TIMED_OUT
from glbdes.world import Policy, World
from tests.chunked_twin import Asker
from tests.chunked_twin import Replica as Brain
from tests.twin import NEVER, Region, Replica, Request, Run, Visit, _Twin


def simulate(world: World, policy: Policy) -> Run:
    """Carry `world` out under `policy`, step by step."""
    return _ChunkedTwin(world, policy).run()


class _ChunkedTwin(_Twin):
    def __init__(self, world: World, policy: Policy) -> None:
        super().__init__(world, policy)
        self.queued: list[list[int]] = []  # [region, from, to] of every wait
        for r, region in enumerate(self.regions):
            for replica in region.replicas:
                self._fresh(r, replica)

    def _fresh(self, r: int, replica: Replica) -> None:
        steps, fleet = self.world.steps, self.fleet
        blocks = int(fleet.kv_tokens[r]) // steps.block_tokens
        brain = Brain(int(fleet.max_batch[r]), steps.budget, blocks, steps.block_tokens, steps.whole_prompts)
        replica.brain, replica.people, replica.epoch_s, replica.wanted = brain, {}, None, ()

    # Who waits -------------------------------------------------------------------------------------------------

    def _holds(self, r: int) -> int:
        size = self.world.steps.block_tokens
        return (int(self.fleet.kv_tokens[r]) // size - 1) * size

    def _present(self, r: int) -> int:
        return sum(len(replica.people) for replica in self.regions[r].replicas)

    def _region_arrival(self, request: Request) -> None:
        r = request.region = self._into_pool(request)
        region, fleet = self.regions[r], self.fleet
        region.arrived += 1
        self.meters[self.slot, self.part, r]["arrived"] += 1
        if not region.up:
            self._turn_away(request)
            return
        request.visit = Visit(request.request_id, r, self.now, admitted_ns=self.now)
        self.visits.append(request.visit)
        room = self._holds(r)
        sizes = [len(replica.people) for replica in region.replicas]
        asker = self._asker(request)
        ready = [i for i in range(len(sizes)) if region.takes(i)] or list(range(max(region.awake, 1)))
        if self.world.by_prefix:
            held = {i: len(region.replicas[i].brain.hits(asker)) for i in ready}
            ready = [i for i in ready if held[i] == max(held.values())]
        chosen = self._choose_replica(r, ready, sizes.__getitem__)
        crowded = sizes[chosen] >= int(fleet.max_batch[r]) and len(region.queue) >= int(fleet.max_queue[r])
        if request.prompt + request.output > room or crowded:
            self._end(request, REJECTED)
        elif self._deadline(request) <= self.now:
            self._end(request, TIMED_OUT)
        else:
            self._wait(request)
            request.replica = chosen
            if region.awake == 0:
                self._keep_awake(r, 1)
            replica = region.replicas[request.replica]
            replica.people[request.request_id] = (request, asker)
            replica.brain.queue.append(asker)
            if len(replica.brain.queue) == 1:
                self._new_head(replica)

    def _asker(self, request: Request) -> Asker:
        """Its tokens are called after the blocks that it has in common with others, and after itself."""
        size, prefixes = self.world.steps.block_tokens, self.world.prefixes
        blocks = [] if prefixes is None else prefixes.of(request.chain).tolist()
        own = (("own", request.request_id),) * (request.prompt + request.output)
        names = [("block", block) for block in blocks for _ in range(size)] + list(own)
        tokens = tuple((*name, i) for i, name in enumerate(names[: len(own)]))
        prompt, answer = tokens[: request.prompt], tokens[request.prompt :]
        return Asker(request.request_id, prompt, request.output, answer=answer)

    def _new_head(self, replica: Replica) -> None:
        """The next boundary ends a row of steps, if there is a place; one that falls on this instant is the next."""
        if len(replica.brain.inside) < replica.brain.max_batch:
            if replica.doing == "free":
                replica.epoch_s = None
            elif replica.doing == "decode":
                replica.stop = True

    def _has_work(self, replica: Replica) -> bool:
        return bool(replica.people)

    def _drain(self, r: int) -> None:
        """Who waits, waits at a replica."""

    def _served(self, replica: Replica) -> list[Request]:
        return [replica.people[asker.name][0] for asker, _ in replica.plan]

    def _deadline(self, request: Request) -> int:
        """Who has been scheduled once has all the patience in the world."""
        return NEVER if request.start_ns >= 0 else super()._deadline(request)

    def _wait(self, request: Request) -> None:
        r = request.region
        queue, meter = self.regions[r].queue, self.meters[self.slot, self.part, r]
        queue.append(request)
        meter["queue_max"] = max(int(meter["queue_max"]), len(queue))
        request.wait = [r, self.now, NEVER]
        self.queued.append(request.wait)

    def _no_longer(self, request: Request) -> None:
        self.regions[request.region].queue.remove(request)
        request.wait[2] = self.now

    def _timeouts(self, r: int) -> None:
        region = self.regions[r]
        for request in sorted(region.queue, key=lambda request: request.request_id):
            if self._deadline(request) == self.now:
                replica = region.replicas[request.replica]
                _, asker = replica.people.pop(request.request_id)
                was_head = replica.brain.queue[0] is asker
                replica.brain.queue.remove(asker)
                self._no_longer(request)
                self._end(request, TIMED_OUT)
                if was_head and replica.brain.queue:
                    self._new_head(replica)

    def _go_down(self, r: int) -> None:
        region: Region = self.regions[r]
        region.up = False
        homeless = []
        for replica in region.replicas:
            self._account(r, replica)
            if replica.ends_ns != NEVER and replica.doing not in ("wake", "rise"):
                self._charge_step(r, replica, (self.now - replica.begun_ns) / (replica.ends_ns - replica.begun_ns))
            homeless += [request for request, _ in replica.people.values()]
            self._fresh(r, replica)
            replica.doing, replica.ends_ns = "down", NEVER
        for request in list(region.queue):
            self._no_longer(request)
        for request in sorted(homeless, key=lambda request: request.request_id):
            self._turn_away(request)

    def _rest(self, r: int, replica: Replica) -> None:
        """Who is told to sleep forgets what its blocks hold."""
        super()._rest(r, replica)
        for block in replica.brain.blocks if replica.doing == "asleep" else ():
            block.tokens = None

    # Steps -----------------------------------------------------------------------------------------------------

    def _next_work(self, r: int, replica: Replica) -> None:
        brain = replica.brain
        if not replica.people:
            if replica.doing == "free":
                self._rest(r, replica)
            return
        self._account(r, replica)
        replica.begun_ns = self.now
        asleep = replica.doing == "idle" and self.now - replica.idle_ns >= int(self.fleet.sleep_after_ns[r])
        self.meters[self.slot, self.part, r]["wakes"] += asleep
        if asleep and int(self.fleet.wake_ns[r]) > 0:
            replica.doing, replica.ends_ns = "wake", self.now + int(self.fleet.wake_ns[r])
            return
        before = brain.clock
        seen, plan = brain.compose()
        replica.running_step, replica.plan, replica.stop = seen, plan, False
        for name in seen.preempted:
            self._wait(replica.people[name][0])
            replica.people[name][0].preemptions += 1
        for name, _, before in seen.chunks:
            if name in seen.admitted:
                replica.people[name][0].cached_tokens += before
        for name in seen.admitted:
            request = replica.people[name][0]
            self._no_longer(request)
            if request.start_ns < 0:
                request.start_ns = self.now
        replica.shares_s = self._costs(r, replica, "s")
        replica.shares_j = self._costs(r, replica, "j")
        seconds = sum(replica.shares_s.values())
        if seen.chunks:
            replica.doing, replica.ends_ns, replica.epoch_s = "prefill", self.now + self._on_clock(seconds), None
        else:
            if any(block.tokens == replica.wanted and block.filled > before for block in brain.blocks):
                replica.epoch_s = None
            if replica.epoch_s is None or seen.preempted:
                replica.epoch_ns, replica.epoch_s = self.now, 0.0
                replica.wanted = self._wanted(brain)
            replica.epoch_s += seconds
            replica.doing, replica.ends_ns = "decode", replica.epoch_ns + self._on_clock(replica.epoch_s)
        assert replica.ends_ns > self.now, "a step shorter than the clock's tick: the twin cannot order it"

    def _wanted(self, brain: Brain) -> tuple:
        """The tokens of the first block that the head of who waits looks for and does not find, if it has a place."""
        if not brain.queue or len(brain.inside) >= brain.max_batch:
            return ()
        head = brain.queue[0]
        end = (len(brain.hits(head)) + 1) * brain.size
        return tuple(head.tokens[:end]) if end < len(head.tokens) else ()

    def _costs(self, r: int, replica: Replica, unit: str) -> dict[int, float]:
        """What each request pays of the step, eq. 13 term by term, in seconds or in joules."""
        steps, profile = self.world.steps, int(self.fleet.profile[r])
        table = getattr(steps, f"tokens_{unit}")[profile]
        chunks = {name: (count, before) for name, count, before in replica.running_step.chunks}
        a, beta, gamma = getattr(steps, f"modes_{unit}")[profile][1 if chunks else 0]
        head, delta, eps = getattr(steps, f"each_{unit}")[profile]
        names = [asker.name for asker, _ in replica.plan]
        tokens = sum(count for _, count in replica.plan)
        costs = {}
        for asker, count in replica.plan:
            everybody = (table[1] + a) / len(names) + head
            mine = (table[tokens] - table[1]) * (count / tokens)
            if asker.name in chunks:
                _, before = chunks[asker.name]
                mine += delta * count * before + eps * count**2
            else:
                mine += beta + gamma * (asker.done + 1)
            costs[asker.name] = float(everybody + mine)
        return costs

    def _charge_step(self, r: int, replica: Replica, part: float) -> None:
        meter = "prefill_j" if replica.doing == "prefill" else "decode_j"
        self.meters[self.slot, self.part, r][meter] += part * fsum(replica.shares_j.values())
        for name, joules in replica.shares_j.items():
            self._charge(replica.people[name][0], r, part * joules)

    def _end_of_work(self, r: int, replica: Replica) -> None:
        self._account(r, replica)
        done, ended = replica.doing, replica.ends_ns
        assert ended == self.now
        if done not in ("wake", "rise"):
            self._charge_step(r, replica, 1.0)
        replica.doing, replica.ends_ns = "free", NEVER
        if done in ("wake", "rise"):
            if not replica.people:
                self._rest(r, replica)
            return
        first, finished = replica.brain.carry_out(replica.plan)
        for name in first:
            replica.people[name][0].first_token_ns = self.now
        for name in finished:
            request, _ = replica.people.pop(name)
            self._end(request, SERVED)
        if finished or replica.stop or replica.running_step.preempted:
            replica.epoch_s = None
        if not replica.people:
            self._rest(r, replica)

    # Afterwards ------------------------------------------------------------------------------------------------

    def _settle_visits(self) -> None:
        super()._settle_visits()
        for slot, part, begin, end in self._spans():
            for r, since, until in self.queued:
                self.meters[slot, part, r]["queue_area_ns"] += max(0, min(until, end) - max(since, begin))
