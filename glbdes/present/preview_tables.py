"""What a scenario would simulate, as tables for a terminal of 80 columns (`preview.preview`)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from glbdes.present.preview import GatewayPreview, Preview, RegionPreview
from glbdes.present.tables import ignored, note, number, percent, routed_by, table, warned

FEWEST = 3  # rows from which on a column that says the same in all of them is told in a line
NOTHING = "-"
WORDS = ("nearest region", "profile", "model")  # headings of columns of words
SHOWN = 12  # faults; of more, the count alone
GATEWAYS: Mapping[str, Callable[[GatewayPreview], str]] = {
    "nearest region": lambda one: one.nearest,
    "mean": lambda one: number(one.load_mean),
    "peak": lambda one: number(one.load_peak),
    "regions": lambda one: number(one.regions),
    "nearest, ms": lambda one: f"{one.nearest_ms:.1f}",
    "farthest, ms": lambda one: f"{one.farthest_ms:.1f}",
}
FLEET: Mapping[str, Callable[[RegionPreview], str]] = {
    "model": lambda one: one.model or NOTHING,
    "profile": lambda one: one.profile or NOTHING,
    "replicas": lambda one: number(one.replicas),
    "batch": lambda one: number(one.max_batch),
    "capacity": lambda one: number(one.capacity),
    "J/request": lambda one: number(one.request_j),
}
SIGNALS: Mapping[str, Callable[[RegionPreview], str]] = {
    "USD/kWh": lambda one: number(one.price_usd_per_kwh, 3),
    "g/kWh": lambda one: number(one.carbon_g_per_kwh, 3),
    "L/kWh": lambda one: number(one.water_l_per_kwh, 3),
    "PUE": lambda one: number(one.pue, 3),
}
Row = TypeVar("Row", GatewayPreview, RegionPreview)


def preview(found: Preview) -> Iterator[RenderableType]:
    """What a scenario would simulate (`preview.preview`)."""
    yield Text.assemble((found.name, "bold"), f": {found.description}" if found.description else "")
    shown = Table(box=None, show_header=False, pad_edge=False)
    for key, value in _facts(found):
        shown.add_row(key, value)
    yield shown
    yield from ignored(found.policy, found.dispatch)
    yield from _listed(f"Gateways (load in {found.load_unit})", _gateway_columns(found), "every gateway")
    title = f"Fleet (capacity in {found.load_unit} that plans may use)"
    fleet = _columns(found.regions, FLEET)
    if not any(one.model for one in found.regions):
        del fleet["model"]
    yield from _listed(title, fleet, "every region")
    regions = list({one.region: one._replace(name=one.region) for one in reversed(found.regions)}.values())[::-1]
    signals = _columns(regions, SIGNALS)
    signals |= {name: [number(one.further[k], 3) for one in regions] for k, name in enumerate(found.further)}
    yield from _listed("Signals (means)", signals, "every region")
    yield from _faults(found.faults)
    yield from warned(found.warnings)
    yield from map(note, found.notes)


def _faults(faults: Sequence[str]) -> Iterator[RenderableType]:
    yield from (Text.assemble(("Fault: ", "bold"), one) for one in faults[:SHOWN])
    if len(faults) > SHOWN:
        yield f"... and {len(faults) - SHOWN:,} more faults"


def _listed(title: str, columns: Mapping[str, Sequence[str]], everywhere: str) -> Iterator[RenderableType]:
    """A table of `columns`, the first the rows' names; those that say the same in every row are a line above it."""
    names, *others = columns.items()
    alike = {key: values[0] for key, values in others if len(values) >= FEWEST and len(set(values)) == 1}
    said = "; ".join(f"{key} {value}" for key, value in alike.items() if value != NOTHING)
    yield Text.assemble((title, "bold"), f", in {everywhere}: {said}" if said else "")
    told = dict([names, *(column for column in others if column[0] not in alike)])
    if len(told) > 1:
        rows = zip(*told.values(), strict=True)
        made = table(None, list(told), rows, text=1 + sum(key in WORDS for key in told))
        for column in made.columns:
            column.no_wrap = column.header in ("", *WORDS)
        yield made
    else:
        yield f"{', '.join(names[1])}\n"


def _facts(found: Preview) -> Iterator[tuple[str, str]]:
    mean, peak = percent(found.utilisation_mean), percent(found.utilisation_peak)
    requests = "none" if found.requests is None else f"about {found.requests:,.0f}"
    latency = "{:.1f} / {:.1f} / {:.1f} ms one way (shortest / median / longest)"
    yield "engine, policy", f"{found.engine}, {routed_by(found.policy, found.dispatch)}"
    yield "horizon", f"{found.slots} slots, {number(found.horizon_h)} h; simulated: {number(found.simulated_s)} s"
    yield "warm-up", f"{number(found.warmup_s)} s of each slot before it counts ({found.warmup_from})"
    yield "requests", f"{requests}, each stands for {number(found.weight, 3)}"
    yield "load", f"{mean} of what plans may use, {peak} in the busiest slot"
    if found.awake is not None:
        yield "awake", found.awake
    yield "network", latency.format(*found.latency_ms)


def _columns(rows: Sequence[Row], ask: Mapping[str, Callable[[Row], str]]) -> dict[str, list[str]]:
    return {"": [row.name for row in rows]} | {heading: [tell(row) for row in rows] for heading, tell in ask.items()}


def _gateway_columns(found: Preview) -> dict[str, list[str]]:
    """Where each is nearest to is told unless that is its own region."""
    columns = _columns(found.gateways, GATEWAYS)
    if columns[""] == columns["nearest region"]:
        del columns["nearest region"]
    return columns
