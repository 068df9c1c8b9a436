"""Prefixes of a Mooncake trace: what caches find of them, and how fast they are simulated.

    python bench/prefixes.py TRACE [--speed]

TRACE is the conversation trace of kvcache-ai/Mooncake (FAST'25), as it is published or imported. The first table is of
caches alone, without time: the share of prompt tokens found in whole blocks of the trace, with caches that never end or
of so many blocks a region, requests spread at random over regions or sessions kept together. It knows nothing of
the engines, and is what they are set against: the second table is of the same cache in a world, one replica a region,
whose hits can only be less, as requests overlap. `--speed` tells requests a second of processor time.
"""

import sys
import tempfile
import time
from argparse import ArgumentParser
from collections import OrderedDict
from pathlib import Path

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from glbdes.engine.fast import driver as fast
from glbdes.hardware import physics
from glbdes.units import NS_PER_S
from glbdes.workload.azure import Trace
from glbdes.workload.prefixes import of_trace, sessions_of
from glbdes.workload.sources.mooncake import BLOCK_TOKENS, MOONCAKE
from glbdes.workload.tidy import import_requests, read_requests
from glbdes.world import World
from tests.chunked_worlds import make_steps
from tests.worlds import Fixed, ListSink, make_fleet, make_requests, make_world

COMMON = 0.01
REGIONS = (1, 2, 5, 10, 16)
LRU_BLOCKS, LRU_REGIONS = 3_000, 10
ENDLESS = 1 << 62


def trace_of(path: Path) -> Trace:
    """The trace in a published file (.jsonl, plain or .gz), or in an imported one (.parquet)."""
    if path.suffix == ".parquet":
        return read_requests(path)
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "trace.parquet"
        import_requests(path, MOONCAKE, table)
        return read_requests(table)


def spread(trace: Trace, regions: int, by_session: bool, seed: int = 1) -> np.ndarray:
    """[n] the region of each request, drawn for each, or for each session."""
    assert trace.blocks is not None
    rng = np.random.default_rng(seed)
    if not by_session:
        return rng.integers(regions, size=len(trace.arrival_s))
    session = sessions_of(*trace.blocks, COMMON)
    homes = rng.integers(regions, size=int(session.max()) + 1)
    return np.where(session >= 0, homes[session], rng.integers(regions, size=len(session)))


def share_found(trace: Trace, region: np.ndarray, blocks: int = ENDLESS) -> float:
    """The share of prompt tokens that caches of so many `blocks` a region find, the least recently used lost first."""
    assert trace.blocks is not None
    ids, ends = trace.blocks.ids, np.cumsum(trace.blocks.lengths)
    caches: list[OrderedDict[int, None]] = [OrderedDict() for _ in range(int(region.max()) + 1)]
    found = 0
    for r, end, length, prompt in zip(region, ends, trace.blocks.lengths, trace.prompt_tokens, strict=True):
        cache, row = caches[r], ids[end - length : end].tolist()
        hits = 0
        while hits < length and row[hits] in cache:
            hits += 1
        found += min(hits * BLOCK_TOKENS, int(prompt) - 1) // BLOCK_TOKENS * BLOCK_TOKENS
        for block in reversed(row):  # the first ones are used last, and so lost last
            cache[block] = None
            cache.move_to_end(block)
        while len(cache) > blocks:
            cache.popitem(last=False)
    return found / int(trace.prompt_tokens.sum())


