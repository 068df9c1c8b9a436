"""The command that serves a policy."""

from typing import Any

import click

from glbdes.cli.output import say
from glbdes.cli.study import allow_policy


@click.command()
@click.argument("policy", metavar="POLICY")
@click.option("--port", type=click.IntRange(0, 65535), required=True, metavar="N", help="Listen there; 0: a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="HOST", help="Listen at this address.")
@click.option("--set", "arguments", multiple=True, metavar="KEY=VALUE", help="An argument of its constructor.")
@allow_policy
def serve(policy: str, port: int, host: str, arguments: tuple[str, ...], allow_policy: tuple[str, ...]) -> None:
    """Serve POLICY over HTTP: whoever posts a view gets weights. Runs ask it by its address: --policy http://..."""
    from glbdes.scenario import overrides
    from glbdes.study import serving

    given: dict[str, Any] = {}
    overrides.apply(given, arguments)
    served = serving.service(policy, given, allow_policy)
    serving.serve(served, host, port, lambda at: say(f"Policy '{policy}' at {at}"))
