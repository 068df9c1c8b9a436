"""Fill the tables of docs/workload.md and draw its figure: the law `azure_conv` beside the trace that it stands for.

    python docs/scripts/make_workload_page.py

Needs the data folder beside the checkout, and altair and vl-convert for the figure.
"""

import re
import time
from itertools import pairwise
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
from scipy import stats

from glbdes.scenario.demand import Lengths, Workload
from glbdes.workload import arrivals, lengths
from glbdes.workload.azure import read_azure

DOCS = Path(__file__).resolve().parents[1]
TRACE = DOCS / "../../shared/data/azure_llm/AzureLLMInferenceTrace_conv.csv"
PERCENTS = (1, 5, 10, 25, 50, 75, 90, 95, 99, 99.9)
DRAWS = 1_000_000
SEED = 2023

LOG_AXIS = alt.Axis(values=[10.0**k for k in range(-4, 5)], labelExpr="format(datum.value, '~g')")

Pair = tuple[np.ndarray, np.ndarray]


def quantile_table(trace: Pair, drawn: Pair) -> str:
    rows = []
    bounds = np.quantile(trace[0], [0, 1 / 3, 2 / 3, 1])
    kinds = [("prompt", *(pair[0] for pair in (trace, drawn))), ("output", *(pair[1] for pair in (trace, drawn)))]
    kinds.append(("prompt + output", trace[0] + trace[1], drawn[0] + drawn[1]))
    for low, high in pairwise(bounds):
        parts = [pair[1][(pair[0] > low) & (pair[0] <= high)] for pair in (trace, drawn)]
        kinds.append((f"output, prompt {low + 1:.0f} to {high:.0f}", *parts))
    for name, theirs, ours in kinds:
        for label, values in (("trace", theirs), ("law", ours)):
            cells = [f"{value:.0f}" for value in np.percentile(values, PERCENTS)]
            rows.append(
                [name if label == "trace" else "", label, f"{values.mean():.1f}", f"{values.std():.1f}", *cells]
            )
    return markdown(["tokens", "", "mean", "std", *(f"p{percent:g}" for percent in PERCENTS)], rows)


def distance_table(trace: Pair, drawn: Pair) -> str:
    """Distances to the trace: of the law, of the trace's own halves, of simpler couplings of the same marginals."""
    rng = np.random.default_rng(SEED)
    shuffled = rng.permutation(len(trace[0]))
    halves = [tuple(side[part] for side in trace) for part in np.array_split(shuffled, 2)]
    shaken = (drawn[0], rng.permutation(drawn[1]))
    rows = [
        ["azure_conv", *distances(trace, drawn)],
        ["one half of the trace, from the other", *distances(*halves)],
        ["same marginals, Gaussian copula", *distances(trace, copula(trace, drawn, rng))],
        ["same marginals, independent", *distances(trace, shaken)],
    ]
    rows.append(["trace", "", "", "", "", *correlations(trace)])
    return markdown(["", "KS prompt", "KS output", "KS total", "joint", "Spearman", "Pearson"], rows)


def copula(trace: Pair, drawn: Pair, rng: np.random.Generator) -> Pair:
    """The law's marginals, coupled by a Gaussian copula with the trace's rank correlation."""
    rho = 2 * np.sin(np.pi / 6 * stats.spearmanr(*trace).statistic)
    x, y = rng.standard_normal((2, len(drawn[0])))
    ranks = (np.argsort(np.argsort(values)) for values in (x, rho * x + np.sqrt(1 - rho**2) * y))
    return tuple(np.sort(side)[rank] for side, rank in zip(drawn, ranks, strict=True))


def distances(theirs: Pair, ours: Pair) -> list[str]:
    pairs = (*zip(theirs, ours, strict=True), (theirs[0] + theirs[1], ours[0] + ours[1]))
    marginal = [f"{stats.ks_2samp(*pair).statistic:.4f}" for pair in pairs]
    return [*marginal, f"{joint_distance(theirs, ours):.4f}", *correlations(ours)]


def correlations(pair: Pair) -> list[str]:
    return [f"{stats.spearmanr(*pair).statistic:.3f}", f"{np.corrcoef(*pair)[0, 1]:.3f}"]


def joint_distance(theirs: Pair, ours: Pair) -> float:
    edges = [np.unique(np.quantile(side, np.arange(1, 80) / 80)) for side in theirs]
    edges = [np.concatenate([[-np.inf], np.nextafter(axis, np.inf), [np.inf]]) for axis in edges]
    cdf = [np.histogram2d(*pair, bins=edges)[0].cumsum(0).cumsum(1) / len(pair[0]) for pair in (theirs, ours)]
    return float(abs(cdf[0] - cdf[1]).max())


