"""Commands that bring in workloads and networks: requests, loads, round-trip times."""

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from glbdes.cli.output import say
from glbdes.cli.paths import FILE
from glbdes.errors import brief
from glbdes.units import MS_PER_S

OFFSET_H = click.FloatRange(-14, 14)
REQUEST_FORMATS = ("azure", "azure-lmm", "burstgpt", "mooncake", "servegen", "splitwise", "vllm-bench")


@click.command("requests")
@click.argument("file", type=FILE)
@click.option("--format", "name", type=click.Choice(REQUEST_FORMATS), required=True, help="What FILE is.")
@click.option("-o", "--out", type=FILE, required=True, metavar="FILE", help="Where the table goes: .parquet.")
@click.option("--sort", is_flag=True, help="Sort the requests by time, in memory, instead of refusing them.")
@click.option("--drop-empty", is_flag=True, help="Leave out requests of no prompt or no answer, and count them.")
def requests(file: Path, name: str, out: Path, sort: bool, drop_empty: bool) -> None:
    """Bring a public request trace into the one tidy table that a replay reads."""
    from glbdes.workload.sources import SOURCES
    from glbdes.workload.tidy import import_requests

    found = import_requests(file, SOURCES[name], out, sort=sort, drop_empty=drop_empty)
    means = f"mean {found.mean_prompt_tokens:.1f} prompt and {found.mean_output_tokens:.1f} output tokens"
    say(f"{found.requests:,} requests over {found.span_s:,.3f} s, {means}")
    if found.left_out:
        say(f"{found.left_out:,} left out, of no prompt or no answer")
    if found.out_of_order:
        say(f"{found.out_of_order:,} were before the one above them, and are sorted")
    say(f"Wrote {out} and {out.name}.json")


@click.command("load")
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILE...")
@click.option("--format", "name", type=click.Choice(["servegen", "csv"]), required=True, help="What FILE is.")
@click.option("-o", "--out", type=FILE, required=True, metavar="FILE", help="Where loads go: .csv or .parquet.")
@click.option("--start", metavar="DATE", help="When seconds count from, on the curve's clock: 2022-09-22.")
@click.option("--clock", "clock_h", type=OFFSET_H, metavar="H", help="Hours the curve's clock is ahead of UTC: 8.")
@click.option("--column", metavar="NAME", help="csv: this column, for all gateways.")
@click.option("--scenario", metavar="NAME", help="A column for each gateway of this scenario.")
@click.option("--gateway", "named", multiple=True, metavar="NAME=CLOCK", help="A column: texas=-6, de=Europe/Berlin.")
@click.option("--shift-to-local", "to_local", is_flag=True, help="Each gateway sees the curve at its own hour.")
@click.option(
    "--scale", type=click.Choice(["peak", "mean", "none"]), default="peak", show_default=True, help="1 is it."
)
@click.option("--repeat", is_flag=True, help="Begin the curve, of whole days, again at its end.")
@click.option("--rows", type=click.IntRange(1, 1_000_000), metavar="N", help="So many windows at most.")
def load(
    files: tuple[Path, ...], name: str, out: Path, start: str | None, clock_h: float | None, **choices: Any
) -> None:
    """Bring load curves to a table of loads, a column a gateway, which workload.load_file reads."""
    from glbdes.signals import load_curves

    gateways = _gateways(choices.pop("scenario"), choices.pop("named"))
    if choices["to_local"] and not gateways:
        raise click.UsageError("--shift-to-local needs gateways: --scenario NAME, or --gateway NAME=CLOCK")
    column, begin = choices.pop("column"), _moment(start)
    if name == "csv" and len(files) > 1:
        raise click.UsageError("--format csv takes one file")
    if name == "csv":
        curve = load_curves.read_csv(files[0], column, begin, clock_h)
    else:
        curve = load_curves.read_servegen(files, begin, clock_h)
    shaped = load_curves.shape(curve, gateways, **choices)
    about = {"format": name, "licence": load_curves.LICENCES[name], "clock_h": curve.clock_h, **choices}
    load_curves.write(shaped, out, files, about)
    times = shaped.table["time_utc"]
    say(f"{len(times):,} windows of {curve.step_s:g} s from {times.iloc[0]} UTC, of {shaped.windows:,} of the curve")
    if shaped.repeated:
        say(f"{shaped.repeated:,} of them for which the curve begins again")
    divisors = sorted(set(shaped.divisors.values()))
    say(f"Divided by {', '.join(f'{one:g}' for one in divisors[:5])} ({choices['scale']})")
    say(f"Wrote {out} and {out.name}.json")


