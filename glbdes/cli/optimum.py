"""The command that solves a scenario offline."""

import json
import time
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
    from glbdes.records.optimum_figures import summary
    from glbdes.study import run
    from glbdes.world import build

    begin_s = time.perf_counter()
    plan = run.prepare(scenario, overrides=overrides)
    world = build.build(plan.scenario, plan.folder, signals)
    build_s = time.perf_counter() - begin_s
    figures = summary(world, tuple(plan.scenario.regions), plan.scenario.by_request)
    figures = {"scenario": plan.scenario.name, **figures, "build_s": build_s}
    if as_json:
        say(json.dumps(figures, indent=2, allow_nan=False))
        return
    from glbdes.present import tables

    show(tables.optimum(figures))
