"""The documentation hangs together: links lead somewhere, marked commands run, the site is built without a warning.

A block of commands is run if the line before it says `<!-- run -->`, or `<!-- run: slow -->` with the slow tests;
`python above as mine.py` puts the Python block before it into a file first.
"""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
DOCS = REPOSITORY / "docs"
PAGES = sorted(
    [*DOCS.glob("*.md"), REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", REPOSITORY / "CHANGELOG.md"]
)
FENCE = re.compile(r"^```.*?^```\n", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
BLOCK = re.compile(r"<!-- run(: slow)?,?(?: python above as (\S+))? -->\n```\n(.*?)```", re.DOTALL)
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)


def _prose(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return re.sub(r"`[^`\n]*`|^    .*$", "", text, flags=re.MULTILINE)


def _anchors(page):
    """What headings are called in links, as GitHub and mkdocs make it of plain words."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower().replace("`", "")).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading(page):
    lost = []
    for link in LINK.findall(_prose(page)):
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in _anchors(target)):
            lost.append(link)
    assert lost == []


def test_a_lost_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One\n[a](page.md#one) [b](page.md#two) [c](gone.md) `[d](code.md)`\n")
    assert LINK.findall(_prose(page)) == ["page.md#one", "page.md#two", "gone.md"]
    assert _anchors(page) == {"one"}


def test_every_page_is_on_a_shelf():
    text = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r": (\w+\.md)$", text, re.MULTILINE))
    assert {page.name for page in DOCS.glob("*.md")} <= named


def _blocks(slow):
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for n, found in enumerate(BLOCK.finditer(text)):
            if bool(found.group(1)) == slow:
                before = PYTHON.findall(text[: found.start()])
                yield pytest.param(found.group(3), found.group(2), before[-1:] or [""], id=f"{page.stem}-{n}")


def _run(commands, name, python, folder):
    if name:
        (folder / name).write_text(python[0])
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY)}
    told = subprocess.run(
        ["bash", "-euc", commands], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr


@pytest.mark.parametrize(("commands", "name", "python"), list(_blocks(slow=False)))
def test_commands_of_the_documentation_run(commands, name, python, tmp_path):
    _run(commands, name, python, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("commands", "name", "python"), list(_blocks(slow=True)))
def test_long_commands_of_the_documentation_run(commands, name, python, tmp_path):
    _run(commands, name, python, tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("material") is None, reason="needs mkdocs: pip install 'glbdes[docs]'")
def test_the_site_is_built_without_a_warning_and_has_every_key(tmp_path):
    told = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(REPOSITORY), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    keys = (tmp_path / "site" / "keys" / "index.html").read_text(encoding="utf-8")
    for key in ("simulated_s_per_slot", "[regions.NAME]", "[[faults]]", "max_utilisation"):
        assert key in keys
    assert "glbdes compare" in (tmp_path / "site" / "cli" / "index.html").read_text(encoding="utf-8")
    assert "simulate" in (tmp_path / "site" / "api" / "index.html").read_text(encoding="utf-8")


def test_every_figure_is_made_by_a_command():
    text = (DOCS / "scripts" / "make_figures.py").read_text(encoding="utf-8")
    made = dict(re.findall(r'^    "([^"]+)": \((.*?)\),$', text, re.MULTILINE))
    figures = {name for names in made.values() for name in re.findall(r'"(\w+)"', names)}
    assert figures == {path.stem for path in (DOCS / "figures").iterdir()}
    assert all((REPOSITORY / command.split()[0]).is_file() for command in made)
