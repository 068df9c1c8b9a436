"""Compressed time: how long each slot warms up before it counts, and where compression cannot be right.

A slot that is simulated in part begins in the state that the slot before left behind: its batches are full of requests
that another plan sent there. In real time that is over after a moment; in half a minute it is not. So a compressed slot
begins with a warm-up that is simulated and not counted (docs/model.md, section 8).
"""

from collections.abc import Iterator, Mapping
from math import ceil
from typing import Final

import numpy as np

from glbdes.hardware.physics import LEAST_LOADED, NEVER_NS
from glbdes.scenario import pools
from glbdes.scenario.model import Scenario, Time
from glbdes.units import NS_PER_S
from glbdes.world.arrays import Bools, Floats, Ints, SlotRecord, World
from glbdes.world.feasibility import worst_overload
from glbdes.world.scaling import FOLLOW

RESIDENCES: Final = 3.0  # mean times of a request in a full batch, after which who came before has left
STEP_S: Final = 0.1  # what comes out of the rule is a multiple of it
SHORT: Final = 0.1  # share of a slot that sleep and wake-ups may take
OVER: Final = 1 + 1e-9  # a load equal to the capacity fits


def compressed(time: Time) -> bool:
    """Whether slots are simulated in part."""
    return time.simulated_s < time.slot_s


def warmup_s(time: Time, servers: Ints | None, capacity_rps: Floats) -> float:
    """How long each slot warms up, in simulated seconds: what the scenario says, or by rule.

    By rule there is none at 1:1, else three times what a request takes in a full batch: by Little's law `servers` [r],
    the requests that a region serves at a time, over its capacity [r], in the slowest region.
    """
    if time.warmup_s is not None:
        return time.warmup_s
    if servers is None or not compressed(time):
        return 0.0
    rule_s = RESIDENCES * float((servers / capacity_rps).max())
    return round(ceil(rule_s / STEP_S - 1e-6) * STEP_S, 6)


def origin(time: Time) -> str:
    """Where the warm-up comes from, in words."""
    if time.warmup_s is not None:
        return "time.warmup_s"
    if not compressed(time):
        return "by rule: none at 1:1"
    return f"by rule: {RESIDENCES:g} x a request's time in a full batch"


def warnings(scenario: Scenario, world: World, watch: "Watch | None" = None) -> list[str]:
    """What cannot be right of a world of requests in compressed time: before a run, or with what it has shown."""
    if not scenario.by_request or not compressed(scenario.time):
        return []
    loads = [] if watch is None else watch.warnings(pools.labels(scenario))
    return [*(loads or _overload(scenario, world)), *_rests(scenario, world), *_prefixes(world)]


def _overload(scenario: Scenario, world: World) -> list[str]:
    """Load that fits into no plan."""
    if scenario.dispatch.overload == "error":  # such a world is not built
        return []
    over = worst_overload(world.expected_rps, world.capacity_rps / scenario.dispatch.max_utilisation, world.allowed)
    if over is None:
        return []
    load = f"in slot {over.slot} {over.demand_rps:.4g} requests/s are expected, of {over.capacity_rps:.4g} at most"
    return [f"compressed time, {_listed(scenario, over.regions)}: {load}. {_QUEUES}"]


_QUEUES: Final = (
    "Queues do not compress: they grow in simulated seconds only, so waiting and latency come out too short"
)


def _rests(scenario: Scenario, world: World) -> Iterator[str]:
    """Sleep and wake-ups that take more of a compressed slot than they do of a real one."""
    slot_s = world.slot_ns / NS_PER_S
    spans = [(world.fleet.sleep_after_ns, "sleep_after_s"), (world.fleet.wake_ns, "wake_s")]
    if world.scaling is not None and world.scaling.rule == FOLLOW:
        every = np.ones_like(world.fleet.wake_ns)
        spans += [(world.scaling.every_ns * every, "scaling.every_s")]
        spans += [(world.scaling.cool_down_ns * every, "scaling.cool_down_s")]
    for spans_ns, what in spans:
        long = (spans_ns < NEVER_NS) & (spans_ns > SHORT * world.slot_ns)
        if long.any():
            told = f"{what} = {spans_ns[long].max() / NS_PER_S:g} s, over {SHORT:g} of a slot's {slot_s:g} simulated s"
            rule = "Sleep and wake-ups do not compress: replicas sleep less, or wake longer, than in real time"
            least = f"time.simulated_s_per_slot >= {spans_ns[long].max() / NS_PER_S / SHORT:g} s shows them"
            yield f"compressed time, {_listed(scenario, long)}: {told}. {rule}; {least}"


def _prefixes(world: World) -> Iterator[str]:
    """Sessions that see many slots go by."""
    if world.prefixes is not None:
        rule = "Sessions do not compress: they last over more slots than in real time, and warm-ups disturb caches"
        yield f"compressed time, requests that have prefixes in common. {rule}; simulate them at 1:1"


class Watch:
    """Notes, slot by slot, which regions a run's plans load above their capacity in compressed time.

    Both the demand that was expected and the one that was drawn must do so: in a short slot either may by chance.
    """

    def __init__(self, world: World, max_utilisation: float) -> None:
        self.expected_rps = world.expected_rps
        self.follows = world.dispatch != LEAST_LOADED  # which takes no notice of plans
        self.capacity_rps = world.capacity_rps / max_utilisation
        self.slots = np.zeros(world.regions, dtype=np.int64)
        self.most = np.zeros(world.regions)  # load / capacity

    def slot(self, record: SlotRecord) -> None:
        """Take note of a slot that has ended."""
        if self.follows:
            demand_rps = np.stack([self.expected_rps[record.slot], record.demand_rps])
            sent_rps = (demand_rps[:, :, None] * record.weights).sum(axis=1)
            load = (sent_rps / np.where(self.capacity_rps > 0, self.capacity_rps, np.inf)).min(axis=0)
            self.slots += load > OVER
            self.most = np.maximum(self.most, load)

    def warnings(self, regions: Mapping[str, object]) -> list[str]:
        """A line, if any region was meant to do more than it can."""
        over = np.flatnonzero(self.slots)
        if not len(over):
            return []
        names = list(regions)
        told = ", ".join(f"{names[r]} in {self.slots[r]} slots (up to {self.most[r]:.0%})" for r in over[:MOST_TOLD])
        more = f" and {len(over) - MOST_TOLD} more" if len(over) > MOST_TOLD else ""
        return [f"compressed time, planned above capacity: {told}{more}. {_QUEUES}"]


MOST_TOLD: Final = 4


def _listed(scenario: Scenario, chosen: Bools) -> str:
    places = pools.labels(scenario)
    names = [name for name, one in zip(places, chosen, strict=True) if one]
    if len(names) == len(places) > 1:
        return f"all {len(scenario.regions)} regions"
    shown = ", ".join(names[:MOST_TOLD])
    return shown if len(names) <= MOST_TOLD else f"{shown} and {len(names) - MOST_TOLD} more"
