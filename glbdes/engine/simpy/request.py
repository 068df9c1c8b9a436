"""What moves through the SimPy engine: requests, and the events that move them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from simpy import Environment, Event

NONE = -1


class Happening(Event):
    """A SimPy event at `at_ns` that calls `actions`; `order` decides between events of the same time."""

    def __init__(self, env: Environment, at_ns: int, order: int, *actions: Callable[[Any], None]) -> None:
        self.env = env
        self.callbacks = list(actions)
        self._value = None
        self._ok = True
        env.schedule(self, order, at_ns - env._now)  # type: ignore[arg-type]


def order_key(kind: int, region: int = 0, tie: int = 0) -> int:
    """Rank of an event among those of the same time: kind, then region, then replica or request id.

    Ranks begin above SimPy's own URGENT and NORMAL, so that a process starts before anything happens.
    """
    return (kind + 1 << 56) | (region << 44) | tie


class Request:
    """One request on its way."""

    __slots__ = (
        "arrival_ns",
        "attempts",
        "attention_at_j",
        "cached_tokens",
        "carbon_g",
        "chain",
        "cost_usd",
        "decoded",
        "energy_j",
        "finish_ns",
        "first_token_ns",
        "further",
        "further_at",
        "gateway",
        "id",
        "marked_j",
        "output",
        "owed_j",
        "preemptions",
        "prompt",
        "region",
        "replica",
        "rising_at_j",
        "session",
        "shared_at_j",
        "slo",
        "start_ns",
        "status",
        "stretch",
        "target",
        "uniform",
        "water_l",
    )

    further_at: Sequence[float]
    marked_j: float

    def __init__(
        self,
        id: int,
        gateway: int,
        slo: int,
        prompt: int,
        output: int,
        arrival_ns: int,
        uniform: float,
        session: int = NONE,
        chain: int = NONE,
    ) -> None:
        self.id = id
        self.gateway = gateway
        self.slo = slo
        self.prompt = prompt
        self.output = output
        self.arrival_ns = arrival_ns
        self.uniform = uniform
        self.session = session
        self.chain = chain  # of contents of its first blocks, that others may have too
        self.attempts = self.preemptions = self.cached_tokens = 0
        self.region = self.replica = self.start_ns = self.first_token_ns = NONE
        self.energy_j = self.cost_usd = self.carbon_g = self.water_l = 0.0
        self.further: Sequence[float] = ()  # other footprints, once it is charged
        self.stretch: tuple[int, ...] = ()  # with one region and its signals; `marked_j`, `further_at`: when it began
        self.owed_j = 0.0  # used, but not yet charged
        self.decoded = 0  # own iterations charged
        self.shared_at_j = 0.0  # the replica's A then
        self.attention_at_j = self.rising_at_j = 0.0  # its P and Q, where it schedules in chunks
        self.target = 0  # the replica's N when it finishes
        self.status = self.finish_ns = NONE

    def forget_progress(self) -> None:
        """The work done on it is lost."""
        self.replica = self.start_ns = self.first_token_ns = NONE


def as_records(ended: list[Request], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Ended requests as records of `dtype`, `World.request_dtype`."""
    rows = [
        (
            r.id,
            r.gateway,
            r.region,
            r.replica,
            r.slo,
            r.status,
            r.attempts,
            r.prompt,
            r.output,
            r.arrival_ns,
            r.start_ns,
            r.first_token_ns,
            r.finish_ns,
            r.energy_j,
            r.cost_usd,
            r.carbon_g,
            r.water_l,
            r.preemptions,
            r.cached_tokens,
            r.session,
        )[: len(dtype.names or ())]
        for r in ended
    ]
    if "further" not in (dtype.names or ()):
        return np.array(rows, dtype=dtype)
    nothing = [0.0] * dtype["further"].shape[0]
    every = [(*row[: len(dtype.names or ()) - 1], r.further or nothing) for row, r in zip(rows, ended, strict=True)]
    return np.array(every, dtype=dtype)
