"""Worlds whose regions have several pools, made of worlds of regions: neighbours become pools of one region."""

from dataclasses import replace

import numpy as np

from glbdes.world import World


def in_pools(world: World, rng: np.random.Generator) -> World:
    """`world`, whose regions, two at least, are pools of fewer regions; some of one model, which plans see as one."""
    first_of, region_of = [0], [0]
    for r in range(1, world.regions):
        same_model = r == 1 or rng.random() < 0.5
        same_region = same_model or rng.random() < 0.5
        first_of.append(first_of[-1] if same_model else r)
        region_of.append(region_of[-1] + (not same_region))
    first, region = np.array(first_of), np.array(region_of)
    of = np.searchsorted(region, region)  # the first pool of the region
    leads = first == np.arange(world.regions)
    allowed = np.stack([world.allowed[:, first == lead].any(axis=1) for lead in first], axis=1) & leads
    outages = [
        one._replace(region=r)
        for one in world.outages
        for r in np.flatnonzero(region == region[one.region]).tolist()
        if one.region == of[one.region]
    ]

    def signals(given):
        return replace(given, **{name: getattr(given, name)[..., of] for name in given.__dataclass_fields__})

    made = signals(world.signals)
    kv_tokens = world.fleet.kv_tokens // rng.integers(1, 4, world.regions)  # so that some pools cannot hold a request
    in_order = bool(rng.integers(2))
    scaling = world.scaling and world.scaling._replace(cheapest=rng.permutation(world.regions))
    return replace(
        world,
        scaling=scaling,
        fleet=world.fleet._replace(kv_tokens=kv_tokens),
        region_of=region,
        first_of=first,
        pools_in_order=in_order,
        allowed=allowed,
        latency_ns=world.latency_ns[:, of],
        outages=tuple(outages),
        signals=made,
        seen=made,
    )
