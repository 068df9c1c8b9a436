"""Commands over several runs: compare, sweep and report."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from glbdes.cli.output import WIDTH, say, show, stopped
from glbdes.cli.paths import ANY, FILE, FOLDER
from glbdes.errors import ScenarioError

if TYPE_CHECKING:
    from glbdes.study import Comparison

MOST_ERRORS = 10  # that are told of one by one

workers_option = click.option(
    "--workers", type=click.IntRange(1, 1024), metavar="N", help="Processes; default: one a processor."
)
dask_option = click.option("--dask", metavar="ADDRESS", help="Use the workers of this dask scheduler: tcp://host:port.")
allow_policy = click.option(
    "--allow-policy", multiple=True, metavar="PACKAGE", help="Let policies of this installed package run."
)
quiet_option = click.option("--quiet", is_flag=True, help="No progress; print only where the results are.")


@click.command()
@click.argument("scenario", metavar="SCENARIO | --runs RUN...", nargs=-1, required=True)
@click.option(
    "--runs", "existing", is_flag=True, help="Compare runs that are there already, named instead of SCENARIO."
)
@click.option("--policies", metavar="A,B,...", help="Which, separated by commas; the first is the reference.")
@click.option("--seeds", type=click.IntRange(1, 10_000), metavar="N", help="Draws of requests; default: 1.")
@click.option("--signal-seeds", type=click.IntRange(1, 10_000), metavar="N", help="Draws of synthetic signals.")
@click.option("-o", "--out", type=FOLDER, metavar="DIR", help="Where results go; default: a new folder in runs/.")
@click.option("--engine", metavar="NAME", help="Use this engine instead of the scenario's.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Any key of the scenario.")
@click.option("--signals", type=ANY, metavar="PATH", help="Take signals from there instead.")
@dask_option
@allow_policy
@workers_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else.")
@quiet_option
def compare(scenario: tuple[str, ...], existing: bool, as_json: bool, quiet: bool, **choices: Any) -> None:
    """Run policies on the same requests of SCENARIO, and set them side by side; or runs that are there already."""
    from glbdes.present import study_tables

    found = _of_runs(scenario, quiet, choices) if existing else _of_scenario(scenario, quiet, choices)
    if as_json:
        rows = json.loads(found.table.to_json(orient="records", double_precision=15))  # NaN is null there
        say(json.dumps({**found.info, "path": str(found.path), "table": rows}, indent=2))
        return
    if quiet:
        say(found.path)
        return
    title = f"{found.info['scenario']}, engine {found.info['engine']}, {study_tables.draws(found.info)}"
    parts = [
        study_tables.rich(title, found.shown, study_tables.COMPARISON),
        *study_tables.notes(found.info, found.runs),
        f"The same requests for every policy: verified. Results in {found.path}",
    ]
    show(parts, width=max(WIDTH, 22 + 14 * len(found.policies)))


def _of_scenario(what: tuple[str, ...], quiet: bool, choices: dict[str, Any]) -> "Comparison":
    from glbdes.base import jobs
    from glbdes.study import comparison

    if len(what) > 1:
        raise click.UsageError(f"{len(what)} scenarios, must be one; if they are runs: --runs {' '.join(what)}")
    policies, workers, seeds = choices.pop("policies"), choices.pop("workers"), choices.pop("seeds")
    names = comparison.POLICIES if policies is None else [name.strip() for name in policies.split(",") if name.strip()]
    choices |= {"progress": False if quiet else None, "tell": None if quiet else _told, "seeds": seeds or 1}
    return comparison.compare(what[0], names, workers=workers or jobs.processors(), **choices)


def _of_runs(what: tuple[str, ...], quiet: bool, choices: dict[str, Any]) -> "Comparison":
    from glbdes.study import existing

    for key, value in choices.items():
        if key != "out" and value not in (None, ()):
            name = {"overrides": "set"}.get(key, key.replace("_", "-"))
            raise click.UsageError(f"--{name} does not go with --runs: what ran, ran")
    return existing.compare_runs(what, out=choices["out"], tell=None if quiet else _told)


def _told(text: str) -> None:
    click.echo(f"({text})", err=True)


@click.command()
@click.argument("source", metavar="RUN|COMPARISON|SWEEP", type=FOLDER)
@click.option("-o", "--out", type=FILE, default="report.html", show_default=True, metavar="FILE", help="The page.")
@click.option("--formats", default="svg,png,pdf", show_default=True, metavar="A,B", help="Of the figures beside it.")
def report(source: Path, out: Path, formats: str) -> None:
    """Write one HTML page about a run, a comparison or a sweep, and its figures as files."""
    from glbdes.study import report as reporting

    written = reporting.report(source, out, [name.strip() for name in formats.split(",") if name.strip()])
    say(f"Wrote {written[0]}" + (f" and {len(written) - 1} files in {written[1].parent}" if written[1:] else ""))


@click.command()
@click.argument("file", metavar="SWEEP.toml", type=FILE)
@click.option("-o", "--out", type=FOLDER, metavar="DIR", help="Where results go; default: the file's name in runs/.")
@dask_option
@allow_policy
@workers_option
@quiet_option
def sweep(file: Path, workers: int | None, quiet: bool, **choices: Any) -> None:
    """Simulate every point of SWEEP.toml that has not been yet; killed, it goes on when called again."""
    from glbdes.base import jobs
    from glbdes.study import sweep as sweeping

    try:
        shown: Any = False if quiet else None
        found = sweeping.sweep(file, workers=workers or jobs.processors(), progress=shown, **choices)
    except KeyboardInterrupt as error:
        stopped(error, "The points that had ended are kept; the same command goes on.")
    say(found.path if quiet else f"{len(found.table)} points in {found.path / 'sweep.parquet'}")
    if len(found.failed):
        told = "\n".join(f"point {row.point}: {row.error}" for row in found.failed.head(MOST_ERRORS).itertuples())
        raise ScenarioError(f"{len(found.failed)} of {len(found.table)} points could not be simulated\n{told}")


COMMANDS = (compare, report, sweep)
