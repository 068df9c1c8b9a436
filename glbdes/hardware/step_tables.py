"""What steps take, as arrays for engines: of each profile the tables and coefficients of eq. 13, host included."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from glbdes.hardware.chunked import Chunked, Cost
from glbdes.hardware.measurements import Floats


class StepTables(NamedTuple):
    """How replicas schedule in chunks. p: profiles; t: tokens, 0 .. budget; m: decode, mixed."""

    budget: int  # most tokens of a step
    block_tokens: int
    whole_prompts: bool  # admission needs blocks for all known tokens, not only for the first chunk
    tokens_s: Floats  # [p, t] the table D
    tokens_j: Floats
    modes_s: Floats  # [p, m, 3] a, beta, gamma
    modes_j: Floats
    each_s: Floats  # [p, 3] h, delta, eps
    each_j: Floats


def step_tables(profiles: Sequence[Chunked], budget: int, block_tokens: int, whole_prompts: bool) -> StepTables:
    """The arrays of `profiles`."""
    seconds, joules = [one.seconds for one in profiles], [one.energy_j for one in profiles]
    tokens = np.arange(budget + 1)

    def table(costs: Sequence[Cost]) -> Floats:
        return np.stack([cost.of_tokens(tokens) for cost in costs])

    def modes(costs: Sequence[Cost]) -> Floats:
        return np.array([[cost.decode, cost.mixed] for cost in costs])

    def each(costs: Sequence[Cost]) -> Floats:
        return np.array([[cost.head, cost.delta, cost.eps] for cost in costs])

    return StepTables(
        budget=budget,
        block_tokens=block_tokens,
        whole_prompts=whole_prompts,
        tokens_s=table(seconds),
        tokens_j=table(joules),
        modes_s=modes(seconds),
        modes_j=modes(joules),
        each_s=each(seconds),
        each_j=each(joules),
    )
