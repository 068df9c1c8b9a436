"""The first scenario shows what the product is for: its policies, the README's own among them, are visibly apart."""

import re
from pathlib import Path

import pytest

import glbdes

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    """Cost, PARs and objective of `tiny` under four policies."""
    folder = tmp_path_factory.mktemp("first")
    code = re.search(r"```python\n(import numpy as np\n\n\nclass CleanestNearby:.*?)```", README, re.DOTALL)
    assert code is not None
    mine = folder / "mine_of_the_readme.py"
    mine.write_text(code[1], encoding="utf-8")
    told = {}
    for name in ("nearest", "cost", "eglb_simplex", "mine_of_the_readme:CleanestNearby"):
        with pytest.MonkeyPatch.context() as patched:
            patched.chdir(folder)
            summary = glbdes.simulate("tiny", policy=name, out=folder / f"run{len(told)}").summary
        par, totals = summary["par"], summary["totals"]
        told[name.rpartition(":")[2]] = {
            "cost": totals["cost_usd"],
            "carbon": totals["carbon_kg"],
            "carbon_par": par["carbon"],
            "water_par": par["water"],
            "objective": summary["objective_usd"],
        }
    return told


def test_each_policy_is_best_at_what_it_is_for(figures):
    least = {key: min(figures, key=lambda name: figures[name][key]) for key in ("cost", "objective", "carbon_par")}
    assert least == {"cost": "cost", "objective": "eglb_simplex", "carbon_par": "eglb_simplex"}


def test_they_are_visibly_apart(figures):
    cost, equal, near, mine = (figures[name] for name in ("cost", "eglb_simplex", "nearest", "CleanestNearby"))
    assert cost["cost"] < 0.95 * equal["cost"] < 0.95 * near["cost"]
    assert equal["objective"] < 0.8 * min(cost["objective"], near["objective"])
    assert equal["carbon_par"] < 0.9 * near["carbon_par"] < 0.9 * cost["carbon_par"]
    assert equal["water_par"] < 0.9 * cost["water_par"]
    assert mine["carbon"] < 0.8 * near["carbon"]
    assert mine["cost"] < 0.95 * near["cost"]
