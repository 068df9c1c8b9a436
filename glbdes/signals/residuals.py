"""Correlated, autocorrelated, skewed noise: what is random in the synthetic signals. Arrays are [hours, series].

A series is a sum of Gaussian AR(1) processes, one for each of a few common time scales tau (phi = e^(-1/tau), tau = 0
is white noise), with the variances `weights[series, scale]`. This module knows no signals, regions or units.
"""

from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from glbdes.units import H_PER_DAY

Floats = NDArray[np.float64]

BANDS: Final = 9  # of frequency, evenly spaced in its logarithm, whose power `shaped` sets
MATCHING_ROUNDS: Final = 12  # correlation and spectrum disturb each other less each round
EIGENVALUE_FLOOR: Final = 1e-9


def drawn(
    weights: Floats, scales_h: tuple[float, ...], correlation: Floats, hours: int, rng: np.random.Generator
) -> Floats:
    """A stationary draw whose series have `correlation` as far as their time scales overlap."""
    factor = _power(_innovations(correlation, weights), 0.5)
    total = np.zeros((hours, len(weights)))
    for k, scale in enumerate(scales_h):
        noise = rng.standard_normal((hours, len(weights))) @ factor
        phi = _phi(scale)
        state = noise[0]
        for t in range(hours):
            state = phi * state + np.sqrt(1 - phi**2) * noise[t] if t else noise[0]
            total[t] += np.sqrt(weights[:, k]) * state
    return total


def matched(values: Floats, weights: Floats, scales_h: tuple[float, ...], correlation: Floats) -> Floats:
    """`values`, standardised and moved until the sample's own correlation and spectrum are the wanted ones.

    Alternating projections: the least linear map to the correlation, then the power of each band of frequencies.
    """
    for _ in range(MATCHING_ROUNDS):
        values = centred(shaped(centred(recoloured(centred(values), correlation)), weights, scales_h))
    return np.asarray(values / values.std(axis=0), dtype=np.float64)


def centred(values: Floats) -> Floats:
    """`values` less the mean of each hour of the day."""
    hour = np.arange(len(values)) % H_PER_DAY
    means = np.array([values[hour == h].mean(axis=0) for h in range(min(H_PER_DAY, len(values)))])
    return np.asarray(values - means[hour], dtype=np.float64)


def recoloured(values: Floats, correlation: Floats) -> Floats:
    """`values`, standardised and moved as little as a linear map can, to have exactly this sample correlation.

    The least map from covariance S to R is S^-1/2 (S^1/2 R S^1/2)^1/2 S^-1/2 (optimal transport of Gaussians).
    """
    z = values / values.std(axis=0)
    covariance = z.T @ z / len(z)
    root, inverse = _power(covariance, 0.5), _power(covariance, -0.5)
    return np.asarray(z @ (inverse @ _power(root @ correlation @ root, 0.5) @ inverse), dtype=np.float64)


def shaped(values: Floats, weights: Floats, scales_h: tuple[float, ...]) -> Floats:
    """`values` with the expected power of their AR(1) sums in each of `BANDS` bands of frequency; phases stay."""
    hours = len(values)
    wanted = np.array([_expected_power(scale, hours) for scale in scales_h]).T @ weights.T
    transform = np.fft.rfft(values, axis=0)
    edges = np.unique(np.round(np.geomspace(1, len(transform), BANDS)).astype(np.int64))
    for low, high in pairwise(edges):
        has = (np.abs(transform[low:high]) ** 2).sum(axis=0)
        transform[low:high] *= np.sqrt(wanted[low:high].sum(axis=0) / np.maximum(has, np.finfo(np.float64).tiny))
    transform[0] = 0.0
    return np.asarray(np.fft.irfft(transform, hours, axis=0), dtype=np.float64)


def skewed(z: Floats, skewness: float) -> Floats:
    """Standard normal `z` as a standardised shifted lognormal of that skewness: (e^kz - e^(k^2/2)) / deviation.

    With w = e^(k^2) the skewness is (w + 2) sqrt(w - 1); its root in closed form is sqrt(w - 1) = u - 1/u with
    u^3 = skewness/2 + sqrt(1 + skewness^2/4).
    """
    if abs(skewness) < 1e-3:
        return z
    u = np.cbrt(abs(skewness) / 2 + np.sqrt(1 + skewness**2 / 4))
    w = 1 + (u - 1 / u) ** 2
    k, side = np.sqrt(np.log(w)), np.sign(skewness)
    return np.asarray(side * (np.exp(k * side * z) - np.sqrt(w)) / np.sqrt(w * (w - 1)), dtype=np.float64)


def _phi(scale_h: float) -> float:
    return float(np.exp(-1 / scale_h)) if scale_h > 0 else 0.0


def _expected_power(scale_h: float, hours: int) -> Floats:
    """E |rfft|^2 of `hours` of a unit AR(1): the transform of its autocovariance under the triangle, lags wrapped."""
    phi, lag = _phi(scale_h), np.arange(hours)
    wrapped = (hours - lag) * phi**lag + lag * phi ** (hours - lag)
    return np.maximum(np.fft.rfft(wrapped).real, 0.0)


def _innovations(correlation: Floats, weights: Floats) -> Floats:
    """Correlation of innovations that gives series `correlation`, made positive semidefinite where it cannot be."""
    share = np.sqrt(weights / weights.sum(axis=1, keepdims=True))
    wanted = np.clip(correlation / np.maximum(share @ share.T, 1e-3), -0.95, 0.95)
    np.fill_diagonal(wanted, 1.0)
    possible = _power(np.asarray(wanted), 1.0)
    scale = np.sqrt(np.diag(possible))
    return np.asarray(possible / np.outer(scale, scale), dtype=np.float64)


def _power(matrix: Floats, exponent: float) -> Floats:
    """A symmetric matrix to a real power, eigenvalues below the floor raised to it."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return np.asarray((vectors * np.maximum(values, EIGENVALUE_FLOOR) ** exponent) @ vectors.T, dtype=np.float64)
