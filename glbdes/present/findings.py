"""What was found, in sentences: computed from the tables, so that a reader has the answer before the figures."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from glbdes.present.tables import number
from glbdes.records.headline import pareto
from glbdes.records.metrics import Summary
from glbdes.world import Bools

FORESIGHT: Final = "offline"  # knows the future, so it is no answer where there is another
PAR: Final = "_par"
LOST: Final = ("rejected", "timed_out", "failed")
SAME: Final = 5e-4  # a relative difference that is not worth a word


def of_comparison(table: pd.DataFrame) -> list[str]:
    """Sentences on the means of `headline.by_policy`, policies as they are shown."""
    return [*_of_rows(table, "policies"), *_sure(table)]


def of_run(summary: Summary) -> list[str]:
    """Sentences on a run (`metrics.summary`)."""
    said = []
    for kind, par in summary["par"].items():
        column = f"{kind}_{summary['footprints'][kind]}"
        if par is None:
            continue
        amounts = {name: region[column] for name, region in summary["regions"].items()}
        most, least = max(amounts, key=amounts.__getitem__), min(amounts, key=amounts.__getitem__)
        mean = float(np.mean(list(amounts.values())))
        said.append(
            f"{kind} PAR {par:.3g}: {most} bears {par:.3g} times the mean over regions, "
            f"{least} {amounts[least] / mean:.2g} times."
        )
    waits = summary["latency_s"]
    if waits["ttft"]["p95"] is not None:
        met = summary["goodput_rps"] * summary["simulated_s"] / max(1, summary["requests"]["total"])
        said.append(
            f"95 % of the served requests have their first token within {waits['ttft']['p95']:.2g} s and their answer "
            f"within {waits['e2e']['p95']:.2g} s; {100 * met:.3g} % of all meet their SLO."
        )
    said.append(
        f"Energy cost {number(summary['totals']['cost_usd'])} USD, "
        f"with priced footprints {number(summary['objective_usd'])} USD."
    )
    lost = sum(summary["requests"][key] for key in LOST)
    if lost:
        said.append(f"{lost:,} of {summary['requests']['total']:,} requests were not served.")
    return said


def of_sweep(means: pd.DataFrame, numbers: Sequence[str]) -> list[str]:
    """Sentences on `headline.over_seeds` as `figures.labelled`; `numbers` are the keys that are numbers."""
    priced = any(str(key).startswith("objective.") for key in means)  # then objectives cannot be compared
    said = _of_rows(means.assign(policy=means["setting"]), "settings", priced=priced)
    if len(numbers) == 1:
        for series, own in means.groupby("policy", sort=False):
            own = own[own[numbers[0]].notna()].sort_values(numbers[0])
            if len(own) > 1:
                said.append(_along(str(series), own, numbers[0]))
    return said


def _of_rows(table: Any, rows: str, *, priced: bool = False) -> list[str]:
    """On any table of alternatives: the fairest of each footprint, the quickest, the best, and who was lost."""
    table = table[table["cost_usd"].notna()].reset_index(drop=True)
    if len(table) < 2:
        return []
    fair = table[table["policy"] != FORESIGHT] if (table["policy"] != FORESIGHT).any() else table
    cheapest = table.loc[table["cost_usd"].idxmin()]
    said = []
    for column in _pars(table):
        if fair[column].notna().any():
            said.append(_fairest(fair.loc[fair[column].idxmin()], cheapest, column))
    if table["ttft_p95_s"].notna().any():
        said.append(_quickest(table, cheapest))
    if not priced:
        said.append(_best(fair.loc[fair["objective_usd"].idxmin()]))
    on: Sequence[bool] | Bools = (
        pareto(table["cost_usd"].to_numpy(float), table["carbon_par"].to_numpy(float)) if "carbon_par" in table else []
    )
    if rows == "settings" and len(on):
        said.append(
            f"{int(np.sum(on))} of {len(table)} settings are on the front of cost and carbon PAR: "
            "nothing is as fair for less."
        )
    said += _lost(table)
    return list(dict.fromkeys(said))


def _pars(table: Any) -> list[str]:
    return [str(name) for name in table if str(name).endswith(PAR)]


def _best(one: "pd.Series[Any]") -> str:
    above = ""
    if np.isfinite(one.get("over_bound", np.nan)):
        above = f", {100 * one['over_bound']:.2g} % above what no plan can meter less than"
    usd = number(one["objective_usd"])
    return f"{one['policy']} has the least objective (cost and priced footprints): {usd} USD{above}."


def _fairest(one: "pd.Series[Any]", cheapest: "pd.Series[Any]", column: str) -> str:
    kind = column.removesuffix(PAR).replace("_", " ")
    wait = f"; p95 TTFT {one['ttft_p95_s']:.2g} s" if np.isfinite(one["ttft_p95_s"]) else ""
    if one["policy"] == cheapest["policy"]:
        return f"{one['policy']} is the cheapest and the fairest in {kind}: PAR {one[column]:.3g}{wait}."
    more = one["cost_usd"] / cheapest["cost_usd"] - 1 if cheapest["cost_usd"] > 0 else np.nan
    price = _more(more, "cost") if np.isfinite(more) else f"{number(one['cost_usd'])} USD"
    return (
        f"{one['policy']}: {kind} PAR {one[column]:.3g} instead of {cheapest[column]:.3g} for {price} than the "
        f"cheapest ({cheapest['policy']}){wait}."
    )


def _quickest(table: Any, cheapest: "pd.Series[Any]") -> str:
    one = table.loc[table["ttft_p95_s"].idxmin()]
    slowest = table.loc[table["ttft_p95_s"].idxmax()]
    said = f"{one['policy']} is the quickest: p95 TTFT {one['ttft_p95_s']:.2g} s"
    if cheapest["cost_usd"] > 0 and one["policy"] != cheapest["policy"]:
        said += f" for {_more(one['cost_usd'] / cheapest['cost_usd'] - 1, 'cost')} than the cheapest"
    return f"{said}; the slowest is {slowest['policy']} with {slowest['ttft_p95_s']:.2g} s."


def _lost(table: Any) -> list[str]:
    known = [key for key in LOST if key in table]
    lost = table[known].sum(axis=1)
    some = table[lost > 0]
    if some.empty:
        return []
    worst = lost.idxmax()
    share = lost[worst] / max(1.0, table.loc[worst, "requests"])
    return [f"Not all requests were served: under {table.loc[worst, 'policy']} {100 * share:.2g} % were lost."]


def _sure(table: Any) -> list[str]:
    """Whether the difference in equity from the reference is more than chance."""
    said = []
    for column in _pars(table):
        if f"{column}_difference" not in table or len(table) < 2:
            continue
        one = table.loc[table[column].idxmin()]
        low, high = one[f"{column}_difference_low95"], one[f"{column}_difference_high95"]
        if not np.isfinite(low) or one["policy"] == table["policy"].iloc[0]:
            continue
        sure = "is more than chance" if high < 0 or low > 0 else "may be chance"
        middle, half = one[f"{column}_difference"], (high - low) / 2
        kind = column.removesuffix(PAR)
        said.append(
            f"Over {int(one['draws'])} draws, {one['policy']} less {table['policy'].iloc[0]} is "
            f"{middle:+.3g} ± {half:.2g} "
            f"in {kind} PAR (95 %, paired), which {sure}."
        )
    return said


def _along(series: str, own: Any, key: str) -> str:
    """What a parameter does from its least to its greatest value."""
    first, last = own.iloc[0], own.iloc[-1]
    name = key.rsplit(".", 1)[-1]
    changes = [_more(last["cost_usd"] / first["cost_usd"] - 1, "cost")] if first["cost_usd"] > 0 else []
    told = [(name, f"{name.removesuffix(PAR)} PAR", "") for name in _pars(own)]
    for column, called, unit in (*told, ("ttft_p95_s", "p95 TTFT", " s")):
        if np.isfinite(first[column]) and np.isfinite(last[column]):
            changes.append(f"{called} {first[column]:.3g} to {last[column]:.3g}{unit}")
    who = "" if series == "all" else f"{series}: "
    return f"{who}{name} from {first[key]:g} to {last[key]:g}: {', '.join(changes)}."


def _more(share: float, what: str) -> str:
    """A relative difference in words: "4.6 % more cost"."""
    if abs(share) < SAME:
        return f"no more {what}"
    return f"{100 * abs(share):.2g} % {'more' if share > 0 else 'less'} {what}"


WORDS: Final[Mapping[str, str]] = {
    "PAR": "peak-to-average ratio, the largest regional footprint over the mean of all regions; 1 is even",
    "TTFT": "time to first token, as the user sees it, network included",
    "E2E": "time to the last token",
    "SLO": "the latency limits that a class of requests asks for; who was not served missed them",
    "objective": "energy cost plus the priced largest regional footprints",
    "bound": "what no plan can meter less than",
    "p95": "19 of 20 served requests took no longer",
}


def words(headings: Sequence[str]) -> dict[str, str]:
    """The terms that stand in `headings`, with what they mean."""
    text = " ".join(headings)
    return {term: meaning for term, meaning in WORDS.items() if term in text}
