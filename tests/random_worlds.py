"""Random small worlds that press on every rule at once, and the comparison of an engine's records with the twin's.

On a coarse clock every duration is a few ticks, so that events of different kinds fall on the same instant all the
time: that is what makes the order of section 2 of docs/model.md visible. An iteration is kept longer than a tick there:
two iterations of one epoch must not end together.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from glbdes.engine.fast import driver as fast
from glbdes.engine.simpy import engine as simpy_engine
from glbdes.hardware.physics import NEVER_NS, PLAN_LEAST_LOADED
from glbdes.units import NS_PER_S
from glbdes.world import Plan, Policy, View, World
from glbdes.world.scaling import Cap, Scaling
from tests.pool_worlds import in_pools
from tests.twin import Run, simulate
from tests.worlds import ListSink, make_fleet, make_further, make_requests, make_signals, make_world

CLOCKS_NS = (1, 1_000_000, 10_000_000, 100_000_000)
FINE_TICK_NS = 10_000_000  # the scale of durations on the fine clock

EXACT = ("gateway", "region", "replica", "slo", "status", "attempts", "prompt_tokens", "output_tokens", "arrival_ns")
EXACT += ("preemptions", "cached_tokens")
TIMES = ("start_ns", "first_token_ns", "finish_ns")
FOOTPRINTS = ("energy_j", "cost_usd", "carbon_g", "water_l", "further")
COUNTS = ("arrived", "served", "rejected", "timed_out", "failed", "queue_max", "wakes")
AREAS = ("queue_area_ns", "system_area_ns", "prefill_ns", "decode_ns", "idle_ns", "down_ns", "asleep_ns")
JOULES = ("prefill_j", "decode_j", "idle_j", "sleep_j", "attributed_j")


class Moody:
    """A plan drawn afresh for each slot, with zeros in it, that also turns from what the meters and signals say."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.told_kg = 0.0

    def plan(self, view: View) -> np.ndarray | Plan:
        rng = np.random.default_rng([self.seed, view.slot])
        shape = view.mask.shape
        weights = rng.integers(0, 4, shape) / 4 if rng.random() < 0.5 else rng.dirichlet(np.ones(shape[1]), shape[0])
        # Rounded, because engine and twin add up the same joules in different orders.
        weights = weights / np.round(1.0 + view.carbon_kg + view.water_l + self.told_kg + view.past_demand_rps.sum(), 5)
        weights = weights * view.mask
        empty = weights.sum(axis=1) == 0
        weights[empty] = view.mask[empty]
        weights = weights / weights.sum(axis=1, keepdims=True)
        if view.awake_most is None or rng.random() < 0.3:
            return weights
        return Plan(weights, rng.integers(view.awake_least, view.awake_most + 1))

    def observe(self, outcome) -> None:
        self.told_kg = float(outcome.carbon_kg[0])


