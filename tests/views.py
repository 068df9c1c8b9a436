"""Views made by hand, for tests that ask one policy for one plan."""

from typing import Any

import numpy as np

from glbdes.world import Floats, View
from glbdes.world.view import Shown
from tests.worlds import make_fleet, make_requests, make_signals, make_world


def make_view(
    demand_rps: Any,
    capacity_rps: Any,
    *,
    mask: Any = True,
    latency_ns: Any = 0,
    it_kwh_per_request: Any = 1.0,
    slots: int = 1,
    **signals: Any,
) -> View:
    """The first slot's view of a world with these arrays; signals as in `make_signals`, PUE 1."""
    demand, capacity = np.asarray(demand_rps, dtype=float), np.asarray(capacity_rps, dtype=float)
    world = make_world(
        make_requests([]),
        slots=slots,
        gateways=len(demand),
        regions=len(capacity),
        latency_ns=latency_ns,
        allowed=mask,
        capacity_rps=capacity,
        fleet=make_fleet(len(capacity), host_w=0.0),
        it_kwh_per_request=it_kwh_per_request,
        signals=make_signals(slots, len(capacity), **{"pue": 1.0, **signals}),
    )
    nothing: Floats = np.zeros(len(capacity))
    return Shown(world).view(0, demand, np.ones(len(capacity), dtype=bool), nothing, nothing, nothing)
