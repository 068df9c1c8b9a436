"""Files that are whole or not there: written beside their target, and renamed when all of it is on disk."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from glbdes.errors import RecordsError

HALF = ".half"  # in the name of a file in the making


def put(path: Path, content: str | bytes) -> None:
    """Write `content` to `path`. Raises `RecordsError`, and leaves what was there, if that cannot be done."""
    with whole(path) as half:
        half.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name to write to, which becomes `path` when the block ends well and vanishes otherwise.

    An `OSError` of the block, say of a full disk, is raised as `RecordsError` with the name `path`.
    """
    half = path.with_name(f"{path.stem[:200]}.{uuid4().hex[:8]}{HALF}{path.suffix}")
    try:
        yield half
        with half.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(half, path)
    except OSError as error:
        raise RecordsError(f"{path}: cannot be written: {reason(error)}") from error
    finally:
        with suppress(OSError):
            half.unlink(missing_ok=True)


def reason(error: Exception) -> str:
    """What the system says of `error`, in its own words; else the first line of what the error says."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error).partition("\n")[0]
