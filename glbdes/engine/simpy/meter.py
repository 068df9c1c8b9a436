"""The raw counters of one region in one slot, as the SimPy engine keeps them: simulated, not scaled."""

from dataclasses import dataclass, fields


@dataclass(slots=True)
class Meter:
    """The counters of `METER_DTYPE` for the slot that is running."""

    arrived: int = 0
    served: int = 0
    rejected: int = 0
    timed_out: int = 0
    failed: int = 0
    queue_max: int = 0
    queue_area_ns: int = 0
    system_area_ns: int = 0
    prefill_ns: int = 0
    decode_ns: int = 0
    idle_ns: int = 0
    down_ns: int = 0
    asleep_ns: int = 0
    wakes: int = 0
    prefill_j: float = 0.0
    decode_j: float = 0.0
    idle_j: float = 0.0
    sleep_j: float = 0.0
    attributed_j: float = 0.0

    def read(self) -> tuple[float, ...]:
        return tuple(getattr(self, field.name) for field in fields(self))
