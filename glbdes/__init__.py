"""Simulate how LLM inference requests are routed between data-centre regions, and who bears the footprint.

import glbdes

run = glbdes.simulate("llm10", policy="eglb")
run.summary["par"]["carbon"]
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glbdes.errors import GlbdesError
    from glbdes.scenario.model import Scenario
    from glbdes.scenario.model import load as load_scenario
    from glbdes.study.comparison import Comparison, compare
    from glbdes.study.run import Run, simulate

__all__ = ["Comparison", "GlbdesError", "Run", "Scenario", "compare", "load_scenario", "simulate"]

_HOMES = {
    "Comparison": ("study.comparison", "Comparison"),
    "compare": ("study.comparison", "compare"),
    "GlbdesError": ("errors", "GlbdesError"),
    "Run": ("study.run", "Run"),
    "Scenario": ("scenario.model", "Scenario"),
    "load_scenario": ("scenario.model", "load"),
    "simulate": ("study.run", "simulate"),
}


def __getattr__(name: str) -> Any:
    """Imported when first used: one small module of the package should not cost pandas and pyarrow."""
    if name not in _HOMES:
        raise AttributeError(f"module 'glbdes' has no attribute '{name}'")
    module, attribute = _HOMES[name]
    return getattr(import_module(f"glbdes.{module}"), attribute)
