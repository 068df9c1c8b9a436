"""The part of a profile that a replica needs to schedule in chunks: what a step takes, in seconds and in joules.

`steps.py` has the formula. Both sides have the same shape, so that energy is attributed as time is made up. How the
numbers are fitted to measured steps is in `fit_steps.py`; `derived` makes them from a grid of decode iterations and
single prompts instead, where no mixed step was measured.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from glbdes.base import portable
from glbdes.hardware.measurements import Floats, Ints, Steps
from glbdes.hardware.part import NonNegative, Part, Positive, Positives, Text, Tokens
from glbdes.hardware.steps import step_cost
from glbdes.scenario.complaints import refuse

Mode = Annotated[tuple[NonNegative, NonNegative, NonNegative], Field(strict=False)]  # a, beta, gamma


class Cost(Part):
    """Coefficients of eq. 13, of seconds or of joules."""

    tokens: Annotated[tuple[Tokens, ...], Field(strict=False, min_length=2)]  # nodes of D
    table: Positives  # D there; beyond the last node it goes on with the last slope
    head: NonNegative = 0.0  # per chunk or decoding request of the step
    decode: Mode
    mixed: Mode
    delta: NonNegative  # per chunk token and token before it
    eps: NonNegative  # per squared chunk token

    def of_tokens(self, tokens: Ints) -> Floats:
        """D of so many `tokens`, float[n]."""
        nodes, values = np.array(self.tokens, dtype=np.float64), np.array(self.table)
        slope = (values[-1] - values[-2]) / (nodes[-1] - nodes[-2])
        beyond = np.maximum(np.asarray(tokens, dtype=np.float64), nodes[-1]) - nodes[-1]
        return np.asarray(portable.interp(tokens, nodes, values) + slope * beyond)

    def of_steps(self, steps: Steps) -> Floats:
        """What each of `steps` takes, float[n]."""
        chunks = np.where(steps.prefill_tokens > 0, 1, 0)
        mode = tuple(np.where(chunks > 0, mixed, decode) for mixed, decode in zip(self.mixed, self.decode, strict=True))
        return np.asarray(
            step_cost(
                self.of_tokens(steps.prefill_tokens + steps.batch),
                steps.batch + chunks,
                steps.batch,
                steps.batch * steps.context,
                steps.prefill_tokens * steps.prefill_context,
                steps.prefill_tokens**2,
                (mode[0], mode[1], mode[2]),
                (self.head, self.delta, self.eps),
            )
        )


class Chunked(Part):
    """A replica's steps, what the host adds to each, and where the numbers come from."""

    source: Text
    times: Literal["measured", "derived"]
    energies: Literal["measured", "derived", "assumed"]
    active_w: Positive | None = None  # the power of every step, where its energy is assumed
    batch_max: Tokens  # where steps were fitted
    context: Annotated[tuple[Tokens, Tokens], Field(strict=False)]  # of each decoding request
    host_source: Text = "none: as on the bare device"
    host_s: NonNegative = 0.0  # the host's time in a step
    host_request_s: NonNegative = 0.0  # and for every chunk and decoding request in it
    time_s: Cost
    energy_j: Cost

    @property
    def seconds(self) -> Cost:
        """What a step takes in all, the host's time included."""
        return self.time_s.model_copy(
            update={
                "decode": (self.time_s.decode[0] + self.host_s, *self.time_s.decode[1:]),
                "mixed": (self.time_s.mixed[0] + self.host_s, *self.time_s.mixed[1:]),
                "head": self.time_s.head + self.host_request_s,
            }
        )

    @model_validator(mode="after")
    def _rules_between_values(self) -> Self:
        refuse(list(_broken(self)))
        return self


def _broken(chunked: Chunked) -> Iterator[str]:
    """Rules between values: one line for each that does not hold."""
    for key, cost in (("time_s", chunked.time_s), ("energy_j", chunked.energy_j)):
        if any(later <= earlier for earlier, later in pairwise(cost.tokens)):
            yield f"{key}.tokens = {list(cost.tokens)}, must increase"
        if len(cost.table) != len(cost.tokens):
            yield f"{key}.table has {len(cost.table)} values, must have {len(cost.tokens)}, one for each of tokens"
            continue
        falls = [
            tokens for tokens, (low, high) in zip(cost.tokens[1:], pairwise(cost.table), strict=True) if high < low
        ]
        if falls:
            yield f"{key}.table falls at {falls[0]} tokens, more tokens must not take less"
    if chunked.context[1] < chunked.context[0]:
        yield f"context = {list(chunked.context)} tokens, must begin below its end"
    if (chunked.energies == "assumed") != (chunked.active_w is not None):
        yield "active_w must be there if, and only if, energies are assumed"
