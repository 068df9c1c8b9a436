"""Fill the tables of docs/data.md and draw its figure: the synthetic signals beside the record that they are fitted to.

    python docs/scripts/make_data_page.py

Needs the data folder beside the checkout, and altair and vl-convert for the figure.
"""

from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
from make_workload_page import fill, markdown

from glbdes import resources, simulate
from glbdes.signals import residuals, synthetic
from glbdes.signals.authors import read_authors, read_authors_load
from glbdes.signals.tidy import read_tidy
from glbdes.units import H_PER_DAY

DOCS = Path(__file__).resolve().parents[1]
PAPER = DOCS / "../../shared/data/paper"
SIGNALS = {
    "price": ("price_usd_per_kwh", 1000.0, "USD/MWh", ".1f"),
    "carbon": ("carbon_g_per_kwh", 1.0, "g/kWh", ".0f"),
    "water": ("wue_l_per_kwh", 1.0, "L/kWh", ".2f"),
}
PAIRS = (("germany", "denmark"), ("belgium", "netherlands"), ("texas", "virginia"), ("nevada", "japan"))
SHOWN = ("texas", "germany", "netherlands", "japan")
POLICIES = ("cost", "carbon", "water", "cost_carbon", "cost_carbon_water", "nearest", "eglb")
FORMS = (".3f", ".3f", ",.0f")  # of two PARs and the objective
WEEK_H = 7 * H_PER_DAY


def get(table: pd.DataFrame, region: str, column: str) -> np.ndarray:
    return table.loc[table["region"] == region, column].to_numpy()


def profile(values: np.ndarray) -> np.ndarray:
    return np.array([values[hour::H_PER_DAY].mean() for hour in range(H_PER_DAY)])


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.corrcoef(x, y)[0, 1])


def lag1(values: np.ndarray) -> float:
    return correlation(values[1:], values[:-1])


def statistics_table(record: pd.DataFrame, ours: pd.DataFrame) -> str:
    rows = []
    for region in ours["region"].unique():
        for signal, (column, factor, unit, form) in SIGNALS.items():
            pair = [get(table, region, column) * factor for table in (record, ours)]
            numbers = [f"{f(x):{form}}" for f in (np.mean, np.std, np.min, np.max) for x in pair] + [
                f"{lag1(x):.3f}" for x in pair
            ]
            share = profile(pair[0]).var() / pair[0].var()
            likeness = f"{correlation(*map(profile, pair)):.3f} ({share:.0%})"
            rows.append([region if signal == "price" else "", f"{signal}, {unit}", *numbers, likeness])
    names = [f"{name} {which}" for name in ("mean", "std", "min", "max", "lag 1") for which in "rs"]
    return markdown(["region", "signal", *names, "profile"], rows)


def load_line(ours: pd.DataFrame) -> str:
    told = []
    pair = (read_authors_load(PAPER), ours["load"].to_numpy())
    for name, f in (("mean", np.mean), ("std", np.std), ("min", np.min), ("max", np.max), ("lag 1", lag1)):
        told.append(f"{name} {f(pair[0]):.3f} r, {f(pair[1]):.3f} s")
    return "; ".join(told) + "."


def correlation_table(record: pd.DataFrame, ours: pd.DataFrame) -> str:
    rows = []
    columns = {signal: entry[0] for signal, entry in SIGNALS.items()}
    for one, other in (("price", "carbon"), ("price", "water"), ("carbon", "water")):
        between = [t.groupby("region")[list(columns.values())].mean().corr() for t in (record, ours)]
        cells = [f"{b.loc[columns[one], columns[other]]:+.2f}" for b in between]
        rows.append([f"{one} and {other}, means of the ten regions", *cells])
    for signal, column in columns.items():
        for one, other in PAIRS:
            cells = [f"{correlation(get(t, one, column), get(t, other, column)):+.2f}" for t in (record, ours)]
            rows.append([f"{signal}, {one} and {other}, over time", *cells])
    known = synthetic.statistics()
    series = np.column_stack([get(ours, s.region, s.column) for s in known.series])
    error = np.corrcoef(residuals.centred(series).T) - known.correlation
    error = error[np.triu_indices(len(error), 1)]
    known_off = known.correlation[np.triu_indices(len(known.correlation), 1)]
    told = (
        f"Over all {len(error)} pairs of random series (less their profiles) the correlations differ by "
        f"{np.sqrt(np.mean(error**2)):.3f} (root mean square) and {np.abs(error).max():.2f} at most; the record's own "
        f"are {np.sqrt(np.mean(known_off**2)):.2f} (root mean square)."
    )
    return markdown(["correlation", "record", "synthetic"], rows) + "\n\n" + told


