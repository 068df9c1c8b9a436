"""Signs that stamps of prices were made local twice: the series is hours late, and begins with hours that were filled.

Two signs. **A run at the start**: the first hours are all equal, as no later hours are: what was pushed out of the file
was filled with the first value. **Hours of the day**: prices are highest in the middle of the local night, or go up (or
down) all through local noon without a peak in the afternoon (or morning) to go to (or come from).
"""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from glbdes.errors import SignalError
from glbdes.units import H_PER_DAY, NS_PER_S, S_PER_H

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HOUR_NS: Final = S_PER_H * NS_PER_S
LEAST_RUN_H: Final = 3.0  # equal at the start
USUAL_DAYS: Final = 10  # a run in so many days, and it is how this price is made: a tariff
LEAST_DAYS: Final = 14  # to speak of hours of the day
LEAST_T: Final = 4.0  # standard errors, of the mean over days
NOON: Final = range(9, 16)
NIGHT: Final = (22, 23, 0, 1, 2, 3, 4)
DAYTIME: Final = range(8, 21)
AFTERNOON: Final = range(14, 22)
MORNING: Final = range(5, 11)
REMEDY: Final = "get it from the market's operator, or say --accept shifted if you know better"


def check(price: Floats, utc_ns: Ints, rows: Ints, local_h: Ints | None, path: Path) -> str:
    """Raise `SignalError` with the evidence if prices look hours late; else what was looked at, in words.

    price : float[n], NaN where unknown; utc_ns, rows : int[n]; local_h : int[n], hours of the local clock, if known
    """
    known = ~np.isnan(price)
    if not known.any():
        return "no prices"
    _start(price[known], utc_ns[known], rows[known], path)
    if local_h is None:
        return "start; not hours of the day, since local time is unknown (--local)"
    return "start; " + _hours(price[known], utc_ns[known], local_h[known], path)


def _start(price: Floats, utc_ns: Ints, rows: Ints, path: Path) -> None:
    begin = np.flatnonzero(np.concatenate([[True], np.diff(price) != 0]))
    if len(begin) < 2:
        return  # one price for ever
    ends = np.append(utc_ns[begin[1:]], utc_ns[-1] + utc_ns[1] - utc_ns[0])
    lasts_h = (ends - utc_ns[begin]) / HOUR_NS
    if lasts_h[0] < LEAST_RUN_H:
        return
    days = (utc_ns[-1] - utc_ns[0]) / HOUR_NS / H_PER_DAY
    if (lasts_h[1:] >= lasts_h[0]).sum() >= max(2.0, days / USUAL_DAYS):
        return
    told = f"price = {price[0]:g} in all of the first {lasts_h[0]:g} h, and no run like that is usual later"
    why = f"(the longest: {lasts_h[1:].max():g} h): a sign of stamps that were made local twice and filled"
    raise SignalError(f"{path}, rows {rows[0]} to {rows[begin[1] - 1]}: {told} {why}; {REMEDY}")


def _hours(price: Floats, utc_ns: Ints, local_h: Ints, path: Path) -> str:
    """Prices by hours of the local day: float[day, hour], means of whole days."""
    day = (utc_ns - utc_ns[0]) // (H_PER_DAY * HOUR_NS)
    sums, often = (np.zeros((int(day[-1]) + 1, H_PER_DAY)) for _ in range(2))
    np.add.at(sums, (day, local_h), price)
    np.add.at(often, (day, local_h), 1.0)
    whole = (often > 0).all(axis=1)
    if whole.sum() < LEAST_DAYS:
        return f"not hours of the day, since there are {whole.sum()} whole days, fewer than {LEAST_DAYS}"
    by_day = sums[whole] / often[whole]
    profile = by_day.mean(axis=0)
    top = int(profile.argmax())
    if top in NIGHT and _t(by_day[:, top] - by_day[:, DAYTIME].mean(axis=1)) > LEAST_T:
        told = (
            f"prices are highest at {top}:00 local time, {profile[top]:g}, from 8 to 20 h {profile[DAYTIME].mean():g}"
        )
        raise SignalError(f"{path}: {told}: a sign of stamps that are hours off, made local twice; {REMEDY}")
    steps = np.diff(profile[NOON])
    ends = by_day[:, NOON[-1]] - by_day[:, NOON[0]]
    up, down = (steps > 0).all() and top not in AFTERNOON, (steps < 0).all() and top not in MORNING
    if (up or down) and abs(_t(ends)) > LEAST_T:
        way = "up" if up else "down"
        told = (
            f"prices go {way} through all of local noon, {profile[NOON[0]]:g} at 9:00 to {profile[NOON[-1]]:g} at 15:00"
        )
        why = f"and are highest at {top}:00: a sign of stamps that are hours off, made local twice"
        raise SignalError(f"{path}: {told}, {why}; {REMEDY}")
    return f"hours of the day: highest at {top}:00, lowest at {int(profile.argmin())}:00 local time"


def _t(differences: Floats) -> float:
    """Their mean in standard errors."""
    spread = float(differences.std(ddof=1))
    mean = float(differences.mean())
    return np.inf * np.sign(mean) if spread == 0 else mean / spread * float(np.sqrt(len(differences)))
