"""A replica of the SimPy engine: continuous batching, and what it costs (docs/model.md, sections 4 and 5).

A replica has one event ahead of it: the moment when its batch changes next.
"""

from collections import deque
from heapq import heappop, heappush
from typing import Protocol

from simpy import Environment, Event

from glbdes.engine.simpy.meter import Meter
from glbdes.engine.simpy.pool import Pool
from glbdes.engine.simpy.request import Happening, Request, order_key
from glbdes.hardware import physics

# What a replica is doing. WAKING: for a request that it has; RISING: since it was told to; ASLEEP: told to.
IDLE, WAKING, PREFILL, DECODE, BETWEEN, DOWN, ASLEEP, RISING = range(8)


class Owner(Protocol):
    """Who keeps a replica's books and has work for it."""

    meter: Meter  # of the running slot

    def charge(self, request: Request, joules: float) -> None: ...

    def served(self, request: Request, now: int) -> None: ...

    def drain(self, now: int) -> None: ...


class Replica:
    """One model server: prefill first, one prompt at a time, else decode iterations of the whole batch."""

    __slots__ = (
        "active",
        "context",
        "counted",
        "env",
        "epoch_b",
        "epoch_k0",
        "epoch_ns",
        "held",
        "idle_ns",
        "index",
        "iterations",
        "kv_free",
        "next_event",
        "order",
        "owner",
        "planned",
        "pool",
        "prompted_ns",
        "shared_j",
        "since_ns",
        "state",
        "waiting",
        "wanted",
    )

    def __init__(self, env: Environment, pool: Pool, owner: Owner, index: int) -> None:
        self.env = env
        self.pool = pool
        self.owner = owner
        self.index = index
        self.order = order_key(physics.REPLICA, pool.region, index)
        self.since_ns = 0
        self.wanted = True  # to be awake
        self.reset(IDLE, 0)

    def reset(self, state: int, now: int) -> None:
        """Empty, and in `state`."""
        self.waiting: deque[Request] = deque()  # admitted, no first token yet
        self.active: list[tuple[int, int, Request]] = []  # a heap of (target, id, request)
        self.held = 0  # requests admitted
        self.kv_free = self.pool.kv_tokens
        self.context = 0  # tokens that the next iteration reads
        self.prompted_ns = -1  # when its last prefill ended
        self.rest(state, now)

    def rest(self, state: int, now: int) -> None:
        """Nothing to do from `now` on. The counters restart, so that they stay exact however long the run."""
        self.state = state
        self.idle_ns = now
        self.next_event: Event | None = None
        self.iterations = 0  # N: iterations ended and counted
        self.shared_j = 0.0  # A: the sum of e0/b over them

    def admit(self, request: Request, now: int) -> None:
        """Take in a request; its prefill begins now, or at the next iteration boundary, or after other prefills."""
        self.held += 1
        self.kv_free -= request.prompt + request.output
        request.replica = self.index
        self.waiting.append(request)
        if self.state == DECODE:
            if len(self.waiting) == 1:
                self.stop_at_boundary(now)
        elif self.state == IDLE:
            self.wake(now)

    @property
    def accepts(self) -> bool:
        """Whether it is given requests."""
        return self.wanted and self.state != RISING

    def stay_awake(self, now: int) -> None:
        """It is to be awake from now on: one that sleeps takes its time."""
        self.wanted = True
        if self.state == ASLEEP:
            self.spend(now)
            self.owner.meter.wakes += 1
            if self.pool.wake_ns > 0:
                self.state = RISING
                self.idle_ns = now
                self.schedule(now + self.pool.wake_ns)
            else:
                self.rest(IDLE, now)

    def go_to_sleep(self, now: int) -> None:
        """It gets no more requests, and sleeps once it has none."""
        self.wanted = False
        if self.held == 0 and self.state in (IDLE, RISING):
            self.spend(now)
            self.rest(ASLEEP, now)

    def wake(self, now: int) -> None:
        """Begin the first work after a rest; a sleeper takes its time."""
        pool = self.pool
        asleep = now >= self.idle_ns + pool.sleep_after_ns
        self.spend(now)
        self.owner.meter.wakes += asleep
        if asleep and pool.wake_ns > 0:
            self.state = WAKING
            self.schedule(now + pool.wake_ns)
        else:
            self.begin(now)

    def begin(self, now: int) -> None:
        """Start what comes next: a prefill, an epoch of decoding, or a rest."""
        pool = self.pool
        if self.waiting:
            request = self.waiting[0]
            request.start_ns = now
            self.state = PREFILL
            self.epoch_ns = now
            self.schedule(now + self.prefill_ns(request))
        elif self.active:
            self.state = DECODE
            self.epoch_ns = now
            self.epoch_b = b = len(self.active)
            self.epoch_k0 = k0 = self.context
            self.counted = 0
            self.planned = n = self.active[0][0] - self.iterations
            self.schedule(now + physics.iterations_end_ns(n, b, k0, *pool.timing))
        else:
            self.rest(IDLE if self.wanted else ASLEEP, now)

    def schedule(self, at_ns: int) -> None:
        """The next step happens at `at_ns`, and no other."""
        self.next_event = Happening(self.env, at_ns, self.order, self.step)

    def stop_at_boundary(self, now: int) -> None:
        """End the epoch at the first iteration boundary at or after `now`, to let a prefill in."""
        timing = self.pool.timing
        elapsed = now - self.epoch_ns
        n = physics.iterations_ended(elapsed, self.planned, self.epoch_b, self.epoch_k0, *timing)
        if n == self.planned:
            return
        end = physics.iterations_end_ns(n, self.epoch_b, self.epoch_k0, *timing)
        if end == elapsed:
            self.spend(now)
            self.count(n)
            self.begin(now)
            return
        if n + 1 < self.planned:
            self.planned = n + 1
            self.schedule(self.epoch_ns + physics.iterations_end_ns(n + 1, self.epoch_b, self.epoch_k0, *timing))

    def step(self, event: Event) -> None:
        """A wake-up, prefill or epoch ends: first tokens, finishes, and then the next piece of work."""
        if event is not self.next_event:
            return
        now: int = self.env._now  # type: ignore[assignment]
        self.spend(now)
        held = self.held + (self.state == RISING)  # one that has risen takes from the queue, too
        if self.state == PREFILL:
            self.end_prefill(now)
        elif self.state == DECODE:
            self.count(self.planned)
            while self.active and self.active[0][0] == self.iterations:
                self.finish(heappop(self.active)[2], now)
        self.state = BETWEEN  # what is admitted from the queue now, begins below
        if self.held < held:
            self.owner.drain(now)
        self.begin(now)

    def prefill_ns(self, request: Request) -> int:
        """What the prefill that began at `epoch_ns` takes: longer, where another one ended at that instant."""
        chained = self.epoch_ns == self.prompted_ns
        table = self.pool.chained_ns if chained else self.pool.prefill_ns
        return int(table[request.prompt])

    def end_prefill(self, now: int) -> None:
        """The first token; the request joins the batch unless it was also the last."""
        request = self.waiting.popleft()
        request.first_token_ns = self.prompted_ns = now
        joules = self.pool.prefill_j[request.prompt]
        self.owner.meter.prefill_j += joules
        request.owed_j += joules
        request.decoded = 0
        request.shared_at_j = self.shared_j
        request.target = target = self.iterations + request.output - 1
        self.context += request.prompt + 1
        if request.output > 1:
            heappush(self.active, (target, request.id, request))
        else:
            self.finish(request, now)

    def finish(self, request: Request, now: int) -> None:
        """The last token."""
        self.release(request)
        self.owner.served(request, now)

    def release(self, request: Request) -> None:
        """Charge a request for what it used since the last settlement, and give its place back."""
        self.bill(request)
        self.held -= 1
        self.kv_free += request.prompt + request.output
        self.context -= request.prompt + 1 + request.decoded

    def bill(self, request: Request) -> None:
        """Charge an active request for its iterations since the last bill (eq. 5), and for what it owes besides."""
        pool = self.pool
        upto = self.iterations - request.target + request.output - 1
        shared_j = self.shared_j - request.shared_at_j
        e1, e2 = pool.e1_j, pool.e2_j
        joules = physics.request_iterations_j(shared_j, request.decoded, upto, request.prompt, e1, e2)
        request.decoded = upto
        request.shared_at_j = self.shared_j
        self.owner.charge(request, request.owed_j + joules)
        request.owed_j = 0.0

    def count(self, n: int) -> None:
        """Count the epoch's iterations up to the n-th, on the region's meter (eq. 4) and for the batch (N, A)."""
        new = n - self.counted
        if new == 0:
            return
        pool, b = self.pool, self.epoch_b
        k0 = self.epoch_k0 + b * self.counted
        self.owner.meter.decode_j += physics.iterations_j(new, b, k0, pool.e0_j, pool.e1_j, pool.e2_j)
        self.counted = n
        self.iterations += new
        self.shared_j += new * (pool.e0_j / b)
        self.context += new * b

    def spend(self, now: int) -> None:
        """Put the time since the last call on the meter, by what the replica did. The horizon ends idle time."""
        pool = self.pool
        meter, state, since = self.owner.meter, self.state, self.since_ns
        self.since_ns = now
        if state == DECODE:
            meter.decode_ns += now - since
        elif state == PREFILL:
            meter.prefill_ns += now - since
        if since >= pool.horizon_ns or state == BETWEEN:
            return
        until = min(now, pool.horizon_ns)
        if state in (DECODE, PREFILL):
            self.share_host(until - since)
        elif state == DOWN:
            meter.down_ns += until - since
        else:
            awake_to = since
            if state != ASLEEP:
                sleep_after_ns = pool.sleep_after_ns if state == IDLE else physics.NEVER_NS
                awake_to = physics.awake_until(self.idle_ns, since, until, sleep_after_ns)
            meter.idle_ns += until - since
            meter.asleep_ns += until - awake_to
            meter.idle_j += physics.power_j(pool.idle_w, awake_to - since)
            meter.sleep_j += physics.power_j(pool.sleep_w, until - awake_to)

    def share_host(self, span_ns: int) -> None:
        """Who is worked for during `span_ns` shares what the host draws (eq. 16), where requests pay for it."""
        host_w = self.pool.charged_host_w
        if host_w == 0.0:
            return
        if self.state == PREFILL:
            self.waiting[0].owed_j += physics.host_share_j(host_w, span_ns, 1)
        else:
            self.shared_j += physics.host_share_j(host_w, span_ns, self.epoch_b)

    def settle(self, now: int) -> None:
        """A slot ends: everything used so far is counted and charged."""
        self.spend(now)
        if self.state == DECODE:
            elapsed = now - self.epoch_ns
            timing = self.pool.timing
            self.count(physics.iterations_ended(elapsed, self.planned, self.epoch_b, self.epoch_k0, *timing))
        elif self.state == PREFILL and self.pool.charged_host_w > 0.0:
            self.owner.charge(self.waiting[0], self.waiting[0].owed_j)
            self.waiting[0].owed_j = 0.0
        for _, _, request in self.active:
            self.bill(request)

    def go_down(self, now: int) -> list[Request]:
        """Lose all work; an interrupted prefill or iteration is charged in proportion. Returns who was here."""
        self.settle(now)
        if self.state == PREFILL:
            self.lose_prefill(now)
        elif self.state == DECODE:
            self.lose_iteration(now)
        evicted = [*self.waiting, *(request for _, _, request in self.active)]
        self.reset(DOWN, now)
        return evicted

    def lose_prefill(self, now: int) -> None:
        request = self.waiting[0]
        done = (now - self.epoch_ns) / self.prefill_ns(request)
        joules = done * self.pool.prefill_j[request.prompt]
        self.owner.meter.prefill_j += joules
        self.owner.charge(request, joules)

    def lose_iteration(self, now: int) -> None:
        pool, b = self.pool, self.epoch_b
        begun = physics.iterations_end_ns(self.counted, b, self.epoch_k0, *pool.timing)
        ends = physics.iterations_end_ns(self.counted + 1, b, self.epoch_k0, *pool.timing)
        if ends == begun:
            return
        done = (now - self.epoch_ns - begun) / (ends - begun)
        self.owner.meter.decode_j += done * physics.iterations_j(1, b, self.context, pool.e0_j, pool.e1_j, pool.e2_j)
        for _, _, request in self.active:
            shared_j = pool.e0_j / b
            own = request.decoded
            joules = physics.request_iterations_j(shared_j, own, own + 1, request.prompt, pool.e1_j, pool.e2_j)
            self.owner.charge(request, done * joules)
