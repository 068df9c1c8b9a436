"""Statistics of a record of signals, for `synthetic` to draw from: what made `statistics/llm10.json`, and for anyone's.

Of each series: mean, deviation, extremes, hour-of-day profile, and the variances of AR(1) processes whose sum has the
residual's autocovariance (non-negative least squares up to 48 hours). What a *sample* shows is less than the process
has, since its own hour-of-day means take some of it; the fit is to what a sample of that length shows on average.
"""

import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.signal import lfilter
from scipy.stats import skew

from glbdes.base.seals import checksum
from glbdes.errors import SignalError, brief
from glbdes.signals import residuals
from glbdes.signals.loads import read_load
from glbdes.signals.synthetic import MOST_HOURS, Tariff
from glbdes.signals.tidy import SIGNALS, read_tidy
from glbdes.units import H_PER_DAY, S_PER_H

Floats = NDArray[np.float64]
Record = dict[tuple[str, str], Floats]  # [region, column] -> [hour]

SCALES_H: Final = (0.0, 3.0, 12.0, 48.0, 240.0)
LAGS: Final = np.arange(49)
LEAST_HOURS: Final = 7 * H_PER_DAY
NO_NOISE: Final = 1e-9  # of a series' size: less is what rounding leaves


def fit_file(path: Path, load_path: Path | None = None, max_gap_h: int = 0) -> dict[str, Any]:
    """The statistics of a tidy table of hourly signals, and of a load beside it, as a JSON document.

    Gaps of up to `max_gap_h` hours hold the last value; their share is told. Series that are the same every day are
    kept as they are. Raises `SignalError`: a file that cannot be read, that is not hourly or too short, gaps, regions
    that do not have the same signals; `TraceError` for the load.
    """
    record, start_utc, held = _hourly(read_tidy(path), path, max_gap_h)
    hours = len(next(iter(record.values())))
    load = None if load_path is None else read_load(load_path, start_utc, S_PER_H, hours)
    document = fitted(record, start_utc, load, f"statistics of {path.name}, hourly, UTC", fixed=True)
    if not document["series"]:
        raise SignalError(f"{path}: every signal is the same each day, so there is nothing to draw")
    return document | {"sha256": checksum(path), "share_held": held}


def fitted(
    record: Record,
    start_utc: datetime,
    load: Floats | None,
    source: str,
    *,
    tariff: Callable[[str, Floats], Tariff | None] | None = None,
    fixed: bool = False,
    load_cycle: bool = True,
) -> dict[str, Any]:
    """The statistics of hourly series of one length from `start_utc` on, as a JSON document.

    `tariff` says which prices are tariffs. With `fixed`, series without noise are kept apart; without, there are none.
    """
    hours = len(next(iter(record.values())))
    expected = expected_autocovariance(hours)
    series, left, tariffs, steady = [], [], [], []
    for (region, column), values in record.items():
        found = tariff(region, values) if tariff is not None and column.startswith("price") else None
        if found is not None:
            tariffs.append({**found.__dict__, "base": [round(b, 8) for b in found.base]})
        elif fixed and is_steady(values):
            profile = [digits(x) for x in values[:H_PER_DAY]]
            steady.append({"region": region, "column": column, "profile": profile})
        else:
            entry, residual = fit(region, column, values, expected)
            series.append(entry)
            left.append(residual)
    document: dict[str, Any] = {
        "source": source,
        "start_utc": start_utc.isoformat(),
        "hours": hours,
        "scales_h": SCALES_H,
        "series": series,
        "correlation": np.round(np.atleast_2d(np.corrcoef(left)), 3).tolist() if left else [],
        "tariffs": tariffs,
    }
    if load is not None and is_steady(load):
        raise SignalError("the load is the same each day, so there is nothing to fit")
    document["load"] = None if load is None else fit("", "load", load, expected, cycle=load_cycle)[0]
    return document | ({"fixed": steady} if fixed else {})


def fit(
    region: str, column: str, values: Floats, expected: Floats, *, cycle: bool = True
) -> tuple[dict[str, Any], Floats]:
    """Statistics of one series, and its residual, float[hour]."""
    residual = residuals.centred(values[:, None])[:, 0] if cycle else values - values.mean()
    profile = (values - residual)[:H_PER_DAY] - values.mean()
    z = residual / residual.std()
    n = len(z)
    sample = np.array([z[: n - lag] @ z[lag:] / n for lag in LAGS])
    importance = np.where(LAGS < 2, 30.0, 1.0)
    weights, _ = nnls(expected.T * importance[:, None], sample * importance)
    return {
        "region": region,
        "column": column,
        "mean": digits(values.mean()),
        "std": digits(values.std()),
        "minimum": digits(values.min()),
        "maximum": digits(values.max()),
        "profile": [digits(x) for x in profile],
        "residual_std": digits(residual.std()),
        "residual_skewness": round(float(skew(residual)), 3),
        "scale_weights": [round(float(w), 5) for w in weights],
        "lag1": round(float(np.corrcoef(values[1:], values[:-1])[0, 1]), 4),
    }, residual


