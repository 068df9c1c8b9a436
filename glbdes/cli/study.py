"""Commands over several runs: compare, sweep and report."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from glbdes.cli.output import WIDTH, say, show, stopped
from glbdes.cli.paths import ANY, FILE, FOLDER
from glbdes.errors import ScenarioError

MOST_ERRORS = 10  # that are told of one by one

workers_option = click.option(
    "--workers", type=click.IntRange(1, 1024), metavar="N", help="Processes; default: one a processor."
)
allow_policy = click.option(
    "--allow-policy", multiple=True, metavar="PACKAGE", help="Let policies of this installed package run."
)
quiet_option = click.option("--quiet", is_flag=True, help="No progress; print only where the results are.")


@click.command()
@click.argument("scenario")
@click.option("--policies", metavar="A,B,...", help="Which, separated by commas; the first is the reference.")
@click.option("--seeds", type=click.IntRange(1, 10_000), default=1, show_default=True, help="Draws of requests.")
@click.option("--signal-seeds", type=click.IntRange(1, 10_000), metavar="N", help="Draws of synthetic signals.")
@click.option("-o", "--out", type=FOLDER, metavar="DIR", help="Where results go; default: a new folder in runs/.")
@click.option("--engine", metavar="NAME", help="Use this engine instead of the scenario's.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Any key of the scenario.")
@click.option("--signals", type=ANY, metavar="PATH", help="Take signals from there instead.")
@allow_policy
@workers_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else.")
@quiet_option
def compare(
    scenario: str, policies: str | None, workers: int | None, as_json: bool, quiet: bool, **choices: Any
) -> None:
    """Run policies on the same requests of SCENARIO, and set them side by side."""
    from glbdes.base import jobs
    from glbdes.present import study_tables
    from glbdes.study import comparison

    names = comparison.POLICIES if policies is None else [name.strip() for name in policies.split(",") if name.strip()]
    with _progress("runs", quiet) as progress:
        choices |= {"progress": progress, "tell": None if quiet else lambda text: click.echo(f"({text})", err=True)}
        found = comparison.compare(scenario, names, workers=workers or jobs.processors(), **choices)
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


@click.command()
@click.argument("source", metavar="RUN|COMPARISON|SWEEP", type=FOLDER)
@click.option("-o", "--out", type=FILE, default="report.html", show_default=True, metavar="FILE", help="The page.")
@click.option("--formats", default="svg,png,pdf", show_default=True, metavar="A,B", help="Of the figures beside it.")
def report(source: Path, out: Path, formats: str) -> None:
    """Write one HTML page about a run, a comparison or a sweep, and its figures as files."""
    from glbdes.study import report as reporting

    written = reporting.write(source, out, [name.strip() for name in formats.split(",") if name.strip()])
    say(f"Wrote {written[0]}" + (f" and {len(written) - 1} files in {written[1].parent}" if written[1:] else ""))


@click.command()
@click.argument("file", metavar="SWEEP.toml", type=FILE)
@click.option("-o", "--out", type=FOLDER, metavar="DIR", help="Where results go; default: the file's name in runs/.")
@click.option("--dask", metavar="ADDRESS", help="Use the workers of this dask scheduler: tcp://host:port.")
@allow_policy
@workers_option
@quiet_option
def sweep(file: Path, workers: int | None, quiet: bool, **choices: Any) -> None:
    """Simulate every point of SWEEP.toml that has not been yet; killed, it goes on when called again."""
    from glbdes.base import jobs
    from glbdes.study import sweep as sweeping

    try:
        with _progress("points", quiet) as progress:
            found = sweeping.sweep(file, workers=workers or jobs.processors(), progress=progress, **choices)
    except KeyboardInterrupt as error:
        stopped(error, "The points that had ended are kept; the same command goes on.")
    say(found.path if quiet else f"{len(found.table)} points in {found.path / 'sweep.parquet'}")
    if len(found.failed):
        told = "\n".join(f"point {row.point}: {row.error}" for row in found.failed.head(MOST_ERRORS).itertuples())
        raise ScenarioError(f"{len(found.failed)} of {len(found.table)} points could not be simulated\n{told}")


COMMANDS = (compare, report, sweep)


@contextmanager
def _progress(what: str, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on stderr with the time left, if somebody is looking."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn(f"{what}, left"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda ended, expected: bar.update(task, completed=ended, total=expected)
