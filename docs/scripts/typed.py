"""What a command of a page prints, as the page shows it."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def console(command: str, written: Sequence[str], folder: Path | None = None) -> str:
    """Run `command` in `folder` with this environment's programs: a block of it as `written`, and what it prints.

    Raises `CalledProcessError` if it fails.
    """
    print("$", command, file=sys.stderr)
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    told = subprocess.run(
        command, shell=True, cwd=folder, stdout=subprocess.PIPE, text=True, check=True, env=env
    ).stdout
    lines = [line.rstrip() for line in told.strip("\n").splitlines()]
    return "```console\n" + "\n".join([*written, *lines]) + "\n```"
