"""What a reader of the figures should know: values that nobody gave, and what lies beyond measurement."""

from collections.abc import Collection, Iterator
from typing import Final

import numpy as np

from glbdes.scenario import Scenario, clouds, pools
from glbdes.units import S_PER_H
from glbdes.world.arrays import World

LEAST_SHARE: Final = 0.01  # of prompt tokens beyond measurement that is worth a word


def remarks(scenario: Scenario, world: World) -> tuple[str, ...]:
    """One line for each assumption of `scenario`, built as `world`, that moves figures without being seen in them."""
    return (*_environment(scenario, world), *_places(scenario), *_clouds(scenario, world), *_fleet(scenario, world))


def _environment(scenario: Scenario, world: World) -> Iterator[str]:
    """What data often merge into other columns, or leave out; and what policies know from before the start."""
    if not (world.signals.pue != 1).any():
        yield "PUE = 1 in all regions: no energy for cooling and losses is added"
    if not world.signals.ewif_l_per_kwh.any():
        yield "EWIF = 0 in all regions: off-site water is part of the on-site factor, or left out"
    if world.history:
        told = f"{world.history * world.slot_s / S_PER_H:g} h of signals from before the start"
        yield f"Policies see {told} (at most signals.history_h = {scenario.signals.history_h:g})"


def _places(scenario: Scenario) -> Iterator[str]:
    regions, gateways = scenario.regions, scenario.gateways
    if scenario.network.latency_s is None:
        nowhere = [name for name, region in regions.items() if region.latitude_deg is None]
        if nowhere:
            yield f"No latitude_deg and longitude_deg for {_listed(nowhere, regions)}: taken to be at 0 N 0 E"
    if scenario.workload.shape == "diurnal":
        silent = [name for name, one in gateways.items() if one.time_zone is None and one.utc_offset_h is None]
        if silent:
            where = _listed(silent, gateways, "gateways")
            yield f"No time_zone or utc_offset_h for {where}: their days are those of UTC"


def _clouds(scenario: Scenario, world: World) -> Iterator[str]:
    """What regions have from their cloud regions, a line for each provider, with its page."""
    found: dict[str, list[str]] = {}
    for name, region in scenario.regions.items():
        cloud = clouds.of(region.cloud)
        if cloud is None:
            continue
        theirs = (region.latitude_deg, region.longitude_deg) == (cloud.latitude_deg, cloud.longitude_deg)
        filled = [f"coordinates of {cloud.place}"] if theirs else []
        lent = [f"{column} = {cloud.constants[column]:g}" for of, column in world.lent if of == name]
        if lent:
            filled.append(f"{' and '.join(lent)} of {cloud.of}, {cloud.year}")
        if filled:
            found.setdefault(cloud.provider, []).append(f"{name}, {cloud.name} ({'; '.join(filled)})")
    for provider, regions in found.items():
        source = clouds.sources()[provider]
        yield f"From {source['name']} ({source['efficiency']}): {', '.join(regions)}"


def _fleet(scenario: Scenario, world: World) -> Iterator[str]:
    if scenario.in_megawatts:
        return
    columns = pools.columns(scenario)
    names = [one.place for one in columns]
    bare = [names[r] for r in np.flatnonzero(world.fleet.host_w == 0)]
    if bare:
        yield f"host_w = 0 W in {_listed(bare, names)}: the servers around the GPUs draw nothing"
    if world.scaling is not None:
        on = world.fleet.host_sleep_w == world.fleet.host_w
        asleep = [names[r] for r in np.flatnonzero(on & (world.fleet.host_w > 0))]
        if asleep:
            yield f"host_sleep_w = host_w in {_listed(asleep, names)}: servers stay on while their replicas sleep"
    if world.first_of is not None:
        alike = [place for r, place in enumerate(names) if (world.first_of == world.first_of[r]).sum() > 1]
        yield f"{', '.join(alike)}: pools of one model in one region, which plans see as one"
    yield from world.assumed
    if world.beyond_measurement is None:
        return
    labels = [one.keys.profile or scenario.fleet.profile or "" for one in columns]
    for label, share in dict(zip(labels, world.beyond_measurement.tolist(), strict=True)).items():
        if share >= LEAST_SHARE:
            what = "of the expected prompt tokens are of prompts longer than any that profile"
            yield f"{100 * share:.0f} % {what} {label} was measured with: their prefill is extrapolated"


def _listed(names: Collection[str], known: Collection[str], kind: str = "regions") -> str:
    return f"all {kind}" if len(names) == len(known) else ", ".join(names)
