"""Durations on a run's clock, in whole ticks."""

from glbdes.hardware.physics import NEVER_NS, to_clock_ns


def span_ns(duration_s: float, clock_ns: int) -> int:
    """`duration_s` on the clock; nothing stays nothing, all else takes a tick at least."""
    return to_clock_ns(duration_s, clock_ns) if duration_s > 0 else 0


def span_or_never_ns(duration_s: float | None, clock_ns: int) -> int:
    """The same of a duration that may be endless, None."""
    return NEVER_NS if duration_s is None else span_ns(duration_s, clock_ns)
