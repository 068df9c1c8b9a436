"""Price, carbon and water of regions over time: tables, the files they come from, a generator, and what is known."""

from glbdes.signals.known import environment
from glbdes.signals.table import Signals

__all__ = ["Signals", "environment"]
