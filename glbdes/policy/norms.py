"""Norms of regional footprints, seen from their multipliers.

The objective holds ||b[k]||_q for each footprint k, priced and weighted by region. A norm is the largest <gamma, b>
over the multipliers of its dual unit ball, so these are where multipliers live and what its price is shared out by:

    q = inf   gamma >= 0, sum_r gamma = 1    the largest region's footprint
    q = 2     gamma >= 0, ||gamma||_2 <= 1   the Euclidean length
    q = 1     gamma = 1                      the sum
"""

from math import inf, sqrt

import numpy as np

from glbdes.base import portable
from glbdes.world import Floats

SUM_TOLERANCE = 1e-9  # multipliers on the edge of the ball but for rounding do not lie outside


def softmax(exponent: Floats) -> Floats:
    """Positive weights [k, r] that sum to 1 over the regions."""
    weights = portable.exp(exponent - exponent.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def leader(norm: float, push: Floats) -> Floats:
    """Multipliers [k, r] that follow the regularised leader of `push` = eta * footprints so far [k, r].

    argmax <push, gamma> - regulariser over the norm's dual ball: entropy for q = inf (softmax), half the square for
    q = 2 (the projection of `push` onto the ball), none needed for q = 1.
    """
    if norm == inf:
        return softmax(push)
    if norm == 1:
        return np.ones_like(push)
    return np.asarray(push / np.maximum(np.linalg.norm(push, axis=1, keepdims=True), 1.0))


def allotment(norm: float, gamma: Floats, z_max: Floats) -> Floats:
    """z[k, r] = argmin ||z||_q - <gamma, z> over 0 <= z <= `z_max` [k], for each k; `gamma` [k, r] >= 0.

    Nothing while gamma lies in the dual ball. Outside, q = inf gives z_max wherever gamma > 0, q = 1 wherever
    gamma > 1, and q = 2 gives min(z_max, s gamma), s being the length of z: with n regions at z_max, those of the
    largest gamma, s^2 = n z_max^2 / (1 - the other gammas' squares).
    """
    if norm == inf:
        exceeds = gamma.sum(axis=1) > 1 + SUM_TOLERANCE
        return np.where(exceeds[:, None] & (gamma > 0), z_max[:, None], 0.0)
    if norm == 1:
        return np.where(gamma > 1 + SUM_TOLERANCE, z_max[:, None], 0.0)
    return np.stack([_euclidean(row, float(most)) for row, most in zip(gamma, z_max, strict=True)])


def _euclidean(gamma: Floats, z_max: float) -> Floats:
    """`allotment` of q = 2 for one footprint, [r]."""
    square = float((gamma * gamma).sum())
    if square <= 1 + SUM_TOLERANCE:
        return np.zeros_like(gamma)
    falling = np.sort(gamma)[::-1]
    others = square
    for full, largest in enumerate(falling.tolist(), start=1):
        others -= largest * largest
        length = z_max * sqrt(full / (1 - others)) if others < 1 else inf
        if full == len(falling) or falling[full] * length < z_max:
            break
    return np.minimum(z_max, np.where(gamma > 0, length * gamma, 0.0))
