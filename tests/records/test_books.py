"""Books balance in every world, and any single wrong entry is found."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from glbdes.engine import fluid
from glbdes.engine.simpy import engine as simpy_engine
from glbdes.errors import InvariantError
from glbdes.records.books import TOLERANCE, Books, Generated, counting
from glbdes.world import World
from tests.runs import NAMES, busy_world
from tests.worlds import Fixed, ListSink


def recorded(world: World) -> tuple[World, ListSink, Generated]:
    world, generated = counting(world)
    sink = ListSink()
    simpy_engine.run(world, Fixed(np.full((world.gateways, world.regions), 1 / world.regions)), sink)
    return world, sink, generated


def check(world: World, sink: ListSink, generated: Generated) -> dict[str, float]:
    books = Books(world, NAMES.regions)
    for chunk in sink.chunks:
        books.requests(chunk)
    for record in sink.slots:
        books.slot(record)
    return books.check(generated)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("outages", [(), ((0, 5 * 10**9, 9 * 10**9), (1, 12 * 10**9, 17 * 10**9))])
def test_requests_and_unattributed_add_up_to_the_meter(full, outages):
    residuals = check(*recorded(busy_world(full_attribution=full, outages=outages)))
    assert set(residuals) == {"requests", "attribution", "energy", "cost", "carbon", "water"}
    assert max(residuals.values()) < TOLERANCE / 1000


def test_full_attribution_leaves_a_slot_unattributed_only_if_nobody_was_charged_in_it():
    world, sink, _ = recorded(busy_world(full_attribution=True, outages=((2, 0, 40 * 10**9),)))
    books = Books(world, NAMES.regions)
    for record in sink.slots:
        spare = books.slot(record).unattributed_kwh
        assert (spare[:2] == 0).all()
    idle_world, idle_sink, _ = recorded(busy_world(n=1, full_attribution=True))
    left = np.array([Books(idle_world, NAMES.regions).slot(record).unattributed_kwh for record in idle_sink.slots])
    assert (left == 0).sum() == 1  # where the one request was


def spoil(field: str) -> Any:
    def change(sink: ListSink) -> None:
        rows = sink.chunks[0]
        rows[field][np.argmax(rows["energy_j"])] *= 1 + 1e-5

    return change


def spoil_meter(field: str, amount: float) -> Any:
    def change(sink: ListSink) -> None:
        sink.slots[1].meters[field][0] += amount

    return change


def lose(sink: ListSink) -> None:
    sink.chunks[0] = sink.chunks[0][1:]


def double(sink: ListSink) -> None:
    """One request twice and another one not at all, with nothing charged to either."""
    rows = sink.chunks[0]
    first, second = np.flatnonzero(rows["energy_j"] == 0)[:2]
    rows["request_id"][first] = rows["request_id"][second]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (spoil("energy_j"), "energy in "),
        (spoil("cost_usd"), "cost in "),
        (spoil("carbon_g"), "carbon in "),
        (spoil("water_l"), "water in "),
        (spoil_meter("decode_j", 0.1), "energy in "),
        (spoil_meter("idle_j", -5.0), None),
        (spoil_meter("attributed_j", 0.1), "slots attribute"),
        (spoil_meter("served", 1), "are served, the regions' meters say"),
        (spoil_meter("rejected", -1), "are rejected, the regions' meters say"),
        (lose, "requests were generated"),
        (double, "not the same ones"),
    ],
)
def test_one_wrong_entry_is_found(change, message):
    world, sink, generated = recorded(busy_world())
    check(world, sink, generated)
    change(sink)
    if message is None:  # idle energy has no second account: both sides move together
        check(world, sink, generated)
        return
    with pytest.raises(InvariantError, match=message):
        check(world, sink, generated)


def test_a_complaint_names_the_region_the_amounts_and_the_rule():
    world, sink, generated = recorded(busy_world(outages=()))
    spoil("carbon_g")(sink)
    with pytest.raises(
        InvariantError, match=r"carbon in (alpha|beta|gamma): requests \S+ kg \+ unattributed \S+ kg.*<= 1e-09"
    ):
        check(world, sink, generated)


def test_a_number_that_is_none_does_not_pass():
    world, sink, generated = recorded(busy_world())
    sink.chunks[0]["cost_usd"][0] = np.nan
    with pytest.raises(InvariantError, match="cost"):
        check(world, sink, generated)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("field", ["prefill_j", "decode_j", "idle_j", "attributed_j"])
@pytest.mark.filterwarnings("ignore:invalid value")  # inf - inf
def test_nor_does_one_on_a_meter(field, number):
    """Not even where everything that is compared is none: NaN against NaN is no balance."""
    world, sink, generated = recorded(busy_world())
    for record in sink.slots:
        record.meters[field] = number
    with pytest.raises(InvariantError, match=r"slots attribute|energy in"):
        check(world, sink, generated)


def test_an_engine_without_requests_keeps_books_by_slot():
    world = dataclasses.replace(busy_world(full_attribution=True), expected_rps=np.full((4, 2), 3.0))
    sink = ListSink()
    fluid.run(world, Fixed(np.full((2, 3), 1 / 3)), sink, policy_name="even")
    books = Books(world, NAMES.regions, by_request=False)
    host_kwh = sum(books.slot(record).unattributed_kwh.sum() for record in sink.slots)
    assert max(books.check().values()) < TOLERANCE
    assert host_kwh > 0  # host power is nobody's, and is on the meter all the same
