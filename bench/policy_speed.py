"""How long the linear programmes of policies take: one slot's, the receding window's, the offline optimum's.

    python bench/policy_speed.py [--signals DIR]

Medians, on the scenarios `paper` and `paper_partial` (457 hours, ten gateways and regions): of a call of `plan` for the
policies, of five whole solves for the optimum. DIR: a folder in the authors' layout instead of the shipped signals.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np

from glbdes import policy
from glbdes.engine import fluid
from glbdes.optimum import offline
from glbdes.scenario import model as scenario
from glbdes.world import Floats, Policy, SlotRecord, View, World, build

POLICIES = ("eglb", "eglb_simplex", "eglb_ahead", "receding_horizon")


class Timed:
    """A policy and the seconds that each of its plans took."""

    def __init__(self, chosen: Policy) -> None:
        self.chosen, self.took_s = chosen, list[float]()
        if hasattr(chosen, "observe"):
            self.observe = chosen.observe

    def plan(self, view: View) -> Floats:
        begin_s = time.perf_counter()
        weights = self.chosen.plan(view)
        self.took_s.append(time.perf_counter() - begin_s)
        return weights


class Nowhere:
    """A sink that keeps nothing."""

    def requests(self, chunk: object) -> None:
        pass

    def slot(self, record: SlotRecord) -> None:
        pass


def solved_s(world: World, merged: bool, times: int = 5) -> float:
    took_s = []
    for _ in range(times):
        begin_s = time.perf_counter()
        offline.solve(world, merged=merged)
        took_s.append(time.perf_counter() - begin_s)
    return statistics.median(took_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--signals", type=Path)
    signals = parser.parse_args().signals
    print("| | " + " | ".join(("full", "partial")) + " |\n|---|---|---|")
    made = []
    for name in ("paper", "paper_partial"):
        loaded, path = scenario.load(name, [])
        made.append(build.build(loaded, path.parent, signals))
    for name in POLICIES:
        cells = []
        for world in made:
            timed = Timed(policy.load(name, {}))
            fluid.run(world, timed, Nowhere(), policy_name=name)
            cells.append(f"{1e6 * float(np.median(timed.took_s)):,.0f} us")
        print(f"| a plan of `{name}` | {' | '.join(cells)} |", flush=True)
    for label, merged in (("offline optimum", True), ("the same, in flows, gateways apart", False)):
        print(f"| {label} | {' | '.join(f'{1e3 * solved_s(world, merged):,.0f} ms' for world in made)} |", flush=True)


if __name__ == "__main__":
    main()
