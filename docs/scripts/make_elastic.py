"""Draw docs/figures/elastic.svg, and print the table of docs/elastic.md: what elastic replicas change for equity.

    python docs/scripts/make_elastic.py [FOLDER]

A day of llm10, twenty simulated minutes of each hour, so that a wake-up of half a minute is short in it, under four
rules of scaling and three policies, with three draws of requests each, of which means are told and drawn. Figures of
runs are kept in FOLDER, by default runs/elastic, and not simulated again.
"""

import json
import sys
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd

import glbdes
from glbdes.optimum import bound
from glbdes.present.plots import style
from glbdes.scenario import load
from glbdes.world.build import build

FIGURE = Path(__file__).resolve().parents[1] / "figures/elastic.svg"
HOST_SLEEP_W = 29.0
SEEDS = (1, 2, 3)
COMMON = (
    "time.slots=24",
    "time.simulated_s_per_slot=1200.0",
    "time.max_events=100000000",
    "records.requests=none",
    "records.attribution=active",
    "fleet.wake_s=30.0",
    f"fleet.host_sleep_w={HOST_SLEEP_W}",
)
PACK = ("serving.replica_choice=pack",)
RULES = {
    "always_on": (),
    "idle": ("scaling.rule=idle", "fleet.sleep_after_s=60.0", *PACK),
    "follow": ("scaling.rule=follow", "scaling.every_s=30.0", "scaling.cool_down_s=120.0", *PACK),
    "planned": ("scaling.rule=planned", "fleet.min_awake=0", *PACK),
    "planned, one awake": ("scaling.rule=planned", *PACK),
}
POLICIES = ("nearest", "cost", "eglb_simplex")


def measured(folder: Path, rule: str, policy: str, seed: int) -> dict[str, Any]:
    """The figures of a run that the table tells."""
    kept = folder / f"{rule.replace(', ', '_')}_{policy}_seed{seed}.json"
    if not kept.exists():
        run = glbdes.simulate("llm10", policy=policy, engine="fast", seed=seed, overrides=(*COMMON, *RULES[rule]))
        slots, summary = run.slots, run.summary
        totals, replicas = summary["totals"], 2 * slots["region"].nunique()
        awake = float(slots.groupby("slot").awake.sum().mean())
        asleep_kwh = slots.sleep_kwh.sum() + HOST_SLEEP_W / 1000 * (replicas - awake) * slots["slot"].nunique()
        found = {
            "rule": rule,
            "policy": policy,
            "seed": seed,
            "IT kWh": totals["it_kwh"],
            "unattributed": totals["unattributed_kwh"] / totals["it_kwh"],
            "asleep": float(asleep_kwh / totals["it_kwh"]),
            "awake": awake,
            "cost, USD": totals["cost_usd"],
            "carbon, kg": totals["carbon_kg"],
            "largest carbon, kg": float(slots.groupby("region", observed=True).carbon_kg.sum().max()),
            "carbon PAR": summary["par"]["carbon"],
            "water PAR": summary["par"]["water"],
            "p95 TTFT, s": summary["latency_s"]["ttft"]["p95"],
            "p99 TTFT, s": summary["latency_s"]["ttft"]["p99"],
            "SLO, interactive": summary["slo"]["interactive"]["all"],
            "objective, USD": summary["objective_usd"],
            "wakes": int(slots.wakes.sum()),
            "failed": summary["requests"]["total"] - summary["requests"]["served"],
        }
        kept.write_text(json.dumps(found, indent=1))
        print(json.dumps(found), flush=True)
    return dict(json.loads(kept.read_text()))


def bounds() -> dict[str, float]:
    """The bound of each rule of scaling, USD."""
    told = {}
    for rule, settings in RULES.items():
        scenario, path = load("llm10", (*COMMON, *settings))
        reference = bound.reference(build(scenario, path.parent), True)
        told[rule] = float("nan") if reference is None else reference.usd
    return told


def page(table: pd.DataFrame) -> str:
    """The table as docs/elastic.md has it."""
    head = [
        "rule",
        "policy",
        "IT kWh",
        "unattributed",
        "of which asleep",
        "awake",
        "cost USD",
        "largest carbon kg",
        "carbon PAR",
        "water PAR",
        "TTFT p95 s",
        "p99 s",
        "SLO interactive",
        "objective USD",
        "over the bound",
        "price of equity over `cost`",
    ]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for _, row in table.iterrows():
        equity = f"+{row['dearer than cost']:.1%} cost, -{row['less of the largest carbon']:.1%} largest carbon"
        cells = (
            row["rule"],
            f"`{row['policy']}`",
            f"{row['IT kWh']:.0f}",
            f"{row['unattributed']:.1%}",
            f"{row['asleep']:.1%}",
            f"{row['awake']:.1f}",
            f"{row['cost, USD']:.2f}",
            f"{row['largest carbon, kg']:.2f}",
            f"{row['carbon PAR']:.3f}",
            f"{row['water PAR']:.3f}",
            f"{row['p95 TTFT, s']:.2f}",
            f"{row['p99 TTFT, s']:.2f}",
            f"{row['SLO, interactive']:.1%}",
            f"{row['objective, USD']:.1f}",
            f"{row['over the bound']:.0%}",
            equity if row["policy"] == "eglb_simplex" else "",
        )
        lines.append("| " + " | ".join(cells).replace("%", " %") + " |")
    return "\n".join(lines)


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/elastic")
    folder.mkdir(parents=True, exist_ok=True)
    runs = [measured(folder, rule, policy, seed) for rule in RULES for policy in POLICIES for seed in SEEDS]
    drawn = pd.DataFrame(runs).groupby(["rule", "policy"], sort=False).agg
    table = drawn("mean").drop(columns="seed").reset_index()
    spread = drawn(lambda values: values.max() - values.min()).drop(columns="seed").reset_index()
    table["bound, USD"] = table["rule"].map(bounds())
    table["over the bound"] = table["objective, USD"] / table["bound, USD"] - 1
    cheapest = table[table["policy"] == "cost"].set_index("rule")["cost, USD"]
    table["dearer than cost"] = table["cost, USD"] / table["rule"].map(cheapest) - 1
    table["less of the largest carbon"] = 1 - table["largest carbon, kg"] / table["rule"].map(
        table[table["policy"] == "cost"].set_index("rule")["largest carbon, kg"]
    )
    for shown in (table, spread):
        print(shown.to_string(index=False, float_format=lambda value: f"{value:.4g}"), end="\n\n")
    print(page(table))
    figures = ("cost, USD", "carbon PAR", "unattributed", "p95 TTFT, s")
    long = table.melt(["rule", "policy"], list(figures), "figure")
    chart = (
        alt.Chart(long)
        .mark_point(size=60, filled=True)
        .encode(
            x=alt.X("value:Q", title=None, scale=alt.Scale(zero=False, padding=8)),
            y=alt.Y("rule:N", title=None, sort=list(RULES)),
            color=alt.Color("policy:N", title=None, scale=alt.Scale(range=list(style.COLOURS[: len(POLICIES)]))),
            shape=alt.Shape("policy:N", title=None),
        )
        .properties(width=190, height=130)
        .facet(column=alt.Column("figure:N", title=None, sort=list(figures)))
        .resolve_scale(x="independent")
    )
    chart.save(FIGURE)


if __name__ == "__main__":
    main()
