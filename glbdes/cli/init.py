"""The command that writes a first scenario for a fleet of one's own."""

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from glbdes.cli.output import say
from glbdes.cli.paths import ANY, FOLDER
from glbdes.errors import ScenarioError, brief
from glbdes.scenario import clouds
from glbdes.scenario.beginning import CONSTANTS

EXAMPLES: Mapping[str, str] = {
    "price_usd_per_kwh": "0.10",
    "carbon_g_per_kwh": "400",
    "ewif_l_per_kwh": "2.0",
    "wue_l_per_kwh": "0.3",
    "pue": "1.2",
}  # offered where one is asked, never taken silently


@click.command()
@click.argument("folder", metavar="[DIR]", type=FOLDER, default=Path(), required=False)
@click.option("--name", default="mine", show_default=True, help="What runs are called, and the file.")
@click.option("--regions", metavar="A,B,...", help="Cloud regions (`glbdes regions list`): aws:eu-west-1,gcp:us-east4.")
@click.option("--profile", metavar="NAME", help="GPU and model of all replicas (`glbdes profile list`).")
@click.option("--replicas", metavar="N[,N...]", help="One number, or one for each region.")
@click.option("--load", type=click.FloatRange(0, 0.9), metavar="SHARE", help="Of what a region can serve, on average.")
@click.option("--signals", type=ANY, metavar="FILE", help="Hourly price, carbon, water (docs/importing.md).")
@click.option("--price", "price_usd_per_kwh", metavar="X[,X...]", help="USD/kWh: one, or one for each region.")
@click.option("--carbon", "carbon_g_per_kwh", metavar="X[,X...]", help="g/kWh of the grid.")
@click.option("--ewif", "ewif_l_per_kwh", metavar="X[,X...]", help="Litres that power plants evaporate of a kWh.")
@click.option("--wue", "wue_l_per_kwh", metavar="X[,X...]", help="Litres of cooling of an IT kWh; else as published.")
@click.option("--pue", "pue", metavar="X[,X...]", help="Facility over IT power; default: as published.")
@click.option("--start", metavar="DATE", default="2024-01-01", show_default=True, help="First day, UTC.")
@click.option("--days", type=click.IntRange(1, 366), default=1, show_default=True, help="How many.")
@click.option("--overwrite", is_flag=True, help="Replace the file.")
def init(folder: Path, overwrite: bool, **given: Any) -> None:
    """Write a commented scenario of a fleet of your own into DIR, and the schema that editors complete it by.

    What is not given is asked for, if somebody is there to answer.
    """
    from glbdes.base import files, reading
    from glbdes.scenario import beginning, model, schema
    from glbdes.world import build

    path = folder / f"{given['name']}.toml"
    if path.exists() and not overwrite:
        raise ScenarioError(f"{path}: is there already; --overwrite replaces it, --name calls the new one otherwise")
    regions = _regions(
        given["regions"] or _ask("regions", "Cloud regions, separated by commas (`glbdes regions list`)")
    )
    answers = beginning.Answers(
        name=given["name"],
        regions=regions,
        profile=given["profile"] or _ask("profile", "Profile (`glbdes profile list`)", "h100_llama8b"),
        replicas=_each("replicas", given["replicas"] or _ask("replicas", "Replicas of each", "2"), len(regions), int),
        load=given["load"] if given["load"] is not None else _number("load", _ask("load", "Mean load", "0.5"), float),
        constants=_constants(given, regions),
        signals=None if given["signals"] is None else _from(folder, given["signals"]),
        start_utc=_date(given["start"]),
        days=given["days"],
    )
    text = beginning.written(answers)
    build.build(model.validate(reading.toml(text), str(path)), folder)
    folder.mkdir(parents=True, exist_ok=True)
    files.put(path, text)
    files.put(folder / schema.FILE, schema.text())
    say(f"Wrote {path} and {folder / schema.FILE}; next: glbdes check {path}")


def _regions(text: str) -> tuple[clouds.Cloud, ...]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names or len(set(names)) < len(names):
        raise ScenarioError(f"--regions {brief(text)}: must be different cloud regions, separated by commas")
    unknown = [clouds.unknown(name) for name in names if clouds.of(name) is None]
    if unknown:
        raise ScenarioError([f"--regions {one}" for one in unknown])
    return tuple(clouds.known()[name] for name in names)


def _constants(given: Mapping[str, Any], regions: Sequence[clouds.Cloud]) -> dict[str, tuple[float | None, ...]]:
    """[region] by key. Without a file of signals, what nobody publishes must be said."""
    found: dict[str, tuple[float | None, ...]] = {}
    for key, what in CONSTANTS.items():
        lacking = [one.name for one in regions if key not in one.constants]
        text = given[key]
        if text is None and given["signals"] is None and lacking:
            where = "" if len(lacking) == len(regions) else f" in {', '.join(lacking)}"
            text = _ask(_flag(key), f"{key}, {what}{where}", EXAMPLES[key])
            values: tuple[float | None, ...] = _each(_flag(key), text, len(regions), float)
            found[key] = tuple(v if one.name in lacking else None for v, one in zip(values, regions, strict=True))
        else:
            found[key] = (None,) * len(regions) if text is None else _each(_flag(key), text, len(regions), float)
    return found


def _flag(key: str) -> str:
    return key.partition("_")[0]


def _ask(flag: str, question: str, example: str | None = None) -> str:
    """An answer, if somebody is there; else the flag is missing."""
    if not sys.stdin.isatty():
        raise ScenarioError(f"--{flag}: missing, must be given where nobody can be asked ({question})")
    return str(click.prompt(question, default=example, err=True))


def _each(flag: str, text: str, regions: int, kind: Any) -> tuple[Any, ...]:
    values = tuple(_number(flag, part, kind) for part in str(text).split(","))
    if len(values) not in (1, regions):
        rule = f"must be one number, or one for each of the {regions} regions"
        raise ScenarioError(f"--{flag} {brief(text)}: {len(values)} numbers, {rule}")
    return values * regions if len(values) == 1 else values


def _number(flag: str, text: str, kind: Any) -> Any:
    try:
        return kind(text)
    except ValueError as error:
        told = "a whole number" if kind is int else "a number"
        raise ScenarioError(f"--{flag} '{brief(text.strip())}': must be {told}") from error


def _from(folder: Path, file: Path) -> str:
    """The file as the scenario names it: beside it if it is below its folder, else where it is."""
    inside = file.resolve().is_relative_to(folder.resolve())
    return str(file.resolve().relative_to(folder.resolve()) if inside else file.resolve())


def _date(text: str) -> datetime:
    try:
        start = datetime.fromisoformat(text)
    except ValueError as error:
        raise ScenarioError(f"--start '{brief(text)}': must be a date, as in 2024-01-01") from error
    return start if start.tzinfo else start.replace(tzinfo=UTC)
