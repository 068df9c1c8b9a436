"""Open-Meteo: the constant offset of the file, both forms, units, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from glbdes.errors import SignalError
from glbdes.signals.sources import open_meteo
from glbdes.signals.sources.download import fetch
from glbdes.signals.sources.series import Piece
from tests.downloads import real, written

ANSWER: dict[str, Any] = {
    "latitude": 50.1,
    "longitude": 8.7,
    "utc_offset_seconds": 7200,
    "timezone": "Europe/Berlin",
    "elevation": 111.0,
    "hourly_units": {"time": "iso8601", "temperature_2m": "°C", "relative_humidity_2m": "%"},
    "hourly": {
        "time": ["2023-01-01T00:00", "2023-01-01T01:00", "2023-01-01T02:00"],
        "temperature_2m": [20.0, 21.5, None],
        "relative_humidity_2m": [50, 60, 70],
    },
}
CSV = (
    "latitude,longitude,elevation,utc_offset_seconds,timezone,timezone_abbreviation",
    "50.1,8.7,111.0,7200,Europe/Berlin,GMT+2",
    "",
    "time,temperature_2m (°C),relative_humidity_2m (%)",
    "2023-01-01T00:00,20.0,50",
    "2023-01-01T01:00,21.5,60",
    "2023-01-01T02:00,,70",
)


def heat(air_c: Any, humidity_percent: Any, elevation_m: float) -> Any:
    """Something of all three."""
    return air_c + humidity_percent / 100 + elevation_m * 1000


def read(folder: Path, change: Callable[[dict[str, Any]], object] = lambda _: None) -> Piece:
    answer = json.loads(json.dumps(ANSWER))
    change(answer)
    (piece,) = open_meteo.read(fetch(written(folder / "w.json", json.dumps(answer))), heat, "as said")
    return piece


@pytest.mark.parametrize("form", ["json", "csv"])
def test_stamps_are_by_the_constant_offset_of_the_file_in_both_forms(tmp_path: Path, form: str) -> None:
    """Not by Berlin's clock, which is an hour ahead of UTC in January."""
    if form == "json":
        piece = read(tmp_path)
    else:
        (piece,) = open_meteo.read(fetch(written(tmp_path / "w.csv", *CSV)), heat, "as said")
    assert piece.utc_ns[0].astype("datetime64[ns]") == np.datetime64("2022-12-31T22:00")
    np.testing.assert_allclose(piece.values["wue_l_per_kwh"], [111020.5, 111022.1, np.nan])
    assert piece.zone is None
    assert "utc_offset_seconds = 7200" in piece.times


def test_fahrenheit_and_seconds_since_1970(tmp_path: Path) -> None:
    def change(answer: dict[str, Any]) -> None:
        answer["hourly_units"] |= {"temperature_2m": "°F", "time": "unixtime"}
        answer["hourly"] |= {"temperature_2m": [68.0, 68.0, 68.0], "time": [0, 3600, 7200]}

    piece = read(tmp_path, change)
    assert piece.utc_ns.tolist() == [0, 3600 * 10**9, 7200 * 10**9]  # UTC already
    assert piece.values["wue_l_per_kwh"][0] == pytest.approx(111020.5)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda a: a.pop("utc_offset_seconds"), "utc_offset_seconds = None, must be a number"),
        (lambda a: a.update(utc_offset_seconds=10**6), "must be whole seconds of a time zone"),
        (lambda a: a.pop("hourly"), "has no hourly and hourly_units"),
        (lambda a: a["hourly"].pop("relative_humidity_2m"), "download it with hourly=temperature_2m"),
        (lambda a: a["hourly"]["time"].pop(), "must be equally long"),
        (lambda a: a["hourly_units"].update(temperature_2m="K"), "temperature_2m is in 'K', must be one of"),
        (lambda a: a["hourly"]["relative_humidity_2m"].__setitem__(1, 140), "row 2: .* = 140, must be from 0 to 100"),
        (lambda a: a["hourly"]["temperature_2m"].__setitem__(1, "warm"), "row 2: temperature_2m = warm, must be a num"),
        (lambda a: a["hourly"]["time"].__setitem__(0, "noon"), "row 1: time = noon, must be a time"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, change: Callable[[dict[str, Any]], object], told: str) -> None:
    with pytest.raises(SignalError, match=told):
        read(tmp_path, change)


def test_several_points_and_what_is_no_json_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SignalError, match="has 2 points"):
        open_meteo.read(fetch(written(tmp_path / "w.json", json.dumps([ANSWER, ANSWER]))), heat, "")
    with pytest.raises(SignalError, match="not valid JSON"):
        open_meteo.read(fetch(written(tmp_path / "w.json", "{'time'}")), heat, "")


@pytest.mark.parametrize("name", ["DE-LU_2024", "AU-NSW_2023"])
def test_real_years_are_what_pandas_finds_in_them(name: str) -> None:
    path = real(f"weather_openmeteo/{name}.json.gz")
    (piece,) = open_meteo.read(fetch(path), lambda air, humid, _: air + humid, "")
    theirs = pd.read_json(path, typ="series")
    hourly = pd.DataFrame(theirs["hourly"])
    utc = pd.to_datetime(hourly["time"]) - pd.Timedelta(seconds=theirs["utc_offset_seconds"])
    assert (piece.utc_ns.astype("datetime64[ns]") == utc.to_numpy()).all()
    assert len(piece.utc_ns) == len(hourly)
    both = hourly["temperature_2m"].mean() + hourly["relative_humidity_2m"].mean()
    assert piece.values["wue_l_per_kwh"].mean() == pytest.approx(both, rel=1e-12)
