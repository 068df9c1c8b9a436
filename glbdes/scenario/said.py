"""Where a scenario came from, and changes of it made in Python: tables and dotted keys become the settings of `--set`.

So whatever is changed, however, is one list of `key.path=value` texts, which a run's records keep.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from glbdes.errors import ScenarioError, brief

POLICY: Final = "policy"  # its name may stand for the whole table


@dataclass(frozen=True, eq=False)
class Said:
    """What a scenario was made of. It is no part of what the scenario says: all are equal."""

    document: Mapping[str, Any] | None = None  # before any setting; None: made of models
    folder: Path | None = None  # where its files are looked for; None: the current one
    source: str | None = None  # the file that was read
    text: str | None = None  # what it said
    overrides: tuple[str, ...] = ()  # what was changed of it, in order

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Said)

    def __hash__(self) -> int:
        return 0


def settings(changes: Sequence[str | Mapping[str, Any]], tables: Mapping[str, Any]) -> tuple[str, ...]:
    """`changes` and `tables` as `key.path=value` texts, in order. Raises `ScenarioError` for what TOML cannot say."""
    texts: list[str] = []
    for change in (*changes, tables):
        if isinstance(change, str):
            texts.append(change)
        elif isinstance(change, Mapping):
            texts += [f"{key}={written(value, key)}" for key, value in _flat(change)]
        else:
            raise ScenarioError(f"a change is a {type(change).__name__}, must be 'key.path=value' or a table")
    return tuple(texts)


def _flat(table: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """`key.path` and value of everything in a table. A policy is whole: what another one was given is not its own."""
    for key, value in table.items():
        path = f"{before}{key}"
        if path == POLICY and isinstance(value, str):
            yield path, {"name": value}
        elif isinstance(value, Mapping) and value and not (path == POLICY and "name" in value):
            yield from _flat(value, f"{path}.")
        else:
            yield path, value


def written(value: Any, key: str = "") -> str:
    """`value` as TOML on one line. Raises `ScenarioError` for what TOML cannot say."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(name))} = {written(one, key)}" for name, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(written(one, key) for one in value) + "]"
    if isinstance(value, date):  # and times
        return json.dumps(value.isoformat())
    if isinstance(value, Path):
        return json.dumps(str(value))
    if hasattr(value, "item"):
        value = value.item()  # a number of NumPy's
    if isinstance(value, str | bool | int | float):
        return json.dumps(value) if isinstance(value, str | bool) else repr(value)
    raise ScenarioError(f"{brief(key)}: is {brief(value)}, must be a number, text, true or false, a list or a table")
