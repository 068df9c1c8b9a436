"""`key.path=value` settings laid over a scenario's document before it is validated."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from glbdes.base import reading
from glbdes.errors import ScenarioError, brief
from glbdes.scenario.complaints import shown

Path = tuple[str, ...]

MOST_DIGITS = 9  # of an index


def apply(document: dict[str, Any], overrides: tuple[str, ...]) -> None:
    """Set each `key.path=value` in `document`, in order; later ones win.

    The path's parts are keys, list indices, or `*` for every entry of a table or list; tables that are not there yet
    are made. The value is read as TOML; a bare word is a string.

    Raises `ScenarioError` with every setting that has no `=`, no TOML value, or meets no table on its way.
    """
    problems: list[str] = []
    for text in overrides:
        try:
            path, value = parse(text)
            for holder, key in _targets(document, path[:-1], path[-1], text):
                holder[key] = deepcopy(value)  # each its own, for settings that follow
        except ScenarioError as error:
            problems.extend(error.problems)
    if problems:
        raise ScenarioError(problems)


def parse(text: str) -> tuple[Path, Any]:
    """The path and the value of `key.path=value`."""
    key, equals, written = text.partition("=")
    path = tuple(part.strip() for part in key.split("."))
    if not equals or not all(path) or len(path) > reading.MOST_DEPTH:
        raise ScenarioError(f"--set {brief(text)}: must be key.path=value")
    return path, _value(written.strip(), text)


def _value(written: str, text: str) -> Any:
    try:
        parsed = reading.toml(f"value = {written}")
    except reading.UnreadableError as error:
        if not written or written[0] in "\"'[{" or "\n" in written or written.lstrip("+-").replace("_", "").isdecimal():
            told = f"'{brief(written)}' is not a TOML value: {str(error).removeprefix('not valid TOML: ')}"
            raise ScenarioError(f"--set {brief(text)}: {told}") from error
        return written
    if len(parsed) > 1:
        raise ScenarioError(f"--set {brief(text)}: must be one value")
    return parsed["value"]


def _targets(node: Any, path: Path, last: str, text: str) -> Iterator[tuple[Any, Any]]:
    """The (table or list, key or index) pairs that `path` and `last` lead to from `node`."""
    if path:
        for holder, key in list(_targets(node, (), path[0], text)):
            if isinstance(holder, dict):
                holder.setdefault(key, {})
            yield from _targets(holder[key], path[1:], last, text)
    elif isinstance(node, dict):
        if last == "*" and not node:
            raise ScenarioError(f"--set {brief(text)}: '*' meets an empty table")
        yield from ((node, key) for key in (list(node) if last == "*" else [last]))
    elif isinstance(node, list):
        yield from ((node, index) for index in _indices(node, last, text))
    else:
        where = f"'{brief(last)}' is looked for in {shown('', node)}"
        raise ScenarioError(f"--set {brief(text)}: {where}, which is neither a table nor a list")


def _indices(node: list[Any], last: str, text: str) -> range:
    if last == "*" and node:
        return range(len(node))
    if not last.isdecimal() or len(last) > MOST_DIGITS or int(last) >= len(node):
        entries = f"0 to {len(node) - 1}" if node else "none: the list is empty"
        raise ScenarioError(f"--set {brief(text)}: '{brief(last)}' is no index of the list; there are {entries}")
    return range(int(last), int(last) + 1)
