"""A replica's scheduler against its brute-force twin, step by step; and its rules one by one."""

import numpy as np
import pytest

from glbdes.engine.simpy import scheduler as module
from glbdes.engine.simpy.blocks import Blocks
from glbdes.engine.simpy.scheduler import Job, Scheduler
from tests import chunked_twin

NEVER = 10**9


def world(seed: int) -> tuple[dict, list[tuple[int, tuple, int]]]:
    """A small replica and its requests (step of arrival, names of prompt tokens, output), with prefixes in common."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 6))
    longest = int(rng.integers(4, 60))
    batch = int(rng.integers(1, 7))
    replica = {
        "max_batch": batch,
        "budget": int(batch + rng.integers(0, 30)),
        "blocks": 1 + -(-longest // size) + int(rng.integers(0, 12)),
        "block_tokens": size,
        "whole_prompts": bool(rng.integers(2)),
    }
    requests, told = [], []
    for _ in range(int(rng.integers(3, 18))):
        prompt = int(rng.integers(1, longest))
        output = int(rng.integers(1, longest - prompt + 1))
        names = [(len(requests), i) for i in range(prompt)]
        if told and rng.random() < 0.5:  # it begins as another one does, or goes on where that one was
            other = told[rng.integers(len(told))]
            same = min(int(rng.integers(0, prompt + 1)), len(other))
            names[:same] = other[:same]
        told.append(names)
        requests.append((int(rng.integers(0, 40)), tuple(names), output))
    return replica, sorted(requests, key=lambda request: request[0])


def shared_contents(prompt: tuple, size: int) -> list[tuple]:
    return [prompt[:end] for end in range(size, len(prompt) + 1, size)]


def run_scheduler(replica: dict, requests: list) -> list:
    """What each step was, as the engine's scheduler has it."""
    size, scheduler = replica["block_tokens"], module.Scheduler(**replica)
    jobs = [Job(i, len(prompt), out, shared_contents(prompt, size)) for i, (_, prompt, out) in enumerate(requests)]
    found, came, clock = [], 0, 0
    while came < len(jobs) or scheduler.at_work:
        clock = clock if scheduler.at_work else max(clock, requests[came][0])
        while came < len(jobs) and requests[came][0] <= clock:
            scheduler.waiting.append(jobs[came])
            came += 1
        step = scheduler.compose()
        context, chunks = step.context, [(chunk.job.id, chunk.tokens, chunk.before) for chunk in step.chunks]
        names = [[job.id for job in jobs] for jobs in (step.decoding, step.admitted, step.preempted)]
        free = scheduler.cache.free
        finished = [job.id for job in scheduler.complete(step)]
        found.append((clock, chunks, *names, context, free, finished))
        clock += 1
    return [*found, [(job.preemptions, job.cached) for job in jobs]]


def run_twin(replica: dict, requests: list) -> list:
    """The same, as the twin has it."""
    twin = chunked_twin.Replica(**replica)
    askers = [chunked_twin.Asker(i, prompt, out) for i, (_, prompt, out) in enumerate(requests)]
    found, came, clock = [], 0, 0
    while came < len(askers) or twin.inside or twin.queue:
        clock = clock if twin.inside or twin.queue else max(clock, requests[came][0])
        while came < len(askers) and requests[came][0] <= clock:
            twin.queue.append(askers[came])
            came += 1
        free_after_compose: list[int] = []
        seen, _, finished = _watched(twin, free_after_compose)
        names = seen.decoding, seen.admitted, seen.preempted
        found.append((clock, seen.chunks, *names, seen.context, free_after_compose[0], finished))
        clock += 1
    return [*found, [(asker.preemptions, asker.cached) for asker in askers]]


def _watched(twin, free: list[int]):
    """A step of the twin, and the free blocks while it runs: those after it, less those of who finished in it."""
    leave, given = twin.leave, []

    def watched(asker):
        before = len(twin.unused())
        leave(asker)
        given.append((asker.name, len(twin.unused()) - before))

    twin.leave = watched
    try:
        seen, first, finished = twin.step()
    finally:
        twin.leave = leave
    free.append(len(twin.unused()) - sum(count for name, count in given if name in finished))
    return seen, first, finished


def disagreements(seeds) -> list[int]:
    return [seed for seed in seeds if run_scheduler(*world(seed)) != run_twin(*world(seed))]


def test_the_scheduler_and_its_twin_agree_on_every_step_of_400_worlds():
    assert disagreements(range(400)) == []


@pytest.mark.slow
def test_the_scheduler_and_its_twin_agree_on_every_step_of_2000_worlds():
    assert disagreements(range(400, 2400)) == []


def test_the_worlds_press_on_every_rule():
    """Preemptions, of the asker itself too; hits of own and of others' blocks; blocks in common; budgets that end."""
    told = {"preempted": 0, "self": 0, "own hits": 0, "hits": 0, "chunks of a prompt": 0, "full": 0}
    for seed in range(150):
        replica, requests = world(seed)
        *steps, ends = run_scheduler(replica, requests)
        told["hits"] += sum(cached > 0 for _, cached in ends)
        for _, chunks, decoding, admitted, preempted, _, _, _ in steps:
            told["preempted"] += len(preempted)
            told["self"] += len(preempted) > 0 and not chunks and len(decoding) == 1
            told["chunks of a prompt"] += any(tokens < len(requests[i][1]) for i, tokens, before in chunks if before)
            told["full"] += len(chunks) + len(decoding) == replica["max_batch"]
            told["own hits"] += sum(ends[i][0] > 0 and before > 0 for i, _, before in chunks if i in admitted)
    assert all(count > 40 for count in told.values()), told


