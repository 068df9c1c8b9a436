"""A request trace on the simulated clock: its requests in a slot, and the gateway at which each enters.

The trace is one stream. Each request enters at a gateway drawn at random in proportion to the gateways' rates in that
slot, so that every gateway sees a thinned copy of the trace; unless the trace itself names gateways, or SLO classes.
Token counts are replayed as they are.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from glbdes.errors import TraceError, brief, nearest
from glbdes.hardware.physics import to_clock_ns
from glbdes.scenario import Scenario
from glbdes.scenario.sizes import MOST_S
from glbdes.units import NS_PER_S
from glbdes.workload import bounds
from glbdes.workload.azure import Names, Trace
from glbdes.workload.cells import FIRST_LINE
from glbdes.workload.lengths import read_trace

Ints = NDArray[np.int64]


class Replay(NamedTuple):
    """A trace on the simulated clock."""

    trace: Trace
    arrival_ns: Ints  # [row] since the first request, non-decreasing
    period_ns: int  # after which it begins again
    slot_ns: int
    gateway: Ints | None = None  # [row] where each enters, if the trace says so
    slo: Ints | None = None  # [row] its class, if the trace says so

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
    return Replay(trace, arrival_ns, period_ns, to_clock_ns(time.simulated_s, time.clock_ns), gateway, slo)


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
