"""Random worlds for the differential test of the compiled engine, and the comparison of two engines' records.

A `Case` says what a world is made of: a choice for every feature of the model, from the table `CHOICES`, and a seed for
the numbers. Tests draw cases with hypothesis, which shrinks each choice towards its first value, or by number. On a
coarse clock all times are multiples of one tick, so that ties of every kind are the rule.
"""

import zlib
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from glbdes.engine.fast import driver as fast
from glbdes.engine.simpy import engine as simpy_engine
from glbdes.hardware import physics
from glbdes.world import Plan, SlotRecord, View, World
from glbdes.world.scaling import Cap, Scaling
from tests.pool_worlds import in_pools
from tests.worlds import ListSink, make_fleet, make_further, make_requests, make_signals, make_world

SLOT_NS = 2_000_000_000  # warm-up included
FINE_TICK_NS = 1
BLOCK_REPLICAS = 70  # more than the engine's sets hold in one word


class Case(NamedTuple):
    """What a world is made of."""

    seed: int
    requests: int
    gateways: int
    regions: int
    slots: int
    tick_ns: int
    rule: int
    replicas: int  # of the largest region
    batch: int
    kv_tokens: int
    max_queue: int
    timeout_ns: int
    latency_ns: int  # at most
    telemetry_ns: int
    spill_queue: int
    max_attempts: int
    outages: int
    sleeps: bool
    full_attribution: bool
    chained: float
    warmup_ns: int
    weight: float
    forbidden: bool  # some gateways may not send everywhere
    bunched: bool  # requests come many at a time
    threads: int
    chunk: int
    scaling: str
    packed: bool
    capped: bool
    active_attribution: bool
    pooled: bool  # regions have several pools


CHOICES: dict[str, tuple[Any, ...]] = {
    "requests": (1, 3, 10, 30, 60, 100, 150),
    "gateways": (1, 2, 3),
    "regions": (1, 2, 3),
    "slots": (1, 2, 4),
    "tick_ns": (50_000_000, FINE_TICK_NS, 10_000_000, FINE_TICK_NS, 1_000_000, FINE_TICK_NS),
    "rule": (physics.WEIGHTED, physics.SMOOTH, physics.LEAST_LOADED, physics.SPILLOVER, physics.PLAN_LEAST_LOADED),
    "replicas": (1, 2, 3, 4, BLOCK_REPLICAS),
    "batch": (1, 2, 4, 8),
    "kv_tokens": (100_000, 900, 2000),
    "max_queue": (1 << 40, 0, 3, 20),
    "timeout_ns": (physics.NEVER_NS, 50_000_000, 500_000_000, 2_000_000_000),
    "latency_ns": (0, 50_000_000, 200_000_000),
    "telemetry_ns": (0, 50_000_000, 150_000_000),
    "spill_queue": (0, 1, 3),
    "max_attempts": (1, 2, 3),
    "outages": (0, 0, 1, 2, 5),
    "sleeps": (False, True),
    "full_attribution": (False, True),
    "chained": (1.0, 1.5),
    "warmup_ns": (0, 0, 50_000_000, 600_000_000, 1_950_000_000),
    "weight": (1.0, 12.5),
    "forbidden": (False, True),
    "bunched": (False, True),
    "threads": (1, 2, 3),
    "chunk": (1 << 17, 7, 40),
    "scaling": ("always_on", "planned", "follow", "always_on", "planned"),
    "packed": (False, False, True),
    "capped": (False, False, True),
    "active_attribution": (False, True),
    "pooled": (False, False, True),
}


def cases() -> st.SearchStrategy[Case]:
    """Cases for hypothesis."""
    return st.builds(
        Case, seed=st.integers(0, 1 << 32), **{name: st.sampled_from(chosen) for name, chosen in CHOICES.items()}
    )


def numbered(seed: int, **forced: Any) -> Case:
    """Case number `seed`, the same on every machine; `forced` replaces choices."""
    rng = np.random.default_rng(seed)
    drawn = {name: chosen[int(rng.integers(len(chosen)))] for name, chosen in CHOICES.items()}
    return Case(seed=seed, **{**drawn, **forced})


