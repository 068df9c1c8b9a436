"""What a replica that schedules in chunks can do, and what a request costs there, in means over a law of lengths."""

import numpy as np

from glbdes.hardware.chunked import Chunked, Cost, Mode
from glbdes.hardware.measurements import Floats, Ints

SHARES = 257  # ways to share a step between prompts and answers that are tried


def capacity_rps(chunked: Chunked, prompt: Ints, output: Ints, max_batch: int, budget: int) -> float:
    """Requests per second that keep one replica busy at full batches (docs/model.md, eq. 15); int[n] tokens."""
    return 1.0 / _per_request(chunked.seconds, prompt, output, max_batch, budget)


def it_j_per_request(chunked: Chunked, prompt: Ints, output: Ints, max_batch: int, budget: int) -> float:
    """Mean joules of a request of the mix at full batches, without idle and host power."""
    return _per_request(chunked.energy_j, prompt, output, max_batch, budget)


def marginal_j(chunked: Chunked, prompt: Ints, output: Ints, max_batch: int, budget: int, rest_w: float) -> float:
    """Joules that a mean request of the mix adds, at least, to a replica of `rest_w`, if nothing of it is in the cache.

    Its tokens add no less than their shares of the steps that carry them: a step of p prompt tokens and b decoding
    requests, b <= max_batch and p + b <= budget, takes no less than alpha p + beta b (`_shares`). Attention comes on
    top, at its least. Preemption adds tokens, no less.
    """
    seconds, joules = chunked.seconds, chunked.energy_j
    tokens = np.arange(1, budget + 1)
    least = np.subtract([joules.decode, joules.mixed], rest_w * np.array([seconds.decode, seconds.mixed])).min(axis=0)
    a, each, gamma = least.tolist()
    steps = joules.of_tokens(tokens) - rest_w * seconds.of_tokens(tokens) + a
    head = min(joules.head - rest_w * seconds.head, 0.0)
    pair = min(joules.eps - rest_w * seconds.eps, (joules.delta - rest_w * seconds.delta) / 2)
    later = output - 1.0
    context = later * (prompt + 0.5 * (later + 1.0))
    asked = float(np.mean(prompt)), float(np.mean(later))
    carried = sum(share * mean for share, mean in zip(_shares(steps, max_batch, *asked), asked, strict=True))
    rest = (prompt + later) * head + later * each + gamma * context + pair * prompt.astype(float) ** 2
    return carried + float(np.mean(rest))


def _shares(steps: Floats, max_batch: int, prompt: float, later: float) -> tuple[float, float]:
    """(alpha, beta) with alpha p + beta b <= steps[p + b - 1] for every step that can be, best for such means.

    A dual solution of the cheapest mixture of steps that carries both; any is a bound, so a grid of alpha is enough.
    """
    tokens = np.arange(1, len(steps) + 1)
    decoding = np.minimum(tokens, max_batch)
    most = float((steps / tokens).min())  # of prompt tokens alone
    found = []
    for alpha in np.linspace(0.0, most, SHARES) if most > 0 else [most]:
        beta = float(((steps - alpha * (tokens - decoding)) / decoding).min())
        found.append((alpha * prompt + beta * later, float(alpha), beta))
    return max(found)[1:]


def _per_request(cost: Cost, prompt: Ints, output: Ints, max_batch: int, budget: int) -> float:
    """A request's share of steps at full batches: those of its own prompt, and what its answer takes beyond them.

    Beside B decoding requests a step has room for budget - B tokens of a prompt, and one prompt at a time comes. Every
    step brings B of the answers' tokens; those that the steps of prompts do not bring, steps without chunks do.
    """
    room = max(budget - max_batch, 1)
    full, rest = np.divmod(prompt, room)
    mixed, decode = (_step(cost, mode, max_batch) for mode in (cost.mixed, cost.decode))
    whole = float(cost.of_tokens(np.array([room + max_batch]))[0]) + mixed + cost.head
    last = np.where(rest > 0, cost.of_tokens(rest + max_batch) + mixed + cost.head, 0.0)
    steps = float(np.mean(full + (rest > 0)))
    later = output - 1.0
    alone = max(float(later.mean()) / max_batch - steps, 0.0)
    alone *= float(cost.of_tokens(np.array([max_batch]))[0]) + decode
    context = cost.decode[2] * later * (prompt + 0.5 * (later + 1.0))
    return alone + float(np.mean(full * whole + last + context + _attention(cost, prompt, budget)))


def _step(cost: Cost, mode: Mode, batch: int) -> float:
    """What a step of `batch` decoding requests takes beside D and gamma K."""
    return mode[0] + mode[1] * batch + cost.head * batch


def _attention(cost: Cost, prompt: Ints, budget: int) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """delta sum c k + eps sum c^2 of prompts in chunks of a whole budget, float[n]."""
    full, rest = np.divmod(prompt.astype(float), budget)
    past = budget * budget * full * (full - 1) / 2 + rest * full * budget
    return np.asarray(cost.delta * past + cost.eps * (full * budget * budget + rest * rest))
