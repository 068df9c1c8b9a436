"""What a run writes is what the engine said, can be read by anybody, and is refused when it is damaged."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from glbdes.engine import fluid
from glbdes.engine.simpy import engine as simpy_engine
from glbdes.errors import RecordsError
from glbdes.hardware import physics
from glbdes.records import writer as records
from glbdes.records.column_units import unit
from glbdes.records.columns import PLANS, REQUESTS, SLOTS
from glbdes.units import G_PER_KG, J_PER_KWH, NS_PER_S
from glbdes.world import meter
from tests.runs import NAMES, START, busy_world, write
from tests.worlds import Fixed, ListSink, make_requests, make_signals, make_world


@pytest.fixture
def world():
    return busy_world()


@pytest.fixture
def written(tmp_path, world):
    return write(tmp_path, world)


@pytest.fixture
def sink(world):
    sink = ListSink()
    simpy_engine.run(world, Fixed(np.full((2, 3), 1 / 3)), sink)
    return sink


def frame(written):
    return written.requests.to_table().to_pandas().sort_values("request_id", ignore_index=True)


DURATION_ERROR, AMOUNT_ERROR = 2.0**-21, 2.0**-30  # as documented


def test_every_request_is_there_with_every_column(written, sink):
    table = frame(written)
    assert written.requests.schema.names == REQUESTS.names
    assert table["request_id"].tolist() == list(range(400))
    for key in ("attempts", "prompt_tokens", "output_tokens", "arrival_ns", "finish_ns"):
        assert (table[key] == sink.table[key]).all()
    assert not table[["preemptions", "cached_tokens"]].any(axis=None)  # prompts come first
    for key in ("cost_usd", "carbon_g", "water_l"):
        assert np.allclose(table[key], sink.table[key], rtol=AMOUNT_ERROR, atol=0)
    assert np.allclose(table["energy_kwh"] * J_PER_KWH, sink.table["energy_j"], rtol=AMOUNT_ERROR, atol=0)
    assert (table["request_weight"] == 360.0).all()


def test_requests_tell_their_slot_and_its_real_time_as_slots_do(written, world):
    table, slots = frame(written), written.slots.to_pandas()
    assert (table["slot"] == table["arrival_ns"] // world.period_ns).all()
    assert set(table["slot"]) == {0, 1, 2, 3}
    joined = table.merge(slots.drop_duplicates("slot")[["slot", "time_utc"]], on="slot", suffixes=("", "_of_slot"))
    assert len(joined) == 400
    assert (joined["time_utc"] == joined["time_utc_of_slot"]).all()
    assert joined["time_utc"].max() == np.datetime64(START) + np.timedelta64(3, "h")


def test_slots_of_requests_are_written_in_runs(tmp_path):
    draw = np.random.default_rng(5)
    requests = make_requests(np.sort(draw.integers(0, 40 * NS_PER_S, 5000)).tolist(), prompt=10, output=1)
    world = make_world(requests, slots=4, simulated_s=10.0, gateways=2, regions=3)
    written = write(tmp_path, world)
    group = pq.ParquetFile(written.folder / records.REQUESTS_FILE).metadata.row_group(0)
    sizes = {group.column(i).path_in_schema: group.column(i).total_compressed_size for i in range(group.num_columns)}
    assert (sizes["slot"] + sizes["time_utc"]) / 5000 < 0.1  # bytes


def test_files_say_the_unit_of_each_column(written):
    for name, schema in dict(zip(records.TABLES, (REQUESTS, SLOTS, PLANS), strict=True)).items():
        found = pq.read_schema(written.folder / name)
        units = json.loads(found.metadata[b"units"])
        assert {one.name: (one.metadata or {}).get(b"unit") for one in found} == {
            one.name: units[one.name].encode() if one.name in units else None for one in schema
        }
        without = {one.name for one in schema if one.type == pa.float64() and one.name not in units}
        assert without <= {
            "awake",
            "load",
            "utilisation",
            "queue_mean",
            "in_system_mean",
            "pue",
            "weight",
            "request_weight",
        }


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("it_kwh", "kWh"),
        ("carbon_g_per_kwh", "g/kWh"),
        ("water_dual_usd_per_l", "USD/L"),
        ("start_ns", "ns"),
        ("pue", None),
        ("s", None),
        ("slots", None),
        ("requests_per_day", None),
    ],
)
def test_a_unit_is_the_end_of_a_name(name, said):
    assert unit(name) == said


def test_names_stand_for_indices(written, sink):
    table = frame(written)
    assert table["status"].tolist() == [physics.STATUS_NAMES[i] for i in sink.table["status"]]
    assert set(table["status"]) == {"served", "rejected", "timed_out", "failed"}
    assert table["gateway"].tolist() == [NAMES.gateways[i] for i in sink.table["gateway"]]
    assert table["region"].tolist() == [NAMES.regions[i] for i in sink.table["region"]]
    assert table["slo"].tolist() == [NAMES.slo[i] for i in sink.table["slo"]]


def test_what_never_happened_is_null(written, sink):
    table = frame(written)
    served = sink.table["status"] == physics.SERVED
    for key in ("start_ns", "first_token_ns", "replica"):
        assert (table[key].isna() == (sink.table[key] < 0)).all()
    assert (table["ttft_s"].isna() == ~served).all()
    assert (table["e2e_s"].isna() == ~served).all()
    assert (table["tpot_s"].isna() == (~served | (sink.table["output_tokens"] == 1))).all()
    assert not table["finish_ns"].isna().any()


def test_a_request_that_no_region_could_take_has_none(tmp_path):
    world = busy_world(n=5, outages=[(r, 0, 100 * NS_PER_S) for r in range(3)])
    table = frame(write(tmp_path, world))
    assert table["status"].tolist() == ["failed"] * 5
    assert table["region"].isna().all()
    assert table["attempts"].tolist() == [0] * 5


def test_latencies_are_what_the_user_sees(written, world):
    """Both network legs count: the way there is in the clock times, the way back is added."""
    table = frame(written)
    row = table[(table["status"] == "served") & (table["output_tokens"] > 1) & (table["region"] == "gamma")].iloc[0]
    back_ns = world.latency_ns[NAMES.gateways.index(row["gateway"]), 2]
    for key, duration_ns in (
        ("ttft_s", row["first_token_ns"] + back_ns - row["arrival_ns"]),
        ("e2e_s", row["finish_ns"] + back_ns - row["arrival_ns"]),
        ("tpot_s", (row["finish_ns"] - row["first_token_ns"]) / (row["output_tokens"] - 1)),
    ):
        assert row[key] == pytest.approx(duration_ns / NS_PER_S, rel=DURATION_ERROR)
    assert row["start_ns"] >= row["arrival_ns"] + back_ns


def test_slots_hold_the_meters_scaled_to_real_time(written, world, sink):
    slots = written.slots.to_pandas()
    assert list(slots.columns) == SLOTS.names
    assert slots["region"].tolist() == list(NAMES.regions) * 4
    assert slots["time_utc"][3] == START.replace(hour=1)
    for record in sink.slots:
        mine = slots[slots["slot"] == record.slot]
        energy = meter.slot_energy(world, record)
        caused = meter.footprint(energy.it_kwh, world.signals, record.slot)
        assert np.allclose(mine["it_kwh"], energy.it_kwh, rtol=1e-14)
        assert np.allclose(mine["carbon_kg"], caused.carbon_kg, rtol=1e-14)
        spare_kwh = energy.idle_kwh + energy.sleep_kwh + energy.host_kwh
        assert np.allclose(mine["unattributed_kwh"], spare_kwh, rtol=1e-14)
        assert mine["price_usd_per_kwh"].tolist() == world.signals.price_usd_per_kwh[record.slot].tolist()
        assert mine["queue_max"].tolist() == record.meters["queue_max"].tolist()
    assert slots["utilisation"].between(0, 1).sum() + slots["utilisation"].isna().sum() == len(slots)
    assert slots["carbon_dual_usd_per_kg"].isna().all()


def test_a_region_that_was_down_all_slot_has_no_utilisation(tmp_path):
    slots = write(tmp_path, busy_world(outages=((1, 0, 20 * NS_PER_S),))).slots.to_pandas()
    down = slots[(slots["region"] == "beta") & (slots["slot"] < 2)]
    assert down["utilisation"].isna().all()
    assert (down["it_kwh"] == 0).all()


def test_duals_are_kept(tmp_path):
    class Priced(Fixed):
        duals = {"carbon": [0.1, 0.2, 0.3], "water": [1.0, 2.0, 3.0]}  # noqa: RUF012

    world = busy_world()
    with records.Writer(tmp_path, world, NAMES, START) as writer:
        simpy_engine.run(world, Priced(np.full((2, 3), 1 / 3)), writer)
    slots = pq.read_table(tmp_path / "slots.parquet").to_pandas()
    assert slots["carbon_dual_usd_per_kg"].tolist() == [0.1, 0.2, 0.3] * 4
    assert slots["water_dual_usd_per_l"].tolist() == [1.0, 2.0, 3.0] * 4


def test_plans_hold_weights_and_what_was_dispatched(written, sink):
    plans = written.plans.to_pandas()
    assert list(plans.columns) == PLANS.names
    assert len(plans) == 4 * 2 * 3
    second = plans[(plans["slot"] == 1) & (plans["gateway"] == "south")]
    assert second["region"].tolist() == list(NAMES.regions)
    assert second["dispatched"].tolist() == sink.slots[1].dispatched[1].tolist()
    assert second["demand_rps"].tolist() == [sink.slots[1].demand_rps[1]] * 3
    assert plans["weight"].sum() == pytest.approx(8)


def test_row_groups_are_bounded_and_memory_does_not_grow_with_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "ROW_GROUP", 64)
    write(tmp_path, busy_world())
    metadata = pq.ParquetFile(tmp_path / "requests" / "part-0.parquet").metadata
    sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert sum(sizes) == 400
    assert max(sizes) <= 64
    assert len(sizes) > 5


class Watched:
    """A sink that hands everything on, and notes how many slots are held back after each."""

    def __init__(self, writer):
        self.writer = writer
        self.requests = writer.requests
        self.held = []

    def slot(self, record):
        self.writer.slot(record)
        self.held.append((len(self.writer._slots.held), len(self.writer._plans.held)))


def many_slots(tmp_path, slots):
    world = make_world(make_requests([]), slots=slots, gateways=2, regions=3, signals=make_signals(slots, 3))
    with records.Writer(tmp_path, world, NAMES, START, by_request=False) as writer:
        watched = Watched(writer)
        fluid.run(world, Fixed(np.full((2, 3), 1 / 3)), watched, policy_name="even")
    return watched.held


def test_slots_and_plans_are_written_as_they_come_and_not_held_to_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "HELD", 7)
    held = many_slots(tmp_path, slots=100)
    assert held == [(n % 7, n % 7) for n in range(1, 101)]
    for name, rows in (("slots", 3), ("plans", 6)):
        metadata = pq.read_metadata(tmp_path / f"{name}.parquet")
        sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        assert sizes == [7 * rows] * 14 + [2 * rows]
        slot = pq.read_table(tmp_path / f"{name}.parquet")["slot"].to_pylist()
        assert slot == [n for n in range(100) for _ in range(rows)]


def test_what_an_engine_does_to_its_arrays_afterwards_is_not_written(tmp_path):
    """Rows wait to be written together; meanwhile the engine may use its arrays for another slot."""

    class Reused(Watched):
        def slot(self, record):
            super().slot(record)
            for array in (record.meters, record.dispatched, record.weights, record.demand_rps):
                array[...] = np.zeros((), array.dtype)

    def engine(sink):
        world = busy_world()
        simpy_engine.run(world, Fixed(np.full((2, 3), 1 / 3)), sink)

    tables = []
    for name, kind in (("plain", Watched), ("reused", Reused)):
        (tmp_path / name).mkdir()
        with records.Writer(tmp_path / name, busy_world(), NAMES, START) as writer:
            engine(kind(writer))
        tables.append([pq.read_table(tmp_path / name / f"{file}.parquet") for file in ("slots", "plans")])
    assert tables[0] == tables[1]


def test_requests_are_small_on_disk(tmp_path):
    write(tmp_path, busy_world(n=20_000))
    assert (tmp_path / "requests" / "part-0.parquet").stat().st_size / 20_000 < 45  # bytes a request


def test_the_dataset_is_read_by_plain_arrow(tmp_path):
    write(tmp_path, busy_world())
    served = ds.dataset(tmp_path / "requests").to_table(filter=ds.field("status") == "served", columns=["e2e_s"])
    assert 0 < len(served) < 400
    assert served["e2e_s"].null_count == 0


@pytest.mark.parametrize("name", ["requests/part-0.parquet", "slots.parquet", "plans.parquet"])
@pytest.mark.parametrize("damage", ["truncated", "foreign", "missing", "not Parquet", "wrong type"])
def test_damaged_records_are_refused_by_name(tmp_path, written, name, damage):
    path = tmp_path / name
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "foreign":
        pq.write_table(pa.table({"a": [1]}), path)
    elif damage == "missing":
        path.unlink()
        if name.startswith("requests"):
            path.parent.rmdir()
    elif damage == "not Parquet":
        path.write_text("request_id,gateway\n1,north\n")
    else:
        table = pq.read_table(path)
        pq.write_table(table.set_column(1, table.column_names[1], pa.array(["1"] * len(table))), path)
    again = records.open_run(tmp_path)
    with pytest.raises(RecordsError, match=name.split("/")[0]):
        _ = (again.requests.to_table(), again.slots, again.plans)


def test_damage_inside_a_file_is_told_when_it_is_read(tmp_path, written):
    path = tmp_path / "requests" / "part-0.parquet"
    content = bytearray(path.read_bytes())
    content[200:4000] = bytes(3800)
    path.write_bytes(content)
    with pytest.raises(RecordsError, match="damaged"), records.reading(path):
        records.open_run(tmp_path).requests.to_table()


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "it has no run.json"), ("{", "not JSON"), ("{}", "format = None, must be 5"), ("[]", "format = None")],
)
def test_a_folder_that_is_no_finished_run_is_refused(tmp_path, text, message):
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    with pytest.raises(RecordsError, match=message):
        records.open_run(tmp_path)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(RecordsError, match="no such folder"):
        records.open_run(tmp_path / "nowhere")


def test_json_that_other_readers_refuse_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        records.write_json(tmp_path / "x.json", {"a": float("nan")})
    records.write_json(tmp_path / "x.json", {"a": None, "b": "Århus"})
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == {"a": None, "b": "Århus"}


def test_grams_and_kilograms_meet(written):
    """A request's grams and a slot's kilograms are of the same carbon."""
    table, slots = frame(written), written.slots.to_pandas()
    charged_kg = 360.0 * table["carbon_g"].sum() / G_PER_KG
    assert charged_kg + slots["unattributed_carbon_kg"].sum() == pytest.approx(slots["carbon_kg"].sum(), rel=1e-9)


def test_every_column_is_explained_in_the_documentation():
    page = (Path(__file__).resolve().parents[2] / "docs" / "records.md").read_text(encoding="utf-8")
    for schema in (REQUESTS, SLOTS, PLANS):
        for name in schema.names:
            assert f"`{name}`" in page, name
