"""engine = "auto": the SimPy engine for small runs, the compiled one where it is ready or worth compiling."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numba
import numpy as np
import pytest

from glbdes.base import compiled
from glbdes.base.cache import KernelCache
from glbdes.engine import fast
from glbdes.engine.choice import WORTH_COMPILING, WORTH_LOADING, engine_for
from glbdes.engine.fast import dispatch
from glbdes.engine.fast.state import make_state, prefill_ticks
from tests.chunked_worlds import make_steps
from tests.engine.differential import numbered, world_of


@pytest.mark.parametrize(
    ("expected", "is_compiled", "name"),
    [
        (WORTH_LOADING - 1, True, "simpy"),
        (WORTH_LOADING, True, "fast"),
        (WORTH_COMPILING - 1, False, "simpy"),
        (WORTH_COMPILING, False, "fast"),
    ],
)
def test_auto_counts_what_compiling_costs(
    expected: int, is_compiled: bool, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast, "must_compile", lambda world: not is_compiled)
    world: Any = SimpleNamespace(expected_rps=np.array([expected]), period_ns=1_000_000_000)
    assert engine_for("auto", world) == name
    assert engine_for("fluid", world) == "fluid"


def test_kernels_must_be_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(numbered(1, rule=0, outages=0))
    monkeypatch.setattr(compiled, "cache_folder", lambda: tmp_path)
    chunked = replace(world, steps=make_steps())
    assert fast.must_compile(world)
    (tmp_path / "dispatch.advance_alone.plain.0123.nbc").touch()
    assert not fast.must_compile(world)
    assert fast.must_compile(world_of(numbered(1, rule=2)))
    assert fast.must_compile(chunked)
    (tmp_path / "dispatch.advance_alone.crep.0123.nbc").touch()
    assert not fast.must_compile(chunked)


def test_kernels_are_kept_under_the_kind_that_they_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signatures are those that the driver's states have, without compiling anything."""
    monkeypatch.setattr(compiled, "cache_folder", lambda: tmp_path)
    for scheduler in ("prefill_first", "chunked"):
        world = world_of(numbered(1, rule=0, outages=0))
        if scheduler == "chunked":
            world = replace(world, steps=make_steps())
        assert fast.must_compile(world)
        state = make_state(world, [0], prefill_ticks(world))
        kept = KernelCache(dispatch.advance_alone.py_func, tmp_path)._path((numba.typeof(state), numba.int64), _Codegen)
        kept.touch()
        assert not fast.must_compile(world)


class _Codegen:
    @staticmethod
    def magic_tuple() -> tuple[str]:
        return ("any",)
