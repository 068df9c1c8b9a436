"""The columns of the records: their names, types and units, and how an engine's raw rows become them.

Units are in the names. Energies and footprints of slots are scaled to real time, those of single requests are not:
`request_weight` is how many real ones each stands for.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from glbdes.hardware import physics
from glbdes.records import further
from glbdes.records.books import SlotBook, Warmup
from glbdes.units import J_PER_KWH, NS_PER_S
from glbdes.world import Bools, Floats, Ints, SlotRecord, World, meter
from glbdes.world.footprints import Footprint

NAME: Final = pa.dictionary(pa.int16(), pa.string())
KINDS: Final = ("prefill", "decode", "idle", "sleep", "host", "it")  # of IT energy; the last is all of it
_CAUSED: Final = ("cost_usd", "carbon_kg", "water_l")

REQUESTS: Final = pa.schema(
    [
        ("request_id", pa.int64()),
        ("slot", pa.int32()),  # in which it arrived at its gateway
        ("time_utc", pa.timestamp("ms")),  # the real time at which that slot begins
        ("gateway", NAME),
        ("region", NAME),  # the last one it was sent to; null: none
        ("replica", pa.int32()),
        ("slo", NAME),
        ("status", NAME),
        ("attempts", pa.int16()),
        ("prompt_tokens", pa.int32()),
        ("output_tokens", pa.int32()),
        ("preemptions", pa.int32()),  # times that it lost its blocks, for want of free ones
        ("cached_tokens", pa.int64()),  # found in the cache and not computed, over all its admissions
        ("arrival_ns", pa.int64()),  # at the gateway
        ("start_ns", pa.int64()),  # prefill begins, at the region; null: never
        ("first_token_ns", pa.int64()),
        ("finish_ns", pa.int64()),  # when the status was decided
        ("ttft_s", pa.float64()),  # as the user sees it, both network legs included; null: not served
        ("tpot_s", pa.float64()),  # null also for one output token
        ("e2e_s", pa.float64()),
        ("energy_kwh", pa.float64()),
        ("carbon_g", pa.float64()),
        ("water_l", pa.float64()),
        ("cost_usd", pa.float64()),
        ("request_weight", pa.float64()),
        ("warmup", pa.bool_()),  # arrived in the warm-up of a slot: left out of all figures but the books
    ]
)

REQUESTS_IN_SESSIONS: Final = REQUESTS.append(pa.field("session", pa.int64()))  # of a run that has any; null: in none

SLOTS: Final = pa.schema(
    [
        ("slot", pa.int32()),
        ("time_utc", pa.timestamp("ms")),
        ("region", NAME),
        ("load", pa.float64()),  # requests dispatched there / what a plan may use of its capacity
        ("utilisation", pa.float64()),  # busy share of powered replica time; null: none, or not simulated
        ("awake", pa.float64()),  # mean number of replicas that were powered and not asleep; null: not simulated
        ("awake_planned", pa.int64()),  # replicas that were to be awake as the slot began; null: nobody said
        ("wakes", pa.int64()),  # times that a replica began to wake up, warm-up included: plans wake as slots begin
        ("arrived", pa.int64()),
        *((name, pa.int64()) for name in physics.STATUS_NAMES),
        ("queue_mean", pa.float64()),
        ("queue_max", pa.int64()),
        ("in_system_mean", pa.float64()),
        *((f"{kind}_kwh", pa.float64()) for kind in ("prefill", "decode", "idle", "sleep", "host")),
        *((f"{kind}_kwh", pa.float64()) for kind in ("it", "attributed", "unattributed", "facility")),
        *((name, pa.float64()) for name in ("cost_usd", "carbon_kg", "water_l")),
        *((f"unattributed_{name}", pa.float64()) for name in ("cost_usd", "carbon_kg", "water_l")),
        *((name, pa.float64()) for name in ("price_usd_per_kwh", "carbon_g_per_kwh")),  # true, not as policies saw them
        *((name, pa.float64()) for name in ("wue_l_per_kwh", "ewif_l_per_kwh", "pue")),
        ("network_s", pa.float64()),  # that requests dispatched in the slot spend on the network, both ways
        ("embodied_kg", pa.float64()),  # of making its replicas, by the slot's share of their lives; beside carbon_kg
        ("waiting_s", pa.float64()),  # in the region's queue during the slot; of a flow, as expected
        ("stale_slots", pa.int64()),  # how old the value was that policies saw
        ("carbon_dual_usd_per_kg", pa.float64()),  # null: the policy shows none
        ("water_dual_usd_per_l", pa.float64()),
        # What does not count: of the slot's warm-up and, after the last slot, of requests in flight then.
        *((f"warmup_{name}", pa.int64()) for name in ("arrived", *physics.STATUS_NAMES)),
        *((f"warmup_{name}", pa.float64()) for name in ("it_kwh", *_CAUSED)),
        *((f"warmup_unattributed_{name}", pa.float64()) for name in ("kwh", *_CAUSED)),
    ]
)


POOL: Final = pa.field("pool", NAME)  # of a run whose regions have several; null: it is all of its region, or none


def requests_schema(more: Sequence[Footprint], *, in_sessions: bool = False, in_pools: bool = False) -> Any:
    """`REQUESTS`, or those in sessions, and a column for each further footprint, and for the pool if there are any."""
    kept = REQUESTS_IN_SESSIONS if in_sessions else REQUESTS
    return pa.schema([*kept, *((one.column, pa.float64()) for one in more), *([POOL] if in_pools else [])])


def slots_schema(more: Sequence[Footprint]) -> Any:
    """`SLOTS`, and the columns of each further footprint."""
    return pa.schema([*SLOTS, *((column, pa.float64()) for one in more for column in further.names(one))])


PLANS: Final = pa.schema(
    [
        ("slot", pa.int32()),
        ("gateway", NAME),
        ("slo", NAME),  # null unless classes have plans of their own
        ("region", NAME),
        ("weight", pa.float64()),
        ("dispatched", pa.int64()),  # simulated requests, re-dispatches included
        ("demand_rps", pa.float64()),  # of the gateway, or of its class
        ("warmup_dispatched", pa.int64()),  # the same in the slot's warm-up
    ]
)

# Binary digits that are kept of a request's figures; noise does not compress. Durations are exact in the _ns columns.
DURATION_BITS: Final = 20  # relative error 5e-7
AMOUNT_BITS: Final = 29  # relative error 9.4e-10: energy and footprints still add up to the meters within 1e-9


class Names(NamedTuple):
    """What the numbers of a world stand for."""

    gateways: tuple[str, ...]
    regions: tuple[str, ...]
    slo: tuple[str, ...]
    pools: tuple[str | None, ...] = ()  # [r] of a world of pools; None: it is all that its region has
    places: tuple[str, ...] = ()  # [r] the same with their regions' names


def request_columns(chunk: NDArray[Any], world: World, names: Names, start: datetime) -> dict[str, Any]:
    """Columns of `REQUESTS` for `chunk`, `REQUEST_DTYPE` [n] (docs/model.md, section 3); slot 0 begins at `start`."""
    durations = durations_s(chunk, world).items()
    session = {"session": pa.array(chunk["session"], mask=chunk["session"] < 0)} if world.in_sessions else {}
    slot = chunk["arrival_ns"] // world.period_ns
    return {
        **session,
        "slot": slot.astype(np.int32),
        "time_utc": begins_utc(slot, world, start),
        **{key: chunk[key] for key in ("request_id", "attempts", "prompt_tokens", "output_tokens", "arrival_ns")},
        **{key: chunk[key] for key in ("preemptions", "cached_tokens")},
        "gateway": _named(chunk["gateway"] // world.classes, names.gateways),
        **_where(chunk["region"], world, names),
        "slo": _named(chunk["slo"], names.slo),
        "status": _named(chunk["status"], physics.STATUS_NAMES),
        **{key: pa.array(chunk[key], mask=chunk[key] < 0) for key in ("replica", "start_ns", "first_token_ns")},
        "finish_ns": chunk["finish_ns"],
        **{f"{key}_s": pa.array(_rounded(s, DURATION_BITS), mask=~defined) for key, (s, defined) in durations},
        "energy_kwh": _rounded(chunk["energy_j"] / J_PER_KWH, AMOUNT_BITS),
        **{key: _rounded(chunk[key], AMOUNT_BITS) for key in ("carbon_g", "water_l", "cost_usd")},
        **{one.column: _rounded(chunk["further"][:, k], AMOUNT_BITS) for k, one in enumerate(world.further)},
        "request_weight": np.full(len(chunk), world.weight),
        "warmup": ~world.counted(chunk["arrival_ns"]),
    }


def _where(r: NDArray[np.int16], world: World, names: Names) -> dict[str, Any]:
    """Region of each request, and its pool if there are any; `r` [n] as in the world, -1: none."""
    if world.region_of is None:
        return {"region": _named(r, names.regions)}
    known = list(dict.fromkeys(name for name in names.pools if name is not None))
    pool = np.array([-1 if name is None else known.index(name) for name in names.pools] + [-1])
    return {
        "region": _named(np.append(world.region_of, -1)[r], names.regions),
        "pool": _named(pool[r], known),
    }


def begins_utc(slot: Ints, world: World, start: datetime) -> NDArray[np.datetime64]:
    """The real times [n] at which slots [n] begin, to the millisecond; slot 0 at `start`."""
    first, last = (int(slot.min()), int(slot.max())) if len(slot) else (0, 0)
    times = [start + timedelta(seconds=one * world.slot_s) for one in range(first, last + 1)]
    return np.array(times, dtype="datetime64[ms]")[slot - first]


def durations_s(chunk: NDArray[Any], world: World) -> dict[str, tuple[Floats, Bools]]:
    """TTFT, TPOT and E2E of `chunk` as users see them, seconds [n], and where they are defined."""
    served = chunk["status"] == physics.SERVED
    latency_ns = world.latency_ns[chunk["gateway"], np.maximum(chunk["region"], 0)]
    seen_ns = latency_ns - chunk["arrival_ns"]
    steps = chunk["output_tokens"].astype(np.int64) - 1
    decode_ns = chunk["finish_ns"] - chunk["first_token_ns"]
    return {
        "ttft": ((chunk["first_token_ns"] + seen_ns) / NS_PER_S, served),
        "tpot": (decode_ns / np.maximum(steps, 1) / NS_PER_S, served & (steps >= 1)),
        "e2e": ((chunk["finish_ns"] + seen_ns) / NS_PER_S, served),
    }


def _rounded(values: Floats, bits: int) -> Floats:
    """`values` [n] rounded to `bits` binary digits after the leading one: relative error at most 2**-(bits + 1)."""
    dropped = 52 - bits
    words = np.ascontiguousarray(values).view(np.int64) + (1 << (dropped - 1))
    return np.asarray((words & -(1 << dropped)).view(np.float64))


def slot_columns(
    record: SlotRecord,
    book: SlotBook,
    world: World,
    names: Names,
    start: datetime,
    by_request: bool,
    delay_s: tuple[Floats, Floats],
) -> dict[str, Any]:
    """Columns of `SLOTS` for one slot, a row a region; slot 0 begins at `start`. `delay_s` as below."""
    meters, slot, n = record.meters, record.slot, world.regions
    busy_ns = meters["prefill_ns"] + meters["decode_ns"]
    powered_ns = busy_ns + meters["idle_ns"]
    dispatched_rps = record.dispatched.sum(axis=0) / (world.slot_ns / NS_PER_S)
    unmeasured = (powered_ns == 0) | (not by_request)
    signals = ("price_usd_per_kwh", "carbon_g_per_kwh", "wue_l_per_kwh", "ewif_l_per_kwh", "pue")
    columns = {
        "slot": np.full(n, slot, dtype=np.int32),
        "time_utc": np.full(n, begins_utc(np.array([slot]), world, start)[0]),
        "region": _each(names.regions),
        "load": dispatched_rps / world.capacity_rps,
        "awake": pa.array(
            (powered_ns - meters["asleep_ns"]) / world.slot_ns, mask=np.full(n, not by_request, dtype=bool)
        ),
        "awake_planned": pa.nulls(n, pa.int64()) if record.awake is None else record.awake,
        "wakes": np.sum([one["wakes"] for one in (meters, *record.warmup)], axis=0),
        "utilisation": pa.array(busy_ns / np.maximum(powered_ns, 1), mask=unmeasured),
        **{key: meters[key] for key in ("arrived", *physics.STATUS_NAMES, "queue_max")},
        "queue_mean": meters["queue_area_ns"] / world.slot_ns,
        "in_system_mean": meters["system_area_ns"] / world.slot_ns,
        **{f"{kind}_kwh": getattr(book.energy, f"{kind}_kwh") for kind in KINDS},
        "attributed_kwh": book.energy.attributed_kwh,
        "unattributed_kwh": book.unattributed_kwh,
        "facility_kwh": book.metered.facility_kwh,
        **{key: getattr(book.metered, key) for key in ("cost_usd", "carbon_kg", "water_l")},
        **{f"unattributed_{key}": getattr(book.unattributed, key) for key in ("cost_usd", "carbon_kg", "water_l")},
        **{key: getattr(world.signals, key)[slot] for key in signals},
        "embodied_kg": meter.embodied_kg(world),
        **dict(zip(("network_s", "waiting_s"), delay_s, strict=True)),
        "stale_slots": world.seen.stale_slots[slot],
    }
    for one in world.footprints:
        columns[one.dual_column] = record.duals[one.name] if one.name in record.duals else pa.nulls(n, pa.float64())
    return columns | _warmup_columns(record, book.warmup, n) | further.columns(record, book, world)


def _warmup_columns(record: SlotRecord, book: Warmup | None, n: int) -> dict[str, Any]:
    """Columns of `SLOTS` that do not count."""
    counts = ("arrived", *physics.STATUS_NAMES)
    if book is None:
        nothing, zero = np.zeros(n, dtype=np.int64), np.zeros(n)
        amounts = [f"warmup_{key}" for key in ("it_kwh", *_CAUSED)]
        amounts += [f"warmup_unattributed_{key}" for key in ("kwh", *_CAUSED)]
        return {f"warmup_{key}": nothing for key in counts} | dict.fromkeys(amounts, zero)
    return {
        **{f"warmup_{key}": np.sum([meters[key] for meters in record.warmup], axis=0) for key in counts},
        "warmup_it_kwh": book.it_kwh,
        **{f"warmup_{key}": getattr(book.metered, key) for key in _CAUSED},
        "warmup_unattributed_kwh": book.unattributed_kwh,
        **{f"warmup_unattributed_{key}": getattr(book.unattributed, key) for key in _CAUSED},
    }


def delay_s(record: SlotRecord, world: World, by_request: bool) -> tuple[Floats, Floats]:
    """Seconds [r] of real time on the network and waiting; of a flow from what it plans and expects."""
    if by_request:
        network_s = 2 * (record.dispatched * world.latency_s).sum(axis=0) * world.weight
        return network_s, record.meters["queue_area_ns"] / NS_PER_S * world.weight
    rate_rps = record.demand_rps[:, None] * record.weights
    if world.outages:  # load goes elsewhere than planned; these counts are rounded
        rate_rps = record.dispatched / (world.slot_ns / NS_PER_S)
    waiting = np.zeros(world.regions)
    if world.waiting is not None:
        waiting = world.waiting.requests(rate_rps.sum(axis=0))
    return 2 * (rate_rps * world.latency_s).sum(axis=0) * world.slot_s, waiting * world.slot_s


def plan_columns(record: SlotRecord, names: Names, classes: int) -> dict[str, Any]:
    """Columns of `PLANS` for one slot, a row a gateway (with limits: and class) and region."""
    gateways, regions = record.weights.shape
    in_vain = record.warmup_dispatched
    return {
        "slot": np.full(gateways * regions, record.slot, dtype=np.int32),
        **_rows(names, gateways, regions, classes),
        "weight": record.weights.ravel(),
        "dispatched": record.dispatched.ravel(),
        "demand_rps": np.repeat(record.demand_rps, regions),
        "warmup_dispatched": np.zeros(gateways * regions, dtype=np.int64) if in_vain is None else in_vain.ravel(),
    }


@lru_cache(maxsize=1)  # the same in every slot of a run
def _each(names: tuple[str, ...]) -> Any:
    """All of `names`, in order."""
    return _named(np.arange(len(names)), names)


@lru_cache(maxsize=1)
def _rows(names: Names, gateways: int, regions: int, classes: int) -> Mapping[str, Any]:
    """Whose each row of a slot's plan is."""
    row = np.repeat(np.arange(gateways), regions)
    return {
        "gateway": _named(row // classes, names.gateways),
        "slo": _named(row % classes if classes > 1 else np.full(len(row), -1), names.slo),
        "region": _named(np.tile(np.arange(regions), gateways), names.regions),
    }


def _named(indices: NDArray[Any], names: Sequence[str]) -> Any:
    """`indices` into `names` as a dictionary array; negative ones are null."""
    return pa.DictionaryArray.from_arrays(pa.array(indices.astype(np.int16), mask=indices < 0), pa.array(names))
