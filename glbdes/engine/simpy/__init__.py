"""The engine to be read: the contract as SimPy processes, a module a noun."""
