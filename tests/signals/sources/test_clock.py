"""Stamps become UTC by a rule that somebody said."""

from pathlib import Path

import pandas as pd
import pytest

from glbdes.errors import SignalError
from glbdes.signals.sources import clock
from glbdes.signals.sources.download import Download

FILE = Download(Path("a.csv"), "", b"")


def utc(stamps: list[str], tz: str | None = None) -> list[str]:
    found = clock.utc(pd.Series(stamps, name="time"), FILE, tz).utc
    return [str(stamp)[:16] for stamp in found.astype("datetime64[m]")]


@pytest.mark.parametrize(
    ("stamps", "tz", "found"),
    [
        (["2023-01-01 00:00:00+01:00", "2023-07-01 00:00:00+02:00"], None, ["2022-12-31T23:00", "2023-06-30T22:00"]),
        (["2023-01-01T00:00Z"], "Asia/Tokyo", ["2023-01-01T00:00"]),  # an offset goes before --tz
        (["2023-01-01 00:00"], "+10:00", ["2022-12-31T14:00"]),
        (["2023-07-01 00:00"], "Europe/Berlin", ["2023-06-30T22:00"]),
        (["2023-07-01 00:00"], "UTC", ["2023-07-01T00:00"]),
    ],
)
def test_offsets_zones_and_constants(stamps: list[str], tz: str | None, found: list[str]) -> None:
    assert utc(stamps, tz) == found


def test_the_hour_that_clocks_show_twice_is_two_hours_in_the_order_of_rows() -> None:
    half = [f"2023-10-29 {clock}" for clock in ("01:30", "02:00", "02:30", "02:00", "02:30", "03:00")]
    assert utc(half, "Europe/Berlin") == [
        f"2023-10-{29 if minutes >= 0 else 28}T{minutes % 1440 // 60:02d}:{minutes % 60:02d}"
        for minutes in range(-30, 150, 30)
    ]


def test_a_year_of_local_hours_is_a_year_of_utc_hours() -> None:
    there = pd.date_range("2023-01-01", "2024-01-01", freq="h", tz="America/New_York", inclusive="left")
    got = clock.utc(pd.Series(there.tz_localize(None).astype(str), name="time"), FILE, "America/New_York").utc
    assert (got == there.tz_convert("UTC").tz_localize(None).to_numpy()).all()


@pytest.mark.parametrize(
    ("stamps", "tz", "told"),
    [
        (["2023-01-01 00:00"], None, r"a\.csv, row 1: time = 2023-01-01 00:00 has no offset .* say --tz"),
        (["2023-01-01 00:00", "2023-03-26 02:30"], "Europe/Berlin", r"row 2: .*leave out when summer time begins"),
        (["2023-01-01 00:00Z", "2023-01-01 01:00"], "UTC", "row 2: .*some stamps have an offset"),
        (["soon"], "UTC", "row 1: time = soon, must be a time"),
        (["2023-01-01 00:00"], "Europe/Berlni", "did you mean 'Europe/Berlin'"),
    ],
)
def test_what_cannot_be_known_is_refused(stamps: list[str], tz: str | None, told: str) -> None:
    with pytest.raises(SignalError, match=told):
        utc(stamps, tz)
