"""The command that solves a scenario offline."""

import json
from pathlib import Path

import click

from glbdes.cli.output import say, show
from glbdes.cli.paths import ANY


@click.command()
@click.argument("scenario")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Any key of the scenario.")
@click.option("--signals", type=ANY, metavar="PATH", help="Take signals from there instead.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else.")
def optimum(scenario: str, overrides: tuple[str, ...], signals: Path | None, as_json: bool) -> None:
    """What SCENARIO would come to with the whole horizon known: no plan within the capacities can do better.

    With requests, a bound: base power, and the least that each request adds. With engine = "fluid", the fluid model's.
    """
    from glbdes.study import optimum as solving

    figures = solving.optimum(scenario, overrides=overrides, signals=signals)
    if as_json:
        say(json.dumps(figures, indent=2, allow_nan=False))
        return
    from glbdes.present import tables

    show(tables.optimum(figures))
