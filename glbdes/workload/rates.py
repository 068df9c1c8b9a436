"""Mean arrival rates: what each gateway asks for in each slot."""

from datetime import timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glbdes import resources
from glbdes.base import portable, zones
from glbdes.errors import ScenarioError, TraceError, nearest
from glbdes.scenario import Scenario
from glbdes.scenario.model import Gateway, Time
from glbdes.signals.authors import read_authors_load_by_slot
from glbdes.signals.loads import read_load
from glbdes.units import H_PER_DAY, NS_PER_S, S_PER_H
from glbdes.workload import bounds, replay

Floats = NDArray[np.float64]


def expected_rps(
    scenario: Scenario,
    home_capacity_rps: Floats,
    folder: Path | None = None,
    load: Floats | None = None,
    warmup_ns: int = 0,
) -> Floats:
    """Mean arrival rate of each slot and gateway, in requests per simulated second: float[s, g].

    rate[s, g] = base[g] * shape[s, g] * load_scale, where base is `rate_per_s`, or `load` * `home_capacity_rps` [g].
    A replayed trace brings its own rate, and base * shape is each gateway's share of it, unless it names gateways.

    `load` [slot] is a load trace that goes before `workload.load_file`; each slot begins with a warm-up of `warmup_ns`.

    Raises `TraceError` for a load or request trace that is missing, wrong or too short, `ScenarioError` for a replay
    with a second trace as its shape or without any gateway to enter at, and for more requests than can be drawn.
    """
    workload = scenario.workload
    if workload.arrivals == "replay":
        replayed = replay.load(scenario, folder)
        slots = [replayed.rows(slot)[1] for slot in range(scenario.time.slots)]
        if replayed.gateway is not None:
            counts = np.array([np.bincount(replayed.gateway[rows], minlength=len(scenario.gateways)) for rows in slots])
            rates = counts / scenario.time.simulated_s
        else:
            shares = _shares(scenario, home_capacity_rps)
            rates = np.array([len(rows) for rows in slots])[:, None] / scenario.time.simulated_s * shares
    else:
        rates = _base_rps(scenario, home_capacity_rps) * _shape(scenario, folder, load) * workload.load_scale
    period_s = scenario.time.simulated_s + warmup_ns / NS_PER_S
    in_slot = rates.sum(axis=1) * period_s
    bounds.check(scenario, float(in_slot.sum()), float(in_slot.max()), period_s)
    return np.asarray(rates, dtype=np.float64)


def home_capacity_rps(scenario: Scenario, capacity_rps: Floats) -> Floats:
    """[g] the capacity that each gateway's `load` counts in; NaN where its load is given in requests/s."""
    capacity = dict(zip(scenario.regions, capacity_rps, strict=True))
    homes = [(gateway.home or name, gateway) for name, gateway in scenario.gateways.items()]
    return np.array([np.nan if gateway.load is None else capacity[home] for home, gateway in homes])


def load_beside_signals(scenario: Scenario, folder: Path | None) -> Floats | None:
    """[s] the load that comes with signals in the authors' layout, if the workload follows a trace."""
    source = resources.find("traces", scenario.signals.source, folder)
    if scenario.workload.shape != "trace" or source is None or not source.is_dir():
        return None
    time = scenario.time
    return read_authors_load_by_slot(source, time.start_utc, time.slot_s, time.slots)


def _base_rps(scenario: Scenario, home_capacity_rps: Floats) -> Floats:
    """[g] the rate of each gateway before shape and scale."""
    gateways = zip(scenario.gateways.values(), home_capacity_rps, strict=True)
    return np.array([_given_rps(gateway, capacity_rps) for gateway, capacity_rps in gateways], dtype=np.float64)


def _given_rps(gateway: Gateway, home_capacity_rps: float) -> float:
    if gateway.rate_per_s is not None:
        return gateway.rate_per_s
    return np.nan if gateway.load is None else gateway.load * home_capacity_rps


