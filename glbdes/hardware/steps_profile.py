"""A whole profile from measured steps, whose file says nothing of the replica around them."""

from typing import NamedTuple

import numpy as np
from pydantic import ValidationError

from glbdes.errors import ProfileError
from glbdes.hardware.chunked import Chunked, Cost
from glbdes.hardware.fit_steps import Band, Region, bands, fit_chunked
from glbdes.hardware.measurements import Residual, Steps
from glbdes.hardware.profile import Iteration, Prefill, Profile
from glbdes.scenario.complaints import complaints


class Replica(NamedTuple):
    """What a file of steps does not say."""

    name: str
    gpu: str
    model: str
    max_batch: int
    kv_tokens: int
    idle_w: float
    sleep_w: float


def profile_of(
    steps: Steps, region: Region, replica: Replica, source: str, active_w: float | None
) -> tuple[Profile, list[Band]]:
    """The profile that explains `steps` in `region` best, and its residuals in bands of the grid.

    An iteration and a prompt of `prefill_first` are made of the same coefficients: a + beta*b + gamma*K through D at
    one token and at the largest batch fitted, and whole prompts at the nodes of D. `source`: the file's name.

    Raises `ProfileError` as `fit_chunked` does, and where what explains them is no profile.
    """
    try:
        chunked = fit_chunked(steps, region, source, active_w)
        profile = Profile(
            **replica._asdict(),
            iteration=_iteration(chunked),
            prefill=_prefill(chunked),
            chunked=chunked,
        )
    except ValidationError as error:
        told = "; ".join(complaints(error, Profile))
        raise ProfileError(f"{source}: the fit is no profile: {told}") from error
    return profile, bands(chunked, steps, region)


def residuals(found: list[Band]) -> list[Residual]:
    """The bands that were fitted, as the head of a profile's file tells them."""
    return [
        Residual(f"{band.kind}, batch {band.batch}, context {band.context}", band.points, band.mean, band.worst, "")
        for band in found
        if band.fitted
    ]


def _iteration(chunked: Chunked) -> Iteration:
    (a_s, beta_s, gamma_s), (e0_j, e1_j, e2_j) = (
        _line(cost, chunked.batch_max) for cost in (chunked.time_s, chunked.energy_j)
    )
    return Iteration(a_s=a_s, beta_s=beta_s, gamma_s=gamma_s, e0_j=e0_j, e1_j=e1_j, e2_j=e2_j)


def _line(cost: Cost, most: int) -> tuple[float, float, float]:
    """a, beta, gamma of decode-only steps, exact at batches of 1 and of `most`."""
    a, beta, gamma = cost.decode
    first, last = (float(each) for each in cost.of_tokens(np.array([1, max(most, 2)])))
    slope = (last - first) / (max(most, 2) - 1)
    return first - slope + a, slope + beta + cost.head, gamma


def _prefill(chunked: Chunked) -> Prefill:
    tokens = np.array(chunked.time_s.tokens, dtype=np.int64)
    zero = 0 * tokens
    prompts = Steps(tokens, zero, zero, zero, zero.astype(np.float64), None)
    last = chunked.time_s.table[-1] - chunked.time_s.table[-2]
    return Prefill(
        tokens=tuple(tokens.tolist()),
        time_s=tuple(chunked.time_s.of_steps(prompts).tolist()),
        energy_j=tuple(chunked.energy_j.of_steps(prompts).tolist()),
        beyond_s=(last / float(tokens[-1] - tokens[-2]), chunked.time_s.eps),
    )
