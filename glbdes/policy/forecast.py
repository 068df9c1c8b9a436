"""Forecasts of a series from its past: one function each, all of the form `f(known, n, day) -> [n, ...]`.

known : float[m, ...], the series up to and including the present slot, m >= 1. n : how many slots after it. day : slots
that a day has. None of them sees anything else; what they cannot look back on yet, they take from what there is.
"""

from collections.abc import Callable

import numpy as np

from glbdes.units import H_PER_DAY, S_PER_H
from glbdes.world import Floats

Forecast = Callable[[Floats, int, int], Floats]

DAYS_KEPT = 3  # of `trailing`
DECAY = 0.7  # of `hourly`: what a day is worth against the day after it
DAYS_MEANT = 14  # of `hourly`: DECAY ** 14 < 0.01
DAYS_SEEN = max(1, DAYS_KEPT, DAYS_MEANT)  # what none of them looks back beyond


def persistence(known: Floats, n: int, day: int) -> Floats:
    """Everything stays as it is."""
    return known[[-1] * n]


def seasonal(known: Floats, n: int, day: int) -> Floats:
    """Everything is as it was a day before."""
    return _cycle(known, n, day)


def trailing(known: Floats, n: int, day: int) -> Floats:
    """The last `DAYS_KEPT` days come again."""
    days = min(DAYS_KEPT, max(len(known) // day, 1))
    return _cycle(known, n, days * day)


def hourly(known: Floats, n: int, day: int) -> Floats:
    """The mean of the same hour of past days, a day weighing `DECAY` of the one after it."""
    total, weight = np.zeros((n, *known.shape[1:])), np.zeros(n)
    share = 1.0
    for back in range(1, DAYS_MEANT + 1):
        slot = len(known) + np.arange(n) % day - back * day
        there = slot >= 0
        total[there] += share * known[slot[there]]
        weight[there] += share
        share *= DECAY
    found = weight > 0
    total[found] /= weight[found].reshape(-1, *[1] * (known.ndim - 1))
    total[~found] = known[-1]
    return total


FORECASTS: dict[str, Forecast] = {
    "persistence": persistence,
    "seasonal": seasonal,
    "trailing": trailing,
    "hourly": hourly,
}


def slots_per_day(slot_s: float) -> int:
    """At least one."""
    return max(round(H_PER_DAY * S_PER_H / slot_s), 1)


def _cycle(known: Floats, n: int, period: int) -> Floats:
    """The last `period` slots again and again, or all that are known if they are fewer."""
    period = min(period, len(known))
    return known[len(known) - period + np.arange(n) % period]
