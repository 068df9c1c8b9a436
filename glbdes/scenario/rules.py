"""Rules between two values of a scenario, as one table of checks on the plain document.

They work on the document rather than on the models, so that they can be reported together with values that the models
refuse; what is absent or of the wrong type is left to the models. Rules on one value stand in `scenario.py`.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from math import inf, isnan, nan
from typing import Any, NamedTuple

from glbdes.errors import nearest
from glbdes.units import S_PER_H

Document = Mapping[str, Any]

HORIZON_MAX_S = 1e9  # 32 years, a tenth of what the clock can count


class Problem(NamedTuple):
    """A rule that is broken: where (dotted path) and what to say about it."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}{self.message}"


def broken(document: Document) -> list[Problem]:
    """Every rule of `RULES` that `document` breaks, in the order of the table."""
    return [problem for rule in RULES for problem in rule(document)]


def _table(document: Any, *keys: str) -> Document:
    """The table at `keys`; an empty one if there is none."""
    for key in keys:
        document = document.get(key) if isinstance(document, Mapping) else None
    return document if isinstance(document, Mapping) else {}


def _entries(document: Document, key: str) -> list[Document]:
    """The list of tables at `key`, with an empty one for whatever in it is none."""
    value = document.get(key)
    return [_table({key: entry}, key) for entry in value] if isinstance(value, list | tuple) else []


def _number(table: Document, key: str) -> float:
    """The number at `key`; if there is none NaN, which breaks no rule."""
    value = table.get(key)
    try:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else nan
    except OverflowError:  # a whole number of hundreds of digits
        return inf


def _names(value: Any) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list | tuple) else []


def _unknown(place: str, name: str, kind: str, known: Document) -> Problem:
    return Problem(place, f" = '{name}': no such {kind}{nearest(name, known)}")


def _time(document: Document) -> Iterator[Problem]:
    time = _table(document, "time")
    simulated_s, slot_s = _number(time, "simulated_s_per_slot"), _number(time, "slot_s")
    if simulated_s > slot_s:
        yield Problem("time.simulated_s_per_slot", f" = {simulated_s:g} s, must be <= time.slot_s = {slot_s:g} s")
    horizon_s = _number(time, "slots") * (slot_s if isnan(simulated_s) else simulated_s)
    if horizon_s > HORIZON_MAX_S:
        yield Problem("time.slots", f": all slots take {horizon_s:g} simulated s, must be <= {HORIZON_MAX_S:g} s")


def _workload(document: Document) -> Iterator[Problem]:
    workload, source = _table(document, "workload"), _table(document, "signals").get("source", "constant")
    if workload.get("shape") == "trace" and workload.get("load_file") is None and source == "constant":
        yield Problem("workload.load_file", ": missing, must name a load trace because workload.shape = 'trace'")
    if workload.get("arrivals") == "replay" and workload.get("file") is None:
        yield Problem("workload.file", ": missing, must name a request trace because workload.arrivals = 'replay'")


def _lengths(document: Document) -> Iterator[Problem]:
    lengths = _table(document, "workload", "lengths")
    law, prompt, output = lengths.get("law"), _number(lengths, "prompt_tokens"), _number(lengths, "output_tokens")
    if law in ("fixed", "geometric"):
        for key in ("prompt_tokens", "output_tokens"):
            if lengths.get(key) is None:
                yield Problem(f"workload.lengths.{key}", f": missing, must be given because lengths.law = '{law}'")
    if law == "trace" and lengths.get("file") is None:
        yield Problem("workload.lengths.file", ": missing, must name a request trace because lengths.law = 'trace'")
    longest = _number(lengths, "max_tokens")
    if law == "fixed" and prompt + output > longest:
        total = f"prompt_tokens + output_tokens = {prompt + output:g} tokens"
        yield Problem("workload.lengths", f": {total}, must be <= max_tokens = {longest:g} tokens")


def _gateways(document: Document) -> Iterator[Problem]:
    regions = _table(document, "regions")
    replay = _table(document, "workload").get("arrivals") == "replay"
    for name in _table(document, "gateways"):
        gateway, place = _table(document, "gateways", name), f"gateways.{name}"
        given = [key for key in ("load", "rate_per_s") if gateway.get(key) is not None]
        if len(given) == 2:
            yield Problem(place, ": has both `load` and `rate_per_s`, must have one of them")
        elif not given and not replay:
            yield Problem(place, ": has neither `load` nor `rate_per_s`, must have one of them")
        home = gateway.get("home")
        if isinstance(home, str) and home not in regions:
            yield _unknown(f"{place}.home", home, "region", regions)
        elif home is None and "load" in given and name not in regions:
            why = f"no region is called '{name}', so it must say whose capacity `load` counts in"
            yield Problem(f"{place}.home", f": missing; {why}")
        yield from _mask(gateway.get("regions"), f"{place}.regions", regions)