def arrivals_table() -> str:
    """Index of dispersion of counts, var / mean, over windows of 1, 10 and 100 s at 10 requests/s."""
    rows = []
    for name, workload in (
        ("poisson", Workload()),
        ("gamma, burstiness_cv2 = 4", Workload(arrivals="gamma")),
        ("mmpp, factor 4, fraction 0.1, mean 5 s", Workload(arrivals="mmpp")),
    ):
        law, rng = arrivals.law(workload), np.random.default_rng(SEED)
        times = [law(rng, 10.0, 1000.0) for _ in range(300)]
        cells = [f"{sum(map(len, times)) / 300_000:.3f}"]
        for window in (1, 10, 100):
            counts = np.concatenate([np.histogram(t, bins=1000 // window, range=(0, 1000))[0] for t in times])
            cells.append(f"{counts.var() / counts.mean():.2f}")
        rows.append([name, *cells])
    return markdown(["10 requests/s asked for", "reached", "var/mean, 1 s", "10 s", "100 s"], rows)


def trace_arrivals(path: Path) -> str:
    seconds = read_azure(path).arrival_s
    gaps = np.diff(seconds)
    cells = [f"{len(gaps) / seconds[-1]:.2f}", f"{gaps.var() / gaps.mean() ** 2:.2f}"]
    for window in (1, 10, 100):
        counts = np.histogram(seconds, bins=int(seconds[-1] // window), range=(0, seconds[-1] // window * window))[0]
        cells.append(f"{counts.var() / counts.mean():.1f}")
    return markdown(["requests/s", "cv2 of gaps", "var/mean, 1 s", "10 s", "100 s"], [cells])


def figure(trace: Pair, drawn: Pair) -> None:
    """Distribution functions, and the output's quartiles along the prompt, of the trace and of the law."""
    frames, bands = [], []
    for name, pair in (("trace", trace), ("law", drawn)):
        for kind, values in (("prompt tokens", pair[0]), ("output tokens", pair[1])):
            at = np.concatenate([np.linspace(0.001, 0.999, 300), 1 - np.geomspace(1e-3, 1e-4, 20)])
            tail = pd.DataFrame({"tokens": np.quantile(values, at), "share": 1 - at})
            frames.append(tail.assign(of=name, kind=kind))
        classes = np.array_split(np.argsort(pair[0], kind="stable"), 32)
        for rank, rows in enumerate(classes):
            quartiles = np.percentile(pair[1][rows], [25, 50, 75])
            bands += [(name, (rank + 0.5) / 32, q, t) for q, t in zip(("p25", "p50", "p75"), quartiles, strict=True)]
    colour = alt.Color("of:N", title=None, scale=alt.Scale(domain=["trace", "law"], range=["#bbbbbb", "#d95f02"]))
    width = alt.StrokeWidth("of:N", title=None, scale=alt.Scale(domain=["trace", "law"], range=[4, 1.2]))
    tails = [
        alt.Chart(frame, width=230, height=220, title=kind)
        .mark_line()
        .encode(
            x=alt.X("tokens:Q", scale=alt.Scale(type="log"), axis=LOG_AXIS, title="tokens"),
            y=alt.Y(
                "share:Q",
                scale=alt.Scale(type="log", domain=[1e-4, 1]),
                axis=LOG_AXIS,
                title="share of requests that are longer",
            ),
            color=colour,
            strokeWidth=width,
        )
        for kind, frame in pd.concat(frames).groupby("kind", sort=False)
    ]
    band = pd.DataFrame(bands, columns=["of", "rank", "quartile", "tokens"])
    joint = (
        alt.Chart(band, width=230, height=220, title="output by rank of the prompt")
        .mark_line(interpolate="step")
        .encode(
            x=alt.X("rank:Q", title="rank of the prompt"),
            y=alt.Y("tokens:Q", title="output tokens: p25, p50, p75"),
            color=colour,
            strokeWidth=width,
            detail="quartile:N",
        )
    )
    (DOCS / "figures").mkdir(exist_ok=True)
    alt.hconcat(*tails, joint).save(DOCS / "figures/workload_lengths.svg")


def markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def fill(page: str, name: str, text: str) -> str:
    """`page` with what stands between the marks of `name` replaced."""
    marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    assert marked.search(page), name
    return marked.sub(lambda match: f"{match[1]}{text}\n{match[2]}", page)


def main() -> None:
    read = read_azure(TRACE)
    trace = (read.prompt_tokens, read.output_tokens)
    drawn = lengths.sample(Lengths(), np.random.default_rng(SEED), DRAWS)
    page = (DOCS / "workload.md").read_text(encoding="utf-8")
    for name, table in (
        ("quantiles", quantile_table(trace, drawn)),
        ("distances", distance_table(trace, drawn)),
        ("dispersion", arrivals_table()),
        ("trace arrivals", trace_arrivals(TRACE)),
    ):
        page = fill(page, name, table)
    (DOCS / "workload.md").write_text(page, encoding="utf-8")
    figure(trace, drawn)
    law, (u, v) = lengths.law(Lengths()), np.random.default_rng(1).random((2, DRAWS))
    laps_s = []
    for _ in range(5):
        start = time.perf_counter()
        law(u, v)
        laps_s.append(time.perf_counter() - start)
    print(f"azure_conv: {min(laps_s) / DRAWS * 1e9:.0f} ns a request on this machine")


if __name__ == "__main__":
    main()
