"""Comparisons and sweeps as tables of text: for the terminal, for Markdown and for LaTeX.

Figures are rows and policies columns, since there are many of the ones and few of the others.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from rich.table import Table
from rich.text import Text

from glbdes.present.tables import ignored, number, routed_by, table
from glbdes.records import Records, headline, metrics


class Shown(NamedTuple):
    """How a figure is shown: its heading with the unit, and which end is better (0: neither)."""

    heading: str
    better: int = -1
    share: bool = False
    decimals: int = 1  # of a share in per cent
    whole: bool = False  # counted


COMPARISON: Final[Mapping[str, Shown]] = {
    "cost_usd": Shown("cost, USD"),
    "carbon_mean_kg": Shown("carbon mean, kg"),
    "carbon_max_kg": Shown("carbon max, kg"),
    "carbon_par": Shown("carbon PAR"),
    "carbon_gini": Shown("carbon Gini"),
    "water_mean_l": Shown("water mean, L"),
    "water_max_l": Shown("water max, L"),
    "water_par": Shown("water PAR"),
    "water_gini": Shown("water Gini"),
    "objective_usd": Shown("objective, USD"),
    "bound_usd": Shown("bound, USD", 0),
    "over_bound": Shown("over bound", share=True),
    "over_bound_usd": Shown("over bound, USD"),
    "over_optimum": Shown("over fluid optimum", share=True),
    "over_optimum_usd": Shown("over fluid optimum, USD"),
    "ttft_p50_s": Shown("TTFT p50 of served, s"),
    "ttft_p95_s": Shown("TTFT p95 of served, s"),
    "ttft_p99_s": Shown("TTFT p99 of served, s"),
    "tpot_p50_s": Shown("TPOT p50 of served, s"),
    "e2e_p50_s": Shown("E2E p50 of served, s"),
    "e2e_p95_s": Shown("E2E p95 of served, s"),
    "e2e_p99_s": Shown("E2E p99 of served, s"),
    "slo_share": Shown("within SLO, of all", +1, share=True, decimals=3),
    "slo_least_share": Shown("within SLO, worst class", +1, share=True, decimals=3),
    "slo_missed": Shown("SLO classes missed", whole=True),
    "goodput_rps": Shown("goodput, requests/s", +1),
    "served": Shown("served", +1, whole=True),
    "rejected": Shown("rejected", whole=True),
    "timed_out": Shown("timed out", whole=True),
    "failed": Shown("failed", whole=True),
}


def with_further(shown: Mapping[str, Shown], found: pd.DataFrame) -> dict[str, Shown]:
    """`shown`, and the burdens of further footprints that `found` has, after those of water."""
    whole = dict(shown)
    after = [key for key in headline.told(found) if key not in headline.FIGURES]
    if not after or "water_gini" not in whole:
        return whole
    place = list(whole).index("water_gini") + 1
    items = list(whole.items())
    return dict([*items[:place], *((key, Shown(_heading(key))) for key in after), *items[place:]])


def _heading(burden: str) -> str:
    """What the figure `burden` of a further footprint is called in tables."""
    found = headline.BURDEN.match(burden)
    assert found is not None
    name = found["kind"].replace("_", " ")
    if found["of"]:
        return f"{name} {found['of']}, {found['unit']}"
    return f"{name} {'PAR' if burden.endswith('par') else 'Gini'}"


MOST_DECIMALS: Final = 6
SWEPT: Final = (
    "cost_usd",
    "carbon_par",
    "water_par",
    "objective_usd",
    "over_bound",
    "over_bound_usd",
    "over_optimum",
    "over_optimum_usd",
    "ttft_p95_s",
    "e2e_p95_s",
    "slo_share",
    "slo_missed",
    "rejected",
    "timed_out",
    "failed",
)


def notes(info: Mapping[str, Any], runs: pd.DataFrame) -> list[str]:
    """What is to be known of a comparison's table: of its `info` (comparison.json) and its `runs` (a row a run)."""
    plans = [line for policy in info["policies"] for line in ignored(policy, info["dispatch"])]
    waits = ["Latencies are of served requests; shares within SLO count all others as missed."] * bool(info["dispatch"])
    return [*(f"{line}." for line in plans[:1]), *waits, *_of_reference(info["reference"], runs)]


