"""The offline optimum as figures: those of a run's summary.json that exist without requests, and its certificate."""

import time
from collections.abc import Sequence

import numpy as np

from glbdes.optimum import bound, offline
from glbdes.records.metrics import Summary
from glbdes.units import NS_PER_S
from glbdes.world import Floats, World, meter
from glbdes.world.pools import summed


def summary(world: World, regions: Sequence[str], by_request: bool) -> Summary:
    """Solve `world` offline and sum up: objective, PAR, totals and regions under the names of `metrics.summary`.

    With `by_request` it reckons as runs with requests are bounded (`bound`): `bound_usd` is what no plan can meter less
    than, and `doubts` says why it may be none. Without, it is the optimum of the flow.

    `regions.NAME.requests` counts expected requests as simulated, `utilisation` is None: a flow keeps nobody busy.
    `certificate` holds the dual solution's value, which no plan can beat, and how far it is from the plan's.
    Raises what `offline.solve` raises.
    """
    world = world if by_request else world.flow
    begin_s = time.perf_counter()
    found = offline.solve(world)
    duals = _duals(world, found)
    solve_s = time.perf_counter() - begin_s
    amounts = _amounts(world, found)
    return {
        "by_request": by_request,
        "bound_usd": found.objective_usd - bound.slack_usd(world) if by_request else None,
        "doubts": list(bound.doubts(world)) if by_request else [],
        "objective_usd": found.objective_usd,
        "certificate": {
            "dual_usd": found.dual_usd,
            "gap": abs(found.objective_usd - found.dual_usd) / max(abs(found.objective_usd), 1.0),
        },
        "footprints": {one.name: one.unit for one in world.footprints},
        "par": {one.name: _par(amounts[one.column]) for one in world.footprints},
        "totals": {key: float(amounts[key].sum()) for key in amounts if key not in ("requests", "load")}
        | {"network_s": found.network_s, "waiting_s": found.waiting_s},
        "regions": {
            name: {
                key: round(float(values[r])) if key == "requests" else float(values[r])
                for key, values in amounts.items()
            }
            | {"utilisation": None}
            for r, name in enumerate(regions)
        },
        "duals": {name: dict(zip(regions, usd.tolist(), strict=True)) for name, usd in duals.items()},
        "solve_s": solve_s,
    }


def _amounts(world: World, found: offline.Optimum) -> dict[str, Floats]:
    """What each region [r] comes to under the optimal plan."""
    load_rps = (world.expected_rps[:, :, None] * found.weights).sum(axis=1)
    it_kwh = offline.it_kwh(world, load_rps)
    capacity_rps, sent_rps = summed(world.capacity_rps, world.region_of), summed(load_rps, world.region_of)
    amounts = {
        "cost_usd": found.cost_usd,
        "carbon_kg": found.carbon_kg,
        "water_l": found.water_l,
        **{one.column: found.further[k] for k, one in enumerate(world.further)},
        "embodied_kg": meter.embodied_kg(world) * world.slots,
        "it_kwh": it_kwh.sum(axis=0),
        "facility_kwh": (it_kwh * world.signals.pue[: world.slots]).sum(axis=0),
        "requests": load_rps.sum(axis=0) * (world.slot_ns / NS_PER_S),
    }
    amounts = {key: summed(values, world.region_of) for key, values in amounts.items()}
    return amounts | {"load": (sent_rps / capacity_rps).mean(axis=0)}


def _duals(world: World, found: offline.Optimum) -> dict[str, Floats]:
    """Dual prices of footprints in each region; all pools of a region have the same."""
    first = slice(None) if world.region_of is None else np.unique(world.region_of, return_index=True)[1]
    named = {"carbon_usd_per_kg": found.carbon_usd_per_kg, "water_usd_per_l": found.water_usd_per_l}
    named |= {f"{one.name}_usd_per_{one.unit}": usd for one, usd in zip(world.further, found.further_usd, strict=True)}
    return {name: usd[first] for name, usd in named.items()}


def _par(footprint: Floats) -> float | None:
    return float(footprint.max() / footprint.mean()) if footprint.mean() > 0 else None
