"""Policies: objects with `plan(view) -> weights[g, r]`, by name.

A policy needs no base class and no registration: `"package.module:Class"` names any object that makes one, a class or a
function, and the other keys of the scenario's `[policy]` table are its arguments. The table below names the built-ins.
"""

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from glbdes.errors import GlbdesError, PolicyError, nearest
from glbdes.policy import baselines
from glbdes.policy.ahead import EGLBAhead
from glbdes.policy.contract import Check, check
from glbdes.policy.eglb import EGLB
from glbdes.policy.receding import RecedingHorizon
from glbdes.policy.simplex import EGLBSimplex
from glbdes.world.arrays import Policy

__all__ = ["BUILT_IN", "Check", "check", "find", "load"]

Factory = Callable[..., Policy]

BUILT_IN: dict[str, Factory] = {
    "nearest": baselines.Nearest,
    "uniform": baselines.Uniform,
    "cost": baselines.cost,
    "carbon": baselines.carbon,
    "water": baselines.water,
    "cost_carbon": baselines.cost_carbon,
    "cost_carbon_water": baselines.cost_carbon_water,
    "eglb": EGLB,
    "eglb_simplex": EGLBSimplex,
    "eglb_ahead": EGLBAhead,
    "receding_horizon": RecedingHorizon,
}


def load(name: str, arguments: Mapping[str, Any], folder: Path | None = None) -> Policy:
    """A new policy: a built-in, or "package.module:Class" importable from `folder`, the current folder or the path.

    Raises `PolicyError` if there is none of that name, its arguments do not fit, or what it makes is no policy.
    """
    factory = find(name, folder)
    _check_arguments(factory, name, arguments)
    try:
        policy = factory(**arguments)
    except GlbdesError:
        raise
    except Exception as error:  # a user's constructor may raise anything
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        raise PolicyError(f"policy '{name}' ({given}): {_told(error)}") from error
    if not callable(getattr(policy, "plan", None)):
        raise PolicyError(f"policy '{name}' makes a {type(policy).__name__}, which has no method plan(view)")
    return policy


def find(name: str, folder: Path | None = None) -> Factory:
    """What makes the policy called `name`. Raises `PolicyError` if there is nothing of that name."""
    if name in BUILT_IN:
        return BUILT_IN[name]
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise PolicyError(
            f"policy '{name}' is unknown{nearest(name, BUILT_IN)} "
            f"(built-in: {', '.join(BUILT_IN)}; your own: 'package.module:Class')"
        )
    with _importable(folder):
        try:
            module = importlib.import_module(module_name)
        except Exception as error:  # a user's module may raise anything
            raise PolicyError(f"policy '{name}': cannot import '{module_name}': {_told(error)}") from error
    if not hasattr(module, attribute):
        raise PolicyError(f"policy '{name}': '{module_name}' has no '{attribute}'{nearest(attribute, vars(module))}")
    factory = getattr(module, attribute)
    if not callable(factory):
        raise PolicyError(
            f"policy '{name}': '{attribute}' is a {type(factory).__name__}, must be a class or a function"
        )
    return cast(Factory, factory)


@contextmanager
def _importable(folder: Path | None) -> Iterator[None]:
    """The scenario's folder and the current one, in this order, before the import path."""
    before = list(sys.path)
    sys.path[:0] = [str(folder.resolve()), os.getcwd()] if folder else [os.getcwd()]
    try:
        yield
    finally:
        sys.path[:] = before


def _check_arguments(factory: Factory, name: str, arguments: Mapping[str, Any]) -> None:
    """Raise `PolicyError` naming the first argument that `factory` does not take, or lacks."""
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):  # some built-in callables have none; then the call itself tells
        return
    taken = signature.parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in taken.values())
    named = {key for key, p in taken.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    for key in arguments:
        if key not in named and not open_ended:
            takes = ", ".join(sorted(named)) or "none"
            raise PolicyError(f"policy '{name}': unknown argument '{key}'{nearest(key, named)} (arguments: {takes})")
    for key, p in taken.items():
        if key not in arguments and p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL):
            raise PolicyError(f"policy '{name}': argument '{key}' is missing")


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
