"""What was measured of one model on one device, as readers give and fits take it, and what a fit leaves of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Decode(NamedTuple):
    """Decode iterations on the bare device; arrays [n]."""

    batch: Ints
    context: Ints  # tokens of all requests together
    time_s: Floats
    energy_j: Floats


class Prompts(NamedTuple):
    """Single prompts on the bare device, by increasing length; arrays [n]."""

    tokens: Ints
    time_s: Floats
    energy_j: Floats


class Work(NamedTuple):
    """What a served run did, piece by piece; arrays [n] in order of time. A piece is a prompt or a decode iteration."""

    is_prompt: NDArray[np.bool_]
    begin_s: Floats
    end_s: Floats
    tokens: Ints  # prompt: its length; iteration: context tokens of all requests together
    batch: Ints  # requests decoding; for a prompt, those that wait for it

    def only(self, chosen: NDArray[np.bool_]) -> "Work":
        """The pieces where `chosen` [n] is true."""
        return Work(
            self.is_prompt[chosen], self.begin_s[chosen], self.end_s[chosen], self.tokens[chosen], self.batch[chosen]
        )


class Served(NamedTuple):
    """A run under load: requests [m] and the work that they were."""

    arrival_s: Floats
    prompt_tokens: Ints
    output_tokens: Ints
    first_token_s: Floats
    finish_s: Floats
    work: Work
    energy_j: float  # over the window
    window_s: float


class Steps(NamedTuple):
    """Single steps of a server that schedules in chunks, with one chunk each at most; arrays [n]."""

    prefill_tokens: Ints  # of the chunk; 0: none
    prefill_context: Ints  # tokens of its prompt computed before
    batch: Ints  # decoding requests
    context: Ints  # tokens of each of them, the new one included
    time_s: Floats
    energy_j: Floats | None  # None: not measured

    @property
    def mixed(self) -> NDArray[np.bool_]:
        """Which steps have a chunk."""
        return self.prefill_tokens > 0

    def only(self, chosen: NDArray[np.bool_]) -> "Steps":
        """The steps where `chosen` [n] is true."""
        energy_j = None if self.energy_j is None else self.energy_j[chosen]
        tokens, before, batch, context = (column[chosen] for column in self[:4])
        return Steps(tokens, before, batch, context, self.time_s[chosen], energy_j)


@dataclass(frozen=True, eq=False)
class Measurements:
    """Everything measured of one model on one device. `served` by Poisson rate in requests/s; may be empty."""

    name: str
    gpu: str
    model: str
    max_batch: int
    kv_tokens: int
    kv_source: str  # where that comes from
    idle_w: float
    bare_w: float
    decode: Decode
    prompts: Prompts
    served: Mapping[float, Served]


class Residual(NamedTuple):
    """How far a part of the profile is from what was measured: |fitted / measured - 1|."""

    what: str
    points: int
    mean: float
    worst: float
    worst_at: str