class Drawn:
    """A plan drawn afresh for every slot, with zeros in it."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def plan(self, view: View) -> np.ndarray | Plan:
        rng = np.random.default_rng([self.seed, view.slot])
        weights = rng.integers(0, 4, view.mask.shape) * view.mask
        empty = weights.sum(axis=1) == 0
        weights[empty] = view.mask[empty]
        weights = weights / weights.sum(axis=1, keepdims=True)
        if view.awake_most is None or rng.random() < 0.3:
            return weights
        return Plan(weights, rng.integers(view.awake_least, view.awake_most + 1))


def world_of(case: Case) -> World:
    """The world of `case`: times are drawn on its clock."""
    rng = np.random.default_rng(case.seed)
    tick, regions, gateways = case.tick_ns, case.regions, case.gateways
    horizon_ns = case.slots * SLOT_NS

    def on_clock(low: int, high: int, size: Any = None) -> np.ndarray:
        return np.asarray(rng.integers(low, high + 1, size) // tick * tick)

    arrival_ns = on_clock(0, horizon_ns - 1, case.requests)
    if case.bunched:
        arrival_ns = rng.choice(arrival_ns[: 1 + case.requests // 8], case.requests)
    scaling, pack = elastic(case)
    made = make_world(
        make_requests(
            arrival_ns,
            prompt=rng.integers(1, 800, case.requests),
            output=np.where(rng.random(case.requests) < 0.1, 1, rng.integers(1, 60, case.requests)),
            gateway=rng.integers(0, gateways, case.requests),
            uniform=rng.random(case.requests),
            slo=rng.integers(0, 3, case.requests),
        ),
        slots=case.slots,
        slot_s=case.weight * (SLOT_NS - case.warmup_ns) / 1e9,
        simulated_s=(SLOT_NS - case.warmup_ns) / 1e9,
        warmup_ns=case.warmup_ns,
        gateways=gateways,
        regions=regions,
        clock_ns=tick,
        fleet=make_fleet(
            regions,
            chained=case.chained,
            replicas=rng.integers(1, case.replicas + 1, regions),
            max_batch=rng.integers(1, case.batch + 1, regions),
            kv_tokens=case.kv_tokens,
            max_queue=case.max_queue,
            a_s=rng.uniform(0.005, 0.02, regions),
            gamma_s=rng.uniform(0.0, 1e-6, regions),
            e0_j=rng.uniform(1.0, 4.0, regions),
            sleep_after_ns=on_clock(0, 300_000_000, regions) if case.sleeps else physics.NEVER_NS,
            wake_ns=on_clock(0, 100_000_000, regions),
            host_sleep_w=20.0,
            pack=pack,
        ),
        latency_ns=on_clock(0, case.latency_ns, (gateways, regions)),
        allowed=allowed(rng, case),
        dispatch=case.rule,
        telemetry_ns=case.telemetry_ns,
        spill_queue=case.spill_queue,
        timeout_ns=case.timeout_ns,
        max_attempts=case.max_attempts,
        outages=outages(rng, case, arrival_ns),
        signals=make_signals(
            case.slots,
            regions,
            price_usd_per_kwh=rng.uniform(0.01, 0.3, (case.slots, regions)),
            carbon_g_per_kwh=rng.uniform(20.0, 700.0, (case.slots, regions)),
            ewif_l_per_kwh=rng.uniform(0.5, 5.0, (case.slots, regions)),
            pue=rng.uniform(1.05, 1.6, (case.slots, regions)),
            further_per_kwh=make_further(np.random.default_rng([case.seed, 17]), case.slots, regions),
        ),
        full_attribution=case.full_attribution,
        active_attribution=case.active_attribution and not case.full_attribution,
        scaling=scaling,
    )
    if case.pooled and regions > 1:
        made = in_pools(made, np.random.default_rng([case.seed, 53]))
    return made


def elastic(case: Case) -> tuple[Scaling | None, int]:
    """Who says how many replicas are awake, and up to how many requests they are filled."""
    rng, tick, horizon_ns = np.random.default_rng([case.seed, 54]), case.tick_ns, case.slots * SLOT_NS
    caps = []
    for region in range(case.regions if case.capped else 0):
        edges = np.unique(rng.integers(0, horizon_ns + 1, 3) // tick * tick).tolist()
        caps += [Cap(region, *edge, int(rng.integers(0, 3))) for edge in pairwise(edges)]
    pack = int(rng.integers(1, case.batch + 1)) if case.packed else 0
    if case.scaling == "always_on" and not caps:
        return None, pack
    return Scaling(
        rule=case.scaling,
        least=rng.integers(0, 2, case.regions),
        utilisation=np.full(case.regions, 0.7),
        replica_rps=rng.uniform(0.5, 20.0, case.regions),
        every_ns=int(rng.integers(1, 10)) * max(100_000_000 // tick, 1) * tick,
        cool_down_ns=int(rng.integers(0, 10)) * 100_000_000,
        age_ns=int(rng.integers(0, 3)) * 100_000_000,
        caps=tuple(caps),
    ), pack


def allowed(rng: np.random.Generator, case: Case) -> np.ndarray:
    mask = (rng.random((case.gateways, case.regions)) < 0.6) | (not case.forbidden)
    mask[np.arange(case.gateways), rng.integers(0, case.regions, case.gateways)] = True
    return mask


def outages(rng: np.random.Generator, case: Case, arrival_ns: np.ndarray) -> list[tuple[int, int, int]]:
    """Outages that overlap between regions and touch within one, some of them beyond the horizon.

    They like to begin and end with a slot, or when some request loses its patience.
    """
    horizon_ns = case.slots * SLOT_NS
    patience_ns = 0 if case.timeout_ns == physics.NEVER_NS else case.timeout_ns
    made = []
    for region in range(case.regions):
        count = int(rng.integers(0, case.outages + 1))
        anywhere = rng.integers(0, 5 * horizon_ns // 4, count + 1) // case.tick_ns * case.tick_ns
        with_slot = rng.integers(0, case.slots + 1, count + 1) * SLOT_NS
        with_timeout = rng.choice(arrival_ns, count + 1) + patience_ns
        kind = rng.integers(0, 3, count + 1)
        edges = np.unique(np.choose(kind, [anywhere, with_slot, with_timeout]))
        step = int(rng.integers(1, 3))  # 1: the next begins as one ends
        made += [(region, int(a), int(b)) for a, b in zip(edges[:-1:step], edges[1::step], strict=False)]
    return made


def simpy_run(case: Case) -> ListSink:
    sink = ListSink()
    simpy_engine.run(world_of(case), Drawn(case.seed), sink)
    return sink


def fast_run(case: Case) -> ListSink:
    sink = ListSink()
    fast.run(world_of(case), Drawn(case.seed), sink, threads=case.threads, chunk=case.chunk)
    return sink


def differences(ours: ListSink, theirs: ListSink, rtol: float = 1e-12) -> list[str]:
    """Where two runs' records differ: whole numbers at all, energies and footprints by more than `rtol`."""
    found: list[str] = []
    compare(found, "requests", ours.table, theirs.table, rtol)
    if [record.slot for record in ours.slots] != [record.slot for record in theirs.slots]:
        return [*found, "slots"]
    for a, b in zip(ours.slots, theirs.slots, strict=True):
        compare(found, f"slot {a.slot}", a.meters, b.meters, rtol)
        if len(a.warmup) != len(b.warmup):
            found.append(f"slot {a.slot}: {len(a.warmup)} and {len(b.warmup)} meters that do not count")
        for mine, other in zip(a.warmup, b.warmup, strict=False):
            compare(found, f"warm-up of slot {a.slot}", mine, other, rtol)
        if not np.array_equal(a.awake, b.awake):
            found.append(f"slot {a.slot}: awake")
        if not np.array_equal(vain(a), vain(b)):
            found.append(f"slot {a.slot}: dispatched in the warm-up")
        for name in ("weights", "demand_rps", "dispatched"):
            if not np.array_equal(getattr(a, name), getattr(b, name)):
                found.append(f"slot {a.slot}: {name}")
    return found


def vain(record: SlotRecord) -> np.ndarray:
    """What was dispatched and does not count."""
    return np.zeros_like(record.dispatched) if record.warmup_dispatched is None else record.warmup_dispatched


def compare(found: list[str], place: str, ours: np.ndarray, theirs: np.ndarray, rtol: float) -> None:
    if len(ours) != len(theirs):
        found.append(f"{place}: {len(ours)} and {len(theirs)} rows")
        return
    for name in ours.dtype.names or ():
        a, b = ours[name], theirs[name]
        same = a == b if a.dtype.kind == "i" else np.isclose(a, b, rtol=rtol, atol=0.0)
        if not same.all():
            row = int(np.argwhere(~same)[0][0])
            found.append(f"{place}: {name}[{row}] = {a[row]} and {b[row]}, {int((~same).sum())} differ")


def digest(sink: ListSink) -> int:
    """One number for all records, bit for bit."""
    parts = [sink.table.tobytes(), *(meters.tobytes() for one in sink.slots for meters in (one.meters, *one.warmup))]
    return zlib.crc32(b"".join(parts))
