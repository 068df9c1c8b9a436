"""Warm-ups are in the records, marked, and in no figure but the books."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from glbdes.errors import InvariantError
from glbdes.records import extracts, metrics
from glbdes.records.books import TOLERANCE, Books
from glbdes.units import NS_PER_S
from tests.random_worlds import CLOCKS_NS, Moody, engine_run, random_world
from tests.runs import NAMES, busy_world, seal_again, write

WARMUP_NS = 4 * NS_PER_S


def warmed(folder):
    """Slots of 4 + 6 s."""
    return write(folder, busy_world(simulated_s=6.0, warmup_ns=WARMUP_NS))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return warmed(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def table(run):
    return run.requests.to_table().to_pandas()


def test_requests_of_warmups_are_marked(run, table):
    assert len(table) == 400
    assert (table["warmup"] == (table["arrival_ns"] % (10 * NS_PER_S) < WARMUP_NS)).all()
    assert 100 < table["warmup"].sum() < 220
    assert run.counted.count_rows() == (~table["warmup"]).sum()


def test_figures_leave_them_out(run, table):
    figures, counted = metrics.summary(run), table[~table["warmup"]]
    assert figures["requests"]["total"] == len(counted)
    assert figures["warmup_requests"] == table["warmup"].sum()
    assert (figures["warmup_s"], figures["simulated_s"]) == (4.0, 24.0)
    assert figures["requests"]["served"] == (counted["status"] == "served").sum()
    for name in ("ttft", "tpot", "e2e"):
        assert figures["latency_s"][name]["mean"] == pytest.approx(counted[f"{name}_s"].mean(), rel=1e-12)
        assert counted[f"{name}_s"].mean() != pytest.approx(table[f"{name}_s"].mean(), rel=1e-6)
    (_, every) = figures["slo"].values()
    chat = counted[counted["slo"] == "chat"]
    met = (chat["status"] == "served") & (chat["ttft_s"] <= 1.0) & ~(chat["tpot_s"] > 0.0077)
    assert figures["slo"]["chat"]["all"] == pytest.approx(met.mean(), rel=1e-12)
    batch = counted[counted["slo"] == "batch"]
    assert every["all"] == pytest.approx((batch["status"] == "served").mean(), rel=1e-12)
    met_all = met.sum() + (batch["status"] == "served").sum()
    assert figures["goodput_rps"] == pytest.approx(met_all / 24.0, rel=1e-12)
    longest = extracts.waits({"one": run}).query("measure == 'E2E'")["seconds"].max()
    assert longest <= counted["e2e_s"].max()


def test_totals_are_of_what_counts_and_the_books_of_everything(run, table):
    slots = run.slots.to_pandas()
    figures = metrics.summary(run)
    assert figures["totals"]["it_kwh"] == pytest.approx(slots["it_kwh"].sum(), rel=1e-12)
    assert slots["warmup_it_kwh"].sum() > 0.5 * slots["it_kwh"].sum()
    charged_kwh = (table["energy_kwh"] * table["request_weight"]).sum()
    spare_kwh = slots["unattributed_kwh"].sum() + slots["warmup_unattributed_kwh"].sum()
    assert charged_kwh + spare_kwh == pytest.approx(slots["it_kwh"].sum() + slots["warmup_it_kwh"].sum(), rel=1e-9)
    assert figures["meter_residual"] < TOLERANCE
    plans = run.plans.to_pandas()
    assert plans["dispatched"].sum() + plans["warmup_dispatched"].sum() == table["attempts"].sum()
    assert plans["warmup_dispatched"].sum() > 100
    for status in ("served", "rejected", "timed_out"):
        assert slots[status].sum() + slots[f"warmup_{status}"].sum() == (table["status"] == status).sum()


def test_without_warmups_the_columns_are_there_and_empty(tmp_path):
    run = write(tmp_path, busy_world(n=50))
    slots, plans = run.slots.to_pandas(), run.plans.to_pandas()
    assert not slots[[name for name in slots if name.startswith("warmup_")]].to_numpy().any()
    assert not plans["warmup_dispatched"].any()
    assert not run.requests.to_table()["warmup"].to_pandas().any()
    assert metrics.summary(run)["warmup_requests"] == 0


def test_a_summary_notices_a_meter_of_a_warmup_that_was_changed(tmp_path):
    run = warmed(tmp_path)
    path = run.folder / "slots.parquet"
    slots = pq.read_table(path)
    place = slots.column_names.index("warmup_it_kwh")
    more = pa.array(np.asarray(slots["warmup_it_kwh"]) * 1.001)
    pq.write_table(slots.set_column(place, slots.schema.field(place), more), path)
    seal_again(run.folder)
    again = type(run)(run.folder, json.loads((run.folder / "run.json").read_text()))
    assert metrics.summary(again)["meter_residual"] > 1e-5


@pytest.mark.parametrize("full", [False, True])
def test_books_balance_over_all_parts_of_random_worlds(full):
    seen = 0
    for clock_ns in CLOCKS_NS[:2]:
        for seed in range(40):
            world = random_world(seed, clock_ns, full_attribution=full)
            books, sink = Books(world, ("alpha", "beta", "gamma")[: world.regions]), engine_run(world, Moody(seed))
            for chunk in sink.chunks:
                books.requests(chunk)
            for record in sink.slots:
                books.slot(record)
            assert max(books.check().values()) <= TOLERANCE
            seen += world.warmup_ns > 0
    assert seen > 30


def test_books_miss_the_meter_of_a_warmup():
    world = busy_world(simulated_s=6.0, warmup_ns=WARMUP_NS)
    sink, books = engine_run(world, Moody(1)), Books(world, NAMES.regions)
    for chunk in sink.chunks:
        books.requests(chunk)
    sink.slots[1].warmup[0]["decode_j"] *= 1.001
    for record in sink.slots:
        books.slot(record)
    with pytest.raises(InvariantError, match="do not balance"):
        books.check()
