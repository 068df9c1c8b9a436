"""Draw docs/figures/fluid_limit.svg: how far single requests are from the flow, by their number, and print the table.

    python docs/scripts/make_fluid_limit.py

Two days of llm10 under eGLB, compressed to so many requests, on the compiled engine and on the fluid one.
"""

import sys
import tempfile
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
from policy_tables import Totals

from glbdes import policy
from glbdes.engine import fluid
from glbdes.engine.fast import driver as fast
from glbdes.present.plots import style
from glbdes.scenario import model as scenario
from glbdes.world import build

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.engine.test_fluid_limit import ALIKE, LEVEL

FIGURE = Path(__file__).resolve().parents[1] / "figures/fluid_limit.svg"
COUNTS = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
SEEDS = range(1, 6)
WORLDS = {
    "alike, energy per token": ("fleet.profile=level.toml", "fleet.host_w=0.0", ALIKE),
    "chat lengths, energy per token": ("fleet.profile=level.toml", "fleet.host_w=0.0"),
    "chat lengths, H100 with idle power": ("fleet.host_w=0.0",),
}


def difference(folder: Path, settings: tuple[str, ...], requests: int, seed: int) -> float:
    """Root mean square of the relative differences of cost, carbon and water of the regions."""
    simulated_s, sums = 1.0, []
    for _ in range(2):  # first to learn the rate
        more = (
            f"time.simulated_s_per_slot={simulated_s}",
            f"seed={seed}",
            "time.slots=48",
            "time.warmup_s=0.0",
            "serving.scheduler=prefill_first",
            *settings,
        )
        loaded, _path = scenario.load("llm10", ("dispatch.rule=weighted", "dispatch.demand=forecast", *more))
        world = build.build(loaded, folder)
        simulated_s = float(requests / world.expected_rps.sum())
    for run in (fast.run, fluid.run):
        totals = Totals(world)
        run(world, policy.load("eglb", {"feedback": "planned"}), totals, policy_name="eglb")
        sums.append(totals.sums)
    return float(np.sqrt(((sums[0] / sums[1] - 1) ** 2).mean()))


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "level.toml").write_text(LEVEL, encoding="utf-8")
        for label, settings in WORLDS.items():
            for n in COUNTS:
                mean = float(np.mean([difference(Path(name), settings, n, seed) for seed in SEEDS]))
                rows.append({"world": label, "requests": n, "difference": mean})
    table = pd.DataFrame(rows)
    print(table.pivot(index="requests", columns="world", values="difference").map("{:.2%}".format).to_string())
    law = pd.DataFrame({"requests": COUNTS, "difference": [4 / n**0.5 for n in COUNTS]})
    x = alt.X("requests:Q", title="Requests", scale=alt.Scale(type="log"), axis=alt.Axis(format="~s", values=COUNTS))
    y_axis = alt.Axis(format="~%", values=[0.003, 0.01, 0.03, 0.1, 0.3, 1, 3])
    y = alt.Y("difference:Q", title="Difference", scale=alt.Scale(type="log"), axis=y_axis)
    names = list(WORLDS)
    lines = (
        alt.Chart(table).mark_line(point=True).encode(x, y, style.colour(names, "world"), style.dash(names, "world"))
    )
    root = alt.Chart(law).mark_line(color=style.FAINT, strokeDash=[2, 2]).encode(x, y)
    (root + lines).properties(width=460, height=280).save(FIGURE)


if __name__ == "__main__":
    main()