def expected_autocovariance(n: int) -> Floats:
    """[scale, lag]: what the sample autocovariance of each unit AR(1), less its hour-of-day means, is on average.

    With S[i, j] = phi^|i - j| and P the means over hours of the day it is the trace, `lag` off the diagonal, of
    (1 - P) S (1 - P) / n. P S has only 24 different rows, and each is a filter forwards and backwards.
    """
    hour = np.arange(n) % H_PER_DAY
    result = np.empty((len(SCALES_H), len(LAGS)))
    for k, scale in enumerate(SCALES_H):
        phi = float(np.exp(-1 / scale)) if scale > 0 else 0.0
        once = (hour == np.arange(H_PER_DAY)[:, None]).astype(np.float64)  # [24, n]
        forwards = lfilter([1.0], [1.0, -phi], once, axis=1)
        backwards = lfilter([1.0], [1.0, -phi], once[:, ::-1], axis=1)[:, ::-1]
        one_side = (forwards + backwards - once) / once.sum(axis=1, keepdims=True)  # P S
        both = (one_side @ once.T) / once.sum(axis=1)  # P S P, by the hours of its two sides
        for lag in LAGS:
            i = np.arange(n - lag)
            j = i + lag
            means = one_side[hour[i], j] + one_side[hour[j], i] - both[hour[i], hour[j]]
            result[k, lag] = ((n - lag) * phi**lag - means.sum()) / n
    return result


def is_steady(values: Floats) -> bool:
    """Whether a series is the same every day, but for rounding."""
    residual = residuals.centred(values[:, None])[:, 0]
    return bool(np.abs(residual).max() <= NO_NOISE * max(float(np.abs(values).max()), NO_NOISE))


def to_json(document: dict[str, Any]) -> str:
    """The document as text, innermost lists on one line."""
    text = json.dumps(document, indent=1, allow_nan=False)
    return (
        re.sub(r"\[[^][{}]*\]", lambda m: re.sub(r"\s+", " ", m.group()).replace("[ ", "[").replace(" ]", "]"), text)
        + "\n"
    )


def digits(value: float) -> float:
    """Six of them."""
    return float(f"{value:.6g}")


def _hourly(table: pd.DataFrame, path: Path, max_gap_h: int) -> tuple[Record, datetime, float]:
    """(the series of each region over the hours that all have, their first hour, the share of values held)."""
    regions = {str(name): rows.set_index("time_utc") for name, rows in table.groupby("region", sort=False)}
    for name, rows in regions.items():
        _check_times(rows.index, f"{path}: region '{brief(name)}'")
    first = max(rows.index[0] for rows in regions.values())
    last = min(rows.index[-1] for rows in regions.values())
    hours = pd.date_range(first, last, freq="h")
    if not LEAST_HOURS <= len(hours) <= MOST_HOURS:
        rule = f"must be >= {LEAST_HOURS} and <= {MOST_HOURS:,}"
        raise SignalError(f"{path}: {len(hours)} hours that all regions have, {rule}")
    record: Record = {}
    held = 0
    for name, rows in regions.items():
        rows = rows.reindex(hours)
        for column in (one for one in SIGNALS if one in rows.columns):
            values = rows[column].ffill(limit=max_gap_h) if max_gap_h else rows[column]
            if values.isna().any():
                _refuse_gap(values, f"{path}: {column} of region '{brief(name)}'")
            held += int(rows[column].isna().sum())
            record[name, column] = values.to_numpy(dtype=np.float64)
    if not record:
        raise SignalError(f"{path}: no signals, must have at least one of {', '.join(SIGNALS)}")
    return record, first.to_pydatetime(), held / (len(record) * len(hours))


def _check_times(times: "pd.Index[Any]", place: str) -> None:
    seconds: NDArray[np.int64] = times.to_numpy(dtype="datetime64[s]").astype(np.int64)
    steps = seconds[1:] - seconds[:-1]
    bad = (steps <= 0) | (np.mod(steps, S_PER_H) != 0)
    if bad.any():
        row = int(np.argmax(bad))
        rule = f"{steps[row]} s after the one before, must be whole hours and increasing"
        raise SignalError(
            f"{place}: time_utc = {times[row + 1]}, {rule}; bring it to hours first (import --step-s 3600)"
        )


def _refuse_gap(values: "pd.Series[float]", place: str) -> None:
    missing = values.isna()
    runs = missing.groupby((~missing).cumsum()).sum()
    longest = int(runs.max())
    told = f"{int(missing.sum())} hours missing, the first {values.index[int(np.argmax(missing.to_numpy()))]}"
    raise SignalError(
        f"{place}: {told}; --max-gap-h {longest} holds the last value, if there is one, over gaps so long"
    )