def _gateways(scenario_name: str | None, named: tuple[str, ...]) -> dict[str, float | str]:
    """The clock of each gateway: hours ahead of UTC, or a time zone."""
    from glbdes.scenario import load

    found: dict[str, float | str] = {}
    if scenario_name is not None:
        for name, gateway in load(scenario_name)[0].gateways.items():
            found[name] = gateway.time_zone or gateway.utc_offset_h or 0.0
    for one in named:
        name, equals, clock = one.partition("=")
        if not (name and equals and clock):
            raise click.UsageError(f"--gateway '{brief(one)}', must be NAME=CLOCK: texas=-6 or de=Europe/Berlin")
        try:
            found[name] = float(clock)
        except ValueError:
            found[name] = clock
    return found


def _moment(written: str | None) -> datetime | None:
    """A date and time without an offset."""
    if written is None:
        return None
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        moment = datetime.min
    if moment.tzinfo is not None or not 1900 <= moment.year < 2200:
        raise click.UsageError(f"--start '{brief(written)}', must be a date like 2022-09-22, from 1900 to 2199")
    return moment


@click.command("network")
@click.argument("file", type=FILE)
@click.option("--format", "name", type=click.Choice(["matrix"]), required=True, help="What FILE is.")
@click.option("--unit", type=click.Choice(["s", "ms", "us"]), required=True, help="Of the times.")
@click.option("--rtt/--one-way", "rtt", default=None, help="Whether they are round trips. One of both is needed.")
@click.option("--scenario", metavar="NAME", help="Only the gateways and regions of this scenario, which must be there.")
@click.option("--rename", "named", multiple=True, metavar="THEIRS=OURS", help="A name of FILE, and what it is here.")
@click.option("-o", "--out", type=FILE, metavar="TOML", help="Write the table there; default: print it.")
def network(file: Path, name: str, unit: str, rtt: bool | None, out: Path | None, **choices: Any) -> None:
    """Bring a matrix of measured latencies, a row a gateway, a column a region, to [network.latency_s]."""
    from glbdes.base.files import put
    from glbdes.scenario import load
    from glbdes.world import latencies

    if rtt is None:
        raise click.UsageError("are the times round trips or one way? say --rtt or --one-way")
    renamed = {}
    for one in choices["named"]:
        theirs, equals, ours = one.partition("=")
        if not (theirs and equals and ours):
            raise click.UsageError(f"--rename '{brief(one)}', must be THEIRS=OURS: us-east-1=virginia")
        renamed[theirs] = ours
    found = latencies.read_matrix(file, unit, rtt=rtt, renamed=renamed)
    if choices["scenario"] is not None:
        chosen = load(choices["scenario"])[0]
        found = latencies.restricted(found, list(chosen.gateways), list(chosen.regions), file)
    way = "rtt" if rtt else "one-way"
    text = latencies.to_toml(found, file, f"glbdes import network --format {name} {file.name} --unit {unit} --{way}")
    if out is None:
        say(text.rstrip("\n"))
        return
    put(out, text)
    ms = found.one_way_s * MS_PER_S
    say(f"{ms.shape[0]} gateways x {ms.shape[1]} regions, one way {ms.min():.3g} to {ms.max():.3g} ms")
    say(f"Wrote {out}")


COMMANDS = (requests, load, network)
