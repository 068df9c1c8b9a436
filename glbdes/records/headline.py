"""One run as one row of a table, and what may be said of several rows: fairness, fronts, paired differences.

The row is that of comparisons and sweeps: names carry units, nothing in it depends on the machine or the clock on the
wall, and what an engine cannot tell (latency of a flow) is NaN.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from glbdes.base import portable, seals
from glbdes.optimum import bound
from glbdes.optimum.bound import Reference
from glbdes.records.metrics import LATENCIES, QUANTILES, Summary
from glbdes.records.writer import SUMMARY_FILE
from glbdes.world import Bools, Floats
from glbdes.world.footprints import Footprint

CONFIDENCE: Final = 0.95
REGIONAL: Final = {"carbon": "kg", "water": "l"}  # the footprints whose burden is compared, and their units


def burdens(kind: str, unit: str) -> tuple[str, ...]:
    """The figures of one footprint over the regions."""
    return f"{kind}_mean_{unit}", f"{kind}_max_{unit}", f"{kind}_par", f"{kind}_gini"


BURDENS: Final = tuple(column for kind, unit in REGIONAL.items() for column in burdens(kind, unit))
BURDEN: Final = re.compile(r"^(?P<kind>[a-z][a-z0-9_]*)_((?P<of>mean|max)_(?P<unit>[a-z][a-z0-9]*)|par|gini)$")
WAITS: Final = tuple(f"{name}_{quantile}_s" for name in LATENCIES for quantile in QUANTILES)
COUNTS: Final = ("requests", "served", "rejected", "timed_out", "failed")
FIGURES: Final = (
    "cost_usd",
    *BURDENS,
    "objective_usd",
    "bound_usd",  # what no plan can meter less than (`optimum.bound`); of runs with requests
    "over_bound",  # (objective - bound) / |bound|
    "over_bound_usd",
    "over_optimum",  # (objective - optimum) / |optimum| of a flow
    "over_optimum_usd",
    *WAITS,
    "slo_share",
    "slo_least_share",  # of the class that attained least
    "slo_missed",  # classes that attained less than they ask for; NaN if none asks
    "goodput_rps",
    *COUNTS,
    "it_kwh",
    "unattributed_kwh",
    "embodied_kg",
    "preemptions",
    "prefix_hit_rate",
)


def figures(further: Iterable[Footprint]) -> tuple[str, ...]:
    """`FIGURES`, and the burdens of `further` footprints."""
    return (*FIGURES, *(column for one in further for column in burdens(one.name, one.unit)))


def told(table: pd.DataFrame) -> list[str]:
    """The columns of `table` that are figures, of further footprints, too."""
    return [key for key in map(str, table.columns) if key in FIGURES or BURDEN.match(key)]


def row(summary: Summary, info: Mapping[str, Any], reference: Reference | None) -> dict[str, float]:
    """The `figures` of a run (`metrics.summary`, run.json); `reference` is what its objective is told against."""
    counts, waits = summary["requests"], summary["latency_s"]
    found: dict[str, float | None] = {"cost_usd": summary["totals"]["cost_usd"]}
    named: dict[str, str] = summary["footprints"]
    for kind, unit in named.items():
        values = np.array([region[f"{kind}_{unit}"] for region in summary["regions"].values()])
        found |= {f"{kind}_mean_{unit}": float(values.mean()), f"{kind}_max_{unit}": float(values.max())}
        found |= {f"{kind}_par": summary["par"][kind], f"{kind}_gini": gini(values)}
    found["objective_usd"] = summary["objective_usd"]
    found |= _gaps(summary["objective_usd"], reference)
    for name in LATENCIES:
        found |= {f"{name}_{quantile}_s": waits[name][quantile] for quantile in QUANTILES}
    found |= {"slo_share": _attained(summary, info), "goodput_rps": summary["goodput_rps"], **_classes(summary)}
    found |= {"requests": counts["total"], **{key: counts[key] for key in COUNTS[1:]}}
    found |= {key: summary["totals"][key] for key in ("it_kwh", "unattributed_kwh", "embodied_kg")}
    found |= {key: summary[key] for key in ("preemptions", "prefix_hit_rate")}
    every = (*FIGURES, *(column for kind in named if kind not in REGIONAL for column in burdens(kind, named[kind])))
    return {key: np.nan if found[key] is None else float(found[key] or 0.0) for key in every}


def _gaps(objective_usd: float, reference: Reference | None) -> dict[str, float | None]:
    """How far the objective is from the bound of its run, or from the optimum of its flow."""
    found = dict.fromkeys(("bound_usd", "over_bound", "over_bound_usd", "over_optimum", "over_optimum_usd"))
    if reference is None:
        return found
    name = "bound" if reference.by_request else "optimum"
    gap, difference = bound.over(objective_usd, reference.usd), objective_usd - reference.usd
    told = {f"over_{name}": gap, f"over_{name}_usd": difference}
    return found | told | ({"bound_usd": reference.usd} if reference.by_request else {})


def written(folder: Path) -> Summary:
    """The summary that a run wrote a moment ago; `metrics.summary` would read its requests once more."""
    found: Summary = seals.parsed(folder / SUMMARY_FILE)
    return found


def gini(values: Floats) -> float | None:
    """Gini coefficient of amounts [n]: 0 is even; sum_ij |x_i - x_j| / (2 n^2 mean). None without a positive mean."""
    mean = float(values.mean())
    return float(np.abs(values[:, None] - values).mean() / (2 * mean)) if mean > 0 else None


def pareto(x: Floats, y: Floats) -> Bools:
    """Which points [n] no other beats: as good in both and better in one. Less is better; NaN is never on the front."""
    as_good = (x[:, None] >= x) & (y[:, None] >= y)
    better = (x[:, None] > x) | (y[:, None] > y)
    return np.asarray(np.isfinite(x) & np.isfinite(y) & ~(as_good & better).any(axis=1))


def half_width(values: Sequence[float] | Floats) -> float:
    """Half the 95 % confidence interval of the mean (Student's t); NaN for fewer than two values."""
    sample = np.asarray(values, dtype=np.float64)
    n = len(sample)
    if n < 2:
        return float("nan")
    quantile = round(float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)), portable.DECIMALS)
    return float(quantile * sample.std(ddof=1) / np.sqrt(n))


