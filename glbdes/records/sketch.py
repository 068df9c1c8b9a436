"""What is remembered of requests that a run does not keep: how they ended, limits met, a sketch of their latencies.

Counts are exact, and so are means (to rounding). Quantiles come from a histogram with bins of equal ratio: they are off
by at most `QUANTILE_ERROR` of their value, if latencies lie between `LOWEST_S` and `HIGHEST_S`. Memory does not grow.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from glbdes.base import portable
from glbdes.hardware import physics
from glbdes.records import tally
from glbdes.world import Floats, World

LATENCIES: Final = ("ttft", "tpot", "e2e")
# Of all requests; prompts of those that were scheduled, and of those of them that were only admitted once what their
# prefill took from the cache and what it computed.
SPARED, COMPUTED = "prefill_tokens_spared", "prefill_tokens_computed"
CACHE: Final = ("preemptions", "cached_tokens", "prompt_tokens", SPARED, COMPUTED)
QUANTILES: Final = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
QUANTILE_ERROR: Final = 1e-3
LOWEST_S: Final = 1e-6
HIGHEST_S: Final = 1e7

_BIN: Final = float(portable.log((1 + QUANTILE_ERROR) / (1 - QUANTILE_ERROR)))  # width of a bin, of the logarithm
_BINS: Final = int(portable.log(HIGHEST_S / LOWEST_S) / _BIN) + 1


class Sketch:
    """Figures of the requests that pass. `limits_s[latency]` [class] are those of the SLO classes, infinite: none."""

    def __init__(self, world: World, limits_s: Mapping[str, Floats]) -> None:
        self.world = world
        classes = len(limits_s[LATENCIES[0]])
        self.warmup_requests = 0  # those that do not count
        self.by_status = np.zeros(len(physics.STATUS_NAMES), dtype=np.int64)
        self.of_class = np.zeros(classes, dtype=np.int64)
        self._numbers = np.zeros(len(CACHE), dtype=np.int64)
        self._limits_s = np.array([limits_s[name] for name in LATENCIES])
        self._met = np.zeros((len(LATENCIES) + 1, classes), dtype=np.int64)
        self.sums = dict.fromkeys(LATENCIES, 0.0)
        self.bins = {name: np.zeros(_BINS, dtype=np.int64) for name in LATENCIES}

    def requests(self, chunk: NDArray[Any]) -> None:
        """Take note of ended requests, `REQUEST_DTYPE`; of those of warm-ups only how many they are."""
        world, durations_s, known = self.world, np.empty((len(LATENCIES), len(chunk))), np.zeros(3, dtype=np.int64)
        spans_ns = world.period_ns, world.warmup_ns
        books = self._numbers, self.by_status, self.of_class, self._met
        counted = tally.note(chunk, *spans_ns, world.latency_ns, self._limits_s, *books, durations_s, known)
        self.warmup_requests += len(chunk) - counted
        for name, values_s, n in zip(LATENCIES, durations_s, known, strict=True):
            self.sums[name] += float(values_s[:n].sum())
            tally.fill(values_s[:n], LOWEST_S, _BIN, self.bins[name])

    @property
    def cache(self) -> dict[str, int]:
        """What became of prompts, by `CACHE`."""
        *told, once_cached, once_prompts = self._numbers.tolist()
        return dict(zip(CACHE, (*told, once_cached, once_prompts - once_cached), strict=True))

    def figures(self) -> dict[str, Any]:
        """Everything noted, as plain numbers."""
        return {
            "warmup_requests": self.warmup_requests,
            "by_status": dict(zip(physics.STATUS_NAMES, self.by_status.tolist(), strict=True)),
            "cache": self.cache,
            "of_class": self.of_class.tolist(),
            "met": dict(zip((*LATENCIES, "all"), self._met.tolist(), strict=True)),
            "latency_s": {name: self._latency(name) for name in LATENCIES},
            "quantile_error": QUANTILE_ERROR,
        }

    def _latency(self, name: str) -> dict[str, float | None]:
        upto = np.cumsum(self.bins[name])
        count = int(upto[-1])
        if count == 0:
            return dict.fromkeys(("mean", *QUANTILES))
        places = np.searchsorted(upto, [q * (count - 1) for q in QUANTILES.values()], side="right")
        low = LOWEST_S * portable.exp(places * _BIN)
        middle = low * (1 + QUANTILE_ERROR)  # as far from the bin's lower end as from its upper one, in ratio
        return {"mean": self.sums[name] / count, **dict(zip(QUANTILES, middle.tolist(), strict=True))}
