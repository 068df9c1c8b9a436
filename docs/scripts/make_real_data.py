"""Run every command of docs/real_data.md on real downloads and put what it prints where the page shows it.

    python docs/scripts/make_real_data.py [--keep FOLDER]

The downloads are those of the data folder beside the checkout (`../shared/data/real`); without it the script says so
and ends. What is not there, it makes, and the page says so: prices of a file of one's own, drawn from a rule (`price`),
and a file in the form of Our World in Data with the 2023 mixes of six countries, from codecarbon's copy of them.
"""

import argparse
import csv
import gzip
import json
import math
import random
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from typed import console

DOCS = Path(__file__).resolve().parent.parent
REAL = DOCS.parent / "../shared/data/real"
PAGE = DOCS / "real_data.md"
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)

ZONES = {  # USD/MWh of the made-up price in the mean; hours that local standard time is ahead of UTC; summer's month
    "AU-NSW": (70.0, 10, 1),
    "CA-ON": (30.0, -5, 7),
    "DE-LU": (100.0, 1, 1),
    "JP-TK": (95.0, 9, 8),
    "SG": (180.0, 8, 5),
    "US-CAL-CISO": (60.0, -8, 8),
    "US-MIDA-PJM": (35.0, -5, 7),
    "US-TEX-ERCO": (45.0, -6, 8),
}
COUNTRIES = ("AUS", "CAN", "DEU", "JPN", "SGP", "USA")
OWID = {  # our World in Data's columns, codecarbon's names of the same
    "coal_electricity": "coal_TWh",
    "gas_electricity": "gas_TWh",
    "oil_electricity": "oil_TWh",
    "nuclear_electricity": "nuclear_TWh",
    "hydro_electricity": "hydroelectricity_TWh",
    "wind_electricity": "wind_TWh",
    "solar_electricity": "solar_TWh",
    "biofuel_electricity": "biofuel_TWh",
    "other_renewable_exc_biofuel_electricity": "other_renewable_exc_biofuel_TWh",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path)
    keep = parser.parse_args().keep
    if not REAL.is_dir():
        print("../shared/data/real is not there: docs/real_data.md stays as it is")
        return
    work = (keep or Path(tempfile.mkdtemp(prefix="real-"))).resolve()
    work.mkdir(exist_ok=True)
    downloads(work)
    for command in commands(PAGE.read_text(encoding="utf-8")):
        if found := re.search(r"-o (\w+)$", command):
            shutil.rmtree(work / found.group(1), ignore_errors=True)
    seconds: list[float] = []
    page = BLOCK.sub(lambda found: rerun(found, work, seconds), PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(page, encoding="utf-8")
    print(f"{len(seconds)} commands in {sum(seconds):.0f} s: {', '.join(f'{one:.0f}' for one in seconds)}")
    if keep is None:
        shutil.rmtree(work)


def commands(page: str) -> Iterator[str]:
    """What the page tells to type."""
    for block in BLOCK.finditer(page):
        yield command_of(block.group(1))[0]


def command_of(body: str) -> tuple[str, list[str]]:
    """The command of a block as one line, and its lines as they are written."""
    written = []
    for line in body.splitlines():
        written.append(line)
        if not line.endswith("\\"):
            break
    return " ".join(line.removesuffix("\\").strip() for line in written).removeprefix("$ "), written


def downloads(work: Path) -> None:
    """The files that the page begins with, in `work`."""
    for name, source, suffix in (
        ("carbon", "carbon_em", "_hourly.csv.gz"),
        ("weather", "weather_openmeteo", ".json.gz"),
    ):
        (work / name).mkdir(exist_ok=True)
        for zone in ZONES:
            shutil.copy(REAL / source / f"{zone}_2023{suffix}", work / name / f"{zone}{suffix.replace('_hourly', '')}")
    (work / "price").mkdir(exist_ok=True)
    for zone in ZONES:
        with (work / "price" / f"{zone}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("time_utc", "price USD/MWh"), *price(zone)])
    (work / "owid-energy-data.csv").write_text("\n".join(owid()) + "\n", encoding="utf-8")
    shutil.copy(DOCS.parent / "scenarios" / "zones8.toml", work)


def price(zone: str) -> Iterator[tuple[str, float]]:
    """Each hour of 2023: a made-up price, USD/MWh. No market's: it has a level, two peaks a day, a season and noise."""
    mean, offset_h, month = ZONES[zone]
    draw, drift = random.Random(zone), 0.0
    for hour in range(8760):
        when = datetime(2023, 1, 1) + timedelta(hours=hour)
        local = (hour + offset_h) % 24
        day = 1 + 0.25 * math.exp(-((local - 8.5) ** 2) / 6) + 0.45 * math.exp(-((local - 19) ** 2) / 8)
        day -= 0.2 * math.exp(-((local - 13) ** 2) / 10)
        season = 1 + 0.2 * math.cos(2 * math.pi * (when.timetuple().tm_yday / 365 - (month - 0.5) / 12))
        drift = 0.97 * drift + draw.gauss(0, 0.06)
        yield when.strftime("%Y-%m-%d %H:%M"), round(mean * day * season * math.exp(drift - 0.03) / 1.1, 2)


def owid() -> Iterator[str]:
    """Lines of Our World in Data's form: six countries' electricity by fuel in 2023, in TWh."""
    with gzip.open(REAL / "factors/codecarbon_global_energy_mix.json.gz", "rt", encoding="utf-8") as file:
        mixes = json.load(file)
    yield ",".join(("country", "year", "iso_code", *OWID))
    for code in COUNTRIES:
        mix = mixes[code]
        assert mix["year"] == 2023
        yield ",".join((mix["country_name"], "2023", code, *(str(mix.get(theirs, 0)) for theirs in OWID.values())))


def rerun(found: re.Match[str], work: Path, seconds: list[float]) -> str:
    command, written = command_of(found.group(1))
    begin_s = time.perf_counter()
    shown = console(command, written, work)
    seconds.append(time.perf_counter() - begin_s)
    return shown


if __name__ == "__main__":
    main()
