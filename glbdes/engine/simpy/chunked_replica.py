"""Replicas of the SimPy engine that schedule in chunks (docs/model.md, "Steps in chunks").

What a step is made of is the scheduler's; here is when steps begin and end, and who pays for them. A replica has one
event ahead of it: the end of a step with chunks, or of a row of steps without, whose batch stays the same.
"""

from typing import Protocol

from simpy import Environment, Event

from glbdes.engine.simpy.meter import Meter
from glbdes.engine.simpy.pool import Pool
from glbdes.engine.simpy.replica import ASLEEP, BETWEEN, DECODE, DOWN, IDLE, PREFILL, Replica
from glbdes.engine.simpy.request import NONE, Happening, Request, order_key
from glbdes.engine.simpy.scheduler import Job, Step
from glbdes.engine.simpy.step_costs import Rules
from glbdes.hardware import physics


class ChunkedOwner(Protocol):
    """Who keeps a replica's books and counts who waits."""

    meter: Meter  # of the running slot
    rules: Rules

    def charge(self, request: Request, joules: float) -> None: ...

    def served(self, request: Request, now: int) -> None: ...

    def drain(self, now: int) -> None: ...

    def scheduled(self, request: Request, now: int) -> None: ...

    def preempted(self, request: Request, now: int) -> None: ...

    def contents(self, chain: int) -> list[int]: ...


