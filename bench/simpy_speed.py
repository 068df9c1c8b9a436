"""How fast the SimPy engine runs: requests per second and events per request, 10 regions x 10 replicas, 70 % busy.

    python bench/simpy_speed.py [requests] [utilisation]

The event count is part of the result: an engine that stopped doing the work would be fast too.
"""

import sys
import time
from pathlib import Path

import numpy as np
import simpy

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from glbdes.engine.simpy import engine as simpy_engine
from tests.worlds import Fixed, ListSink, make_fleet, make_requests, make_world

REGIONS, REPLICAS, BATCH = 10, 10, 64


def world(requests: int, utilisation: float):
    rng = np.random.default_rng(7)
    prompt = np.minimum(rng.lognormal(6.7, 0.9, requests).astype(int) + 1, 8000)
    output = np.minimum(rng.lognormal(5.0, 0.8, requests).astype(int) + 1, 1500)
    context = (output - 1) * (prompt + output / 2)
    busy_s = 2.8e-5 * prompt + (output - 1) * (0.007 / BATCH + 3e-5) + 3e-8 * context
    rate = utilisation * REGIONS * REPLICAS / busy_s.mean()
    arrival_ns = np.cumsum(rng.exponential(1e9 / rate, requests)).astype(np.int64)
    horizon_s = float(arrival_ns[-1] + 1) / 1e9
    fleet = make_fleet(REGIONS, replicas=REPLICAS, max_batch=BATCH, kv_tokens=400_000, beta_s=3e-5,
                       prefill_s=2.8e-5 * np.arange(400_001))  # fmt: skip
    made = make_requests(arrival_ns, prompt, output, rng.integers(0, REGIONS, requests), rng.random(requests))
    latency_ns = rng.integers(1_000_000, 100_000_000, (REGIONS, REGIONS))
    return make_world(
        made, slots=8, slot_s=horizon_s / 8 + 1, gateways=REGIONS, regions=REGIONS, fleet=fleet, latency_ns=latency_ns
    )


def main() -> None:
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    utilisation = float(sys.argv[2]) if len(sys.argv) > 2 else 0.7
    events = 0
    step = simpy.Environment.step
    rates = []
    for run in range(4):
        subject = world(requests, utilisation)
        if run == 0:  # count events in a run of its own, so that counting costs the timed ones nothing

            def counted(env: simpy.Environment) -> None:
                nonlocal events
                events += 1
                step(env)

            simpy.Environment.step = counted
        began = time.perf_counter()
        sink = ListSink()
        simpy_engine.run(subject, Fixed(np.full((REGIONS, REGIONS), 1 / REGIONS)), sink)
        rates.append(requests / (time.perf_counter() - began))
        simpy.Environment.step = step
        assert len(sink.table) == requests
        assert (sink.table["status"] == 0).all()
    busy = sum(sink.meter(name).sum() for name in ("prefill_ns", "decode_ns"))
    total = REGIONS * REPLICAS * subject.horizon_ns
    e2e_s = (sink.table["finish_ns"] - sink.table["arrival_ns"]).mean() / 1e9
    all_rates = ", ".join(f"{rate:,.0f}" for rate in rates[1:])
    print(f"{requests:,} requests at {utilisation:.2f} of capacity; busy {busy / total:.2f}; mean E2E {e2e_s:.2f} s")
    print(f"{np.median(rates[1:]):,.0f} requests/s (median of {all_rates})")
    print(f"{events / requests:.2f} events a request")


if __name__ == "__main__":
    main()
