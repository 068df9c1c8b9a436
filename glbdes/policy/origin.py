"""Whose code a policy's name would run, found out before any of it runs.

A scenario is data: whoever simulates it has not read it. What its policy's name may run is code that lies beside it or
in the current folder, where the user can see it, and nothing else: not a function of the standard library, which would
be a command line in disguise, nor a package that happens to be installed. Those need the user's permission.
"""

import importlib
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import FrozenImporter, ModuleSpec, PathFinder
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, Final

from glbdes.errors import PolicyError, nearest

_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})  # folders of what pip and distributions install


@dataclass(frozen=True)
class Origin:
    """Where policies may come from: `folders`, the user's own, and `allowed` packages. Folders are absolute."""

    folders: tuple[Path, ...]
    allowed: tuple[str, ...] = ()

    @classmethod
    def of(cls, folder: Path | None, allow: str | Iterable[str]) -> "Origin":
        """The scenario's folder, the current one, and the packages that the user allows."""
        folders = [Path.cwd()] if folder is None else [folder, Path.cwd()]
        allowed = (allow,) if isinstance(allow, str) else tuple(allow)
        return cls(tuple(dict.fromkeys(one.resolve() for one in folders)), allowed)

    def load(self, module_name: str, attribute: str) -> Callable[..., Any]:
        """The class with a method `plan`, or the function, that makes the policy. Raises `PolicyError`.

        Nothing is imported unless it may run. A user's module may raise anything when it is.
        """
        own = self._is_own(module_name)
        if not own and not self._is_allowed(module_name):
            raise PolicyError(self._refusal(module_name))
        with self._importable(first=own):
            module = importlib.import_module(module_name)
        if not hasattr(module, attribute):
            raise PolicyError(f"'{module_name}' has no '{attribute}'{nearest(attribute, vars(module))}")
        return self._maker(getattr(module, attribute), attribute, own)

    def _is_own(self, module_name: str) -> bool:
        """Whether importing `module_name` would first run a file of the user's own folders.

        Raises `PolicyError` if something else of that name goes before it.
        """
        top = module_name.partition(".")[0]
        mine = self._paths()
        PathFinder.invalidate_caches()  # a file may be a moment old
        first, found = _runs_first(module_name, mine)
        if found is None:
            path = _file(sys.modules.get(module_name))  # a script, say: what it does, it has done
            return path is not None and self._is_mine(path)
        if not self._lies_here(found):
            return False
        if _in_standard_library(top):
            raise PolicyError(f"{found.origin} has the name of a module of the standard library: rename it")
        loaded = sys.modules.get(first)
        if loaded is not None and _file(loaded) != _resolved(found.origin):
            there = f"another module '{first}' is loaded already ({_file(loaded) or 'not from a file'})"
            raise PolicyError(f"{found.origin}: {there}: rename one of them")
        _, anywhere = _runs_first(module_name, [*mine, *sys.path])
        return anywhere is not None and anywhere.origin == found.origin

    def _paths(self) -> list[str]:
        return [str(folder) for folder in self.folders]

    def _lies_here(self, found: ModuleSpec) -> bool:
        """Whether a file that was looked for in the user's folders really is there, and is theirs."""
        path = _resolved(found.origin)
        return path is None or self._is_mine(path)

    def _is_mine(self, path: Path) -> bool:
        inside = any(path.is_relative_to(folder) for folder in self.folders)
        return inside and not _INSTALLED & set(path.parts) and not _in_folder_of_python(path)

    def _is_allowed(self, module_name: str) -> bool:
        return any(module_name == name or module_name.startswith(f"{name}.") for name in self.allowed)

    def _refusal(self, module_name: str) -> str:
        top = module_name.partition(".")[0]
        if _in_standard_library(top):
            kind = "of the standard library"
        else:
            found, linked = _installed(top), _runs_first(module_name, self._paths())[1]
            if found is not None:
                kind = f"installed ({found})"
            elif linked is not None and linked.origin is not None:
                kind = f"{linked.origin}, which is {_resolved(linked.origin)}"
            else:
                places = "the scenario's folder, the current one and on Python's path"
                return f"cannot import '{module_name}': ModuleNotFoundError: there is none in {places}"
        told = "only modules beside the scenario or in the current folder run without being asked for"
        how = f"if you want it to run, say --allow-policy {top} (in Python: allow_policy=[{top!r}])"
        return f"module '{module_name}' is {kind}; {told}; {how}"

    def _maker(self, found: Any, attribute: str, own: bool) -> Callable[..., Any]:
        if isinstance(found, type):
            if not hasattr(found, "plan"):
                raise PolicyError(f"'{attribute}' is a class which has no method plan(view)")
            return found
        if not isinstance(found, FunctionType | MethodType | BuiltinFunctionType):
            raise PolicyError(f"'{attribute}' is a {type(found).__name__}, must be a class or a function")
        home = found.__module__ or "builtins"
        path = _file(sys.modules.get(home))
        if own and not self._is_allowed(home) and (path is None or not self._is_mine(path)):
            raise PolicyError(f"'{attribute}' is a function of another module: {self._refusal(home)}")
        return found

    @contextmanager
    def _importable(self, first: bool) -> Iterator[None]:
        """The user's folders on the import path: before all others, or, for what is installed, behind them."""
        before = list(sys.path)
        mine = self._paths()
        sys.path[:] = [*mine, *before] if first else [*before, *mine]
        try:
            yield
        finally:
            sys.path[:] = before


def _runs_first(module_name: str, path: Sequence[str]) -> tuple[str, ModuleSpec | None]:
    """What importing `module_name` from `path` would run first, and its name: a package goes before its modules.

    A folder without code in it is none; what is in it goes first. Runs nothing.
    """
    whole, found, places = "", None, list(path)
    for part in module_name.split("."):
        whole = f"{whole}.{part}" if whole else part
        found = PathFinder.find_spec(part, places)
        if found is None or found.origin is not None:
            break
        places = list(found.submodule_search_locations or ())
    return whole, found


def _in_standard_library(top: str) -> bool:
    return top in sys.stdlib_module_names or FrozenImporter.find_spec(top) is not None


def _in_folder_of_python(path: Path) -> bool:
    folders = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
    return any(path.is_relative_to(Path(folder).resolve()) for folder in folders)


def _installed(top: str) -> str | None:
    """Where the module or package `top` comes from, wherever that is; None if there is none."""
    loaded = sys.modules.get(top)
    if loaded is not None:
        return str(_file(loaded) or "loaded already")
    try:
        found = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    return None if found is None else str(found.origin or os.pathsep.join(found.submodule_search_locations or ()))


def _file(module: ModuleType | None) -> Path | None:
    return _resolved(getattr(module, "__file__", None))


def _resolved(origin: str | None) -> Path | None:
    return None if origin is None else Path(origin).resolve()
