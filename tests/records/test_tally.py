"""What kernels count of requests is what whole columns say, to the last bit."""

import numba
import numpy as np
import pytest

from glbdes.base import portable
from glbdes.hardware import physics
from glbdes.records import sketch, tally
from glbdes.records.books import Books
from glbdes.records.columns import durations_s
from glbdes.records.sketch import LATENCIES, LOWEST_S, Sketch
from glbdes.units import G_PER_KG, J_PER_KWH
from glbdes.world import REQUEST_DTYPE, World
from tests.worlds import make_requests, make_world

LIMITS_S = {"ttft": np.array([0.4, np.inf]), "tpot": np.array([0.02, np.inf]), "e2e": np.array([np.inf, 3.0])}


def logarithms(values, found):  # type: ignore[no-untyped-def]
    for i in range(len(values)):
        found[i] = tally.log(values[i])


def chunk_of(rng: np.random.Generator, world: World, n: int = 5000) -> np.ndarray:
    """Records of every kind: ended in every way, some never in a region, of one token or several."""
    rows = np.zeros(n, dtype=REQUEST_DTYPE)
    rows["request_id"] = np.arange(n)
    for name, least, most in (
        ("gateway", 0, world.gateways),
        ("region", -1, world.regions),
        ("slo", 0, 2),
        ("status", 0, len(physics.STATUS_NAMES)),
        ("attempts", 1, 3),
        ("prompt_tokens", 1, 4000),
        ("output_tokens", 1, 4),
        ("arrival_ns", 0, world.horizon_ns),
        ("start_ns", -1, 1),
        ("preemptions", 0, 2),
        ("cached_tokens", 0, 3000),
    ):
        rows[name] = rng.integers(least, most, n)
    rows["first_token_ns"] = rows["arrival_ns"] + rng.integers(0, 10**9, n)
    rows["finish_ns"] = rows["first_token_ns"] + rng.integers(0, 10**10, n)
    for name in ("energy_j", "cost_usd", "carbon_g", "water_l"):
        rows[name] = rng.lognormal(0.0, 2.0, n)
    return rows


@pytest.fixture(params=[0, 3 * 10**8])
def world(request: pytest.FixtureRequest) -> World:
    return make_world(make_requests([0]), warmup_ns=request.param)


@pytest.fixture
def chunk(world: World) -> np.ndarray:
    return chunk_of(np.random.default_rng(4), world)


def test_the_books_are_those_of_columns(world: World, chunk: np.ndarray) -> None:
    books = Books(world, [str(r) for r in range(world.regions)])
    charged = np.zeros_like(books.charged)
    for part in np.array_split(chunk, 3):
        books.requests(part)
        sent = part[part["region"] >= 0]
        for row, (name, per_unit) in enumerate(
            (("energy_j", J_PER_KWH), ("cost_usd", 1.0), ("carbon_g", G_PER_KG), ("water_l", 1.0))
        ):
            sums = np.bincount(sent["region"], weights=sent[name], minlength=world.regions)
            charged[row] += world.weight / per_unit * sums
    assert (books.charged == charged).all()
    assert (books.by_status == np.bincount(chunk["status"], minlength=len(physics.STATUS_NAMES))).all()
    assert (books.count, books.id_sum, books.attempts) == (
        len(chunk),
        chunk["request_id"].sum(),
        chunk["attempts"].sum(),
    )
    assert books.counted == world.counted(chunk["arrival_ns"]).sum()
    assert books.returned


def test_the_sketch_is_that_of_columns(world: World, chunk: np.ndarray) -> None:
    found = Sketch(world, LIMITS_S)
    found.requests(chunk)
    counted = chunk[world.counted(chunk["arrival_ns"])]
    assert found.warmup_requests == len(chunk) - len(counted)
    served = counted["status"] == physics.SERVED
    every = served.copy()
    told = found.figures()
    for name, (values_s, defined) in durations_s(counted, world).items():
        within = served & (~defined | (values_s <= LIMITS_S[name][counted["slo"]]))
        every &= within
        assert told["met"][name] == np.bincount(counted["slo"][within], minlength=2).tolist()
        assert found.sums[name] == float(values_s[defined].sum())
        places = portable.log(np.maximum(values_s[defined], LOWEST_S) / LOWEST_S) / sketch._BIN
        assert (found.bins[name] == np.bincount(places.astype(np.int64), minlength=len(found.bins[name]))).all()
    assert told["met"]["all"] == np.bincount(counted["slo"][every], minlength=2).tolist()
    started = counted["start_ns"] >= 0
    once = counted[started & (counted["preemptions"] == 0) & (counted["attempts"] == 1)]
    spared = once["cached_tokens"].sum()
    assert told["cache"] == {
        "preemptions": counted["preemptions"].sum(),
        "cached_tokens": counted["cached_tokens"].sum(),
        "prompt_tokens": counted["prompt_tokens"][started].sum(),
        "prefill_tokens_spared": spared,
        "prefill_tokens_computed": once["prompt_tokens"].sum() - spared,
    }
    assert list(told["met"]) == [*LATENCIES, "all"]


def test_a_kernel_s_logarithm_is_the_portable_one_bit_for_bit() -> None:
    values = np.concatenate(
        [np.random.default_rng(5).lognormal(0.0, 8.0, 100_000), 2.0 ** np.arange(-60, 60), [0.7071]]
    )
    found = np.empty(len(values))
    numba.njit(error_model="numpy")(logarithms)(values, found)
    assert (found == portable.log(values)).all()


def test_values_at_the_edges_of_bins_and_beyond_them_fall_where_columns_say() -> None:
    edges = LOWEST_S * portable.exp(
        np.arange(len(Sketch(make_world(make_requests([0])), LIMITS_S).bins["ttft"])) * sketch._BIN
    )
    values = np.concatenate([edges, np.nextafter(edges, 0.0), np.nextafter(edges, 1e9), [0.0, 1e-9, 1e12]])
    bins = np.zeros(len(edges), dtype=np.int64)
    tally.fill(values, LOWEST_S, sketch._BIN, bins)
    places = (portable.log(np.maximum(values, LOWEST_S) / LOWEST_S) / sketch._BIN).astype(np.int64)
    assert (bins == np.bincount(np.minimum(places, len(bins) - 1), minlength=len(bins))).all()
