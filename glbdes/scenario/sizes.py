"""How large anything of a scenario may be: bounds of single values, and rules on products of them.

Bounds are there so that sums and products of what a scenario says stay within what is counted with: times within
64 bits of nanoseconds, dates within those of a time stamp, indices within the columns of the records, and arrays within
a machine. They are far beyond what is meant by anybody, so that who meets one has a slip in a unit or an exponent.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from math import isnan
from typing import Final

from pydantic_core import PydanticCustomError

from glbdes.errors import brief
from glbdes.scenario.document import Document, Problem, entries, number, pool_tables, table
from glbdes.units import NS_PER_S, S_PER_H

MOST: Final = 10**12  # of anything that is counted or measured
LEAST: Final = 1e-15  # of anything measured that is not 0
MOST_S: Final = 1e9  # of any duration, 32 years: a tenth of what the clock can count
MOST_H: Final = MOST_S / S_PER_H
MOST_ONE_WAY_S: Final = 3600.0  # a request goes back and forth up to `max_attempts` times
MOST_WAKE_S: Final = 1e5  # a day; who waits for it is in flight that long after the last slot
MOST_ROWS: Final = 32_000  # regions, and gateways times SLO classes: 16 bits in the records
MOST_CLASSES: Final = 127  # 8 bits there
MOST_TOKENS: Final = 10**7  # of a request
MOST_REPLICAS: Final = 10**6  # of all regions together
MOST_PAIRS: Final = 10**6  # of gateways and regions
MOST_CELLS: Final = 2 * 10**7  # slots x (gateways + regions): signals and demand, a row of numbers each
MOST_WEIGHTS: Final = 10**9  # slots x gateways x regions: plans, in the records
MOST_TICKS: Final = 10**8  # of telemetry
MOST_FAULTS: Final = 10_000
MOST_PATH: Final = 1000  # characters of a file's name with its folders
MOST_NAME: Final = 64  # characters of a name, which becomes a part of a folder's
FIRST: Final = datetime(1700, 1, 1)  # of a time stamp in nanoseconds, which reach from 1678 to 2262
LAST: Final = datetime(2260, 1, 1)

PROPORTION: Final = f"must be 0 or between {LEAST:g} and {MOST:g} in size"


def bearable(value: float) -> float:
    """`value`, unless it is out of all proportion: what a model's numbers must be."""
    if not _in_proportion(value):
        raise PydanticCustomError("size", PROPORTION)
    return value


def unbearable(value: object, place: str) -> Iterator[str]:
    """A line for each number in `value`, a document of any shape, that is out of all proportion."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from unbearable(inner, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from unbearable(inner, f"{place}.{index}")
    elif isinstance(value, int | float) and not _in_proportion(value):
        yield f"{brief(place)} = {brief(value)}, {PROPORTION}"


def _in_proportion(value: float) -> bool:
    return value == 0 or LEAST <= abs(value) <= MOST


def plain(text: str) -> str:
    """`text`, unless it has characters that do not print: what a model's names of files must be."""
    if not text.isprintable():
        raise PydanticCustomError("plain", "must have no control characters")
    return text


def prose(text: str) -> str:
    """`text` of any lines, unless it has other characters that do not print: what a model's descriptions must be."""
    if not text.replace("\n", "").replace("\t", "").isprintable():
        raise PydanticCustomError("plain", "must have no control characters")
    return text


def dated(start: datetime) -> datetime:
    """`start`, unless it is no time stamp in nanoseconds; as near to the bounds as any offset from UTC may bring it."""
    if not FIRST <= start.replace(tzinfo=None) < LAST:
        raise PydanticCustomError("year", f"must be from {FIRST.year} to {LAST.year - 1}")
    return start


def too_many(document: Document) -> bool:
    """Whether there are more gateways and regions than are looked through."""
    return _count(document, "gateways") * _count(document, "regions") > MOST_PAIRS


def broken(document: Document) -> Iterator[Problem]:
    """Every rule on sizes that `document` breaks."""
    yield from _time(document)
    yield from _counts(document)


