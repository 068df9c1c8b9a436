"""Laws of arrival within a slot: given a rate, the times at which requests arrive.

Each slot starts afresh in the law's stationary state, so that a slot can be drawn without those before it and the mean
rate is exactly the one asked for; bursts do not carry over from slot to slot.

Gaps and sojourns are whole nanoseconds: they are drawn with logarithms and powers whose last bits need not be the same
on every processor, and of times that add them up one in a thousand would be another nanosecond.
"""

from collections.abc import Callable
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

from glbdes.base import portable
from glbdes.scenario.demand import Workload
from glbdes.units import NS_PER_S

Floats = NDArray[np.float64]
Law = Callable[[np.random.Generator, float, float], Floats]


def law(workload: Workload) -> Law:
    """The law of `workload.arrivals`: (rng, rate in 1/s, seconds) to sorted times in s, in [0, seconds)."""
    return LAWS[workload.arrivals](workload)


def poisson(rng: np.random.Generator, rate: float, length_s: float) -> Floats:
    """A Poisson process: given their number, arrivals are uniform on the slot."""
    return np.sort(rng.random(rng.poisson(rate * length_s)) * length_s)


def gamma(rng: np.random.Generator, rate: float, length_s: float, cv2: float) -> Floats:
    """A renewal process whose gaps are gamma distributed, with mean 1/rate and squared coefficient of variation cv2.

    It is stationary (Cox, Renewal Theory, 1962, section 2.2): the slot falls at a uniform place into a gap picked in
    proportion to its length, which for a gamma law of shape k is a gamma law of shape k + 1.
    """
    if rate == 0:
        return np.empty(0)
    shape, scale = 1.0 / cv2, cv2 / rate
    times = _whole_ns(np.array([rng.random() * rng.gamma(shape + 1.0, scale)]))
    expected = rate * length_s
    while times[-1] < length_s * NS_PER_S:
        gaps = rng.gamma(shape, scale, size=ceil(expected + 4.0 * sqrt(expected * cv2) + 16.0))
        times = np.concatenate([times, times[-1] + np.cumsum(_whole_ns(gaps))])
    times = times / NS_PER_S
    return times[: np.searchsorted(times, length_s)]


def mmpp(
    rng: np.random.Generator, rate: float, length_s: float, factor: float, fraction: float, burst_mean_s: float
) -> Floats:
    """A Poisson process whose rate switches between calm and `factor` times that, in bursts.

    Sojourns are exponential, bursts with mean `burst_mean_s`; a share `fraction` of time is in bursts, and the slot
    begins in one with that probability. The mean rate is `rate` = calm rate * (1 - fraction + fraction * factor).
    """
    if rate == 0:
        return np.empty(0)
    calm = rate / (1.0 - fraction + fraction * factor)
    states = np.array([[calm * factor, burst_mean_s], [calm, burst_mean_s * (1.0 - fraction) / fraction]])
    if rng.random() >= fraction:
        states = states[::-1]
    rates, means_s = states.T
    switches, expected = np.zeros(1), np.zeros(1)  # times of switching; arrivals expected until then
    while switches[-1] < length_s:
        sojourns = _whole_ns(rng.exponential(means_s, size=(ceil(length_s / means_s.sum()) + 8, 2))) / NS_PER_S
        switches = np.concatenate([switches, switches[-1] + np.cumsum(sojourns)])
        expected = np.concatenate([expected, expected[-1] + np.cumsum(sojourns * rates)])
    total = float(portable.interp(length_s, switches, expected))
    return portable.interp(np.sort(rng.random(rng.poisson(total)) * total), expected, switches)


def _whole_ns(durations_s: Floats) -> Floats:
    """Durations in whole nanoseconds; sums of them are exact."""
    return np.rint(durations_s * NS_PER_S)


def _bursty_gaps(workload: Workload) -> Law:
    return lambda rng, rate, length_s: gamma(rng, rate, length_s, workload.burstiness_cv2)


def _bursts(workload: Workload) -> Law:
    factor, fraction, mean_s = workload.burst_factor, workload.burst_fraction, workload.burst_mean_s
    return lambda rng, rate, length_s: mmpp(rng, rate, length_s, factor, fraction, mean_s)


LAWS: dict[str, Callable[[Workload], Law]] = {
    "poisson": lambda workload: poisson,
    "gamma": _bursty_gaps,
    "mmpp": _bursts,
}
