"""Prompts first or in chunks: what the same requests get on the same H100, from half load to near saturation.

    python bench/chunked.py [--requests 40000] [--figure docs/figures/chunked.svg]

One replica of `h100_llama8b`, lengths of the conversation law, Poisson arrivals. Loads are shares of the capacity that
prompts first have (docs/model.md, eq. 7), so that both get the same requests. Beside latency and energy it tells how
many requests a second of processor time the compiled engine simulates of either; compare within one run only. Events
are those of the SimPy engine, counted over the first requests.
"""

import sys
import time
from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from simpy import Environment

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from glbdes.engine.fast import driver as fast
from glbdes.engine.simpy import engine as simpy_engine
from glbdes.hardware import profile
from glbdes.hardware.step_tables import step_tables
from glbdes.scenario.demand import Lengths
from glbdes.units import J_PER_KWH, NS_PER_S
from glbdes.workload.lengths import sample
from glbdes.world import World, meter
from tests.worlds import Fixed, ListSink, make_fleet, make_requests, make_world

NAME, BATCH, BLOCK = "h100_llama8b", 96, 16
LOADS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
BUDGETS = (2048, 8192)  # most tokens of a step: vLLM's old default, and that on an H100
LONGEST = 32768
COUNTED = 2_000  # requests over which events are counted


class Row(NamedTuple):
    """What requests got, in seconds and joules, and how fast they were simulated."""

    scheduler: str
    load: float
    ttft_mean: float
    ttft_p99: float
    tpot_mean: float
    tpot_p99: float
    e2e_mean: float
    board_j: float  # all that the board draws, over the requests
    per_cpu_s: float
    events: float  # a request has in the SimPy engine


def world_at(load: float, requests: int, budget: int | None, seed: int = 1) -> World:
    """`requests` at `load`; prompts first without a `budget`."""
    card, rng = profile.load(NAME), np.random.default_rng(seed)
    prompt, output = sample(Lengths(max_tokens=LONGEST), rng, requests)
    rate = load * profile.capacity_rps(card, prompt, output, BATCH)
    arrival_s = np.cumsum(rng.exponential(1.0 / rate, requests))
    seconds, joules = card.prefill_table(LONGEST)
    fleet = make_fleet(
        max_batch=BATCH, kv_tokens=card.kv_tokens, prefill_s=seconds, prefill_j=joules,
        chained=card.serving.chained_factor, a_s=card.a_s, beta_s=card.beta_s, gamma_s=card.gamma_s,
        e0_j=card.e0_j, e1_j=card.e1_j, e2_j=card.e2_j, idle_w=card.idle_w, sleep_w=card.sleep_w, host_w=0.0,
    )  # fmt: skip
    came = make_requests((arrival_s * NS_PER_S).astype(np.int64), prompt, output)
    world = make_world(came, slot_s=float(arrival_s[-1]) + 1.0, fleet=fleet)
    if budget is None:
        return world
    assert card.chunked is not None
    return replace(world, steps=step_tables([card.chunked], budget, BLOCK, True))


def events(load: float, requests: int, budget: int | None) -> float:
    """Events a request has in the SimPy engine."""

    class Counting(Environment):
        count = 0

        def step(self) -> None:
            Counting.count += 1
            super().step()

    with patch.object(simpy_engine, "Environment", Counting):
        simpy_engine.run(world_at(load, requests, budget), Fixed([[1.0]]), ListSink())
    return Counting.count / requests


def measure(load: float, requests: int, budget: int | None) -> Row:
    """One run."""
    world, sink = world_at(load, requests, budget), ListSink()
    begun = time.process_time()
    fast.run(world, Fixed([[1.0]]), sink, threads=1)
    took = time.process_time() - begun
    table = sink.table
    assert (table["status"] == 0).all()
    arrival, first, finish = (table[name] / NS_PER_S for name in ("arrival_ns", "first_token_ns", "finish_ns"))
    long = table["output_tokens"] > 1
    tpot = (finish - first)[long] / (table["output_tokens"][long] - 1)
    ttft, e2e = first - arrival, finish - arrival
    energy_j = sum(float(meter.slot_energy(world, record).it_kwh[0]) for record in sink.slots) * J_PER_KWH
    counted = events(load, min(requests, COUNTED), budget)
    name = "prefill_first" if budget is None else f"chunked {budget}"
    figures = (ttft.mean(), np.percentile(ttft, 99), tpot.mean(), np.percentile(tpot, 99), e2e.mean())
    return Row(name, load, *(float(x) for x in figures), energy_j / requests, requests / took, counted)


def draw(rows: list[Row], path: Path) -> None:
    """TTFT and TPOT against load, as SVG."""
    import altair as alt
    import pandas as pd

    table = pd.DataFrame(rows)
    panels = []
    titles = {"ttft_p99": "p99 time to first token, s", "tpot_mean": "mean time per token, s", "board_j": "J a request"}
    for key, title in titles.items():
        scale = alt.Scale(type="log", nice=False) if key == "ttft_p99" else alt.Scale(zero=False)
        panels.append(
            alt.Chart(table)
            .mark_line(point=True)
            .encode(
                x=alt.X("load:Q", title="load", scale=alt.Scale(zero=False)),
                y=alt.Y(f"{key}:Q", title=title, scale=scale),
                color=alt.Color("scheduler:N", title=None, scale=alt.Scale(range=["#0072B2", "#E69F00", "#000000"])),
                strokeDash=alt.StrokeDash("scheduler:N", title=None),
            )
            .properties(width=220, height=200)
        )
    chart = alt.hconcat(*panels).configure_view(stroke=None).configure_legend(orient="top", symbolSize=200)
    path.parent.mkdir(parents=True, exist_ok=True)
    chart.save(path)


def main() -> None:
    parser = ArgumentParser(description="Prompts first or in chunks, on one H100.")
    parser.add_argument("--requests", type=int, default=40_000)
    parser.add_argument("--figure", type=Path, help="also draw it (SVG; needs altair and vl-convert)")
    arguments = parser.parse_args()
    for budget in (None, BUDGETS[0]):  # kernels are compiled, once for this version
        measure(0.5, 100, budget)
    rows = [measure(load, arguments.requests, budget) for budget in (None, *BUDGETS) for load in LOADS]
    table = Table("scheduler", "load", box=SIMPLE, title=f"{arguments.requests:,} requests on one H100")
    for heading in (
        "TTFT mean, s",
        "p99",
        "TPOT mean, ms",
        "p99",
        "E2E mean, s",
        "J a request",
        "k requests/s of CPU",
        "events",
    ):
        table.add_column(heading, justify="right")
    for row in rows:
        times = f"{row.ttft_mean:.3f}", f"{row.ttft_p99:.2f}", f"{1e3 * row.tpot_mean:.2f}", f"{1e3 * row.tpot_p99:.1f}"
        rest = f"{row.e2e_mean:.2f}", f"{row.board_j:.1f}", f"{row.per_cpu_s / 1e3:.0f}", f"{row.events:.1f}"
        table.add_row(row.scheduler, f"{row.load:g}", *times, *rest)
    Console(width=130).print(table)
    if arguments.figure:
        draw(rows, arguments.figure)


if __name__ == "__main__":
    main()
