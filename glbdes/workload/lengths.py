"""Joint laws of prompt and output tokens.

A law maps two uniform numbers per request to its two lengths, so that drawing is a table look-up and the randomness
stays with the caller. `mix` is the same law on an even grid of uniforms instead of random ones: the deterministic
sample that capacities are reckoned with.

The law `azure_conv` keeps statistics of the conversation trace of the Azure public dataset (2023): the quantiles of
prompt tokens, and for each of 32 equally likely prompt classes the quantiles of output tokens. docs/workload.md
compares it with the trace.
"""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from glbdes import resources
from glbdes.base import portable
from glbdes.errors import ScenarioError, TraceError, nearest
from glbdes.scenario.demand import Lengths, Workload
from glbdes.workload.azure import Trace
from glbdes.workload.tidy import read_requests

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Law = Callable[[Floats, Floats], tuple[Ints, Ints]]

MIX_SIZE = 1 << 13
PROMPT_CELLS = 1 << 14  # of [0, 1); the finest step of the fitted quantiles, so that none is lost
OUTPUT_CELLS = 1 << 8
QUANTILES = Path(__file__).with_name("lengths_azure_conv.json")


def law(lengths: Lengths, folder: Path | None = None) -> Law:
    """The law as a function of uniforms u, v [n] in [0, 1) to (prompt_tokens[n], output_tokens[n]), each >= 1.

    Lengths beyond `max_tokens` are cut: the output first, down to one token, then the prompt.

    Raises `ScenarioError` for numbers that the law cannot have and `TraceError` for its request trace.
    """
    draw = LAWS[lengths.law](lengths, folder)

    def cut(u: Floats, v: Floats) -> tuple[Ints, Ints]:
        return _cut(*draw(u, v), lengths.max_tokens)

    return cut


def sample(lengths: Lengths, rng: np.random.Generator, n: int, folder: Path | None = None) -> tuple[Ints, Ints]:
    """(prompt_tokens[n], output_tokens[n]) of `n` independent requests."""
    u, v = rng.random((2, n))
    return law(lengths, folder)(u, v)


def mix(lengths: Lengths, folder: Path | None = None) -> tuple[Ints, Ints]:
    """(prompt_tokens[n], output_tokens[n]): a fixed sample of the law, the same on every call.

    One row for `fixed`, all rows of the file for `trace`, else the law on the Hammersley points (i + 1/2)/n and
    the bits of i mirrored at the binary point, whose means are those of the law to about 1/n.
    """
    if lengths.law == "trace":
        trace = read_trace(lengths.file, folder)
        return _cut(trace.prompt_tokens, trace.output_tokens, lengths.max_tokens)
    n = 1 if lengths.law == "fixed" else MIX_SIZE
    index = np.arange(n)
    bits = MIX_SIZE.bit_length() - 1
    mirrored = sum((((index >> bit) & 1) << (bits - 1 - bit) for bit in range(bits)), start=0 * index)
    return law(lengths, folder)((index + 0.5) / n, (mirrored + 0.5) / MIX_SIZE)


def mix_of(workload: Workload, folder: Path | None = None) -> tuple[Ints, Ints]:
    """The mix of the requests that come: a replayed trace is its own law, sessions those of a fixed sample."""
    given = workload.lengths
    if workload.sessions is not None:
        from glbdes.workload.sessions import typical  # it draws lengths by the laws of this module

        common = typical(given, workload.sessions, folder)
        return common.prompt_tokens, common.output_tokens
    if workload.arrivals == "replay":
        given = given.model_copy(update={"law": "trace", "file": workload.file})
    return mix(given, folder)


def read_trace(file: str | None, folder: Path | None) -> Trace:
    """The request trace called `file`: a path, relative to `folder`, or a shipped trace. Raises `TraceError`."""
    name = file or ""
    path = resources.find("traces", name, folder)
    if path is None:
        raise TraceError(f"no request trace '{name}'{nearest(name, resources.shipped('traces'))}")
    return read_requests(path)


def _cut(prompt: Ints, output: Ints, max_tokens: int) -> tuple[Ints, Ints]:
    prompt = np.minimum(prompt, max_tokens - 1)
    return prompt, np.minimum(output, max_tokens - prompt)


