"""From measured steps to the coefficients of eq. 13: least squares on relative errors, where work is.

The form has too few terms for a whole grid: fitted to all of it, it is far off where runs live. So a fit has a
`Region` of batches and contexts, by default that of a law of lengths (`where_work_is`), and its residuals are told by
bands of the grid, outside of the region too. With one chunk a step, what a scheduled request costs the sampler cannot
be told from what it costs otherwise: it is in D and beta, and `head` is 0.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from scipy.optimize import nnls

from glbdes.errors import ProfileError
from glbdes.hardware.chunked import Chunked, Cost, Mode
from glbdes.hardware.measurements import Bools, Floats, Ints, Steps

QUANTILES: Final = (0.05, 0.95)  # of the contexts of a law's iterations: where work is
POINTS: Final = 16  # at which an answer's contexts are looked at
LEAST_STEPS: Final = 4  # of a kind: it has three coefficients
BATCHES: Final = (0, 8, 32, 128)  # bands of residuals begin above these
CONTEXTS: Final = (0, 256, 1024, 4096)


class Region(NamedTuple):
    """Where steps are fitted: decoding requests of so many tokens, chunks behind at most as many, all within room."""

    batch_max: int
    context_min: int
    context_max: int
    kv_tokens: int  # of all requests of a step together

    def of(self, steps: Steps) -> Bools:
        """Which of `steps` lie in it, bool[n]."""
        context = (steps.context >= self.context_min) & (steps.context <= self.context_max)
        held = steps.batch * steps.context + steps.prefill_context + steps.prefill_tokens <= self.kv_tokens
        few = (steps.batch <= self.batch_max) & (steps.prefill_context <= self.context_max) & held
        return np.asarray(few & (context | (steps.batch == 0)))


class Band(NamedTuple):
    """How far the formula is from steps of a part of the grid: fitted / measured - 1."""

    kind: str
    batch: str
    context: str
    fitted: bool
    points: int
    bias: float
    mean: float  # of the size
    worst: float


BAND_COLUMNS: Final = ("step", "batch", "context tokens", "fitted", "points", "bias", "mean error", "worst error")


def band_rows(found: list[Band]) -> list[list[str]]:
    """The bands as text, for a table with the columns of `BAND_COLUMNS`."""
    return [
        [
            *(band.kind, band.batch, band.context, "yes" if band.fitted else "no", f"{band.points}"),
            *(f"{band.bias:+.1%}", f"{band.mean:.1%}", f"{band.worst:.1%}"),
        ]
        for band in found
    ]


def where_work_is(steps: Steps, prompt: Ints, output: Ints, most_requests: int, kv_tokens: int) -> Region:
    """The region of the grid in which requests of a law decode.

    From the 5 % to the 95 % quantile of their contexts, weighted by iterations, each moved outwards to the grid; up to
    the batch that a replica can have, `most_requests` or what the KV cache holds of the shortest such contexts.

    `prompt`, `output`: int[n], a sample of the law, tokens.
    """
    share = (np.arange(POINTS) + 0.5) / POINTS
    context = (prompt[:, None] + share * output[:, None]).ravel()
    order = np.argsort(context, kind="stable")
    weight = np.cumsum(np.repeat(output, POINTS)[order])
    least, most = (float(context[order][np.searchsorted(weight, q * weight[-1])]) for q in QUANTILES)
    batches, contexts = (np.unique(column[steps.batch > 0]) for column in (steps.batch, steps.context))
    if not len(batches):
        return Region(1, 1, 1, kv_tokens)
    batch = min(most_requests, max(kv_tokens // max(int(least), 1), 1))
    shortest = int(contexts[contexts <= least].max(initial=contexts[0]))
    return Region(_at_least(batches, batch), shortest, _at_least(contexts, most), kv_tokens)


def _at_least(grid: Ints, value: float) -> int:
    """The first of the grid that is not below `value`, or its last."""
    return int(grid[min(int(np.searchsorted(grid, value)), len(grid) - 1)])


def fit_chunked(steps: Steps, region: Region, source: str, active_w: float | None = None) -> Chunked:
    """The coefficients that explain the steps of `region` best.

    `active_w`: power of every step, where no energy was measured.

    Raises `ProfileError` for too few steps, for steps that do not tell the coefficients apart, for energies that were
    neither measured nor assumed, or both.
    """
    if (steps.energy_j is None) == (active_w is None):
        rule = "must have a column 'energy_j', or a power at work that is assumed (--active-w W)"
        raise ProfileError(f"{source}: has {'neither' if active_w is None else 'both'}, {rule}")
    chosen = steps.only(region.of(steps))
    _check(chosen, region, source)
    time_s = _cost(chosen, chosen.time_s, source)
    energy_j = scaled(time_s, active_w or 1.0) if chosen.energy_j is None else _cost(chosen, chosen.energy_j, source)
    return Chunked(
        source=f"{source}, {len(chosen.time_s)} of its {len(steps.time_s)} steps",
        times="measured",
        energies="assumed" if chosen.energy_j is None else "measured",
        active_w=active_w,
        batch_max=region.batch_max,
        context=(region.context_min, region.context_max),
        time_s=time_s,
        energy_j=energy_j,
    )


def with_host(chunked: Chunked, host_s: float, request_s: float, source: str) -> Chunked:
    """`chunked` with another host; where its energy is assumed, the host's time takes the power of a step too."""
    changes = {"host_s": host_s, "host_request_s": request_s, "host_source": source}
    moved = chunked.model_copy(update=changes)
    if chunked.active_w is None:
        return moved
    return moved.model_copy(update={"energy_j": scaled(moved.seconds, chunked.active_w)})