def by_policy(runs: pd.DataFrame) -> pd.DataFrame:
    """Means over runs with columns `policy`, `seed` and `figures`, a row a policy in order of appearance.

    A draw is a seed, or where there are several in the column `signal_seed`, one of these: the mean over its seeds.
    With two draws or more there are also, for each figure, `_half95` of the mean and, from differences paired by draw
    with the first policy (the reference), `_difference`, `_difference_low95` and `_difference_high95`.
    """
    names, draw, keys = list(dict.fromkeys(runs["policy"])), drawn_by(runs), told(runs)
    wide = {name: runs[runs["policy"] == name].groupby(draw)[keys].mean() for name in names}
    rows = []
    for name in names:
        own = wide[name]
        made: dict[str, Any] = {"policy": name, "draws": len(own)}
        made |= {key: float(own[key].mean()) for key in keys}
        if len(own) > 1:
            paired = own - wide[names[0]].loc[own.index]
            for key in keys:
                middle, half = float(paired[key].mean()), half_width(paired[key].to_numpy())
                made |= {f"{key}_half95": half_width(own[key].to_numpy()), f"{key}_difference": middle}
                made |= {f"{key}_difference_low95": middle - half, f"{key}_difference_high95": middle + half}
        rows.append(made)
    return pd.DataFrame(rows)


def drawn_by(runs: pd.DataFrame) -> str:
    """The column whose values are independent draws: of signals (as a comparison calls them, or a sweep) if there are
    several, else of requests."""
    several = (name for name in ("signal_seed", "signals.seed") if name in runs and runs[name].nunique() > 1)
    return next(several, "seed")


def over_seeds(table: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Means of `figures` and `_half95` of each over the rows that agree in `keys`, in order of appearance.

    A draw is a row, or where there are several in the column `signals.seed`, one of these: the mean over its rows.
    """
    rows, figured = [], told(table)
    for values, group in table.groupby(list(keys), sort=False, dropna=False, observed=True) if keys else [((), table)]:
        made: dict[str, Any] = {**dict(zip(keys, values, strict=True)), "seeds": len(group)}
        draw = drawn_by(group)
        draws = group if draw == "seed" else group.groupby(draw)[figured].mean()
        made |= {key: float(draws[key].mean()) for key in figured}
        made |= {f"{key}_half95": half_width(draws[key].to_numpy()) for key in figured}
        rows.append(made)
    return pd.DataFrame(rows)


def paired(table: pd.DataFrame, keys: Sequence[str], along: str) -> pd.DataFrame | None:
    """Half the 95 % confidence interval of the difference from the least value of `along`, paired by draw: a row a
    combination of `keys`, columns `figures` with `_paired95` (NaN at the least value). None without several draws.
    """
    draw = drawn_by(table)
    if draw not in table or table[draw].nunique() < 2:
        return None
    others, figured = [key for key in keys if key != along], told(table)
    rows = []
    for values, group in table.groupby(others, sort=False, dropna=False, observed=True) if others else [((), table)]:
        by_value = {value: own.groupby(draw)[figured].mean() for value, own in group.groupby(along, sort=True)}
        first = next(iter(by_value.values()), None)
        for value, own in by_value.items():
            made: dict[str, Any] = {**dict(zip(others, values, strict=True)), along: value}
            apart = own - first
            made |= {
                f"{key}_paired95": half_width(apart[key].dropna().to_numpy()) if own is not first else np.nan
                for key in figured
            }
            rows.append(made)
    return pd.DataFrame(rows) if rows else None


def _classes(summary: Summary) -> dict[str, float | None]:
    """The share of the SLO class that attained least, and how many attained less than they ask for."""
    classes = [one for one in summary["slo"].values() if one["all"] is not None]
    missed = [one["all"] < one["asked"] for one in classes if one["asked"] is not None]
    least = min((one["all"] for one in classes), default=None)
    return {"slo_least_share": least, "slo_missed": float(sum(missed)) if missed else None}


def _attained(summary: Summary, info: Mapping[str, Any]) -> float | None:
    """Share of all requests that met every limit of their class."""
    total = summary["requests"]["total"]
    if summary["goodput_rps"] is None or not total:
        return None
    return float(summary["goodput_rps"] * info["simulated_s"] / total)
