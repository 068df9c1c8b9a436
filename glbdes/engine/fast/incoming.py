"""The requests of a slot on their way into the kernels of the compiled engine."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glbdes.engine.fast.state import CHAIN_TO_COME, DUE_NS, NONE, SESSION_TO_COME
from glbdes.workload import Requests
from glbdes.world import Ints, World

AHEAD = 1 << 21  # requests of a slot up to which the next slot's are drawn while it runs
FOREVER_NS = int(np.iinfo(np.int64).max)


def drawn(world: World, ahead: bool) -> Iterator[Requests]:
    """The requests of each slot; `ahead`: in a thread of their own, while the slot before runs."""
    if not ahead:
        yield from map(world.requests, range(world.slots))
        return
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(world.requests, 0)
        for slot in range(1, world.slots):
            requests = coming.result()
            if len(requests) > AHEAD:
                yield requests
            coming = pool.submit(world.requests, slot)
            if len(requests) <= AHEAD:
                yield requests
        yield coming.result()


def rows_of(requests: Requests, low: int, high: int) -> Ints:
    """Requests low .. high - 1 as rows for kernels (`fast_state`, requests to come)."""
    columns = [
        requests.request_id,
        requests.gateway,
        requests.slo,
        requests.prompt_tokens,
        requests.output_tokens,
        requests.arrival_ns,
    ]
    rows = np.full((high - low, width(requests.session is not None)), NONE, dtype=np.int64)
    for i, column in enumerate(columns):
        rows[:, i] = column[low:high]
    for i, given in ((SESSION_TO_COME, requests.session), (CHAIN_TO_COME, requests.chain)):
        if given is not None:
            rows[:, i] = given[low:high]
    return rows


def width(sessions: bool) -> int:
    """Columns of requests to come."""
    return CHAIN_TO_COME + 1 if sessions else DUE_NS + 1


def stable_order(times_ns: Ints) -> Ints:
    """The stable order of `times_ns` [n]. Time and place in one number sort several times as fast as places by time."""
    bits = len(times_ns).bit_length()
    first_ns = int(times_ns.min(initial=FOREVER_NS))
    if (int(times_ns.max(initial=0)) - first_ns) >> (62 - bits):
        return np.argsort(times_ns, kind="stable")
    keys = ((times_ns - first_ns) << bits) | np.arange(len(times_ns))
    keys.sort()
    return np.asarray(keys & ((1 << bits) - 1))


def joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    """Records after one another, by their bytes: of their fields NumPy would make sure each time anew."""
    whole = np.empty(sum(map(len, parts)), dtype=parts[0].dtype)
    np.concatenate([part.view(np.uint8) for part in parts], out=whole.view(np.uint8))
    return whole
