"""How fast the compiled engine simulates chunks, beside prompts first, and in how many events.

    python bench/chunked_speed.py [quick]

Ten regions of 50 replicas of `h100_llama8b`, lengths of the conversation law, the same requests for both: 70 % of the
capacity that prompts first have. Requests a second of processor time on one thread; runs of both alternate, medians
of five pairs after one that is not counted. *Events of replicas* are the ends of wake-ups, prompts, epochs, steps with
chunks and rows of steps without, counted in the SimPy engine over fewer requests; beside them a request has one at its
gateway, one at its region, and whatever an event is that another one overtook before it came: *all* that SimPy handles.
"""

import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from simpy import Environment

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from fast_speed import Counter

from glbdes.engine.fast import driver as fast
from glbdes.engine.simpy import chunked_replica, replica
from glbdes.engine.simpy import engine as simpy_engine
from glbdes.hardware import profile
from glbdes.hardware.step_tables import step_tables
from glbdes.scenario.demand import Lengths
from glbdes.units import NS_PER_S
from glbdes.workload.lengths import sample
from glbdes.world import World
from tests.worlds import Fixed, make_fleet, make_requests, make_world

NAME, BATCH, BLOCK, BUDGET, LONGEST = "h100_llama8b", 96, 16, 8192, 32768
REGIONS, REPLICAS, UTILISATION, PAIRS = 10, 50, 0.7, 5
PLAN = Fixed(np.full((REGIONS, REGIONS), 1 / REGIONS))


def worlds(requests: int) -> dict[str, World]:
    """The same requests for prompts first and for chunks."""
    card, rng = profile.load(NAME), np.random.default_rng(1)
    prompt, output = sample(Lengths(max_tokens=LONGEST), rng, requests)
    rate = UTILISATION * REGIONS * REPLICAS * profile.capacity_rps(card, prompt, output, BATCH)
    arrival_s = np.cumsum(rng.exponential(1.0 / rate, requests))
    seconds, joules = card.prefill_table(LONGEST)
    fleet = make_fleet(
        REGIONS, replicas=REPLICAS, max_batch=BATCH, kv_tokens=card.kv_tokens, prefill_s=seconds, prefill_j=joules,
        chained=card.serving.chained_factor, a_s=card.a_s, beta_s=card.beta_s, gamma_s=card.gamma_s,
        e0_j=card.e0_j, e1_j=card.e1_j, e2_j=card.e2_j, idle_w=card.idle_w, sleep_w=card.sleep_w, host_w=0.0,
    )  # fmt: skip
    gateway, uniform = rng.integers(0, REGIONS, requests), rng.random(requests)
    came = make_requests((arrival_s * NS_PER_S).astype(np.int64), prompt, output, gateway, uniform)
    latency_ns = rng.integers(1_000_000, 100_000_000, (REGIONS, REGIONS))
    first = make_world(
        came, slot_s=float(arrival_s[-1]) + 1, gateways=REGIONS, regions=REGIONS, fleet=fleet, latency_ns=latency_ns
    )
    assert card.chunked is not None
    return {
        "prefill_first": first,
        "chunked": replace(first, steps=step_tables([card.chunked], BUDGET, BLOCK, True)),
    }


def cpu_s(world: World, requests: int) -> float:
    """Processor time of one run."""
    sink, begun = Counter(), time.process_time()
    fast.run(world, PLAN, sink, threads=1)
    took = time.process_time() - begun
    assert sink.served == requests
    return took


def events(world: World, requests: int) -> tuple[float, float]:
    """Events of replicas a request, and all that SimPy handles."""
    counts = {"all": 0, "replicas": 0}

    class Counting(Environment):
        def step(self) -> None:
            counts["all"] += 1
            super().step()

    def counted(kind: Any) -> Any:
        step = kind.step

        def of(self: Any, event: Any) -> None:
            counts["replicas"] += event is self.next_event
            step(self, event)

        return patch.object(kind, "step", of)

    kind = replica.Replica if world.steps is None else chunked_replica.ChunkedReplica
    with patch.object(simpy_engine, "Environment", Counting), counted(kind):
        simpy_engine.run(world, PLAN, Counter())
    return counts["replicas"] / requests, counts["all"] / requests


def main() -> None:
    requests = 200_000 if "quick" in sys.argv[1:] else 1_000_000
    subjects = worlds(requests)
    pairs = [{name: cpu_s(world, requests) for name, world in subjects.items()} for _ in range(PAIRS + 1)][1:]
    for name in subjects:
        print(f"{name:14} {requests / statistics.median(pair[name] for pair in pairs) / 1e6:.2f} M requests/s")
    ratios = sorted(pair["prefill_first"] / pair["chunked"] for pair in pairs)
    told = f"{statistics.median(ratios):.2f} of the speed of prompts first"
    fewer = requests // 10
    for name, world in worlds(fewer).items():
        of_replicas, all_of_them = events(world, fewer)
        print(
            f"{name:14} {of_replicas:.2f} events of replicas a request, {all_of_them:.2f} in all ({fewer:,} requests)"
        )
    print(f"chunked has {told} (medians of {PAIRS} pairs; {ratios[0]:.2f} to {ratios[-1]:.2f})")


if __name__ == "__main__":
    main()
