"""The tables of docs/policies.md on least travel: the same plans with and without it.

python docs/scripts/travel_table.py fluid DATA      a week of real signals, sixteen regions; DATA holds real/ and paper/
python docs/scripts/travel_table.py requests [DIR]  llm10 request by request, and what rules of dispatch make of it
"""

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import real_worlds
from policy_tables import par

from glbdes import policy, simulate
from glbdes.engine import fluid
from glbdes.optimum import offline, travel
from glbdes.world import Floats, Policy, SlotRecord, World, meter

FLUID = ("cost", "cost_carbon_water", "eglb", "eglb_simplex", "eglb_ahead", "receding_horizon", "offline optimum")


@contextmanager
def far() -> Iterator[None]:
    """Without least travel: plans as their programmes leave them."""
    least = travel.least
    travel.least = lambda weights, *_: weights
    try:
        yield
    finally:
        travel.least = least


class Way:
    """A sink: regional cost, carbon and water [3, r], network seconds, and the load that stays where it came from."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sums: Floats = np.zeros((3, world.regions))
        self.network_s = self.home = self.load = 0.0

    def requests(self, chunk: object) -> None:
        """A flow has none."""

    def slot(self, record: SlotRecord) -> None:
        caused = meter.footprint(meter.slot_energy(self.world, record).it_kwh, self.world.signals, record.slot)
        self.sums += np.stack((caused.cost_usd, caused.carbon_kg, caused.water_l))
        sent = record.demand_rps[:, None] * record.weights
        self.network_s += 2 * self.world.slot_s * float((sent * self.world.latency_s).sum())
        self.home += float(np.trace(sent))
        self.load += float(sent.sum())


def asked(name: str, world: World) -> Policy:
    return offline.Replay(offline.solve(world).weights) if name == "offline optimum" else policy.load(name, {})


def of_a_flow(data: Path) -> None:
    world = real_worlds.made(data, regions=16, slots=168, load=0.85)
    print("| policy | least travel | objective, USD | cost, USD | carbon PAR | water PAR | network, s | at home |")
    print("|---|---|---|---|---|---|---|---|")
    for name in FLUID:
        for near in (False, True):
            way = Way(world)
            if near:
                fluid.run(world, asked(name, world), way, policy_name=name)
            else:
                with far():
                    fluid.run(world, asked(name, world), way, policy_name=name)
            usd, carbon, water = way.sums
            mu = world.carbon_usd_per_kg * carbon.max() + world.water_usd_per_l * water.max()
            pars = f"{par(carbon):.4f} | {par(water):.4f}"
            money = f"{usd.sum() + mu:,.4f} | {usd.sum():,.4f} | {pars}"
            told = f"{money} | {way.network_s:,.0f} | {100 * way.home / way.load:.1f} %"
            print(f"| {name} | {'yes' if near else 'no'} | {told} |", flush=True)


RULES = (
    ("smooth", ()),
    ("weighted", ("dispatch.rule=weighted",)),
    ("plan_least_loaded", ("dispatch.rule=plan_least_loaded",)),
    *((f"spillover, queue {n}", ("dispatch.rule=spillover", f"dispatch.spill_queue={n}")) for n in (8, 2, 0)),
)


def of_requests(folder: Path | None = None) -> None:
    """The compiled engine writes each run into `folder`, or nowhere that stays."""
    columns = ("least travel", "dispatch", "TTFT mean, ms", "p50", "p95", "p99", "network, h", "waiting, h")
    print(f"| {' | '.join(columns)} | cost, USD | carbon PAR | water PAR |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as made:
        for near in (False, True):
            for label, settings in RULES if near else RULES[:1]:
                out = (folder or Path(made)) / f"{'near' if near else 'far'} {label}"
                chosen = {
                    "policy": "eglb_simplex",
                    "overrides": ("engine=fast", "serving.scheduler=prefill_first", *settings),
                    "out": out,
                }
                if near:
                    run = simulate("llm10", **chosen, overwrite=True)
                else:
                    with far():
                        run = simulate("llm10", **chosen, overwrite=True)
                print(f"| {'yes' if near else 'no'} | {label} | {told_of(run.summary)} |", flush=True)


def told_of(summary: dict[str, Any]) -> str:
    ttft, totals, pars = summary["latency_s"]["ttft"], summary["totals"], summary["par"]
    times = " | ".join(f"{1e3 * ttft[key]:.0f}" for key in ("mean", "p50", "p95", "p99"))
    delays = f"{totals['network_s'] / 3600:,.0f} | {totals['waiting_s'] / 3600:,.0f}"
    return f"{times} | {delays} | {totals['cost_usd']:.1f} | {pars['carbon']:.3f} | {pars['water']:.3f}"


TABLES: dict[str, Callable[..., None]] = {"fluid": of_a_flow, "requests": of_requests}

if __name__ == "__main__":
    TABLES[sys.argv[1]](*map(Path, sys.argv[2:]))
