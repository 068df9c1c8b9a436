"""A served run of a chunk-scheduling server, predicted request by request; and its host's time, fitted to part of it.

A grid of steps says what the device takes, and not what the host adds: that is fitted to the first requests of a run,
never to those that are predicted. Arrivals, lengths and common prefixes of all requests are known to a prediction,
their times are not.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from scipy.optimize import nnls

from glbdes.engine.simpy.scheduler import Scheduler
from glbdes.engine.simpy.server import Arrivals, Floats, Outcome, seconds, serve
from glbdes.errors import ProfileError
from glbdes.hardware.chunked import Chunked
from glbdes.hardware.fit_steps import with_host
from glbdes.hardware.profile import Profile
from glbdes.hardware.served_file import ServedRequests

ROUNDS: Final = 5  # of linearisation; each step's end moves what is batched with what, so there is no smooth minimum
STEP_S: Final = 5e-4, 1e-5  # by which the host's two times are moved to see what they do
ENOUGH: Final = 0.01  # a round that lowers the sum of squares by less than this is the last
LEAST_REQUESTS: Final = 10


class Server(NamedTuple):
    """How the run was served."""

    max_batch: int
    budget: int  # most tokens of a step
    kv_tokens: int
    block_tokens: int

    def scheduler(self) -> Scheduler:
        """An empty one."""
        return Scheduler(self.max_batch, self.budget, self.kv_tokens // self.block_tokens, self.block_tokens)


class Latencies(NamedTuple):
    """Of requests [n], seconds: to the first token, per later one (NaN of answers of one token), to the last."""

    ttft: Floats
    tpot: Floats
    e2e: Floats


def predicted(chunked: Chunked, server: Server, requests: ServedRequests, first: int | None = None) -> Outcome:
    """The run as the server would have it, up to the end of the `first` requests if so many are told.

    Raises `ProfileError` for a request that its cache can never hold.
    """
    longest = requests.prompt_tokens + requests.output_tokens
    room = (server.kv_tokens // server.block_tokens - 1) * server.block_tokens
    if longest.max() > room:
        at = int(longest.argmax())
        raise ProfileError(f"request {at} of the run has {longest[at]} tokens, must fit the KV cache of {room} tokens")
    contents = requests.contents(server.block_tokens)
    arrivals = Arrivals(requests.arrival_s, requests.prompt_tokens, requests.output_tokens, contents)
    return serve(arrivals, server.scheduler(), seconds(chunked.seconds, server.budget), first)


def latencies(requests: ServedRequests, first_token_s: Floats, last_token_s: Floats) -> Latencies:
    """What the requests' first and last tokens at these times mean to who waits for them."""
    more = np.where(requests.output_tokens > 1, requests.output_tokens - 1, np.nan)
    arrival_s = requests.arrival_s
    return Latencies(first_token_s - arrival_s, (last_token_s - first_token_s) / more, last_token_s - arrival_s)


def fit_host(chunked: Chunked, server: Server, requests: ServedRequests, first: int, source: str) -> Chunked:
    """`chunked` with the host's time that explains the latencies of the `first` requests of the run best.

    Least squares on relative errors of their time to the last token and of their time per token, by linearisation.
    Raises `ProfileError` for fewer than ten requests.
    """
    if not LEAST_REQUESTS <= first <= len(requests.arrival_s):
        rule = f"must be from {LEAST_REQUESTS} to {len(requests.arrival_s)}, the requests of {source}"
        raise ProfileError(f"--first {first}, {rule}")
    measured = latencies(requests, requests.first_token_s, requests.last_token_s)

    def errors(host: Floats) -> Floats:
        host_s, request_s = host.tolist()
        outcome = predicted(with_host(chunked, host_s, request_s, source), server, requests, first)
        found = latencies(requests, outcome.first_token_s, outcome.finish_s)
        pairs = (found.tpot, measured.tpot), (found.e2e, measured.e2e)
        return np.concatenate([(mine / theirs - 1.0)[:first] for mine, theirs in pairs])

    host_s, request_s = _least(errors).tolist()
    return with_host(chunked, host_s, request_s, f"fitted to the first {first} requests of {source}")


def with_fitted_host(profile: Profile, server: Server, requests: ServedRequests, first: int, source: str) -> Profile:
    """`profile` with the host's time fitted to the `first` requests, for prompts first too: a step's is an iteration's.

    Raises `ProfileError` as `fit_host` does, and for a budget that does not hold a token of each request.
    """
    if server.budget < server.max_batch:
        raise ProfileError(f"--budget {server.budget}, must be >= {server.max_batch}, the most requests at a time")
    assert profile.chunked is not None
    chunked = fit_host(profile.chunked, server, requests, first, source)
    host = {"iteration_s": chunked.host_s, "request_s": chunked.host_request_s, "source": chunked.host_source}
    return profile.model_copy(update={"chunked": chunked, "serving": profile.serving.model_copy(update=host)})


def _least(errors: Callable[[Floats], Floats]) -> Floats:
    """The two times >= 0 of the least squares that some rounds of linearisation find."""
    now = np.zeros(2)
    best, least = now, np.inf
    for _ in range(ROUNDS):
        here = errors(now)
        kept = np.isfinite(here)
        squares = float((here[kept] ** 2).sum())
        if squares > (1.0 - ENOUGH) * least:
            return best if squares > least else now
        best, least = now, squares
        slopes = np.column_stack([(errors(now + np.eye(2)[i] * step) - here) / step for i, step in enumerate(STEP_S)])
        size = np.abs(slopes[kept]).max(axis=0)
        found, _ = nnls(slopes[kept] / size, slopes[kept] @ now - here[kept])
        now = found / size
    return best
