"""The headline figures of a run, from its records alone: latency, SLO attainment, totals, fairness.

Everything is computed again from what was written, so a summary vouches for the files that a reader has. Quantiles are
exact (linear between order statistics), one column in memory at a time. Of requests that were not all kept, the figures
are those that the run sketched (`sketch.py`). Requests are counted as simulated
(`request_weight` real ones each); energy and footprints are those of real time. Warm-ups are left out of all but the
check of the meters. Undefined figures are None.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from glbdes.errors import RecordsError
from glbdes.hardware.physics import STATUS_NAMES
from glbdes.records import sketch
from glbdes.records.writer import REQUESTS_FILE, SLOTS_FILE, Records, reading
from glbdes.units import G_PER_KG
from glbdes.world import Floats, footprints
from glbdes.world.footprints import Footprint

LATENCIES: Final = sketch.LATENCIES
QUANTILES: Final = sketch.QUANTILES
TOTALS: Final = ("cost_usd", "carbon_kg", "water_l", "it_kwh", "facility_kwh", "unattributed_kwh", "embodied_kg")
DELAYS: Final = ("network_s", "waiting_s")
LIMITED: Final = ("slo", "status", *(f"{name}_s" for name in LATENCIES))  # columns that say which limits were met
REGIONAL: Final = ("cost_usd", "carbon_kg", "water_l", "it_kwh", "facility_kwh", "embodied_kg")

# What a request was charged / the meter of the same; factor from one's unit to the other's.
_ACCOUNTS: Final = (
    ("energy_kwh", "it_kwh", "unattributed_kwh", 1.0),
    ("cost_usd", "cost_usd", "unattributed_cost_usd", 1.0),
    ("carbon_g", "carbon_kg", "unattributed_carbon_kg", 1.0 / G_PER_KG),
    ("water_l", "water_l", "unattributed_water_l", 1.0),
)

CACHED: Final = ("preemptions", "cached_tokens", "prompt_tokens")

Summary = dict[str, Any]


def summary(records: Records) -> Summary:
    """The figures of `summary.json`. Raises `RecordsError` if any file of the run is damaged."""
    records.check()
    info = records.info
    by_request = bool(info["by_request"])
    counts = _by_status(records)
    total, warmup = sum(counts.values()), _warmup_requests(records) if by_request else 0
    regions = _regions(records)
    named = footprints.every(info["scenario"])
    told = (*TOTALS, *(one.column for one in records.further), *DELAYS)
    totals = {key: float(_column(records, key).sum()) for key in told}
    goodput, slo = _slo(records) if by_request else (None, {})
    return {
        "scenario": info["scenario"]["name"],
        "engine": info["engine"],
        "policy": info["policy"],
        "dispatch": info["scenario"]["dispatch"]["rule"] if by_request else None,
        "scheduler": info["scenario"]["serving"]["scheduler"] if by_request else None,
        "seed": info["seed"],
        "requests": {"total": total, **counts},
        "request_weight": info["request_weight"],
        "simulated_s": info["simulated_s"],
        "warmup_s": info["warmup_s"],
        "warmup_requests": warmup,
        "warnings": list(info["warnings"]),
        "latency_s": {name: _latency(records, name) for name in LATENCIES},
        "slo": slo,
        "goodput_rps": goodput,
        **(cache := _cache(records) if by_request else dict.fromkeys(sketch.CACHE)),
        "prefix_hit_rate": _hit_rate(cache),
        "totals": totals,
        "footprints": {one.name: one.unit for one in named},
        "par": {one.name: _par(regions, one.column) for one in named},
        "objective_usd": _objective(regions, info["scenario"], sum(totals[key] for key in DELAYS)),
        "objective_terms": _objective_terms(info["scenario"]),
        "regions": regions,
        "meter_residual": _meter_residual(records)
        if by_request and not info.get("sketch")
        else info["invariants"]["energy"],
        "notes": list(info["notes"]),
        "wall_s": info["wall_s"],
        "requests_per_s": (total + warmup) / info["wall_s"] if by_request else None,
    }


def _warmup_requests(records: Records) -> int:
    """How many requests arrived in warm-ups, and are left out of everything else."""
    if sketched := records.info.get("sketch"):
        return int(sketched["warmup_requests"])
    with reading(records.folder / "requests"):
        return int(records.requests.count_rows()) - int(records.counted.count_rows())


def _by_status(records: Records) -> dict[str, int]:
    """Requests by how they ended; an engine without requests tells only how many it expects to be served."""
    if not records.info["by_request"]:
        return {name: int(_column(records, name).sum()) for name in STATUS_NAMES}
    if sketched := records.info.get("sketch"):
        return dict(sketched["by_status"])
    with reading(records.folder / "requests"):
        status = records.counted.to_table(columns=["status"])["status"]
        found = {str(row["values"]): int(row["counts"]) for row in status.value_counts().to_pylist()}
    return {name: found.get(name, 0) for name in STATUS_NAMES}


def _latency(records: Records, name: str) -> dict[str, float | None]:
    if sketched := records.info.get("sketch"):
        return dict(sketched["latency_s"][name])
    values = _request_column(records, records.counted, f"{name}_s")
    if not len(values):
        return dict.fromkeys(("mean", *QUANTILES))
    quantiles = np.quantile(values, list(QUANTILES.values()))
    return {"mean": float(values.mean()), **dict(zip(QUANTILES, map(float, quantiles), strict=True))}


def _cache(records: Records) -> dict[str, int]:
    """Times that requests were preempted, tokens that they found in the cache, those of all prompts scheduled, and what
    of the prompts of those admitted once was found and computed."""
    if sketched := records.info.get("sketch"):
        return dict(sketched["cache"])
    sums = dict.fromkeys(sketch.CACHE, 0)
    with reading(records.folder / REQUESTS_FILE):
        for batch in records.counted.to_batches(columns=[*CACHED, "start_ns", "attempts"]):
            started = batch["start_ns"].is_valid()
            once = pc.and_(started, pc.and_(pc.equal(batch["preemptions"], 0), pc.equal(batch["attempts"], 1)))
            found = {name: _sum(batch[name]) for name in CACHED} | {
                "prompt_tokens": _sum(batch["prompt_tokens"], started)
            }
            spared, whole = _sum(batch["cached_tokens"], once), _sum(batch["prompt_tokens"], once)
            found |= {sketch.SPARED: spared, sketch.COMPUTED: whole - spared}
            sums = {name: total + found[name] for name, total in sums.items()}
    return sums


def _sum(column: Any, where: Any = None) -> int:
    return int(pc.sum(column if where is None else column.filter(where)).as_py() or 0)


def _hit_rate(cache: Mapping[str, int | None]) -> float | None:
    """The share of prompt tokens that prefills found in the cache; None if there were none."""
    spared, computed = cache[sketch.SPARED] or 0, cache[sketch.COMPUTED] or 0
    return spared / (spared + computed) if spared + computed else None


def _slo(records: Records) -> tuple[float, dict[str, dict[str, float | None]]]:
    """Goodput (requests/s that met every limit of their class), and attainment by class and limit.

    Attainment is a share of all requests of the class: one that was not served met nothing. One output token meets any
    TPOT. `asked` is the share that the class wants for all of its limits, None if it says none.
    """
    classes: Mapping[str, Any] = records.info["scenario"]["slo"]
    names = list(classes)
    of_class, met = _limits_met(records, classes)
    attainment = {
        key: {
            name: float(met[name][i] / of_class[i]) if of_class[i] and _stated(classes[key], name) else None
            for name in met
        }
        | {"asked": classes[key].get("attain")}
        for i, key in enumerate(names)
    }
    return float(sum(met["all"]) / records.info["simulated_s"]), attainment


def _limits_met(records: Records, classes: Mapping[str, Any]) -> tuple[Sequence[int], Mapping[str, Sequence[int]]]:
    """How many requests each class had, and how many met each limit, and all."""
    if sketched := records.info.get("sketch"):
        return sketched["of_class"], sketched["met"]
    names = list(classes)
    of_class = np.zeros(len(names), dtype=np.int64)
    met = {name: np.zeros(len(names), dtype=np.int64) for name in (*LATENCIES, "all")}
    with reading(records.folder / "requests"):
        for batch in records.counted.to_batches(columns=list(LIMITED)):
            slo, each, every = limits_met(batch, classes)
            of_class += np.bincount(slo, minlength=len(names))
            for name, within in (*each.items(), ("all", every)):
                met[name] += np.bincount(slo[within], minlength=len(names))
    return of_class.tolist(), {name: counts.tolist() for name, counts in met.items()}


def limits_met(batch: Any, classes: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any], Any]:
    """Of a batch of requests with the columns `LIMITED`: each one's class [n], whether it was served within each limit
    of it (`LATENCIES` to [n]), and within all [n]."""
    names = list(classes)
    slo = positions(batch["slo"], names)
    kept = positions(batch["status"], STATUS_NAMES) == STATUS_NAMES.index("served")
    each = {}
    every = kept.copy()
    for name in LATENCIES:
        limits = np.array([_limit(classes[key], f"{name}_s") for key in names])
        value = batch[f"{name}_s"].to_numpy(zero_copy_only=False)
        each[name] = kept & ((value <= limits[slo]) | np.isnan(value))
        every &= each[name]
    return slo, each, every


def _limit(limits: Mapping[str, Any], key: str) -> float:
    value = limits.get(key)
    return np.inf if value is None else float(value)


def _stated(limits: Mapping[str, Any], name: str) -> bool:
    """Does the class limit this? `all` is always asked: without limits it is the share served."""
    return name == "all" or limits.get(f"{name}_s") is not None


def positions(column: Any, names: Any) -> Any:
    """Positions [n] in `names` of a dictionary column's values."""
    known = [names.index(value) for value in column.dictionary.to_pylist()]
    return np.array(known, dtype=np.int64)[column.indices.to_numpy(zero_copy_only=False)]


