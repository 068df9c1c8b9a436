"""Files that tell whether they are as they were written: JSON with a digest of itself, and checksums of other files.

A sealed JSON file ends with a SHA-256 of every byte before it, under the key `sha256`:

    {
      "format": 3,
      "sha256": "9f86d0…"
    }

so one changed byte is found, be it white space. It protects from accidents, not from people: whoever changes a file can
seal it again. What is in a file is its reader's business.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn

from glbdes.base.files import reason
from glbdes.errors import RecordsError

KEY: Final = "sha256"
_TAIL: Final = b'"\n}\n'
_DIGITS: Final = hashlib.sha256().digest_size * 2
_SHOWN: Final = 12  # digits of a checksum that a message shows


class FormatError(RecordsError):
    """A file of another format: written by another version, or by nobody that we know."""


def text(value: Mapping[str, Any]) -> str:
    """`value` as strict JSON: a number that is none is an error, not a `NaN` that other readers refuse."""
    return json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def sealed(value: Mapping[str, Any]) -> bytes:
    """`value` as JSON that ends with its own digest."""
    body = text({**value, KEY: ""}).encode()[: -len(_TAIL)]
    return body + _digest(body) + _TAIL


def parsed(path: Path) -> Any:
    """What a JSON file says. Raises `RecordsError` if there is no such file, or it is not JSON."""
    return _parsed(path, _content(path))


def opened(path: Path, version: int) -> dict[str, Any]:
    """What a sealed file says, without its digest. Raises `RecordsError` if it is not as it was written.

    The format is looked at first (`FormatError`): other versions of the package may seal otherwise, or not at all.
    """
    content = _content(path)
    found = _parsed(path, content)
    said = found.get("format") if isinstance(found, dict) else None
    if said != version:
        older = ", written by an older glbdes" if isinstance(said, int) and 0 < said < version else ""
        raise FormatError(f"{path}: format = {said!r:.40}, must be {version}{older}")
    body = content[: -len(_TAIL) - _DIGITS]
    if content != body + _digest(body) + _TAIL:
        raise RecordsError(f"{path}: damaged or changed, its own SHA-256 does not fit")
    return {key: value for key, value in found.items() if key != KEY}


def checksum(path: Path) -> str:
    """SHA-256 of a file, as `sha256sum` tells it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check(path: Path, wanted: str) -> None:
    """Raise `RecordsError` unless the file is there and has the checksum `wanted`."""
    with _reading(path):
        found = checksum(path)
    if found != wanted:
        told = f"its SHA-256 is {found[:_SHOWN]}…, must be {wanted[:_SHOWN]}…"
        raise RecordsError(f"{path}: damaged, or changed since it was written: {told}")


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()


def _content(path: Path) -> bytes:
    with _reading(path):
        return path.read_bytes()


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise RecordsError(f"{path}: missing") from error
    except OSError as error:
        raise RecordsError(f"{path}: cannot be read: {reason(error)}") from error


def _parsed(path: Path, content: bytes) -> Any:
    def refuse(name: str) -> NoReturn:
        raise ValueError(f"{name} is no JSON number")

    try:
        return json.loads(content.decode("utf-8"), parse_constant=refuse)
    except RecursionError as error:
        raise RecordsError(f"{path}: not JSON of ours: nested too deeply") from error
    except ValueError as error:
        raise RecordsError(f"{path}: not JSON: {str(error).splitlines()[0]}") from error
