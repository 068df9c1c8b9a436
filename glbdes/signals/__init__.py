"""Price, carbon and water of regions over time: tables, the files they come from, and a generator."""

from glbdes.signals.table import Signals

__all__ = ["Signals"]
