"""Simulate how LLM inference requests are routed between data-centre regions, and who bears the footprint.

import glbdes

run = glbdes.simulate("llm10", policy="eglb_simplex")
run.summary["par"]["carbon"]
run.hourly()

glbdes.compare("llm10", ["nearest", "cost", "eglb_simplex"])
glbdes.simulate(glbdes.scenario("llm10").with_({"regions.*.replicas": 4}, policy="cost"))
"""

import sys
from importlib import import_module
from importlib.metadata import version
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from glbdes.errors import GlbdesError
    from glbdes.scenario.model import Scenario
    from glbdes.scenario.model import load as load_scenario  # noqa: F401 (the former way to a scenario)
    from glbdes.scenario.python import scenario
    from glbdes.study.comparison import Comparison, compare
    from glbdes.study.optimum import optimum
    from glbdes.study.report import report
    from glbdes.study.run import Run, simulate
    from glbdes.study.sizing import saturate, size
    from glbdes.study.sweep import Sweep, sweep

    __version__: str

__all__ = [
    "Comparison",
    "GlbdesError",
    "Run",
    "Scenario",
    "Sweep",
    "__version__",
    "compare",
    "optimum",
    "report",
    "saturate",
    "scenario",
    "simulate",
    "size",
    "sweep",
]

_HOMES: Final = {
    "Comparison": ("study.comparison", "Comparison"),
    "compare": ("study.comparison", "compare"),
    "GlbdesError": ("errors", "GlbdesError"),
    "load_scenario": ("scenario.model", "load"),
    "report": ("study.report", "report"),
    "Run": ("study.run", "Run"),
    "saturate": ("study.sizing", "saturate"),
    "Scenario": ("scenario.model", "Scenario"),
    "simulate": ("study.run", "simulate"),
    "size": ("study.sizing", "size"),
    "Sweep": ("study.sweep", "Sweep"),
    "sweep": ("study.sweep", "sweep"),
}
# Rooms of the house that are called like what one does there: modules, and functions too.
_ROOMS: Final = {"optimum": ("study.optimum", "optimum"), "scenario": ("scenario.python", "scenario")}


def __getattr__(name: str) -> Any:
    """Imported when first used: one small module of the package should not cost pandas and pyarrow."""
    if name == "__version__":
        return version("glbdes")
    if name in _ROOMS:
        return import_module(f"glbdes.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'glbdes' has no attribute '{name}'")
    return _found(_HOMES[name])


def __dir__() -> list[str]:
    """The public face."""
    return sorted(__all__)


def _found(home: tuple[str, str]) -> Any:
    module, attribute = home
    return getattr(import_module(f"glbdes.{module}"), attribute)


class _Room(ModuleType):
    """A room that can be called, and is documented as what is called."""

    __doc__ = property(lambda self: _called(self).__doc__)
    __signature__ = property(lambda self: _signature(_called(self)))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _called(self)(*args, **kwargs)


def _signature(function: Any) -> Any:
    return import_module("inspect").signature(function)


def _called(room: ModuleType) -> Any:
    return _found(_ROOMS[room.__name__.partition(".")[2]])


class _Face(ModuleType):
    """This package: a room becomes an attribute of it when it is imported, and one that can be called if it should."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _ROOMS and isinstance(value, ModuleType):
            value.__class__ = _Room
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face