def random_world(seed: int, clock_ns: int = 1, **forced) -> World:
    """World number `seed` on a clock of `clock_ns`; `forced` replaces arguments of `make_world`, the rule of its
    scaling (`scaling_rule`), and whether neighbours are pools of one region (`pooled`)."""
    pooled_anyway, rule = forced.pop("pooled", False), forced.pop("scaling_rule", None)
    rng = np.random.default_rng([seed, clock_ns])
    tick = clock_ns if clock_ns > 1 else FINE_TICK_NS
    tick_s = tick / NS_PER_S

    def some_ticks(low: float, high: float, size=None):
        """Times between `low` and `high` ticks, on the clock."""
        return np.asarray(np.floor(rng.uniform(low, high, size) * tick / clock_ns) * clock_ns).astype(np.int64)

    def one_of(*choices):
        return choices[rng.integers(len(choices))]

    regions, gateways, slots = (int(rng.integers(1, 4)) for _ in range(3))
    n = int(rng.integers(5, 60))
    fleet = make_fleet(
        regions,
        replicas=rng.integers(1, 4, regions),
        max_batch=rng.integers(1, 5, regions),
        kv_tokens=rng.integers(25, 120, regions) if rng.random() < 0.6 else 1000,
        max_queue=one_of(1 << 40, rng.integers(0, 4, regions), rng.integers(0, 12, regions)),
        a_s=rng.uniform(1.05, 3.0, regions) * tick_s,
        beta_s=rng.uniform(0.0, 0.4, regions) * tick_s,
        gamma_s=rng.uniform(0.0, 0.02, regions) * tick_s,
        e0_j=rng.uniform(0.5, 4.0, regions),
        e1_j=rng.uniform(0.0, 0.5, regions),
        e2_j=rng.uniform(0.0, 0.01, regions),
        idle_w=rng.uniform(50.0, 150.0, regions),
        sleep_w=rng.uniform(5.0, 50.0, regions),
        host_w=rng.uniform(0.0, 60.0, regions),
        sleep_after_ns=one_of(NEVER_NS, some_ticks(1, 12, regions), some_ticks(5, 80, regions)),
        wake_ns=one_of(0, some_ticks(1, 12, regions)),
        profile=rng.integers(0, 2, regions),
        chained=float(rng.choice([1.0, 1.3])),
        prefill_s=rng.uniform(0.0, 1.5, (2, 1)) * tick_s + np.arange(1001) * rng.uniform(0.01, 0.1, (2, 1)) * tick_s,
        prefill_j=rng.uniform(0.0, 1.0, (2, 1)) + np.arange(1001) * rng.uniform(0.01, 0.1, (2, 1)),
    )
    work_ticks = 22.0 / float((fleet.replicas * np.sqrt(fleet.max_batch)).sum())  # per request, roughly
    horizon_ticks = int(np.ceil(n * work_ticks / rng.uniform(0.3, 1.8))) + slots
    period_ticks = horizon_ticks // slots + 1
    warmup_ns = tick * int(one_of(0, 1, 3, period_ticks // 2, period_ticks - 1, rng.integers(0, period_ticks)))
    period_ns = tick * period_ticks
    warmup_ns = min(warmup_ns, period_ns - tick)
    slot_ns = period_ns - warmup_ns
    allowed = rng.random((gateways, regions)) < 0.8
    allowed[np.arange(gateways), rng.integers(0, regions, gateways)] = True
    outages, weight = [], one_of(1.0, 12.5)
    if rng.random() < 0.5:
        for region in range(regions):
            edges = np.unique(some_ticks(0, 1.3 * horizon_ticks, int(one_of(0, 2, 3, 4))))
            step = int(one_of(1, 2))  # 1: an outage begins as the one before it ends
            outages += [(region, int(a), int(b)) for a, b in zip(edges[:-1:step], edges[1::step], strict=False)]
    rates = {name: rng.uniform(0.05, 0.4, (slots, regions)) for name in ("price_usd_per_kwh", "wue_l_per_kwh")}
    arguments = {
        "slots": slots,
        "slot_s": weight * slot_ns / NS_PER_S,
        "simulated_s": slot_ns / NS_PER_S,
        "warmup_ns": warmup_ns,
        "gateways": gateways,
        "regions": regions,
        "clock_ns": clock_ns,
        "fleet": fleet,
        "latency_ns": some_ticks(one_of(0, 1), one_of(2, 6), (gateways, regions)),
        "allowed": allowed,
        "dispatch": int(rng.integers(0, 4)),
        "telemetry_ns": int(one_of(0, some_ticks(1, 15))),
        "spill_queue": int(rng.integers(0, 4)),
        "timeout_ns": int(one_of(NEVER_NS, some_ticks(1, 60))),
        "max_attempts": int(rng.integers(1, 4)),
        "outages": outages,
        "signals": make_signals(
            slots,
            regions,
            **rates,
            carbon_g_per_kwh=rng.uniform(50.0, 700.0, (slots, regions)),
            ewif_l_per_kwh=rng.uniform(0.5, 5.0, (slots, regions)),
            pue=rng.uniform(1.05, 1.6, (slots, regions)),
            further_per_kwh=make_further(np.random.default_rng([seed, clock_ns, 17]), slots, regions),
        ),
        "full_attribution": bool(rng.random() < 0.5),
        "demand": one_of("truth", "last", "forecast"),
    }
    requests = make_requests(
        np.minimum(some_ticks(0, horizon_ticks, n), slots * period_ns - clock_ns),
        prompt=rng.integers(1, 41, n),
        output=np.where(rng.random(n) < 0.2, 1, rng.integers(1, 13, n)),
        gateway=rng.integers(0, gateways, n),
        uniform=rng.random(n),
        slo=rng.integers(0, 2, n),
    )
    if np.random.default_rng([seed, clock_ns, PLAN_LEAST_LOADED]).random() < 0.2:  # apart: all else stays as it is
        arguments["dispatch"] = PLAN_LEAST_LOADED
    arguments |= elastic(np.random.default_rng([seed, clock_ns, 54]), arguments, tick, n)
    if rule is not None and arguments["scaling"] is not None:
        arguments["scaling"] = arguments["scaling"]._replace(rule=rule)
    arguments |= forced
    arguments["active_attribution"] = arguments["active_attribution"] and not arguments["full_attribution"]
    world, pooled = make_world(requests, **arguments), np.random.default_rng([seed, clock_ns, 58])
    # Pools of one region go down together: worlds with second attempts elsewhere are to stay frequent.
    share = 0.04 if world.outages and world.max_attempts > 1 else 0.2
    return in_pools(world, pooled) if regions > 1 and (pooled.random() < share or pooled_anyway) else world


def elastic(rng: np.random.Generator, arguments: dict, tick: int, n: int) -> dict:
    """Arguments of a world whose replicas may be told to be awake or asleep, whose requests may pay for hosts."""
    fleet, regions, clock_ns = arguments["fleet"], arguments["regions"], arguments["clock_ns"]
    horizon_ns = arguments["slots"] * (arguments["warmup_ns"] + round(arguments["simulated_s"] * NS_PER_S))

    def ticks(low: int, high: int) -> int:
        return int(rng.uniform(low, high) * tick) // clock_ns * clock_ns

    fleet = fleet._replace(
        host_sleep_w=fleet.host_w * rng.choice([0.0, 0.3, 1.0]),
        pack=rng.integers(0, fleet.max_batch + 1) * int(rng.random() < 0.4),
    )
    rule = str(rng.choice(["always_on", "idle", "follow", "follow", "planned", "planned"]))
    caps = []
    for region in range(regions if rng.random() < 0.4 else 0):
        edges = np.unique([ticks(0, 1 + horizon_ns / tick) for _ in range(4)]).tolist()
        edges[:1] = [int(rng.choice([edges[0], 0]))]
        most = int(fleet.replicas[region])
        caps += [Cap(region, a, b, int(rng.integers(0, most + 1))) for a, b in pairwise(edges)]
    if rule in ("follow", "planned") and rng.random() < 0.6:
        fleet = fleet._replace(sleep_after_ns=fleet.sleep_after_ns * 0 + NEVER_NS)
    scaling = Scaling(
        rule=rule,
        least=np.minimum(rng.integers(0, 2, regions), fleet.replicas),
        utilisation=rng.uniform(0.3, 1.0, regions),
        replica_rps=rng.uniform(0.2, 1.5, regions) * float(rng.choice([1.0, n / (horizon_ns / NS_PER_S) / regions])),
        every_ns=ticks(2, 40) + clock_ns,
        cool_down_ns=int(rng.choice([0, ticks(1, 90)])),
        age_ns=int(rng.choice([0, ticks(1, 60)])),
        caps=tuple(caps),
    )
    return {
        "fleet": fleet,
        "active_attribution": not arguments["full_attribution"] and bool(rng.random() < 0.5),
        "scaling": scaling if rng.random() < 0.6 else None,
    }


def engine_run(world: World, policy: Policy) -> ListSink:
    sink = ListSink()
    simpy_engine.run(world, policy, sink, policy_name="test")
    return sink


def fast_run(world: World, policy: Policy) -> ListSink:
    sink = ListSink()
    fast.run(world, policy, sink, policy_name="test")
    return sink


def disagreements(world: World, seed: int, run: Callable[[World, Policy], ListSink] = engine_run) -> list[str]:
    """What the engine and the twin say differently of `world`; empty if they agree."""
    return differences(run(world, Moody(seed)), simulate(world, Moody(seed)), exact=world.clock_ns > 1)


def differences(sink: ListSink, twin: Run, exact: bool) -> list[str]:
    """Every field in which records differ: times by more than 1 us (`exact`: at all), amounts by more than 1e-9."""
    table, found = sink.table, []
    if table["request_id"].tolist() != twin.requests["request_id"].tolist():
        return [f"request ids: {len(table)} records, the twin has {len(twin.requests)}"]

    def compare(place: str, name: str, ours, theirs, close: Callable) -> None:
        bad = ~close(np.asarray(ours), np.asarray(theirs))
        if bad.any():
            where = np.argwhere(bad)[0].tolist()
            pair = f"{np.asarray(ours)[tuple(where)]} != {np.asarray(theirs)[tuple(where)]}"
            found.append(f"{place} {name} {where}: {pair} ({int(bad.sum())} in all)")

    slack_ns = 0 if exact else 1000

    def equal(a, b):
        return a == b

    def in_time(a, b):
        return np.abs(a - b) <= slack_ns

    def in_sum(a, b):  # areas and times add up over the requests
        return np.abs(a - b) <= slack_ns * len(table)

    def in_amount(a, b):
        return np.isclose(a, b, rtol=1e-9, atol=1e-15)

    exact_names = (*EXACT, *(["session"] if "session" in (table.dtype.names or ()) else []))
    for names, close in ((exact_names, equal), (TIMES, in_time), (FOOTPRINTS, in_amount)):
        for name in names:
            if name in twin.requests.dtype.names:
                compare("request", name, table[name], twin.requests[name], close)
    if [record.slot for record in sink.slots] != [record.slot for record in twin.slots]:
        return [*found, f"slots {[record.slot for record in sink.slots]}"]
    for ours, theirs in zip(sink.slots, twin.slots, strict=True):
        place = f"slot {ours.slot}"
        compare(place, "weights", ours.weights, theirs.weights, in_amount)
        compare(place, "demand_rps", ours.demand_rps, theirs.demand_rps, in_amount)
        for awake in (ours.awake, theirs.awake):
            assert (awake is None) == (ours.awake is None)
        if ours.awake is not None:
            compare(place, "awake", ours.awake, theirs.awake, equal)
        compare(place, "dispatched", ours.dispatched, theirs.dispatched, equal)
        if len(ours.warmup) != len(theirs.warmup):
            return [*found, f"{place}: {len(ours.warmup)} meters that do not count, the twin has {len(theirs.warmup)}"]
        if ours.warmup:
            compare(place, "dispatched in vain", ours.warmup_dispatched, theirs.warmup_dispatched, equal)
        parts = [
            ("", ours.meters, theirs.meters),
            *zip(("warm-up ", "after "), ours.warmup, theirs.warmup, strict=False),
        ]
        for part, mine, twins in parts:
            for names, close in ((COUNTS, equal), (AREAS, in_sum), (JOULES, in_amount)):
                for name in names:
                    compare(place, part + name, mine[name], twins[name], close)
    return found
