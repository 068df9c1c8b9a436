"""What goes in comes out: requests, replica time, energy and footprints; and looking on changes nothing."""

from collections import Counter

import numpy as np
import pytest

from glbdes.engine.simpy import engine as simpy_engine
from glbdes.hardware.physics import STATUS_NAMES
from glbdes.units import G_PER_KG, J_PER_KWH
from glbdes.world import SlotRecord, World, meter
from tests.engine.differential import vain
from tests.random_worlds import CLOCKS_NS, Moody, engine_run, random_world
from tests.worlds import ListSink

SEEDS = range(40)
TOLERANCE = 1e-9  # relative, as the invariant of section 5


def every_world(seeds=SEEDS, **forced):
    for clock_ns in CLOCKS_NS:
        for seed in seeds:
            world = random_world(seed, clock_ns, **forced)
            yield world, engine_run(world, Moody(seed))


def arrivals(world: World) -> np.ndarray:
    return np.concatenate([world.requests(slot).request_id for slot in range(world.slots)])


def whole(sink: ListSink, name: str) -> np.ndarray:
    """[r] what the meters of all slots say, those that do not count included."""
    return sum(meters[name] for record in sink.slots for meters in (record.meters, *record.warmup))


def energies(world: World, record: SlotRecord) -> list[meter.SlotEnergy]:
    """Of what counts in a slot, and of what does not."""
    return [meter.slot_energy(world, record), *meter.warmup_energy(world, record)]


def test_every_request_ends_exactly_once():
    for world, sink in every_world():
        assert sink.table["request_id"].tolist() == sorted(arrivals(world).tolist())
        assert set(sink.table["status"].tolist()) <= set(range(4))


def test_meters_count_the_statuses_of_the_records():
    """All but the requests that fail at their gateway, because no region is up: those are on no region's meter."""
    for _, sink in every_world():
        table = sink.table
        for status, name in enumerate(STATUS_NAMES):
            for r in range(sink.slots[0].meters.size):
                ended_here = int(((table["status"] == status) & (table["region"] == r)).sum())
                metered = int(whole(sink, name)[r])
                assert metered <= ended_here if name == "failed" else metered == ended_here


def test_what_is_dispatched_arrives():
    for world, sink in every_world():
        sent = sum(record.dispatched + vain(record) for record in sink.slots)
        assert sent.sum() == sink.table["attempts"].sum()
        first = np.arange(world.regions) if world.first_of is None else world.first_of  # which stands for all alike
        arrived = np.bincount(first, weights=whole(sink, "arrived"), minlength=world.regions)
        assert sent.sum(axis=0).tolist() == arrived.tolist()


def test_times_of_a_request_come_in_order():
    for _, sink in every_world():
        served = sink.table[sink.table["status"] == 0]
        assert (served["arrival_ns"] <= served["start_ns"]).all()
        assert (served["start_ns"] < served["first_token_ns"]).all()
        single = served["output_tokens"] == 1
        assert (served["first_token_ns"] == served["finish_ns"])[single].all()
        assert (served["first_token_ns"] < served["finish_ns"])[~single].all()
        ended = sink.table[sink.table["status"] != 0]
        assert (ended["start_ns"] == -1).all()
        assert (ended["first_token_ns"] == -1).all()


def test_requests_are_handed_over_by_the_time_they_ended():
    for world, sink in every_world():
        ended_ns = np.concatenate([chunk["finish_ns"] for chunk in sink.chunks])
        assert (np.diff(ended_ns) >= 0).all()
        assert [record.slot for record in sink.slots] == list(range(world.slots))


def test_replica_time_adds_up_in_every_slot():
    """Prefill + decode + idle + down is replicas x slot. The last slot goes on with requests in flight, unless it is
    what comes after it that does."""
    for world, sink in every_world():
        spent = sum(sink.meter(name) for name in ("prefill_ns", "decode_ns", "idle_ns", "down_ns"))
        expected = np.broadcast_to(world.fleet.replicas * world.slot_ns, spent.shape)
        assert (spent[:-1] == expected[:-1]).all()
        assert (spent[-1] >= expected[-1]).all()
        if world.warmup_ns:
            assert (spent[-1] == expected[-1]).all()
            for record in sink.slots:
                warm = sum(record.warmup[0][name] for name in ("prefill_ns", "decode_ns", "idle_ns", "down_ns"))
                assert (warm == world.fleet.replicas * world.warmup_ns).all()
        if (sink.table["finish_ns"] <= world.horizon_ns).all():
            assert (spent[-1] == expected[-1]).all()


@pytest.mark.parametrize("full", [False, True])
def test_requests_and_the_unattributed_rest_are_the_meter(full):
    """Section 5's invariant for energy, cost, carbon and water, by sums of its own."""
    for world, sink in every_world(full_attribution=full):
        metered, charged = np.zeros(4), np.zeros(4)
        for record in sink.slots:
            parts = energies(world, record)
            it_kwh, attributed_kwh = (
                sum(getattr(part, name) for part in parts) for name in ("it_kwh", "attributed_kwh")
            )
            for kwh, total in ((it_kwh, metered), (it_kwh - attributed_kwh, charged)):
                caused = meter.footprint(kwh, world.signals, record.slot)
                amounts = (kwh, caused.cost_usd, caused.carbon_kg, caused.water_l)
                total += [amount.sum() / world.weight for amount in amounts]
        units = {"energy_j": J_PER_KWH, "cost_usd": 1.0, "carbon_g": G_PER_KG, "water_l": 1.0}
        charged += [sink.table[name].sum() / unit for name, unit in units.items()]
        np.testing.assert_allclose(charged, metered, rtol=TOLERANCE)


