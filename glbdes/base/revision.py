"""Which commit of the package is running, if it runs from a checkout."""

import subprocess
from functools import cache
from pathlib import Path


@cache
def commit() -> str | None:
    """The short hash of the checkout's commit, with `+` if tracked files differ from it; None outside a checkout."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    try:
        return _git(folder, "rev-parse", "--short", "HEAD") + ("+" if _git(folder, "diff", "HEAD", "--stat") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    found = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=5
    )
    return found.stdout.strip()
