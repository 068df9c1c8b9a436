"""The command line: parse, call one function, print.

Results go to stdout, progress and errors to stderr. Whatever a user can mend ends with one message and exit code 2;
anything else is a bug, and shows its traceback. Commands import what they need, so that `glbdes --help` is quick.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import click

from glbdes.cli import export, sizing
from glbdes.cli.completion import attach, completion
from glbdes.cli.importing import describe, importing, join
from glbdes.cli.init import init
from glbdes.cli.optimum import optimum
from glbdes.cli.output import Refusal, orderly, say, show, stopped, told
from glbdes.cli.paths import ANY, FILE, FOLDER
from glbdes.cli.profile import profile
from glbdes.cli.regions import regions
from glbdes.cli.serve import serve
from glbdes.cli.study import COMMANDS, allow_policy
from glbdes.errors import GlbdesError, PolicyError, RecordsError, brief

WIDEST = 130  # of a table with a column a period
MOST_CHARACTERS = 1000  # of a line of a message

settings = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Any key of the scenario: regions.*.replicas=4."
)
signal_source = click.option(
    "--signals", type=ANY, metavar="PATH", help="Take signals from this file or folder instead."
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else.")


class Commands(click.Group):
    """A group that turns the package's own errors, and what the system refuses, into one message."""

    def main(self, *args: Any, **extra: Any) -> Any:
        with orderly():
            return super().main(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except GlbdesError as error:
            raise Refusal(_printable(str(error))) from error
        except KeyboardInterrupt as error:
            stopped(error)
        except MemoryError as error:
            raise Refusal("out of memory: simulate fewer or shorter slots, or less load") from error
        except OSError as error:
            refusal = told(error)
            if refusal is None:
                raise
            raise refusal from error


def _printable(message: str) -> str:
    """`message`, whose lines are ours and whose words may be anybody's: escaped where it would not print."""
    return "\n".join(brief(line, MOST_CHARACTERS) for line in message.split("\n"))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="glbdes", prog_name="glbdes")
def main() -> None:
    """Simulate how LLM inference requests are routed between regions, and who bears the footprint."""


for command in (
    *COMMANDS,
    *export.COMMANDS,
    *sizing.COMMANDS,
    optimum,
    profile,
    serve,
    importing,
    regions,
    completion,
    init,
):
    main.add_command(command)


@main.command()
@click.argument("scenario")
@click.option("-o", "--out", type=FOLDER, metavar="DIR", help="Where records go; default: a new folder in runs/.")
@click.option("--policy", metavar="NAME", help="Use this policy: a built-in, or 'package.module:Class'.")
@click.option("--engine", metavar="NAME", help="Use this engine: auto, simpy, fast or fluid.")
@click.option("--seed", type=int, metavar="N", help="Draw other requests.")
@settings
@signal_source
@allow_policy
@as_json
@click.option("--quiet", is_flag=True, help="No progress; print only where the records are.")
@click.option("--overwrite", is_flag=True, help="Replace the run in DIR.")
def simulate(scenario: str, out: Path | None, as_json: bool, quiet: bool, signals: Path | None, **choices: Any) -> None:
    """Simulate SCENARIO, a file or a shipped one by its name, and keep its records."""
    from glbdes.study import run

    if choices["overwrite"] and out is None:
        raise click.UsageError("--overwrite needs -o DIR: a run without a folder of its own replaces none")
    told = None if quiet or sys.stderr.isatty() else lambda text: click.echo(f"({text})", err=True)
    choices |= {"runs": Path("runs"), "signals": signals, "progress": False if quiet else None, "tell": told}
    finished = run.simulate(scenario, out=out, **choices)
    if as_json:
        say(json.dumps({**finished.summary, "path": str(finished.path)}, indent=2, allow_nan=False))
    elif quiet:
        say(finished.path)
    else:
        from glbdes.present import tables

        show(tables.summary(finished.summary))
        show([f"Records in {finished.path}"])


@main.command()
@click.argument("scenario")
@settings
@signal_source
@allow_policy
@as_json
def check(scenario: str, overrides: tuple[str, ...], signals: Path | None, as_json: bool, **choices: Any) -> None:
    """Validate SCENARIO and tell what would be simulated. Its policy is loaded, but makes no plan."""
    from glbdes.present import preview_tables
    from glbdes.present.preview import preview
    from glbdes.study import run
    from glbdes.world import build

    plan = run.prepare(scenario, overrides=overrides, **choices)
    run.router(plan)
    found = preview(plan.scenario, build.build(plan.scenario, plan.folder, signals))
    if as_json:
        say(json.dumps(_plain(found), indent=2))
    else:
        show([*preview_tables.preview(found), "Valid."], width=80)


@main.command()
@click.argument("folder", metavar="RUN|COMPARISON", type=FOLDER)
@click.option("--by", type=click.Choice(["season", "month"]), help="Footprints in each of these instead.")
@as_json
def summary(folder: Path, by: Literal["season", "month"] | None, as_json: bool) -> None:
    """Sum up the records of RUN again, and check its meters; or, with --by, those of a run or comparison in time."""
    from glbdes.present import tables
    from glbdes.records.books import TOLERANCE
    from glbdes.study import run

    if by is not None:
        _by_period(folder, by, as_json)
        return
    figures = run.Run.open(folder).summary
    if as_json:
        say(json.dumps(figures, indent=2, allow_nan=False))
    else:
        show(tables.summary(figures))
    if not figures["meter_residual"] <= TOLERANCE:
        raise RecordsError(f"{folder}: requests and meters do not balance, the records are not as they were written")


