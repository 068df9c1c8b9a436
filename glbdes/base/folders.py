"""Folders that are complete or not there: written beside their target, and renamed at the very end.

This module knows nothing of what is in a run; it owns the promise that a folder under its final name is whole.
"""

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

from glbdes.base import claims, seals
from glbdes.base.files import reason
from glbdes.errors import RecordsError

MOST_NAME = 80  # characters of a part of a folder's name
MARK = "run.json"  # what a finished run holds, and therefore what may be overwritten
INCOMPLETE = ".incomplete-"  # a folder in the making
REPLACED = ".replaced-"  # a run that a new one takes the place of
# What a system says when it has no room: full, over quota, too large a file, broken, read-only.
REFUSALS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})

Tell = Callable[[str], None]  # what is being done


def read_mark(folder: Path, mark: str, version: int, what: str) -> dict[str, Any]:
    """What the sealed file `mark` of a finished `folder` says.

    Raises `RecordsError` if there is none, or it is of another format or not as it was written.
    """
    path = folder / mark
    if not path.is_file():
        raise RecordsError(f"{folder}: not {what}, it has no {mark}")
    return seals.opened(path, version)


class Fresh:
    """A folder in the making; `path` is where to write, and where it stands once it is finished."""

    def __init__(self, path: Path) -> None:
        self.path = path


@contextmanager
def fresh(targets: Iterable[Path], *, overwrite: bool = False, tell: Tell | None = None) -> Iterator[Fresh]:
    """A new folder that takes the first free name of `targets` when the block ends well, and vanishes otherwise.

    With `overwrite`, a finished run of the first name is replaced, at the end. What killed processes left of that name
    is cleared away first, and `tell` is told of it. Raises `RecordsError` if no name is free or the folder cannot be
    made, or if the system refuses something of the block, say because the disk is full.
    """
    names = iter(targets)
    target = next(names)
    for left in _clear(target):
        if tell is not None:
            tell(f"removed {left}, left by a process that was killed")
    if not overwrite:
        target = _first_free(target, names)
    elif target.exists():
        _must_be_a_run(target)
    try:
        work, handle = _made(target)
    except OSError as error:
        raise RecordsError(f"{target}: cannot be made: {reason(error)}") from error
    try:
        yield work
        work.path = _put_in_place(work.path, target, names, overwrite)
    except BaseException as error:
        shutil.rmtree(work.path, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in REFUSALS:
            raise RecordsError(f"{target}: cannot be written: {reason(error)}") from error
        raise
    finally:
        os.close(handle)


def _made(target: Path) -> tuple[Fresh, int]:
    """A folder beside `target`, and the handle that locks it."""
    while True:
        path = target.with_name(f"{target.name}{INCOMPLETE}{uuid4().hex[:8]}")
        handle = claims.made(path)
        if handle is not None:
            return Fresh(path), handle


def _clear(target: Path) -> list[Path]:
    """Remove what killed processes left beside `target`, and say what it was.

    A run that was being replaced when its process died is put back.
    """
    left = []
    for path in _beside(target, INCOMPLETE) if claims.can_tell() else ():
        with claims.claimed(path) as nobodys:
            if not nobodys:
                continue
            name, _, token = path.name.rpartition(INCOMPLETE)
            old = path.with_name(f"{name}{REPLACED}{token}")
            if old.is_dir() and not path.with_name(name).exists():
                os.rename(old, path.with_name(name))
            shutil.rmtree(path, ignore_errors=True)
            left.append(path)
    for path in _beside(target, REPLACED):
        name, _, token = path.name.rpartition(REPLACED)
        if path.with_name(name).exists() and not path.with_name(f"{name}{INCOMPLETE}{token}").exists():
            shutil.rmtree(path, ignore_errors=True)
            left.append(path)
    return left


def _beside(target: Path, mark: str) -> list[Path]:
    """Folders of `target`, or of one of its numbered names, that carry `mark` and a token."""
    form = re.compile(rf"{re.escape(target.name)}(-\d+)?{re.escape(mark)}[0-9a-f]{{8}}")
    try:
        return sorted(path for path in target.parent.iterdir() if form.fullmatch(path.name))
    except OSError:
        return []


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
        old = target.with_name(f"{target.name}{REPLACED}{work.name[-8:]}")
        os.rename(target, old)
        try:
            os.rename(work, target)
        except OSError as error:
            os.rename(old, target)
            raise RecordsError(f"{target}: cannot be replaced: {reason(error)}") from error
        shutil.rmtree(old, ignore_errors=True)
        return target
    while True:
        target = _first_free(target, names)
        try:
            os.rename(work, target)
        except OSError as error:
            if not target.exists():
                raise RecordsError(f"{target}: cannot be made: {reason(error)}") from error
            continue
        return target
