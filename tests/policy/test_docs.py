"""docs/policies.md: its own policy runs and keeps the contract, and its tables name what there is."""

import inspect
import re
from pathlib import Path

import pytest

from glbdes import policy
from glbdes.policy.ahead import EGLBAhead
from glbdes.policy.eglb import EGLB
from glbdes.policy.receding import RecedingHorizon
from glbdes.policy.simplex import EGLBSimplex
from glbdes.policy.window import KNOWABLE

PAGE = (Path(__file__).resolve().parents[2] / "docs/policies.md").read_text(encoding="utf-8")


def test_the_example_keeps_the_contract(tmp_path):
    code = re.search(r"```python\n# mine.py\n(.*?)```", PAGE, re.DOTALL)
    assert code is not None
    (tmp_path / "mine_of_the_docs.py").write_text(code[1], encoding="utf-8")

    def make():
        return policy.load("mine_of_the_docs:GreenNearby", {"latency_s": 0.015}, tmp_path)

    assert [check for check in policy.check(make) if not check.passed] == []


def test_every_built_in_is_in_the_table():
    rows = re.findall(r"^\| `(\w+)` \|", PAGE.split("## The programme of one slot")[0], re.MULTILINE)
    assert set(policy.BUILT_IN) <= set(rows)


@pytest.mark.parametrize(
    ("heading", "factory"),
    [
        ("## eGLB\n", EGLB),
        ("## eGLB on simplices\n", EGLBSimplex),
        ("## Looking ahead\n", EGLBAhead),
        ("## Receding horizon\n", RecedingHorizon),
    ],
    ids=["eglb", "simplex", "ahead", "receding"],
)
def test_every_argument_is_in_its_table_with_its_default(heading, factory):
    section = PAGE.split(heading)[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (\S+) \|", section, re.MULTILINE))
    defaults = {name: p.default for name, p in inspect.signature(factory).parameters.items()}
    told = {
        name: f'`"{value}"`' if isinstance(value, str) else str("none" if value is None else value)
        for name, value in defaults.items()
    }
    told |= {name: "all" for name, value in defaults.items() if value == KNOWABLE}
    assert rows == told
