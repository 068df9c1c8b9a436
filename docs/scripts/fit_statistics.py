"""Fits `glbdes/signals/statistics/llm10.json`, all that the generator knows, to the authors' record.

python docs/scripts/fit_statistics.py ../shared/data/paper
"""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import nnls
from scipy.stats import skew

from glbdes.signals import residuals, synthetic
from glbdes.signals.authors import read_authors, read_authors_load

EUROPE = ("germany", "belgium", "netherlands", "denmark")
REGIONS = ("texas", "virginia", "georgia", "nevada", *EUROPE, "japan", "singapore")
SCALES_H = (0.0, 3.0, 12.0, 48.0, 240.0)
LAGS = np.arange(49)
TARIFF_HOURS = (10, 15)  # UTC, both included
TARIFF_STEP_H = 216  # 1 October, 00 UTC


def fitted(folder: Path) -> str:
    """The text of the statistics of the record in `folder`."""
    table = read_authors(folder)
    expected = expected_autocovariance(int(table.groupby("region").size().iloc[0]))
    series, left, tariffs = [], [], []
    for region in REGIONS:
        rows = table[table["region"] == region]
        for column in ("price_usd_per_kwh", "carbon_g_per_kwh", "wue_l_per_kwh"):
            values = rows[column].to_numpy()
            if tariff := as_tariff(region, values) if column.startswith("price") else None:
                tariffs.append(tariff)
                continue
            entry, residual = fit(region, column, values, expected)
            series.append(entry)
            left.append(residual)
    load, _ = fit("", "load", read_authors_load(folder), expected, cycle=False)
    out = {
        "source": "statistics of the authors' record of arXiv 2307.05494, hourly, UTC",
        "start_utc": table["time_utc"].min().isoformat(),
        "hours": len(left[0]),
        "scales_h": SCALES_H,
        "series": series,
        "correlation": np.round(np.corrcoef(left), 3).tolist(),
        "tariffs": tariffs,
        "load": load,
    }
    return compact(json.dumps(out, indent=1)) + "\n"


def compact(text: str) -> str:
    """Innermost lists on one line."""
    return re.sub(r"\[[^][{}]*\]", lambda m: re.sub(r"\s+", " ", m.group()).replace("[ ", "[").replace(" ]", "]"), text)


def as_tariff(region: str, price: np.ndarray) -> dict[str, object] | None:
    """The tariff that `price` is, exactly; None if it is a market price."""
    base = (float(price[0]), float(price[-1]))
    tariff = synthetic.Tariff(region, base, 4.0, *TARIFF_HOURS, TARIFF_STEP_H)
    made = synthetic._tariff(tariff, pd.Timestamp("2022-09-22").to_pydatetime(), len(price))
    if not np.allclose(made, price, rtol=1e-9):
        return None
    return {**tariff.__dict__, "base": [round(b, 8) for b in base]}


def fit(
    region: str, column: str, values: np.ndarray, expected: np.ndarray, *, cycle: bool = True
) -> tuple[dict[str, object], np.ndarray]:
    """Statistics of one series, and its residual."""
    residual = residuals.centred(values[:, None])[:, 0] if cycle else values - values.mean()
    profile = (values - residual)[:24] - values.mean()
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


def expected_autocovariance(n: int) -> np.ndarray:
    """[scale, lag]: what the sample autocovariance of each unit AR(1), less its hour-of-day means, is on average."""
    centre = residuals.centred(np.eye(n))
    result = np.empty((len(SCALES_H), len(LAGS)))
    apart = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    for k, scale in enumerate(SCALES_H):
        covariance = np.exp(-apart / scale) if scale > 0 else np.eye(n)
        sample = centre @ covariance @ centre.T
        result[k] = [np.trace(sample, lag) / n for lag in LAGS]
    return result


def digits(value: float) -> float:
    return float(f"{value:.6g}")


if __name__ == "__main__":
    synthetic.STATISTICS.write_text(fitted(Path(sys.argv[1])))
