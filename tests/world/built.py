"""Worlds of scenarios."""

from pathlib import Path

from glbdes.scenario import load
from glbdes.world import World
from glbdes.world.build import build

SHORT = "time.slots=3"


def made(name: str, *overrides: str, signals: Path | None = None) -> World:
    """The world of the scenario called `name`."""
    loaded, path = load(name, overrides)
    return build(loaded, path.parent, signals)
