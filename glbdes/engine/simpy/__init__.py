"""The engine to be read: the contract as SimPy processes, a module a noun."""

from glbdes.engine.simpy.engine import run

__all__ = ["run"]
