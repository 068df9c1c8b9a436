"""From a scenario to who says how many replicas are awake: its rule, what regions keep, and power caps."""

from collections.abc import Iterator, Sequence

import numpy as np

from glbdes.errors import ScenarioError
from glbdes.hardware import Service
from glbdes.hardware.clock import span_ns
from glbdes.hardware.physics import NEVER_NS
from glbdes.scenario import Scenario
from glbdes.scenario.pools import Column
from glbdes.units import W_PER_KW
from glbdes.world.outages import simulated
from glbdes.world.scaling import FOLLOW, PLANNED, Cap, Scaling


def scaling(scenario: Scenario, columns: Sequence[Column], service: Service, warmup_ns: int) -> Scaling | None:
    """Who says how many replicas of `service` are awake; None if all are always, or sleep by themselves.

    A cap of a region's power is shared by its pools, by what they draw at full batches.

    Raises `ScenarioError` for power caps that a region without work but one replica's would break.
    """
    fleet, keys, time = service.fleet, scenario.scaling, scenario.time
    rule = keys.chosen(bool((fleet.sleep_after_ns < NEVER_NS).any()))
    caps, problems = [], []
    for index, fault in enumerate(scenario.faults):
        if fault.max_kw is not None:
            region = list(scenario.regions).index(fault.region)
            pools = [r for r, one in enumerate(columns) if one.region == region]
            for r, share in zip(pools, _shares(service, pools), strict=True):
                count, least_kw = _awake(service, r, share * fault.max_kw)
                if count < 1:
                    told = f"faults.{index}.max_kw = {fault.max_kw:g} kW, must be >= {least_kw / share:.4g} kW"
                    problems.append(f"{told}: one replica of {columns[r].place} at full batches, the others asleep")
                caps.append(Cap(r, *simulated(fault, time, warmup_ns), count))
    if problems:
        raise ScenarioError(problems)
    if rule not in (FOLLOW, PLANNED) and not caps:
        return None
    return Scaling(
        rule=rule,
        least=np.array(list(_of(scenario, columns, "min_awake", 1)), dtype=np.int64),
        utilisation=np.array(list(_of(scenario, columns, "target_utilisation", 0.7))),
        replica_rps=service.capacity_rps / fleet.replicas,
        every_ns=span_ns(keys.every_s, time.clock_ns),
        cool_down_ns=span_ns(keys.cool_down_s, time.clock_ns),
        age_ns=span_ns(scenario.dispatch.telemetry_s, time.clock_ns),
        caps=tuple(sorted(caps, key=lambda cap: (cap.begin_ns, cap.region))),
    )


def _of(scenario: Scenario, columns: Sequence[Column], key: str, otherwise: float) -> Iterator[float]:
    """What each pool, or else the fleet, says."""
    for pool in columns:
        both = (pool.keys, scenario.fleet)
        yield next((value for one in both if (value := getattr(one, key)) is not None), otherwise)


def _shares(service: Service, pools: Sequence[int]) -> list[float]:
    """What each of a region's `pools` has of its power at full batches."""
    if len(pools) == 1:
        return [1.0]
    full_w = [float(service.fleet.replicas[r] * (service.full_w[r] + service.fleet.host_w[r])) for r in pools]
    return [one / sum(full_w) for one in full_w]


def _awake(service: Service, region: int, max_kw: float) -> tuple[int, float]:
    """How many replicas of `region` may be awake at `max_kw`, all at full batches, and the kW that one takes."""
    fleet = service.fleet
    asleep_w = float(fleet.sleep_w[region] + fleet.host_sleep_w[region])
    more_w = float(service.full_w[region] + fleet.host_w[region]) - asleep_w
    spare_w = max_kw * W_PER_KW - int(fleet.replicas[region]) * asleep_w
    return min(int(spare_w // more_w), int(fleet.replicas[region])), (max_kw * W_PER_KW - spare_w + more_w) / W_PER_KW