def draws(info: Mapping[str, Any]) -> str:
    """How often what was drawn, and what intervals cover: of a comparison's `info` (comparison.json)."""
    seeds, signals = info["seeds"], info["signal_seeds"]
    if len(signals) > 1:
        each = f", {len(seeds)} seeds of requests each" if len(seeds) > 1 else ""
        return f"mean of {len(signals)} draws of signals{each}, ± 95 % over other signals and requests, paired"
    own = f", signals of seed {signals[0]}" if signals else ""
    if len(seeds) == 1:
        return f"seed {seeds[0]}{own}"
    return f"mean of {len(seeds)} seeds{own}, ± 95 % over other requests, the signals being as they are, paired"


def _of_reference(reference: Mapping[str, Any] | None, runs: pd.DataFrame) -> list[str]:
    """What gaps mean, and why they may not."""
    if reference is None:
        return ["No gap is told: the expected load does not fit the capacities that plans may use."]
    if not reference["by_request"]:
        return ["Over fluid optimum: objective less that of the offline optimum of the fluid model / its size."]
    said = (
        "Over bound: objective less the bound / its size. Bound: what no plan within the capacities can meter less, in "
    )
    lines = [f"{said}the mean over draws of requests (base power, and the least that each request adds)."]
    doubts = list(reference["doubts"])
    lost = float((runs["requests"] - runs["served"]).sum())
    if lost > 0:
        doubts.append(f"{lost:,.0f} requests were not served, and cost less than the bound reckons")
    if doubts:
        lines.append(f"It is none here for certain: {'; '.join(doubts)}.")
    return lines


def named(found: pd.DataFrame, dispatch: str | None) -> pd.DataFrame:
    """`found` with the names that tables show: of policies, or that the rule of `dispatch` takes no notice of them."""
    policies = [str(name) for name in found["policy"]]
    shown = [routed_by(name, dispatch) for name in policies]
    if len(policies) > 1 and shown != policies:
        shown = [f"{policy}: {name}" for policy, name in zip(policies, shown, strict=True)]
    return found.assign(policy=shown)


