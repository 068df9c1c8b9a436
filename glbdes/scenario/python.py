"""Scenarios in Python, without a file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from glbdes.scenario.model import Scenario, load
from glbdes.scenario.said import Said, made


def scenario(source: str | Path | Mapping[str, Any], *, overrides: Sequence[str] = ()) -> Scenario:
    """A scenario to look at, to change (`with_`), and to simulate.

    Parameters
    ----------
    source
        A file, a shipped scenario by its name ("llm10"), or a table of tables as a file would say it.
    overrides
        `key.path=value` settings of any key, laid over it in order.

    Raises `ScenarioError` with all of its problems at once.
    """
    if isinstance(source, Mapping):
        return made(Scenario, Said(source, overrides=tuple(overrides)))
    return load(source, overrides)[0]
