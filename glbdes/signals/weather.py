"""From weather to the water that evaporates on site: wet-bulb temperature, and WUE as a function of it.

R. Stull, "Wet-bulb temperature from relative humidity and air temperature", J. Appl. Meteor. Climatol. 50 (2011): a
fit, within -1 and +0.65 K for 5 to 99 % humidity and -20 to 50 degC at sea level. P. Li, J. Yang, M. A. Islam, S. Ren,
"Making AI less thirsty" (arXiv 2304.03271): WUE of a cooling tower, fitted to a tower's data by the same group.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from glbdes.errors import SignalError

Floats = NDArray[np.float64]

LEAST_WUE_L_PER_KWH: Final = 0.05  # humidity is kept up in the cold, too


def stull_wet_bulb_c(air_c: Floats, humidity_percent: Floats) -> Floats:
    """Wet-bulb temperature, degC, by Stull (2011), eq. 1; never above that of the air."""
    t, rh = air_c, np.clip(humidity_percent, 0.0, 100.0)
    fitted = (
        t * np.arctan(0.151977 * np.sqrt(rh + 8.313659))
        + np.arctan(t + rh)
        - np.arctan(rh - 1.676331)
        + 0.00391838 * rh**1.5 * np.arctan(0.023101 * rh)
        - 4.686035
    )
    return np.asarray(np.minimum(fitted, t), dtype=np.float64)


def exact_wet_bulb_c(air_c: Floats, humidity_percent: Floats, elevation_m: float) -> Floats:
    """Wet-bulb temperature, degC, by psychrolib at the standard pressure of `elevation_m`; NaN where weather is.

    Raises `SignalError` if psychrolib, an extra of the package, is not installed, or has no answer.
    """
    try:
        psychrolib: Any = import_module("psychrolib")
    except ImportError as error:
        remedy = "pip install glbdes[weather], or take --wet-bulb stull"
        raise SignalError(f"--wet-bulb exact: needs psychrolib, which is not installed; {remedy}") from error
    psychrolib.SetUnitSystem(psychrolib.SI)
    pressure_pa = psychrolib.GetStandardAtmPressure(elevation_m)
    wet_bulb: Callable[[float, float, float], float] = psychrolib.GetTWetBulbFromRelHum
    found = np.full(len(air_c), np.nan)
    known = ~(np.isnan(air_c) | np.isnan(humidity_percent))
    try:
        for i in np.flatnonzero(known):
            humidity = min(max(humidity_percent[i] / 100, 0.0), 1.0)
            found[i] = wet_bulb(float(air_c[i]), float(humidity), pressure_pa)
    except ValueError as error:
        told = f"{air_c[i]:g} degC and {humidity_percent[i]:g} % have no wet-bulb temperature"
        raise SignalError(f"--wet-bulb exact: {told}: {error}") from error
    return found


def ren_wue_l_per_kwh(wet_bulb_c: Floats, cycles: float) -> Floats:
    """WUE = max(0.05, S / (S - 1) (6e-5 Tw^3 - 0.01 Tw^2 + 0.61 Tw - 10.4)), Tw in degF, S cycles of concentration.

    Raises `SignalError` unless `cycles` > 1.
    """
    if not 1 < cycles < np.inf:
        raise SignalError(f"--cycles = {cycles:g}, must be > 1: water that is used once concentrates nothing")
    tw = wet_bulb_c * 9 / 5 + 32
    evaporated = 6e-5 * tw**3 - 0.01 * tw**2 + 0.61 * tw - 10.4
    return np.asarray(np.maximum(LEAST_WUE_L_PER_KWH, cycles / (cycles - 1) * evaporated), dtype=np.float64)
