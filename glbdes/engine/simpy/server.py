"""One chunk-scheduling server on its own, step after step: what a served run of such a server is set against.

No regions, network or slots, and no clock but seconds: who arrives while a step runs waits for its end. A run of a
real server is predicted with it (`bench/vllm.py`), and the time of its host fitted to one (`glbdes.study.served`).
"""

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from glbdes.engine.simpy.scheduler import Job, Scheduler, Step
from glbdes.hardware.chunked import Cost
from glbdes.hardware.steps import step_cost

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Arrivals(NamedTuple):
    """Requests of a run in the order of arrival; arrays [n]."""

    arrival_s: Floats
    prompt_tokens: Ints
    output_tokens: Ints
    contents: Sequence[Sequence[Hashable]]  # of their first full blocks, where others may have the same; else nothing


class Course(NamedTuple):
    """A server's state as its steps begin; arrays [steps]."""

    begin_s: Floats
    running: Ints
    waiting: Ints
    kv_share: Floats  # of its blocks, used


class Outcome(NamedTuple):
    """What became of the requests [n], and of the server."""

    start_s: Floats  # first scheduled
    first_token_s: Floats
    finish_s: Floats
    cached_tokens: Ints
    preemptions: Ints
    course: Course


def seconds(cost: Cost, most_tokens: int) -> Callable[[Step], float]:
    """What steps of up to `most_tokens` take, by `cost`."""
    table = cost.of_tokens(np.arange(most_tokens + 1)).tolist()
    each = cost.head, cost.delta, cost.eps

    def of(step: Step) -> float:
        mode = cost.mixed if step.chunks else cost.decode
        work = len(step.jobs), len(step.decoding), step.context, step.past, step.square
        return float(step_cost(table[step.tokens], *work, mode, each))

    return of


def serve(
    requests: Arrivals, scheduler: Scheduler, step_s: Callable[[Step], float], first: int | None = None
) -> Outcome:
    """Serve `requests`, or stop when the `first` of them have ended; each must fit the cache on its own.

    Times of requests that have not come so far are NaN.
    """
    count = len(requests.arrival_s)
    lengths = requests.prompt_tokens.tolist(), requests.output_tokens.tolist()
    jobs = [Job(index, *job) for index, job in enumerate(zip(*lengths, requests.contents, strict=True))]
    arrival_s = requests.arrival_s.tolist()
    start_s, first_s, finish_s = (np.full(count, np.nan) for _ in range(3))
    course, now_s, came = [], 0.0, 0
    left = count if first is None else first
    while left > 0:
        if not scheduler.at_work:
            now_s = max(now_s, arrival_s[came])
        while came < count and arrival_s[came] <= now_s:
            scheduler.waiting.append(jobs[came])
            came += 1
        step = scheduler.compose()
        for job in step.admitted:
            if job.preemptions == 0:
                start_s[job.id] = now_s
        cache = scheduler.cache
        course.append((now_s, len(scheduler.running), len(scheduler.waiting), 1.0 - cache.free / cache.room))
        now_s += step_s(step)
        finished = scheduler.complete(step)
        for chunk in step.chunks:
            if chunk.job.generated == 1:
                first_s[chunk.job.id] = now_s
        for job in finished:
            finish_s[job.id] = now_s
            left -= first is None or job.id < first
    return Outcome(
        start_s,
        first_s,
        finish_s,
        np.array([job.cached for job in jobs], dtype=np.int64),
        np.array([job.preemptions for job in jobs], dtype=np.int64),
        Course(*(np.array(column) for column in zip(*course, strict=True))),
    )
