"""The compiled engine: the contract as kernels over arrays, request by request as `simpy` has it."""
