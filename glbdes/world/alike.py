"""Pools of one model in one region under a load that plans have one column for: what falls to each of them.

`first` [r] has the first pool of the same region and model (`World.first_of`). What only one pool serves is its own, as
it is. Nothing here is random or decided by rounding: pools are gone through in an order that is given.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def gathered(values: NDArray[Any], first: Ints | None) -> NDArray[Any]:
    """[r] sums over the pools that are alike, with the first of them; 0 with the others."""
    if first is None:
        return values
    found = np.zeros_like(values)
    np.add.at(found, first, values)
    return found


def together(values: NDArray[Any], first: Ints) -> NDArray[Any]:
    """The same with each of them."""
    return gathered(values, first)[first]


def least(values: Floats, first: Ints | None) -> Floats:
    """[r] the least of `values` [r] of the pools that are alike."""
    return values if first is None else np.array([values[first == lead].min() for lead in first.tolist()])


def poured(load_rps: Floats, first: Ints | None, order: Ints, *rooms_rps: Floats) -> Floats:
    """[r] of `load_rps` [r] what falls to each pool if they are filled one after the other, `order` [r] naming them.

    They are filled up to the first of `rooms_rps` [r] each, then up to the second. What fits in none falls to nobody.
    """
    if first is None:
        return load_rps
    left, found = gathered(load_rps, first), np.zeros_like(load_rps)
    for room_rps in rooms_rps:
        for r in order.tolist():
            more = max(min(left[first[r]], room_rps[r] - found[r]), 0.0)
            found[r] += more
            left[first[r]] -= more
    return np.where(alone(first), load_rps, found)


def spread(load_rps: Floats, first: Ints | None, room_rps: Floats) -> Floats:
    """[r] of `load_rps` [r] what falls to each pool if all are filled alike, in proportion to `room_rps` [r]."""
    if first is None:
        return load_rps
    rooms_rps = together(room_rps, first)
    shares = np.divide(room_rps, rooms_rps, out=np.zeros_like(room_rps), where=rooms_rps > 0)
    return np.where(alone(first), load_rps, together(load_rps, first) * shares)


def alone(first: Ints) -> NDArray[np.bool_]:
    """[r] whether no other pool is like it."""
    return np.asarray(np.bincount(first, minlength=len(first))[first] == 1)
