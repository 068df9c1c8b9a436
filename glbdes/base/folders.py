"""Folders that are complete or not there: written beside their target, and renamed at the very end.

This module knows nothing of what is in a run; it owns the promise that a folder under its final name is whole.
"""

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

from glbdes.errors import RecordsError

MOST_NAME = 80  # characters of a part of a folder's name
MARK = "run.json"  # what a finished run holds, and therefore what may be overwritten


def read_mark(folder: Path, mark: str, version: int, what: str) -> dict[str, Any]:
    """What the file `mark` of a finished `folder` says. Raises `RecordsError` if there is none of this format."""
    path = folder / mark
    if not path.is_file():
        raise RecordsError(f"{folder}: not {what}, it has no {mark}")
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecordsError(f"{path}: not JSON: {error}") from error
    found = info.get("format") if isinstance(info, dict) else None
    if found != version:
        raise RecordsError(f"{path}: format = {found}, must be {version}")
    return dict(info)


class Fresh:
    """A folder in the making; `path` is where to write, and where it stands once it is finished."""

    def __init__(self, path: Path) -> None:
        self.path = path


@contextmanager
def fresh(targets: Iterable[Path], *, overwrite: bool = False) -> Iterator[Fresh]:
    """A new folder that takes the first free name of `targets` when the block ends well, and vanishes otherwise.

    With `overwrite`, a finished run of the first name is replaced, at the end. Raises `RecordsError` if no name is free
    or the folder cannot be made.
    """
    names = iter(targets)
    target = next(names)
    if not overwrite:
        target = _first_free(target, names)
    elif target.exists():
        _must_be_a_run(target)
    work = Fresh(target.with_name(f"{target.name}.incomplete-{uuid4().hex[:8]}"))
    try:
        work.path.mkdir(parents=True)
    except OSError as error:
        raise RecordsError(f"{target}: cannot be made: {error.strerror}") from error
    try:
        yield work
        work.path = _put_in_place(work.path, target, names, overwrite)
    except BaseException:
        shutil.rmtree(work.path, ignore_errors=True)
        raise


def numbered(target: Path) -> Iterator[Path]:
    """`target`, `target`-2, `target`-3, ..."""
    yield target
    for n in count(2):
        yield target.with_name(f"{target.name}-{n}")


def safe_name(text: str) -> str:
    """`text` as part of a folder's name."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text)[:MOST_NAME].strip("._") or "run"


def _first_free(target: Path, names: Iterator[Path]) -> Path:
    while target.exists():
        following = next(names, None)
        if following is None:
            raise RecordsError(f"{target}: exists already; choose another name, or overwrite it with --overwrite")
        target = following
    return target


def _must_be_a_run(target: Path) -> None:
    if not target.is_dir() or (any(target.iterdir()) and not (target / MARK).is_file()):
        raise RecordsError(f"{target}: is not a run (no {MARK} in it), so it is not overwritten")


def _put_in_place(work: Path, target: Path, names: Iterator[Path], overwrite: bool) -> Path:
    """Rename `work` to `target`, or to the next free name if another run took that meanwhile."""
    if overwrite and target.exists():
        old = target.with_name(f"{target.name}.replaced-{uuid4().hex[:8]}")
        os.rename(target, old)
        try:
            os.rename(work, target)
        except OSError as error:
            os.rename(old, target)
            raise RecordsError(f"{target}: cannot be replaced: {error.strerror}") from error
        shutil.rmtree(old, ignore_errors=True)
        return target
    while True:
        target = _first_free(target, names)
        try:
            os.rename(work, target)
        except OSError as error:
            if not target.exists():
                raise RecordsError(f"{target}: cannot be made: {error.strerror}") from error
            continue
        return target
