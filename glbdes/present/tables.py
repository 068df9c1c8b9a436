"""Figures as tables for a terminal of 100 columns: units in the headings, digits that mean something.

Renders plain data that others computed; what is printed where is the command line's business.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from glbdes.hardware import Profile
from glbdes.hardware.chunked import Chunked
from glbdes.hardware.physics import NO_PLAN
from glbdes.policy.contract import Check
from glbdes.records import Summary
from glbdes.records.books import TOLERANCE
from glbdes.records.metrics import LATENCIES, QUANTILES
from glbdes.scenario.footprints import BUILT_IN
from glbdes.units import MS_PER_S

PROMPTS = (128, 512, 1024, 2048, 4096, 8192)  # tokens at which a profile's prefill is shown
FOOTPRINTS: Mapping[str, str] = {
    "it_kwh": "IT energy, kWh",
    "facility_kwh": "facility energy, kWh",
    "cost_usd": "cost, USD",
    "carbon_kg": "carbon, kg",
    "water_l": "water, L",
}


def routed_by(policy: str, dispatch: str | None) -> str:
    """What a run's routing is called: its policy, unless the rule of `dispatch` (None: a flow) ignores all plans."""
    return f"{dispatch} (no plan)" if dispatch in NO_PLAN else policy


def ignored(policy: str, dispatch: str | None) -> Iterator[str]:
    """That the plans of `policy` change nothing, if the rule of `dispatch` ignores them."""
    if dispatch in NO_PLAN:
        yield f"Policy '{policy}' is ignored: dispatch.rule = '{dispatch}' takes no notice of plans; " + (
            "'plan_least_loaded' looks at loads within the plan"
        )


def number(value: float | None, digits: int = 4) -> str:
    """`value` with `digits` significant digits and thousands set apart; a dash for what is undefined."""
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    if value == 0:
        return "0"
    if not 1e-3 <= abs(value) < 1e12:
        return f"{value:.{digits - 1}e}"
    whole = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    return f"{value:,.{max(digits - whole, 0)}f}"


def percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def table(title: str | None, headings: Sequence[str], rows: Iterable[Sequence[str | Text]], *, text: int = 1) -> Table:
    """A table whose first `text` columns are words, and the others figures."""
    made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for i, heading in enumerate(headings):
        made.add_column(heading, justify="left" if i < text else "right", overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made


def summary(figures: Summary) -> Iterator[RenderableType]:
    """A run's headline figures (`metrics.summary`)."""
    routed = routed_by(figures["policy"], figures["dispatch"])
    origin = f": policy {routed}, engine {figures['engine']}, seed {figures['seed']}"
    yield Text.assemble((figures["scenario"], "bold"), origin)
    yield from ignored(figures["policy"], figures["dispatch"])
    yield from warned(figures["warnings"])
    yield _requests(figures) if figures["requests_per_s"] is not None else "Load as a flow: no requests, no latency"
    if figures["warmup_s"]:
        span = f"{number(figures['warmup_s'])} s before each slot counts"
        yield f"Left out: {number(figures['warmup_requests'])} more in warm-ups, {span}"
    if figures["latency_s"]["e2e"]["mean"] is not None:
        yield table(
            "Latency of served requests, s",
            ["", "mean", *QUANTILES],
            [[name.upper(), *map(number, figures["latency_s"][name].values())] for name in LATENCIES],
        )
    if figures["scheduler"] == "chunked":
        yield _cache(figures)
    if figures["slo"]:
        yield table(
            "SLO attainment, of all requests",
            ["class", *(name.upper() for name in LATENCIES), "all", "asked"],
            [_attained(name, met) for name, met in figures["slo"].items()],
        )
    yield _footprints(figures)
    yield _regions(figures["regions"], further(figures["footprints"]))
    yield from _checks(figures)
    yield from map(note, figures["notes"])


def _cache(figures: Summary) -> str:
    """What a run's KV caches did, in a line."""
    times, found, prompts = (number(figures[key]) for key in ("preemptions", "cached_tokens", "prompt_tokens"))
    rate = "" if figures["prefix_hit_rate"] is None else f", {percent(figures['prefix_hit_rate'])} of prefills found"
    return f"Preemptions: {times}; {found} tokens found in the cache and not computed (prompts had {prompts}{rate})"


def _attained(name: str, met: Mapping[str, float | None]) -> list[str | Text]:
    """A class, what it attained, and whether that is what it asks for."""
    every, asked = met["all"], met["asked"]
    cells: list[str | Text] = [name, *(percent(share) for key, share in met.items() if key != "asked")]
    if asked is None or every is None:
        return [*cells, percent(asked)]
    kept = every >= asked
    return [*cells, Text(f"{percent(asked)} {'kept' if kept else 'MISSED'}", "" if kept else "bold red")]


def optimum(figures: Summary) -> Iterator[RenderableType]:
    """The offline optimum's figures (`optimum.summary`)."""
    of = "of requests: base power, and the least that each adds" if figures["by_request"] else "of the fluid model"
    yield Text.assemble((figures["scenario"], "bold"), f": the offline optimum {of}")
    yield _footprints(figures)
    yield _regions(figures["regions"], further(figures["footprints"]))
    duals = figures["duals"]
    more = [f"{name}, USD/{unit}" for name, unit in list(figures["footprints"].items())[len(BUILT_IN) :]]
    rows = [[name, *(number(prices[name]) for prices in duals.values())] for name in figures["regions"]]
    yield table("Dual prices of the footprints", ["", "carbon, USD/kg", "water, USD/L", *more], rows)
    proof = figures["certificate"]
    yield f"Objective {number(figures['objective_usd'], 8)} USD"
    yield f"No plan costs less than {number(proof['dual_usd'], 8)} USD (dual; gap {number(proof['gap'], 2)})"
    if figures["by_request"]:
        doubts = f", but for doubts: {'; '.join(figures['doubts'])}" if figures["doubts"] else ""
        yield f"No plan within the capacities meters less than {number(figures['bound_usd'], 8)} USD (bound{doubts})"
    yield f"Solved in {number(figures['solve_s'], 2)} s, built in {number(figures['build_s'], 2)} s"


def _requests(figures: Summary) -> Table:
    counts = figures["requests"]
    headings = [name.replace("_", " ") for name in counts]
    title = f"Requests (each stands for {number(figures['request_weight'], 3)})"
    return table(title, headings, [[number(value) for value in counts.values()]], text=0)


def warned(found: Iterable[str]) -> Iterator[RenderableType]:
    for warning in found:
        yield Text.assemble(("Warning: ", "bold yellow"), warning)


def _footprints(figures: Summary) -> Table:
    regions = figures["regions"]
    rows = []
    told = {key: label for key, label in FOOTPRINTS.items() if key != "facility_kwh" or _facility_differs(figures)}
    told |= further(figures["footprints"])
    if figures["totals"]["embodied_kg"] > 0:
        told["embodied_kg"] = "embodied carbon, kg"
    for key, label in told.items():
        values = {name: region[key] for name, region in regions.items()}
        worst = max(values, key=lambda name: values[name])
        mean = sum(values.values()) / len(values)
        ratio = number(values[worst] / mean) if mean > 0 else "-"
        rows.append([label, number(figures["totals"][key]), number(mean), number(values[worst]), ratio, worst])
    return table("Totals", ["", "all regions", "mean", "largest", "PAR", "   where"], rows)


def further(footprints: Mapping[str, str]) -> dict[str, str]:
    """Columns of the footprints beyond carbon and water, of names and units, and their headings."""
    return {f"{name}_{unit}": f"{name}, {unit}" for name, unit in list(footprints.items())[len(BUILT_IN) :]}


def _facility_differs(figures: Summary) -> bool:
    totals = figures["totals"]
    return bool(totals["facility_kwh"] != totals["it_kwh"])


def note(text: str) -> Text:
    return Text.assemble(("Note: ", "bold"), text)


def _regions(regions: Mapping[str, Mapping[str, Any]], more: Mapping[str, str]) -> Table:
    rows = [
        [
            name,
            number(region["requests"]),
            percent(region["load"]),
            percent(region["utilisation"]),
            *(number(region[key]) for key in ("it_kwh", "cost_usd", "carbon_kg", "water_l", *more)),
        ]
        for name, region in regions.items()
    ]
    headings = ["", "served", "load", "busy", "IT kWh", "cost, USD", "carbon, kg", "water, L", *more.values()]
    return table("Regions", headings, rows)


def _checks(figures: Summary) -> Iterator[RenderableType]:
    totals, residual = figures["totals"], figures["meter_residual"]
    spare_kwh, it_kwh = totals["unattributed_kwh"], totals["it_kwh"]
    share = percent(spare_kwh / it_kwh if it_kwh else None)
    verdict = ("balanced", "green") if residual <= TOLERANCE else ("NOT BALANCED", "bold red")
    if figures["goodput_rps"] is not None:
        yield f"Goodput {number(figures['goodput_rps'])} requests/s within every limit of their class"
    yield f"Objective {number(figures['objective_usd'], 6)} USD ({figures['objective_terms']})"
    yield f"Unattributed {number(spare_kwh)} kWh of idle and host energy ({share} of IT energy)"
    rule = f"Meter check: relative residual {residual:.1e}, must be <= {TOLERANCE:.0e}: "
    yield Text.assemble(rule, verdict)
    speed = figures["requests_per_s"]
    yield f"Took {number(figures['wall_s'], 3)} s" + (f", {speed:,.0f} requests/s" if speed is not None else "")


def checks(name: str, found: Sequence[Check]) -> Table:
    """How a policy does on its contract."""
    kept, broken = Text("kept", "green"), Text("broken", "bold red")
    rows: list[list[str | Text]] = [[check.rule, kept if check.passed else broken, check.detail] for check in found]
    return table(f"Policy {name}", ["rule", "", "why"], rows, text=3)


def profiles(found: Sequence[Profile]) -> Table:
    """Profiles side by side."""
    rows = [
        [one.name, one.gpu, one.model, number(one.max_batch), number(one.kv_tokens), number(one.idle_w, 3)]
        for one in found
    ]
    return table("Profiles", ["name", "GPU", "model", "batch", "KV tokens", "idle, W"], rows, text=3)


def profile(found: Profile) -> Iterator[RenderableType]:
    """One profile: what an iteration and a prompt take, and what it draws at rest."""
    yield Text.assemble((found.name, "bold"), f": {found.model} on {found.gpu}")
    yield table(
        "Iteration, serving overhead included",
        ["", "constant", "per request", "per context token"],
        [
            ["time, ms", *(number(MS_PER_S * value) for value in (found.a_s, found.beta_s, found.gamma_s))],
            ["energy, J", *(number(value) for value in (found.e0_j, found.e1_j, found.e2_j))],
        ],
    )
    lengths = np.array([n for n in PROMPTS if n < found.kv_tokens])
    seconds, joules = found.prefill_of(lengths)
    yield table(
        "Prefill",
        ["prompt tokens", *(number(int(n)) for n in lengths)],
        [
            ["time, ms", *(number(MS_PER_S * float(value)) for value in seconds)],
            ["energy, J", *(number(float(value)) for value in joules)],
        ],
    )
    yield f"Room for {number(found.max_batch)} requests and {number(found.kv_tokens)} KV tokens"
    yield f"Idle {number(found.idle_w, 3)} W, asleep {number(found.sleep_w, 3)} W, host {number(found.host_w, 3)} W"
    yield f"Serving overhead: {found.serving.source}"
    yield _steps(found.chunked)


def _steps(found: Chunked | None) -> str:
    """Where a profile's steps come from, in a line."""
    if found is None:
        return "Steps in chunks: none; it serves prompts first, one at a time, and no other way"
    least, most = found.context
    where = f"up to {number(found.batch_max)} requests of {number(least)} to {number(most)} tokens"
    power = "" if found.active_w is None else f" ({number(found.active_w, 3)} W at work)"
    return (
        f"Steps in chunks: times {found.times}, energies {found.energies}{power}, {where}; {found.source}; "
        f"host {number(MS_PER_S * found.host_s, 3)} ms a step and {number(MS_PER_S * found.host_request_s, 3)} ms for "
        f"each request in it, {found.host_source}"
    )
