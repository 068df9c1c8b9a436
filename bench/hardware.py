"""What a real H100 did under load, against the SimPy engine: latency and energy of the served runs, side by side.

    python bench/hardware.py [MEASUREMENTS.json] [--fit 3,11] [--figure docs/figures/hardware.svg]

The profile is fitted to the runs that `--fit` names (see `glbdes/hardware/fit.py`), by default to all, as the shipped
one is: the host's time to all of them, prompts and energy to the one of the lowest rate. The other runs are
predictions. One replica gets the arrivals, prompts and answers of the run; there is no network. Without an argument the
measurements are looked for in the data folder beside the checkout.

Whether a request arrives just before or just after an iteration ends is chance, and whom it then queues behind follows
from that. So each run is also replayed with every arrival shifted at random by up to half an iteration; the range of
the errors over these replays says which errors are the model's and which are the toss of a coin.
"""

import sys
from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from glbdes.engine.simpy import engine as simpy_engine
from glbdes.hardware import Profile
from glbdes.hardware.fit import RESIDUAL_COLUMNS, fit_profile, residual_rows
from glbdes.hardware.gpu import read_gpu
from glbdes.hardware.measurements import Served
from glbdes.units import J_PER_KWH, NS_PER_S
from glbdes.world import meter
from tests.worlds import Fixed, ListSink, make_fleet, make_requests, make_world

MEASURED = Path(__file__).resolve().parents[2] / "shared" / "data" / "gpu" / "h100_llama8b.json"
MAX_BATCH = 64  # of the measured server
PHASES = 20  # replays with shifted arrivals
SHIFT_S = 0.004  # about half an iteration
QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}

Floats = NDArray[np.float64]


class Latencies(NamedTuple):
    """Of each request, in order of arrival; seconds, [n]. TPOT only of answers of two tokens or more."""

    ttft_s: Floats
    tpot_s: Floats
    e2e_s: Floats


class Row(NamedTuple):
    """A quantity as measured and as simulated; errors are relative."""

    quantity: str
    unit: str
    measured: float
    simulated: float
    shifted: Floats  # simulated with shifted arrivals, [replay]

    @property
    def error(self) -> float:
        return self.simulated / self.measured - 1.0

    @property
    def range(self) -> str:
        """Lowest, median and highest error over the replays with shifted arrivals."""
        errors = self.shifted / self.measured - 1.0
        return f"{errors.min():+.1%} .. {np.median(errors):+.1%} .. {errors.max():+.1%}" if len(errors) else ""


def simulate(profile: Profile, run: Served) -> tuple[Latencies, float]:
    """Latencies, and joules over the run's window, of `run`'s requests on one replica of the SimPy engine."""
    kv_tokens = profile.kv_tokens
    seconds, joules = profile.prefill_table(kv_tokens)
    fleet = make_fleet(
        max_batch=MAX_BATCH, kv_tokens=kv_tokens, prefill_s=seconds, prefill_j=joules,
        chained=profile.serving.chained_factor,
        a_s=profile.a_s, beta_s=profile.beta_s, gamma_s=profile.gamma_s,
        e0_j=profile.e0_j, e1_j=profile.e1_j, e2_j=profile.e2_j,
        idle_w=profile.idle_w, sleep_w=profile.sleep_w, host_w=profile.host_w,
    )  # fmt: skip
    arrival_ns = np.round(run.arrival_s * NS_PER_S).astype(np.int64)
    requests = make_requests(arrival_ns, run.prompt_tokens, run.output_tokens)
    world = make_world(requests, slot_s=run.window_s, fleet=fleet)
    sink = ListSink()
    simpy_engine.run(world, Fixed([[1.0]]), sink)
    table = sink.table
    assert (table["status"] == 0).all(), "every request was served on the device"
    energy_j = sum(float(meter.slot_energy(world, record).it_kwh[0]) for record in sink.slots) * J_PER_KWH
    first, finish = table["first_token_ns"] / NS_PER_S, table["finish_ns"] / NS_PER_S
    return _latencies(table["arrival_ns"] / NS_PER_S, first, finish, table["output_tokens"]), energy_j


def measured(run: Served) -> Latencies:
    """What the device did, in the same order."""
    order = np.argsort(run.arrival_s, kind="stable")
    columns = run.arrival_s, run.first_token_s, run.finish_s, run.output_tokens
    return _latencies(*(column[order] for column in columns))


def figures(latencies: Latencies, energy_j: float) -> dict[str, tuple[str, float]]:
    """Mean and quantiles of latencies, and energy: quantity to (unit, value)."""
    values = {}
    for name, seconds in zip(("TTFT", "TPOT", "E2E"), latencies, strict=True):
        values[f"{name} mean"] = "s", float(seconds.mean())
        values |= {f"{name} {label}": ("s", float(np.quantile(seconds, q))) for label, q in QUANTILES.items()}
    return {**values, "energy": ("J", energy_j)}


