"""Commands that bring public data in, from files that are there already: no network, no keys.

`importing` is the group `import`; a command of it is added here or, for what is no signal, in a module of its own.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from glbdes.cli.import_requests import COMMANDS
from glbdes.cli.output import say, show
from glbdes.cli.paths import FILE
from glbdes.errors import SignalError, brief

KINDS = {"kind": "Carbon", "wue": "Water on site", "ewif": "Water off site", "price": "Price"}  # in a region's facts

if TYPE_CHECKING:
    from glbdes.signals.imports import Given, Imported
    from glbdes.signals.sources.download import Download
    from glbdes.signals.sources.series import Piece


@click.group("import")
def importing() -> None:
    """Turn public data, as downloaded, into tables that scenarios read."""


for command in COMMANDS:
    importing.add_command(command)


files = click.argument("files", nargs=-1, required=True, metavar="[NAME=]FILE...")
out_option = click.option(
    "-o", "--out", type=FILE, required=True, metavar="FILE", help="Where the table goes: .csv or .parquet."
)
region_option = click.option("--region", metavar="NAME", help="Call the region this, in files without NAME=.")
zone_option = click.option(
    "--zone", "zones", multiple=True, metavar="[NAME=]ZONE", help="Take this zone of the files, and call it NAME."
)
step_option = click.option(
    "--step-s", type=click.IntRange(1, 31_622_400), default=3600, show_default=True, help="Length of a slot, in s."
)
accept_option = click.option(
    "--accept", multiple=True, type=click.Choice(["leap-day"]), help="Take what would be refused, as a gap."
)
accept_price_option = click.option(
    "--accept", multiple=True, type=click.Choice(["leap-day", "shifted"]), help="Take what would be refused."
)


@importing.command("carbon")
@files
@click.option("--format", "source", required=True, type=click.Choice(["electricitymaps", "watttime"]), help="Whose.")
@click.option(
    "--basis",
    type=click.Choice(["lca", "direct"]),
    default="lca",
    show_default=True,
    help="Electricity Maps: of the life cycle, or direct.",
)
@zone_option
@region_option
@step_option
@accept_option
@out_option
def carbon(files: tuple[str, ...], source: str, basis: str, zones: tuple[str, ...], **choices: Any) -> None:
    """Carbon intensity of grids; a file a zone, or --zone."""
    from glbdes.signals.sources import electricity_maps, watttime

    if source == "watttime":
        read = lambda one, zones: watttime.read(one, zones)  # noqa: E731
        _bring("carbon", "watttime", files, read, watttime.LICENCE, zones, choices)
    else:
        read = lambda one, zones: electricity_maps.read(one, basis, zones)  # noqa: E731
        _bring("carbon", f"electricitymaps --basis {basis}", files, read, electricity_maps.LICENCE, zones, choices)


@importing.command("price")
@files
@click.option(
    "--format", "source", required=True, type=click.Choice(["csv", "entsoe", "gridstatus", "aemo"]), help="Whose."
)
@click.option("--tz", metavar="ZONE", help="Of stamps without an offset: UTC, +10:00 or Europe/Berlin.")
@click.option("--local", metavar="ZONE", help="Clock of the place, where stamps are UTC: to check hours of the day.")
@click.option("--unit", metavar="CUR/MWh", help="Of prices: EUR/MWh, or any currency per MWh or kWh.")
@click.option("--fx", metavar="RATE|FILE", help="USD for one of the currency: a number, or a CSV file with one a day.")
@click.option("--time", metavar="COLUMN", help="The column of times, where it is not found by its name.")
@click.option("--column", metavar="COLUMN", help="The column of prices, where it is not found by its name.")
@zone_option
@region_option
@step_option
@accept_price_option
@out_option
def price(files: tuple[str, ...], source: str, unit: str | None, zones: tuple[str, ...], **choices: Any) -> None:
    """Prices of energy, in USD per kWh; a file a zone, or --zone."""
    from glbdes.signals.sources import aemo, csv_prices, entsoe, gridstatus, money, prices

    read = {"csv": csv_prices.read, "entsoe": entsoe.read, "gridstatus": gridstatus.read, "aemo": aemo.read}[source]
    said = {key: choices.pop(key) for key in ("tz", "local", "fx", "time", "column")}
    terms = prices.Terms(money.unit(unit) if unit else None, accept=choices["accept"], **said)
    given = [f"--{key} {value}" for key, value in {"unit": unit, **said}.items() if value is not None]
    of = lambda one, zones: read(one, replace(terms, zones=zones))  # noqa: E731
    _bring("price", " ".join([source, *given]), files, of, prices.LICENCE, zones, choices)


@importing.command("weather")
@files
@click.option("--format", "source", required=True, type=click.Choice(["open-meteo"]), help="Whose.")
@click.option("--wue", required=True, type=click.Choice(["ren"]), help="Water on site as a function of wet bulb.")
@click.option("--cycles", type=float, default=6.0, show_default=True, help="Cycles of concentration, > 1.")
@click.option(
    "--wet-bulb",
    type=click.Choice(["stull", "exact"]),
    default="stull",
    show_default=True,
    help="By Stull (2011), or by psychrolib if that is installed.",
)
@region_option
@step_option
@accept_option
@out_option
def weather(files: tuple[str, ...], source: str, wue: str, cycles: float, wet_bulb: str, **choices: Any) -> None:
    """Water that evaporates on site, from air temperature and humidity; a file a point, NAME=FILE."""
    from glbdes.signals import weather as model
    from glbdes.signals.sources import open_meteo

    def water(air_c: Any, humidity_percent: Any, elevation_m: float) -> Any:
        exact = wet_bulb == "exact"
        wet = model.exact_wet_bulb_c if exact else lambda air, humidity, _: model.stull_wet_bulb_c(air, humidity)
        return model.ren_wue_l_per_kwh(wet(air_c, humidity_percent, elevation_m), cycles)

    note = f"{wue}, {cycles:g} cycles, wet bulb {wet_bulb}"
    command = f"{source} --wue {wue} --cycles {cycles:g} --wet-bulb {wet_bulb}"
    read = lambda one, _: open_meteo.read(one, water, note)  # noqa: E731
    _bring("weather", command, files, read, open_meteo.LICENCE, (), choices)


@importing.command("mix")
@files
@click.option(
    "--format", "source", required=True, type=click.Choice(["eia930", "entsoe", "owid", "csv"]), help="Whose."
)
@click.option(
    "--ewif",
    required=True,
    type=click.Choice(["ren", "macknick", "waterwise"]),
    help="Water by fuel; hydropower uses 0 L/kWh by ren, 17 by the others.",
)
@click.option("--carbon", type=click.Choice(["ipcc", "ren", "waterwise"]), help="Carbon by fuel, too.")
@click.option("--tz", metavar="ZONE", help="Of stamps without an offset: UTC, +10:00 or Europe/Berlin.")
@click.option("--year", "years", type=int, multiple=True, metavar="YEAR", help="owid: which.")
@zone_option
@region_option
@step_option
@accept_option
@out_option
def mix(files: tuple[str, ...], source: str, ewif: str, carbon: str | None, **choices: Any) -> None:
    """Water that electricity costs where it is made (EWIF), from generation by fuel; carbon by factors, if wanted."""
    from glbdes.signals import fuels
    from glbdes.signals.sources import csv_mix, eia930, entsoe_generation, mixes, owid

    of = {"eia930": eia930, "entsoe": entsoe_generation, "owid": owid, "csv": csv_mix}[source]
    zones, said = choices.pop("zones"), {key: choices.pop(key) for key in ("tz", "years")}
    by_carbon = None if carbon is None else fuels.factors(carbon, "carbon")
    wanted = mixes.Wanted(fuels.factors(ewif, "water"), by_carbon, **said)
    command = f"{source} --ewif {ewif}" + (f" --carbon {carbon}" if carbon else "")
    read = lambda one, zones: of.read(one, replace(wanted, zones=zones))  # noqa: E731
    _bring("mix", command, files, read, of.LICENCE, zones, choices)


@click.command("join")
@click.argument("tables", nargs=-1, required=True, type=FILE, metavar="TABLE...")
@out_option
def join(tables: tuple[Path, ...], out: Path) -> None:
    """Put tables of signals together: columns side by side, years one after another."""
    from glbdes.signals import join as joining

    _write(joining.join(tables, " ".join(["glbdes signals join", *(path.name for path in tables)])), out)


@click.command("describe")
@click.argument("file", type=FILE, metavar="TABLE")
@click.option("-o", "--out", type=FILE, metavar="FILE", help="Draw its course there: .svg, .png or .pdf.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else.")
def describe(file: Path, out: Path | None, as_json: bool) -> None:
    """Means, extremes, hours below zero, holes and the estimated share of a table of signals."""
    from glbdes.present import tables
    from glbdes.present.plots.course_of_signals import TITLES, signals
    from glbdes.signals import describe as describing
    from glbdes.study import report

    found = describing.describe(file)
    if out is not None:
        report.draw(signals(describing.course(file)), out)
    if as_json:
        say(json.dumps(found, indent=2, allow_nan=False))
        return
    for column, title in TITLES.items():
        rows = [
            [
                name,
                *(tables.number(one[key]) for key in ("mean", "std", "min", "max")),
                tables.number(one["negative_h"]),
                *(str(one[key]) for key in ("missing_slots", "longest_hole_slots")),
                _percent(one["share_estimated"]),
            ]
            for name, region in found["regions"].items()
            if (one := region["signals"].get(column)) is not None
        ]
        if rows:
            headings = ["region", "mean", "std", "min", "max", "hours < 0", "missing", "longest hole", "estimated"]
            show([tables.table(title, headings, rows)])
    show(_kinds(found["regions"]))
    if out is not None:
        say(f"Wrote {out}")


def _bring(
    what: str,
    source: str,
    files: Sequence[str],
    read: Callable[["Download", tuple[str, ...]], list["Piece"]],
    licence: str,
    zones: Sequence[str],
    choices: dict[str, Any],
) -> None:
    """Read all files, make one table of them, write it, and sum it up.

    A zone that is called NAME=ZONE is read by itself, so that several regions may have the same.
    """
    from glbdes.signals import imports

    called = dict(_named(one) for one in zones if "=" in one)
    plain = tuple(one for one in zones if "=" not in one)
    given = [_given(one, choices["region"]) for one in files]
    about = {"made_by": f"glbdes import {what} --format {source}", "licence": licence}
    pieces = [(one, read(one.download, plain)) for one in given] if plain or not called else []
    if called and any(one.region is not None for one in given):
        raise SignalError("--zone NAME=ZONE: names regions, as NAME=FILE and --region do; say it once")
    for name, zone in called.items():
        pieces += [(replace(one, region=name), read(one.download, (zone,))) for one in given]
    _write(imports.gather(pieces, choices["step_s"], about, choices["accept"]), choices["out"])


def _named(zone: str) -> tuple[str, str]:
    """NAME and ZONE."""
    name, _, theirs = zone.partition("=")
    if not name or not theirs:
        raise SignalError(f"--zone '{brief(zone)}': must be ZONE or NAME=ZONE")
    return name, theirs


def _given(argument: str, region: str | None) -> "Given":
    """A file called by `argument`: its path, or NAME= and its path."""
    from glbdes.signals.imports import Given
    from glbdes.signals.sources.download import fetch

    name, equals, place = argument.partition("=")
    if not equals or Path(argument).exists():
        return Given(fetch(Path(argument)), region)
    if not name:
        raise SignalError(f"'{argument}': has no name before '=', must be NAME=FILE")
    return Given(fetch(Path(place)), name)


def _write(imported: "Imported", out: Path) -> None:
    from glbdes.present import tables
    from glbdes.signals import imports

    side = imports.write(imported, out)
    rows = [
        [
            name,
            str(region["slots"]),
            region["first"][:16],
            region["last"][:16],
            _missing(region),
            _share(region),
        ]
        for name, region in imported.facts["regions"].items()
    ]
    columns = ["region", "slots", "first, UTC", "last, UTC", "missing", "estimated"]
    show([tables.table("Signals", columns, rows), *_kinds(imported.facts["regions"])])
    say(f"Wrote {out}, and where it comes from to {side}")


def _missing(region: dict[str, Any]) -> str:
    missing = region["missing_slots"]
    return str(max(missing.values()) if isinstance(missing, dict) else missing)


def _share(region: dict[str, Any]) -> str:
    shares = region["share_estimated"].values()
    return _percent(max(shares) if shares else None)


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.1%}"


def _kinds(regions: dict[str, dict[str, Any]]) -> list[str]:
    """Of what kind values are: a line for each kind there is."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, region in regions.items():
        for key, what in KINDS.items():
            if key in region:
                found.setdefault((what, str(region[key])), []).append(name)
    return [
        f"{what}: {kind}" + (f" ({', '.join(of)})" if len(of) < len(regions) else "")
        for (what, kind), of in found.items()
    ]