def _time(document: Document) -> Iterator[Problem]:
    time = table(document, "time")
    simulated_s, slot_s, slots = number(time, "simulated_s_per_slot"), number(time, "slot_s"), number(time, "slots")
    slot_s = 3600.0 if "slot_s" not in time else slot_s
    if simulated_s > slot_s:
        yield Problem("time.simulated_s_per_slot", f" = {simulated_s:g} s, must be <= time.slot_s = {slot_s:g} s")
    key, shown_s = ("slot_s", slot_s) if isnan(simulated_s) else ("simulated_s_per_slot", simulated_s)
    clock_ns = 1.0 if "clock_ns" not in time else number(time, "clock_ns")
    if shown_s * NS_PER_S < clock_ns:
        yield Problem(f"time.{key}", f" = {shown_s:g} s, must be >= time.clock_ns = {clock_ns:g} ns, one tick")
    horizon_s = slots * slot_s
    warmup_s = number(time, "warmup_s") if time.get("warmup_s") is not None else 0.0
    if 0 < warmup_s * NS_PER_S < clock_ns:
        yield Problem("time.warmup_s", f" = {warmup_s:g} s, must be 0 or >= time.clock_ns = {clock_ns:g} ns, one tick")
    if slots * shown_s > MOST_S:
        yield Problem("time.slots", f": all slots take {slots * shown_s:g} simulated s, must be <= {MOST_S:g} s")
    elif slots * (shown_s + warmup_s) > MOST_S:
        told = f": with it all slots take {slots * (shown_s + warmup_s):g} simulated s, must be <= {MOST_S:g} s"
        yield Problem("time.warmup_s", f" = {warmup_s:g} s{told}")
    elif horizon_s > MOST_S:
        yield Problem("time.slots", f" = {slots:g}: all slots stand for {horizon_s:g} s, must be <= {MOST_S:g} s")
    else:
        yield from _end(time.get("start_utc"), horizon_s)
    telemetry_s = number(table(document, "dispatch"), "telemetry_s")
    if telemetry_s > 0 and slots * (shown_s + warmup_s) / telemetry_s > MOST_TICKS:
        rule = (
            f"must be >= {slots * (shown_s + warmup_s) / MOST_TICKS:g} s, for at most {MOST_TICKS:g} ticks in all slots"
        )
        yield Problem("dispatch.telemetry_s", f" = {telemetry_s:g} s, {rule}")


def _end(start: object, horizon_s: float) -> Iterator[Problem]:
    if isinstance(start, datetime) and FIRST <= start.replace(tzinfo=None) < LAST and horizon_s >= 0:
        end = start.replace(tzinfo=None) + timedelta(seconds=horizon_s)
        if end >= LAST:
            yield Problem("time.start_utc", f" = {start}: the slots end in {end.year}, must be before {LAST.year}")


def _counts(document: Document) -> Iterator[Problem]:
    gateways, regions = _count(document, "gateways"), sum(1 for _ in pool_tables(document))
    slots = number(table(document, "time"), "slots")
    classes = max(_count(document, "slo"), 1)
    if classes > MOST_CLASSES:
        yield Problem("slo", f" has {classes} classes, must be <= {MOST_CLASSES}")
    elif gateways * classes > MOST_ROWS:
        yield Problem("gateways", f": {gateways} x {classes} SLO classes, must be <= {MOST_ROWS}")
    if regions > MOST_ROWS:
        yield Problem("regions", f": {regions}, must be <= {MOST_ROWS}")
    if gateways * regions > MOST_PAIRS:
        yield Problem("gateways", f": {gateways} x {regions} regions, must be <= {MOST_PAIRS:g}")
    if slots * (gateways + regions) > MOST_CELLS:
        yield Problem(
            "time.slots", f" = {slots:g} x {gateways + regions} gateways and regions, must be <= {MOST_CELLS:g}"
        )
    elif slots * gateways * regions > MOST_WEIGHTS:
        what = f"{gateways} gateways x {regions} regions"
        yield Problem("time.slots", f" = {slots:g} x {what}, must be <= {MOST_WEIGHTS:g}")
    faults = len(entries(document, "faults"))
    if faults > MOST_FAULTS:
        yield Problem("faults", f": {faults}, must be <= {MOST_FAULTS}")
    replicas = _replicas(document)
    if replicas > MOST_REPLICAS:
        yield Problem("regions", f" have {replicas:g} replicas in all, must be <= {MOST_REPLICAS:g}")


def _replicas(document: Document) -> float:
    """Of all regions together; those that are wrong by themselves count for nothing."""
    shared = number(table(document, "fleet"), "replicas")
    own = [number(pool, "replicas") for _, pool in pool_tables(document)]
    each = [shared if isnan(replicas) else replicas for replicas in own]
    return sum(replicas for replicas in each if 1 < replicas <= MOST_REPLICAS)


def _count(document: Document, key: str) -> int:
    return len(table(document, key))
