"""How a replica puts its steps together, as vLLM V1 schedules (docs/model.md, "Steps in chunks"). It knows no time.

A step gives every running request its next tokens, oldest admission first, and then admits waiting ones as long as the
budget of tokens lasts. Blocks of the KV cache are taken as they are needed; where there is none, the request that was
admitted last is preempted: it loses its blocks, goes back to the head of the waiting ones, and computes all it knows
anew, its own answer so far included, but for what it still finds in the cache.
"""

from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

from glbdes.engine.simpy.blocks import Blocks


class Job:
    """A request as a replica sees it: `known` tokens, of which so many are `computed` and held in `blocks`.

    `shared`: contents of its first full blocks that other requests may have too, if any; all others are its own.
    """

    __slots__ = (
        "blocks",
        "cached",
        "computed",
        "decoding",
        "filled",
        "id",
        "known",
        "output",
        "preemptions",
        "prompt",
        "shared",
    )

    def __init__(self, id: int, prompt: int, output: int, shared: Sequence[Hashable] = ()) -> None:
        self.id = id
        self.prompt = prompt
        self.output = output
        self.shared = shared
        self.known = prompt
        self.computed = 0
        self.decoding = False  # everything known but the last token is computed, and was so before this step
        self.blocks: list[int] = []
        self.filled = 0  # of its blocks
        self.cached = 0  # tokens that it did not have to compute, found when it was admitted first
        self.preemptions = 0

    @property
    def generated(self) -> int:
        return self.known - self.prompt

    def content(self, index: int) -> Hashable:
        """Of its block number `index`."""
        return self.shared[index] if index < len(self.shared) else (self.id, index)


class Chunk(NamedTuple):
    """Prompt tokens of one request in one step, behind those computed `before`."""

    job: Job
    tokens: int
    before: int


class Step(NamedTuple):
    """One forward pass."""

    jobs: list[Job]  # that it computes tokens of: running ones by admission, then those that it admits
    chunks: list[Chunk]
    decoding: list[Job]
    admitted: list[Job]  # by this step, again or for the first time
    preempted: list[Job]

    @property
    def tokens(self) -> int:
        """That it computes."""
        return sum(chunk.tokens for chunk in self.chunks) + len(self.decoding)

    @property
    def context(self) -> int:
        """Tokens of the decoding requests, their new ones included."""
        return sum(job.known for job in self.decoding)

    @property
    def past(self) -> int:
        """The sum of c_i k_i over its chunks."""
        return sum(chunk.tokens * chunk.before for chunk in self.chunks)

    @property
    def square(self) -> int:
        """The sum of c_i^2 over its chunks."""
        return sum(chunk.tokens * chunk.tokens for chunk in self.chunks)


