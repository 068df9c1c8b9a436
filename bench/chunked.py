"""Prompts first or in chunks: what the same requests get on the same H100, from half load to near saturation.

    python bench/chunked.py [--requests 40000] [--figure docs/figures/chunked.svg]

One replica of `h100_llama8b`, lengths of the conversation law, Poisson arrivals. Loads are shares of the capacity that
prompts first have (docs/model.md, eq. 7), so that both get the same requests. Beside latency and energy it tells how
many requests a second of processor time the compiled engine simulates of either; compare within one run only. Events
are those of the SimPy engine, counted over the first requests. ITL is the gap from one token of a request to its next,
over all gaps: all steps of all requests are carried out one by one for it, and must end in the records' times.

A second table has TPOT where each is at the same share of its own capacity, which is what it serves when twice as much
comes as prompts first can serve.
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
from tests.token_gaps import replay
from tests.worlds import Fixed, ListSink, make_fleet, make_requests, make_world

NAME, BATCH, BLOCK = "h100_llama8b", 96, 16
LOADS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
BUDGETS = (2048, 8192)  # most tokens of a step: vLLM's old default, and that on an H100
LONGEST = 32768
COUNTED = 2_000  # requests over which events are counted
MOST_OFF_NS = 1_000  # of the steps carried out one by one, from the records
NAMES = {None: "prefill_first"} | {budget: f"chunked {budget}" for budget in BUDGETS}


class Row(NamedTuple):
    """What requests got, in seconds and joules, and how fast they were simulated."""

    scheduler: str
    load: float
    ttft_mean: float
    ttft_p99: float
    tpot_mean: float
    tpot_p99: float
    itl_p99: float
    e2e_mean: float
    board_j: float  # all that the board draws, over the requests
    per_cpu_s: float
    events: float  # a request has in the SimPy engine


def world_at(load: float, requests: int, budget: int | None, capacity_rps: float | None = None) -> World:
    """`requests` at `load`, a share of `capacity_rps` (None: that of eq. 7); prompts first without a `budget`."""
    card, rng = profile.load(NAME), np.random.default_rng(1)
    prompt, output = sample(Lengths(max_tokens=LONGEST), rng, requests)
    rate = load * (capacity_rps or profile.capacity_rps(card, prompt, output, BATCH))
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


def records(world: World) -> tuple[np.ndarray, ListSink, float]:
    """Requests of one run by id, all else, and the seconds of processor time that it took."""
    sink, begun = ListSink(), time.process_time()
    fast.run(world, Fixed([[1.0]]), sink, threads=1)
    took, table = time.process_time() - begun, sink.table
    assert (table["status"] == 0).all()
    return table, sink, took


def tpot_s(table: np.ndarray) -> np.ndarray:
    """Seconds a token after the first, of each request that has any."""
    long = table[table["output_tokens"] > 1]
    return (long["finish_ns"] - long["first_token_ns"]) / NS_PER_S / (long["output_tokens"] - 1)


def itl_p99_s(world: World, table: np.ndarray) -> float:
    """The 99th percentile of all gaps between tokens, of steps carried out one by one."""
    tokens = replay(world)
    off = np.abs([tokens.first_ns - table["first_token_ns"], tokens.finish_ns - table["finish_ns"]])
    assert off.max() <= MOST_OFF_NS, f"{off.max()} ns off the records"
    return tokens.gap_quantile_ns(0.99) / NS_PER_S


def measure(load: float, requests: int, budget: int | None) -> Row:
    """One run."""
    world = world_at(load, requests, budget)
    table, sink, took = records(world)
    arrival, first, finish = (table[name] / NS_PER_S for name in ("arrival_ns", "first_token_ns", "finish_ns"))
    tpot, ttft, e2e = tpot_s(table), first - arrival, finish - arrival
    energy_j = sum(float(meter.slot_energy(world, record).it_kwh[0]) for record in sink.slots) * J_PER_KWH
    counted = events(load, min(requests, COUNTED), budget)
    figures = (ttft.mean(), np.percentile(ttft, 99), tpot.mean(), np.percentile(tpot, 99))
    figures += (itl_p99_s(world, table), e2e.mean())
    return Row(NAMES[budget], load, *(float(x) for x in figures), energy_j / requests, requests / took, counted)


def overload_rps(requests: int, budget: int | None) -> float:
    """What a replica serves when twice as much comes as it can: the middle eight tenths of all that finish."""
    table, _, _ = records(world_at(2.0, requests, budget))
    tenths = np.sort(table["finish_ns"])[[requests // 10, 9 * requests // 10]]
    return (9 * requests // 10 - requests // 10) * NS_PER_S / float(tenths[1] - tenths[0])


def own_shares(requests: int) -> Table:
    """Mean TPOT in milliseconds where each is at the same share of its own capacity."""
    served = {budget: overload_rps(requests, budget) for budget in NAMES}
    table = Table("share of own capacity", box=SIMPLE, title="TPOT mean, ms, each at a share of what it serves")
    for budget, name in NAMES.items():
        table.add_column(f"{name} ({served[budget]:.2f}/s)", justify="right")
    for load in LOADS:
        tpots = [tpot_s(records(world_at(load, requests, budget, served[budget]))[0]).mean() for budget in NAMES]
        cells = (f"{1e3 * tpot:.2f} ({tpot / tpots[0] - 1:+.1%})" for tpot in tpots[1:])
        table.add_row(f"{load:g}", f"{1e3 * tpots[0]:.2f}", *cells)
    return table


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
        "ITL p99, ms",
        "E2E mean, s",
        "J a request",
        "k requests/s of CPU",
        "events",
    ):
        table.add_column(heading, justify="right")
    for row in rows:
        times = f"{row.ttft_mean:.3f}", f"{row.ttft_p99:.2f}", f"{1e3 * row.tpot_mean:.2f}", f"{1e3 * row.tpot_p99:.1f}"
        times += (f"{1e3 * row.itl_p99:.1f}",)
        rest = f"{row.e2e_mean:.2f}", f"{row.board_j:.1f}", f"{row.per_cpu_s / 1e3:.0f}", f"{row.events:.1f}"
        table.add_row(row.scheduler, f"{row.load:g}", *times, *rest)
    console = Console(width=140)
    console.print(table)
    console.print(own_shares(arguments.requests))
    if arguments.figure:
        draw(rows, arguments.figure)


if __name__ == "__main__":
    main()
