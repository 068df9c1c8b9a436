"""Coefficients of steps from a grid of decode iterations and single prompts, where no mixed step was measured.

A step without chunks takes what an iteration takes, and a step of one whole prompt what that prompt takes, exactly, at
the measured lengths. Between them nothing was measured; assumed is that a mixed step reads the weights once, that its
tokens share one table whoever has them computed, and that a chunk's attention costs the same for every pair of tokens:
c^2/2 pairs within it, c k with the k before it, so delta = 2 eps.
"""

from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from glbdes.hardware.chunked import Chunked, Cost
from glbdes.hardware.fit_steps import with_host
from glbdes.hardware.measurements import Floats

if TYPE_CHECKING:
    from glbdes.hardware.profile import Profile

SOURCE = "derived from decode iterations and single prompts; no mixed step was measured"


def derived(profile: "Profile") -> Chunked:
    """The chunked part of a profile that has none."""
    tokens, serving = np.array(profile.prefill.tokens), profile.serving
    seconds, joules = profile.prefill_of(tokens)
    last_s = 1.0 if serving.prefill_factor is None else serving.prefill_factor[-1]
    last_w = profile.prefill.energy_j[-1] / profile.prefill.time_s[-1]
    square = 0.0 if profile.prefill.beyond_s is None else profile.prefill.beyond_s[1]
    host_s = serving.iteration_s + serving.request_s  # of a step with one prompt
    time = (profile.iteration.a_s, profile.iteration.beta_s, profile.iteration.gamma_s)
    energy = (profile.e0_j, profile.e1_j, profile.e2_j)
    bare = Chunked(
        source=SOURCE,
        times="derived",
        energies="derived",
        batch_max=profile.max_batch,
        context=(1, max(profile.kv_tokens // profile.max_batch, 1)),
        time_s=_cost(profile, time, seconds - host_s, square * last_s),
        energy_j=_cost(profile, energy, joules, square * last_w * serving.energy_factor),
    )
    return with_host(bare, serving.iteration_s, serving.request_s, f"as in [serving]: {serving.source}"[:1000])


def _cost(
    profile: "Profile",
    iteration: tuple[float, float, float],
    prompts: Floats,
    eps: float,
) -> Cost:
    """D through a decode iteration at its first token and whole `prompts` [n] at their lengths, never falling."""
    a, beta, gamma = iteration
    lengths = profile.prefill.tokens
    whole = [max(float(cost) - eps * n * n, a) for cost, n in zip(prompts, lengths, strict=True)]
    rise = (whole[0] - a) / lengths[0]
    nodes, values = [1], [a + min(rise, beta)]
    if rise > beta and min(profile.max_batch, lengths[0] - 1) > 1:  # prompts fill the device more than batches do
        nodes.append(min(profile.max_batch, lengths[0] - 1))
        values.append(a + beta * nodes[-1])
    return Cost(
        tokens=(*nodes, *lengths),
        table=tuple(accumulate([*values, *whole], max)),
        decode=(0.0, max(beta - rise, 0.0), gamma),
        mixed=(0.0, max(beta - rise, 0.0), gamma),
        delta=2 * eps,
        eps=eps,
    )