class Scheduler:
    """The requests of one replica, those that run in the order of their admission."""

    def __init__(self, max_batch: int, budget: int, blocks: int, block_tokens: int, whole_prompts: bool = True) -> None:
        """`blocks` of the KV cache; one of them is reserved and never used.

        `whole_prompts`: a waiting request is admitted if there are blocks for all that it knows, and not only for its
        first chunk (vLLM's scheduler_reserve_full_isl).
        """
        self.max_batch = max_batch
        self.budget = budget
        self.block_tokens = block_tokens
        self.whole_prompts = whole_prompts
        self.cache = Blocks(blocks - 1)
        self.running: list[Job] = []
        self.waiting: deque[Job] = deque()

    @property
    def at_work(self) -> bool:
        return bool(self.running or self.waiting)

    def compose(self) -> Step:
        """Put the next step together. Somebody must be there."""
        step = Step([], [], [], [], [])
        left = self._run(step, self.budget)
        if not step.preempted:
            self._admit(step, left)
        return step

    def repeats(self, step: Step) -> int:
        """How often `step` can be taken in a row, if nobody comes: without chunks and preemption, until the first
        request is finished or blocks do not suffice. Nobody could be admitted meanwhile, for blocks only get fewer;
        unless somebody fills one that the head of the waiting ones looks for.
        """
        if step.chunks or step.preempted:
            return 1
        least, most = 1, min(job.output - job.generated for job in step.decoding)
        if self.waiting and len(self.running) < self.max_batch:
            most = min([most, *self._fillings(step, self.waiting[0])])

        def lacking(count: int) -> int:
            return sum(self._missing(job, count) for job in step.decoding)

        while least < most:
            middle = (least + most + 1) // 2
            if lacking(middle) <= self.cache.free:
                least = middle
            else:
                most = middle - 1
        return least

    def _fillings(self, step: Step, head: Job) -> Iterator[int]:
        """After how many steps like `step` the next one fills the first block that `head` looks for in vain."""
        found = len(self.hits(head))
        if found < min((head.known - 1) // self.block_tokens, len(head.shared)):
            for job in step.decoding:
                if job.content(found) == head.content(found):
                    yield (found + 1) * self.block_tokens - job.computed - 1

    def forget(self) -> None:
        """The cache is lost. Nobody is there."""
        self.cache = Blocks(self.cache.room)

    def reach(self, step: Step, begun: int) -> None:
        """So many steps of the row that began with `step` have begun: their blocks are taken, and filled."""
        for job in step.decoding:
            self._hold(job, begun)

    def hits(self, job: Job) -> list[int]:
        """The blocks that `job` would find: whole ones, of all that it knows but its last token."""
        return self.cache.found([job.content(index) for index in range((job.known - 1) // self.block_tokens)])

    def complete(self, step: Step, times: int = 1) -> list[Job]:
        """The step has ended, taken so many `times` in a row: its tokens are computed, who knew no more gets new ones.

        Returns who is finished.
        """
        for chunk in step.chunks:
            chunk.job.computed += chunk.tokens
        for job in step.decoding:
            if times > 1:
                job.known += times - 1
                self._hold(job, times)
            job.computed += times
        finished = []
        for job in step.jobs:
            job.decoding = job.computed == job.known
            if job.decoding:
                job.known += 1
                if job.generated == job.output:
                    finished.append(job)
        for job in finished:
            self.running.remove(job)
            self.cache.give_back(job.blocks)
        return finished

    def _run(self, step: Step, left: int) -> int:
        """Running requests get their tokens. Returns what is left of the budget."""
        index = 0
        while index < len(self.running) and left > 0:
            job = self.running[index]
            tokens = min(job.known - job.computed, left)
            while self._missing(job, tokens) > self.cache.free:
                last = self.running.pop()
                self._preempt(last)
                step.preempted.append(last)
                if last is job:
                    return left
            self._schedule(step, job, tokens)
            left -= tokens
            index += 1
        return left

    def _admit(self, step: Step, left: int) -> None:
        """Waiting requests are admitted from the head, while there is room for them."""
        while self.waiting and left > 0 and len(self.running) < self.max_batch:
            job = self.waiting[0]
            found = self.hits(job)
            job.computed = len(found) * self.block_tokens
            job.blocks = found
            tokens = min(job.known - job.computed, left)
            needed = job.known - job.computed if self.whole_prompts else tokens
            if not self.cache.fit(found, self._missing(job, needed)):
                job.computed, job.blocks = 0, []
                return
            self.waiting.popleft()
            self.cache.share(found)
            job.filled = len(found)
            if job.preemptions == 0:
                job.cached = job.computed
            self.running.append(job)
            step.admitted.append(job)
            self._schedule(step, job, tokens)
            left -= tokens

    def _missing(self, job: Job, tokens: int) -> int:
        """Blocks that `job` needs beyond its own to compute `tokens` more."""
        return -(-(job.computed + tokens) // self.block_tokens) - len(job.blocks)

    def _schedule(self, step: Step, job: Job, tokens: int) -> None:
        """`job` computes `tokens` in this step; a block that this fills can be found from now on."""
        self._hold(job, tokens)
        step.jobs.append(job)
        if job.decoding:
            step.decoding.append(job)
        else:
            step.chunks.append(Chunk(job, tokens, job.computed))

    def _hold(self, job: Job, tokens: int) -> None:
        """`job` has the blocks for so many more tokens, and fills them."""
        missing = self._missing(job, tokens)
        if missing > 0:
            job.blocks += self.cache.take(missing)
        while (job.filled + 1) * self.block_tokens <= job.computed + tokens:
            self.cache.fill(job.blocks[job.filled], job.content(job.filled))
            job.filled += 1

    def _preempt(self, job: Job) -> None:
        self.cache.give_back(job.blocks)
        job.blocks = []
        job.filled = job.computed = 0
        job.decoding = False
        job.preemptions += 1
        self.waiting.appendleft(job)
