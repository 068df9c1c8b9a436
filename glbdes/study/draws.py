"""Synthetic signals drawn anew in a comparison: which seeds, what is set for them, what objectives are told against."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from glbdes import resources
from glbdes.errors import ScenarioError, brief
from glbdes.optimum.bound import Reference
from glbdes.signals.synthetic import SHIPPED_SEED
from glbdes.signals.table import SYNTHETIC
from glbdes.study.run import Plan

SHIPPED: Final = "llm10_signals.csv"  # the synthetic signals that come with the package


def seeds(plan: Plan, signals: Path | None, count: int) -> list[int]:
    """The seeds of `count` draws of signals: the scenario's own, and those that follow it.

    Raises `ScenarioError` if its signals are not drawn.
    """
    given = plan.scenario.signals
    source = given.source if signals is None else str(signals)
    shipped = signals is None and resources.find("traces", source, plan.folder) == resources.find("traces", SHIPPED)
    if source != SYNTHETIC and not shipped:
        rule = f"must be '{SYNTHETIC}' or '{SHIPPED}' for signals to be drawn anew"
        raise ScenarioError(f"signal_seeds = {count}: signals.source = '{brief(source)}', {rule}")
    first = SHIPPED_SEED if given.seed is None else given.seed
    return list(range(first, first + count))


def settings(signal_seed: int | None) -> tuple[str, ...]:
    """What is set for a draw; nothing for the scenario's own signals."""
    return () if signal_seed is None else (f"signals.source='{SYNTHETIC}'", f"signals.seed={signal_seed}")


def mean(references: Sequence[Reference | None]) -> dict[str, Any] | None:
    """What objectives are told against, in the mean over draws, with the doubts of any; None if one draw has none."""
    known = [one for one in references if one is not None]
    if len(known) < len(references):
        return None
    doubts = dict.fromkeys(doubt for one in known for doubt in one.doubts)
    usd = sum(one.usd for one in known) / len(known)
    return {"usd": usd, "by_request": known[0].by_request, "doubts": list(doubts)}
