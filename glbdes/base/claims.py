"""Whose folder is this? Locks that end with their process, however it ends.

A folder in the making is locked by its maker. One that nobody locks any more was left by a process that was killed.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # a system without such locks: nobody is kept out, and nothing counts as left behind
    fcntl = None  # type: ignore[assignment]


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Whether the folder or file `path` could be locked, until the block ends."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        yield False
        return
    try:
        yield lock(handle)
    finally:
        os.close(handle)


def lock(handle: int) -> bool:
    """Lock the open file `handle` for as long as it is open, at once or not at all."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def made(path: Path) -> int | None:
    """Make the folder `path`, lock it, and return its handle; None if another process took it for a leftover meanwhile.

    Closing the handle gives it up. Raises `OSError` if it cannot be made.
    """
    path.mkdir(parents=True)
    handle = os.open(path, os.O_RDONLY)
    try:
        if lock(handle) and path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
            return handle
    except OSError:
        pass
    os.close(handle)
    return None


def can_tell() -> bool:
    """Whether a lock says anything here."""
    return fcntl is not None
