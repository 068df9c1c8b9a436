"""What figures show, as tables: small extracts of runs' records, each a pandas frame with a column `policy`.

Takes records by label (one run, or the policies of a comparison) and never an engine. Amounts are those of real time.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from glbdes.records.writer import PLANS_FILE, SLOTS_FILE, Records, reading
from glbdes.world import footprints
from glbdes.world.footprints import Footprint

MOST_ROWS: Final = 4000  # of a table over time; altair refuses to draw more than 5000
PARTS: Final = {f"{kind}_kwh": kind for kind in ("prefill", "decode", "idle", "sleep", "host")}
LEVELS: Final = np.concatenate((np.linspace(0, 0.9, 46), np.linspace(0.91, 0.99, 17), np.linspace(0.991, 0.999, 9)))

Runs = Mapping[str, Records]


def regional(runs: Runs) -> pd.DataFrame:
    """A row a policy and region: cost_usd, carbon_kg, water_l, further footprints, and IT energy in kWh by parts."""
    columns = ["cost_usd", *_amounts(runs), *PARTS]
    return _over(runs, lambda one: _slots(one, columns).groupby("region", sort=False, observed=True).sum())


def over_time(runs: Runs) -> pd.DataFrame:
    """A row a policy, time and region: footprints from the start to then, at evenly spread slots' ends."""
    columns = _amounts(runs)
    points = max(2, MOST_ROWS // max(1, sum(_regions(one) for one in runs.values())))

    def one(records: Records) -> pd.DataFrame:
        wide = _slots(records, ["slot", "time_utc", *columns]).sort_values(["slot"], kind="stable")
        wide[columns] = wide.groupby("region", observed=True)[columns].cumsum()
        wide["time_utc"] += pd.Timedelta(seconds=records.info["scenario"]["time"]["slot_s"])
        return _thinned(wide, points)

    return _over(runs, one)


# Of an hour, what adds up and what is a mean.
SUMS: Final = ("arrived", "served", "it_kwh", "facility_kwh", "cost_usd", "carbon_kg", "water_l")
MEANS: Final = ("load", "price_usd_per_kwh", "carbon_g_per_kwh", "wue_l_per_kwh", "ewif_l_per_kwh", "pue")


def hourly(records: Records) -> pd.DataFrame:
    """A row an hour of real time (`time_utc`, its beginning) and region: `requests` and `served` real ones, amounts of
    real time, and means of load and signals over the hour's slots. A slot counts in the hour in which it begins.
    """
    frame = _slots(records, ["time_utc", *SUMS, *MEANS])
    frame["time_utc"] = frame["time_utc"].dt.floor("h")
    frame[["arrived", "served"]] *= float(records.info["request_weight"])
    by_hour = frame.groupby(["time_utc", "region"], sort=False)
    found = by_hour.agg({**dict.fromkeys(SUMS, "sum"), **dict.fromkeys(MEANS, "mean")}).reset_index()
    return found.rename(columns={"arrived": "requests"})


def duals(runs: Runs) -> pd.DataFrame:
    """A row a policy that shows duals, time and region: carbon_usd_per_kg, water_usd_per_l, ... Empty if none does."""
    columns = {one.dual_column: f"{one.name}_usd_per_{one.unit}" for one in _named(runs)}
    shown = {
        label: one
        for label, one in runs.items()
        if any(column.null_count < len(column) for column in one.read(SLOTS_FILE, list(columns)).columns)
    }
    points = max(2, MOST_ROWS // max(1, sum(_regions(one) for one in shown.values())))
    if not shown:
        return pd.DataFrame(columns=["policy", "time_utc", "region", *columns.values()])
    return _over(
        shown,
        lambda one: _thinned(_slots(one, ["slot", "time_utc", *columns]), points).rename(columns=columns),
    )


def flows(runs: Runs) -> pd.DataFrame:
    """A row a policy, gateway and region: requests dispatched (simulated), and their share of the gateway's."""

    def one(records: Records) -> pd.DataFrame:
        sums = _plans(records).groupby(["gateway", "region"], sort=False, observed=True)[["dispatched"]].sum()
        total = sums.groupby("gateway", observed=True)["dispatched"].transform("sum")
        return sums.assign(share=(sums["dispatched"] / total.where(total > 0)).fillna(0.0))

    return _over(runs, one)


def hours(runs: Runs) -> pd.DataFrame:
    """A row a policy, gateway, region and hour of the day (UTC): the share of the gateway's requests of that hour."""

    def one(records: Records) -> pd.DataFrame:
        plans = _plans(records)
        time = records.read(SLOTS_FILE, ["slot", "time_utc"]).to_pandas().drop_duplicates("slot").set_index("slot")
        plans["hour"] = plans["slot"].map(time["time_utc"].dt.hour)
        sums = plans.groupby(["gateway", "region", "hour"], sort=False, observed=True)[["dispatched"]].sum()
        total = sums.groupby(["gateway", "hour"], observed=True)["dispatched"].transform("sum")
        return sums.assign(share=(sums["dispatched"] / total.where(total > 0)).fillna(0.0))[["share"]]

    return _over(runs, one)


def waits(runs: Runs) -> pd.DataFrame:
    """A row a policy, measure (TTFT, E2E) and level: how long it took that share of the served requests, at most."""

    def one(records: Records) -> pd.DataFrame:
        parts = []
        for name, column in (("TTFT", "ttft_s"), ("E2E", "e2e_s")):
            with reading(records.folder / "requests"):
                values = records.counted.to_table(columns=[column])[column].drop_null().to_numpy()
            if len(values):
                parts.append(pd.DataFrame({"measure": name, "level": LEVELS, "seconds": np.quantile(values, LEVELS)}))
        return pd.concat(parts) if parts else pd.DataFrame(columns=["measure", "level", "seconds"])

    return _over(runs, one)


def places(records: Records) -> pd.DataFrame:
    """A row a gateway and a region: kind, name, latitude_deg, longitude_deg, and simulated requests there."""
    scenario: Mapping[str, Any] = records.info["scenario"]
    moved = _plans(records)
    rows = []
    for kind in ("gateway", "region"):
        count = moved.groupby(kind, observed=True)["dispatched"].sum()
        for name, place in scenario[f"{kind}s"].items():
            where = {key: place.get(key) or 0.0 for key in ("latitude_deg", "longitude_deg")}
            rows.append({"kind": kind, "name": name, **where, "requests": int(count.get(name, 0))})
    return pd.DataFrame(rows)


def _named(runs: Runs) -> tuple[Footprint, ...]:
    """All footprints; those of the first run's scenario, for it is that of all."""
    return footprints.every(next(iter(runs.values())).info["scenario"])


def _amounts(runs: Runs) -> list[str]:
    """Their columns."""
    return [one.column for one in _named(runs)]


def _over(runs: Runs, extract: Any) -> pd.DataFrame:
    """The extracts of all runs below one another, with the label as first column `policy`."""
    parts = []
    for label, records in runs.items():
        part = extract(records)
        part = part.reset_index() if part.index.names[0] is not None else part.reset_index(drop=True)
        for name in part.columns.intersection(["gateway", "region"]):
            part[name] = part[name].astype(str)
        parts.append(part.assign(policy=label)[["policy", *part.columns]])
    joined: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return joined


def _slots(records: Records, columns: list[str]) -> pd.DataFrame:
    frame: pd.DataFrame = records.read(SLOTS_FILE, ["region", *columns]).to_pandas()
    return frame.assign(region=frame["region"].astype(str))


def _plans(records: Records) -> pd.DataFrame:
    """Names stay codes: there are as many rows as slots x gateways x regions."""
    frame: pd.DataFrame = records.read(PLANS_FILE, ["slot", "gateway", "region", "dispatched"]).to_pandas()
    return frame


def _regions(records: Records) -> int:
    return len(records.info["scenario"]["regions"])


def _thinned(frame: pd.DataFrame, points: int) -> pd.DataFrame:
    """The rows of at most `points` slots, evenly spread, the last one among them."""
    slots = np.sort(frame["slot"].unique())
    kept = slots[np.unique(np.linspace(0, len(slots) - 1, min(points, len(slots))).round().astype(int))]
    return frame[frame["slot"].isin(kept)].drop(columns="slot")
