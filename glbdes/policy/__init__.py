"""Policies: objects with `plan(view) -> weights[g, r]`, by name.

A policy needs no base class and no registration: `"package.module:Class"` names what makes one, a class or a function,
and the other keys of the scenario's `[policy]` table are its arguments. The table below names the built-ins; whose code
a name may run is in `origin`.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

from glbdes.errors import PolicyError, nearest
from glbdes.policy import baselines, remote
from glbdes.policy.ahead import EGLBAhead
from glbdes.policy.chain import EGLBChain
from glbdes.policy.contract import Check, check
from glbdes.policy.eglb import EGLB
from glbdes.policy.origin import Origin
from glbdes.policy.receding import RecedingHorizon
from glbdes.policy.simplex import EGLBSimplex
from glbdes.world import Policy, guard

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
    "eglb_chain": EGLBChain,
    "receding_horizon": RecedingHorizon,
}


def load(
    name: str, arguments: Mapping[str, Any], folder: Path | None = None, allow: str | Iterable[str] = ()
) -> Policy:
    """A new policy: a built-in, or "package.module:Class" of `folder`, the current folder or a package in `allow`.

    Raises `PolicyError` if there is none of that name, it may not run, its arguments do not fit, or what it makes is no
    policy; and for whatever goes wrong in a user's own code.
    """
    factory = find(name, folder, allow)
    own = deepcopy(dict(arguments))  # what a policy does to them must not be in the records
    given = ", ".join(f"{key}={value!r}" for key, value in own.items())
    with guard.staying():
        guard.call(f"policy '{name}'", _check_arguments, factory, own)
        return guard.call(f"policy '{name}' ({given})" if given else f"policy '{name}'", _made, factory, own)


def find(name: str, folder: Path | None = None, allow: str | Iterable[str] = ()) -> Factory:
    """What makes the policy called `name`. Raises `PolicyError` if there is nothing of that name that may run."""
    if name in BUILT_IN:
        return BUILT_IN[name]
    if remote.is_address(name):
        remote.check_allowed(name, allow)
        return partial(remote.Remote, name)
    module_name, _, attribute = name.partition(":")
    if not all((*module_name.split("."), attribute)):
        raise PolicyError(
            f"policy '{guard.plain(name, '')}' is unknown{nearest(name, BUILT_IN)} "
            f"(built-in: {', '.join(BUILT_IN)}, offline; your own: 'package.module:Class', or served: 'http://127.0.0.1:8100')"
        )
    with guard.staying():
        return guard.call(f"policy '{name}'", Origin.of(folder, allow).load, module_name, attribute)


def _made(factory: Factory, arguments: Mapping[str, Any]) -> Policy:
    policy = guard.ran(factory(**arguments), "it")
    if not callable(getattr(policy, "plan", None)):
        raise PolicyError(f"makes a {type(policy).__name__}, which has no method plan(view)")
    return policy


def _check_arguments(factory: Factory, arguments: Mapping[str, Any]) -> None:
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
            raise PolicyError(f"unknown argument '{key}'{nearest(key, named)} (arguments: {takes})")
    for key, p in taken.items():
        if key not in arguments and p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL):
            raise PolicyError(f"argument '{key}' is missing")
