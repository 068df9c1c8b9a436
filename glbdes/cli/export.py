"""Commands that bring a run's results elsewhere: its plans to routers, its tables to CSV."""

from pathlib import Path
from typing import Any

import click

from glbdes.cli.output import say
from glbdes.cli.paths import FILE, FOLDER


@click.command()
@click.argument("run", metavar="RUN", type=FOLDER)
@click.option("--slot", type=int, metavar="N", help="The plan of this slot, from 0 on.")
@click.option("--hour", type=float, metavar="H", help="Or of the slot in which this hour of the run is.")
@click.option("--to", "kind", type=click.Choice(["gateway-api", "llm-d", "envoy", "json"]), required=True, help="For.")
@click.option("-o", "--out", type=FILE, metavar="FILE", help="Write it there; default: print it.")
@click.option("--gateway", metavar="NAME", help="Only what holds for this gateway.")
@click.option("--slo", metavar="NAME", help="Only what holds for this class, where classes have plans of their own.")
@click.option(
    "--total", type=click.IntRange(1, 1_000_000), default=10_000, show_default=True, help="What weights add up to."
)
@click.option("--namespace", metavar="NAME", help="gateway-api: of the routes.")
@click.option(
    "--backend",
    type=click.Choice(["Service", "ServiceImport", "InferencePool"]),
    default="Service",
    show_default=True,
    help="gateway-api: what regions are.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=80, show_default=True, help="gateway-api: of regions.")
def export(
    run: Path,
    slot: int | None,
    hour: float | None,
    kind: str,
    out: Path | None,
    gateway: str | None,
    slo: str | None,
    **choices: Any,
) -> None:
    """The weights that RUN's policy chose in a slot, as configuration of a real router."""
    from glbdes.base.files import put
    from glbdes.present import routes
    from glbdes.study import export as exporting

    if (slot is None) == (hour is None):
        raise click.UsageError("which slot? give one of --slot N and --hour H")
    plan = exporting.plan(run, slot=slot, hour=hour, gateway=gateway, slo=slo)
    text = routes.to(kind, plan, routes.Choices(**choices))
    if out is None:
        say(text.rstrip("\n"))
        return
    put(out, text)
    say(f"Wrote {out}: slot {plan.slot}, from {plan.time_utc} UTC")


@click.command("run-csv")
@click.argument("run", metavar="RUN", type=FOLDER)
@click.option(
    "--table", type=click.Choice(["slots", "plans", "requests"]), default="slots", show_default=True, help="Which."
)
@click.option("--rows", type=click.IntRange(1), default=1000, show_default=True, help="So many at most.")
@click.option("-o", "--out", type=FILE, metavar="FILE", help="Write it there; default: print it.")
def run_csv(run: Path, table: str, rows: int, out: Path | None) -> None:
    """A table of RUN as CSV: its first rows. Records themselves are Parquet, which most tools read."""
    from glbdes.base.files import put
    from glbdes.study import export as exporting

    text = exporting.csv(run, table, rows)
    if out is None:
        say(text.rstrip("\n"))
        return
    put(out, text)
    say(f"Wrote {out}")


COMMANDS = (export, run_csv)
