"""Synthetic signals: the project's own, drawn from fitted statistics of a real record, never from the record itself.

A series is its mean + its hour-of-day profile + a residual. Residuals are sums of Gaussian AR(1) processes with a few
common time scales, so each has its own autocorrelation; their innovations are correlated across regions and signals;
a shifted lognormal gives them the record's skewness (`residuals`). A tariff is what it is: a base price, times a factor
in some hours, with one step of the base.

Two ways to draw. `matched` (the default, and how the shipped trace was made) fits the draw's own mean, deviation,
profile and correlations to the record's, so every seed has them and seeds differ only in when things happen. Unmatched
draws scatter around the statistics as the record itself would have: for studies of robustness.

The statistics are in `statistics/llm10.json`; `docs/scripts/fit_statistics.py` made them. Those of a record of
one's own are made by `fit`, and read from a file by `read_statistics`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glbdes.base import reading
from glbdes.base.files import whole
from glbdes.errors import SignalError, brief, nearest
from glbdes.scenario.sizes import MOST
from glbdes.signals import residuals
from glbdes.signals.tidy import SIGNALS
from glbdes.units import H_PER_DAY

Floats = NDArray[np.float64]

FOLDER: Final = Path(__file__).with_name("statistics")
STATISTICS: Final = FOLDER / "llm10.json"
SHIPPED_SEED: Final = 1  # of traces/llm10_signals.csv and traces/llm10_load.csv
DECIMALS: Final = {
    "price_usd_per_kwh": 6,
    "carbon_g_per_kwh": 3,
    "wue_l_per_kwh": 5,
    "ewif_l_per_kwh": 5,
    "pue": 4,
    "load": 5,
}
WIDENED: Final = 0.1  # of the record's range: how far beyond its extremes a signal may go; a load may not
CLIPPING_ROUNDS: Final = 20  # clipping and scaling disturb each other less each round
MOST_HOURS: Final = 100_000  # eleven years
DIGITS: Final = 1e-5  # of statistics, which have six
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
    profile: tuple[float, ...]  # [24] mean of each hour of the day, from the record's first on, less `mean`
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
class Fixed:
    """A series that is the same every day."""

    region: str
    column: str
    profile: tuple[float, ...]  # [24] its values from the record's first hour on


@dataclass(frozen=True)
class Statistics:
    """Everything that the generator knows of a record."""

    start_utc: datetime
    hours: int
    scales_h: tuple[float, ...]  # [k] of the AR(1) processes; 0: white noise
    series: tuple[Series, ...]
    correlation: Floats  # [series, series] of residuals
    tariffs: tuple[Tariff, ...]
    load: Series | None
    fixed: tuple[Fixed, ...]


@cache
def statistics() -> Statistics:
    """The shipped statistics: the record's water is on site and off site together, and it has no PUE factor."""
    raw = json.loads(STATISTICS.read_text())
    regions = dict.fromkeys(entry["region"] for entry in raw["series"])
    whole_day = [(column, [value] * H_PER_DAY) for column, value in (("ewif_l_per_kwh", 0.0), ("pue", 1.0))]
    fixed = [{"region": r, "column": column, "profile": values} for r in regions for column, values in whole_day]
    return _statistics(raw | {"fixed": fixed})


def read_statistics(path: Path) -> Statistics:
    """The statistics in a file that `fit` made, or the shipped ones of that name ("zones8_2023").

    Raises `SignalError`: no such file, or not what `fit` writes.
    """
    shipped = sorted(one.stem for one in FOLDER.glob("*.json") if one != STATISTICS)
    if not path.is_file() and str(path) in shipped:
        path = FOLDER / f"{path}.json"
    if not path.is_file():
        raise SignalError(f"{path}: no such file{nearest(path.stem, shipped)} (shipped: {', '.join(shipped)})")
    try:
        raw = reading.json_document(reading.text(path, reading.MOST_TOML_BYTES))
    except reading.UnreadableError as error:
        raise SignalError(f"{path}: {error}") from error
    try:
        found = _statistics(raw)
        faults = list(_faults(found))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        faults = [f"{type(error).__name__}: {error}"]
    if faults:
        raise SignalError(f"{path}: is not what `glbdes signals fit` writes ({brief(faults[0])}); fit again")
    return found


def _faults(found: Statistics) -> Iterator[str]:
    """What the generator could not draw from."""
    if type(found.hours) is not int or not 1 <= found.hours <= MOST_HOURS or found.start_utc.tzinfo is not None:
        yield f"hours = {found.hours} from {found.start_utc}"
    every = found.series if found.load is None else (*found.series, found.load)
    scales, n = len(found.scales_h), len(found.series)
    if not found.series or found.correlation.shape != (n, n) or not (np.abs(found.correlation) <= 1).all():
        yield f"{n} series and a correlation of {found.correlation.shape}"
    if not all(0 <= scale <= MOST_HOURS for scale in found.scales_h):
        yield f"scales_h = {found.scales_h}"
    profiles = [(one.region, one.column, one.profile) for one in every]
    profiles += [(one.region, one.column, one.profile) for one in found.fixed]
    for region, column, profile in profiles:
        if (
            not isinstance(region, str)
            or len(profile) != H_PER_DAY
            or column not in DECIMALS
            or not (np.abs(profile) <= MOST).all()
        ):
            yield f"{column} of '{region}': a profile of {len(profile)}"
    for tariff in found.tariffs:
        if not (np.abs([*tariff.base, tariff.factor, tariff.first, tariff.last, tariff.step_h]) <= MOST).all():
            yield f"tariff of '{tariff.region}'"
    for one in every:
        place, span = f"{one.column} of '{one.region}'", one.maximum - one.minimum
        hours = one.mean + np.array(one.profile)
        rounding = DIGITS * max(abs(one.minimum), abs(one.maximum))
        if not (one.minimum - rounding <= hours.min() <= hours.max() <= one.maximum + rounding <= MOST):
            yield f"{place}: a profile beyond its extremes"
        if not (DIGITS * rounding < one.residual_std <= span and abs(one.residual_skewness) <= found.hours**0.5):
            yield f"{place}: a residual that cannot be"
        if len(one.scale_weights) != scales or not all(0 <= w < np.inf for w in one.scale_weights):
            yield f"{place}: {len(one.scale_weights)} weights for {scales} scales"
        elif not sum(one.scale_weights) > 0 or not one.minimum < one.maximum:
            yield f"{place}: no variance"
    named = [profile[:2] for profile in profiles if profile[1] != "load"]
    named += [(one.region, "price_usd_per_kwh") for one in found.tariffs]
    if len(set(named)) < len(named):
        yield "a series is there twice"


