"""What two real vLLM 0.19 servers did under load, against the chunked scheduler and step times of their cards.

    python bench/vllm.py [FOLDER] [--alone] [--figure docs/figures/vllm.svg]
    python bench/vllm.py SERVER [--first 100] [--kv-tokens 550000]

One server ran on an RTX 4090 whose KV cache is so small that it preempts all the time, the other on an RTX PRO 6000
whose cache never fills; 300 requests each. The first is predicted from its grid of steps alone. The second lost time on
its host, which a grid of kernel times does not have: that is fitted to its first 100 requests, and all 300 are told
beside the 200 that nothing was fitted to. The formula of a step is fitted where work is (docs/model.md, "Steps in
chunks"); arrivals and lengths are the run's own. Without an argument the data are looked for beside the checkout.

Prompts are turns of ShareGPT conversations, and 32 of the 300 begin with the prompt of an earlier one, whose blocks the
servers' prefix caches may still hold. Files of the runs do not tell, but the token ids of the workload do (the
repository casys-kaist/LLMServingSim, workloads/sharegpt-llama-3.1-8b-300-sps10.jsonl): `vllm_prefixes.csv` says who
begins like whom and for how many tokens. `--alone` leaves it out.

SERVER is the folder of another server: steps.csv, requests.csv, meta.json with vLLM's settings and, if the course is to
be told too, timeseries.csv. Its host's time is fitted to as many requests as `--first` says, if any.
"""

import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from glbdes.engine.simpy.server import Floats, Outcome
from glbdes.hardware.chunked import Chunked
from glbdes.hardware.fit_steps import fit_chunked, where_work_is
from glbdes.hardware.served_file import ServedRequests, read_served
from glbdes.hardware.steps_file import read_steps
from glbdes.study.served import Latencies, Server, fit_host, latencies, predicted

MEASURED = Path(__file__).resolve().parents[2] / "shared" / "data" / "vllm"
ANY_W = 1.0  # energy is no matter here
WORKLOAD = "05e48b32da530d4a3dd77f3d47c6fe694ac8308d611aa088e38bb10fba2b3b3a"  # what `PREFIXES` is of: `dataset_hash`
PREFIXES = Path(__file__).with_name("vllm_prefixes.csv")
QUANTILES = (50, 75, 90, 95, 99)


class Case(NamedTuple):
    """A server that was measured."""

    folder: str
    title: str
    server: Server
    first: int  # requests that the host's time is fitted to


CASES = (
    Case("rtx4090_llama8b", "RTX 4090, from its grid of steps alone", Server(256, 2048, 2588 * 16, 16), 0),
    Case("rtxpro6000_llama8b", "RTX PRO 6000, host time from 100 requests", Server(128, 2048, 550_000, 16), 100),
)


def told(folder: Path, first: int, kv_tokens: int | None) -> Case:
    """The server of `folder`, as its meta.json has it."""
    meta = json.loads((folder / "meta.json").read_text())
    settings, cache = meta["engine_kwargs"], meta.get("kv_cache", {"block_size": 16})
    room = kv_tokens or cache.get("num_kv_tokens")
    if room is None:
        raise SystemExit(f"{folder / 'meta.json'} does not tell the size of the KV cache: --kv-tokens must")
    host = f"host time from {first} requests" if first else "from its grid of steps alone"
    server = Server(settings["max_num_seqs"], settings["max_num_batched_tokens"], room, cache["block_size"])
    return Case(folder.name, f"{folder.name}, {host}", server, first)


class Row(NamedTuple):
    """A figure of some requests as measured and as predicted, in seconds."""

    figure: str
    measured: float
    predicted: float

    @property
    def error(self) -> float:
        return self.predicted / self.measured - 1.0


def with_prefixes(run: ServedRequests) -> ServedRequests:
    """`run`, of the workload that both servers had, with its common prefixes."""
    table = pd.read_csv(PREFIXES)
    assert np.array_equal(run.prompt_tokens[table["request"]], table["prompt_tokens"])
    of, tokens = run.prefix_of.copy(), run.prefix_tokens.copy()
    of[table["request"]], tokens[table["request"]] = table["prefix_of"], table["prefix_tokens"]
    return run._replace(prefix_of=of, prefix_tokens=tokens)


def prediction(case: Case, folder: Path, alone: bool = False) -> tuple[ServedRequests, Chunked, Outcome]:
    """The run, the coefficients, and what they predict."""
    steps, run = read_steps(folder / "steps.csv"), read_served(folder / "requests.csv")
    if not alone and json.loads((folder / "meta.json").read_text())["dataset_hash"] == WORKLOAD:
        run = with_prefixes(run)
    server = case.server
    region = where_work_is(steps, run.prompt_tokens, run.output_tokens, server.max_batch, server.kv_tokens)
    chunked = fit_chunked(steps, region, case.folder, ANY_W)
    if case.first:
        chunked = fit_host(chunked, server, run, case.first, "requests.csv")
    return run, chunked, predicted(chunked, server, run)


def rows(run: ServedRequests, outcome: Outcome, since: int = 0) -> list[Row]:
    """Means and quantiles of the requests from number `since` on."""
    real = latencies(run, run.first_token_s, run.last_token_s)
    model = latencies(run, outcome.first_token_s, outcome.finish_s)
    names = Latencies._fields
    return [row for name, x, y in zip(names, real, model, strict=True) for row in _rows(name.upper(), x, y, since)]