def seeds_table() -> str:
    known = synthetic.statistics().series
    mean, std, lag = (np.array([getattr(s, name) for s in known]) for name in ("mean", "std", "lag1"))
    cycles = np.array([np.var(s.profile) > 0.04 * s.std**2 for s in known])

    def measured(seed: int, matched: bool) -> np.ndarray:
        table = synthetic.signals(seed, matched=matched)
        series = [get(table, s.region, s.column) for s in known]
        alike = [correlation(profile(x), np.array(s.profile)) for x, s in zip(series, known, strict=True)]
        return np.array([[x.mean() for x in series], [x.std() for x in series], [lag1(x) for x in series], alike])

    fixed = np.array([measured(seed, True) for seed in range(2, 22)])
    free = np.array([measured(seed, False) for seed in range(100, 140)])
    average_std = np.sqrt((free[:, 1] ** 2).mean(axis=0))
    rows = [
        ["mean, relative", f"{np.abs(fixed[:, 0] / mean - 1).max():.2%}",
         f"{np.abs(free[:, 0].mean(axis=0) / mean - 1).max():.1%}", f"{(free[:, 0].std(axis=0) / mean).max():.0%}"],
        ["standard deviation, relative", f"{np.abs(fixed[:, 1] / std - 1).max():.2%}",
         f"{np.abs(average_std / std - 1).max():.1%}", f"{(free[:, 1].std(axis=0) / std).max():.0%}"],
        ["lag-1 autocorrelation", f"{np.abs(fixed[:, 2] - lag).max():.3f}",
         f"{np.abs(free[:, 2].mean(axis=0) - lag).max():.3f}", f"{free[:, 2].std(axis=0).max():.3f}"],
        ["1 - correlation of profiles, where there is a cycle", f"{1 - fixed[:, 3, cycles].min():.3f}",
         f"{1 - free[:, 3, cycles].mean(axis=0).min():.3f}", f"{free[:, 3, cycles].std(axis=0).max():.3f}"],
    ]  # fmt: skip
    head = ["worst series", "matched: off at most", "unmatched: average off", "unmatched: std over seeds"]
    return markdown(head, rows)


def policies_table() -> str:
    rows = []
    for policy in POLICIES:
        ours, theirs = (simulate("paper", policy=policy, signals=source).summary for source in (None, PAPER))
        pairs = [(s["par"]["carbon"], s["par"]["water"], s["objective_usd"]) for s in (theirs, ours)]
        rows.append(
            [policy, *(f"{x:{form}}" for both, form in zip(zip(*pairs, strict=True), FORMS, strict=True) for x in both)]
        )
    names = ("carbon PAR", "water PAR", "objective, USD")
    return markdown(["policy", *(f"{name} {which}" for name in names for which in "rs")], rows)


def figure(record: pd.DataFrame, ours: pd.DataFrame) -> alt.VConcatChart:
    """A week from the record's 8th day on, a row a signal, a column a region."""
    tables = []
    for which, table in (("record", record), ("synthetic", ours)):
        first = table["time_utc"].min() + pd.Timedelta(hours=WEEK_H)
        week = table[(table["time_utc"] >= first) & (table["time_utc"] < first + pd.Timedelta(hours=WEEK_H))]
        tables.append(
            week[week["region"].isin(SHOWN)].assign(which=which, day=(week["time_utc"] - first) / pd.Timedelta(days=1))
        )
    data = pd.concat(tables, ignore_index=True)
    rows = []
    for signal, (column, factor, unit, _) in SIGNALS.items():
        panels = []
        for region in SHOWN:
            part = data.loc[data["region"] == region, ["day", "which"]].assign(value=data[column] * factor)
            panels.append(panel(part, region.capitalize(), f"{signal} ({unit})", first=region == SHOWN[0]))
        rows.append(alt.hconcat(*panels, spacing=12))
    chart = alt.vconcat(*rows, spacing=10).configure_view(stroke=None).configure_axis(grid=False)
    return chart.configure_legend(orient="top", title=None)


def panel(part: pd.DataFrame, title: str, unit: str, *, first: bool) -> alt.Chart:
    x = alt.X("day:Q", title="day", axis=alt.Axis(values=list(range(8))))
    y = alt.Y(
        "value:Q", title=unit if first else None, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=4, minExtent=28)
    )
    colour = alt.Color("which:N", scale=alt.Scale(domain=["record", "synthetic"], range=["#999999", "#1f5fa8"]))
    line = alt.Chart(part, width=190, height=110, title=alt.Title(title, fontSize=11, anchor="start"))
    return line.mark_line(strokeWidth=1.4).encode(x=x, y=y, color=colour)


def main() -> None:
    record = read_authors(PAPER)
    ours = read_tidy(resources.root("traces") / "llm10_signals.csv")
    page = (DOCS / "data.md").read_text(encoding="utf-8")
    for name, text in (
        ("statistics", statistics_table(record, ours)),
        ("load", load_line(synthetic.load())),
        ("correlations", correlation_table(record, ours)),
        ("seeds", seeds_table()),
        ("policies", policies_table()),
    ):
        page = fill(page, name, text)
    (DOCS / "data.md").write_text(page, encoding="utf-8")
    figure(record, ours).save(str(DOCS / "figures" / "signals.svg"))


if __name__ == "__main__":
    main()
