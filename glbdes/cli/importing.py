"""The group `import`: files of other people become files of ours."""

import click

from glbdes.cli.import_requests import COMMANDS


@click.group("import")
def import_() -> None:
    """Bring in public signals, traces, loads and networks, from files."""


for command in COMMANDS:
    import_.add_command(command)
