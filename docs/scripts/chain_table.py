"""The tables of docs/policies.md on `eglb_chain`: months of real signals, drawn ones, and what its constants do.

python docs/scripts/chain_table.py months DATA 16  DATA: with real/ in it (docs/data.md); eight months, 8 or 16 regions
python docs/scripts/chain_table.py draws 1.0       twenty draws of synthetic signals, none of them used to choose
python docs/scripts/chain_table.py constants       the draws that defaults were chosen on
python docs/scripts/chain_table.py requests        llm10, request by request, three draws of requests

Carbon, on-site water and load as in `real_worlds`: eight grid zones. Prices of 2023 may not be shared, so those here
are drawn, with the statistics of real ones of the same or a similar market (`glbdes.signals.synthetic`, seed 2023). "16
regions" are the eight, and each again as it was half a year before or after. Months have the two before as history.
"""

import sys
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import policy_tables
import real_worlds

import glbdes
from glbdes import policy
from glbdes.optimum import offline
from glbdes.policy.simplex import EGLBSimplex
from glbdes.scenario import model as scenario
from glbdes.signals import Signals, synthetic
from glbdes.world import Floats, World, build

HISTORY_H = 1440  # the most that a scenario shows by default
SLOTS = 720  # of a draw
CHOSEN_ON = range(100, 112)  # draws, and months of 2023, that defaults were chosen on
CHOSEN_IN = (3, 7)
TESTED_ON = range(200, 220)
MONTHS = range(3, 13)
MARKETS = ("texas", "virginia", "nevada", "georgia", "germany", "japan", "singapore", "belgium")  # whose prices

# Name in the table, policy and arguments, hours of history, whether tomorrow's prices are known.
ROWS: tuple[tuple[str, str, dict[str, Any], int, bool], ...] = (
    ("`eglb_simplex`", "eglb_simplex", {}, 0, False),
    ("`eglb_chain`, no history", "eglb_chain", {}, 0, False),
    ("`eglb_chain`, a week of history", "eglb_chain", {}, 168, False),
    ("`eglb_chain`, one month", "eglb_chain", {}, 720, False),
    ("`eglb_chain`, two months", "eglb_chain", {}, HISTORY_H, False),
    ("the same, prices known a day ahead", "eglb_chain", {}, HISTORY_H, True),
)


@cache
def _base(regions: int, slots: int) -> World:
    """A fleet of regions of 1 MW with a gateway each, and constant signals, as a flow."""
    lines = ['name = "months"', 'engine = "fluid"', f"[time]\nslots = {slots}\nslot_s = 3600.0"]
    lines += ["[dispatch]\nmax_utilisation = 1.0", '[policy]\nname = "eglb_simplex"']
    lines += ["[objective]\ncarbon_usd_per_t = 1500.0\nwater_usd_per_m3 = 60.0"]
    constant = "price_usd_per_kwh = 0.1\ncarbon_g_per_kwh = 300.0\nwue_l_per_kwh = 1.0\newif_l_per_kwh = 2.0\npue = 1.1"
    for r in range(regions):
        place = f"latitude_deg = 0.0\nlongitude_deg = {r}.0"
        lines += [f"[regions.r{r}]\ncapacity = 1.0\n{constant}\n{place}", f"[gateways.r{r}]\nload = 0.5\n{place}"]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "months.toml").write_text("\n".join(lines))
        loaded, path = scenario.load(str(Path(folder) / "months.toml"))
        return build.build(loaded, path.parent).flow


def _made(series: dict[str, Floats], history: int, load: Floats) -> World:
    """A world of `series` [hour, r], of which the first `history` hours are its past; `load` [slot, g]."""
    columns = [np.ascontiguousarray(series[name]) for name in list(Signals.__dataclass_fields__)[:-1]]
    every = Signals(*columns, stale_slots=np.zeros(columns[0].shape, dtype=np.int64))
    now, past = every.part(slice(history, None)), every.part(slice(history))
    return replace(_base(load.shape[1], len(load)), signals=now, seen=now, past=past, expected_rps=load)


