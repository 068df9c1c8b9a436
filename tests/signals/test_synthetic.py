"""The generator: byte for byte, and with the record's statistics; the shipped traces are its work."""

import json
import runpy
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from glbdes import resources
from glbdes.errors import SignalError
from glbdes.signals import residuals, synthetic
from glbdes.signals.authors import is_authors, read_authors, read_authors_load
from glbdes.signals.tidy import SIGNALS, read_tidy

PAPER = Path(__file__).resolve().parents[2] / "../shared/data/paper"
DRAWN = SIGNALS[:3]
KNOWN = synthetic.statistics()
HAS_CYCLE = 0.04  # share of a series' variance that is its profile; 24/457 would be noise's own share


@cache
def shipped() -> pd.DataFrame:
    return read_tidy(resources.root("traces") / "llm10_signals.csv")


def columns(table: pd.DataFrame, which: tuple[synthetic.Series, ...] = KNOWN.series) -> np.ndarray:
    """[hours, series]"""
    return np.column_stack([table.loc[table["region"] == s.region, s.column] for s in which])


def profile(values: np.ndarray) -> np.ndarray:
    return np.array([values[hour::24].mean() for hour in range(24)])


def lag1(values: np.ndarray) -> float:
    return float(np.corrcoef(values[1:], values[:-1])[0, 1])


def assert_alike(ours: np.ndarray, mean: float, std: float, hours: np.ndarray, lag: float) -> None:
    assert ours.mean() == pytest.approx(mean, rel=0.01)
    assert ours.std() == pytest.approx(std, rel=0.10)
    assert lag1(ours) == pytest.approx(lag, abs=0.05)
    if hours.var() > HAS_CYCLE * std**2:
        assert np.corrcoef(profile(ours), hours)[0, 1] > 0.9


def test_the_shipped_traces_are_the_generators_byte_for_byte(tmp_path):
    for name, table in (("llm10_signals.csv", synthetic.signals()), ("llm10_load.csv", synthetic.load())):
        synthetic.write(table, tmp_path / name)
        assert (tmp_path / name).read_bytes() == (resources.root("traces") / name).read_bytes()


def test_the_shipped_signals_are_whole():
    table = shipped()
    assert table.groupby("region").size().to_dict() == dict.fromkeys(table["region"].unique(), 457)
    assert table["region"].nunique() == 10
    assert not table.isna().any(axis=None)
    assert (table[list(SIGNALS[1:])] >= 0).all(axis=None)


@pytest.mark.parametrize("series", KNOWN.series, ids=lambda s: f"{s.region} {s.column}")
def test_the_shipped_signals_have_the_fitted_statistics(series):
    ours = columns(shipped(), (series,))[:, 0]
    assert_alike(ours, series.mean, series.std, series.mean + np.array(series.profile), series.lag1)
    low, high = synthetic.bounds(series)
    rounding = 10.0 ** -synthetic.DECIMALS[series.column]
    assert low - rounding < ours.min() < ours.max() < high + rounding


def test_the_shipped_signals_are_correlated_as_the_record():
    ours = np.corrcoef(residuals.centred(columns(shipped())).T)
    off = ~np.eye(len(ours), dtype=bool)
    error = (ours - KNOWN.correlation)[off]
    assert np.sqrt(np.mean(error**2)) < 0.06
    assert np.abs(error).max() < 0.25
    assert np.sqrt(np.mean(KNOWN.correlation[off] ** 2)) > 0.2  # what no correlation at all would miss by


def test_cheap_regions_are_thirsty():
    """Across region means price and water correlate at -0.47, carbon and water at +0.48."""
    between = shipped().groupby("region")[list(DRAWN)].mean().corr()
    assert between.loc["price_usd_per_kwh", "wue_l_per_kwh"] == pytest.approx(-0.471, abs=0.01)
    assert between.loc["carbon_g_per_kwh", "wue_l_per_kwh"] == pytest.approx(0.484, abs=0.01)


@pytest.mark.parametrize("tariff", KNOWN.tariffs, ids=lambda t: t.region)
def test_a_tariff_is_four_times_its_base_from_10_to_15_utc(tariff):
    table = shipped().query("region == @tariff.region")
    hour, price = table["time_utc"].dt.hour.to_numpy(), table["price_usd_per_kwh"].to_numpy()
    peak = (hour >= 10) & (hour <= 15)
    october = (table["time_utc"] >= "2022-10-01").to_numpy()
    for part, base in ((~october, tariff.base[0]), (october, tariff.base[1])):
        assert set(price[part & ~peak]) == {base}
        assert set(price[part & peak]) == {round(4 * base, 6)}


def test_the_shipped_load_has_the_records_statistics():
    load = synthetic.load()["load"].to_numpy()
    assert_alike(load, KNOWN.load.mean, KNOWN.load.std, np.zeros(24), KNOWN.load.lag1)
    assert load.max() == 1.0
    assert load.min() == pytest.approx(KNOWN.load.minimum, abs=1e-5)


@pytest.mark.parametrize("seed", [0, 2, 3, 11])
def test_any_matched_seed_has_the_statistics(seed):
    ours = columns(synthetic.signals(seed))
    for values, series in zip(ours.T, KNOWN.series, strict=True):
        assert_alike(values, series.mean, series.std, series.mean + np.array(series.profile), series.lag1)
    assert not np.allclose(ours, columns(shipped()))