def test_marginal_charges_are_the_work_of_each_slot_and_region():
    for _, sink in every_world(full_attribution=False, active_attribution=False):
        work_j = sink.meter("prefill_j") + sink.meter("decode_j")
        np.testing.assert_allclose(sink.meter("attributed_j"), work_j, rtol=TOLERANCE, atol=1e-12)


def test_full_attribution_leaves_nothing_over_where_anything_was_charged():
    for world, sink in every_world(full_attribution=True):
        for record in sink.slots:
            for energy, meters in zip(energies(world, record), (record.meters, *record.warmup), strict=True):
                worked = meters["prefill_j"] + meters["decode_j"] > 0
                np.testing.assert_allclose(energy.attributed_kwh[worked], energy.it_kwh[worked], rtol=TOLERANCE)
                assert (energy.attributed_kwh[~worked] == 0).all()


def test_attribution_moves_no_request():
    """Who pays for idle replicas changes what a request is charged, and nothing else."""
    names = ("region", "replica", "status", "attempts", "start_ns", "first_token_ns", "finish_ns")
    for clock_ns in CLOCKS_NS:
        for seed in SEEDS:
            marginal, active, full = (
                engine_run(random_world(seed, clock_ns, **forced), Moody(seed)).table
                for forced in (
                    {"full_attribution": False, "active_attribution": False},
                    {"full_attribution": False, "active_attribution": True},
                    {"full_attribution": True},
                )
            )
            for other in (active, full):
                assert (marginal[list(names)] == other[list(names)]).all()
                assert (other["energy_j"] >= marginal["energy_j"] * (1 - TOLERANCE)).all()


def same(ours: ListSink, theirs: ListSink) -> bool:
    """To the last bit."""
    slots = zip(ours.slots, theirs.slots, strict=True)
    return ours.table.tobytes() == theirs.table.tobytes() and all(
        all(x.tobytes() == y.tobytes() for x, y in zip((a.meters, *a.warmup), (b.meters, *b.warmup), strict=True))
        and a.weights.tobytes() == b.weights.tobytes()
        and a.dispatched.tobytes() == b.dispatched.tobytes()
        for a, b in slots
    )


def test_the_same_world_twice_gives_the_same_records():
    for clock_ns in CLOCKS_NS:
        for seed in SEEDS:
            world = random_world(seed, clock_ns)
            assert same(engine_run(world, Moody(seed)), engine_run(world, Moody(seed)))


class Overwriting(ListSink):
    """A sink that scribbles over what it was handed, after it has taken its copy."""

    def requests(self, chunk: np.ndarray) -> None:
        super().requests(chunk)
        chunk["finish_ns"] = -7


class Watched:
    """A policy that shows prices and counts what it is told; it plans as the one inside."""

    def __init__(self, inner: Moody) -> None:
        self.inner, self.told = inner, Counter()

    def plan(self, view):
        self.duals = {"carbon": np.zeros(view.mask.shape[1])}
        return self.inner.plan(view)

    def observe(self, outcome) -> None:
        self.told[outcome.slot] += 1
        self.inner.observe(outcome)


def test_observers_change_nothing():
    for clock_ns in CLOCKS_NS:
        for seed in SEEDS:
            world, sink, heard = random_world(seed, clock_ns), Overwriting(), []
            policy = Watched(Moody(seed))
            simpy_engine.run(world, policy, sink, policy_name="watched", progress=heard.append)
            assert same(sink, engine_run(world, Moody(seed)))
            assert policy.told == dict.fromkeys(range(world.slots), 1)
            assert heard[-1] == len(sink.table)
            assert heard == sorted(heard)


def test_the_world_is_left_as_it_was():
    for clock_ns in CLOCKS_NS:
        for seed in SEEDS:
            used, fresh = random_world(seed, clock_ns), random_world(seed, clock_ns)
            engine_run(used, Moody(seed))
            for name in ("latency_ns", "allowed", "expected_rps", "capacity_rps"):
                assert (getattr(used, name) == getattr(fresh, name)).all()
            for ours, theirs in zip(used.fleet, fresh.fleet, strict=True):
                assert (ours == theirs).all()
            for name in used.signals.__dataclass_fields__:
                assert (getattr(used.signals, name) == getattr(fresh.signals, name)).all()


def test_without_a_warmup_there_are_no_meters_that_do_not_count():
    for clock_ns in CLOCKS_NS:
        world = random_world(1, clock_ns, warmup_ns=0)
        assert all(
            not record.warmup and record.warmup_dispatched is None for record in engine_run(world, Moody(1)).slots
        )
