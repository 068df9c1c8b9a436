"""The paper's setting as a world, from the authors' files in the data folder beside the checkout.

Ten regions of 1 MW, a gateway in each with the same load; a "request" is one unit of load (1 MW) for one second.
"""

import csv
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from glbdes.engine import fluid
from glbdes.policy import load
from glbdes.signals import Signals
from glbdes.units import G_PER_KG, KG_PER_T, KWH_PER_MWH, L_PER_M3, S_PER_H
from glbdes.world import Policy, World, meter
from tests.worlds import ListSink, make_fleet, make_requests, make_signals, make_world

FOLDER = Path(__file__).resolve().parents[1] / "../shared/data/paper"
REGIONS = ["Texas", "Virginia", "Georgia", "Nevada", "Germany"]
REGIONS += ["Belguim", "Netherlands", "Denmark", "Japan", "Singapore"]  # their spelling
SLOTS = 457
MASK = "1111000000 1111111100 1111111100 1111000011 0110111100 0110111100 0110111100 0110111100 0001000011 0001000011"
PARTIAL = np.array([[digit == "1" for digit in row] for row in MASK.split()]).T  # [g, r]


def column(file: Path, name: str) -> np.ndarray:
    with file.open(newline="") as lines:
        return np.array([float(row[name]) for row in csv.DictReader(lines)])[:SLOTS]


def signal(kind: str, name: str) -> np.ndarray:
    """[s, r]"""
    files = {file.name.split("_")[0]: file for file in (FOLDER / kind).iterdir()}
    return np.stack([column(files[region], name) for region in REGIONS], axis=1)


def paper_world(allowed: np.ndarray | bool = True, slots: int = SLOTS) -> World:
    """Capacity 1 MW a region, so a unit of load is 1 MW and an hour of it 1 MWh. Skips the test without the data."""
    if not FOLDER.exists():
        pytest.skip("needs the authors' signals in ../shared/data/paper")
    signals = make_signals(
        SLOTS,
        len(REGIONS),
        price_usd_per_kwh=signal("price", "Price (USD/MWh)") / KWH_PER_MWH,
        carbon_g_per_kwh=signal("carbon", "Carbon (kg/kWh)") * G_PER_KG,
        wue_l_per_kwh=signal("water", " WUE (L/kWh)"),
        ewif_l_per_kwh=0.0,
        pue=1.0,
    )
    load_mw = column(FOLDER / "AI_workload.csv", "Power (Watt)") / 2708
    latency_ns = np.where(np.eye(len(REGIONS)) > 0, 0, 10**7)
    world = make_world(
        make_requests([]),
        slots=slots,
        gateways=len(REGIONS),
        regions=len(REGIONS),
        fleet=make_fleet(len(REGIONS), host_w=0.0),
        latency_ns=latency_ns,
        allowed=allowed,
        signals=signals,
        capacity_rps=1.0,
        it_kwh_per_request=KWH_PER_MWH / S_PER_H,
    )
    return replace(world, expected_rps=np.repeat(load_mw[:slots, None], len(REGIONS), axis=1))


def stretch(world: World, first: int, slots: int, load: float = 1.0) -> World:
    """`slots` slots of `world` from `first` on, with its load times `load`."""
    columns = {field.name: getattr(world.signals, field.name)[first : first + slots] for field in fields(Signals)}
    signals = Signals(**columns)
    expected_rps = world.expected_rps[first : first + slots] * load
    return replace(world, slots=slots, signals=signals, seen=signals, expected_rps=expected_rps)


def totals(world: World, policy: Policy) -> dict[str, np.ndarray]:
    """Cost, carbon and water of each region [r] over the horizon, in USD, t and m3."""
    sink = ListSink()
    fluid.run(world, policy, sink, policy_name="paper")
    return footprints(world, sink)


def footprints(world: World, sink: ListSink) -> dict[str, np.ndarray]:
    """What the meters of a run come to, in the units of `totals`."""
    parts = [
        meter.footprint(meter.slot_energy(world, record).it_kwh, world.signals, record.slot) for record in sink.slots
    ]
    return {
        "cost": sum(part.cost_usd for part in parts),
        "carbon": sum(part.carbon_kg for part in parts) / KG_PER_T,
        "water": sum(part.water_l for part in parts) / L_PER_M3,
    }


def objective_usd(total: dict[str, np.ndarray]) -> float:
    """The paper's: energy cost + 1500 USD/t x largest carbon + 60 USD/m3 x largest water."""
    return float(total["cost"].sum() + 1500 * total["carbon"].max() + 60 * total["water"].max())


def par(footprint: np.ndarray) -> float:
    return float(footprint.max() / footprint.mean())


def best_greedy(world: World) -> float:
    """The lowest objective among policies that learn nothing."""
    names = ("nearest", "cost", "cost_carbon", "cost_carbon_water")
    return min(objective_usd(totals(world, named(name))) for name in names)


def named(name: str, **arguments: object) -> Policy:
    return load(name, arguments)