def test_unmatched_seeds_have_the_statistics_on_average():
    draws = [columns(synthetic.signals(seed, matched=False)) for seed in range(100, 140)]
    mean, std = (np.array([getattr(s, name) for s in KNOWN.series]) for name in ("mean", "std"))
    means = np.array([d.mean(axis=0) for d in draws])
    scatter = means.std(axis=0) / np.sqrt(len(draws))
    assert (np.abs(means.mean(axis=0) - mean) < 4 * scatter + 0.01 * mean).all()
    assert (means.std(axis=0) > 0.005 * mean).all()  # they do scatter
    got = np.sqrt(np.mean([d.var(axis=0) for d in draws], axis=0))
    np.testing.assert_allclose(got, std, rtol=0.2)
    lags = np.mean([[lag1(column) for column in d.T] for d in draws], axis=0)
    np.testing.assert_allclose(lags, [s.lag1 for s in KNOWN.series], atol=0.05)


def test_fewer_hours_are_the_beginning_and_more_are_drawn_anew():
    whole = synthetic.signals(5)
    short = synthetic.signals(5, 30)
    first = whole.groupby("region", sort=False).head(30).reset_index(drop=True)
    pd.testing.assert_frame_equal(short, first)
    assert len(synthetic.signals(5, 500)) == 5000
    assert synthetic.load(5, 3)["load"].tolist() == synthetic.load(5)["load"][:3].tolist()


def test_no_hours_are_refused():
    with pytest.raises(SignalError, match="hours = 0, must be >= 1"):
        synthetic.signals(1, 0)


def test_a_table_is_the_same_after_parquet(tmp_path):
    table = synthetic.signals(3, 5)
    synthetic.write(table, tmp_path / "made.parquet")
    pd.testing.assert_frame_equal(read_tidy(tmp_path / "made.parquet"), table, check_dtype=False)
    with pytest.raises(SignalError, match=r"is '.txt', must be .csv or .parquet"):
        synthetic.write(table, tmp_path / "made.txt")


@pytest.mark.parametrize("skewness", [-0.8, 0.0, 1.5])
def test_skewed_noise_has_mean_0_deviation_1_and_its_skewness(skewness):
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    y = residuals.skewed(nodes, skewness)
    moments = [(weights * y**n).sum() / weights.sum() for n in (1, 2, 3)]
    np.testing.assert_allclose(moments, [0, 1, skewness], atol=1e-9)


def test_recolouring_gives_exactly_the_wanted_correlation():
    rng = np.random.default_rng(1)
    wanted = np.array([[1.0, 0.7, -0.2], [0.7, 1.0, 0.1], [-0.2, 0.1, 1.0]])
    noise = residuals.centred(rng.standard_normal((240, 3)))
    np.testing.assert_allclose(np.corrcoef(residuals.recoloured(noise, wanted).T), wanted, atol=1e-9)
    right = residuals.recoloured(noise, wanted)
    np.testing.assert_allclose(residuals.recoloured(right, wanted), right / right.std(axis=0), atol=1e-9)


def test_the_expected_power_is_that_of_an_ar1():
    """E |F x|^2 from the covariance matrix itself; white noise has the same power everywhere."""
    np.testing.assert_allclose(residuals._expected_power(0.0, 48), 48.0)
    apart = np.abs(np.subtract.outer(np.arange(48), np.arange(48)))
    fourier = np.fft.rfft(np.eye(48), axis=0)
    power = np.einsum("fi,ij,fj->f", fourier, np.exp(-apart / 12.0), fourier.conj()).real
    np.testing.assert_allclose(residuals._expected_power(12.0, 48), power, rtol=1e-9)


# Against the record itself, where it is beside the checkout.


@pytest.fixture(scope="module")
def record() -> pd.DataFrame:
    if not is_authors(PAPER):
        pytest.skip("the data folder beside the checkout is absent")
    return read_authors(PAPER)


@pytest.mark.parametrize("column", DRAWN)
def test_the_shipped_signals_are_like_the_record(record, column):
    for region in shipped()["region"].unique():
        theirs = record.loc[record["region"] == region, column].to_numpy()
        ours = shipped().loc[shipped()["region"] == region, column].to_numpy()
        assert_alike(ours, theirs.mean(), theirs.std(), profile(theirs), lag1(theirs))
        assert theirs.shape == ours.shape
        assert (np.mean(ours == theirs) < 0.01) or (region, column) in {(t.region, DRAWN[0]) for t in KNOWN.tariffs}


def test_the_shipped_load_is_like_the_record(record):
    theirs, ours = read_authors_load(PAPER), synthetic.load()["load"].to_numpy()
    assert_alike(ours, theirs.mean(), theirs.std(), np.zeros(24), lag1(theirs))
    assert ours.max() == theirs.max()


def test_the_stored_statistics_are_what_the_script_fits(record):
    script = runpy.run_path(str(Path(__file__).parents[2] / "docs/scripts/fit_statistics.py"))
    assert script["fitted"](PAPER) == synthetic.STATISTICS.read_text()


def test_the_stored_statistics_are_those_of_the_record(record):
    published = json.loads((PAPER / "stats.json").read_text())["sites"]
    for series in KNOWN.series:
        site = published["Belguim" if series.region == "belgium" else series.region.capitalize()]
        signal, factor = {"p": ("price", 1e-3), "c": ("carbon", 1e3), "w": ("water", 1.0)}[series.column[0]]
        stats = site[signal]
        assert series.mean == pytest.approx(stats["mean"] * factor, rel=1e-3)
        assert series.std == pytest.approx(stats["std"] * factor, rel=5e-3)
        assert series.lag1 == pytest.approx(stats["ac1"], abs=0.012)  # theirs divides by n
        np.testing.assert_allclose(series.mean + np.array(series.profile), np.array(stats["hod"]) * factor, rtol=2e-3)
