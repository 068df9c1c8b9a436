"""Policies by name: what loads, and what a mistake is told."""

from pathlib import Path

import pytest

from glbdes import policy
from glbdes.errors import PolicyError

OWN = """
class Mine:
    def __init__(self, share, floor=0.1):
        self.share = share

    def plan(self, view):
        return view.mask / view.mask.sum(axis=1, keepdims=True)


def make():
    return Mine(share=0.5)


class NoPlan:
    pass


class Angry:
    def __init__(self):
        raise RuntimeError("not today")

    def plan(self, view):
        return view.mask


value = 3
"""


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A scenario's folder with a module of its own name (modules stay imported between tests)."""
    name = f"own_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(OWN)
    (tmp_path / f"{name}_broken.py").write_text("import numpyy\n")
    return tmp_path / name


@pytest.mark.parametrize("name", policy.BUILT_IN)
def test_every_built_in_loads_without_arguments(name):
    assert callable(policy.load(name, {}).plan)


def test_arguments_reach_the_constructor():
    assert policy.load("cost_carbon", {"carbon_usd_per_t": 100.0}).carbon_usd_per_kg == pytest.approx(0.1)


def test_own_class_is_found_beside_the_scenario(folder):
    mine = policy.load(f"{folder.name}:Mine", {"share": 0.3}, folder.parent)
    assert mine.share == 0.3


def test_own_class_is_found_in_the_current_folder(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert policy.load(f"{folder.name}:Mine", {"share": 0.3}).share == 0.3


def test_a_function_may_make_the_policy(folder):
    assert policy.load(f"{folder.name}:make", {}, folder.parent).share == 0.5


def test_loading_leaves_the_import_path_alone(folder):
    import sys

    before = list(sys.path)
    policy.load(f"{folder.name}:make", {}, folder.parent)
    assert sys.path == before


MISTAKES = [
    ("elgb", {}, "policy 'elgb' is unknown; did you mean 'eglb'?"),
    ("", {}, "policy '' is unknown"),
    (":Mine", {}, "is unknown"),
    ("eglb", {"stepp": 1}, "unknown argument 'stepp'; did you mean 'step'? (arguments: eta_per_usd,"),
    ("cost", {"weight": 1}, "unknown argument 'weight' (arguments: none)"),
    ("nearest", {"x": 1}, "unknown argument 'x'"),
    ("eglb", {"map": "flat"}, "map = 'flat', must be one of euclidean, entropic"),
    ("eglb", {"step": 0}, "step = 0, must be > 0"),
    ("eglb", {"step": "big"}, "policy 'eglb' (step='big'): TypeError"),
    ("eglb", {"z_max": 0.5}, "z_max = 0.5, must be >= 1"),
    ("eglb", {"z_max_usd": [1.0]}, "z_max_usd = [1.0], must be two values"),
    ("eglb", {"eta_per_usd": float("inf")}, "eta_per_usd = inf, must be > 0 and finite"),
    ("eglb", {"feedback": "none"}, "feedback = 'none', must be one of planned, metered"),
    ("cost_carbon", {"carbon_usd_per_t": -1.0}, "carbon_usd_per_t = -1.0, must be >= 0"),
    ("cost_carbon", {"carbon_usd_per_t": float("nan")}, "carbon_usd_per_t = nan, must be >= 0"),
    ("no_such_module_here:Mine", {}, "cannot import 'no_such_module_here': ModuleNotFoundError"),
    ("OWN_broken:Mine", {}, "No module named 'numpyy'"),
    ("OWN:Mein", {}, "has no 'Mein'; did you mean 'Mine'?"),
    ("OWN:value", {}, "'value' is a int, must be a class or a function"),
    ("OWN:Mine", {}, "argument 'share' is missing"),
    ("OWN:Mine", {"share": 1, "flor": 2}, "unknown argument 'flor'; did you mean 'floor'?"),
    ("OWN:NoPlan", {}, "'NoPlan' is a class which has no method plan(view)"),
    ("OWN:Angry", {}, "RuntimeError: not today"),
]


@pytest.mark.parametrize(("name", "arguments", "told"), MISTAKES)
def test_mistake_is_a_policy_error_that_says_what_to_mend(name, arguments, told, folder):
    with pytest.raises(PolicyError) as caught:
        policy.load(name.replace("OWN", folder.name), arguments, folder.parent)
    assert told in str(caught.value)


def test_an_unknown_policy_is_told_all_that_there_are():
    with pytest.raises(
        PolicyError, match=r"built-in: nearest, .*, offline; your own: 'package.module:Class', or served"
    ):
        policy.find("offlin")