def compare(profile: Profile, run: Served, phases: int = PHASES) -> list[Row]:
    """Every figure as measured, as simulated, and as simulated in `phases` replays with shifted arrivals."""
    real = figures(measured(run), run.energy_j)
    model = figures(*simulate(profile, run))
    rng = np.random.default_rng(1)
    shifted = [figures(*simulate(profile, _shifted(run, rng))) for _ in range(phases)]
    return [
        Row(key, unit, value, model[key][1], np.array([replay[key][1] for replay in shifted]))
        for key, (unit, value) in real.items()
    ]


def _shifted(run: Served, rng: np.random.Generator) -> Served:
    shift_s = rng.uniform(-SHIFT_S, SHIFT_S, len(run.arrival_s))
    return run._replace(arrival_s=np.maximum(run.arrival_s + shift_s, 0.0))


def _latencies(arrival_s: Floats, first_s: Floats, finish_s: Floats, output: NDArray[np.int64]) -> Latencies:
    long = output > 1
    tpot_s = (finish_s - first_s)[long] / (output[long] - 1)
    return Latencies(first_s - arrival_s, tpot_s, finish_s - arrival_s)


def draw(profile: Profile, rate: float, run: Served, path: Path) -> None:
    """The distributions of TTFT and E2E, measured and simulated, as SVG."""
    import altair as alt
    import pandas as pd

    model, _ = simulate(profile, run)
    panels = []
    for title, real_s, model_s, scale in (
        ("time to first token, s (log scale)", measured(run).ttft_s, model.ttft_s, alt.Scale(type="log", nice=False)),
        ("end-to-end latency, s", measured(run).e2e_s, model.e2e_s, alt.Scale(nice=False)),
    ):
        table = pd.concat(
            pd.DataFrame({"seconds": np.sort(x), "share": np.arange(1, len(x) + 1) / len(x), "of": of})
            for of, x in (("H100, measured", real_s), ("SimPy engine", model_s))
        )
        colour = alt.Color("of:N", title=None, scale=alt.Scale(range=["#1f2933", "#e8590c"]))
        dash = alt.StrokeDash("of:N", title=None, scale=alt.Scale(range=[[1, 0], [5, 3]]))
        x = alt.X("seconds:Q", title=title, scale=scale, axis=alt.Axis(tickCount=6, grid=False))
        y = alt.Y("share:Q", title="share of requests", axis=alt.Axis(format="%", tickCount=5))
        line = alt.Chart(table).mark_line(interpolate="step-after", strokeWidth=1.8)
        panels.append(line.encode(x=x, y=y, color=colour, strokeDash=dash).properties(width=330, height=230))
    heading = f"{len(run.arrival_s)} requests at {rate:g}/s on one H100: measured, and predicted from another run"
    chart = alt.hconcat(*panels, title=heading).configure_view(stroke=None)
    chart = chart.configure_legend(orient="top", symbolSize=300).configure_title(anchor="start", fontSize=13, offset=12)
    path.parent.mkdir(parents=True, exist_ok=True)
    chart.save(path)


def main() -> None:
    parser = ArgumentParser(description="A real H100 under load against the SimPy engine.")
    parser.add_argument("measurements", type=Path, nargs="?", default=MEASURED)
    parser.add_argument("--fit", metavar="RATES", help="fit to the runs at these rates, separated by commas")
    parser.add_argument("--figure", type=Path, help="also draw the distributions (SVG; needs altair and vl-convert)")
    arguments = parser.parse_args()
    if arguments.measurements == MEASURED and not MEASURED.is_file():
        print("skipped: the data folder beside the checkout is not here")
        return
    data = read_gpu(arguments.measurements)
    if not data.served:
        parser.error(f"{arguments.measurements} has no served run to compare with")
    rates = sorted(data.served) if arguments.fit is None else [float(rate) for rate in arguments.fit.split(",")]
    if not set(rates) <= data.served.keys():
        parser.error(
            f"--fit {arguments.fit}: there are runs at {', '.join(f'{rate:g}' for rate in sorted(data.served))}/s"
        )
    profile, residuals = fit_profile(replace(data, served={rate: data.served[rate] for rate in rates}))
    console = Console(width=110)
    fits = Table(*RESIDUAL_COLUMNS, title=f"Fit of {profile.name}: {profile.serving.source}", box=SIMPLE)
    for row in residual_rows(residuals):
        fits.add_row(*row)
    console.print(fits)
    for rate, run in sorted(data.served.items()):
        role = "predicted" if rate not in rates else "fitted to it" if rate == min(rates) else "host time fitted to it"
        table = Table("quantity", "unit", title=f"{len(run.arrival_s)} requests at {rate:g}/s ({role})", box=SIMPLE)
        for column in ("measured", "simulated", "error", f"error in {PHASES} replays with shifted arrivals"):
            table.add_column(column, justify="right")
        for row in compare(profile, run):
            numbers = f"{row.measured:.5g}", f"{row.simulated:.5g}", f"{row.error:+.1%}"
            table.add_row(row.quantity, row.unit, *numbers, row.range)
        console.print(table)
    if arguments.figure:
        draw(profile, max(data.served), data.served[max(data.served)], arguments.figure)


if __name__ == "__main__":
    main()
