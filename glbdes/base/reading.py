"""Files that a user names, read with bounds: what is no regular file, too large, no text or nested too deep is refused.

Parsers trust their input: a pipe is waited for, a device has no end, nesting exhausts the stack, and keys of many parts
take quadratic time. Everything is checked here before a parser sees it. What a document must say is its reader's.
"""

import json
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from glbdes.base.files import reason
from glbdes.errors import GlbdesError, brief

MOST_TOML_BYTES: Final = 8 << 20
MOST_JSON_BYTES: Final = 256 << 20
MOST_TABLE_BYTES: Final = 4 << 30
MOST_DEPTH: Final = 50  # tables and lists within one another
MOST_PARTS: Final = 100  # of a dotted key

# Between these, a TOML text that is no string has one key or value.
_PIECES: Final = re.compile(r"[,=\[\]{}\n]")


class UnreadableError(GlbdesError):
    """A file that cannot be read as what it should be; the message does not name it."""


def regular(path: Path, most_bytes: int = MOST_TABLE_BYTES) -> None:
    """Raise `UnreadableError` unless `path` is a regular file of at most `most_bytes`."""
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        raise UnreadableError(f"cannot be read: {reason(error)}") from error
    if not stat.S_ISREG(found.st_mode):
        what = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe or a device"
        raise UnreadableError(f"cannot be read: is {what}, must be a file")
    if found.st_size > most_bytes:
        raise UnreadableError(f"has {found.st_size:,} bytes, must have at most {most_bytes:,}")


def text(path: Path, most_bytes: int) -> str:
    """The text of a regular UTF-8 file, without a byte order mark. Raises `UnreadableError`."""
    regular(path, most_bytes)
    try:
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)  # files of the system say that they have no bytes
    except OSError as error:
        raise UnreadableError(f"cannot be read: {reason(error)}") from error
    if len(content) > most_bytes:
        raise UnreadableError(f"has more than {most_bytes:,} bytes, must have at most that")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UnreadableError(f"not UTF-8: byte {content[error.start]:#x} in line {line}") from error


def toml(written: str) -> dict[str, Any]:
    """The document that a TOML text says. Raises `UnreadableError`."""
    if any(piece.count(".") >= MOST_PARTS for piece in _PIECES.split(written)):
        document = _with_long_keys(written)
    else:
        document = _toml(written)
    _check_depth(document)
    return document


def json_document(written: str) -> Any:
    """The document that a JSON text says, NaN and infinity included. Raises `UnreadableError`."""
    try:
        document = json.loads(written)
    except RecursionError as error:
        raise UnreadableError(_too_deep()) from error
    except ValueError as error:  # a JSONDecodeError, or a number of too many digits
        raise UnreadableError(f"not valid JSON: {_told(error)}") from error
    _check_depth(document)
    return document


def _toml(written: str) -> dict[str, Any]:
    try:
        return tomllib.loads(written)
    except RecursionError as error:
        raise UnreadableError(_too_deep()) from error
    except ValueError as error:  # a TOMLDecodeError, or a number of too many digits
        raise UnreadableError(f"not valid TOML: {_told(error)}") from error


def _with_long_keys(written: str) -> dict[str, Any]:
    """As `_toml`, of a text with many dots in a row of words: prose, if not a key."""
    outside = re.sub(r'"""[\s\S]*?"""|\'\'\'[\s\S]*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*', "", written)
    if any(piece.count(".") >= MOST_PARTS for piece in _PIECES.split(outside)):
        raise UnreadableError(f"a key has more than {MOST_PARTS} parts, must have fewer")
    return _toml(written)


def _check_depth(document: Any) -> None:
    level, depth = [document], 0
    while level:
        if depth > MOST_DEPTH:
            raise UnreadableError(_too_deep())
        tables = [one.values() if isinstance(one, Mapping) else one for one in level if isinstance(one, Mapping | list)]
        level, depth = [inner for one in tables for inner in one], depth + 1


def _told(error: ValueError) -> str:
    return "a whole number has thousands of digits" if "integer string conversion" in str(error) else brief(error)


def _too_deep() -> str:
    return f"tables or lists are nested too deep, must be at most {MOST_DEPTH} within one another"
