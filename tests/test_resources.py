"""Shipped files are found in a checkout and in an installed package; the user's own go first."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from glbdes import resources

REPOSITORY = Path(__file__).parents[1]


def test_shipped_files_are_found_by_their_bare_names() -> None:
    assert resources.find("scenarios", "tiny") == REPOSITORY / "scenarios" / "tiny.toml"
    assert resources.find("scenarios", "tiny.toml") == REPOSITORY / "scenarios" / "tiny.toml"
    assert resources.find("traces", "llm10_load.csv") == REPOSITORY / "traces" / "llm10_load.csv"


def test_a_path_is_never_a_shipped_file(tmp_path: Path) -> None:
    assert resources.find("scenarios", "nowhere/tiny", tmp_path) is None
    assert resources.find("traces", "../llm10_load.csv", tmp_path) is None


def test_own_files_and_folders_go_first(tmp_path: Path) -> None:
    (tmp_path / "llm10_load.csv").write_text("load\n1\n")
    (tmp_path / "authors").mkdir()
    assert resources.find("traces", "llm10_load.csv", tmp_path) == tmp_path / "llm10_load.csv"
    assert resources.find("traces", "authors", tmp_path) == tmp_path / "authors"
    assert resources.find("scenarios", "authors", tmp_path) is None  # a scenario is a file


def test_an_installed_package_carries_its_files(tmp_path: Path) -> None:
    """As a wheel lays them out: scenarios and traces inside the package, and no checkout around it."""
    package = tmp_path / "site" / "glbdes"
    shutil.copytree(REPOSITORY / "glbdes", package, ignore=shutil.ignore_patterns("__pycache__"))
    for kind in ("scenarios", "traces"):
        shutil.copytree(REPOSITORY / kind, package / kind)
    code = (
        "from glbdes import scenario; from glbdes.world.build import build\n"
        "for name in ('tiny', 'llm10', 'paper'):\n"
        "    loaded, path = scenario.load(name); build(loaded, path.parent); print(path)"
    )
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(package / "scenarios" / f"{name}.toml") for name in ("tiny", "llm10", "paper")]
