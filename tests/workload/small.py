"""A small scenario of two gateways, and its rates."""

from pathlib import Path
from typing import Any

import numpy as np

from glbdes.scenario import Scenario
from glbdes.scenario import model as scenario
from glbdes.workload.rates import expected_rps

PLACE = {"latitude_deg": 0.0, "longitude_deg": 0.0}


def make(
    time: dict[str, Any] | None = None, gateways: dict[str, Any] | None = None, seed: int = 1, **keys: Any
) -> Scenario:
    gateways = gateways or {"texas": {"load": 0.5}, "osaka": {"rate_per_s": 8.0, "utc_offset_h": 9.0}}
    tables = {name: keys.pop(name) for name in ("slo", "policy", "dispatch", "signals") if name in keys}
    return scenario.validate(
        {
            "name": "small",
            "seed": seed,
            "time": {"slots": 30, "simulated_s_per_slot": 20.0, **(time or {})},
            "regions": {"texas": {"profile": "h100_llama8b"}, "japan": {"profile": "h100_llama8b"}},
            "gateways": {name: PLACE | gateway for name, gateway in gateways.items()},
            "workload": keys,
            **tables,
        }
    )


def rates(given: Scenario, folder: Path | None = None, load: np.ndarray | None = None) -> np.ndarray:
    return expected_rps(given, np.array([10.0, np.nan]), folder, load=load)
