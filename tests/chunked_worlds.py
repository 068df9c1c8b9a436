"""Random small worlds whose replicas schedule in chunks: caches that are too small, budgets that end, ties."""

from dataclasses import replace

import numpy as np

from glbdes.hardware.step_tables import StepTables
from glbdes.units import NS_PER_S
from glbdes.workload import Requests
from glbdes.workload.prefixes import of_contents
from glbdes.world import World
from tests.random_worlds import FINE_TICK_NS, random_world

PLAIN = (71, 85)  # worlds whose requests share nothing


def make_steps(budget: int = 64, block_tokens: int = 4, whole_prompts: bool = True) -> StepTables:
    """Steps of one profile, of 10 ms and more."""
    tokens = np.arange(budget + 1.0)
    return StepTables(
        budget=budget,
        block_tokens=block_tokens,
        whole_prompts=whole_prompts,
        tokens_s=np.array([0.01 + 1e-4 * tokens]),
        tokens_j=np.array([3.0 + 0.02 * tokens]),
        modes_s=np.array([[[0.0, 2e-5, 1e-7], [5e-4, 4e-5, 3e-7]]]),
        modes_j=np.array([[[0.0, 0.01, 2e-5], [0.1, 0.02, 3e-5]]]),
        each_s=np.array([[1e-5, 4e-9, 2e-9]]),
        each_j=np.array([[1e-3, 2e-6, 1e-6]]),
    )


def chunked_world(seed: int, clock_ns: int = 1, pooled: bool = False) -> World:
    """World number `seed`: that of `random_world`, its replicas scheduling in chunks; if `pooled`, one whose requests
    belong to sessions and whose regions, where there are two, are pools of one model in one region."""
    world = random_world(seed, clock_ns, pooled=pooled)
    rng = np.random.default_rng([seed, clock_ns, 7])
    made = in_chunks(world, rng, clock_ns, int(rng.integers(1, 9)))
    alike = np.random.default_rng([seed, clock_ns, 8])  # apart: all else stays as it is
    if pooled:
        return in_sessions(made, alike)
    # Else not both sessions and pools of one model: that is kernels of their own, which take long to compile.
    plain = seed in PLAIN or made.first_of is not None
    return in_sessions(made, alike) if not plain and alike.random() < 0.6 else made


