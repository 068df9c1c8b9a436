"""Footprints by season or month: how unevenly regions bear them in each part of a run.

Seasons are those of meteorology in the north: winter is December to February. Warm-ups are left out, as everywhere.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

import pandas as pd

from glbdes.records.writer import SLOTS_FILE, Records
from glbdes.world import footprints

Period = Literal["season", "month"]

SEASONS: Final = ("Dec-Feb", "Mar-May", "Jun-Aug", "Sep-Nov")


def by_period(runs: Mapping[str, Records], period: Period) -> pd.DataFrame:
    """A row a policy and period, in order of time: slots; cost_usd, carbon_kg, water_l and further footprints of
    all regions; carbon_par, water_par, ...

    A PAR is the largest region's sum over the period, over the mean of regions; NaN where there is none.
    """
    rows: list[dict[str, Any]] = []
    for label, records in runs.items():
        named = footprints.every(records.info["scenario"])
        amounts = ["cost_usd", *(one.column for one in named)]
        table = records.read(SLOTS_FILE, ["slot", "time_utc", "region", *amounts]).to_pandas()
        table["period"] = _names(table["time_utc"], period)
        for name, part in table.groupby("period", sort=False):
            sums = part.groupby("region", sort=False, observed=True)[amounts].sum()
            row: dict[str, Any] = {"policy": label, "period": name, "slots": int(part["slot"].nunique())}
            row |= {key: float(sums[key].sum()) for key in amounts}
            row |= {f"{one.name}_par": _par(sums[one.column]) for one in named}
            rows.append(row)
    return pd.DataFrame(rows)


def _names(times: Any, period: Period) -> Any:
    if period == "season":
        return (times.dt.month % 12 // 3).map(dict(enumerate(SEASONS)))
    return times.dt.strftime("%Y-%m")


def _par(values: "pd.Series[float]") -> float:
    mean = float(values.mean())
    return float(values.max()) / mean if mean > 0 else float("nan")
