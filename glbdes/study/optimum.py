"""The offline optimum of a scenario: what it would come to with the whole horizon known."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from glbdes.records.optimum_figures import summary
from glbdes.scenario import Scenario
from glbdes.study import run
from glbdes.world import build


def optimum(
    source: str | Path | Scenario,
    *,
    overrides: Sequence[str] = (),
    signals: str | Path | None = None,
) -> dict[str, Any]:
    """What a scenario would come to with the whole horizon known: no plan within the capacities can do better.

    With requests a bound (`bound_usd`): base power, and the least that each request adds; with `engine = "fluid"` the
    optimum of the flow.

    Parameters
    ----------
    source
        A file, a shipped scenario by its name ("llm10"), or a `Scenario`.
    overrides
        `key.path=value` settings of any key, laid over it in order.
    signals
        A file or folder to take signals from instead of the scenario's.

    Returns the figures that `glbdes optimum --json` prints. Raises a `GlbdesError` if there is no plan.
    """
    begin_s = time.perf_counter()
    plan = run.prepare(source, overrides=overrides)
    world = build.build(plan.scenario, plan.folder, None if signals is None else Path(signals))
    build_s = time.perf_counter() - begin_s
    figures = summary(world, tuple(plan.scenario.regions), plan.scenario.by_request)
    return {"scenario": plan.scenario.name, **figures, "build_s": build_s}
