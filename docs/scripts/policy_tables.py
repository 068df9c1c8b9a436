"""The tables of docs/policies.md that compare policies with the optimum: robustness, forecasts, known demand.

python docs/scripts/policy_tables.py robustness           twenty draws of synthetic signals, none of them used to choose
python docs/scripts/policy_tables.py forecasts DIR        the authors' files, one future known at a time
python docs/scripts/policy_tables.py demand DIR           the same, policies that know the last slot's demand only
python docs/scripts/policy_tables.py steps                the draws that defaults were chosen on
python docs/scripts/policy_tables.py rules DIR            eglb's step-size rules: the authors' files, twenty draws
python docs/scripts/policy_tables.py sizes DATA           fleets of 3 to 30 regions on real signals; DATA: real/, paper/
python docs/scripts/policy_tables.py authors DIR          the authors' files at full and at half load
python docs/scripts/policy_tables.py delay                what a price of delay does to llm10, hour by hour
"""

import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import real_worlds

from glbdes import policy
from glbdes.engine import fluid
from glbdes.optimum import offline
from glbdes.policy.receding import RecedingHorizon
from glbdes.scenario import model as scenario
from glbdes.signals import synthetic
from glbdes.world import Floats, Policy, SlotRecord, World, build, meter

CHOSEN_ON = range(100, 112)  # seeds of the draws that defaults were chosen on
TESTED_ON = range(200, 220)
REST = "cost over the optimum's | carbon PAR | water PAR |"
DAY_AHEAD = "known_ahead.price=day_ahead"

# Name in the table, name and arguments of the policy, whether tomorrow's prices are known.
ONLINE = (
    ("`eglb`", "eglb", {}, False),
    ('`eglb` as published, `map = "euclidean"`', "eglb", {"map": "euclidean"}, False),
    ("`eglb_simplex`", "eglb_simplex", {}, False),
    ("`eglb_ahead`, `window_h = 24`", "eglb_ahead", {"window_h": 24.0}, False),
    ("`receding_horizon`", "receding_horizon", {}, False),
    ("`eglb_ahead`, prices known a day ahead", "eglb_ahead", {}, True),
    ("`receding_horizon`, prices known a day ahead", "receding_horizon", {}, True),
)
GREEDY = (("`cost`", "cost", {}, False), ("`cost_carbon_water`", "cost_carbon_water", {}, False))


class Reached(NamedTuple):
    """What a policy comes to in the fluid model; cost relative to the optimum's."""

    over_optimum: float
    cost_over_optimum: float
    carbon_par: float
    water_par: float
    beyond_capacity: float = 0.0  # share of the load


class Totals:
    """A sink that sums up cost, carbon and water of the regions, [3, r], and load, also that beyond capacities."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sums = np.zeros((3, world.regions))
        self.load = self.beyond = self.network_s = 0.0

    def requests(self, chunk: object) -> None:
        """A flow has none."""

    def slot(self, record: SlotRecord) -> None:
        caused = meter.footprint(meter.slot_energy(self.world, record).it_kwh, self.world.signals, record.slot)
        self.sums += np.stack((caused.cost_usd, caused.carbon_kg, caused.water_l))
        load_rps = record.demand_rps @ record.weights
        self.load += float(load_rps.sum())
        travel_s = 2 * self.world.latency_s * record.weights
        self.network_s += float((record.demand_rps[:, None] * travel_s).sum())
        self.beyond += float(np.maximum(load_rps - self.world.capacity_rps, 0.0).sum())


def reached(world: World, optimum: offline.Optimum, chosen: Policy) -> Reached:
    sink = Totals(world)
    fluid.run(world, chosen, sink, policy_name=type(chosen).__name__)
    usd, carbon, water = sink.sums
    objective = usd.sum() + world.carbon_usd_per_kg * carbon.max() + world.water_usd_per_l * water.max()
    over = (objective / optimum.objective_usd - 1, usd.sum() / optimum.cost_usd.sum() - 1)
    return Reached(*map(float, over), par(carbon), par(water), sink.beyond / sink.load)


def par(footprint: Floats) -> float:
    return float(footprint.max() / footprint.mean())


def worlds(name: str, signals: Path | None, *settings: str) -> tuple[World, World]:
    """The world of a scenario as a flow, and the same with tomorrow's prices known."""
    made = []
    for more in ((), (DAY_AHEAD,)):
        loaded, path = scenario.load(name, [*settings, *more])
        made.append(build.build(loaded, path.parent, signals).flow)
    return made[0], made[1]


