"""The group `import`: files of other people become files of ours."""

import click

from glbdes.cli.import_requests import COMMANDS


@click.group("import")
def importing() -> None:
    """Bring in public signals, traces, loads and networks, from files."""


for command in COMMANDS:
    importing.add_command(command)
