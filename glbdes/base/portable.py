"""Functions of arrays that give the same bits on every processor.

IEEE 754 fixes sums, products, quotients and square roots of two numbers to the last bit. It does not fix `exp`, `log`
and `cos`, of which NumPy and the C library have several versions for several processors, nor the order in which BLAS
adds up a product of matrices, nor whether a compiler fuses a product with a sum. What policies branch upon and what is
written must not depend on any of that, so it is made here of single operations on whole arrays, in an order of our own.
Errors stay below 4 units in the last place.

What comes from a solver or from somebody's own policy cannot be had to the last bit: it is `rounded` or `settled`.
"""

from math import factorial, pi
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

LEAST: Final = 1e-290  # to be rounded: 10^decimals must be a number too
DECIMALS: Final = 12  # that are kept by rounding
# ln 2 in two parts. The first has 21 trailing zeros, so that its product with any exponent is exact.
LN2_HIGH: Final = float.fromhex("0x1.62e42feep-1")
LN2_LOW: Final = float.fromhex("0x1.a39ef35793c76p-33")
_LOWEST: Final = -746.0  # e to this is 0
_HIGHEST: Final = 710.0  # e to this is infinite
_EXP: Final = tuple(1.0 / factorial(n) for n in range(14))  # |x| <= ln(2) / 2
LOG: Final = tuple(2.0 / (2 * n + 1) for n in range(12))  # of (x - 1) / (x + 1), which is below 0.172
_COS: Final = tuple((-1) ** n / factorial(2 * n) for n in range(12))  # |x| <= pi / 2


def exp(x: ArrayLike) -> Floats:
    """e^x = 2^k e^r, with |r| <= ln(2) / 2. Any shape."""
    x = np.clip(np.asarray(x, dtype=np.float64), _LOWEST, _HIGHEST)
    k = np.rint(x / LN2_HIGH)
    return np.asarray(np.ldexp(_polynomial(_EXP, (x - k * LN2_HIGH) - k * LN2_LOW), k.astype(np.int32)))


def log(x: ArrayLike) -> Floats:
    """The natural logarithm of x > 0, any shape: of x = 2^k m it is k ln 2 + 2 artanh((m - 1) / (m + 1))."""
    m, k = np.frexp(np.asarray(x, dtype=np.float64))
    small = m < np.sqrt(0.5)
    m, k = np.where(small, 2.0 * m, m), k - small
    s = (m - 1.0) / (m + 1.0)
    return np.asarray(k * LN2_HIGH + (k * LN2_LOW + s * _polynomial(LOG, s * s)))


def log1p(x: ArrayLike) -> Floats:
    """log(1 + x) for x > -1, any shape, as exact for small x: what 1 + x has lost is put right by a factor."""
    x = np.asarray(x, dtype=np.float64)
    y = 1.0 + x
    lost = y - 1.0
    return np.asarray(np.where(lost == 0.0, x, log(y) * (x / np.where(lost == 0.0, 1.0, lost))))


def cos_turns(turns: ArrayLike) -> Floats:
    """cos(2 pi turns), any shape; exact at multiples of a quarter."""
    away = np.abs(np.asarray(turns, dtype=np.float64))
    away = np.abs(away - np.rint(away))  # from the nearest whole turn, in [0, 1/2]
    far = away > 0.25
    x = 2.0 * pi * np.where(far, 0.5 - away, away)
    near = np.where(away == 0.25, 0.0, _polynomial(_COS, x * x))
    return np.asarray(np.where(far, -near, near))


def product(left: ArrayLike, right: ArrayLike) -> Floats:
    """The matrix product of `left` [..., k] and `right` [k] or [k, n], added up from the first k to the last."""
    left, right = np.asarray(left, dtype=np.float64), np.asarray(right, dtype=np.float64)
    total = np.zeros((*left.shape[:-1], *right.shape[1:]))
    for k in range(len(right)):
        column = left[..., k]
        total += (column if right.ndim == 1 else column[..., None]) * right[k]
    return total


def interp(x: ArrayLike, nodes: ArrayLike, values: ArrayLike) -> Floats:
    """Linear between increasing `nodes` [n] with `values` [n], constant beyond them; `x` of any shape."""
    x, nodes, values = (np.asarray(array, dtype=np.float64) for array in (x, nodes, values))
    if len(nodes) == 1:
        return np.full(x.shape, values[0])
    left = np.clip(np.searchsorted(nodes, x, side="right") - 1, 0, len(nodes) - 2)
    width = nodes[left + 1] - nodes[left]
    slope = (values[left + 1] - values[left]) / np.where(width > 0, width, 1.0)
    between = slope * (x - nodes[left]) + values[left]
    return np.where(x >= nodes[-1], values[-1], np.where(x <= nodes[0], values[0], between))


def rounded(values: ArrayLike) -> Floats:
    """`values`, any shape, of the order of 1, to `DECIMALS` decimals."""
    return np.asarray(np.round(np.asarray(values, dtype=np.float64), DECIMALS), dtype=np.float64)


def settled(values: ArrayLike) -> Floats:
    """`values`, any shape, to `DECIMALS` decimals after the first digit of the largest.

    Where that is smaller than can be rounded (1e-290) they are as they were.
    """
    values = np.asarray(values, dtype=np.float64)
    largest = float(np.abs(values).max(initial=0.0))
    if not LEAST < largest < np.inf:
        return values.copy()
    return np.asarray(np.round(values, DECIMALS - int(f"{largest:e}".partition("e")[2])))


def graded(values: ArrayLike, axis: int | None = None) -> Floats:
    """`values`, any shape, as whole numbers of which the largest (along `axis`) is 10^`DECIMALS`: what only rounding
    errors tell apart is equal, and sums of some thousands are exact."""
    values = np.asarray(values, dtype=np.float64)
    largest = np.abs(values).max(axis=axis, keepdims=True, initial=0.0)
    return np.asarray(np.rint(values / np.where(largest > 0, largest, 1.0) * 10.0**DECIMALS))


def _polynomial(coefficients: tuple[float, ...], x: Floats) -> Floats:
    """Horner's scheme, by `coefficients` of rising powers."""
    total = np.full(x.shape, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = total * x + coefficient
    return total
