"""A policy that keeps requests within so many seconds of their users, and lets another one choose among those regions.

`limit_s` is one way; every gateway's nearest region is always within it.
"""

from dataclasses import replace

import numpy as np

from glbdes import policy


class Within:
    def __init__(self, limit_s: float, inner: str = "eglb_simplex") -> None:
        self.limit_s = limit_s
        self.inner = policy.load(inner, {})

    def plan(self, view):
        latency_s = np.where(view.mask, view.latency_s, np.inf)
        near = latency_s <= np.maximum(latency_s.min(axis=1, keepdims=True), self.limit_s)
        return self.inner.plan(replace(view, mask=near))

    def observe(self, outcome):
        if hasattr(self.inner, "observe"):
            self.inner.observe(outcome)
