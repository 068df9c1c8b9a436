"""Worlds of scenarios."""

from pathlib import Path

from glbdes.scenario import load
from glbdes.world import World
from glbdes.world.build import build

SHORT = "time.slots=3"
THREE = Path(__file__).parents[1] / "three.toml"  # three regions, one day


def made(name: str, *overrides: str, signals: Path | None = None) -> World:
    """The world of the scenario called `name`: "three", or a shipped one."""
    loaded, path = load(THREE if name == "three" else name, overrides)
    return build(loaded, path.parent, signals)
