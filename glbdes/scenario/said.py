"""Where a scenario came from, and changes of it made in Python: tables and dotted keys become the settings of `--set`.

So whatever is changed, however, is one list of `key.path=value` texts, which a run's records keep.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from pydantic import PrivateAttr, ValidationError

from glbdes import resources
from glbdes.errors import ScenarioError, brief, nearest
from glbdes.scenario import overrides
from glbdes.scenario.complaints import complaints
from glbdes.scenario.kinds import Model
from glbdes.scenario.rules import broken

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


Made = TypeVar("Made", bound="Changeable")


class Changeable(Model):
    """A scenario that knows where it came from, and of which changed ones can be made."""

    _said: Said = PrivateAttr(default_factory=Said)

    @property
    def said(self) -> Said:
        """Where it came from, and what was changed of it."""
        return self._said

    def with_(self, *changes: str | Mapping[str, Any], **tables: Any) -> Self:
        """This scenario with changes laid over it, in order; itself it stays as it is.

        scenario.with_("time.slots=48", {"regions.*.replicas": 4}, policy="cost", time={"clock_ns": 1000})

        Parameters
        ----------
        *changes
            Settings as `--set` takes them, or tables of dotted keys and values.
        **tables
            Tables of the scenario, of which the keys that are given change, or single values; `policy` by its name, or
            as a whole table.

        Raises `ScenarioError` with every problem of what comes of it.
        """
        said = self._said
        if said.document is None:
            said = replace(said, document=self.model_dump())
        return made(type(self), replace(said, overrides=(*said.overrides, *settings(changes, tables))))


def made(kind: type[Made], said: Said) -> Made:
    """The scenario that `said` comes to. Raises `ScenarioError` with all of its problems."""
    document = deepcopy(dict(said.document or {}))
    overrides.apply(document, said.overrides)
    place = with_settings(None if said.source is None else place_of(Path(said.source)), said.overrides)
    found = validated(kind, document, place)
    found._said = said
    return found


def validated(kind: type[Made], document: dict[str, Any], place: str | None) -> Made:
    """The scenario that a plain document says. Raises `ScenarioError` with all its problems; `place` is named there."""
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        problems = complaints(error, kind)
        # Rules between values have not run if single values are wrong; those that can be told already are told now.
        problems += [line for line in map(str, broken(document)) if line not in problems]
        raise ScenarioError(problems, place) from error


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


def not_found(source: str) -> str:
    """That there is no scenario of that name, and which there are."""
    names = resources.shipped("scenarios")
    return f"no scenario file '{brief(source)}'{nearest(Path(source).stem, names)} (shipped: {', '.join(names)})"


def place_of(path: Path) -> str:
    """`path` as a person in the working folder would write it."""
    relative = os.path.relpath(path)
    return brief(path if relative.startswith("..") else relative)


def with_settings(place: str | None, given: Sequence[str]) -> str | None:
    """Where a scenario's problems are: in a file, and in what was set."""
    laid = brief("".join(f", --set {text}" for text in given))
    return f"{place}{laid}" if place else laid.removeprefix(", ") or None