def swept(means: pd.DataFrame, keys: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of text for `headline.over_seeds`: a row a combination of `keys`, figures across."""
    shown = {column: COMPARISON[column] for column in SWEPT if means[column].notna().any()}
    shown |= {column: Shown(_heading(column)) for column in _further_par(means) if means[column].notna().any()}
    rows = []
    for _, one in means.iterrows():
        cells = [_key(one[key]) for key in keys] + [str(one["seeds"])]
        for column, how in shown.items():
            value, half = float(one[column]), float(one[f"{column}_half95"])
            doubt = with_doubt(100 * value, 100 * half) + " %" if how.share else with_doubt(value, half)
            cells.append(cell(value, how) if np.isnan(half) else doubt.removeprefix("+"))
        rows.append(cells)
    return [*keys, "seeds", *(how.heading for how in shown.values())], rows


def _further_par(found: pd.DataFrame) -> list[str]:
    """The PARs of further footprints in `found`."""
    return [key for key in headline.told(found) if key.endswith("_par") and key not in headline.FIGURES]


def _key(value: Any) -> str:
    """A swept value; nothing where the key was not set."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def one(run_records: Records) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of text for a single run."""
    summary = metrics.summary(run_records)
    row = headline.row(summary, run_records.info, None)
    return lines(pd.DataFrame([{"policy": routed_by(summary["policy"], summary["dispatch"]), **row}]), COMPARISON)


def periods(found: pd.DataFrame) -> list[Table]:
    """Tables for `records.periods.by_period`: both PARs and the cost, a row a policy and a column a period."""
    titles = {"carbon_par": "Carbon PAR", "water_par": "Water PAR", "cost_usd": "Cost, USD"}
    names = list(dict.fromkeys(found["period"]))
    slots = found.drop_duplicates("period").set_index("period")["slots"]
    made = []
    for column, title in titles.items():
        wide = found.pivot(index="policy", columns="period", values=column)
        policies = dict.fromkeys(found["policy"])
        rows = [[name, *(_plain_number(wide.loc[name, one]) for one in names)] for name in policies]
        made.append(table(f"{title} by period", ["", *(f"{name} ({slots[name]} slots)" for name in names)], rows))
    return made


def _plain_number(value: Any) -> str:
    return number(None if np.isnan(value) else float(value))


def lines(found: pd.DataFrame, shown: Mapping[str, Shown]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of text for the means of `headline.by_policy`; differences under each figure of several draws.

    Figures that no policy has (latency of a flow) are left out, and differences where there is none.
    """
    names, shown = [str(name) for name in found["policy"]], with_further(shown, found)
    rows = []
    for column, how in shown.items():
        if found[column].isna().all():
            continue
        rows.append([how.heading, *(cell(value, how) for value in found[column])])
        if f"{column}_difference" in found and found[f"{column}_difference"].any():
            rows.append([f"  less {names[0]}", *differences(found, column, how)])
    return ["", *names], rows


def rich(title: str, found: pd.DataFrame, shown: Mapping[str, Shown]) -> Table:
    """The same for the terminal, with the best of each row in bold."""
    headings, rows = lines(found, shown)
    shown = with_further(shown, found)
    of_heading = {how.heading: column for column, how in shown.items()}
    made: list[list[str | Text]] = []
    for row in rows:
        if row[0] not in of_heading:
            made.append([Text(text, "dim") for text in row])
            continue
        values = found[of_heading[row[0]]].to_numpy(dtype=np.float64)
        best = best_of(values, shown[of_heading[row[0]]].better)
        made.append([row[0], *(Text(text, "bold" if best[i] else "") for i, text in enumerate(row[1:]))])
    return table(title, headings, made)


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, figures to the right."""
    rule = ["---", *("---:" for _ in headings[1:])]
    cells = [[cell.strip() for cell in row] for row in (headings, rule, *rows)]
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)


def latex(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A LaTeX tabular with booktabs' rules."""
    body = [" & ".join(_escaped(cell) for cell in row) + r" \\" for row in rows]
    head = " & ".join(_escaped(cell) for cell in headings) + r" \\"
    columns = "l" + "r" * (len(headings) - 1)
    parts = [
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        head,
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(parts) + "\n"


def cell(value: float, how: Shown) -> str:
    """A figure as text."""
    plain = None if np.isnan(value) else float(value)
    if how.share:
        return "-" if plain is None else f"{100 * plain:.{how.decimals}f} %"
    return number(int(plain) if plain is not None and how.whole and plain.is_integer() else plain)


def differences(found: pd.DataFrame, column: str, how: Shown) -> list[str]:
    """Mean paired difference from the first policy and half its confidence interval, a cell a policy."""
    cells = [""]
    for _, row in found.iloc[1:].iterrows():
        middle = float(row[f"{column}_difference"])
        half = (float(row[f"{column}_difference_high95"]) - float(row[f"{column}_difference_low95"])) / 2
        if np.isnan(middle):
            cells.append("-")
        elif how.share:
            cells.append(f"{with_doubt(100 * middle, 100 * half)} %")
        else:
            cells.append(with_doubt(middle, half))
    return cells


def with_doubt(middle: float, half: float) -> str:
    """A difference and its half-width, which has two digits that count, to the same decimals: -0.0963 ±0.0084."""
    if half == 0 or np.isnan(half):
        return f"{'+' if middle > 0 else ''}{number(middle, 3)} ±{number(0.0 if half == 0 else None)}"
    decimals = min(max(0, 1 - math.floor(math.log10(half))), MOST_DECIMALS)
    return f"{middle:+,.{decimals}f} ±{half:,.{decimals}f}"


def best_of(values: np.ndarray, better: int) -> np.ndarray:
    """Which of a row are its best, unless all are alike."""
    known = values[np.isfinite(values)]
    if not better or not len(known) or known.min() == known.max():
        return np.zeros(len(values), dtype=bool)
    return np.asarray(values == (known.max() if better > 0 else known.min()))


def _escaped(text: str) -> str:
    for mark, safe in (("\\", r"\textbackslash{}"), ("_", r"\_"), ("%", r"\%"), ("&", r"\&"), ("±", r"$\pm$")):
        text = text.replace(mark, safe)
    return text.strip()
