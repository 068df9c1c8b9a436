"""From a scenario to who says how many replicas are awake: its rule, what regions keep, and power caps."""

from collections.abc import Iterator, Sequence

import numpy as np

from glbdes.errors import ScenarioError
from glbdes.hardware import Service
from glbdes.hardware.clock import span_ns
from glbdes.hardware.physics import NEVER_NS
from glbdes.scenario import Scenario
from glbdes.scenario.pools import Column
from glbdes.units import J_PER_KWH, W_PER_KW
from glbdes.world.alike import Floats
from glbdes.world.outages import simulated
from glbdes.world.scaling import FOLLOW, PLANNED, Cap, Scaling


def scaling(scenario: Scenario, columns: Sequence[Column], service: Service, warmup_ns: int) -> Scaling | None:
    """Who says how many replicas of `service` are awake; None if all are always, or sleep by themselves.

    A cap of a region's power is shared by its models, by what their pools draw at full batches.

    Raises `ScenarioError` for power caps that a region without work but one replica's would break.
    """
    fleet, keys, time = service.fleet, scenario.scaling, scenario.time
    rule = keys.chosen(bool((fleet.sleep_after_ns < NEVER_NS).any()))
    caps, problems = [], []
    for index, fault in enumerate(scenario.faults):
        if fault.max_kw is not None:
            models = _models(columns, list(scenario.regions).index(fault.region))
            for pools, share in zip(models, _shares(service, models), strict=True):
                counts, least_kw = _awake(service, pools, share * fault.max_kw)
                if counts is None:
                    told = f"faults.{index}.max_kw = {fault.max_kw:g} kW, must be >= {least_kw / share:.4g} kW"
                    places = ", and one of ".join(columns[r].place for r in pools)
                    problems.append(f"{told}: one replica of {places} at full batches, the others asleep")
                    continue
                caps += [Cap(r, *simulated(fault, time, warmup_ns), count) for r, count in counts.items()]
    if problems:
        raise ScenarioError(problems)
    if rule not in (FOLLOW, PLANNED) and not caps:
        return None
    utilisation = np.array(list(_of(scenario, columns, "target_utilisation", 0.7)))
    replica_rps = service.capacity_rps / fleet.replicas
    return Scaling(
        rule=rule,
        least=np.array(list(_of(scenario, columns, "min_awake", 1)), dtype=np.int64),
        utilisation=utilisation,
        replica_rps=replica_rps,
        every_ns=span_ns(keys.every_s, time.clock_ns),
        cool_down_ns=span_ns(keys.cool_down_s, time.clock_ns),
        age_ns=span_ns(scenario.dispatch.telemetry_s, time.clock_ns),
        caps=tuple(sorted(caps, key=lambda cap: (cap.begin_ns, cap.region))),
        cheapest=np.argsort(_kwh(service, utilisation * replica_rps), kind="stable"),
    )


def _of(scenario: Scenario, columns: Sequence[Column], key: str, otherwise: float) -> Iterator[float]:
    """What each pool, or else the fleet, says."""
    for pool in columns:
        both = (pool.keys, scenario.fleet)
        yield next((value for one in both if (value := getattr(one, key)) is not None), otherwise)


def _kwh(service: Service, aimed_rps: Floats) -> Floats:
    """[r] what a request takes of replicas that are awake and serve `aimed_rps` [r] each, their own part included."""
    return np.asarray(service.added_kwh + service.fleet.awake_w / aimed_rps / J_PER_KWH)


def _models(columns: Sequence[Column], region: int) -> list[list[int]]:
    """The pools of a region, those of one model together."""
    found: dict[str | None, list[int]] = {}
    for r, one in enumerate(columns):
        if one.region == region:
            found.setdefault(one.model, []).append(r)
    return list(found.values())


def _shares(service: Service, models: Sequence[Sequence[int]]) -> list[float]:
    """What the pools of each of `models` have of their region's power at full batches."""
    if len(models) == 1:
        return [1.0]
    fleet = service.fleet
    full_w = [sum(float(fleet.replicas[r] * (service.full_w[r] + fleet.host_w[r])) for r in pools) for pools in models]
    return [one / sum(full_w) for one in full_w]


def _awake(service: Service, pools: Sequence[int], max_kw: float) -> tuple[dict[int, int] | None, float]:
    """How many replicas of each of `pools`, of one model, may be awake at `max_kw`, all at full batches; None if not
    one of each. And the kW that one of each takes.

    Those sleep first that take most for what they serve.
    """
    fleet = service.fleet
    asleep_w = fleet.sleep_w + fleet.host_sleep_w
    more_w = service.full_w + fleet.host_w - asleep_w
    spare_w = max_kw * W_PER_KW - sum(int(fleet.replicas[r]) * float(asleep_w[r]) for r in pools)
    one_w = sum(float(more_w[r]) for r in pools)
    least_kw = (max_kw * W_PER_KW - spare_w + one_w) / W_PER_KW
    if spare_w // one_w < 1:
        return None, least_kw
    counts = {}
    for r in sorted(pools, key=lambda r: float(more_w[r] * fleet.replicas[r] / service.capacity_rps[r])):
        one_w -= float(more_w[r])  # of each of those that come after it
        counts[r] = max(min(int((spare_w - one_w) // float(more_w[r])), int(fleet.replicas[r])), 1)
        spare_w -= counts[r] * float(more_w[r])
    return counts, least_kw