def drawn(seed: int, folder: Path, name: str = "paper") -> tuple[World, World]:
    """As `worlds`, on an unmatched draw."""
    signals, load = folder / f"signals{seed}.csv", folder / f"load{seed}.csv"
    synthetic.write(synthetic.signals(seed, matched=False), signals)
    synthetic.write(synthetic.load(seed, matched=False), load)
    return worlds(name, None, f'signals.source="{signals}"', f'workload.load_file="{load}"')


def robustness(seeds: Iterable[int] = TESTED_ON) -> None:
    names = (*ONLINE, *GREEDY)
    found: dict[str, list[Reached]] = {label: [] for label, *_ in names}
    found["offline optimum"] = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            plain, told = drawn(seed, Path(folder))
            optimum = offline.solve(plain)
            for label, name, arguments, ahead in names:
                chosen = policy.load(name, arguments)
                found[label].append(reached(told if ahead else plain, optimum, chosen))
            found["offline optimum"].append(Reached(0, 0, par(optimum.carbon_kg), par(optimum.water_l)))
            print(f"seed {seed} done", file=sys.stderr, flush=True)
    print(f"| policy | over the optimum: mean | worst | {REST}")
    print("|---|---|---|---|---|---|")
    for label, rows in found.items():
        mean = Reached(*np.mean(rows, axis=0))
        worst = max(row.over_optimum for row in rows)
        print(f"| {label} | {percent(mean.over_optimum)} | {percent(worst)} {rest(mean)}")


def forecasts(folder: Path) -> None:
    """What perfect knowledge of one future is worth to the receding programme, all else as in the last three days."""
    print(f"| known of the whole future | over the optimum | {REST}")
    print("|---|---|---|---|---|")
    plain, _ = worlds("paper", folder)
    optimum = offline.solve(plain)
    for knows in ((), ("price",), ("carbon",), ("water",), ("demand",), ("price", "carbon", "water", "demand")):
        row = reached(plain, optimum, RecedingHorizon(truth=plain, knows=knows))
        label = "nothing" if not knows else "all" if len(knows) == 4 else knows[0]
        print(f"| {label} | {percent(row.over_optimum)} {rest(row)}", flush=True)


def demand(folder: Path) -> None:
    for name in ("paper", "paper_partial"):
        print(f"| policy, {name} | demand known | only that of the last slot | beyond capacity | {REST}")
        print("|---|---|---|---|---|---|---|")
        known, last = worlds(name, folder), worlds(name, folder, "dispatch.demand=last")
        optimum = offline.solve(known[0])
        for label, policy_name, arguments, ahead in ONLINE:
            one = reached(known[ahead], optimum, policy.load(policy_name, arguments))
            metered = arguments | {"feedback": "metered"}
            other = reached(last[ahead], optimum, policy.load(policy_name, metered))
            print(
                f"| {label} | {percent(one.over_optimum)} | {percent(other.over_optimum)} "
                f"| {percent(other.beyond_capacity)} {rest(other)}",
                flush=True,
            )


def steps() -> None:
    tried: list[tuple[str, dict[str, object], bool]] = [
        ("eglb", {"map": mirror, "rule": rule, "step": step}, False)
        for mirror, rule in (("entropic", "scaled"), ("entropic", "constant"), ("euclidean", "constant"))
        for step in (0.3, 0.45, 0.6, 0.9)
    ]
    tried += [("eglb", {"z_max": z_max}, False) for z_max in (1.0, 1.5, 3.0)]
    tried += [("eglb_simplex", {"step": step}, False) for step in (0.3, 0.45, 0.5, 0.56, 0.7, 0.9)]
    tried += [
        ("eglb_ahead", {"step": step, "damping": damping}, True)
        for step in (0.35, 0.5, 0.7, 1.0)
        for damping in (0.05, 0.1, 0.2, 0.4)
    ]
    with tempfile.TemporaryDirectory() as folder:
        made = [drawn(seed, Path(folder)) for seed in CHOSEN_ON]
    optima = [offline.solve(plain) for plain, _ in made]
    for name, arguments, ahead in tried:
        over = [
            reached(pair[ahead], optimum, policy.load(name, arguments)).over_optimum
            for pair, optimum in zip(made, optima, strict=True)
        ]
        print(name, arguments, f"mean {percent(float(np.mean(over)))}, worst {percent(max(over))}", flush=True)


