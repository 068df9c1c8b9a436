"""Expected waiting in a region's queue as a convex, piecewise-linear function of its load.

With W(u) the mean wait of a request in a region at utilisation u of its capacity, lambda W(u) requests wait on average
(Little's law), which is a price that plans can weigh. Cut into pieces, it is a linear programme's: each piece of the
load has a width and a marginal wait, and no later piece is cheaper than an earlier one. W comes from a table of the
user's, or from the M/M/c queue (Erlang C), c being the requests that all replicas hold together:

    W(u) = C / (capacity (1 - u))       C = B / (1 - u (1 - B))       B[c] = a B[c-1] / (c + a B[c-1]),  a = c u

Exact at the knots between pieces, and above the convex function between them.
"""

from functools import cache
from math import exp, inf, lgamma, log
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincc

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MOST_STEPS: Final = 100_000  # of the recursion, a hundredth of a second
KNOTS = (0.0, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 0.99)  # of utilisation, for Erlang C


class Waiting(NamedTuple):
    """Pieces of each region's load, [n, r], from the first used to the last; widths add up to what plans may use."""

    width_rps: Floats
    wait_s: Floats  # what one more request/s of this piece adds to the requests that wait: seconds, non-decreasing

    def requests(self, load_rps: Floats) -> Floats:
        """[..., r] requests that wait on average at `load_rps` [..., r]; beyond the last piece as in it."""
        before = np.cumsum(self.width_rps, axis=0) - self.width_rps
        room = self.width_rps.copy()
        room[-1] = np.inf
        filled = np.clip(load_rps[..., None, :] - before, 0.0, room)
        return np.asarray((filled * self.wait_s).sum(axis=-2))


def erlang_c_wait_s(servers: int, capacity_rps: float, utilisation: float) -> float:
    """Mean wait of the M/M/c queue whose c `servers` together serve `capacity_rps`; `utilisation` in [0, 1)."""
    blocked = _erlang_b(servers, servers * utilisation)
    waits = blocked / (1 - utilisation * (1 - blocked))
    return waits / (capacity_rps * (1 - utilisation))


@cache
def _erlang_b(servers: int, offered: float) -> float:
    """The share that finds all of so many servers busy, of a load offered to them."""
    if servers > MOST_STEPS:  # the same as the Poisson law's: its mass at c over what it has up to c
        log_mass = servers * log(offered) - offered - lgamma(servers + 1) if offered > 0 else -inf
        return exp(log_mass) / float(gammaincc(servers + 1, offered))
    blocked = 1.0  # by its recursion in c
    for c in range(1, servers + 1):
        blocked = offered * blocked / (c + offered * blocked)
    return blocked


def from_wait(utilisation: Floats, wait_s: Floats, capacity_rps: Floats, most: float) -> Waiting:
    """The pieces of mean waits `wait_s` [knot, r] at `utilisation` [knot], from 0 up to `most` of `capacity_rps` [r].

    The last piece goes on as steeply as it began if `most` lies beyond the last knot. Raises `ValueError` if waits in
    requests, utilisation * wait, are not convex.
    """
    waiting = utilisation[:, None] * capacity_rps * wait_s  # [knot, r]
    slope = np.diff(waiting, axis=0) / (np.diff(utilisation)[:, None] * capacity_rps)
    steeper = np.diff(slope, axis=0, prepend=np.zeros((1, len(capacity_rps))))
    if (steeper < -1e-12 * np.abs(slope).max()).any():
        knot = int(np.argwhere((steeper < -1e-12 * np.abs(slope).max()).any(axis=1))[0, 0])
        raise ValueError(
            f"utilisation x wait must be convex, but grows more slowly from {utilisation[knot]:g} on than before"
        )
    ends = np.append(utilisation[1:-1], np.inf)
    widths = np.diff(np.minimum(np.append(0.0, ends), most))
    used = widths > 0
    return Waiting(widths[used, None] * capacity_rps, slope[used])


def erlang_c(servers: Ints, capacity_rps: Floats, most: float) -> Waiting:
    """The pieces for M/M/c queues with `servers` [r] that together serve `capacity_rps` [r]."""
    utilisation = np.array(KNOTS)
    wait_s = [
        [erlang_c_wait_s(int(c), float(rps), u) for c, rps in zip(servers, capacity_rps, strict=True)] for u in KNOTS
    ]
    return from_wait(utilisation, np.array(wait_s), capacity_rps, most)
