"""How much a run would draw, estimated before anything is drawn: more than is asked for or can be held is refused."""

import os
from pathlib import Path
from typing import Final

from glbdes.errors import ScenarioError
from glbdes.scenario import Scenario

REQUEST_BYTES: Final = 400  # that a request of the present slot takes, drawn, simulated and recorded
BURST_BYTES: Final = 64
SHARE: Final = 0.8  # of the memory that a slot may take
CGROUP: Final = Path("/sys/fs/cgroup/memory.max")


def check(scenario: Scenario, requests: float, most_in_slot: float, period_s: float) -> None:
    """Raise `ScenarioError` if so many expected requests, in all and in the fullest slot, are more than can be.

    A slot lasts `period_s`, warm-up included. `time.max_events` bounds how many there are in all, which is time; the
    machine how many there are in one slot.
    """
    if not scenario.by_request:
        return
    bursts, in_slot = _bursts(scenario, period_s)
    most = scenario.time.max_events
    if not requests + bursts <= most:
        what = f"{requests:.3g} requests" + (f" in {bursts:.3g} bursts" if bursts else "")
        rule = f"must be <= time.max_events = {most:g}; lower the load or the simulated time, or raise time.max_events"
        raise ScenarioError(f"scenario '{scenario.name}': {what} are expected, {rule}")
    needed, held = most_in_slot * REQUEST_BYTES + in_slot * BURST_BYTES, SHARE * memory_bytes()
    if needed > held:
        what = f"{most_in_slot:.3g} requests are expected in one slot, which take {needed / 1e9:.3g} GB"
        rule = f"must be <= {held / 1e9:.3g} GB, {SHARE:.0%} of this machine's memory; make slots shorter"
        raise ScenarioError(f"scenario '{scenario.name}': {what}, {rule} (time.simulated_s_per_slot) or lower the load")


def memory_bytes() -> float:
    """What this machine, or the part of it that this process may use, has."""
    try:
        whole = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (ValueError, OSError, AttributeError):  # a system that does not tell
        return float("inf")
    try:
        return min(whole, float(CGROUP.read_text()))
    except (OSError, ValueError):  # no such group, or "max"
        return whole


def _bursts(scenario: Scenario, period_s: float) -> tuple[float, float]:
    """How many bursts are drawn for all gateways, in all and in a slot."""
    time, workload = scenario.time, scenario.workload
    if workload.arrivals != "mmpp":
        return 0.0, 0.0
    in_slot = period_s * workload.burst_fraction / workload.burst_mean_s * len(scenario.gateways)
    return in_slot * time.slots, in_slot
