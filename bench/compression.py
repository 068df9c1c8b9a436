"""What compressed time does to a run's totals, with warm-ups and without, against the limit of long slots.

    python bench/compression.py [slots] [limit_s] [policy ...]

llm10, its first `slots` slots (default: 457, all), compiled engine, no requests kept. Each policy is run at 8, 16 and
32 simulated seconds a slot, with the warm-up that the scenario gets by rule and without any, with as many seeds as make
up 32 s a slot together, so that all means are equally noisy; the limit is one run of `limit_s` seconds a slot (default
128) with the same warm-up. `cost` and `eglb_simplex` change their plans with every slot; `nearest` and `uniform` hardly
do, so a warm-up must not move them beyond noise: one standard deviation of the number of requests comes to 0.07 % of
it, and of cost to less.
"""

import sys
from typing import Any

import numpy as np

from glbdes import simulate

POLICIES = ("cost", "eglb_simplex", "nearest", "uniform")
SLOTS_S = (8.0, 16.0, 32.0)


def figures(policy: str, simulated_s: float, seed: int, *settings: str) -> tuple[float, float, float, float]:
    """USD, mean E2E, requests per simulated second, and the warm-up in s of one run."""
    changes = (
        f"time.simulated_s_per_slot={simulated_s!r}",
        "records.requests=none",
        "serving.scheduler=prefill_first",
        *settings,
    )
    found: dict[str, Any] = simulate("llm10", policy=policy, engine="fast", seed=seed, overrides=changes).summary
    rate_rps = found["requests"]["total"] / found["simulated_s"]
    return found["totals"]["cost_usd"], found["latency_s"]["e2e"]["mean"], rate_rps, found["warmup_s"]


def main() -> None:
    slots = f"time.slots={sys.argv[1] if len(sys.argv) > 1 else 457}"
    limit_s = float(sys.argv[2]) if len(sys.argv) > 2 else 128.0
    for policy in sys.argv[3:] or POLICIES:
        limit = np.array(figures(policy, limit_s, 1, slots))
        print(f"{policy}, limit of {limit_s:g} s a slot: {limit[0]:.2f} USD, E2E {limit[1]:.3f} s", flush=True)
        for simulated_s in SLOTS_S:
            for settings in ((), ("time.warmup_s=0.0",)):
                seeds = range(1, round(max(SLOTS_S) / simulated_s) + 1)
                found = np.mean([figures(policy, simulated_s, seed, slots, *settings) for seed in seeds], axis=0)
                usd, e2e, rate = 100 * (found[:3] / limit[:3] - 1)
                told = f"cost {usd:+.2f} %, E2E {e2e:+.2f} %, requests {rate:+.2f} %"
                print(f"  {simulated_s:3g} s a slot after {found[3]:4.1f} s: {told}", flush=True)


if __name__ == "__main__":
    main()
