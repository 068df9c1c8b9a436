"""The table of docs/validation.md that holds the bound against what policies meter.

python docs/scripts/bound_table.py [SIMULATED_S [SLOTS]]

llm10 with full flexibility and within continents, at four loads, on the shipped signals and two other draws, every
built-in policy and the replayed optimum on the fast engine. SIMULATED_S seconds of each hour (8) of SLOTS hours (72).
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from glbdes import simulate
from glbdes.optimum import bound
from glbdes.policy import BUILT_IN
from glbdes.scenario import model as scenario
from glbdes.signals import synthetic
from glbdes.study.run import OFFLINE
from glbdes.world import build

LOADS = (0.4, 0.6, 0.85, 1.0)
DRAWS = (None, 200, 201)  # seeds of signals and load; None: the shipped ones
CONTINENTS = (
    ("texas", "virginia", "georgia", "nevada"),
    ("germany", "belgium", "netherlands", "denmark"),
    ("japan", "singapore"),
)
PARTIAL = tuple(f"gateways.{name}.regions={list(own)!r}" for own in CONTINENTS for name in own)
MASKS = {"full": (), "continents": PARTIAL}
BLIND = ("nearest", "uniform", "cost", "carbon", "water", "cost_carbon", "cost_carbon_water")  # no eye on the largest


class Found(NamedTuple):
    """One world: its bound and each policy's metered objective, USD."""

    bound_usd: float
    objective_usd: dict[str, float]
    lost: int  # requests that were not served, of all policies

    def over(self, name: str) -> float:
        return (self.objective_usd[name] - self.bound_usd) / abs(self.bound_usd)


def worlds(simulated_s: float, slots: int, folder: Path) -> Iterator[tuple[str, float, str, tuple[str, ...]]]:
    """Mask, load, draw and settings of every world."""
    for draw in DRAWS:
        drawn: tuple[str, ...] = ()
        if draw is not None:
            signals, load = folder / f"signals{draw}.csv", folder / f"load{draw}.csv"
            synthetic.write(synthetic.signals(draw, matched=False), signals)
            synthetic.write(synthetic.load(draw, matched=False), load)
            drawn = (f'signals.source="{signals}"', f'workload.load_file="{load}"')
        for mask, allowed in MASKS.items():
            for load_scale in LOADS:
                room = max(0.9, load_scale)  # llm10's own 0.9, unless the load needs more
                settings = (
                    f"time.slots={slots}",
                    f"time.simulated_s_per_slot={simulated_s}",
                    f"workload.load_scale={load_scale}",
                    f"dispatch.max_utilisation={room}",
                    "records.requests=none",
                    "serving.scheduler=prefill_first",
                )
                yield mask, load_scale, "shipped" if draw is None else str(draw), (*settings, *allowed, *drawn)


def measured(settings: tuple[str, ...]) -> Found:
    chosen, path = scenario.load("llm10", settings)
    told = bound.reference(build.build(chosen, path.parent), by_request=True)
    assert told is not None
    assert not told.doubts
    objective_usd, lost = {}, 0
    for name in (*BUILT_IN, OFFLINE):
        figures = simulate("llm10", policy=name, engine="fast", overrides=settings).summary
        objective_usd[name] = figures["objective_usd"]
        lost += figures["requests"]["total"] - figures["requests"]["served"]
    return Found(told.usd, objective_usd, lost)


def percent(share: float) -> str:
    return f"{100 * share:+.1f} %"


def main(simulated_s: float = 8.0, slots: int = 72) -> None:
    print("| mask | load | draw | bound, USD | `offline` | best online | | `eglb` | `nearest` | lowest of all | lost |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for mask, load, draw, settings in worlds(simulated_s, slots, Path(folder)):
            found = measured(settings)
            online = [name for name in BUILT_IN if name not in BLIND]
            best = min(online, key=found.objective_usd.__getitem__)
            least = min(found.objective_usd, key=found.objective_usd.__getitem__)
            cells = (
                found.over(OFFLINE),
                found.over(best),
                found.over("eglb"),
                found.over("nearest"),
                found.over(least),
            )
            offline, first, eglb, nearest, lowest = map(percent, cells)
            print(
                f"| {mask} | {load:g} | {draw} | {found.bound_usd:,.1f} | {offline} | `{best}` | {first} | {eglb} "
                f"| {nearest} | {lowest} (`{least}`) | {found.lost} |",
                flush=True,
            )


if __name__ == "__main__":
    main(*(kind(word) for kind, word in zip((float, int), sys.argv[1:], strict=False)))
