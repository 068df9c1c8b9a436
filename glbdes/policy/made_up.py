"""The made-up fleets that policies are checked on: what they are shown of them, and what comes of a plan."""

from dataclasses import dataclass, replace

import numpy as np

from glbdes.signals import Signals
from glbdes.units import S_PER_H
from glbdes.world import Bools, Floats, Ints, Outcome, View
from glbdes.world.arrays import FOOTPRINTS
from glbdes.world.frozen import freeze
from glbdes.world.pools import signals_at_pools

SLOTS = 24
SIGNALS = ("price_usd_per_kwh", "carbon_g_per_kwh", "wue_l_per_kwh", "ewif_l_per_kwh", "pue")


@dataclass(frozen=True, eq=False)
class Fleet:
    """A made-up fleet over `SLOTS` slots: arrays [s, r], [s, g] and [s, g, r]."""

    name: str
    signals: Signals
    demand_rps: Floats
    capacity_rps: Floats
    mask: Bools
    mu_usd: tuple[float, ...] = (1.5, 0.06)  # per kg, per L, and per unit of further footprints
    ahead: int = 0  # slots whose prices are known beforehand
    weight: float = 1.0  # of the last region's footprints
    norm: float = np.inf
    delay_usd_per_s: float = 0.0
    past: Signals | None = None  # from before the first slot
    elastic: bool = False  # do plans say how many replicas are awake?
    region_of: Ints | None = None  # [r] of pools; None: r counts regions
    first_of: Ints | None = None  # [r] of pools, the first of the same region and model; None: no two are alike


def view_of(fleet: Fleet, slot: int, sums: Floats) -> View:
    """What an engine would show, slices of the whole horizon included: the past must not be a way into the future."""
    gateways, regions = fleet.mask.shape[1:]
    now = {name: getattr(fleet.signals, name)[slot] for name in SIGNALS}
    view = View(
        slot=slot,
        slots=SLOTS,
        slot_s=float(S_PER_H),
        demand_rps=fleet.demand_rps[slot],
        capacity_rps=fleet.capacity_rps,
        it_kwh_per_request=np.linspace(1e-4, 2e-4, regions),
        base_kwh=np.linspace(2.0, 1.0, regions) * fleet.mask[slot].any(axis=0),
        **now,
        latency_s=np.abs(np.arange(gateways)[:, None] - np.arange(regions)) * 0.01,
        mask=fleet.mask[slot],
        past=fleet.signals.upto(slot) if fleet.past is None else fleet.signals.upto(slot).after(fleet.past),
        past_demand_rps=fleet.demand_rps[:slot],
        cost_usd=sums[0].copy(),
        carbon_kg=sums[1].copy(),
        water_l=sums[2].copy(),
        carbon_usd_per_kg=fleet.mu_usd[0],
        water_usd_per_l=fleet.mu_usd[1],
        price_ahead_usd_per_kwh=fleet.signals.price_usd_per_kwh[slot + 1 : slot + 1 + fleet.ahead],
        footprint_price_usd=np.array(fleet.mu_usd)[:, None] * np.append(np.ones(regions - 1), fleet.weight),
        norm=fleet.norm,
        delay_usd_per_s=fleet.delay_usd_per_s,
        waiting=None,
        footprints=(*FOOTPRINTS, *(f"further_{k}" for k in range(len(fleet.mu_usd) - len(FOOTPRINTS)))),
        further_per_kwh=fleet.signals.further_per_kwh[slot],
        further=sums[3:].copy(),
        region_of=fleet.region_of,
    )
    view = _elastic(view, fleet.first_of) if fleet.elastic else view
    freeze(view)
    return view


def _elastic(view: View, first_of: Ints | None) -> View:
    """The same where regions have three replicas each, one of which always sleeps in every fourth slot."""
    three = np.full(len(view.capacity_rps), 3)
    served_rps = (
        view.capacity_rps if first_of is None else view.capacity_rps[first_of] / np.bincount(first_of)[first_of]
    )
    replica_rps, awake_kwh = served_rps / 3.5, np.linspace(0.4, 0.3, len(three))
    return replace(
        view,
        it_kwh_per_request=view.it_kwh_per_request + awake_kwh / (replica_rps * view.slot_s),
        replicas=three,
        awake_least=0 * three,
        awake_most=three - (view.slot % 4 == 0),
        replica_rps=replica_rps,
        awake_kwh=awake_kwh,
        added_kwh=view.it_kwh_per_request,
        first_of=first_of,
    )


