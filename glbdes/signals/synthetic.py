"""Synthetic signals: the project's own, drawn from fitted statistics of a real record, never from the record itself.

A series is its mean + its hour-of-day profile + a residual. Residuals are sums of Gaussian AR(1) processes with a few
common time scales, so each has its own autocorrelation; their innovations are correlated across regions and signals;
a shifted lognormal gives them the record's skewness (`residuals`). A tariff is what it is: a base price, times a factor
in some hours, with one step of the base.

Two ways to draw. `matched` (the default, and how the shipped trace was made) fits the draw's own mean, deviation,
profile and correlations to the record's, so every seed has them and seeds differ only in when things happen. Unmatched
draws scatter around the statistics as the record itself would have: for studies of robustness.

The statistics are in `statistics/llm10.json`; `docs/scripts/fit_statistics.py` made them.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glbdes.errors import SignalError
from glbdes.signals import residuals
from glbdes.signals.tidy import COLUMNS
from glbdes.units import H_PER_DAY

Floats = NDArray[np.float64]

STATISTICS: Final = Path(__file__).with_name("statistics") / "llm10.json"
SHIPPED_SEED: Final = 1  # of traces/llm10_signals.csv and traces/llm10_load.csv
DECIMALS: Final = {"price_usd_per_kwh": 6, "carbon_g_per_kwh": 3, "wue_l_per_kwh": 5, "load": 5}
WIDENED: Final = 0.1  # of the record's range: how far beyond its extremes a signal may go; a load may not
CLIPPING_ROUNDS: Final = 20  # clipping and scaling disturb each other less each round
SIGNALS_STREAM, LOAD_STREAM = 0, 1  # children of the seed


@dataclass(frozen=True)
class Series:
    """Statistics of one hourly series of one region; unit as in the column's name."""

    region: str
    column: str
    mean: float
    std: float
    minimum: float
    maximum: float
    profile: tuple[float, ...]  # [24] mean of each hour UTC, less `mean`
    residual_std: float
    residual_skewness: float
    scale_weights: tuple[float, ...]  # [k] variance of each AR(1) in the residual, residual_std = 1 in the sample
    lag1: float  # autocorrelation of the series


@dataclass(frozen=True)
class Tariff:
    """A time-of-use price: base, times `factor` from hour `first` to hour `last` UTC (both included)."""

    region: str
    base: tuple[float, float]  # before and from hour `step_h` of the record on
    factor: float
    first: int
    last: int
    step_h: int


@dataclass(frozen=True)
class Statistics:
    """Everything that the generator knows of the record."""

    start_utc: datetime
    hours: int
    scales_h: tuple[float, ...]  # [k] of the AR(1) processes; 0: white noise
    series: tuple[Series, ...]
    correlation: Floats  # [series, series] of residuals
    tariffs: tuple[Tariff, ...]
    load: Series


@cache
def statistics(path: Path = STATISTICS) -> Statistics:
    """The fitted statistics in `path`."""
    raw = json.loads(path.read_text())
    return Statistics(
        start_utc=datetime.fromisoformat(raw["start_utc"]),
        hours=raw["hours"],
        scales_h=tuple(raw["scales_h"]),
        series=tuple(_series(entry) for entry in raw["series"]),
        correlation=np.array(raw["correlation"], dtype=np.float64),
        tariffs=tuple(Tariff(**entry | {"base": tuple(entry["base"])}) for entry in raw["tariffs"]),
        load=_series(raw["load"]),
    )


def signals(seed: int = SHIPPED_SEED, hours: int | None = None, *, matched: bool = True) -> pd.DataFrame:
    """Hourly signals of the ten regions as a tidy table (`tidy.COLUMNS`), from the record's first hour on.

    Parameters
    ----------
    seed : a seed gives the same table for the same `hours`
    hours : length; default: the record's. Less than that is its beginning
    matched : whether the draw's own statistics are fitted to the record's

    The record's water is on site and off site together: it is in `wue_l_per_kwh`, with EWIF = 0 and PUE = 1.
    Raises `SignalError` if `hours` is below 1.
    """
    known = statistics()
    hours = _checked(hours, known.hours)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(SIGNALS_STREAM,)))
    drawn = _draw(known.series, known.correlation, known, max(hours, known.hours), rng, matched)[:hours]
    values = {(series.region, series.column): drawn[:, i] for i, series in enumerate(known.series)}
    values |= {
        (tariff.region, "price_usd_per_kwh"): _tariff(tariff, known.start_utc, hours) for tariff in known.tariffs
    }
    times = pd.date_range(known.start_utc, periods=hours, freq="h")
    tables = []
    for region in dict.fromkeys(region for region, column in values if column == "carbon_g_per_kwh"):
        columns = {c: np.round(values[region, c], DECIMALS[c]) for c in COLUMNS if c in DECIMALS}
        tables.append(pd.DataFrame({"time_utc": times, "region": region, **columns, "ewif_l_per_kwh": 0.0, "pue": 1.0}))
    return pd.concat(tables, ignore_index=True)


