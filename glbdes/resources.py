"""Files that come with the package: scenarios and traces.

In a checkout they are the top-level folders `scenarios/` and `traces/`; in a wheel they lie inside the package. What
the user has always goes before what is shipped.
"""

import os
from pathlib import Path
from typing import Literal

Kind = Literal["scenarios", "traces"]

_PACKAGE = Path(__file__).resolve().parent


def root(kind: Kind) -> Path:
    """The folder of the shipped files of this kind."""
    inside = _PACKAGE / kind
    return inside if inside.is_dir() else _PACKAGE.parent / kind


def shipped(kind: Kind) -> list[str]:
    """Names of the shipped files of this kind, sorted: scenarios without their suffix, traces with it."""
    if kind == "scenarios":
        return sorted(path.stem for path in root(kind).glob("*.toml"))
    return sorted(path.name for path in root(kind).glob("*") if path.is_file() and not path.name.startswith("."))


def find(kind: Kind, name: str, folder: Path | None = None) -> Path | None:
    """The file or folder called `name`: a path (relative ones start at `folder`), else a shipped file; None if neither.

    A shipped file is called by its bare name; a scenario's name goes without `.toml`.
    """
    path = (folder or Path()) / name
    if is_file(path) or (kind == "traces" and os.path.isdir(path)):
        return path
    if Path(name).name != name:
        return None
    inside = root(kind) / (f"{name}.toml" if kind == "scenarios" and not name.endswith(".toml") else name)
    return inside if is_file(inside) else None


def is_file(path: Path) -> bool:
    """Whether there is such a file; no name is too long or too strange to ask."""
    return os.path.isfile(path)
