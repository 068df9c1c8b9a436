"""The tutorial shows the files that it runs, and they are in order."""

from pathlib import Path

import pytest

from glbdes import policy
from glbdes.policy import contract
from glbdes.study import sweep_file

DOCS = Path(__file__).resolve().parents[2] / "docs"
FILES = DOCS / "scripts" / "tutorial"


def test_the_policy_on_the_page_is_the_one_that_was_run():
    page, file = (path.read_text() for path in (DOCS / "tutorial.md", FILES / "radius.py"))
    body = file.split('"""\n', 1)[1].strip()  # the page leaves the docstring out
    assert body in page


def test_the_policy_on_the_page_keeps_the_contract():
    found = contract.check(lambda: policy.load("radius:Within", {"limit_s": 0.02}, FILES), "radius:Within")
    assert [check.rule for check in found if not check.passed] == []


def test_the_sweep_on_the_page_is_in_order_and_has_sixty_points_at_least(monkeypatch):
    monkeypatch.chdir(FILES)
    assert len(sweep_file.load("front.toml").points) >= 60


@pytest.mark.parametrize("figure", ["front.svg", "tutorial_burden.svg", "tutorial_latency.svg", "tutorial_front.svg"])
def test_the_figures_on_the_page_are_there(figure):
    assert f"(figures/{figure})" in (DOCS / "tutorial.md").read_text()
    assert (DOCS / "figures" / figure).read_text().startswith("<svg")
