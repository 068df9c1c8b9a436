"""When each token of one replica comes: its steps one after another, to hold records against and to count gaps.

Records say when a request got its first and its last token. What lies between is seen only by carrying out every step,
as `twin` and `chunked_twin` do for any world; here it is done for one replica in which nobody waits for the cache, with
a heap of who finishes next instead of a look at everybody, so that tens of thousands of requests take seconds.
docs/model.md, section 4, to the letter, without a look at the engines' closed form.
"""

from collections import deque
from heapq import heappop, heappush
from math import floor
from typing import NamedTuple

import numpy as np

from glbdes.units import NS_PER_S
from glbdes.world import World


class Tokens(NamedTuple):
    """n: requests in order of their ids; g: gaps that are alike."""

    first_ns: np.ndarray  # [n]
    finish_ns: np.ndarray  # [n]
    gap_ns: np.ndarray  # [g] from a token of a request to its next one
    count: np.ndarray  # [g] how many tokens came so

    def gap_quantile_ns(self, q: float) -> int:
        """The gap that a share `q` of all gaps does not exceed."""
        order = np.argsort(self.gap_ns)
        upto = np.cumsum(self.count[order])
        return int(self.gap_ns[order][np.searchsorted(upto, q * upto[-1])])


class Held:
    """The requests of a run: who has come, who is held, and who has which token."""

    def __init__(self, world: World) -> None:
        requests = world.requests(0)
        self.arrival, self.prompt, self.output = (
            column.tolist() for column in (requests.arrival_ns, requests.prompt_tokens, requests.output_tokens)
        )
        self.most, self.block = int(world.fleet.max_batch[0]), 1 if world.steps is None else world.steps.block_tokens
        self.blocks = int(world.fleet.kv_tokens[0]) // self.block - (world.steps is not None)
        self.first, self.finish = [-1] * len(requests), [-1] * len(requests)
        self.gaps: list[tuple[int, int]] = []  # (nanoseconds, tokens)
        self.came = self.held = 0
        self.decoding: list[tuple[int, int]] = []  # a heap of (steps at which its last token comes, request)
        self.steps = 0  # that brought everybody who decodes a token
        self.context = 0  # tokens that the next of them reads
        self.begun, self.row_s = -1, 0.0  # of the row of steps in which nothing changes; -1: the next begins one

    @property
    def work(self) -> bool:
        return self.held > 0 or self.came < len(self.arrival)

    def somebody(self, now: int) -> bool:
        """Whether one more can be admitted."""
        return self.came < len(self.arrival) and self.arrival[self.came] <= now and self.held < self.most

    def admit(self) -> int:
        """Admit the next request: its number."""
        k = self.came
        self.came, self.held = k + 1, self.held + 1
        self.blocks -= self.size(k)
        assert self.blocks >= 0, "somebody would wait for the cache"
        return k

    def size(self, k: int) -> int:
        return -(-(self.prompt[k] + self.output[k]) // self.block)

    def leave(self, k: int, now: int) -> None:
        self.finish[k] = now
        self.held -= 1
        self.blocks += self.size(k)

    def row_end(self, now: int, seconds: float) -> int:
        """When a step without prompts ends that begins now."""
        if self.begun < 0:
            self.begun, self.row_s = now, 0.0
        self.row_s += seconds
        return self.begun + rounded(self.row_s)

    def prompt_ended(self, k: int, now: int) -> None:
        """Request k has its first token."""
        self.first[k] = now
        if self.output[k] == 1:
            self.leave(k, now)
        else:
            heappush(self.decoding, (self.steps + self.output[k] - 1, k))
            self.context += self.prompt[k] + 1

    def step_ended(self, now: int) -> None:
        """Everybody who decodes has a token."""
        self.steps += 1
        self.context += len(self.decoding)
        while self.decoding and self.decoding[0][0] == self.steps:
            _, k = heappop(self.decoding)
            self.context -= self.prompt[k] + self.output[k]
            self.begun = -1
            self.leave(k, now)

    def tokens(self) -> Tokens:
        gaps = np.array(self.gaps, dtype=np.int64).reshape(-1, 2)
        return Tokens(np.array(self.first), np.array(self.finish), gaps[:, 0], gaps[:, 1])


def replay(world: World) -> Tokens:
    """All tokens of the first slot of a world of one replica that is always awake, on a clock of 1 ns."""
    return _prompts_first(world) if world.steps is None else _in_chunks(world)


def rounded(seconds: float) -> int:
    return max(1, floor(seconds * NS_PER_S + 0.5))


def _prompts_first(world: World) -> Tokens:
    held, fleet = Held(world), world.fleet
    a, beta, gamma = float(fleet.a_s[0]), float(fleet.beta_s[0]), float(fleet.gamma_s[0])
    prompts: deque[int] = deque()
    now = iterated = prompted = -1  # iterated, prompted: when the last iteration and the last prefill ended
    fresh: list[int] = []  # first tokens since the last iteration ended, of those who decode
    while held.work:
        while held.somebody(now):
            prompts.append(held.admit())
        if prompts:
            k = prompts.popleft()
            table = fleet.chained_s if prompted == now else fleet.prefill_s
            now += rounded(float(table[0, held.prompt[k]]))
            held.begun, prompted = -1, now
            held.prompt_ended(k, now)
            if held.output[k] > 1:
                fresh.append(now)
        elif held.decoding:
            b = len(held.decoding)
            now = held.row_end(now, a + beta * b + gamma * held.context)
            held.gaps += [(now - first, 1) for first in fresh]
            if b > len(fresh):
                held.gaps.append((now - iterated, b - len(fresh)))
            fresh, iterated = [], now
            held.step_ended(now)
        else:
            now = held.arrival[held.came]
    return held.tokens()


def _in_chunks(world: World) -> Tokens:
    held, steps = Held(world), world.steps
    table, modes, (head, delta, eps) = steps.tokens_s[0].tolist(), steps.modes_s[0].tolist(), steps.each_s[0].tolist()
    assert steps.budget > held.most
    now = -1
    part: tuple[int, int] | None = None  # who has a part of its prompt computed, and how much
    while held.work:
        b = len(held.decoding)
        left, chunks = steps.budget - b, []
        while left > 0 and (part is not None or held.somebody(now)):
            k, done = part or (held.admit(), 0)
            chunk = min(held.prompt[k] - done, left)
            chunks.append((k, done, chunk))
            left -= chunk
            part = (k, done + chunk) if done + chunk < held.prompt[k] else None
        if b == 0 and not chunks:
            now = held.arrival[held.came]
            continue
        a, beta, gamma = modes[1 if chunks else 0]
        seconds = table[steps.budget - left] + head * (b + len(chunks)) + a + beta * b + gamma * held.context
        seconds += sum(delta * chunk * done + eps * chunk**2 for _, done, chunk in chunks)
        if chunks:
            held.begun = -1
        end = now + rounded(seconds) if chunks else held.row_end(now, seconds)
        if b:
            held.gaps.append((end - now, b))
        now = end
        held.step_ended(now)
        for k, done, chunk in chunks:
            if done + chunk == held.prompt[k]:
                held.prompt_ended(k, now)
    return held.tokens()
