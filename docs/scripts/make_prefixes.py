"""Draw docs/figures/prefixes.svg and print the table of docs/prefixes.md: what routing costs in lost prefixes.

    python docs/scripts/make_prefixes.py [TRACE] [--seeds 5]

llm10's ten regions, an H100 each, a day at 1:1. TRACE is the conversation trace of kvcache-ai/Mooncake, again and
again; without it, sessions are drawn (`workload.sessions`). Policies spread the same requests, with each kind of
affinity, in caches as large as the profile says and ten times as large. Tables are of means over seeds, and of half
their 95 % intervals.
"""

import itertools
import sys
import tempfile
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd

from glbdes import simulate
from glbdes.hardware import profile
from glbdes.present.plots import style
from glbdes.records import metrics
from glbdes.records.headline import half_width
from glbdes.units import J_PER_KWH
from glbdes.workload.sources.mooncake import MOONCAKE
from glbdes.workload.tidy import import_requests

FIGURE = Path(__file__).resolve().parents[1] / "figures/prefixes.svg"
POLICIES = ("nearest", "cost", "eglb_simplex")
AFFINITIES = ("request", "session_slot", "session")
CACHES = (1, 10)
KV_TOKENS = profile.load("h100_llama8b").kv_tokens
SETTINGS = (
    "time.simulated_s_per_slot=3600.0",
    "workload.shape=constant",
    "workload.lengths.max_tokens=131072",
    "serving.scheduler=chunked",
    "serving.max_batched_tokens=8192",
    "serving.block_tokens=512",
    "fleet.replicas=1",
    "records.requests=none",
)
DRAWN = (  # a turn adds what a conversation of the Azure trace does; a system prompt of two blocks
    "workload.load_scale=0.3",
    "workload.sessions.turns=8",
    "workload.sessions.think_s=60.0",
    "workload.sessions.system_tokens=1024",
)


def replayed(table: Path) -> tuple[str, ...]:
    return (
        "workload.arrivals=replay",
        f"workload.file={table}",
        "workload.replay_loop=true",
        "workload.load_scale=1.0",
    )


def figures(
    policy: str, affinity: str, times: int, seed: int, settings: tuple[str, ...], folder: Path
) -> dict[str, Any]:
    """One run, in a few numbers."""
    chosen = (*SETTINGS, *settings, f"dispatch.affinity={affinity}", f"fleet.kv_tokens={times * KV_TOKENS}")
    out = folder / f"{policy}_{affinity}_{times}_{seed}"
    run = simulate("llm10", policy=policy, engine="fast", seed=seed, overrides=chosen, out=out)
    found = metrics.summary(run.records)
    ttft, served = found["latency_s"]["ttft"], found["requests"]["served"]
    return {
        "policy": policy,
        "affinity": affinity,
        "cache": f"x {times}",
        "seed": seed,
        "served": served,
        "hit_rate": found["prefix_hit_rate"],
        "it_kwh": found["totals"]["it_kwh"],
        "j_per_request": (found["totals"]["it_kwh"] - found["totals"]["unattributed_kwh"]) * J_PER_KWH / served,
        "cost_usd": found["totals"]["cost_usd"],
        "objective_usd": found["objective_usd"],
        "par_carbon": found["par"]["carbon"],
        "par_water": found["par"]["water"],
        "ttft_mean_s": ttft["mean"],
        "ttft_p95_s": ttft["p95"],
    }


def draw(means: pd.DataFrame) -> None:
    """Hit rate, joules a request and TTFT: a row of panels a size of cache, a group of bars a policy."""
    told = {"hit_rate": "Prompt tokens found", "j_per_request": "J a request", "ttft_mean_s": "Mean TTFT, s"}
    rows = []
    for times, title in zip(CACHES, ("Caches as the profile has them", "Ten times as large"), strict=True):
        panels = []
        for key, label in told.items():
            axis = alt.Axis(format="~%", tickCount=4) if key == "hit_rate" else alt.Axis(tickCount=4)
            bars = (
                alt.Chart(means[means["cache"] == f"x {times}"])
                .mark_bar()
                .encode(
                    alt.X("policy:N", title=None, sort=list(POLICIES), axis=alt.Axis(labelAngle=0)),
                    alt.Y(f"{key}:Q", title=label, axis=axis, scale=alt.Scale(domainMax=float(means[key].max()))),
                    style.colour(list(AFFINITIES), "affinity"),
                    xOffset=alt.XOffset("affinity:N", sort=list(AFFINITIES)),
                )
            )
            panels.append(bars.properties(width=210, height=140))
        rows.append(alt.hconcat(*panels, title=title))
    alt.vconcat(*rows).configure_title(anchor="start", fontSize=13).save(FIGURE)


def main() -> None:
    parser = ArgumentParser(description="What routing costs in lost prefixes.")
    parser.add_argument("trace", type=Path, nargs="?")
    parser.add_argument("--slots", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    cases = itertools.product(CACHES, POLICIES, AFFINITIES, range(1, arguments.seeds + 1))
    with tempfile.TemporaryDirectory() as name:
        folder, settings = Path(name), DRAWN
        if arguments.trace is not None:
            import_requests(arguments.trace, MOONCAKE, folder / "trace.parquet")
            settings = replayed(folder / "trace.parquet")
        settings = (*settings, f"time.slots={arguments.slots}")
        rows = []
        for times, policy, affinity, seed in cases:
            rows.append(figures(policy, affinity, times, seed, settings, folder))
            print(rows[-1], file=sys.stderr)
    grouped = pd.DataFrame(rows).drop(columns="seed").groupby(["cache", "policy", "affinity"], sort=False)
    means = grouped.mean().reset_index()
    for table in (means, grouped.agg(lambda values: half_width(list(values))).reset_index()):
        print(table.to_string(float_format="{:.4g}".format), end="\n\n")
    draw(means)


if __name__ == "__main__":
    main()