def _mask(allowed: Any, place: str, regions: Document) -> Iterator[Problem]:
    if isinstance(allowed, list | tuple) and not allowed:
        yield Problem(place, " = [], must name at least one region: nobody could serve this gateway")
    for index, region in enumerate(_names(allowed)):
        if region not in regions:
            yield _unknown(f"{place}.{index}", region, "region", regions)
        elif region in _names(allowed)[:index]:
            yield Problem(f"{place}.{index}", f" = '{region}', must stand in the list once")


def _latencies(document: Document) -> Iterator[Problem]:
    network = _table(document, "network")
    if network.get("latency_s") is None:
        return
    rows, gateways, regions = _table(network, "latency_s"), _table(document, "gateways"), _table(document, "regions")
    for row in rows:
        if row not in gateways:
            yield Problem(f"network.latency_s.{row}", f": no such gateway{nearest(row, gateways)}")
        for region in _table(rows, row):
            if region not in regions:
                yield Problem(f"network.latency_s.{row}.{region}", f": no such region{nearest(region, regions)}")
    for gateway in gateways:
        lacking = [region for region in regions if region not in _table(rows, gateway)]
        if lacking:
            what = "all regions" if len(lacking) == len(regions) else ", ".join(lacking)
            yield Problem(f"network.latency_s.{gateway}", f": missing for {what}, must be given for every region")


def _fleet(document: Document) -> Iterator[Problem]:
    """Every region has a profile, or every region has a capacity and the engine is the fluid one."""
    regions = _table(document, "regions")
    fluid = [name for name in regions if _table(regions, name).get("capacity") is not None]
    shared = _table(document, "fleet").get("profile") is not None
    for name in regions:
        own = _table(regions, name).get("profile") is not None
        if name in fluid and own:
            yield Problem(f"regions.{name}", ": has both `capacity` and `profile`, must have one of them")
        elif name not in fluid and not own and not shared:
            text = "neither `profile` (here or in [fleet]) nor `capacity`"
            yield Problem(f"regions.{name}", f": has {text}, must have one of them")
        elif name not in fluid and fluid:
            yield Problem(f"regions.{name}", f": has no `capacity` while regions.{fluid[0]} has; all or none must")
    if fluid and document.get("engine") != "fluid":
        engine = document.get("engine", "auto")
        why = f"regions.{fluid[0]} has a `capacity` instead of a profile, so there are no requests to simulate"
        yield Problem("engine", f" = '{engine}', must be 'fluid' because {why}")


def _faults(document: Document) -> Iterator[Problem]:
    regions, time = _table(document, "regions"), _table(document, "time")
    horizon_h = _number(time, "slots") * _number(time, "slot_s") / S_PER_H
    for index, fault in enumerate(_entries(document, "faults")):
        place, region = f"faults.{index}", fault.get("region")
        if isinstance(region, str) and region not in regions:
            yield _unknown(f"{place}.region", region, "region", regions)
        start_h, end_h = _number(fault, "start_h"), _number(fault, "end_h")
        if end_h <= start_h:
            yield Problem(f"{place}.end_h", f" = {end_h:g} h, must be > start_h = {start_h:g} h")
        if start_h >= horizon_h:
            rule = f"must be before the end of the horizon, {horizon_h:g} h"
            yield Problem(f"{place}.start_h", f" = {start_h:g} h, {rule}")


def _apart(document: Document) -> Iterator[Problem]:
    """Faults of the same kind in the same region do not overlap."""
    faults = _entries(document, "faults")
    for later, fault in enumerate(faults):
        for earlier, other in enumerate(faults[:later]):
            same = all(fault.get(key) == other.get(key) for key in ("region", "signal"))
            starts_before = _number(fault, "start_h") < _number(other, "end_h")
            if same and starts_before and _number(other, "start_h") < _number(fault, "end_h"):
                yield Problem(f"faults.{later}", f": overlaps faults.{earlier} of the same region; they must be apart")


def _waits(document: Document) -> Iterator[Problem]:
    """The knots of a table of waits begin at [0, 0] and go up in utilisation, to at most 1."""
    table = _table(document, "objective").get("queue_wait_s")
    knots = table if isinstance(table, list | tuple) else []
    knots = [knot for knot in knots if isinstance(knot, list | tuple) and len(knot) == 2]
    pairs = [(_number({"u": u}, "u"), _number({"s": s}, "s")) for u, s in knots]
    if pairs and pairs[0] != (0, 0):
        yield Problem("objective.queue_wait_s.0", f" = [{pairs[0][0]:g}, {pairs[0][1]:g} s], must be [0, 0 s]")
    for index, (before, after) in enumerate(pairwise(pairs), start=1):
        if not before[0] < after[0] <= 1:
            rule = f"utilisation must be > {before[0]:g}, the one before, and <= 1"
            yield Problem(f"objective.queue_wait_s.{index}", f" = [{after[0]:g}, {after[1]:g} s], {rule}")


RULES: tuple[Callable[[Document], Iterator[Problem]], ...] = (
    _time,
    _workload,
    _lengths,
    _gateways,
    _latencies,
    _fleet,
    _faults,
    _apart,
    _waits,
)