def load(seed: int = SHIPPED_SEED, hours: int | None = None, *, matched: bool = True) -> pd.DataFrame:
    """Hourly load of a gateway, `time_utc` and `load` (in capacities of one region), from its own child of the seed."""
    known = statistics()
    hours = _checked(hours, known.hours)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(LOAD_STREAM,)))
    drawn = _draw((known.load,), np.ones((1, 1)), known, max(hours, known.hours), rng, matched)[:hours, 0]
    times = pd.date_range(known.start_utc, periods=hours, freq="h")
    return pd.DataFrame({"time_utc": times, "load": np.round(drawn, DECIMALS["load"])})


def write(table: pd.DataFrame, path: Path) -> None:
    """`table` as CSV or Parquet; the same table gives the same bytes of CSV everywhere.

    Raises `SignalError` for another suffix.
    """
    if path.suffix == ".csv":
        text = table.to_csv(index=False, date_format="%Y-%m-%dT%H:%M", lineterminator="\n")
        path.write_bytes(text.encode())
    elif path.suffix == ".parquet":
        table.to_parquet(path, index=False, compression="zstd")
    else:
        raise SignalError(f"{path}: is '{path.suffix}', must be .csv or .parquet")


def _series(entry: dict[str, Any]) -> Series:
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    return Series(**fields)


def _checked(hours: int | None, default: int) -> int:
    hours = default if hours is None else hours
    if hours < 1:
        raise SignalError(f"hours = {hours}, must be >= 1")
    return hours


def _draw(
    series: tuple[Series, ...],
    correlation: Floats,
    known: Statistics,
    hours: int,
    rng: np.random.Generator,
    matched: bool,
) -> Floats:
    """float[hours, series] within `bounds`; a matched one with the record's mean, deviation and profile."""
    weights = np.array([s.scale_weights for s in series])
    noise = residuals.drawn(weights, known.scales_h, correlation, hours, rng)
    spread = np.sqrt(weights.sum(axis=1))  # of the process; above 1, since a sample's own mean takes some of it
    z = residuals.matched(noise, weights, known.scales_h, correlation) if matched else noise / spread
    z = np.column_stack([residuals.skewed(column, s.residual_skewness) for column, s in zip(z.T, series, strict=True)])
    steady = np.array([s.mean + np.array(s.profile) for s in series]).T[np.arange(hours) % H_PER_DAY]
    std = np.array([s.residual_std for s in series])
    low, high = np.array([bounds(s) for s in series]).T
    if not matched:
        return np.asarray(np.clip(steady + std * spread * z, low, high), dtype=np.float64)
    values = steady + std * z
    for _ in range(CLIPPING_ROUNDS):
        z = residuals.centred(values)
        values = np.clip(steady + std * z / z.std(axis=0), low, high)
    return np.asarray(values, dtype=np.float64)


def bounds(series: Series) -> tuple[float, float]:
    """What a draw of `series` is clipped to: a little more than the record's range, but not through zero.

    They have the decimals that are written. With one more, each value that ends on a bound would be a tie of the
    rounding, which the last bit decides, and that is not the same on every processor.
    """
    low, high = series.minimum, series.maximum
    if series.column != "load":  # 1: all of a region's capacity
        margin = WIDENED * (high - low)
        low, high = (low - margin if low < 0 else max(low - margin, low / 2)), high + margin
    return round(low, DECIMALS[series.column]), round(high, DECIMALS[series.column])


def _tariff(tariff: Tariff, start_utc: datetime, hours: int) -> Floats:
    hour = np.arange(hours)
    clock = (hour + start_utc.hour) % H_PER_DAY
    base = np.where(hour < tariff.step_h, *tariff.base)
    return np.where((clock >= tariff.first) & (clock <= tariff.last), tariff.factor * base, base)
