"""Files that were damaged anywhere: a table that scenarios can read, or one error of ours; never anything else."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glbdes.errors import SignalError
from glbdes.signals import fuels, imports
from glbdes.signals.sources import (
    aemo,
    csv_mix,
    csv_prices,
    eia930,
    electricity_maps,
    entsoe,
    entsoe_generation,
    gridstatus,
    open_meteo,
    owid,
    watttime,
)
from glbdes.signals.sources.download import Download
from glbdes.signals.sources.mixes import Wanted
from glbdes.signals.sources.prices import Terms
from glbdes.signals.sources.series import Piece
from glbdes.signals.tidy import SIGNALS
from tests.downloads import NEW, carbon_rows
from tests.signals.sources.test_carbon import MOER_3
from tests.signals.sources.test_open_meteo import CSV, heat

Reader = Callable[[Download], Sequence[Piece]]
MIX = Wanted(fuels.factors("ren", "water"), fuels.factors("ipcc", "carbon"), (), "Europe/Berlin", (2024,))
PRICE = Terms(fx="1.08", tz="Europe/Berlin")
LOCAL = [f"2023-10-29 0{hour}:00,{10 + i}" for i, hour in enumerate((1, 2, 2, 3, 4))]
JSON = (
    '{"utc_offset_seconds": 3600, "elevation": 1, "hourly_units": {"time": "iso8601", "temperature_2m": "°C", ',
    '"relative_humidity_2m": "%"}, "hourly": {"time": ["2023-01-01T00:00", "2023-01-01T01:00"], ',
    '"temperature_2m": [20.0, 21.0], "relative_humidity_2m": [50, 60]}}',
)
HOURS, FIVES = range(3), range(0, 60, 5)
FILES: dict[str, tuple[Reader, Sequence[str]]] = {
    "electricity_maps": (electricity_maps.read, (NEW, *carbon_rows("DE", [1.0, 2.0, "", 4.0]))),
    "watttime": (watttime.read, (MOER_3[0], *(MOER_3[1].replace("00:00:00", f"00:{m:02d}:00") for m in FIVES))),
    "csv_prices": (lambda one: csv_prices.read(one, PRICE), ("time,price (EUR/MWh)", *LOCAL)),
    "entsoe": (
        lambda one: entsoe.read(one, Terms(fx="1")),
        (",0", *(f"2023-01-01 0{h}:00:00+01:00,{h}" for h in HOURS)),
    ),
    "platform": (
        lambda one: entsoe.read(one, Terms(fx="1")),
        (
            "MTU (CET/CEST),Day-ahead Price (EUR/MWh)",
            *(f"01.01.2023 0{h}:00 - 01.01.2023 0{h + 1}:00,{h}" for h in HOURS),
        ),
    ),
    "gridstatus": (
        lambda one: gridstatus.read(one, Terms()),
        ("Interval Start,Location,LMP", *(f"2023-01-01 0{hour}:00:00-06:00,X,{hour}" for hour in range(4))),
    ),
    "aemo": (
        lambda one: aemo.read(one, Terms(fx="0.7")),
        (
            "REGION,SETTLEMENTDATE,RRP,PERIODTYPE",
            *(f"NSW1,2023/01/01 00:{m:02d}:00,{m},TRADE" for m in FIVES[1:]),
            "NSW1,2023/01/01 01:00:00,9,TRADE",
        ),
    ),
    "weather": (lambda one: open_meteo.read(one, heat, ""), JSON),
    "weather_csv": (lambda one: open_meteo.read(one, heat, ""), CSV),
    "eia930": (
        lambda one: eia930.read(one, MIX),
        (
            "Balancing Authority,UTC Time at End of Hour,Net Generation (MW) from Coal,Net Generation (MW) from Wind",
            'PJM,07/01/2023 5:00:00 AM,"1,000",3',
            "PJM,07/01/2023 6:00:00 AM,2000,",
        ),
    ),
    "entsoe_generation": (
        lambda one: entsoe_generation.read(one, MIX),
        (",Biomass,Fossil Gas", ",Actual Aggregated,Actual Aggregated", "2023-01-01 00:00:00+01:00,1,2"),
    ),
    "owid": (lambda one: owid.read(one, MIX), ("country,year,coal_electricity,wind_electricity", "Norway,2024,1,2")),
    "csv_mix": (lambda one: csv_mix.read(one, MIX), ("time,coal,gas", *(f"{row},1" for row in LOCAL))),
}
PUT = [
    "",
    ",",
    "\n",
    '"',
    "-",
    "-999",
    "nan",
    "inf",
    "1e400",
    "9" * 400,
    "0",
    "2023-03-26 02:30",
    "1500-01-01",
    "é",
    "\0",
    "[]",
    "null",
    "true",
    "EUR",
    "{",
]


def made(reader: Reader, content: bytes) -> imports.Imported:
    one = Download(Path("a.csv"), "", content)
    return imports.gather([(imports.Given(one, "here"), reader(one))], 3600, {})


@pytest.mark.parametrize("name", FILES)
def test_files_are_read_when_they_are_whole(name: str) -> None:
    reader, lines = FILES[name]
    table = made(reader, "\n".join(lines).encode()).table
    assert len(table) >= 1
    assert set(table.columns) <= {"time_utc", "region", *SIGNALS}


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_is_a_table_or_our_error(name: str, data: st.DataObject) -> None:
    reader, lines = FILES[name]
    whole = "\n".join(lines)
    cells = [i for i, c in enumerate(whole) if c in ',\n:"'] + [len(whole)]
    begin = data.draw(st.sampled_from([0, *cells]))
    end = data.draw(st.sampled_from([begin, *(cell for cell in cells if cell >= begin)][:4]))
    content = (whole[:begin] + data.draw(st.sampled_from(PUT)) + whole[end:]).encode()
    if data.draw(st.booleans()):
        cut = data.draw(st.integers(0, len(content)))
        content = content[:cut] + data.draw(st.binary(max_size=3)) + content[cut:]
    refusal = ""
    try:
        table = made(reader, content).table
    except SignalError as error:
        refusal = str(error)
    if refusal:
        assert "a.csv" in refusal
        return
    assert table[[column for column in SIGNALS if column in table]].notna().any(axis=1).all()
    assert table["time_utc"].is_monotonic_increasing