# Every rule matters: with one of them changed, the twin disagrees


def _faults():
    def first_chunk(self, contents):  # hits: one block too many is looked for
        return blocks_found(self, contents)[:-1] if contents else []

    blocks_found = Blocks.found

    def front_first(self, blocks):
        for block in blocks:
            self.users[block] -= 1
            if self.users[block] == 0:
                self.unused[block] = None

    def keeps(self, block):
        return None

    def newest(self, contents):
        blocks = []
        for content in contents:
            places = self.places.get(content)
            if not places:
                break
            blocks.append(next(reversed(places)))
        return blocks

    def queue_last(self, job):
        preempt(self, job)
        self.waiting.rotate(-1)

    preempt = Scheduler._preempt

    def lose_content(self, job):
        mine = list(job.blocks)
        preempt(self, job)
        for block in mine:
            if self.cache.users[block] == 0:
                self.cache._forget(block)

    def always_admits(self):
        step = module.Step([], [], [], [], [])
        self._admit(step, self._run(step, self.budget))
        return step

    def first_comes_first(self, count):
        taken = [block for block, _ in zip(reversed(self.unused), range(count), strict=False)]
        for block in taken:
            del self.unused[block]
            self.users[block] = 1
            self._forget(block)
        return taken

    def unshared(self, found, new):
        return new <= self.free

    return [
        ("hits stop one block early", Blocks, "found", first_chunk),
        ("a request's first blocks are freed first", Blocks, "give_back", front_first),
        ("taken blocks keep their content", Blocks, "_forget", keeps),
        ("the newest of equal blocks is found", Blocks, "found", newest),
        ("a preempted request waits behind the others", Scheduler, "_preempt", queue_last),
        ("freed blocks lose their content", Scheduler, "_preempt", lose_content),
        ("a step that preempted admits", Scheduler, "compose", always_admits),
        ("the block freed last is taken first", Blocks, "take", first_comes_first),
        ("hits do not count against free blocks", Blocks, "fit", unshared),
    ]


@pytest.mark.parametrize(("what", "owner", "name", "fault"), _faults(), ids=[fault[0] for fault in _faults()])
def test_a_planted_fault_is_caught(what, owner, name, fault, monkeypatch):
    monkeypatch.setattr(owner, name, fault)

    def differs(seed: int) -> bool:
        try:
            return run_scheduler(*world(seed)) != run_twin(*world(seed))
        except (KeyError, ValueError, IndexError, AssertionError, StopIteration):
            return True

    assert any(differs(seed) for seed in range(400)), what


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("a larger budget", {"budget": NEVER}),
        ("no reserved block", {"blocks": 1}),
        ("admitted by the first chunk", {"whole_prompts": None}),
        ("one more request at a time", {"max_batch": 1}),
    ],
)
def test_every_number_of_the_replica_matters(what, change):
    def changed(replica: dict) -> dict:
        new = {
            key: (not replica[key]) if value is None else value if value == NEVER else replica[key] + value
            for key, value in change.items()
        }
        return {**replica, **new}

    worlds = map(world, range(100))
    assert any(run_scheduler(changed(replica), requests) != run_twin(replica, requests) for replica, requests in worlds)


# By hand


def test_a_prompt_is_computed_in_chunks_beside_those_who_decode():
    """Budget 6: five tokens of a prompt of 9 beside one decoding request, then the other four."""
    scheduler = Scheduler(max_batch=2, budget=6, blocks=100, block_tokens=4)
    first, second = Job(0, 3, 5), Job(1, 9, 5)
    scheduler.waiting.append(first)
    scheduler.complete(scheduler.compose())
    scheduler.waiting.append(second)
    step = scheduler.compose()
    assert (step.decoding, [chunk[1:] for chunk in step.chunks]) == ([first], [(5, 0)])
    assert (step.tokens, step.context, step.past, step.square) == (6, 4, 0, 25)
    scheduler.complete(step)
    step = scheduler.compose()
    assert [chunk[1:] for chunk in step.chunks] == [(4, 5)]
    assert (step.context, step.past) == (5, 20)
    scheduler.complete(step)
    assert second.generated == 1
    assert second.decoding


def test_a_second_request_finds_what_the_first_one_computes_in_the_same_step():
    """Blocks can be hit from the step on that computes them, and at most tokens - 1 of them."""
    scheduler = Scheduler(max_batch=4, budget=100, blocks=100, block_tokens=4)
    prompt = tuple(range(8))
    scheduler.waiting += [Job(i, 8, 2, shared_contents(prompt, 4)) for i in range(2)]
    step = scheduler.compose()
    assert [chunk[1:] for chunk in step.chunks] == [(8, 0), (4, 4)]
    assert [job.cached for job in step.jobs] == [0, 4]
