"""Statistics of anyone's signals: fitted, written, drawn from; what cannot be fitted or is no such file is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from glbdes.cli.main import main
from glbdes.errors import SignalError
from glbdes.signals import fit, residuals, synthetic
from glbdes.signals.tidy import read_tidy
from tests.downloads import real

REAL = Path(__file__).resolve().parents[2] / "../shared/data/real/carbon_em"
HOURS = 24 * 14


def record(hours: int = HOURS) -> pd.DataFrame:
    """Two regions: noisy prices and carbon that go together, a steady tariff of water, PUE just above 1."""
    rng = np.random.default_rng(3)
    common = np.convolve(rng.standard_normal(hours + 9), np.ones(10), "valid")
    day = np.cos(2 * np.pi * np.arange(hours) / 24)
    tables = []
    for name, sign in (("north", 1.0), ("south", -1.0)):
        own = np.convolve(rng.standard_normal(hours + 4), np.ones(5), "valid")
        tables.append(
            pd.DataFrame(
                {
                    "time_utc": pd.date_range("2023-03-01T05:00", periods=hours, freq="h"),
                    "region": name,
                    "price_usd_per_kwh": 0.05 + 0.01 * day + 0.004 * common + 0.002 * own,
                    "carbon_g_per_kwh": 300 + 40 * day + 9 * sign * common + 3 * own,
                    "wue_l_per_kwh": np.where(np.arange(hours) % 24 < 6, 1.5, 0.5),
                    "pue": 1.01 + 0.001 * np.abs(own),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def fitted(folder: Path, table: pd.DataFrame, **choices: Any) -> synthetic.Statistics:
    table.to_csv(folder / "record.csv", index=False)
    document = fit.fit_file(folder / "record.csv", **choices)
    (folder / "statistics.json").write_text(fit.to_json(document))
    return synthetic.read_statistics(folder / "statistics.json")


@pytest.mark.parametrize("n", [168, 457])
def test_the_expected_autocovariance_is_that_of_the_whole_matrix(n: int) -> None:
    """Against the n x n covariance itself, its hour-of-day means taken out on both sides."""
    centre = residuals.centred(np.eye(n))
    apart = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    found = fit.expected_autocovariance(n)
    for k, scale in enumerate(fit.SCALES_H):
        covariance = np.exp(-apart / scale) if scale > 0 else np.eye(n)
        sample = centre @ covariance @ centre.T
        np.testing.assert_allclose(found[k], [np.trace(sample, lag) / n for lag in fit.LAGS], atol=1e-12)


def test_a_draw_has_the_records_statistics(tmp_path: Path) -> None:
    theirs = record()
    like = fitted(tmp_path, theirs)
    assert (like.hours, like.start_utc.isoformat()) == (HOURS, "2023-03-01T05:00:00")
    assert like.load is None
    assert [(one.region, one.column) for one in like.fixed] == [("north", "wue_l_per_kwh"), ("south", "wue_l_per_kwh")]
    ours = synthetic.signals(5, like=like)
    assert list(ours) == list(theirs)
    for name in ("north", "south"):
        a, b = (table[table["region"] == name].reset_index(drop=True) for table in (theirs, ours))
        assert a["time_utc"].tolist() == b["time_utc"].tolist()
        assert a["wue_l_per_kwh"].tolist() == b["wue_l_per_kwh"].tolist()  # the same every day
        assert b["pue"].min() >= 1
        for column in ("price_usd_per_kwh", "carbon_g_per_kwh"):
            assert b[column].mean() == pytest.approx(a[column].mean(), rel=1e-3)
            assert b[column].std() == pytest.approx(a[column].std(), rel=1e-2)
            assert b[column].autocorr(1) == pytest.approx(a[column].autocorr(1), abs=0.03)
            hours = [table[column].groupby(table.index % 24).mean() for table in (a, b)]
            np.testing.assert_allclose(hours[1], hours[0], rtol=1e-3)
        corr = [residuals.centred(t[["price_usd_per_kwh", "carbon_g_per_kwh"]].to_numpy()) for t in (a, b)]
        assert np.corrcoef(corr[1].T)[0, 1] == pytest.approx(np.corrcoef(corr[0].T)[0, 1], abs=0.1)


def test_a_draw_is_read_as_signals_and_seeds_differ(tmp_path: Path) -> None:
    like = fitted(tmp_path, record())
    one, other = (synthetic.signals(seed, 30, like=like) for seed in (1, 2))
    synthetic.write(one, tmp_path / "drawn.csv")
    pd.testing.assert_frame_equal(read_tidy(tmp_path / "drawn.csv"), one, check_dtype=False)
    assert not np.allclose(one["carbon_g_per_kwh"], other["carbon_g_per_kwh"])


def test_a_load_is_fitted_with_its_daily_cycle(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    times = pd.date_range("2023-02-28", periods=HOURS + 48, freq="h")
    load = 0.5 + 0.3 * np.cos(2 * np.pi * times.hour.to_numpy() / 24) + 0.02 * rng.standard_normal(len(times))
    pd.DataFrame({"time_utc": times, "load": load}).to_csv(tmp_path / "load.csv", index=False)
    like = fitted(tmp_path, record(), load_path=tmp_path / "load.csv")
    drawn = synthetic.load(7, like=like)["load"]
    held = load[29 : 29 + HOURS]
    assert np.corrcoef(drawn.groupby(drawn.index % 24).mean(), [held[h::24].mean() for h in range(24)])[0, 1] > 0.999
    assert held.min() - 1e-5 <= drawn.min() <= drawn.max() <= held.max() + 1e-5
    with pytest.raises(SignalError, match=r"have no load; fit them with --load"):
        synthetic.load(7, like=fitted(tmp_path, record()))


def test_gaps_are_held_only_if_asked_for(tmp_path: Path) -> None:
    table = record()
    table.loc[100:102, "carbon_g_per_kwh"] = np.nan
    table = table.drop(index=[200])
    with pytest.raises(
        SignalError, match=r"price_usd_per_kwh of region 'north': 1 hours missing, .*--max-gap-h 1 holds"
    ):
        fitted(tmp_path, table)
    with pytest.raises(SignalError, match=r"carbon_.* of region 'north': 1 hours missing, the first 2023-03-05 11:00"):
        fitted(tmp_path, table, max_gap_h=2)
    fitted(tmp_path, table, max_gap_h=3)
    share = json.loads((tmp_path / "statistics.json").read_text())["share_held"]
    assert share == pytest.approx((3 + 4) / (8 * HOURS), rel=1e-12)


def test_only_hours_that_all_regions_have_are_fitted(tmp_path: Path) -> None:
    table = record()
    like = fitted(tmp_path, table.drop(index=[0, 1, 2 * HOURS - 1]))
    assert (like.hours, like.start_utc.isoformat()) == (HOURS - 3, "2023-03-01T07:00:00")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda t: t[t["time_utc"] < "2023-03-06"], r"115 hours that all regions have, must be >= 168"),
        (lambda t: t[["time_utc", "region"]], r"no signals, must have at least one of"),
        (lambda t: t[["time_utc", "region", "wue_l_per_kwh"]], r"every signal is the same each day"),
        (
            lambda t: t.iloc[[1, 0, *range(2, len(t))]],
            r"region 'north': time_utc = .* must be whole hours and increasing",
        ),
        (
            lambda t: t.assign(
                time_utc=pd.Timestamp("2023-03-01") + 0.5 * (t["time_utc"] - pd.Timestamp("2023-03-01"))
            ),
            r"1800 s after the one before, must be whole hours",
        ),
        (lambda t: t.rename(columns={"pue": "poe"}), r"unknown column 'poe'; did you mean 'pue'"),
    ],
)
def test_a_record_that_cannot_be_fitted_is_refused(tmp_path: Path, damage: Any, message: str) -> None:
    with pytest.raises(SignalError, match=message):
        fitted(tmp_path, damage(record()))


@pytest.mark.parametrize(
    "damage",
    [
        {"hours": 0},
        {"hours": 1.5},
        {"start_utc": "noon"},
        {"series": []},
        {"correlation": [[1.0]]},
        {"scales_h": [0.0]},
        {"load": 3},
        {"fixed": [{"region": "a", "column": "pue", "profile": [1.0]}]},
        {"fixed": [{"region": "north", "column": "pue", "profile": [1.0] * 24}]},
        {"tariffs": [{"region": "a"}]},
    ],
)
def test_a_file_that_holds_no_such_statistics_is_refused(tmp_path: Path, damage: dict[str, Any]) -> None:
    fitted(tmp_path, record())
    path = tmp_path / "statistics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | damage))
    with pytest.raises(SignalError, match=r"is not what `glbdes signals fit` writes"):
        synthetic.read_statistics(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("profile", [0.0]),
        ("residual_std", 0.0),
        ("scale_weights", [0.0] * 5),
        ("mean", "x"),
        ("column", "colour"),
        ("lag2", 1),
    ],
)
def test_a_series_that_cannot_be_drawn_is_refused(tmp_path: Path, key: str, value: Any) -> None:
    fitted(tmp_path, record())
    path = tmp_path / "statistics.json"
    document = json.loads(path.read_text())
    document["series"][1][key] = value
    path.write_text(json.dumps(document))
    with pytest.raises(SignalError, match=r"is not what `glbdes signals fit` writes"):
        synthetic.read_statistics(path)


def test_what_is_no_json_or_no_object_is_refused(tmp_path: Path) -> None:
    for text in ("", "[]", "{", "null"):
        (tmp_path / "s.json").write_text(text)
        with pytest.raises(SignalError, match=r"s\.json"):
            synthetic.read_statistics(tmp_path / "s.json")
    with pytest.raises(SignalError, match="no such file"):
        synthetic.read_statistics(tmp_path / "absent.json")


def test_the_commands_fit_and_draw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    record().to_csv("record.csv", index=False)

    def call(line: str, code: int = 0) -> str:
        result = CliRunner().invoke(main, ["signals", *line.split()])
        assert result.exit_code == code, (result.output, result.exception)
        return result.output

    assert "2 regions, 6 series of 336 hours" in call("fit record.csv -o s.json")
    call("generate --like s.json --seed 4 --hours 48 -o drawn.csv")
    assert read_tidy(Path("drawn.csv")).groupby("region").size().to_dict() == {"north": 48, "south": 48}
    assert "have no load" in call("generate --like s.json -o other.csv --load load.csv", 2)
    assert not Path("other.csv").exists()


def test_a_real_year_of_carbon_comes_back(tmp_path: Path) -> None:
    names = ("DE-LU", "US-CAL-CISO")
    if not REAL.exists():
        pytest.skip("needs the data folder beside the checkout")
    tables = []
    for name in names:
        table = pd.read_csv(REAL / f"{name}_2023_hourly.csv.gz")
        values = table[next(c for c in table if "LCA" in c or "Life cycle" in c)]
        stamps = pd.to_datetime(table[next(c for c in table if "UTC" in c)])
        tables.append(pd.DataFrame({"time_utc": stamps, "region": name, "carbon_g_per_kwh": values}))
    like = fitted(tmp_path, pd.concat(tables), max_gap_h=24)
    assert like.hours == 8760
    ours = synthetic.signals(1, like=like)
    for name, theirs in zip(names, tables, strict=True):
        drawn = ours.loc[ours["region"] == name, "carbon_g_per_kwh"].reset_index(drop=True)
        assert drawn.mean() == pytest.approx(theirs["carbon_g_per_kwh"].mean(), rel=0.01)
        assert drawn.std() == pytest.approx(theirs["carbon_g_per_kwh"].std(), rel=0.05)
        assert drawn.autocorr(1) == pytest.approx(theirs["carbon_g_per_kwh"].autocorr(1), abs=0.02)


def test_eight_zones_are_shipped_by_name_and_drawn_like_2023(tmp_path: Path) -> None:
    out = tmp_path / "drawn.csv"
    result = CliRunner().invoke(main, ["signals", "generate", "--like", "zones8_2023", "--hours", "72", "-o", str(out)])
    assert result.exit_code == 0, result.output
    drawn = pd.read_csv(out)
    assert set(drawn.columns) == {"time_utc", "region", "carbon_g_per_kwh", "wue_l_per_kwh"}
    assert drawn["region"].nunique() == 8
    known = synthetic.read_statistics(Path("zones8_2023"))
    series = {(one.region, one.column): one for one in known.series}
    for region, rows in drawn.groupby("region"):
        low, high = synthetic.bounds(series[str(region), "carbon_g_per_kwh"])
        assert rows["carbon_g_per_kwh"].between(low, high).all()
    missing = CliRunner().invoke(main, ["signals", "generate", "--like", "zones9", "-o", str(out)])
    assert missing.exit_code == 2
    assert "did you mean 'zones8_2023'?" in missing.stderr


def test_the_shipped_zones_are_those_of_the_real_files() -> None:
    rows = pd.read_csv(real("carbon_em/DE-LU_2023_hourly.csv.gz"))["Carbon Intensity gCO₂eq/kWh (LCA)"]
    known = {(one.region, one.column): one for one in synthetic.read_statistics(Path("zones8_2023")).series}
    one = known["DE-LU", "carbon_g_per_kwh"]
    inside = rows.iloc[7 : 7 + 8742]
    assert (one.mean, one.std) == pytest.approx((inside.mean(), inside.std(ddof=0)), rel=1e-4)
    assert (one.minimum, one.maximum) == pytest.approx((inside.min(), inside.max()), rel=1e-5)
