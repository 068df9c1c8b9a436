"""How fast the compiled engine runs, each figure with what it is to be compared with.

    python bench/fast_speed.py [quick]

Ten regions, 70 % busy, no log. Speed is requests per second of processor time on one thread, so that other work on the
machine does not count, and wall time where threads are compared; medians of three runs after one that is not counted.
Every run checks that all requests came out served.
"""

import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import simpy_speed

from glbdes.engine.fast import driver as fast
from glbdes.engine.simpy import engine as simpy_engine
from glbdes.hardware import physics
from glbdes.signals import Signals
from glbdes.workload import Requests
from glbdes.world import World
from tests.worlds import Fixed

REGIONS = simpy_speed.REGIONS
UTILISATION = 0.7
RUNS = 3


class Counter:
    """A sink that keeps nothing but how many requests were served."""

    def __init__(self) -> None:
        self.served = 0

    def requests(self, chunk: np.ndarray) -> None:
        self.served += int((chunk["status"] == physics.SERVED).sum())

    def slot(self, record: Any) -> None:
        pass


def world(replicas: int, requests: int, dispatch: int = physics.WEIGHTED) -> World:
    """All in one slot, since a slot of an hour holds more requests than this."""
    simpy_speed.REPLICAS = replicas
    made = simpy_speed.world(requests, UTILISATION)
    parts = [made.requests(slot) for slot in range(made.slots)]
    names = [name for name in Requests.__dataclass_fields__ if getattr(parts[0], name) is not None]
    whole = Requests(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})
    factor = made.slots
    return replace(
        made,
        slots=1,
        slot_ns=factor * made.slot_ns,
        slot_s=factor * made.slot_s,
        dispatch=dispatch,
        requests=lambda slot: whole,
    )


def in_pools(subject: World, pools: int) -> World:
    """`subject`, each region's replicas in so many pools of one model."""
    region_of = np.repeat(np.arange(subject.regions), pools)
    own = {name: column[region_of] for name, column in subject.fleet._asdict().items() if np.ndim(column) == 1}
    fleet = subject.fleet._replace(**own | {"replicas": own["replicas"] // pools})

    def signals(given: Signals) -> Signals:
        return Signals(*(getattr(given, name)[..., region_of] for name in given.__dataclass_fields__))

    return replace(
        subject,
        fleet=fleet,
        latency_ns=subject.latency_ns[:, region_of],
        allowed=subject.allowed[:, region_of] & (np.arange(len(region_of)) % pools == 0),
        signals=signals(subject.signals),
        seen=signals(subject.seen),
        capacity_rps=subject.capacity_rps[region_of],
        it_kwh_per_request=subject.it_kwh_per_request[region_of],
        region_of=region_of,
        first_of=region_of * pools,
    )


def plan_of(subject: World) -> Fixed:
    """Even weights over the regions."""
    weights = np.zeros(subject.allowed.shape)
    weights[:, :: subject.regions // REGIONS] = 1 / REGIONS
    return Fixed(weights)


def speed(subject: World, clock: Callable[[], float] = time.process_time, runs: int = RUNS, **options: Any) -> float:
    """Requests per second of `clock`: the median of `runs`, after one that is not counted."""
    plan = plan_of(subject)
    requests = sum(len(subject.requests(slot)) for slot in range(subject.slots))
    seconds = []
    for _ in range(runs + 1):
        sink = Counter()
        began = clock()
        fast.run(subject, plan, sink, **options)
        seconds.append(clock() - began)
        assert sink.served == requests, f"{sink.served} of {requests} served"
    return requests / statistics.median(seconds[1:])


def simpy_rate(subject: World) -> float:
    sink = Counter()
    began = time.process_time()
    simpy_engine.run(subject, plan_of(subject), sink)
    return sink.served / (time.process_time() - began)


def main() -> None:
    quick = "quick" in sys.argv[1:]
    size = 200_000 if quick else 1_000_000
    rates = {}
    for replicas in (50, 500) if quick else (50, 500, 5000):
        rates[replicas] = speed(world(replicas, 2 * size if replicas > 50 else size), threads=1)
        told = f", {rates[replicas] / rates[50]:.2f} of the speed at 50" if replicas > 50 else ""
        print(f"{replicas:5} replicas a region: {rates[replicas] / 1e6:.2f} M requests/s{told}")
    for name, rule in (("least loaded", physics.LEAST_LOADED), ("spillover", physics.SPILLOVER)):
        rate = speed(world(50, size, rule), threads=1)
        print(f"   50, dispatch by {name}: {rate / 1e6:.2f} M requests/s")
    whole = world(200, size)
    one, four = speed(whole, threads=1), speed(in_pools(whole, 4), threads=1)
    print(f"  200, in four pools of 50: {four / 1e6:.2f} M requests/s, {one / four:.2f} times the cost of one of 200")
    small = world(50, 100_000)
    own, simpys = speed(small, threads=1), simpy_rate(small)
    print(
        f"   50, 100,000 requests: {own / 1e6:.2f} M requests/s; SimPy {simpys / 1e3:.1f} k: {own / simpys:.0f} times"
    )
    subject = world(50, size)
    walls = {n: speed(subject, time.perf_counter, threads=n) for n in (1, 2)}
    told = f"two threads {walls[2] / 1e6:.2f}: {walls[2] / walls[1]:.2f} times"
    print(f"   50, wall time: {walls[1] / 1e6:.2f} M requests/s, {told}")
    if not quick:
        large = speed(world(50, 10_000_000), runs=1, threads=1)
        print(f"   50, 10,000,000 requests: {large / 1e6:.2f} M requests/s, {own / large:.2f} of the cost at 100,000")
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak_mb:,.0f} MB, with all requests of the largest run")


if __name__ == "__main__":
    main()