def _regions(records: Records) -> dict[str, dict[str, Any]]:
    """Totals of each region, requests that ended there as served, and the busy share of its replicas."""
    names = list(records.info["scenario"]["regions"])
    places = records.read(SLOTS_FILE, ["region", "utilisation"])
    with reading(records.folder / SLOTS_FILE):
        region = positions(places["region"].combine_chunks(), names)

    def total(values: Floats) -> Floats:
        return np.asarray(np.bincount(region, weights=values, minlength=len(names)), dtype=np.float64)

    told = (*REGIONAL, *(one.column for one in records.further))
    sums = {key: total(_column(records, key)) for key in told}
    served = total(_column(records, "served"))
    load = total(_column(records, "load")) / (len(region) // len(names))
    busy = np.asarray(places["utilisation"].to_numpy(), dtype=np.float64)  # nulls are NaN
    measured = ~np.isnan(busy)
    times = total(measured.astype(np.float64))
    share = total(np.where(measured, busy, 0.0)) / np.maximum(times, 1.0)
    return {
        name: {
            **{key: float(values[r]) for key, values in sums.items()},
            "requests": int(served[r]),
            "load": float(load[r]),
            "utilisation": float(share[r]) if times[r] else None,
        }
        for r, name in enumerate(names)
    }


def _par(regions: Mapping[str, Mapping[str, float]], key: str) -> float | None:
    """Peak-to-average ratio of the regions' footprints: 1 is even."""
    values = np.array([region[key] for region in regions.values()])
    return float(values.max() / values.mean()) if values.mean() > 0 else None


def _objective(regions: Mapping[str, Mapping[str, float]], scenario: Mapping[str, Any], delay_s: float) -> float:
    """Cost + sum over footprints of mu * norm of the weighted footprint + price of delay (docs/model.md, eq. 9)."""
    prices = scenario["objective"]
    norm = float(prices.get("norm", "inf"))

    def usd(one: Footprint) -> float:
        weights = {name: footprints.weight(scenario["regions"][name], one.name) for name in regions}
        weighted = [weights[name] * region[one.column] for name, region in regions.items()]
        return one.usd * float(np.linalg.norm(weighted, ord=norm, axis=0))  # without an axis BLAS would add up

    cost = sum(region["cost_usd"] for region in regions.values())
    carbon_usd, water_usd, *others_usd = map(usd, footprints.every(scenario))
    total_usd = cost + carbon_usd + water_usd
    for other_usd in others_usd:
        total_usd += other_usd
    return float(total_usd + prices.get("delay_usd_per_s", 0.0) * delay_s)


def _objective_terms(scenario: Mapping[str, Any]) -> str:
    """What `_objective` adds up, in words."""
    prices, regions = scenario["objective"], scenario["regions"].values()
    norm = {"inf": "largest", "1": "sum of", "2": "Euclidean length of"}[str(prices.get("norm", "inf"))]
    every = footprints.every(scenario)
    named = [one.name for one in every if one.usd > 0 or one.name in ("carbon", "water")]
    told = f"{', '.join(named[:-1])} and {named[-1]}"
    weighted = any(footprints.weight(region, name) != 1.0 for region in regions for name in named)
    delay = " + priced delay" if prices.get("delay_usd_per_s", 0.0) > 0 else ""
    return f"cost + priced {norm} {'weighted ' if weighted else ''}{told}{delay}"


def _meter_residual(records: Records) -> float:
    """|weight * sum over requests + unattributed - meter| / sum |meter|: the worst of energy, cost and each footprint.

    Over all time, warm-ups included: a request pays for what it used whenever that was.
    """
    weight = records.info["request_weight"]
    residuals = []
    further = ((one.column, one.column, f"unattributed_{one.column}", 1.0) for one in records.further)
    for charged, metered, unattributed, factor in (*_ACCOUNTS, *further):
        meter = np.concatenate([_column(records, metered), _column(records, f"warmup_{metered}")])
        spare = _column(records, unattributed).sum() + _column(records, f"warmup_{unattributed}").sum()
        scale = float(np.abs(meter).sum())
        requests = weight * factor * float(_request_column(records, records.requests, charged).sum())
        difference = requests + float(spare) - float(meter.sum())
        if scale == 0 and difference != 0:
            raise RecordsError(f"{records.folder}: requests were charged {charged}, the meters saw none")
        residuals.append(abs(difference) / scale if scale > 0 else 0.0)
    return float(np.max(residuals))  # NaN if one is


def _column(records: Records, name: str) -> Floats:
    """A column of slots.parquet, without nulls."""
    column = records.read(SLOTS_FILE, [name])[name]
    if column.null_count:
        raise RecordsError(f"{records.folder / SLOTS_FILE}: {name} is missing in {column.null_count} rows")
    return _finite(column, records.folder / SLOTS_FILE, name)


def _request_column(records: Records, requests: ds.Dataset, name: str) -> Floats:
    """A column of `requests`, all or those that count, without its nulls."""
    path = records.folder / REQUESTS_FILE
    with reading(path):
        column = requests.to_table(columns=[name])[name]
    return _finite(column.drop_null(), path, name)


def _finite(column: pa.ChunkedArray, path: Path, name: str) -> Floats:
    values = np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
    if not np.isfinite(values).all():
        worst = float(values[np.argmin(np.isfinite(values))])
        raise RecordsError(f"{path}: {name} = {worst}, must be finite")
    return values