class ChunkedReplica(Replica):
    """One model server that schedules as vLLM does.

    Its counters, for what decoding requests pay: N steps, A = the sum of shares, and for attention P = the sum of gamma
    and Q = the sum of gamma i over steps i = 1 .. N. A request that decodes with `known` tokens in step u + 1 pays for
    steps u + 1 .. v: A(v) - A(u) + (known - u - 1) (P(v) - P(u)) + Q(v) - Q(u).
    """

    __slots__ = ("attention_j", "compose_order", "jobs", "rising_j", "scheduler", "step_now")

    owner: ChunkedOwner

    def __init__(self, env: Environment, pool: Pool, owner: ChunkedOwner, index: int) -> None:
        self.compose_order = order_key(physics.STEP, pool.region, index)
        super().__init__(env, pool, owner, index)

    def reset(self, state: int, now: int) -> None:
        """Empty, its cache too, and in `state`."""
        self.scheduler = self.owner.rules.scheduler(self.pool)
        self.jobs: dict[int, tuple[Job, Request]] = {}
        self.held = 0
        self.rest(state, now)

    def rest(self, state: int, now: int) -> None:
        """Nothing to do from `now` on."""
        self.state = state
        self.idle_ns = now
        self.next_event: Happening | None = None
        if state == ASLEEP:
            self.scheduler.forget()
        self.forget()

    def forget(self) -> None:
        """All counters begin again; nobody decodes, or all have been billed."""
        self.iterations = 0
        self.shared_j = self.attention_j = self.rising_j = 0.0

    # Who waits

    def join(self, request: Request, now: int) -> None:
        """`request` waits here from now on."""
        scheduler = self.scheduler
        request.replica = self.index
        job = self.job(request)
        self.jobs[request.id] = job, request
        request.decoded = NONE
        self.held += 1
        scheduler.waiting.append(job)
        if self.state == IDLE:
            self.wake(now)
        elif len(scheduler.waiting) == 1:
            self.look_again(now)

    def job(self, request: Request) -> Job:
        return Job(request.id, request.prompt, request.output, self.owner.contents(request.chain))

    def prefix(self, request: Request, now: int) -> int:
        """How many blocks of `request` are in the cache now."""
        if self.state == DECODE:
            elapsed = now - self.epoch_ns
            n = physics.iterations_ended(elapsed, self.planned, self.epoch_b, self.epoch_k0, *self.row_timing())
            self.scheduler.reach(self.step_now, n if self.row_ns(n) == elapsed else n + 1)
        return len(self.scheduler.hits(self.job(request)))

    def give_up(self, request: Request, now: int) -> None:
        """`request`, which waits here, has no patience left; who stood behind it may fit where it did not."""
        job, _ = self.jobs.pop(request.id)
        self.held -= 1
        head = self.scheduler.waiting[0] is job
        self.scheduler.waiting.remove(job)
        if head and self.scheduler.waiting:
            self.look_again(now)

    def look_again(self, now: int) -> None:
        """The head of who waits is a new one: a row of steps ends at the next boundary, if there is a place for it."""
        if self.state == DECODE and len(self.scheduler.running) < self.pool.max_batch:
            self.stop_at_boundary(now)

    # Steps

    def begin(self, now: int) -> None:
        """The next step is put together when everything else of this instant has happened."""
        self.state = BETWEEN
        if self.env.peek() > now:  # it has
            self.compose(now)
        else:
            self.next_event = Happening(self.env, now, self.compose_order, self.instant_over)

    def instant_over(self, event: Event) -> None:
        if event is self.next_event:
            self.compose(self.env._now)  # type: ignore[arg-type]

    def compose(self, now: int) -> None:
        """A step, or a row of them, begins."""
        if not self.scheduler.at_work:
            self.rest(IDLE if self.wanted else ASLEEP, now)
            return
        self.step_now = step = self.scheduler.compose()
        for job in step.preempted:
            _, request = self.jobs[job.id]
            self.owe(request)
            request.decoded = NONE
            self.owner.preempted(request, now)
        for job in step.admitted:
            self.owner.scheduled(self.jobs[job.id][1], now)
        self.note(step)
        self.epoch_ns = now
        if step.chunks:
            self.state = PREFILL
            self.planned = physics.to_clock_ns(self.owner.rules.seconds.of(step), self.pool.timing[3])
            self.schedule(now + self.planned)
            return
        self.state = DECODE
        self.epoch_b, self.epoch_k0, self.counted = len(step.decoding), step.context, 0
        self.planned = n = self.scheduler.repeats(step)
        self.schedule(now + self.row_ns(n))

    def row_ns(self, n: int) -> int:
        """Clock time from the begin of a row of steps to the end of its n-th."""
        return physics.iterations_end_ns(n, self.epoch_b, self.epoch_k0, *self.row_timing())

    def row_timing(self) -> tuple[float, float, float, int]:
        """a, beta, gamma, clock of equations 2 and 3: beta b is in the constant."""
        seconds = self.owner.rules.seconds
        return seconds.constant[self.epoch_b], 0.0, seconds.decode[2], self.pool.timing[3]

    def stop_at_boundary(self, now: int) -> None:
        """End the row at the first boundary at or after `now`, for the next step may be another."""
        elapsed = now - self.epoch_ns
        n = physics.iterations_ended(elapsed, self.planned, self.epoch_b, self.epoch_k0, *self.row_timing())
        if n == self.planned:
            return
        if n > 0 and self.row_ns(n) == elapsed:
            self.spend(now)
            self.end_row(n, now)
            self.begin(now)
        elif n + 1 < self.planned:
            self.planned = n + 1
            self.schedule(self.epoch_ns + self.row_ns(n + 1))

    def step(self, event: Event) -> None:
        """A wake-up, a step or a row of steps ends."""
        if event is not self.next_event:
            return
        now: int = self.env._now  # type: ignore[assignment]
        self.spend(now)
        if self.state == PREFILL:
            self.end_mixed(now)
        elif self.state == DECODE:
            self.end_row(self.planned, now)
        if self.scheduler.at_work:
            self.begin(now)
        else:
            self.rest(IDLE if self.wanted else ASLEEP, now)

    def end_mixed(self, now: int) -> None:
        """A step with chunks has ended."""
        step, joules = self.step_now, self.owner.rules.joules
        self.owner.meter.prefill_j += joules.of(step)
        for chunk in step.chunks:
            self.jobs[chunk.job.id][1].owed_j += joules.chunk(step, chunk)
        if step.decoding:
            _, beta, gamma = joules.mixed
            self.iterations += 1
            self.shared_j += joules.share(step, 1) + beta
            self.attention_j += gamma
            self.rising_j += gamma * self.iterations
        finished = self.scheduler.complete(step)
        for chunk in step.chunks:
            if chunk.job.decoding:
                self.first_token(chunk.job, now)
        self.finish_all(finished, now)

    def end_row(self, n: int, now: int) -> None:
        """n steps without chunks have ended."""
        self.count(n)
        self.finish_all(self.scheduler.complete(self.step_now, n), now)

    def first_token(self, job: Job, now: int) -> None:
        """All that `job` knew is computed: it decodes from now on."""
        _, request = self.jobs[job.id]
        if request.first_token_ns == NONE:
            request.first_token_ns = now
        self.mark(request, job.known)

    def finish_all(self, finished: list[Job], now: int) -> None:
        for job in sorted(finished, key=lambda job: job.id):
            _, request = self.jobs.pop(job.id)
            self.bill(request)
            self.held -= 1
            self.owner.served(request, now)

    # Books

    def note(self, step: Step) -> None:
        """Count who was preempted, and what those admitted have found in the cache, for the requests' records."""
        for job in step.preempted:
            self.jobs[job.id][1].preemptions += 1
        for job in step.admitted:
            self.jobs[job.id][1].cached_tokens += job.computed

    def mark(self, request: Request, known: int) -> None:
        """`request` has paid for everything so far; its next step reads `known` tokens."""
        request.decoded = known
        request.target = self.iterations
        request.shared_at_j = self.shared_j
        request.attention_at_j = self.attention_j
        request.rising_at_j = self.rising_j

    def owe(self, request: Request) -> None:
        """`request` owes for its steps since the last time."""
        if request.decoded == NONE:
            return
        joules = self.shared_j - request.shared_at_j
        joules += (request.decoded - request.target - 1) * (self.attention_j - request.attention_at_j)
        joules += self.rising_j - request.rising_at_j
        request.owed_j += joules
        self.mark(request, request.decoded + self.iterations - request.target)

    def bill(self, request: Request) -> None:
        """Charge `request` for all that it owes."""
        self.owe(request)
        if request.owed_j > 0.0:
            self.owner.charge(request, request.owed_j)
        request.owed_j = 0.0

    def count(self, n: int) -> None:
        """Count the row's steps up to the n-th, on the region's meter and for who decodes."""
        new = n - self.counted
        if new == 0:
            return
        joules, b, counted = self.owner.rules.joules, self.epoch_b, self.counted
        gamma = joules.decode[2]
        k0 = self.epoch_k0 + b * counted
        self.owner.meter.decode_j += physics.iterations_j(new, b, k0, joules.constant[b], 0.0, gamma)
        self.shared_j += new * (joules.constant[b] / b)
        self.attention_j += new * gamma
        self.rising_j += gamma * (new * self.iterations + new * (new + 1) // 2)
        self.iterations += new
        self.counted = n

    def share_host(self, span_ns: int) -> None:
        """Who is in the steps of `span_ns` shares what the host draws (eq. 16), where requests pay for it."""
        host_w, step = self.pool.charged_host_w, self.step_now
        if host_w == 0.0:
            return
        share_j = physics.host_share_j(host_w, span_ns, len(step.jobs))
        if step.decoding:
            self.shared_j += share_j
        for chunk in step.chunks:
            self.jobs[chunk.job.id][1].owed_j += share_j

    def settle(self, now: int) -> None:
        """A slot ends: everything used so far is counted and charged."""
        self.spend(now)
        if self.state == DECODE:
            elapsed = now - self.epoch_ns
            ended = physics.iterations_ended(elapsed, self.planned, self.epoch_b, self.epoch_k0, *self.row_timing())
            self.count(ended)
        for job in (*self.scheduler.running, *self.scheduler.waiting):
            self.bill(self.jobs[job.id][1])
        self.forget()
        for job in self.scheduler.running:
            request = self.jobs[job.id][1]
            if request.decoded != NONE:
                self.mark(request, request.decoded)

    # Outages

    def go_down(self, now: int) -> list[Request]:
        """Lose all work and the cache; an interrupted step is charged in proportion. Returns who ran here.

        Who waits is in the region's queue.
        """
        self.settle(now)
        if self.state == PREFILL:
            self.lose_mixed((now - self.epoch_ns) / self.planned)
        elif self.state == DECODE:
            self.lose_decode(now)
        running = [self.jobs[job.id][1] for job in self.scheduler.running]
        self.reset(DOWN, now)
        return running

    def lose_mixed(self, done: float) -> None:
        step, joules = self.step_now, self.owner.rules.joules
        self.owner.meter.prefill_j += done * joules.of(step)
        chunks = {chunk.job.id: chunk for chunk in step.chunks}
        _, beta, gamma = joules.mixed
        for job in step.jobs:
            if job.id in chunks:
                own = joules.chunk(step, chunks[job.id])
            else:
                own = joules.share(step, 1) + beta + gamma * job.known
            self.owner.charge(self.jobs[job.id][1], done * own)

    def lose_decode(self, now: int) -> None:
        begun, ends = self.row_ns(self.counted), self.row_ns(self.counted + 1)
        if ends == begun:
            return
        joules, b, counted = self.owner.rules.joules, self.epoch_b, self.counted
        done = (now - self.epoch_ns - begun) / (ends - begun)
        constant, gamma = joules.constant[b], joules.decode[2]
        k = self.epoch_k0 + b * counted
        self.owner.meter.decode_j += done * physics.iterations_j(1, b, k, constant, 0.0, gamma)
        for job in self.step_now.decoding:
            self.owner.charge(self.jobs[job.id][1], done * (constant / b + gamma * (job.known + counted)))
