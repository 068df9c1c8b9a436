"""What a table holds, against numbers that pandas finds in it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from glbdes.signals.describe import course, describe
from tests.signals.test_table import written


def table() -> pd.DataFrame:
    """Two regions and three days; prices of one have holes and go below zero, the other begins a day later."""
    times = pd.date_range("2023-01-01", periods=72, freq="h")
    draw = np.random.default_rng(3)
    east = pd.DataFrame({"time_utc": times, "region": "east", "price_usd_per_kwh": draw.normal(0.0, 0.1, 72)})
    east["pue"] = 1.2
    east.loc[[10, 11, 12, 40], "price_usd_per_kwh"] = np.nan
    west = pd.DataFrame({"time_utc": times[24:], "region": "west", "price_usd_per_kwh": draw.uniform(0, 1, 48)})
    return pd.concat([east, west], ignore_index=True)


def test_figures_are_pandas(tmp_path: Path) -> None:
    frame = table()
    found = describe(written(tmp_path, frame))["regions"]
    prices = frame[frame["region"] == "east"].set_index("time_utc")["price_usd_per_kwh"].dropna()
    east = found["east"]["signals"]["price_usd_per_kwh"]
    assert east["mean"] == pytest.approx(prices.mean())
    assert (east["min"], east["max"]) == pytest.approx((prices.min(), prices.max()))
    assert (east["min_at"], east["max_at"]) == (prices.idxmin().isoformat(), prices.idxmax().isoformat())
    assert east["negative_h"] == (prices < 0).sum()
    assert (east["missing_slots"], east["longest_hole_slots"]) == (4, 3)
    assert east["holes"] == [{"first": "2023-01-01T10:00:00", "slots": 3}, {"first": "2023-01-02T16:00:00", "slots": 1}]
    west = found["west"]["signals"]["price_usd_per_kwh"]
    assert (west["missing_slots"], west["longest_hole_slots"], west["first"]) == (24, 24, "2023-01-02T00:00:00")
    assert list(found["west"]["signals"]) == ["price_usd_per_kwh"]


def test_days_are_means(tmp_path: Path) -> None:
    frame = table()
    days = course(written(tmp_path, frame))
    first = days[(days["region"] == "east") & (days["signal"] == "price_usd_per_kwh")]["value"].iloc[0]
    assert first == pytest.approx(frame["price_usd_per_kwh"][:24].mean())
    assert len(days) == 3 + 2 + 3


def test_many_days_are_shown_as_weeks(tmp_path: Path) -> None:
    times = pd.date_range("2023-01-01", periods=200, freq="D")
    frame = pd.DataFrame({"time_utc": times, "region": "east", "price_usd_per_kwh": np.arange(200.0)})
    weeks = course(written(tmp_path, frame))
    assert weeks["value"].tolist()[:2] == [3.0, 10.0]
    assert len(weeks) == 29
