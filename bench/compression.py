"""What compressed time does to a run's totals, with warm-ups and without, against the limit of long slots.

    python bench/compression.py [slots] [limit_s]

llm10, its first `slots` slots (default: all), compiled engine, no requests kept. Each policy is run at 8, 16 and 32
simulated seconds a slot, with the warm-up that the scenario gets by rule and without any; the limit is one run of
`limit_s` seconds a slot (default 256) with the same warm-up. `cost` and `eglb_simplex` change their plans with every
slot; `nearest` and `uniform` never do, so a warm-up must not move them by more than the requests that happen to come:
`noise` is what one standard deviation of the number of requests of a run comes to, in per cent of the limit.
"""

import sys
from typing import Any

from glbdes import simulate

POLICIES = ("cost", "eglb_simplex", "nearest", "uniform")
SLOTS_S = (8.0, 16.0, 32.0)
COMMON = ("records.requests=none",)


def figures(policy: str, simulated_s: float, *settings: str) -> dict[str, Any]:
    """The summary of a run."""
    changes = (f"time.simulated_s_per_slot={simulated_s!r}", *COMMON, *settings)
    summary: dict[str, Any] = simulate("llm10", policy=policy, engine="fast", overrides=changes).summary
    return summary


def main() -> None:
    slots = [f"time.slots={sys.argv[1]}"] if len(sys.argv) > 1 else []
    limit_s = float(sys.argv[2]) if len(sys.argv) > 2 else 256.0
    for policy in POLICIES:
        limit = figures(policy, limit_s, *slots)
        cost, mean_s = limit["totals"]["cost_usd"], limit["latency_s"]["e2e"]["mean"]
        per_request = cost / limit["requests"]["total"]
        print(f"{policy}: {cost:.2f} USD, E2E {mean_s:.3f} s at {limit_s:g} s a slot, warm-up {limit['warmup_s']:g} s")
        for simulated_s in SLOTS_S:
            told = []
            for name, settings in (("by rule", ()), ("none", ("time.warmup_s=0.0",))):
                found = figures(policy, simulated_s, *settings, *slots)
                off = found["totals"]["cost_usd"] / cost - 1
                slow = found["latency_s"]["e2e"]["mean"] / mean_s - 1
                told.append(f"{name} {100 * off:+.2f} % of cost, {100 * slow:+.2f} % of E2E")
            noise = found["requests"]["total"] ** 0.5 * per_request * limit_s / simulated_s / cost
            print(f"    {simulated_s:g} s a slot: warm-up {'; '.join(told)} (noise {100 * noise:.2f} %)", flush=True)


if __name__ == "__main__":
    main()