def scaled(cost: Cost, factor: float) -> Cost:
    """`cost`, every coefficient times `factor`: joules of seconds at a power."""

    def times(mode: Mode) -> Mode:
        a, beta, gamma = mode
        return factor * a, factor * beta, factor * gamma

    return Cost(
        tokens=cost.tokens,
        table=tuple(factor * value for value in cost.table),
        head=factor * cost.head,
        decode=times(cost.decode),
        mixed=times(cost.mixed),
        delta=factor * cost.delta,
        eps=factor * cost.eps,
    )


def bands(chunked: Chunked, steps: Steps, region: Region) -> list[Band]:
    """Residuals of the step time: by kind, batch and context where it was fitted, by kind and batch elsewhere."""
    error = chunked.time_s.of_steps(steps) / steps.time_s - 1.0
    inside = region.of(steps)
    found = []
    for fitted in (True, False):
        for kind, of_kind in (("decode", ~steps.mixed), ("mixed", steps.mixed)):
            for batch, of_batch in (("0", steps.batch == 0), *_ranges(steps.batch, BATCHES)):
                whole = [("any", steps.batch >= 0)]
                contexts = whole if batch == "0" or not fitted else _ranges(steps.context, CONTEXTS)
                for context, of_context in contexts:
                    chosen = (inside == fitted) & of_kind & of_batch & of_context
                    if chosen.any():
                        size = np.abs(error[chosen])
                        figures = (float(error[chosen].mean()), float(size.mean()), float(size.max()))
                        found.append(Band(kind, batch, context, fitted, len(size), *figures))
    return found


def _ranges(values: Ints, above: tuple[int, ...]) -> Iterator[tuple[str, Bools]]:
    for low, high in pairwise(above):
        yield f"{low + 1:,}-{high:,}", (values > low) & (values <= high)
    yield f"> {above[-1]:,}", values > above[-1]


def _check(chosen: Steps, region: Region, source: str) -> None:
    where = f"of at most {region.batch_max} requests of {region.context_min} to {region.context_max} tokens"
    decoding = chosen.mixed & (chosen.batch > 0)
    for what, count in (("decode-only", int((~chosen.mixed).sum())), ("mixed", int(decoding.sum()))):
        if count < LEAST_STEPS:
            raise ProfileError(f"{source}: has {count} {what} steps {where}, must have at least {LEAST_STEPS}")


def _cost(steps: Steps, measured: Floats, source: str) -> Cost:
    """Eq. 10 by non-negative least squares on relative errors; D as increments, so that it does not fall."""
    tokens = (steps.prefill_tokens + steps.batch).astype(np.float64)
    nodes = _nodes(tokens)
    mixed, context = steps.mixed.astype(np.float64), (steps.batch * steps.context).astype(np.float64)
    rises = [
        np.clip((tokens - low) / (high - low), 0.0, None if high == nodes[-1] else 1.0) for low, high in pairwise(nodes)
    ]
    columns = {"D": np.ones(len(tokens))} | {f"D({n:g})": rise for n, rise in zip(nodes[1:], rises, strict=True)}
    columns |= {"beta, decode": (1 - mixed) * steps.batch, "gamma, decode": (1 - mixed) * context}
    columns |= {"a, mixed": mixed, "beta, mixed": mixed * steps.batch, "gamma, mixed": mixed * context}
    columns |= {
        "delta": (steps.prefill_tokens * steps.prefill_context).astype(np.float64),
        "eps": steps.prefill_tokens.astype(np.float64) ** 2,
    }
    terms = np.column_stack(list(columns.values())) / measured[:, None]
    size = np.abs(terms).max(axis=0)
    terms = terms / np.where(size > 0, size, 1.0)
    _tell_apart(terms, list(columns), source)
    solution, _ = nnls(terms, np.ones(len(measured)), maxiter=100 * terms.shape[1])
    found = dict(zip(columns, (solution / size).tolist(), strict=True))
    rise = np.cumsum([found["D"], *(found[f"D({n:g})"] for n in nodes[1:])])
    return Cost(
        tokens=tuple(int(n) for n in nodes),
        table=tuple(rise.tolist()),
        decode=(0.0, found["beta, decode"], found["gamma, decode"]),
        mixed=(found["a, mixed"], found["beta, mixed"], found["gamma, mixed"]),
        delta=found["delta"],
        eps=found["eps"],
    )


def _nodes(tokens: Floats) -> list[float]:
    """The fewest tokens of a step, and powers of two up to the most, each with steps between it and the one before."""
    least, most = float(tokens.min()), float(tokens.max())
    nodes = [least]
    power = 1.0
    while power <= most:
        if power > least and ((tokens > nodes[-1]) & (tokens <= power)).any():
            nodes.append(power)
        power *= 2
    return nodes if len(nodes) > 1 else [least, max(most, least + 1)]


def _tell_apart(terms: Floats, names: list[str], source: str) -> None:
    """Raise unless the steps tell every coefficient from the others."""
    rank = 0
    for count, name in enumerate(names, start=1):
        found = int(np.linalg.matrix_rank(terms[:, :count]))
        if found == rank:
            rule = "must vary chunk, its context, batch and context independently"
            raise ProfileError(f"{source}: its steps do not tell {name} from other coefficients, {rule}")
        rank = found