def _shares(scenario: Scenario, home_capacity_rps: Floats) -> Floats:
    """[s, g] the share of a replayed trace that enters at each gateway: all alike, if none of them says how much."""
    if scenario.workload.shape == "trace":
        raise ScenarioError("workload.shape = 'trace', must be 'constant' or 'diurnal' because arrivals = 'replay'")
    base = _base_rps(scenario, home_capacity_rps)
    silent = [name for name, rate in zip(scenario.gateways, base, strict=True) if np.isnan(rate)]
    if len(silent) == len(base):
        base = np.ones(len(base))
    elif silent:
        rule = "must have one because other gateways do"
        raise ScenarioError([f"gateways.{name}: has neither `load` nor `rate_per_s`, {rule}" for name in silent])
    rates = base * _shape(scenario, None, None)
    if not rates.any():
        raise ScenarioError("gateways: all rates are 0 requests/s, so a replayed trace has nowhere to enter")
    return np.asarray(rates / rates.sum(axis=1, keepdims=True), dtype=np.float64)


def _shape(scenario: Scenario, folder: Path | None, load: Floats | None) -> Floats:
    """[s, g], or [s, 1] if it is the same for all gateways: the rate over the base rate."""
    if scenario.workload.shape == "diurnal":
        return _diurnal(scenario)
    if scenario.workload.shape == "trace":
        traced = _traced(scenario, folder, load)
        return traced if traced.ndim > 1 else traced[:, None]
    return np.ones((scenario.time.slots, 1))


def _diurnal(scenario: Scenario) -> Floats:
    """[s, g] a cosine of the gateway's local hour, 1 in the mean over a day.

    1 + amplitude * cos(2 pi (hour - peak) / 24), averaged over each slot.
    """
    time, workload = scenario.time, scenario.workload
    slot_days = time.slot_s / (S_PER_H * H_PER_DAY)
    midnight = time.start_utc.replace(hour=0, minute=0, second=0, microsecond=0)
    start_days = (time.start_utc - midnight).total_seconds() / (S_PER_H * H_PER_DAY)
    middle_days = start_days + (np.arange(time.slots)[:, None] + 0.5) * slot_days
    offset_h = np.stack([_offset_h(gateway, time) for gateway in scenario.gateways.values()], axis=1)
    after_peak_days = middle_days + (offset_h - workload.diurnal_peak_h) / H_PER_DAY
    # The mean of a cosine over a slot is its value in the middle times sinc.
    swing = workload.diurnal_amplitude * _sinc(slot_days) * portable.cos_turns(after_peak_days)
    return np.asarray(1.0 + swing, dtype=np.float64)


def _offset_h(gateway: Gateway, time: Time) -> Floats:
    """[s] how far a gateway's local time is ahead of UTC in the middle of each slot."""
    if gateway.time_zone is None:
        return np.full(time.slots, gateway.utc_offset_h or 0.0)
    middle_s = (np.arange(time.slots) + 0.5) * time.slot_s
    return np.array(
        zones.offsets_h(gateway.time_zone, [time.start_utc + timedelta(seconds=s) for s in middle_s.tolist()])
    )


def _sinc(x: float) -> float:
    """sin(pi x) / (pi x) for x > 0."""
    return float(portable.cos_turns(x / 2 - 0.25)) / (np.pi * x)


def _traced(scenario: Scenario, folder: Path | None, load: Floats | None) -> Floats:
    """[s], or [s, g]: the load trace; `load`, if it came with the signals, else `workload.load_file`."""
    time, name = scenario.time, scenario.workload.load_file
    if load is not None:
        if len(load) < time.slots:
            raise TraceError(f"the load beside the signals has {len(load)} slots, must have time.slots = {time.slots}")
        return load[: time.slots]
    if name is None:
        raise ScenarioError("workload.load_file: missing, must name a load trace because workload.shape = 'trace'")
    path = resources.find("traces", name, folder)
    if path is None:
        raise TraceError(f"no load trace '{name}'{nearest(name, resources.shipped('traces'))}")
    return read_load(path, time.start_utc, time.slot_s, time.slots, list(scenario.gateways))
