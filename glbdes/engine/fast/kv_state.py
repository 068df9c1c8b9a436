"""The arrays of the compiled engine's exact KV caches, where requests have prefixes in common."""

from typing import Any

import numpy as np

from glbdes.world import Ints, World

FIELDS = ("kv", "piece", "piece32", "table", "mine", "span", "slots", "preq", "chains", "runs", "pnum")
GROUP_BITS = 5  # a group: contents that differ in no more than their last bits
SPARSE = 2  # places of `table` for a block, each of which may be of another group


def has_prefixes(world: World) -> bool:
    """Whether caches know what blocks hold."""
    return world.steps is not None and (world.prefixes is not None or world.by_prefix)


def rooms(world: World) -> Ints:
    """[r] blocks of a replica that requests can use, at least one."""
    assert world.steps is not None
    return np.maximum(world.fleet.kv_tokens // world.steps.block_tokens - 1, 1)


def most_blocks(world: World) -> int:
    """Of a request: tables of prompts are as long as the longest one may be with its answer."""
    assert world.steps is not None
    return int(min(rooms(world).max(), world.fleet.prefill_s.shape[1] // world.steps.block_tokens + 1))


def kv_caches(world: World, regions: list[int], rep: Ints) -> dict[str, Any]:
    """The part of a state that only exact caches need; nothing without them.

    Most arrays are as large as they could have to be, but memory that is not touched takes no room.
    """
    if not has_prefixes(world):
        return dict.fromkeys(FIELDS)
    room = rooms(world)[regions][np.repeat(np.arange(len(regions)), world.fleet.replicas[regions])]
    n, batch = len(room), int(world.fleet.max_batch[regions].max())
    sizes = np.array([table_size(int(one)) for one in room])
    kv = np.zeros((n, 12), dtype=np.int64)
    kv[:, 0], kv[:, 1] = np.cumsum(room) - room, room
    kv[:, 4], kv[:, 5] = np.cumsum(sizes) - sizes, sizes - 1
    piece = np.zeros((int(room.sum()), 4), dtype=np.int64)
    used = (most_blocks(world), n * batch)
    arrays = (
        kv,
        piece,
        piece.view(np.int32),
        np.full(int(sizes.sum()), -1, dtype=np.int32),
        np.zeros(used, dtype=np.int32),
        np.zeros(used, dtype=np.int8),
        np.zeros((n, batch), dtype=np.int32),
        np.zeros((0, 7), dtype=np.int64),
        *tables(world),
    )
    made = dict(zip(FIELDS, arrays, strict=True))
    for k in range(n):
        empty(made, k, batch)
    return made


def table_size(room: int) -> int:
    return 1 << (SPARSE * room - 1).bit_length()


def tables(world: World) -> tuple[Ints, Ints, Ints]:
    """`chains`, `runs` and `pnum`."""
    by_prefix = int(world.by_prefix)
    known = world.prefixes
    if known is None:
        return np.zeros((1, 3), dtype=np.int64), np.zeros((1, 2), dtype=np.int64), np.array([1, 0, by_prefix])
    chains = np.stack([known.first[:-1], known.first[1:], known.blocks], axis=1)
    return chains, np.stack([known.begin, known.shift], axis=1), np.array([known.chains, known.contents, by_prefix])


def empty(made: dict[str, Any], k: int, batch: int) -> None:
    """Replica k's cache is empty, as `kv.clear` has it: one piece without content."""
    kv = made["kv"][k]
    first = int(kv[0])
    kv[2:4], kv[6], kv[10], kv[11] = first, batch, -1, first + 1
    made["piece"][first, 0] = np.iinfo(np.int64).min
    made["piece32"][first, 2:7] = kv[1], 0, -1, -1, -1
    made["slots"][k] = np.arange(batch - 1, -1, -1)
