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
    fleet = world.fleet
    tick_s = (clock_ns if clock_ns > 1 else FINE_TICK_NS) / NS_PER_S
    size = int(rng.integers(1, 9))
    most = int(fleet.max_batch.max())
    budget = int(most + rng.integers(0, 40))
    longest = 54  # of a request in `random_world`
    spare = rng.integers(0, 40, world.regions) if rng.random() < 0.8 else 2000
    kv_tokens = np.broadcast_to((-(-longest // size) + 1) * size + spare, world.regions).astype(np.int64)
    if rng.random() < 0.2:  # too small for some
        kv_tokens = np.maximum(kv_tokens // 2, 2 * size)
    profiles = int(fleet.profile.max()) + 1

    def rising(first: float, slope: float) -> np.ndarray:
        rises = rng.uniform(0.0, slope, (profiles, budget))
        begin = rng.uniform(first, 2 * first, (profiles, 1))
        return np.concatenate([begin, begin, begin + np.cumsum(rises[:, 1:], axis=1)], axis=1)

    def modes(a: float, beta: float, gamma: float) -> np.ndarray:
        return rng.uniform(0.0, 1.0, (profiles, 2, 3)) * [a, beta, gamma]

    steps = StepTables(
        budget=budget,
        block_tokens=size,
        whole_prompts=bool(rng.integers(2)),
        tokens_s=rising(1.05 * tick_s, 0.15 * tick_s),
        tokens_j=rising(1.0, 0.1),
        modes_s=modes(0.5, 0.3, 0.02) * tick_s,
        modes_j=modes(0.5, 0.3, 0.01),
        each_s=rng.uniform(0.0, 1.0, (profiles, 3)) * [0.1 * tick_s, 1e-3 * tick_s, 1e-3 * tick_s],
        each_j=rng.uniform(0.0, 1.0, (profiles, 3)) * [0.1, 1e-3, 1e-3],
    )
    made = replace(world, fleet=fleet._replace(kv_tokens=kv_tokens), steps=steps)
    alike = np.random.default_rng([seed, clock_ns, 8])  # apart: all else stays as it is
    if pooled:
        return in_sessions(made, alike)
    # Else not both sessions and pools of one model: that is kernels of their own, which take long to compile.
    plain = seed in PLAIN or made.first_of is not None
    return in_sessions(made, alike) if not plain and alike.random() < 0.6 else made


def in_sessions(world: World, rng: np.random.Generator) -> World:
    """`world`, whose requests belong to sessions and begin as others do, or go on where they ended."""
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
            chain = chains[other][: int(rng.integers(0, most + 1)) if rng.random() < 0.5 else most]
        if session[i] < 0 and rng.random() < 0.9:
            session[i] = rng.integers(sessions)
        full = (prompt[i] + (output[i] if rng.random() < 0.7 else 0)) // size
        own = full - len(chain) if rng.random() < 0.8 else 0
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