def rules(folder: Path) -> None:
    """With the default step, whatever the rule."""
    print(f"| map | rule | full | partial | draws: mean | worst | {REST}")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as made:
        draws = [drawn(seed, Path(made))[0] for seed in TESTED_ON]
    given = [worlds(name, folder)[0] for name in ("paper", "paper_partial")]
    all_worlds = [*given, *draws]
    optima = [offline.solve(world) for world in all_worlds]
    for mirror in ("entropic", "euclidean"):
        for rule in (*(("scaled",) if mirror == "entropic" else ()), "constant", "sqrt", "adagrad"):
            rows = [
                reached(world, optimum, policy.load("eglb", {"map": mirror, "rule": rule}))
                for world, optimum in zip(all_worlds, optima, strict=True)
            ]
            over = [row.over_optimum for row in rows]
            figures = (*over[:2], float(np.mean(over[2:])), max(over[2:]))
            print(f"| {mirror} | {rule} | {' | '.join(map(percent, figures))} {rest(rows[0])}", flush=True)


GAPS = (
    ("`eglb_simplex`", "eglb_simplex", {}),
    ("`eglb`", "eglb", {}),
    ('`eglb`, `rule = "constant"`', "eglb", {"rule": "constant"}),
    ("`eglb` as published", "eglb", {"map": "euclidean"}),
    ("`eglb_ahead`", "eglb_ahead", {}),
    ("`eglb_ahead`, `window_h = 24`", "eglb_ahead", {"window_h": 24.0}),
    ("`receding_horizon`", "receding_horizon", {}),
)


def gaps(cases: dict[str, World]) -> None:
    """How far over the optimum policies end, and how many times as far as `eglb_simplex`."""
    print(f"| | {' | '.join(label for label, *_ in GAPS)} |")
    print(f"|---|{'---|' * len(GAPS)}")
    for case, world in cases.items():
        optimum = offline.solve(world)
        over = [reached(world, optimum, policy.load(name, arguments)).over_optimum for _, name, arguments in GAPS]
        cells = [f"{percent(gap)} ({gap / over[0]:.2f})" for gap in over]
        print(f"| {case} | {' | '.join(cells)} |", flush=True)


def sizes(data: Path) -> None:
    gaps(
        {
            f"{regions} regions, {told} load": real_worlds.made(data, regions, real_worlds.HOURS_MAX, load)
            for told, load in (("full", 0.85), ("half", 0.425))
            for regions in (3, 10, 16, 30)
        }
    )


def authors(folder: Path) -> None:
    gaps(
        {
            f"`{name}`, {told} load": worlds(name, folder, f"workload.load_scale={load}")[0]
            for name in ("paper", "paper_partial")
            for told, load in (("full", 1.0), ("half", 0.5))
        }
    )


class Knob(NamedTuple):
    """What a price of delay leaves of the rest of the objective; delay itself is not counted."""

    usd_per_s: float
    label: str
    network_ms: float  # of a request, both ways
    rest_usd: float  # cost + priced largest carbon and water
    cost_usd: float
    carbon_par: float
    water_par: float


def knob() -> list[Knob]:
    """The offline optimum and an online policy, hour by hour."""
    found = []
    for price in (0.0, 1e-6, 1e-5, 3e-5, 1e-4, 2e-4, 5e-4, 1e-3):
        world, _ = worlds("llm10", None, f"objective.delay_usd_per_s={price}")
        replayed = offline.Replay(offline.solve(world).weights)
        for label, chosen in (("offline optimum", replayed), ("eglb", policy.load("eglb", {}))):
            sink = Totals(world)
            fluid.run(world, chosen, sink, policy_name=label)
            usd, carbon, water = sink.sums
            equity_usd = world.carbon_usd_per_kg * carbon.max() + world.water_usd_per_l * water.max()
            amounts = (1e3 * sink.network_s / sink.load, usd.sum() + equity_usd, usd.sum(), par(carbon), par(water))
            found.append(Knob(price, label, *map(float, amounts)))
    return found


def delay() -> None:
    print("| USD per second | policy | network, ms | cost + carbon + water, USD | cost, USD | carbon PAR | water PAR |")
    print("|---|---|---|---|---|---|---|")
    for row in knob():
        amounts = f"{row.network_ms:.1f} | {row.rest_usd:,.0f} | {row.cost_usd:,.0f}"
        print(f"| {row.usd_per_s:g} | {row.label} | {amounts} | {row.carbon_par:.3f} | {row.water_par:.3f} |")


def percent(share: float) -> str:
    return f"{100 * round(share, 4) + 0.0:+.2f} %"  # + 0.0: no negative zero


def rest(row: Reached) -> str:
    return f"| {percent(row.cost_over_optimum)} | {row.carbon_par:.3f} | {row.water_par:.3f} |"


TABLES: dict[str, Callable[..., None]] = {
    "robustness": robustness,
    "forecasts": forecasts,
    "demand": demand,
    "steps": steps,
    "rules": rules,
    "sizes": sizes,
    "authors": authors,
    "delay": delay,
}

if __name__ == "__main__":
    TABLES[sys.argv[1]](*map(Path, sys.argv[2:]))