def _rows(name: str, real: Floats, model: Floats, since: int) -> list[Row]:
    real, model = real[since:], model[since:]
    told = np.isfinite(real)
    real, model = real[told], model[told]
    found = [Row(f"{name} mean", float(real.mean()), float(model.mean()))]
    return found + [
        Row(f"{name} p{q}", float(np.percentile(real, q)), float(np.percentile(model, q))) for q in QUANTILES
    ]


def course(outcome: Outcome, times_s: Floats) -> pd.DataFrame:
    """The server's state at `times_s`, as predicted: running, waiting, kv_cache_pct."""
    at = np.maximum(np.searchsorted(outcome.course.begin_s, times_s, side="right") - 1, 0)
    over = times_s > np.nanmax(outcome.finish_s)
    columns = {
        "running": outcome.course.running,
        "waiting": outcome.course.waiting,
        "kv_cache_pct": 100.0 * outcome.course.kv_share,
    }
    return pd.DataFrame({"t": times_s} | {name: np.where(over, 0, values[at]) for name, values in columns.items()})


def draw(series: dict[str, tuple[pd.DataFrame, pd.DataFrame]], path: Path) -> None:
    """Running, waiting and KV use second by second, measured and predicted, as SVG."""
    import altair as alt

    titles = {"running": "requests running", "waiting": "requests waiting", "kv_cache_pct": "KV cache used, %"}
    panels = []
    for title, (real, model) in series.items():
        seen = real.where(real != 0, np.nan) if not real["kv_cache_pct"].any() else real
        table = pd.concat([seen.assign(of="vLLM, measured"), model.assign(of="predicted")])
        lines = []
        for key, label in titles.items():
            lines.append(
                alt.Chart(table)
                .mark_line(strokeWidth=1.5, interpolate="step-after")
                .encode(
                    x=alt.X("t:Q", title="s", axis=alt.Axis(grid=False, tickCount=6)),
                    y=alt.Y(f"{key}:Q", title=label, axis=alt.Axis(tickCount=4)),
                    color=alt.Color("of:N", title=None, scale=alt.Scale(range=["#e8590c", "#1f2933"])),
                    strokeDash=alt.StrokeDash("of:N", title=None, scale=alt.Scale(range=[[4, 2], [1, 0]])),
                )
                .properties(width=330, height=110)
            )
        panels.append(alt.vconcat(*lines, title=title))
    chart = alt.hconcat(*panels).configure_view(stroke=None).configure_legend(orient="top", symbolSize=300)
    chart = chart.configure_title(anchor="start", fontSize=13, offset=12)
    path.parent.mkdir(parents=True, exist_ok=True)
    chart.save(path)


def show(console: Console, case: Case, folder: Path, alone: bool) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """Print what is predicted of a server beside what was measured; its course, both ways, if that was measured."""
    run, chunked, outcome = prediction(case, folder, alone)
    console.print(f"{case.title}: steps fitted to {chunked.source}")
    host = f"host {1e3 * chunked.host_s:.2f} ms a step and {1e6 * chunked.host_request_s:.1f} us a request in it"
    cached = f"{outcome.cached_tokens.sum():,} prompt tokens found of {run.prompt_tokens.sum():,}"
    console.print(f"{host}; {outcome.preemptions.sum()} preemptions, {len(outcome.course.begin_s)} steps, {cached}")
    parts = [("all requests", rows(run, outcome))]
    if case.first:
        parts.append((f"but the first {case.first}", rows(run, outcome, case.first)))
    table = Table("", box=SIMPLE)
    for name, _ in parts:
        for heading in ("measured, s", "predicted", f"error, {name}"):
            table.add_column(heading, justify="right")
    for together in zip(*(found for _, found in parts), strict=True):
        cells = [(f"{row.measured:.4g}", f"{row.predicted:.4g}", f"{row.error:+.1%}") for row in together]
        table.add_row(together[0].figure, *(cell for three in cells for cell in three))
    console.print(table)
    if not (folder / "timeseries.csv").exists():
        return None
    real = pd.read_csv(folder / "timeseries.csv")
    model = course(outcome, real["t"].to_numpy(dtype=np.float64))
    apart = [
        f"{name} {np.abs(real[name] - model[name]).mean():.1f} (of {real[name].mean():.1f})"
        for name in ("running", "waiting", "kv_cache_pct")
        if real[name].any()  # the second server told nothing of its cache
    ]
    console.print(f"Mean distance second by second, and the measured mean: {', '.join(apart)}\n")
    return real, model


def asked() -> Namespace:
    parser = ArgumentParser(description="Real vLLM servers under load against the chunked scheduler.")
    parser.add_argument("folder", type=Path, nargs="?", default=MEASURED)
    parser.add_argument("--alone", action="store_true", help="as if no two prompts began alike")
    parser.add_argument("--first", type=int, default=0, help="of another server: requests that its host is fitted to")
    parser.add_argument("--kv-tokens", type=int, help="of another server: size of its KV cache, if meta.json has none")
    parser.add_argument("--figure", type=Path, help="also draw the servers' course (SVG; needs altair and vl-convert)")
    return parser.parse_args()


def main() -> None:
    arguments = asked()
    if arguments.folder == MEASURED and not MEASURED.is_dir():
        print("skipped: the data folder beside the checkout is not here")
        return
    if (arguments.folder / "steps.csv").exists():
        cases = [(told(arguments.folder, arguments.first, arguments.kv_tokens), arguments.folder)]
    else:
        cases = [(case, arguments.folder / case.folder) for case in CASES]
    console = Console(width=110)
    found = {case.title: show(console, case, folder, arguments.alone) for case, folder in cases}
    if arguments.figure:
        draw({title: series for title, series in found.items() if series is not None}, arguments.figure)


if __name__ == "__main__":
    main()
