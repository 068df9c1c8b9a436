"""Plain documents as YAML: the little that configurations of routers need, so that no library is needed for it."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

# What stands without quotes: words that no reader of YAML takes for anything but text.
_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_WORDS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null"})


def documents(values: Iterable[tuple[str, Any]]) -> str:
    """Documents below one another, each a comment and a value."""
    return "".join(f"---\n{_comment(comment)}{dump(value)}" for comment, value in values)


def dump(value: Any) -> str:
    """One document, which ends with a line break."""
    return "\n".join(_lines(value)) + "\n"


def _comment(text: str) -> str:
    return "".join(f"# {line}\n" for line in text.splitlines())


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _entry(f"{_scalar(str(key))}:", inner, "  ")
    elif isinstance(value, list) and value:
        for inner in value:
            first, *rest = _lines(inner)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)
    else:
        yield _scalar(value)


def _entry(head: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping | list) and value:
        yield head
        yield from (f"{'' if isinstance(value, list) else indent}{line}" for line in _lines(value))
    else:
        yield f"{head} {_scalar(value)}"


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) is not None and value.lower() not in _WORDS
        return value if plain else json.dumps(value)
    if isinstance(value, float):
        text = repr(value)
        return text if "." in text else text.replace("e", ".0e")  # or readers of YAML 1.1 take 1e-05 for text
    return json.dumps(value)