def month(data: Path, number: int, regions: int, busiest: float) -> World:
    """A month of 2023, whose busiest hour asks for the share `busiest` of the fleet."""
    zones = real_worlds.ZONES
    series = {"price_usd_per_kwh": _prices(), "carbon_g_per_kwh": _stacked(data, real_worlds._carbon)}
    series["wue_l_per_kwh"] = _stacked(data, real_worlds._wue)
    half = 365 * 12  # hours
    series = {name: np.concatenate((one, np.roll(one, half, axis=0)), axis=1) for name, one in series.items()}
    begin, end = (_hour(datetime(2023 + m // 12, m % 12 + 1, 1)) for m in (number - 1, number))
    history = min(HISTORY_H, begin)
    series = {name: one[begin - history : end, :regions] for name, one in series.items()}
    series["ewif_l_per_kwh"] = np.full((end - begin + history, regions), real_worlds.EWIF_L_PER_KWH)
    series["pue"] = np.full((end - begin + history, regions), 1.1)
    load = np.stack([real_worlds._load(data, zone.offset_h, end - begin) for zone in (*zones, *zones)], axis=1)
    load = load[:, :regions]
    capacity = _base(regions, end - begin).capacity_rps.sum()
    return _made(series, history, load * busiest * capacity / load.sum(axis=1).max())


def _hour(moment: datetime) -> int:
    return int((moment - datetime(2023, 1, 1)).total_seconds()) // 3600


def _stacked(data: Path, read: Any) -> Floats:
    return np.stack([read(data, zone.name) for zone in real_worlds.ZONES], axis=1)


@cache
def _prices() -> Floats:
    """[hour of 2023, zone] USD/kWh, drawn."""
    table = synthetic.signals(2023, 8760, matched=False)
    return np.stack([table.loc[table.region == name, "price_usd_per_kwh"] for name in MARKETS], axis=1)


def draw(seed: int, scale: float = 1.0) -> World:
    """Ten regions and a load, drawn unmatched, with two months of history."""
    table = synthetic.signals(seed, HISTORY_H + SLOTS, matched=False)
    regions = list(dict.fromkeys(table.region))
    names = list(Signals.__dataclass_fields__)[:-1]
    series = {name: np.stack([table.loc[table.region == one, name] for one in regions], axis=1) for name in names}
    load = synthetic.load(seed, HISTORY_H + SLOTS, matched=False).load.to_numpy()[HISTORY_H:, None]
    return _made(series, HISTORY_H, scale * load * _base(len(regions), SLOTS).capacity_rps)


def known(world: World, history: int, ahead: bool) -> World:
    """`world` with its last `history` hours of the past only; prices told at 13:00 for the next day."""
    assert world.past is not None
    past = world.past.part(slice(len(world.past.pue) - history, None)) if history else None
    world = replace(world, past=past)
    if not ahead:
        return world
    hour = np.arange(world.slots)
    end = np.minimum(24 * (hour // 24 + 1 + (hour % 24 >= 13)), world.slots)
    return replace(world, price_ahead_slots=end - hour - 1)


def gaps(world: World) -> dict[str, float]:
    """How far over the optimum each row ends, in %."""
    optimum, found = offline.solve(world), {}
    for label, name, arguments, history, ahead in ROWS:
        chosen = policy.load(name, arguments)
        found[label] = 100 * policy_tables.reached(known(world, history, ahead), optimum, chosen).over_optimum
    return found


def table(columns: dict[str, Iterable[World]]) -> None:
    """Mean and worst gap of each row in each column's worlds, and in how many it is below that of `eglb_simplex`."""
    found: dict[str, list[dict[str, float]]] = {}
    for column, worlds in columns.items():
        found[column] = []
        for world in worlds:
            found[column].append(gaps(world))
            print(column, {label: round(gap, 2) for label, gap in found[column][-1].items()}, file=sys.stderr)
    print(f"| over the optimum, %: mean (worst), better | {' | '.join(found)} |\n|---|{'---|' * len(found)}")
    for label, *_ in ROWS:
        cells = []
        for rows in found.values():
            over = [row[label] for row in rows]
            better = sum(row[label] < row[ROWS[0][0]] for row in rows)
            cells.append(f"{np.mean(over):.2f} ({max(over):.2f}), {better} of {len(rows)}")
        print(f"| {label} | {' | '.join(cells)} |", flush=True)


def months(data: str, regions: str) -> None:
    """Those that constants were chosen in are left out."""
    if not (Path(data) / "real").exists():
        sys.exit(f"{Path(data) / 'real'}: not there, so no months of real signals")
    tested = (number for number in MONTHS if number not in CHOSEN_IN)
    table({f"{regions} regions": (month(Path(data), number, int(regions), 0.85) for number in tested)})


def draws(scale: str) -> None:
    table({f"{scale} of the load": (draw(seed, float(scale)) for seed in TESTED_ON)})


def constants() -> None:
    tried: list[dict[str, Any]] = [{}, *({"step": step} for step in (4.0, 6.0, 12.0, 18.0))]
    tried += [{"damping": share} for share in (0.03, 0.1, 0.2)] + [{"forget_h": hours} for hours in (12.0, 24.0, 100.0)]
    tried += [{"past_h": days * 24.0} for days in (14, 30)] + [{"simplex": share} for share in (0.15, 0.3, 0.5)]
    worlds = [draw(seed, scale) for scale in (1.0, 0.5) for seed in list(CHOSEN_ON)[:6]]
    optima = [offline.solve(world) for world in worlds]

    def over(make: Any) -> list[float]:
        pairs = zip(worlds, optima, strict=True)
        return [policy_tables.reached(world, optimum, make()).over_optimum for world, optimum in pairs]

    print("simplex", f"{100 * np.mean(over(EGLBSimplex)):.2f} %", flush=True)
    for arguments in tried:
        print(arguments, f"{100 * np.mean(over(lambda a=arguments: policy.load('eglb_chain', a))):.2f} %", flush=True)


PLAIN = ("records.requests=none", "serving.scheduler=prefill_first")


def requests() -> None:
    """llm10 as it is shipped: no history."""
    print("| seed | policy | objective, USD | cost, USD | carbon PAR | water PAR | TTFT p99, ms |")
    print("|---|---|---|---|---|---|---|")
    for seed in (1, 2, 3):
        for name in ("eglb_simplex", "eglb_chain"):
            found = glbdes.simulate("llm10", policy=name, seed=seed, overrides=PLAIN).summary
            amounts = f"{found['objective_usd']:,.1f} | {found['totals']['cost_usd']:,.1f}"
            pars = f"{found['par']['carbon']:.3f} | {found['par']['water']:.3f}"
            p99_ms = 1e3 * found["latency_s"]["ttft"]["p99"]
            print(f"| {seed} | `{name}` | {amounts} | {pars} | {p99_ms:.0f} |", flush=True)


if __name__ == "__main__":
    tables = {"months": months, "draws": draws, "constants": constants, "requests": requests}
    tables[sys.argv[1]](*sys.argv[2:])
