"""How a run went by time and place, as tables for figures: service by slot and region, and the hours of the day.

As in `extracts`, amounts are those of real time, and warm-ups are left out.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from glbdes.records import metrics
from glbdes.records.writer import PLANS_FILE, SLOTS_FILE, Records, reading
from glbdes.units import NS_PER_S, S_PER_H
from glbdes.world import footprints

WHOLE: Final = -1  # the hour that stands for the whole run
MOST_ROWS: Final = 4800  # of `service`: slots are taken together until there are no more
LEVEL: Final = 0.95


def moved(records: Records) -> pd.DataFrame:
    """A row an hour of the day (and `WHOLE`), gateway and region: simulated requests dispatched."""
    plans = records.read(PLANS_FILE, ["slot", "gateway", "region", "dispatched"]).to_pandas()
    plans["hour"] = plans["slot"].map(_hours(records))
    both = pd.concat([plans.assign(hour=WHOLE), plans])
    sums = both.groupby(["hour", "gateway", "region"], sort=True, observed=True)["dispatched"].sum()
    found: pd.DataFrame = sums.rename("requests").reset_index()
    return found.assign(gateway=found["gateway"].astype(str), region=found["region"].astype(str))


def borne(records: Records) -> dict[str, str]:
    """The footprints that regions bear: column to what it is called."""
    return {
        one.column: f"{one.name.replace('_', ' ')}, {one.unit}" for one in footprints.every(records.info["scenario"])
    }


def burdens(records: Records) -> pd.DataFrame:
    """A row an hour of the day (and `WHOLE`), footprint and region: its amount, and relative to the mean."""
    named = borne(records)
    slots = records.read(SLOTS_FILE, ["slot", "region", *named]).to_pandas()
    slots["hour"] = slots["slot"].map(_hours(records))
    both = pd.concat([slots.assign(hour=WHOLE), slots]).rename(columns=named)
    sums = both.groupby(["hour", "region"], sort=True, observed=True)[list(named.values())].sum().reset_index()
    long = sums.melt(["hour", "region"], var_name="footprint", value_name="amount")
    mean = long.groupby(["hour", "footprint"])["amount"].transform("mean")
    relative = (long["amount"] / mean.where(mean > 0)).fillna(0.0)
    found: pd.DataFrame = long.assign(relative=relative, region=long["region"].astype(str))
    return found


def service(records: Records) -> pd.DataFrame:
    """A row a stretch of slots and region: `time_utc` (its begin), queue (mean), utilisation, each footprint
    (carbon_kg_per_h, ...), and of the requests that arrived in it: ttft_p95_s of those served, slo_share of all.

    The last two are missing where no request ended, and for runs that kept no requests, or not all.
    """
    columns = ["slot", "time_utc", "region", "queue_mean", "utilisation", *borne(records)]
    slots = records.read(SLOTS_FILE, columns).to_pandas()
    number, regions = int(slots["slot"].max()) + 1, list(records.info["scenario"]["regions"])
    together = -(-number * len(regions) // MOST_ROWS)  # slots
    slots["part"] = slots["slot"] // together
    by = slots.groupby(["part", "region"], sort=True, observed=True)
    hours = by.size() * records.info["scenario"]["time"]["slot_s"] / S_PER_H
    found = pd.DataFrame({
        "time_utc": by["time_utc"].min(),
        "queue": by["queue_mean"].mean(),
        "utilisation": by["utilisation"].mean(),
        **{f"{name}_per_h": by[name].sum() / hours for name in borne(records)},
    })  # fmt: skip
    shape = (-(-number // together), len(regions))
    waits = _waits(records, regions, together, shape)
    codes = [regions.index(str(name)) for name in found.index.get_level_values("region")]
    parts = found.index.get_level_values("part").to_numpy()
    for name, values in waits.items():
        found[name] = values[parts, codes]
    flat = found.reset_index().drop(columns="part")
    return flat.assign(region=flat["region"].astype(str))


def _waits(records: Records, regions: list[str], together: int, shape: tuple[int, int]) -> Mapping[str, Any]:
    """ttft_p95_s [part, region] and slo_share [part, region]; NaN where nothing is known."""
    unknown = {name: np.full(shape, np.nan) for name in ("ttft_p95_s", "slo_share")}
    info = records.info
    if not info["by_request"] or info.get("sketch"):
        return unknown
    classes: Mapping[str, Any] = info["scenario"]["slo"]
    period_ns = round((info["simulated_s"] / info["scenario"]["time"]["slots"] + info["warmup_s"]) * NS_PER_S)
    cells, waits, met = [], [], []
    with reading(records.folder / "requests"):
        for batch in records.counted.to_batches(columns=["region", "arrival_ns", *metrics.LIMITED]):
            sent = batch.filter(batch["region"].is_valid())
            part = sent["arrival_ns"].to_numpy() // (period_ns * together)
            cells.append(part * shape[1] + metrics.positions(sent["region"], regions))
            waits.append(sent["ttft_s"].to_numpy(zero_copy_only=False))
            met.append(metrics.limits_met(sent, classes)[2])
    cell = np.concatenate(cells) if cells else np.zeros(0, dtype=np.int64)
    met_all = np.concatenate(met) if met else np.zeros(0, dtype=bool)
    size = shape[0] * shape[1]
    inside = cell < size  # a request of the last instant belongs to no slot
    cell, met_all = cell[inside], met_all[inside]
    count = np.bincount(cell, minlength=size)
    share = np.bincount(cell, weights=met_all, minlength=size) / np.where(count > 0, count, np.nan)
    waited = np.concatenate(waits)[inside] if waits else np.zeros(0)
    return {"ttft_p95_s": _quantiles(cell, waited, size).reshape(shape), "slo_share": share.reshape(shape)}


def _quantiles(cell: Any, values: Any, size: int) -> Any:
    """The 95 % quantile [size] of the values of each cell, linear between order statistics; NaN of none."""
    known = ~np.isnan(values)
    cell, values = cell[known], values[known]
    values = values[np.lexsort((values, cell))]
    count = np.bincount(cell, minlength=size)
    begin = np.cumsum(count) - count
    place = LEVEL * np.maximum(count - 1, 0)
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, np.maximum(count - 1, 0))
    found = np.full(size, np.nan)
    some = count > 0
    below, above = values[(begin + low)[some]], values[(begin + high)[some]]
    found[some] = below + (above - below) * (place - low)[some]
    return found


def incidents(records: Records) -> pd.DataFrame:
    """A row a stretch of time in which something was amiss: region, what ("down", or signals that policies saw late),
    from_utc, to_utc."""
    start = pd.Timestamp(records.info["scenario"]["time"]["start_utc"])
    start = start.tz_convert(None) if start.tzinfo else start
    rows = [
        (
            one["region"],
            "region down",
            start + pd.Timedelta(hours=one["start_h"]),
            start + pd.Timedelta(hours=one["end_h"]),
        )
        for one in records.info["scenario"]["faults"]
        if one["signal"] is None
    ]
    slots = records.read(SLOTS_FILE, ["slot", "time_utc", "region", "stale_slots"]).to_pandas()
    slot = pd.Timedelta(seconds=records.info["scenario"]["time"]["slot_s"])
    for region, own in slots.groupby("region", sort=False, observed=True):
        stale = own.sort_values("slot")
        stale = stale[stale["stale_slots"] > 0]
        run = (stale["slot"].diff() != 1).cumsum()
        for _, stretch in stale.groupby(run):
            begin, end = stretch["time_utc"].iloc[0], stretch["time_utc"].iloc[-1] + slot
            rows.append((str(region), "stale signal", begin, end))
    return pd.DataFrame(rows, columns=["region", "what", "from_utc", "to_utc"])


def _hours(records: Records) -> "pd.Series[Any]":
    """The hour of the day (UTC) in which each slot begins."""
    time = records.read(SLOTS_FILE, ["slot", "time_utc"]).to_pandas().drop_duplicates("slot").set_index("slot")
    hours: pd.Series[Any] = time["time_utc"].dt.hour
    return hours
