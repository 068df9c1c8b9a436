"""Runs with footprints that the scenario names: records, books, summary, tables and figures have each of them."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from glbdes.engine import fluid
from glbdes.engine.simpy import engine as simpy_engine
from glbdes.errors import InvariantError
from glbdes.optimum import bound, offline
from glbdes.present import figures, study_tables, tables
from glbdes.records import extracts, headline, metrics, periods
from glbdes.records.books import Books, counting
from glbdes.study.run import Run, simulate
from glbdes.units import KG_PER_T, L_PER_M3
from glbdes.world import meter
from tests.runs import NAMES, busy_world
from tests.worlds import Fixed, ListSink, make_signals, named

SETTINGS = (
    'footprints.health={unit="usd", price_usd_per_unit=2.0}',
    'footprints.scarce_water={unit="l", per="water_l"}',
    "regions.*.footprints={health=0.05, scarce_water_on_site=10, scarce_water_off_site=2.5}",
    "regions.utah.footprints.health=0.2",
    "regions.utah.footprint_weights={health=1.5}",
    "fleet.embodied_kg=876.5",
    "fleet.life_years=3",
    "time.slots=3",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("footprints") / "run"
    return simulate("tiny", engine="simpy", policy="eglb_simplex", overrides=SETTINGS, out=out)


def test_slots_say_what_the_meter_of_each_comes_to(run: Run) -> None:
    slots = run.slots
    pue = slots["facility_kwh"] / slots["it_kwh"]
    health = np.where(slots["region"].astype(str) == "utah", 0.2, 0.05)
    np.testing.assert_allclose(slots["health_usd"], slots["facility_kwh"] * health)
    litres = slots["it_kwh"] * (10 * slots["wue_l_per_kwh"] + 2.5 * pue * slots["ewif_l_per_kwh"])
    np.testing.assert_allclose(slots["scarce_water_l"], litres)
    np.testing.assert_allclose(slots["health_usd_per_it_kwh"], pue * health)
    np.testing.assert_allclose(slots["unattributed_health_usd"], slots["unattributed_kwh"] * pue * health)
    scenario = run.info["scenario"]
    per_hour = 876.5 / (3 * 365 * 24) * scenario["time"]["slot_s"] / 3600
    counts = {name: one["replicas"] or scenario["fleet"]["replicas"] or 1 for name, one in scenario["regions"].items()}
    np.testing.assert_allclose(slots["embodied_kg"], slots["region"].astype(str).map(counts) * per_hour)


def test_requests_and_what_is_left_add_up_to_the_meter(run: Run) -> None:
    table = run.requests.to_table().to_pandas()
    for column in ("health_usd", "scarce_water_l"):
        charged = table[column].sum() * run.info["request_weight"]
        slots = run.slots[[column, f"unattributed_{column}", f"warmup_{column}", f"warmup_unattributed_{column}"]].sum()
        assert charged + slots.iloc[1] + slots.iloc[3] == pytest.approx(slots.iloc[0] + slots.iloc[2], rel=1e-9)
    assert set(run.info["invariants"]) >= {"health", "scarce_water"}
    assert run.summary["meter_residual"] < 1e-9


def test_the_summary_has_totals_par_and_a_term_of_the_objective(run: Run) -> None:
    summary, prices = run.summary, run.info["scenario"]["objective"]
    regions = summary["regions"]
    assert summary["footprints"] == {"carbon": "kg", "water": "l", "health": "usd", "scarce_water": "l"}
    health = {name: region["health_usd"] for name, region in regions.items()}
    assert summary["totals"]["health_usd"] == pytest.approx(sum(health.values()))
    assert summary["par"]["health"] == pytest.approx(max(health.values()) / np.mean(list(health.values())))
    largest = {key: max(region[key] for region in regions.values()) for key in ("carbon_kg", "water_l")}
    weighted = max(1.5 * usd if name == "utah" else usd for name, usd in health.items())
    usd = summary["totals"]["cost_usd"] + prices["carbon_usd_per_t"] / KG_PER_T * largest["carbon_kg"]
    usd += prices["water_usd_per_m3"] / L_PER_M3 * largest["water_l"] + 2.0 * weighted
    assert summary["objective_usd"] == pytest.approx(usd, rel=1e-12)
    assert summary["objective_terms"] == "cost + priced largest weighted carbon, water and health"
    assert run.slots["health_dual_usd_per_usd"].notna().all()
    assert not run.slots["scarce_water_dual_usd_per_l"].any()


def test_tables_and_figures_show_it(run: Run) -> None:
    from rich.console import Console

    console = Console(width=200, record=True, file=io.StringIO())
    for part in tables.summary(run.summary):
        console.print(part)
    told = console.export_text()
    assert "health, usd" in told
    assert "embodied carbon, kg" in told
    row = headline.row(run.summary, run.info, None)
    assert {"health_max_usd", "health_par", "scarce_water_gini", "embodied_kg"} <= set(row)
    _, rows = study_tables.one(run.records)
    assert "scarce water PAR" in [one[0] for one in rows]
    assert {"health_usd", "scarce_water_l"} <= set(extracts.regional({"x": run.records}))
    assert "health_usd_per_usd" in extracts.duals({"x": run.records})
    for name in ("burden", "footprints", "duals"):
        assert "health" in str(figures.find(figures.of_run(run.records), name).chart().to_dict()), name
    assert "health_par" in periods.by_period({"x": run.records}, "month")


def test_a_run_without_them_has_none(tmp_path: Path) -> None:
    plain = simulate("tiny", engine="simpy", overrides=["time.slots=1"], out=tmp_path / "run")
    assert list(plain.summary["par"]) == ["carbon", "water"]
    assert plain.summary["totals"]["embodied_kg"] == 0
    assert set(headline.row(plain.summary, plain.info, None)) == set(headline.FIGURES)


def further_world():
    rates = np.random.default_rng(5).uniform(0.1, 3.0, (4, 2, 3))
    world = busy_world()
    signals = make_signals(world.slots, world.regions, further_per_kwh=rates[: world.slots])
    return replace(world, signals=signals, seen=signals, further=named(signals))


def test_books_balance_for_each_and_find_one_wrong_entry() -> None:
    world, generated = counting(further_world())
    sink = ListSink()
    simpy_engine.run(world, Fixed(np.full((world.gateways, world.regions), 1 / world.regions)), sink)
    residuals = balance(world, sink, generated)
    assert max(residuals.values()) < 1e-12
    sink.chunks[0]["further"][0, 1] += 1e-4
    with pytest.raises(InvariantError, match=r"more1 in [\w ]+: requests .* u \+ unattributed .* u, the meter says"):
        balance(world, sink, generated)


def balance(world, sink, generated):
    books = Books(world, NAMES.regions)
    for chunk in sink.chunks:
        books.requests(chunk)
    for record in sink.slots:
        books.slot(record)
    return books.check(generated)


def test_a_flow_has_them_and_no_plan_meters_less_than_the_bound() -> None:
    world = replace(further_world(), further=(named(further_world().signals)[0], named(further_world().signals)[1]))
    found = offline.solve(world.flow)
    sink = ListSink()
    fluid.run(world, offline.Replay(found.weights), sink, policy_name="offline")
    parts = [meter.footprint(meter.slot_energy(world, r).it_kwh, world.signals, r.slot) for r in sink.slots]
    np.testing.assert_allclose(sum(part.further for part in parts), found.further, rtol=1e-9)
    reference = bound.reference(world, by_request=True)
    assert reference is not None
    assert metrics.TOTALS[-1] == "embodied_kg"
