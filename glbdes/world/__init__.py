"""One world that can be simulated, as arrays, and what may be known of it: the view of a policy, the meter."""

from glbdes.world.arrays import (
    Bools,
    Floats,
    Ints,
    Outcome,
    Policy,
    Sink,
    SlotRecord,
    View,
    World,
)
from glbdes.world.rows import METER_DTYPE, REQUEST_DTYPE, SESSION_DTYPE
from glbdes.world.scaling import Plan

__all__ = [
    "METER_DTYPE",
    "REQUEST_DTYPE",
    "SESSION_DTYPE",
    "Bools",
    "Floats",
    "Ints",
    "Outcome",
    "Plan",
    "Policy",
    "Sink",
    "SlotRecord",
    "View",
    "World",
]
