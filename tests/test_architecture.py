"""docs/architecture.md shows the house as it stands."""

import re
import tomllib
from pathlib import Path

import pytest

import glbdes

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = (REPOSITORY / "docs/architecture.md").read_text(encoding="utf-8")
PACKAGE = REPOSITORY / "glbdes"


def rooms() -> list[str]:
    """The first column of the page's first table."""
    return re.findall(r"^\| `(\w+)/` \|", PAGE, re.MULTILINE)


def test_rooms_stand_in_the_order_that_imports_are_held_to() -> None:
    contracts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    *layers, outside = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    assert [f"glbdes.{room}" for room in reversed(rooms())] == layers
    assert {f"glbdes.{path.stem}" for path in PACKAGE.glob("[a-z]*.py")} == set(outside.split(" | "))


def test_there_are_no_other_rooms() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders == set(rooms())


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`([a-z_]+/[a-z_/]*(?:\.py)?)`", PAGE))))
def test_what_the_page_names_is_there(path: str) -> None:
    assert (PACKAGE / path).exists() or (REPOSITORY / path).exists() or (PACKAGE / "engine" / path).exists()


def test_the_page_names_the_public_face() -> None:
    assert all(f"`{name}`" in PAGE for name in glbdes.__all__)