def _by_period(folder: Path, by: Literal["season", "month"], as_json: bool) -> None:
    """A run's or comparison's footprints by season or month."""
    from glbdes.present import study_tables
    from glbdes.records import periods
    from glbdes.study import comparison, run

    if (folder / comparison.MARK).exists():
        found = periods.by_period(comparison.Comparison.open(folder).records(), by)
    else:
        one = run.Run.open(folder)
        found = periods.by_period({one.info["policy"]: one.records}, by)
    if as_json:
        say(found.to_json(orient="records", indent=2, double_precision=15))
    else:
        show(study_tables.periods(found), width=WIDEST)


@main.command("check-policy")
@click.argument("name")
@click.option("--set", "arguments", multiple=True, metavar="KEY=VALUE", help="An argument of its constructor.")
@allow_policy
def check_policy(name: str, arguments: tuple[str, ...], allow_policy: tuple[str, ...]) -> None:
    """Hold the policy NAME to the contract that the built-in ones pass."""
    from glbdes import policy
    from glbdes.policy import contract
    from glbdes.present import tables
    from glbdes.scenario import overrides

    given: dict[str, Any] = {}
    overrides.apply(given, arguments)
    policy.load(name, given, Path.cwd(), allow_policy)
    found = contract.check(lambda: policy.load(name, given, Path.cwd(), allow_policy), name)
    show([tables.checks(name, found)])
    broken = sum(not one.passed for one in found)
    if broken:
        raise PolicyError(f"policy '{name}' breaks {broken} of {len(found)} rules")


@main.command()
def schema() -> None:
    """Print the JSON schema of scenario files, for editors: begin a file with "#:schema PATH"."""
    from glbdes.scenario import schema

    say(schema.text().rstrip())


@main.command()
def scenarios() -> None:
    """List the scenarios that come with the package."""
    from glbdes import resources
    from glbdes.present import tables
    from glbdes.scenario import load

    folder = resources.root("scenarios")
    rows = [[name, load(folder / f"{name}.toml")[0].description] for name in resources.shipped("scenarios")]
    show([tables.table("Scenarios", ["name", "what"], rows, text=2)])


@main.group()
def signals() -> None:
    """Price, carbon and water of regions over time."""


signals.add_command(join)
signals.add_command(describe)


@signals.command("generate")
@click.option("-o", "--out", type=FILE, required=True, metavar="FILE", help="Where they go: .csv or .parquet.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), metavar="N", help="Another seed than the shipped signals'.")
@click.option("--hours", type=int, metavar="N", help="Length; default: that of the record behind them, 457.")
@click.option("--unmatched", is_flag=True, help="Do not fit the draw's own statistics to the record's.")
@click.option("--like", "statistics", type=FILE, metavar="JSON|NAME", help="Of `signals fit`, or shipped: zones8_2023.")
@click.option("--load", "load_out", type=FILE, metavar="FILE", help="Write a load of the same seed there.")
def generate_signals(
    out: Path, seed: int | None, hours: int | None, unmatched: bool, statistics: Path | None, load_out: Path | None
) -> None:
    """Draw synthetic signals: for the ten regions of llm10, or like a record of your own."""
    from glbdes.signals import synthetic

    seed = synthetic.SHIPPED_SEED if seed is None else seed
    like = synthetic.statistics() if statistics is None else synthetic.read_statistics(statistics)
    made = [(synthetic.signals(seed, hours, matched=not unmatched, like=like), out)]
    if load_out is not None:
        made.append((synthetic.load(seed, hours, matched=not unmatched, like=like), load_out))
    for table, path in made:
        synthetic.write(table, path)
        say(f"Wrote {path}")


@signals.command("fit")
@click.argument("record", type=FILE, metavar="FILE")
@click.option("--load", "load_record", type=FILE, metavar="FILE", help="A load over the same hours, to be fitted too.")
@click.option("--max-gap-h", type=click.IntRange(0, 8784), default=0, show_default=True, help="Hold gaps so long.")
@click.option("-o", "--out", type=FILE, required=True, metavar="JSON", help="Write the statistics there.")
def fit_signals(record: Path, load_record: Path | None, max_gap_h: int, out: Path) -> None:
    """Fit the generator to hourly signals in FILE: statistics alone, for `signals generate --like`."""
    from glbdes.base.files import put
    from glbdes.signals import fit

    document = fit.fit_file(record, load_record, max_gap_h)
    put(out, fit.to_json(document))
    regions = {one["region"] for one in (*document["series"], *document["fixed"])}
    held = f"; {document['share_held']:.2%} of values are held over gaps" if document["share_held"] else ""
    say(f"{len(regions)} regions, {len(document['series'])} series of {document['hours']:,} hours{held}")
    say(f"Wrote {out}")


def _plain(value: Any) -> Any:
    """Named tuples as tables, all the way down."""
    if hasattr(value, "_asdict"):
        return {key: _plain(item) for key, item in value._asdict().items()}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


attach(main)

if __name__ == "__main__":
    sys.exit(main())
