"""A request trace on the simulated clock: its requests in a slot, and the gateway at which each enters.

The trace is one stream. Each request enters at a gateway drawn at random in proportion to the gateways' rates in that
slot, so that every gateway sees a thinned copy of the trace; unless the trace itself names gateways, or SLO classes.
Token counts are replayed as they are.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from glbdes.errors import ScenarioError, TraceError, brief, nearest
from glbdes.hardware.physics import to_clock_ns
from glbdes.scenario import Scenario
from glbdes.scenario.sizes import MOST_S
from glbdes.units import NS_PER_S
from glbdes.workload import bounds
from glbdes.workload.azure import Names, Trace
from glbdes.workload.cells import FIRST_LINE
from glbdes.workload.lengths import read_trace
from glbdes.workload.prefixes import Prefixes, of_trace, sessions_of

Ints = NDArray[np.int64]

COMMON = 0.01  # a part of prompts that no smaller share of them has tells no session: it is a system prompt


class Replay(NamedTuple):
    """A trace on the simulated clock."""

    trace: Trace
    arrival_ns: Ints  # [row] since the first request, non-decreasing
    period_ns: int  # after which it begins again
    slot_ns: int
    gateway: Ints | None = None  # [row] where each enters, if the trace says so
    slo: Ints | None = None  # [row] its class, if the trace says so
    session: Ints | None = None  # [row] numbered from 0; -1: none. None: the trace has no sessions
    prefixes: Prefixes | None = None  # a chain a row, where replicas look for them

    @property
    def sessions(self) -> int:
        """How many the trace has."""
        return 0 if self.session is None else int(self.session.max(initial=-1)) + 1

    def laps(self, slots: int) -> int:
        """How often the trace begins in so many slots."""
        return -(-slots * self.slot_ns // self.period_ns)

    def rows(self, slot: int) -> tuple[Ints, Ints]:
        """(ns since the slot's start, row of the trace) of the requests in `slot`, in the order of arrival."""
        start_ns, end_ns = slot * self.slot_ns, (slot + 1) * self.slot_ns
        times, rows = [], []
        for lap in range(start_ns // self.period_ns, (end_ns - 1) // self.period_ns + 1):
            first_ns = lap * self.period_ns
            low, high = np.searchsorted(self.arrival_ns, [start_ns - first_ns, end_ns - first_ns])
            times.append(self.arrival_ns[low:high] + (first_ns - start_ns))
            rows.append(np.arange(low, high))
        return np.concatenate(times), np.concatenate(rows)

    def lap(self, slot: int) -> Ints:
        """How often the trace had begun anew before each of the requests of `rows`."""
        start_ns, end_ns = slot * self.slot_ns, (slot + 1) * self.slot_ns
        first, last = start_ns // self.period_ns, (end_ns - 1) // self.period_ns
        edges = [[start_ns - lap * self.period_ns, end_ns - lap * self.period_ns] for lap in range(first, last + 1)]
        low, high = np.searchsorted(self.arrival_ns, edges).T
        return np.repeat(np.arange(first, last + 1), high - low)

    def rows_before(self, slot: int, span_ns: int) -> tuple[Ints, Ints]:
        """The same of `span_ns` before `slot`, as if its own requests came again and again; ns since that began."""
        times_ns, rows = self.rows(slot)
        laps = -(-span_ns // self.slot_ns)
        every_ns = span_ns + (np.arange(-laps, 0)[:, None] * self.slot_ns + times_ns).ravel()
        kept = every_ns >= 0
        return every_ns[kept], np.tile(rows, laps)[kept]


def load(scenario: Scenario, folder: Path | None) -> Replay:
    """The trace of `workload.file`, its clock sped up by `replay_rate_factor` x `load_scale`.

    It lasts from its first request to one mean gap after its last. Raises `TraceError` if it cannot be read, if the
    horizon is longer than that (unless `replay_loop`), if a request is longer than `lengths.max_tokens`, or if it names
    a gateway or class that the scenario has not, and `ScenarioError` if so many requests cannot be replayed.
    """
    time, workload = scenario.time, scenario.workload
    trace = read_trace(workload.file, folder)
    tokens = trace.prompt_tokens + trace.output_tokens
    if tokens.max() > workload.lengths.max_tokens:
        row = int(np.argmax(tokens > workload.lengths.max_tokens))
        rule = f"must be <= workload.lengths.max_tokens = {workload.lengths.max_tokens}: a replay is not cut"
        place = f"row {row + 1}" if (workload.file or "").endswith(".parquet") else f"line {row + FIRST_LINE}"
        raise TraceError(f"{workload.file}, {place}: {tokens[row]} prompt and output tokens, {rule}")
    speed = workload.replay_rate_factor * workload.load_scale
    requests = len(tokens)
    lasts_s = float(trace.arrival_s[-1]) * requests / max(requests - 1, 1) / speed
    horizon_s = time.slots * time.simulated_s
    if not lasts_s > 0:
        raise TraceError(f"{workload.file}: all requests at the same time, so the trace has no rate to replay")
    if lasts_s > MOST_S:
        told = f"lasts {lasts_s:.6g} s at {speed:g} x its own pace, must be <= {MOST_S:g} s"
        raise TraceError(f"{workload.file}: {told}; raise workload.replay_rate_factor")
    if horizon_s > lasts_s and not workload.replay_loop:
        raise TraceError(
            f"{workload.file}: lasts {lasts_s:.6g} s at {speed:g} x its own pace, must be >= the simulated time of "
            f"{horizon_s:.6g} s; simulate fewer or shorter slots, lower workload.replay_rate_factor, or set "
            "workload.replay_loop = true to begin again at its end"
        )
    if horizon_s > lasts_s:
        expected = requests * horizon_s / lasts_s
        bounds.check(scenario, expected, expected / time.slots, time.simulated_s)
    arrival_ns = np.rint(trace.arrival_s * (NS_PER_S / speed)).astype(np.int64)
    period_ns = max(to_clock_ns(lasts_s, 1), int(arrival_ns[-1]) + 1)
    gateway = _of_scenario(trace.gateway, list(scenario.gateways), "gateway", workload.file)
    slo = _of_scenario(trace.slo, list(scenario.slo), "slo", workload.file)
    slot_ns = to_clock_ns(time.simulated_s, time.clock_ns)
    return Replay(trace, arrival_ns, period_ns, slot_ns, gateway, slo, *_in_common(scenario, trace))


def _in_common(scenario: Scenario, trace: Trace) -> tuple[Ints | None, Prefixes | None]:
    """Sessions [row] and prefixes of a trace that has them. Raises `TraceError` and `ScenarioError`."""
    blocks, workload = trace.blocks, scenario.workload
    if blocks is None:
        return trace.session, None
    size, block_tokens = workload.prefix_block_tokens, scenario.serving.block_tokens
    needed = -(-trace.prompt_tokens // size)
    if (needed != blocks.lengths).any():
        row = int(np.argmax(needed != blocks.lengths))
        told = f"prefix_blocks has {blocks.lengths[row]} numbers for {trace.prompt_tokens[row]} prompt tokens"
        rule = f"must have {needed[row]}, one for each workload.prefix_block_tokens = {size} tokens"
        raise TraceError(f"{workload.file}, row {row + 1}: {told}, {rule}")
    session = sessions_of(*blocks, COMMON) if trace.session is None else trace.session
    if scenario.serving.scheduler != "chunked":
        return session, None
    if size % block_tokens:
        rule = f"must divide workload.prefix_block_tokens = {size} tokens, of which {workload.file} tells the contents"
        raise ScenarioError(f"serving.block_tokens = {block_tokens} tokens, {rule}")
    return session, of_trace(*blocks, trace.prompt_tokens, size, block_tokens)


def _of_scenario(given: Names | None, known: list[str], column: str, file: str | None) -> Ints | None:
    """[row] places of the trace's names among those `known`."""
    if given is None:
        return None
    for place, name in enumerate(given.names):
        if name not in known:
            row = int(np.argmax(given.which == place)) + 1
            rule = f"is none of the scenario's{nearest(name, known)}; leave the column out to have them drawn"
            raise TraceError(f"{file}, request {row}: {column} = '{brief(name)}', {rule}")
    return np.array([known.index(name) for name in given.names], dtype=np.int64)[given.which]
