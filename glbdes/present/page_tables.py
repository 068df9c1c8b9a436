"""Tables of a page: what matters most with policies or settings as rows, the best marked; all figures folded away."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd

from glbdes.present import findings, study_tables
from glbdes.present.page import Rows
from glbdes.present.study_tables import COMPARISON, Shown
from glbdes.records.headline import pareto

HEADLINE: Final = (
    "cost_usd",
    "objective_usd",
    "over_bound",
    "over_optimum",
    "ttft_p95_s",
    "e2e_p95_s",
    "slo_share",
)  # and every PAR, and who was not served
LOST: Final = ("rejected", "timed_out", "failed")
MOST_ROWS: Final = 12


def main(title: str, names: Sequence[str], found: pd.DataFrame) -> Rows:
    """The columns that matter, a row a policy; paired differences beneath the figures of several draws."""
    found = found.reset_index(drop=True)
    shown = _shown(found)
    columns = [[study_tables.cell(one, how) for one in found[key]] for key, how in shown.items()]
    for cells, (key, how) in zip(columns, shown.items(), strict=True):
        if f"{key}_difference" in found and found[f"{key}_difference"].any():
            less = study_tables.differences(found, key, how)
            cells[:] = [f"{cell}\n{text}" if text else cell for cell, text in zip(cells, less, strict=True)]
    best = [study_tables.best_of(found[key].to_numpy(np.float64), how.better) for key, how in shown.items()]
    headings = ["", *(how.heading for how in shown.values())]
    return Rows(
        title,
        headings,
        [[name, *(column[i] for column in columns)] for i, name in enumerate(names)],
        [[False, *(bool(marks[i]) for marks in best)] for i in range(len(names))],
        findings.words(headings),
    )


def settings(found: pd.DataFrame) -> Rows:
    """Those settings of a sweep (`figures.labelled`) on the front of money and equity, or all if they are few."""
    title = "In figures"
    if len(found) > MOST_ROWS:
        on = np.zeros(len(found), dtype=bool)
        for key in [str(name) for name in found if str(name).endswith("_par")]:
            on |= pareto(found["cost_usd"].to_numpy(float), found[key].to_numpy(float))
        found = found[on].sort_values("cost_usd").head(MOST_ROWS)
        title = "In figures: settings on a front of cost and equity, the cheapest first"
    return main(title, [str(name) for name in found["setting"]], found)


def every(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Rows:
    """All figures, for who asks."""
    return Rows("All figures", headings, rows, folded=True)


def _shown(found: pd.DataFrame) -> Mapping[str, Shown]:
    """The columns of the table: those that anything is known of; losses only if there are any."""
    return {
        key: how
        for key, how in study_tables.with_further(COMPARISON, found).items()
        if key in found
        and found[key].notna().any()
        and (key in HEADLINE or key.endswith("_par") or (key in LOST and (found[key] > 0).any()))
    }
