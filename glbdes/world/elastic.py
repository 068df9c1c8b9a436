"""From a scenario to who says how many replicas are awake: its rule, what regions keep, and power caps."""

from collections.abc import Iterator

import numpy as np

from glbdes.errors import ScenarioError
from glbdes.hardware import Service
from glbdes.hardware.clock import span_ns
from glbdes.hardware.physics import NEVER_NS
from glbdes.scenario import Scenario
from glbdes.units import W_PER_KW
from glbdes.world.outages import simulated
from glbdes.world.scaling import FOLLOW, PLANNED, Cap, Scaling


def scaling(scenario: Scenario, service: Service, warmup_ns: int) -> Scaling | None:
    """Who says how many replicas of `service` are awake; None if all are always, or sleep by themselves.

    Raises `ScenarioError` for power caps that a region without work but one replica's would break.
    """
    fleet, keys, time = service.fleet, scenario.scaling, scenario.time
    rule = keys.chosen(bool((fleet.sleep_after_ns < NEVER_NS).any()))
    caps, problems = [], []
    for index, fault in enumerate(scenario.faults):
        if fault.max_kw is not None:
            region = list(scenario.regions).index(fault.region)
            count, least_kw = _awake(service, region, fault.max_kw)
            if count < 1:
                told = f"faults.{index}.max_kw = {fault.max_kw:g} kW, must be >= {least_kw:.4g} kW"
                problems.append(f"{told}: one replica of {fault.region} at full batches, the others asleep")
            caps.append(Cap(region, *simulated(fault, time, warmup_ns), count))
    if problems:
        raise ScenarioError(problems)
    if rule not in (FOLLOW, PLANNED) and not caps:
        return None
    return Scaling(
        rule=rule,
        least=np.array(list(_of(scenario, "min_awake", 1)), dtype=np.int64),
        utilisation=np.array(list(_of(scenario, "target_utilisation", 0.7))),
        replica_rps=service.capacity_rps / fleet.replicas,
        every_ns=span_ns(keys.every_s, time.clock_ns),
        cool_down_ns=span_ns(keys.cool_down_s, time.clock_ns),
        age_ns=span_ns(scenario.dispatch.telemetry_s, time.clock_ns),
        caps=tuple(sorted(caps, key=lambda cap: (cap.begin_ns, cap.region))),
    )


def _of(scenario: Scenario, key: str, otherwise: float) -> Iterator[float]:
    """What each region, or else the fleet, says."""
    for region in scenario.regions.values():
        said = next((value for one in (region, scenario.fleet) if (value := getattr(one, key)) is not None), otherwise)
        yield said


def _awake(service: Service, region: int, max_kw: float) -> tuple[int, float]:
    """How many replicas of `region` may be awake at `max_kw`, all at full batches, and the kW that one takes."""
    fleet = service.fleet
    asleep_w = float(fleet.sleep_w[region] + fleet.host_sleep_w[region])
    more_w = float(service.full_w[region] + fleet.host_w[region]) - asleep_w
    spare_w = max_kw * W_PER_KW - int(fleet.replicas[region]) * asleep_w
    return min(int(spare_w // more_w), int(fleet.replicas[region])), (max_kw * W_PER_KW - spare_w + more_w) / W_PER_KW
