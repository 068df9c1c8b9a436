"""The brute-force twin of a chunk-scheduling replica: docs/model.md, "Steps in chunks", carried out literally.

Slow and obvious on purpose, and written without a look at the engines: a block of the cache is a record with the tokens
that it stands for, who uses it and when it was left last; whatever is asked of the cache is found by going through all
blocks. A request's tokens are names, so that two requests share a prefix where their names agree. One step after
another, no closed form.
"""

from dataclasses import dataclass, field


@dataclass(eq=False)
class Block:
    number: int
    left: int  # when its last user left it, as a count; the lowest is taken first
    tokens: tuple | None = None  # all tokens of its request up to its end, once it is full
    filled: int = 0  # when that happened, as a count
    users: list = field(default_factory=list)


@dataclass(eq=False)
class Asker:
    """A request: names of its known tokens, of which the first `done` are computed."""

    name: int
    prompt: tuple
    output: int
    tokens: list = field(default_factory=list)
    done: int = 0
    ready: bool = False  # it decodes
    mine: list = field(default_factory=list)
    preemptions: int = 0
    cached: int = 0
    started: bool = False
    answer: tuple = ()  # names of its tokens; without them they are its own

    def __post_init__(self):
        self.tokens = list(self.prompt)


@dataclass
class Seen:
    """What a step was: chunks as (request, tokens, computed before), who decoded, who was admitted and preempted."""

    chunks: list
    decoding: list
    admitted: list
    preempted: list
    context: int


class Replica:
    def __init__(self, max_batch, budget, blocks, block_tokens, whole_prompts=True):
        self.max_batch, self.budget, self.size, self.whole = max_batch, budget, block_tokens, whole_prompts
        self.blocks = [Block(number, left=number - blocks) for number in range(blocks)][1:]  # the first is reserved
        self.clock = 0
        self.inside: list[Asker] = []
        self.queue: list[Asker] = []

    def tick(self):
        self.clock += 1
        return self.clock

    def unused(self):
        return [block for block in self.blocks if not block.users]

    def hits(self, asker):
        """The longest run of full blocks, from the first on, that hold this request's tokens; never its last token."""
        found = []
        while (end := (len(found) + 1) * self.size) <= len(asker.tokens) - 1:
            wanted = tuple(asker.tokens[:end])
            same = [block for block in self.blocks if block.tokens == wanted]
            if not same:
                break
            found.append(min(same, key=lambda block: block.filled))
        return found

    def lacks(self, asker, upto):
        """How many blocks it lacks to hold `upto` tokens."""
        return max(0, (upto + self.size - 1) // self.size - len(asker.mine))

    def grab(self, asker, count):
        for _ in range(count):
            block = min(self.unused(), key=lambda one: one.left)
            block.tokens = None
            block.users = [asker]
            asker.mine.append(block)

    def leave(self, asker):
        for block in asker.mine[::-1]:
            block.users.remove(asker)
            if not block.users:
                block.left = self.tick()
        asker.mine = []

    def compute(self, seen, asker, count):
        self.grab(asker, self.lacks(asker, asker.done + count))
        if asker.ready:
            seen.decoding.append(asker.name)
            seen.context += asker.done + 1
        else:
            seen.chunks.append((asker.name, count, asker.done))
        for i, block in enumerate(asker.mine):
            end = (i + 1) * self.size
            if end <= asker.done + count and block.tokens is None:
                block.tokens, block.filled = tuple(asker.tokens[:end]), self.tick()
        return asker, count

    def step(self):
        """Put the next step together and carry it out. Returns what it was, who got a first token, who is finished."""
        seen, plan = self.compose()
        return seen, *self.carry_out(plan)

    def compose(self):
        """Put the next step together: what it is, and (request, tokens) of whom it computes."""
        seen, plan, left = Seen([], [], [], [], 0), [], self.budget
        for asker in list(self.inside):
            if asker not in self.inside or left == 0:
                continue
            count = min(len(asker.tokens) - asker.done, left)
            while asker in self.inside and self.lacks(asker, asker.done + count) > len(self.unused()):
                victim = self.inside.pop()
                self.leave(victim)
                victim.done, victim.ready = 0, False
                victim.preemptions += 1
                self.queue.insert(0, victim)
                seen.preempted.append(victim.name)
            if asker not in self.inside:
                break
            plan.append(self.compute(seen, asker, count))
            left -= count
        while not seen.preempted and self.queue and left > 0 and len(self.inside) < self.max_batch:
            asker = self.queue[0]
            hits = self.hits(asker)
            asker.done, asker.mine = len(hits) * self.size, list(hits)
            count = min(len(asker.tokens) - asker.done, left)
            lacking = self.lacks(asker, len(asker.tokens) if self.whole else asker.done + count)
            if lacking > len([block for block in self.unused() if block not in hits]):
                asker.done, asker.mine = 0, []
                break
            for block in hits:
                block.users.append(asker)
            if not asker.started:
                asker.started, asker.cached = True, asker.done
            self.inside.append(self.queue.pop(0))
            seen.admitted.append(asker.name)
            plan.append(self.compute(seen, asker, count))
            left -= count
        return seen, plan

    def carry_out(self, plan):
        """The step has ended. Returns who got a first token, and who is finished."""
        first, finished = [], []
        for asker, count in plan:
            asker.done += count
            asker.ready = asker.done == len(asker.tokens)
            if asker.ready:
                answered = len(asker.tokens) - len(asker.prompt)
                own = ("answer", asker.name, len(asker.tokens))
                asker.tokens.append(asker.answer[answered] if asker.answer else own)
                answered += 1
                if answered == 1:
                    first.append(asker.name)
                if answered == asker.output:
                    finished.append(asker.name)
                    self.inside.remove(asker)
                    self.leave(asker)
        return first, finished
