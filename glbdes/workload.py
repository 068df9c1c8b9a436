"""Requests as arrays; all randomness of a run is drawn here, from named children of the scenario's seed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Requests:
    """Requests of a slot, sorted by (arrival_ns, gateway); arrays [n]."""

    request_id: NDArray[np.int64]  # counts up over the whole run, in this order
    gateway: NDArray[np.int64]
    slo: NDArray[np.int64]  # SLO class
    prompt_tokens: NDArray[np.int64]  # >= 1
    output_tokens: NDArray[np.int64]  # >= 1
    arrival_ns: NDArray[np.int64]  # at the gateway, in [slot start, slot end)
    uniform: NDArray[np.float64]  # private to the request, in [0, 1): weighted dispatch

    def __len__(self) -> int:
        return len(self.request_id)
