"""Fleets of any number of regions on real hourly signals, as worlds for the fluid engine.

    made(data, regions, slots, load)        data: the folder with `real/` and `paper/` (docs/data.md)

Carbon intensity, wet-bulb temperature and hence on-site water are those of eight grid zones in 2023 (Electricity Maps,
Open-Meteo). Beyond eight regions, a zone comes again as it was a quarter of a year later, at a place some hundred
kilometres off: another real series. Prices are the authors' of the zone, or of a neighbour, five days on each time
(no market's prices of 2023 may be shared). Load is a week of a chat service (ServeGen), at each gateway in its own
time. A region's capacity is 1 MW.
"""

import csv
import gzip
import json
import tempfile
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from glbdes.scenario import model as scenario
from glbdes.world import Floats, World, build

START = datetime(2023, 2, 6)  # a Monday
QUARTER_H = 13 * 7 * 24
HOURS_MAX = 456  # of the authors' prices, whole days
EWIF_L_PER_KWH = 2.0  # of every grid: hourly figures are not to be had
BEIJING_H = 8  # the load's own time


class Zone(NamedTuple):
    """A grid zone, where it is, its offset from UTC in hours, and which of the authors' prices stand for its own."""

    name: str
    latitude_deg: float
    longitude_deg: float
    offset_h: int
    prices: tuple[str, ...]


ZONES = (
    Zone("US-TEX-ERCO", 32.8, -96.8, -6, ("Texas",)),
    Zone("US-MIDA-PJM", 40.0, -75.2, -5, ("Virginia",)),
    Zone("US-CAL-CISO", 37.4, -122.0, -8, ("Nevada",)),
    Zone("CA-ON", 43.7, -79.4, -5, ("Georgia",)),
    Zone("DE-LU", 50.1, 8.7, 1, ("Germany", "Netherlands", "Denmark", "Belguim")),
    Zone("JP-TK", 35.7, 139.8, 9, ("Japan",)),
    Zone("SG", 1.3, 103.9, 8, ("Singapore",)),
    Zone("AU-NSW", -33.8, 151.2, 10, ("Singapore", "Japan")),
)
SITES = ((0.0, 0.0), (3.0, 5.0), (-4.0, 6.0), (5.0, -6.0))  # degrees off, by quarter of the year


def made(data: Path, regions: int, slots: int, load: float) -> World:
    """A gateway in every region; the busiest hour of all asks for `load` of the fleet's capacity."""
    sites = [(ZONES[i % len(ZONES)], i // len(ZONES)) for i in range(regions)]
    with tempfile.TemporaryDirectory() as folder:
        _signals(data, sites, slots, Path(folder) / "signals.csv")
        (Path(folder) / "load.csv").write_text("load\n" + "1\n" * slots)
        path = Path(folder) / "real.toml"
        path.write_text(_scenario(sites, slots))
        loaded, path = scenario.load(str(path))
        world = build.build(loaded, path.parent)
    asked = np.stack([_load(data, zone.offset_h, slots) for zone, _ in sites], axis=1)
    asked *= load * world.capacity_rps.sum() / asked.sum(axis=1).max()
    return replace(world, expected_rps=asked)


def _scenario(sites: list[tuple[Zone, int]], slots: int) -> str:
    lines = [f'name = "real{len(sites)}"', 'engine = "fluid"', f"[time]\nslots = {slots}\nslot_s = 3600.0"]
    lines += [f"start_utc = {START.isoformat()}", '[signals]\nsource = "signals.csv"']
    lines += ['[workload]\nshape = "trace"\nload_file = "load.csv"', "[dispatch]\nmax_utilisation = 1.0"]
    lines += ["[objective]\ncarbon_usd_per_t = 1500.0\nwater_usd_per_m3 = 60.0", '[policy]\nname = "eglb_simplex"']
    for (zone, season), name in zip(sites, _names(sites), strict=True):
        north, east = SITES[season]
        place = f"latitude_deg = {zone.latitude_deg + north}\nlongitude_deg = {zone.longitude_deg + east}"
        lines += [f"[regions.{name}]\ncapacity = 1.0\n{place}", f"[gateways.{name}]\nload = 0.5\n{place}"]
    return "\n".join(lines)


def _names(sites: list[tuple[Zone, int]]) -> list[str]:
    return [f"{zone.name.lower().replace('-', '_')}_{season + 1}" for zone, season in sites]


def _signals(data: Path, sites: list[tuple[Zone, int]], slots: int, path: Path) -> None:
    assert slots <= HOURS_MAX
    lines = ["time_utc,region,price_usd_per_kwh,carbon_g_per_kwh,wue_l_per_kwh,ewif_l_per_kwh,pue"]
    for (zone, season), name in zip(sites, _names(sites), strict=True):
        first = int((START - datetime(2023, 1, 1)).total_seconds()) // 3600 + QUARTER_H * season
        hours = slice(first, first + slots)
        price = np.roll(_price(data, zone.prices[season % len(zone.prices)]), -120 * season)[:slots]
        rows = zip(price, _carbon(data, zone.name)[hours], _wue(data, zone.name)[hours], strict=True)
        for hour, (usd, grams, litres) in enumerate(rows):
            time = (START + timedelta(hours=hour)).isoformat(timespec="minutes")
            lines.append(f"{time},{name},{usd:.6f},{grams:.3f},{litres:.5f},{EWIF_L_PER_KWH},1.1")
    path.write_text("\n".join(lines) + "\n")


@cache
def _carbon(data: Path, zone: str) -> Floats:
    """[hour of 2023] g/kWh, life cycle."""
    with gzip.open(data / f"real/carbon_em/{zone}_2023_hourly.csv.gz", "rt", encoding="utf-8") as lines:
        return np.array([float(row["Carbon Intensity gCO₂eq/kWh (LCA)"]) for row in csv.DictReader(lines)])


@cache
def _wue(data: Path, zone: str) -> Floats:
    """[hour of 2023] L/kWh of a cooling tower, by wet-bulb temperature (Stull 2011; Li et al., arXiv 2304.03271)."""
    with gzip.open(data / f"real/weather_openmeteo/{zone}_2023.json.gz") as file:
        found = json.load(file)
    t, humid = (np.array(found["hourly"][key], dtype=float) for key in ("temperature_2m", "relative_humidity_2m"))
    wet = t * np.arctan(0.151977 * np.sqrt(humid + 8.313659)) + np.arctan(t + humid) - np.arctan(humid - 1.676331)
    wet += 0.00391838 * humid**1.5 * np.arctan(0.023101 * humid) - 4.686035
    fahrenheit = np.roll(wet * 1.8 + 32, -int(found["utc_offset_seconds"]) // 3600)  # its stamps are local
    return np.maximum(6e-5 * fahrenheit**3 - 0.01 * fahrenheit**2 + 0.61 * fahrenheit - 10.4, 0.05)


@cache
def _price(data: Path, region: str) -> Floats:
    """[hour] USD/kWh"""
    with (data / f"paper/price/{region}_Price.csv").open(newline="") as lines:
        return np.array([float(row["Price (USD/MWh)"]) for row in csv.DictReader(lines)])[:HOURS_MAX] / 1e3


def _load(data: Path, offset_h: int, slots: int) -> Floats:
    """[hour] of a week again and again, in a gateway's own time."""
    with (data / "real/servegen/m_small_rate_600s_week1.csv").open(newline="") as lines:
        rate = np.array([float(row["requests_per_s"]) for row in csv.DictReader(lines)])
    hourly = np.roll(rate[:1008].reshape(-1, 6).mean(axis=1), BEIJING_H - offset_h)
    return np.resize(hourly, slots)