def world_of(
    trace: Trace, region: np.ndarray, blocks: int, block_tokens: int = BLOCK_TOKENS, shared: bool = True
) -> World:
    """The trace in regions of one fast replica each, whose cache has so many blocks of `block_tokens`."""
    assert trace.blocks is not None
    regions = int(region.max()) + 1
    n, slots = len(trace.arrival_s), int(trace.arrival_s[-1]) // 3600 + 1
    prefixes = of_trace(*trace.blocks, trace.prompt_tokens, BLOCK_TOKENS, block_tokens)
    arrival_ns = (trace.arrival_s * NS_PER_S).astype(np.int64)
    requests = make_requests(
        arrival_ns,
        trace.prompt_tokens,
        trace.output_tokens,
        uniform=(region + 0.5) / regions,
        session=region if shared else None,
        chain=np.arange(n) if shared else None,
    )
    steps = make_steps(budget=8192, block_tokens=block_tokens)
    tenth = {name: 0.05 * getattr(steps, name) for name in ("tokens_s", "modes_s", "each_s")}
    longest = int((trace.prompt_tokens + trace.output_tokens).max())
    fleet = make_fleet(
        regions,
        max_batch=256,
        kv_tokens=(blocks + 1) * block_tokens,
        prefill_s=np.zeros(longest + 1),
        prefill_j=np.zeros(longest + 1),
    )
    world = make_world(requests, slots=slots, slot_s=3600.0, regions=regions, fleet=fleet, dispatch=physics.WEIGHTED)
    more = {"prefixes": prefixes, "sessions": regions} if shared else {}
    return World(**{**vars(world), "steps": steps._replace(**tenth), **more})


def run(world: World) -> tuple[np.ndarray, float]:
    """The records, and seconds of processor time."""
    sink, regions = ListSink(), world.regions
    begun = time.process_time()
    fast.run(world, Fixed(np.ones((1, regions))), sink, threads=1)
    return sink.table, time.process_time() - begun


def simulated(trace: Trace, region: np.ndarray, blocks: int) -> float:
    """The share of prompt tokens that requests find in a world."""
    table, _ = run(world_of(trace, region, blocks))
    return float(table["cached_tokens"].sum() / trace.prompt_tokens.sum())


def shares(trace: Trace) -> Table:
    """What caches find."""
    table = Table("regions", "blocks a region", "requests spread", box=SIMPLE, title="Prompt tokens found, %")
    for heading in ("caches alone", "in a world"):
        table.add_column(heading, justify="right")
    cases = [(n, ENDLESS, by) for n in REGIONS for by in (False, True)] + [(LRU_REGIONS, LRU_BLOCKS, x) for x in (0, 1)]
    endless = int(of_trace(*trace.blocks, trace.prompt_tokens, 512, 512).contents) * 2
    for regions, blocks, by_session in cases:
        region = spread(trace, regions, bool(by_session))
        alone = share_found(trace, region, blocks)
        inside = simulated(trace, region, min(blocks, endless))
        how = "by session" if by_session else "at random"
        told = "endless" if blocks == ENDLESS else f"{blocks:,}"
        table.add_row(str(regions), told, how, f"{100 * alone:.1f}", f"{100 * inside:.1f}")
    return table


def speed(trace: Trace) -> Table:
    """How fast worlds of the trace are simulated."""
    table = Table("tokens a block", "prefixes", box=SIMPLE, title="One core, 10 regions, sessions kept together")
    for heading in ("k requests/s", "found, %"):
        table.add_column(heading, justify="right")
    region = spread(trace, 10, True)
    for block_tokens in (512, 16):
        for shared in (False, True):
            world = world_of(trace, region, 3000 * 512 // block_tokens, block_tokens, shared)
            run(world)  # kernels are compiled, once for this version
            records, took = run(world)
            found = 100 * records["cached_tokens"].sum() / trace.prompt_tokens.sum()
            table.add_row(
                str(block_tokens), "yes" if shared else "no", f"{len(records) / took / 1e3:.0f}", f"{found:.1f}"
            )
    return table


def main() -> None:
    parser = ArgumentParser(description="Prefixes of a Mooncake trace.")
    parser.add_argument("trace", type=Path)
    parser.add_argument("--speed", action="store_true")
    arguments = parser.parse_args()
    trace = trace_of(arguments.trace)
    Console(width=110).print(speed(trace) if arguments.speed else shares(trace))


if __name__ == "__main__":
    main()
