"""Flows of a few regions with further footprints, and worlds that must come to the same plans."""

from dataclasses import replace

import numpy as np

from glbdes.engine import fluid
from glbdes.signals import Signals
from glbdes.world import Policy, World
from glbdes.world.footprints import Footprint
from tests.worlds import ListSink, make_fleet, make_requests, make_signals, make_world


def flow(
    seed: int, further: tuple[Footprint, ...] = (), slots: int = 12, *, base: bool = False, load: float = 1.0
) -> World:
    """A flow of 3 gateways, one of which may not go everywhere, over 4 regions."""
    rng = np.random.default_rng(seed)
    gateways, regions = 3, 4
    shape = (slots, regions)
    allowed = np.ones((gateways, regions), dtype=bool)
    allowed[0, 1] = False
    signals = make_signals(
        slots,
        regions,
        price_usd_per_kwh=rng.uniform(0.02, 0.3, shape),
        carbon_g_per_kwh=rng.uniform(50, 700, shape),
        wue_l_per_kwh=rng.uniform(0.2, 3, shape),
        ewif_l_per_kwh=rng.uniform(1, 6, shape),
        pue=rng.uniform(1.05, 1.5, shape),
        further_per_kwh=np.random.default_rng([seed, 1]).uniform(0.1, 2.0, (slots, len(further), regions)),
    )
    world = make_world(
        make_requests([]),
        slots=slots,
        gateways=gateways,
        regions=regions,
        allowed=allowed,
        capacity_rps=rng.uniform(1.0, 2.0, regions),
        it_kwh_per_request=rng.uniform(1e-4, 3e-4, regions),
        fleet=make_fleet(regions, host_w=30.0 if base else 0.0),
        latency_ns=rng.integers(1, 10**8, (gateways, regions)),
        signals=signals,
    )
    expected = load * rng.uniform(0.5, 1.5, (slots, gateways))
    return replace(world, expected_rps=expected, further=further)


def with_further(world: World, per_kwh: list[np.ndarray], further: tuple[Footprint, ...], **changes: object) -> World:
    """`world` with `further` footprints, [s, r] each of a kWh of IT energy."""
    stacked = np.stack(per_kwh, axis=1) if per_kwh else None
    names = (name for name in world.signals.__dataclass_fields__ if name != "further_per_kwh")
    signals = Signals(*(getattr(world.signals, name) for name in names), further_per_kwh=stacked)  # type: ignore[arg-type]
    return replace(world, signals=signals, seen=signals, further=further, **changes)  # type: ignore[arg-type]


def carbon_kg_per_kwh(world: World) -> np.ndarray:
    """[s, r] of IT energy."""
    return world.signals.pue * world.signals.carbon_g_per_kwh / 1000


def plans(world: World, policy: Policy) -> np.ndarray:
    """[s, g, r]"""
    sink = ListSink()
    fluid.run(world, policy, sink, policy_name="policy")
    return np.array([record.weights for record in sink.slots])


def alike(seed: int) -> dict[str, tuple[World, World]]:
    """Pairs of worlds that must have the same plans."""
    plain = flow(seed)
    carbon = carbon_kg_per_kwh(plain)
    rng = np.random.default_rng([seed, 2])
    one, other = (rng.uniform(0.1, 2.0, carbon.shape) for _ in range(2))
    named = Footprint("health", "usd", 0.8), Footprint("scarcity", "l", 0.3)
    halves = tuple(Footprint(name, "kg", plain.carbon_usd_per_kg / 2) for name in ("half", "other_half"))
    return {
        "told only": (plain, with_further(plain, [one], (Footprint("told", "kg", 0.0),))),
        "split": (plain, with_further(plain, [carbon, carbon], halves, carbon_usd_per_kg=0.0)),
        "swapped": (with_further(plain, [one, other], named), with_further(plain, [other, one], named[::-1])),
    }