def parted_world(seed: int, clock_ns: int = 1) -> World:
    """World number `seed` with longer prompts, which are alike in parts of several blocks, as those of traces are."""
    rng = np.random.default_rng([seed, clock_ns, 9])
    size, part = int(rng.choice([1, 3, 16, 512])), int(rng.choice([1, 5, 32, 32, 64]))
    scale = max(size * part * int(rng.integers(1, 4)) // 20, 1)
    world = longer(random_world(seed, clock_ns), scale, min(size, 16) if rng.random() < 0.5 else 1)
    made = in_chunks(world, rng, clock_ns, size, scale)
    return made if made.first_of is not None else in_sessions(made, rng, part)


def longer(world: World, prompts: int, answers: int) -> World:
    """`world` with so many times as many tokens in prompts, or a little less, and in answers."""

    def requests(slot: int) -> Requests:
        old = world.requests(slot)
        less = np.random.default_rng([slot, prompts]).integers(0, prompts, len(old))
        return replace(old, prompt_tokens=old.prompt_tokens * prompts - less, output_tokens=old.output_tokens * answers)

    none = np.zeros((world.fleet.prefill_s.shape[0], 40 * prompts + 12 * answers + 1))
    return replace(world, requests=requests, fleet=world.fleet._replace(prefill_s=none, chained_s=none, prefill_j=none))


def in_chunks(world: World, rng: np.random.Generator, clock_ns: int, size: int, scale: int = 1) -> World:
    """`world`, whose replicas schedule in chunks, with blocks of `size` and `scale` times as many tokens as usual."""
    fleet = world.fleet
    tick_s = (clock_ns if clock_ns > 1 else FINE_TICK_NS) / NS_PER_S
    most = int(fleet.max_batch.max())
    budget = int(most + rng.integers(0, 40) * scale)
    longest = 54 * scale  # of a request in `random_world`
    spare = rng.integers(0, 40, world.regions) * scale if rng.random() < 0.8 else 2000 * scale
    kv_tokens = np.broadcast_to((-(-longest // size) + 1) * size + spare, world.regions).astype(np.int64)
    if rng.random() < 0.2:  # too small for some
        kv_tokens = np.maximum(kv_tokens // 2, 2 * size)
    profiles, pair = int(fleet.profile.max()) + 1, 1e-3 / scale**2

    def rising(first: float, slope: float) -> np.ndarray:
        rises = rng.uniform(0.0, slope, (profiles, budget))
        begin = rng.uniform(first, 2 * first, (profiles, 1))
        return np.concatenate([begin, begin, begin + np.cumsum(rises[:, 1:], axis=1)], axis=1)

    def modes(a: float, beta: float, gamma: float) -> np.ndarray:
        return rng.uniform(0.0, 1.0, (profiles, 2, 3)) * [a, beta, gamma / scale]

    steps = StepTables(
        budget=budget,
        block_tokens=size,
        whole_prompts=bool(rng.integers(2)),
        tokens_s=rising(1.05 * tick_s, 0.15 * tick_s / scale),
        tokens_j=rising(1.0, 0.1 / scale),
        modes_s=modes(0.5, 0.3, 0.02) * tick_s,
        modes_j=modes(0.5, 0.3, 0.01),
        each_s=rng.uniform(0.0, 1.0, (profiles, 3)) * [0.1 * tick_s, pair * tick_s, pair * tick_s],
        each_j=rng.uniform(0.0, 1.0, (profiles, 3)) * [0.1, pair, pair],
    )
    return replace(world, fleet=fleet._replace(kv_tokens=kv_tokens), steps=steps)


def in_sessions(world: World, rng: np.random.Generator, part: int = 1) -> World:
    """`world`, whose requests belong to sessions and begin as others do, or go on where they ended.

    They leave others where a part of so many blocks ends, and go on with one of their own.
    """
    slots = [world.requests(slot) for slot in range(world.slots)]
    prompt, output = (
        np.concatenate([getattr(one, f"{name}_tokens") for one in slots]) for name in ("prompt", "output")
    )
    n, size = len(prompt), world.steps.block_tokens
    chains: list[list[int]] = []
    session, fresh = np.full(n, -1), 0
    sessions = int(rng.integers(1, 6))
    for i in range(n):
        chain: list[int] = []
        if i and rng.random() < 0.8:
            other = int(rng.integers(max(0, i - 8), i))
            session[i] = session[other]
            most = min(len(chains[other]), prompt[i] // size)
            chain = chains[other][: int(rng.integers(0, most + 1)) // part * part if rng.random() < 0.5 else most]
        if session[i] < 0 and rng.random() < 0.9:
            session[i] = rng.integers(sessions)
        full = (prompt[i] + (output[i] if rng.random() < 0.7 else 0)) // size
        own = full - len(chain) if rng.random() < 0.8 else 0
        fresh += -fresh % part
        chains.append(chain + list(range(fresh, fresh + own)))
        fresh += own
    chain = np.where(rng.random(n) < 0.9, np.arange(n) + n * rng.integers(0, 2), -1)
    first = np.cumsum([0, *map(len, slots)])

    def requests(slot: int) -> Requests:
        part = slice(int(first[slot]), int(first[slot + 1]))
        return replace(slots[slot], session=session[part], chain=chain[part])

    return replace(
        world,
        requests=requests,
        prefixes=of_contents([np.array(one, dtype=np.int64) for one in chains]) if rng.random() < 0.9 else None,
        sessions=sessions,
        affinity=int(rng.integers(3)),
        by_prefix=bool(rng.integers(2)),
    )