def _statistics(raw: Mapping[str, Any]) -> Statistics:
    return Statistics(
        start_utc=datetime.fromisoformat(raw["start_utc"]),
        hours=raw["hours"],
        scales_h=tuple(raw["scales_h"]),
        series=tuple(_series(entry) for entry in raw["series"]),
        correlation=np.array(raw["correlation"], dtype=np.float64),
        tariffs=tuple(Tariff(**entry | {"base": tuple(entry["base"])}) for entry in raw["tariffs"]),
        load=None if raw["load"] is None else _series(raw["load"]),
        fixed=tuple(Fixed(**entry | {"profile": tuple(entry["profile"])}) for entry in raw.get("fixed", ())),
    )


def signals(
    seed: int = SHIPPED_SEED, hours: int | None = None, *, matched: bool = True, like: Statistics | None = None
) -> pd.DataFrame:
    """Hourly signals of a record's regions as a tidy table (`tidy.COLUMNS`), from the record's first hour on.

    Parameters
    ----------
    seed : a seed gives the same table for the same `hours`
    hours : length; default: the record's. Less than that is its beginning
    matched : whether the draw's own statistics are fitted to the record's
    like : of which record; default: the shipped one of ten regions

    The shipped record's water is on site and off site together: it is in `wue_l_per_kwh`, with EWIF = 0 and PUE = 1.
    Raises `SignalError` if `hours` is below 1.
    """
    known = like or statistics()
    hours = _checked(hours, known.hours)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(SIGNALS_STREAM,)))
    drawn = _draw(known.series, known.correlation, known, max(hours, known.hours), rng, matched)[:hours]
    values = {(series.region, series.column): drawn[:, i] for i, series in enumerate(known.series)}
    values |= {
        (tariff.region, "price_usd_per_kwh"): _tariff(tariff, known.start_utc, hours) for tariff in known.tariffs
    }
    for one in known.fixed:
        values[one.region, one.column] = np.array(one.profile)[np.arange(hours) % H_PER_DAY]
    times = pd.date_range(known.start_utc, periods=hours, freq="h")
    tables = []
    for region in dict.fromkeys(region for region, _ in values):
        columns = {c: np.round(values[region, c], DECIMALS[c]) for c in SIGNALS if (region, c) in values}
        tables.append(pd.DataFrame({"time_utc": times, "region": region, **columns}))
    return pd.concat(tables, ignore_index=True)


def load(
    seed: int = SHIPPED_SEED, hours: int | None = None, *, matched: bool = True, like: Statistics | None = None
) -> pd.DataFrame:
    """Hourly load of a gateway, `time_utc` and `load` (in capacities of one region), from its own child of the seed.

    Raises `SignalError` if `hours` is below 1, or the statistics `like` are of a record without a load.
    """
    known = like or statistics()
    if known.load is None:
        raise SignalError("the statistics have no load; fit them with --load FILE")
    hours = _checked(hours, known.hours)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(LOAD_STREAM,)))
    drawn = _draw((known.load,), np.ones((1, 1)), known, max(hours, known.hours), rng, matched)[:hours, 0]
    times = pd.date_range(known.start_utc, periods=hours, freq="h")
    return pd.DataFrame({"time_utc": times, "load": np.round(drawn, DECIMALS["load"])})


def write(table: pd.DataFrame, path: Path) -> None:
    """`table` as CSV or Parquet; the same table gives the same bytes of CSV everywhere.

    Raises `SignalError` for another suffix, and `RecordsError` if it cannot be written.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise SignalError(f"{path}: is '{path.suffix}', must be .csv or .parquet")
    with whole(path) as half:
        if path.suffix == ".csv":
            table.to_csv(half, index=False, date_format="%Y-%m-%dT%H:%M", lineterminator="\n", encoding="utf-8")
        else:
            table.to_parquet(half, index=False, compression="zstd")


def _series(entry: dict[str, Any]) -> Series:
    kinds: dict[type, Any] = {list: tuple, int: float, bool: float}
    fields: dict[str, Any] = {key: kinds.get(type(value), lambda same: same)(value) for key, value in entry.items()}
    return Series(**fields)


def _checked(hours: int | None, default: int) -> int:
    hours = default if hours is None else hours
    if not 1 <= hours <= MOST_HOURS:
        raise SignalError(f"hours = {brief(hours)}, must be >= 1 and <= {MOST_HOURS}")
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
    low = max(low, 1.0) if series.column == "pue" else low
    return round(low, DECIMALS[series.column]), round(high, DECIMALS[series.column])


def _tariff(tariff: Tariff, start_utc: datetime, hours: int) -> Floats:
    hour = np.arange(hours)
    clock = (hour + start_utc.hour) % H_PER_DAY
    base = np.where(hour < tariff.step_h, *tariff.base)
    return np.where((clock >= tariff.first) & (clock <= tariff.last), tariff.factor * base, base)
