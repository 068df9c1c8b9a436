"""Commands that bring in workloads and networks: requests, loads, round-trip times."""

from pathlib import Path

import click

from glbdes.cli.output import say
from glbdes.cli.paths import FILE

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


COMMANDS = (requests,)
