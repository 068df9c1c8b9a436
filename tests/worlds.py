"""Small worlds for tests: every array of a `World` made by hand, so that tests need no scenario, file or policy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from glbdes.hardware import Fleet, physics
from glbdes.signals import Signals
from glbdes.units import NS_PER_S
from glbdes.workload import Requests
from glbdes.world import REQUEST_DTYPE, Floats, SlotRecord, View, World
from glbdes.world.footprints import Footprint
from glbdes.world.outages import Outage
from glbdes.world.scaling import Scaling


@dataclass
class ListSink:
    """Keeps everything it is handed."""

    chunks: list[np.ndarray] = field(default_factory=list)
    slots: list[SlotRecord] = field(default_factory=list)

    def requests(self, chunk: np.ndarray) -> None:
        self.chunks.append(chunk.copy())

    def slot(self, record: SlotRecord) -> None:
        self.slots.append(record)

    @property
    def table(self) -> np.ndarray:
        """All requests by id."""
        whole = [chunk for chunk in self.chunks if len(chunk)]
        rows = np.concatenate(whole) if whole else np.empty(0, dtype=REQUEST_DTYPE)
        return np.sort(rows, order="request_id")

    def meter(self, name: str) -> np.ndarray:
        """[s, r]"""
        return np.array([record.meters[name] for record in self.slots])


class Fixed:
    """A policy that always returns the same plan."""

    def __init__(self, weights: Any) -> None:
        self.weights = np.asarray(weights, dtype=float)

    def plan(self, view: View) -> np.ndarray:
        allowed = self.weights * view.mask
        total = allowed.sum(axis=1, keepdims=True)
        spare = view.mask / view.mask.sum(axis=1, keepdims=True)
        return np.where(total > 0, allowed / np.where(total > 0, total, 1.0), spare)


def make_requests(
    arrival_ns: Sequence[int],
    prompt: Sequence[int] | int = 100,
    output: Sequence[int] | int = 10,
    gateway: Sequence[int] | int = 0,
    uniform: Sequence[float] | float = 0.5,
    slo: Sequence[int] | int = 0,
    session: Sequence[int] | int | None = None,
    chain: Sequence[int] | int | None = None,
) -> Requests:
    """Requests of a whole run; ids in order of (arrival, gateway)."""
    n = len(arrival_ns)
    columns = [np.broadcast_to(np.asarray(x), n) for x in (gateway, slo, prompt, output, arrival_ns, uniform)]
    order = np.lexsort((columns[0], columns[4]))
    gateway_, slo_, prompt_, output_, arrival_, uniform_ = (column[order] for column in columns)
    ints = [column.astype(np.int64) for column in (gateway_, slo_, prompt_, output_, arrival_)]
    told = (np.broadcast_to(np.asarray(x), n)[order].astype(np.int64) for x in (session, chain) if session is not None)
    return Requests(np.arange(n, dtype=np.int64), *ints, uniform_.astype(float), *told)


def slot_of(requests: Requests, slot_ns: int) -> Callable[[int], Requests]:
    """The stream that `World.requests` wants; `slot_ns` with its warm-up."""

    def stream(slot: int) -> Requests:
        low, high = np.searchsorted(requests.arrival_ns, [slot * slot_ns, (slot + 1) * slot_ns])
        columns = (getattr(requests, name) for name in requests.__dataclass_fields__)
        return Requests(*(None if column is None else column[low:high] for column in columns))

    return stream


def make_signals(slots: int, regions: int, **columns: Any) -> Signals:
    """Constant signals, or what `columns` says, broadcast to [s, r]."""
    values = {
        "price_usd_per_kwh": 0.1,
        "carbon_g_per_kwh": 400.0,
        "wue_l_per_kwh": 1.0,
        "ewif_l_per_kwh": 2.0,
        "pue": 1.2,
        **columns,
    }
    further = values.pop("further_per_kwh", None)
    arrays = {name: np.array(np.broadcast_to(value, (slots, regions)), dtype=float) for name, value in values.items()}
    return Signals(**arrays, stale_slots=np.zeros((slots, regions), dtype=np.int64), further_per_kwh=further)


def make_further(rng: np.random.Generator, slots: int, regions: int) -> Floats | None:
    """None, one or two further footprints, [s, k, r] of a kWh, some of them free now and then."""
    count = int(rng.integers(0, 3))
    rates = rng.uniform(0.1, 30.0, (slots, count, regions)) * (rng.random((slots, count, regions)) < 0.8)
    return rates if count else None


def named(signals: Signals) -> tuple[Footprint, ...]:
    """A name and a price for each further footprint of `signals`."""
    return tuple(Footprint(f"more{k}", "u", 0.5 * k) for k in range(signals.further_per_kwh.shape[1]))


def make_fleet(
    regions: int = 1, *, prefill_s: Any = None, prefill_j: Any = None, chained: float = 1.0, **columns: Any
) -> Fleet:
    """One H100-like replica a region, or what `columns` says, broadcast to [r]. Prefill: 10 us and 10 mJ a token;
    `chained` times as long, where another one ended."""
    values: dict[str, Any] = {
        "replicas": 1,
        "max_batch": 8,
        "kv_tokens": 100_000,
        "max_queue": 1 << 40,
        "a_s": 0.007,
        "beta_s": 2e-5,
        "gamma_s": 3e-8,
        "e0_j": 3.0,
        "e1_j": 0.02,
        "e2_j": 2e-5,
        "idle_w": 130.0,
        "sleep_w": 75.0,
        "host_w": 50.0,
        "host_sleep_w": None,
        "sleep_after_ns": physics.NEVER_NS,
        "wake_ns": 0,
        "pack": 0,
        "profile": 0,
        **columns,
    }
    if values["host_sleep_w"] is None:
        values["host_sleep_w"] = values["host_w"]
    arrays = {}
    for name, value in values.items():
        kind = float if name.endswith(("_s", "_j", "_w")) else np.int64
        arrays[name] = np.array(np.broadcast_to(value, regions), dtype=kind)
    arrays["pack"] = np.minimum(arrays["pack"], arrays["max_batch"])
    tokens = np.arange(int(arrays["kv_tokens"].max()) + 1)
    seconds = 1e-5 * tokens if prefill_s is None else prefill_s
    joules = 1e-2 * tokens if prefill_j is None else prefill_j
    alone_s = np.atleast_2d(seconds)
    return Fleet(**arrays, prefill_s=alone_s, chained_s=chained * alone_s, prefill_j=np.atleast_2d(joules))


def make_world(
    requests: Requests | Callable[[int], Requests],
    *,
    slots: int = 1,
    slot_s: float = 3600.0,
    simulated_s: float | None = None,
    gateways: int = 1,
    regions: int = 1,
    clock_ns: int = 1,
    warmup_ns: int = 0,
    fleet: Fleet | None = None,
    latency_ns: Any = 0,
    allowed: Any = True,
    dispatch: int = physics.WEIGHTED,
    telemetry_ns: int = 0,
    spill_queue: int = 8,
    timeout_ns: int = physics.NEVER_NS,
    max_attempts: int = 3,
    outages: Sequence[tuple[int, int, int]] = (),
    signals: Signals | None = None,
    full_attribution: bool = False,
    demand: str = "truth",
    capacity_rps: Any = 10.0,
    it_kwh_per_request: Any = 1e-4,
    active_attribution: bool = False,
    scaling: Scaling | None = None,
) -> World:
    """A world with defaults for everything but its requests."""
    simulated_s = slot_s if simulated_s is None else simulated_s
    slot_ns = round(simulated_s * NS_PER_S)
    signals = make_signals(slots, regions) if signals is None else signals
    return World(
        slots=slots,
        slot_ns=slot_ns,
        slot_s=slot_s,
        weight=slot_s / simulated_s,
        clock_ns=clock_ns,
        fleet=make_fleet(regions) if fleet is None else fleet,
        latency_ns=np.array(np.broadcast_to(latency_ns, (gateways, regions)), dtype=np.int64),
        allowed=np.array(np.broadcast_to(allowed, (gateways, regions)), dtype=bool),
        dispatch=dispatch,
        telemetry_ns=telemetry_ns,
        spill_queue=spill_queue,
        timeout_ns=timeout_ns,
        max_attempts=max_attempts,
        outages=tuple(Outage(*outage) for outage in outages),
        signals=signals,
        seen=signals,
        full_attribution=full_attribution,
        demand=demand,
        expected_rps=np.ones((slots, gateways)),
        capacity_rps=np.array(np.broadcast_to(capacity_rps, regions), dtype=float),
        it_kwh_per_request=np.array(np.broadcast_to(it_kwh_per_request, regions), dtype=float),
        carbon_usd_per_kg=1.5,
        water_usd_per_l=0.06,
        warmup_ns=warmup_ns,
        further=named(signals),
        active_attribution=active_attribution,
        scaling=scaling,
        requests=slot_of(requests, warmup_ns + slot_ns) if isinstance(requests, Requests) else requests,
    )