def _fixed(lengths: Lengths, folder: Path | None) -> Law:
    """Every request alike."""
    prompt, output = (_given(lengths, key) for key in ("prompt_tokens", "output_tokens"))
    for key, tokens in (("prompt_tokens", prompt), ("output_tokens", output)):
        if tokens != int(tokens):
            raise ScenarioError(f"workload.lengths.{key} = {tokens:g} tokens, must be whole because law = 'fixed'")

    def draw(u: Floats, v: Floats) -> tuple[Ints, Ints]:
        return np.full(len(u), int(prompt)), np.full(len(v), int(output))

    return draw


def _geometric(lengths: Lengths, folder: Path | None) -> Law:
    """Independent geometric lengths on 1, 2, ...: the whole-number form of the exponential.

    P(tokens > k) = (1 - 1/mean)^k, so tokens = 1 + floor(log(1 - u) / log(1 - 1/mean)).
    """
    prompt, output = (_given(lengths, key) for key in ("prompt_tokens", "output_tokens"))

    def geometric(u: Floats, mean: float) -> Ints:
        if mean == 1.0:
            return np.ones(len(u), dtype=np.int64)
        tokens: Ints = 1 + np.floor(portable.log1p(-u) / portable.log1p(-1.0 / mean)).astype(np.int64)
        return tokens

    return lambda u, v: (geometric(u, prompt), geometric(v, output))


def _from_trace(lengths: Lengths, folder: Path | None) -> Law:
    """Rows of a request trace, drawn with replacement."""
    trace = read_trace(lengths.file, folder)

    def draw(u: Floats, v: Floats) -> tuple[Ints, Ints]:
        row = (u * len(trace.prompt_tokens)).astype(np.int64)
        return trace.prompt_tokens[row], trace.output_tokens[row]

    return draw


def _given(lengths: Lengths, key: str) -> float:
    """A mean length that the law needs."""
    tokens: float | None = getattr(lengths, key)
    if tokens is None or tokens < 1:
        said = "missing" if tokens is None else f"{tokens:g} tokens"
        raise ScenarioError(f"workload.lengths.{key} = {said}, must be >= 1 because law = '{lengths.law}'")
    return tokens


class _Quantiles(NamedTuple):
    """Piecewise linear quantile functions, tabulated on even cells so that a draw needs no search."""

    prompt: Floats  # [PROMPT_CELLS + 1] at the cells' edges
    output: Floats  # [prompt class, OUTPUT_CELLS + 1]


@cache
def _azure_conv_quantiles() -> _Quantiles:
    fitted = json.loads(QUANTILES.read_text(encoding="utf-8"))
    cells = np.arange(PROMPT_CELLS + 1) / PROMPT_CELLS
    prompt = portable.interp(cells, fitted["prompt"]["probability"], fitted["prompt"]["tokens"])
    cells = np.arange(OUTPUT_CELLS + 1) / OUTPUT_CELLS
    rows = [portable.interp(cells, fitted["output"]["probability"], tokens) for tokens in fitted["output"]["tokens"]]
    return _Quantiles(prompt, np.array(rows))


def _azure_conv(lengths: Lengths, folder: Path | None) -> Law:
    """Azure conversations: u is the prompt's rank and so gives its class, v the output's rank within the class."""
    prompt_tokens, output_tokens = _azure_conv_quantiles()
    classes = len(output_tokens)

    def draw(u: Floats, v: Floats) -> tuple[Ints, Ints]:
        prompt = _look_up(prompt_tokens, 0, u * PROMPT_CELLS)
        first = (u * classes).astype(np.int64) * (OUTPUT_CELLS + 1)
        return prompt, _look_up(output_tokens.ravel(), first, v * OUTPUT_CELLS)

    return draw


def _look_up(table: Floats, first: Ints | int, place: Floats) -> Ints:
    """Linear interpolation in the row of `table` that starts at `first`, in whole tokens."""
    cell = place.astype(np.int64)
    index = first + cell
    low = table[index]
    tokens: Ints = np.rint(low + (table[index + 1] - low) * (place - cell)).astype(np.int64)
    return tokens


LAWS: dict[str, Callable[[Lengths, Path | None], Law]] = {
    "azure_conv": _azure_conv,
    "fixed": _fixed,
    "geometric": _geometric,
    "trace": _from_trace,
}