def outcome_of(view: View, weights: Floats) -> Outcome:
    requests = view.demand_rps[:, None] * weights * view.slot_s
    served = requests.sum(axis=0)
    base, per_request = view.base_footprint, view.footprint_per_request
    outcome = Outcome(
        slot=view.slot,
        demand_rps=view.demand_rps.copy(),
        dispatched=np.rint(requests).astype(np.int64),
        it_kwh=view.base_kwh + served * view.it_kwh_per_request,
        cost_usd=view.base_kwh * view.pue * view.price_usd_per_kwh + served * view.cost_usd_per_request,
        carbon_kg=base[0] + served * per_request[0],
        water_l=base[1] + served * per_request[1],
        further=base[2:] + served * per_request[2:],
    )
    freeze(outcome)
    return outcome


def fleets() -> list[Fleet]:
    """The worlds that a policy must get through. The first is the one of the other checks."""
    some = np.ones((SLOTS, 4, 5), dtype=bool)
    some[:, 0, 2:] = some[:, 1, :2] = some[:, 3, 1:4] = False
    down = np.ones((SLOTS, 4, 5), dtype=bool)
    down[5:9, :, 1] = down[8:12, :, 3] = False
    usual = _fleet("several gateways and regions", 4, 5)
    idle = usual.demand_rps * np.array([0.0, 1.0, 1.0, 0.0])
    idle[3] = 0.0
    dry = replace(usual, name="gateways and slots without demand", demand_rps=idle)
    return [
        usual,
        _fleet("a gateway may not use every region", 4, 5, mask=some),
        _fleet("a region goes down", 4, 5, mask=down),
        _fleet("more load than capacity", 4, 5, load=1.4),
        _fleet("one region", 3, 1),
        _fleet("one gateway", 1, 4),
        dry,
        replace(usual, name="no price on carbon and water", mu_usd=(0.0, 0.0)),
        replace(usual, name="plans say how many replicas are awake", elastic=True),
        (pools := _pools(usual)),
        replace(
            pools, name="replicas of pools of one model are awake", elastic=True, first_of=np.array([0, 1, 2, 2, 4])
        ),
        replace(usual, name="a past before the first slot", past=_fleet("", 4, 5, seed=3).signals),
    ]


def _pools(usual: Fleet) -> Fleet:
    """Its columns as pools of three regions, of two models for two gateways each; one is closed."""
    mask, of = np.array([[0, 1, 0, 0, 1]] * 2 + [[1, 0, 1, 0, 0]] * 2, dtype=bool), np.array([0, 0, 1, 1, 2])
    pooled = replace(usual, name="regions have pools", signals=signals_at_pools(usual.signals, of), region_of=of)
    return replace(pooled, mask=np.tile(mask, (SLOTS, 1, 1)), capacity_rps=usual.capacity_rps * mask.any(axis=0))


def objectives(usual: Fleet) -> list[Fleet]:
    """The first fleet under other objectives than the default one."""
    shape = usual.signals.pue.shape
    third = replace(usual.signals, further_per_kwh=np.random.default_rng(3).uniform(0.1, 2.0, (shape[0], 1, shape[1])))
    return [
        replace(usual, name="one region's footprints count threefold", weight=3.0),
        replace(usual, name="the sum of footprints counts", norm=1.0),
        replace(usual, name="the Euclidean length of footprints counts", norm=2.0),
        replace(usual, name="delay has a price", delay_usd_per_s=1e-3),
        replace(usual, name="a third footprint has a price", signals=third, mu_usd=(*usual.mu_usd, 0.5)),
    ]


def _fleet(
    name: str, gateways: int, regions: int, load: float = 0.6, mask: Bools | None = None, seed: int = 1
) -> Fleet:
    """Signals and demand that vary by slot and region, prices below 0 among them; `load` as a share of all capacity."""
    rng = np.random.default_rng(seed)
    shape = (SLOTS, regions)
    signals = Signals(
        price_usd_per_kwh=rng.uniform(-0.02, 0.3, shape),
        carbon_g_per_kwh=rng.uniform(50, 700, shape),
        wue_l_per_kwh=rng.uniform(0.2, 3, shape),
        ewif_l_per_kwh=rng.uniform(1, 6, shape),
        pue=rng.uniform(1.05, 1.5, shape),
        stale_slots=np.zeros(shape, dtype=np.int64),
    )
    capacity = rng.uniform(5, 15, regions)
    shares = rng.dirichlet(np.full(gateways, 5.0), SLOTS)
    mask = np.ones((SLOTS, gateways, regions), dtype=bool) if mask is None else mask
    return Fleet(name, signals, shares * capacity.sum() * load, capacity, mask)
