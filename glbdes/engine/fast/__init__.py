"""The compiled engine: the contract as kernels over arrays, request by request as `simpy` has it."""

from glbdes.engine.fast.driver import must_compile, run

__all__ = ["must_compile", "run"]
