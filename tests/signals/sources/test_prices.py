"""Prices of four formats: stamps, units, exchange rates, zones, and the signs of stamps that were made local twice."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from glbdes.errors import SignalError
from glbdes.signals.sources import aemo, csv_prices, entsoe, gridstatus, money
from glbdes.signals.sources.download import fetch
from glbdes.signals.sources.prices import Terms
from glbdes.signals.sources.series import Piece, check, onto
from glbdes.units import NS_PER_S, S_PER_H
from tests.downloads import written

HOUR = S_PER_H * NS_PER_S
EURO = Terms(fx="1.08")


def begins(piece: Piece) -> list[str]:
    return [str(stamp)[:16] for stamp in piece.utc_ns.astype("datetime64[ns]")]


def usd_per_mwh(piece: Piece) -> list[float]:
    return [float(round(value * 1000, 6)) for value in piece.values["price_usd_per_kwh"]]


def one(read: object, path: Path, terms: Terms = EURO) -> Piece:
    (piece,) = read(fetch(path), terms)  # type: ignore[operator]
    check(piece)
    return piece


def test_entsoe_py_writes_a_series_without_a_name(tmp_path: Path) -> None:
    """Over the end of summer time: 02:00 stands there twice, with its offsets."""
    stamps = ["2023-10-29 01:00:00+02:00", "2023-10-29 02:00:00+02:00", "2023-10-29 02:00:00+01:00"]
    path = written(
        tmp_path / "de.csv", ",0", *(f"{stamp},{price}" for stamp, price in zip(stamps, (10, -20.5, 30), strict=True))
    )
    piece = one(entsoe.read, path)
    assert begins(piece) == ["2023-10-28T23:00", "2023-10-29T00:00", "2023-10-29T01:00"]
    assert usd_per_mwh(piece) == [10.8, -22.14, 32.4]
    assert piece.notes["price"] == "EUR/MWh, 1.08 USD/EUR"


@pytest.mark.parametrize(
    ("clock", "first"), [("MTU (UTC)", "2023-01-01T00:00"), ("MTU (CET/CEST)", "2022-12-31T23:00")]
)
@pytest.mark.parametrize("mark", ["/", "."])
def test_the_platforms_own_export(tmp_path: Path, clock: str, first: str, mark: str) -> None:
    day = f"01{mark}01{mark}2023"
    path = written(
        tmp_path / "p.csv",
        f'"{clock}","Area","Sequence","Day-ahead Price (EUR/MWh)"',
        f'"{day} 00:00:00 - {day} 01:00:00","BZN|DE-LU","Sequence 1","10"',
        f'"{day} 01:00:00 - {day} 02:00:00","BZN|DE-LU","Sequence 1","n/e"',
        f'"{day} 02:00:00 - {day} 03:00:00","BZN|DE-LU","Sequence 1","30"',
    )
    piece = one(entsoe.read, path)
    assert begins(piece)[0] == first
    np.testing.assert_array_equal(usd_per_mwh(piece), [10.8, np.nan, 32.4])
    assert piece.zone == "BZN|DE-LU"


def test_gridstatus_in_both_forms(tmp_path: Path) -> None:
    library = written(
        tmp_path / "a.csv",
        "Time,Interval Start,Interval End,Market,Location,Location Type,SPP",
        "2023-01-01 00:00:00-06:00,2023-01-01 00:00:00-06:00,2023-01-01 01:00:00-06:00,DAY_AHEAD_HOURLY,HB_NORTH,Hub,9",
        "2023-01-01 01:00:00-06:00,2023-01-01 01:00:00-06:00,2023-01-01 02:00:00-06:00,DAY_AHEAD_HOURLY,HB_NORTH,Hub,8",
    )
    hosted = written(
        tmp_path / "b.csv",
        "interval_start_utc,interval_end_utc,location,lmp",
        "2023-01-01T06:00:00+00:00,2023-01-01T07:00:00+00:00,HB_NORTH,9",
        "2023-01-01T07:00:00+00:00,2023-01-01T08:00:00+00:00,HB_NORTH,8",
    )
    for path in (library, hosted):
        piece = one(gridstatus.read, path, Terms())
        assert begins(piece) == ["2023-01-01T06:00", "2023-01-01T07:00"]
        assert usd_per_mwh(piece) == [9, 8]
        assert piece.zone == "HB_NORTH"


def test_aemos_stamps_are_ends_of_intervals_ten_hours_ahead(tmp_path: Path) -> None:
    """Half hours until 1 October 2021, five minutes after: each slot is the mean of its own."""
    halves = pd.date_range("2021-09-30 12:30", "2021-10-01 00:00", freq="30min")
    fives = pd.date_range("2021-10-01 00:05", periods=36, freq="5min")
    lines = [f"NSW1,{t:%Y/%m/%d %H:%M:%S},7000,{100 + i % 2 * 50},TRADE" for i, t in enumerate(halves)]
    lines += [f"NSW1,{t:%Y/%m/%d %H:%M:%S},7000,{i},TRADE" for i, t in enumerate(fives)]
    lines.append("NSW1,2021/10/01 03:05:00,7000,999,FORECAST")
    path = written(
        tmp_path / "PRICE_AND_DEMAND_202110_NSW1.csv", "REGION,SETTLEMENTDATE,TOTALDEMAND,RRP,PERIODTYPE", *lines
    )
    piece = one(aemo.read, path, Terms(fx="0.5"))
    assert begins(piece)[0] == "2021-09-30T02:00"
    slots = onto([piece], HOUR)
    assert np.datetime64(slots.first_ns, "ns") == np.datetime64("2021-09-30T02:00")
    means = [125.0] * 12 + [np.arange(12).mean(), np.arange(12, 24).mean(), np.arange(24, 36).mean()]
    np.testing.assert_allclose(slots.values["price_usd_per_kwh"], np.array(means) / 2000)


@pytest.mark.parametrize(
    ("header", "terms", "found"),
    [
        ("time_utc,price (EUR/MWh)", EURO, 10.8),
        ("time_utc,price_usd_per_kwh", Terms(), 10_000),
        ("time_utc,price", Terms(unit=money.unit("GBP/kWh"), fx="1.25"), 12_500),
        ("Datetime (UTC),Price (€/MWh)", EURO, 10.8),
    ],
)
def test_the_unit_is_the_headers_or_the_users(tmp_path: Path, header: str, terms: Terms, found: float) -> None:
    path = written(tmp_path / "p.csv", header, "2023-01-01T00:00,10", "2023-01-01T01:00,11")
    assert usd_per_mwh(one(csv_prices.read, path, terms))[0] == pytest.approx(found)


def test_a_daily_exchange_rate_holds_until_the_next(tmp_path: Path) -> None:
    rates = written(tmp_path / "fx.csv", "Date,USD", "2023-01-02,1.1", "2022-12-30,1.0", "2023-01-03,")
    lines = [f"2023-01-0{day}T12:00,100" for day in (1, 2, 3)]
    path = written(tmp_path / "p.csv", "time_utc,price (EUR/MWh)", *lines)
    assert usd_per_mwh(one(csv_prices.read, path, Terms(fx=str(rates)))) == [100, 110, 110]
    early = written(tmp_path / "p.csv", "time_utc,price (EUR/MWh)", "2022-12-29T12:00,100", *lines)
    with pytest.raises(
        SignalError, match=r"fx\.csv: has rates from 2022-12-30 to 2023-01-02, must have them from 2022-12-29"
    ):
        one(csv_prices.read, early, Terms(fx=str(rates)))


@pytest.mark.parametrize(
    ("header", "terms", "told"),
    [
        ("time,price (EUR/MWh)", EURO, "row 1: time = 2023-01-01T00:00 has no offset .* say --tz"),
        ("time_utc,price", EURO, "does not say in which currency and per what; say it, as --unit"),
        ("time_utc,price (EUR/MWh)", Terms(), "say --fx with USD for one EUR"),
        ("time_utc,price_usd_per_mwh", EURO, "prices are in USD already"),
        ("time_utc,price (USD/MWh)", Terms(unit=money.unit("EUR/MWh"), fx="1.08"), "is in USD/MWh, must be in EUR/MWh"),
        ("time_utc,price (EUR/kWh)", Terms(unit=money.unit("EUR/MWh"), fx="1.08"), "is in EUR/kWh, must be in EUR/MWh"),
        ("time_utc,load", EURO, "has 0 columns that may be prices, of time_utc, load; say which with --column"),
        ("when,price (EUR/MWh)", EURO, "has no column .* say which with --time"),
        ("time_utc,price (EUR/MWh)", Terms(fx="0"), "--fx = 0, must be a number > 0"),
        ("time_utc,price (EUR/MWh)", Terms(fx="nan"), "--fx = nan, must be a number > 0"),
        ("time_utc,price (EUR/MWh)", Terms(fx="none.csv"), "none.csv: cannot be read"),
        ("time_utc,price (EUR/MWh)", Terms(fx="1", tz="+01:00"), "are of UTC, --tz = .* must be left out"),
        ("time_utc,price (EUR/MWh)", Terms(fx="1", zones=("FR",)), "has no column of zones"),
    ],
)
def test_what_is_wrong_is_told_with_a_remedy(tmp_path: Path, header: str, terms: Terms, told: str) -> None:
    path = written(tmp_path / "p.csv", header, "2023-01-01T00:00,10", "2023-01-01T01:00,11")
    with pytest.raises(SignalError, match=told):
        one(csv_prices.read, path, terms)


@pytest.mark.parametrize("text", ["EUR", "EUR/MW", "XYZ/MWh", "MWh/EUR", ""])
def test_a_unit_is_a_currency_per_energy(text: str) -> None:
    with pytest.raises(SignalError, match="must be a currency per MWh or kWh"):
        money.unit(text)


def test_several_zones_sequences_or_markets_are_told_apart(tmp_path: Path) -> None:
    rows = ["2023-01-01T00:00,A,10", "2023-01-01T00:00,B,20"]
    path = written(tmp_path / "p.csv", "time_utc,zone,price (EUR/MWh)", *rows)
    assert usd_per_mwh(one(csv_prices.read, path, Terms(fx="1", zones=("B",)))) == [20]
    with pytest.raises(SignalError, match="row 2: zone = B after A: has 2 zones"):
        one(csv_prices.read, path)
    rows = ["2023-01-01T00:00:00+00:00,DAM,X,10", "2023-01-01T00:00:00+00:00,RTM,X,20"]
    path = written(tmp_path / "g.csv", "Interval Start,Market,Location,LMP", *rows)
    with pytest.raises(SignalError, match=r"row 2: Market = RTM after DAM.* keep the rows of one"):
        one(gridstatus.read, path, Terms())


# A duck: cheap at night and at noon, dear in the morning and most of all in the evening; by local hour.
DUCK = (30, 28, 26, 25, 27, 35, 48, 55, 50, 42, 34, 28, 25, 26, 30, 38, 50, 66, 78, 80, 70, 55, 42, 34)
SUMMER = tuple(25 + 40 * np.sin((h - 11) / 24 * 2 * np.pi) for h in range(24))  # up from morning to 17, as in Texas


def year(profile: Sequence[float], late_h: int = 0, noise: float = 4.0, days: int = 60) -> list[float]:
    """Prices by the hour from local midnight on, `late_h` hours late, the first ones filled back."""
    prices = np.tile(profile, days) + np.random.default_rng(1).normal(0, noise, 24 * days)
    return [float(v) for v in np.concatenate([np.full(late_h, prices[0]), prices])[: 24 * days].round(2)]


def pacific(folder: Path, prices: Sequence[float]) -> Path:
    stamps = pd.date_range("2023-01-01", periods=len(prices), freq="h", tz="America/Los_Angeles").astype(str)
    rows = [f"{stamp},SP15,{price}" for stamp, price in zip(stamps, prices, strict=True)]
    return written(folder / "g.csv", "Interval Start,Location,LMP", *rows)


@pytest.mark.parametrize("profile", [DUCK, SUMMER, [30.0] * 24])
def test_sound_prices_pass_and_say_what_was_looked_at(tmp_path: Path, profile: Sequence[float]) -> None:
    piece = one(gridstatus.read, pacific(tmp_path, year(profile)), Terms())
    assert "none seen: start; hours of the day" in piece.notes["signs_of_shifted_stamps"]


@pytest.mark.parametrize("late_h", [5, 6, 7, 8])
def test_stamps_made_local_twice_are_refused_by_their_start(tmp_path: Path, late_h: int) -> None:
    path = pacific(tmp_path, year(DUCK, late_h))
    with pytest.raises(SignalError, match=rf"rows 1 to {late_h + 1}: price = .* in all of the first {late_h + 1} h"):
        one(gridstatus.read, path, Terms())
    accepted = one(gridstatus.read, path, Terms(accept=("shifted",)))
    assert "accepted unseen" in accepted.notes["signs_of_shifted_stamps"]


@pytest.mark.parametrize(
    ("profile", "late_h", "told"),
    [
        (DUCK, 5, "highest at 0:00 local time"),
        (DUCK, 8, "highest at 3:00 local time"),
        (SUMMER, 8, "highest at 1:00 local time"),
        (np.roll(DUCK, 19), 0, None),
        (np.roll(DUCK, 12), 0, None),
    ],
)
def test_and_by_their_hours_if_the_start_was_cut_off(
    tmp_path: Path, profile: Sequence[float], late_h: int, told: str | None
) -> None:
    """A day later the fill is gone; what is left is that evenings are at night."""
    path = pacific(tmp_path, year(profile, late_h)[24:])
    if told is None:
        one(gridstatus.read, path, Terms())
    else:
        with pytest.raises(SignalError, match=told):
            one(gridstatus.read, path, Terms())


def test_prices_that_rise_all_through_noon_to_no_afternoon_are_refused(tmp_path: Path) -> None:
    """Highest in the early morning, lowest at nine, and up from there on."""
    profile = [60, 62, 64, 66, 70, 90, 95, 60, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 42, 45, 48, 52, 56]
    with pytest.raises(SignalError, match=r"go up through all of local noon, .* and are highest at 6:00"):
        one(gridstatus.read, pacific(tmp_path, year(profile)), Terms())


def test_a_tariff_begins_with_equal_hours_every_day(tmp_path: Path) -> None:
    tariff = [10.0] * 8 + [30.0] * 12 + [20.0] * 4
    one(gridstatus.read, pacific(tmp_path, year(tariff, noise=0.0)), Terms())


def test_where_stamps_are_utc_the_local_clock_is_asked_for(tmp_path: Path) -> None:
    stamps = pd.date_range("2023-01-01T08:00", periods=24 * 60, freq="h")
    rows = [f"{stamp:%Y-%m-%dT%H:%M},{price}" for stamp, price in zip(stamps, year(DUCK, 8), strict=True)][24:]
    path = written(tmp_path / "p.csv", "time_utc,price (USD/MWh)", *rows)
    assert "local time is unknown" in one(csv_prices.read, path, Terms()).notes["signs_of_shifted_stamps"]
    with pytest.raises(SignalError, match="highest at 3:00 local time"):
        one(csv_prices.read, path, Terms(local="America/Los_Angeles"))
