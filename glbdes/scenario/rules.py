"""Rules between two values of a scenario, as one table of checks on the plain document.

They work on the document rather than on the models, so that they can be reported together with values that the models
refuse; what is absent or of the wrong type is left to the models. Rules on one value stand in `model.py`, those
on sizes in `sizes.py`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from typing import Any

from glbdes.errors import MOST_PROBLEMS, brief, nearest
from glbdes.scenario import elastic, footprints, places, pools, sizes
from glbdes.scenario.document import Document, Problem, entries, number, pool_tables, table
from glbdes.units import S_PER_H


def broken(document: Document) -> list[Problem]:
    """Every rule of `RULES` that `document` breaks, in the order of the table, as far as they are told.

    A document that is too large is not looked through.
    """
    found = list(sizes.broken(document))
    rules = () if sizes.too_many(document) else RULES
    return found + list(islice((problem for rule in rules for problem in rule(document)), MOST_PROBLEMS + 1))


def _names(value: Any) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list | tuple) else []


def _unknown(place: str, name: str, kind: str, known: Document) -> Problem:
    return Problem(place, f" = '{brief(name)}': no such {kind}{nearest(name, known)}")


def _workload(document: Document) -> Iterator[Problem]:
    workload, source = table(document, "workload"), table(document, "signals").get("source", "constant")
    if workload.get("shape") == "trace" and workload.get("load_file") is None and source == "constant":
        yield Problem("workload.load_file", ": missing, must name a load trace because workload.shape = 'trace'")
    if workload.get("arrivals") == "replay" and workload.get("file") is None:
        yield Problem("workload.file", ": missing, must name a request trace because workload.arrivals = 'replay'")


def _sessions(document: Document) -> Iterator[Problem]:
    workload, serving, dispatch = (table(document, name) for name in ("workload", "serving", "dispatch"))
    given, arrivals = table(document, "workload").get("sessions"), workload.get("arrivals", "poisson")
    if given is not None and arrivals != "poisson":
        rule = "must be 'poisson' because workload.sessions says when requests follow one another"
        yield Problem("workload.arrivals", f" = '{brief(arrivals)}', {rule}")
    system = number(table(document, "workload", "sessions"), "system_tokens")
    longest = number(table(document, "workload", "lengths"), "max_tokens")
    if given is not None and system + 2 > (32768 if longest != longest else longest):
        rule = "must leave room for a prompt and an answer of a token each within workload.lengths.max_tokens"
        yield Problem("workload.sessions.system_tokens", f" = {system:g} tokens, {rule}")
    affinity, chunked = dispatch.get("affinity", "request"), serving.get("scheduler") == "chunked"
    if affinity != "request" and not chunked:
        rule = "must be 'request' unless serving.scheduler = 'chunked': only there do replicas keep prefixes"
        yield Problem("dispatch.affinity", f" = '{brief(affinity)}', {rule}")
    elif affinity != "request" and given is None and arrivals != "replay":
        rule = "must be 'request' because there are no sessions: neither workload.sessions nor a replayed trace"
        yield Problem("dispatch.affinity", f" = '{brief(affinity)}', {rule}")
    if serving.get("replica_choice", "fewest") == "prefix" and not chunked:
        rule = "must be 'fewest' unless serving.scheduler = 'chunked': only there do replicas keep prefixes"
        yield Problem("serving.replica_choice", f" = 'prefix', {rule}")


def _signals(document: Document) -> Iterator[Problem]:
    signals = table(document, "signals")
    source = signals.get("source", "constant")
    if signals.get("sources") is not None and source != "constant":
        yield Problem("signals.sources", f": given, and signals.source = '{brief(source)}' too: remove one")
    if signals.get("seed") is not None and source != "synthetic":
        rule = f"given, but signals.source = '{brief(source)}' is not drawn, must be 'synthetic'"
        yield Problem("signals.seed", f" = {brief(signals['seed'])}: {rule}")


def _slo(document: Document) -> Iterator[Problem]:
    for name in table(document, "slo"):
        slo = table(document, "slo", name)
        if slo.get("attain") is not None and all(slo.get(f"{key}_s") is None for key in ("ttft", "tpot", "e2e")):
            yield Problem(f"slo.{name}.attain", f" = {brief(slo['attain'])}, but the class limits nothing")


def _lengths(document: Document) -> Iterator[Problem]:
    lengths = table(document, "workload", "lengths")
    law, prompt, output = lengths.get("law"), number(lengths, "prompt_tokens"), number(lengths, "output_tokens")
    if law in ("fixed", "geometric"):
        for key in ("prompt_tokens", "output_tokens"):
            if lengths.get(key) is None:
                yield Problem(f"workload.lengths.{key}", f": missing, must be given because lengths.law = '{law}'")
    if law == "trace" and lengths.get("file") is None:
        yield Problem("workload.lengths.file", ": missing, must name a request trace because lengths.law = 'trace'")
    longest = number(lengths, "max_tokens")
    if law == "fixed" and prompt + output > longest:
        total = f"prompt_tokens + output_tokens = {prompt + output:g} tokens"
        yield Problem("workload.lengths", f": {total}, must be <= max_tokens = {longest:g} tokens")


def _gateways(document: Document) -> Iterator[Problem]:
    regions = table(document, "regions")
    replay = table(document, "workload").get("arrivals") == "replay"
    for name in table(document, "gateways"):
        gateway, place = table(document, "gateways", name), f"gateways.{name}"
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
    before = set()
    for index, region in enumerate(_names(allowed)):
        if region not in regions:
            yield _unknown(f"{place}.{index}", region, "region", regions)
        elif region in before:
            yield Problem(f"{place}.{index}", f" = '{region}', must stand in the list once")
        before.add(region)


def _latencies(document: Document) -> Iterator[Problem]:
    network = table(document, "network")
    if network.get("latency_s") is None:
        return
    rows, gateways, regions = table(network, "latency_s"), table(document, "gateways"), table(document, "regions")
    for row in rows:
        if row not in gateways:
            yield Problem(f"network.latency_s.{row}", f": no such gateway{nearest(row, gateways)}")
        for region in table(rows, row):
            if region not in regions:
                yield Problem(f"network.latency_s.{row}.{region}", f": no such region{nearest(region, regions)}")
    for gateway in gateways:
        lacking = [region for region in regions if region not in table(rows, gateway)]
        if lacking:
            what = "all regions" if len(lacking) == len(regions) else ", ".join(lacking)
            yield Problem(f"network.latency_s.{gateway}", f": missing for {what}, must be given for every region")


def _fleet(document: Document) -> Iterator[Problem]:
    """Every region has a profile, or every region has a capacity and the engine is the fluid one."""
    regions = table(document, "regions")
    fluid = [name for name in regions if table(regions, name).get("capacity") is not None]
    shared = table(document, "fleet").get("profile") is not None
    for place, pool in pool_tables(document):
        name, own = place.split(".")[1], pool.get("profile") is not None
        alone = place == f"regions.{name}"
        if name in fluid and own:
            yield Problem(place, ": has both `capacity` and `profile`, must have one of them")
        elif name not in fluid and not own and not shared:
            if alone:
                text = "neither `profile` (here or in [fleet]) nor `capacity`"
                yield Problem(place, f": has {text}, must have one of them")
            else:
                yield Problem(place, ": has no `profile`, must be given (here or in [fleet])")
        elif name not in fluid and fluid:
            yield Problem(place, f": has no `capacity` while regions.{fluid[0]} has; all or none must")
    if fluid and document.get("engine") != "fluid":
        engine = brief(document.get("engine", "auto"))
        why = f"regions.{fluid[0]} has a `capacity` instead of a profile, so there are no requests to simulate"
        yield Problem("engine", f" = '{engine}', must be 'fluid' because {why}")


def _faults(document: Document) -> Iterator[Problem]:
    regions, time = table(document, "regions"), table(document, "time")
    horizon_h = number(time, "slots") * number(time, "slot_s") / S_PER_H
    for index, fault in enumerate(entries(document, "faults")):
        place, region = f"faults.{index}", fault.get("region")
        if isinstance(region, str) and region not in regions:
            yield _unknown(f"{place}.region", region, "region", regions)
        signal, heard = fault.get("signal"), footprints.heard(document)
        if isinstance(signal, str) and signal not in heard:
            known = " or ".join((", ".join(f"'{one}'" for one in heard[:-1]), f"'{heard[-1]}'"))
            yield Problem(f"{place}.signal", f" = '{brief(signal)}', must be {known}{nearest(signal, heard)}")
        start_h, end_h = number(fault, "start_h"), number(fault, "end_h")
        if end_h <= start_h:
            yield Problem(f"{place}.end_h", f" = {end_h:g} h, must be > start_h = {start_h:g} h")
        if start_h >= horizon_h:
            rule = f"must be before the end of the horizon, {horizon_h:g} h"
            yield Problem(f"{place}.start_h", f" = {start_h:g} h, {rule}")


def _apart(document: Document) -> Iterator[Problem]:
    """Faults of the same kind in the same region do not overlap."""
    alike = defaultdict(list)
    for index, fault in enumerate(entries(document, "faults")):
        start_h, end_h = number(fault, "start_h"), number(fault, "end_h")
        if start_h < end_h:
            what = ("region", "signal", "kind")
            kind = [value if isinstance(value, str) else "" for value in map(fault.get, what)]
            kind[2] = kind[2] if kind[2] == "power_cap" else ""
            alike[tuple(kind)].append((start_h, index, end_h))
    for faults in alike.values():
        for (_, before, end_h), (start_h, index, _) in pairwise(sorted(faults)):
            if start_h < end_h:
                first, later = sorted((before, index))
                yield Problem(f"faults.{later}", f": overlaps faults.{first} of the same region; they must be apart")


def _waits(document: Document) -> Iterator[Problem]:
    """The knots of a table of waits begin at [0, 0] and go up in utilisation, to at most 1."""
    given = table(document, "objective").get("queue_wait_s")
    knots = given if isinstance(given, list | tuple) else []
    knots = [knot for knot in knots if isinstance(knot, list | tuple) and len(knot) == 2]
    pairs = [(number({"u": u}, "u"), number({"s": s}, "s")) for u, s in knots]
    if pairs and pairs[0] != (0, 0):
        yield Problem("objective.queue_wait_s.0", f" = [{pairs[0][0]:g}, {pairs[0][1]:g} s], must be [0, 0 s]")
    for index, (before, after) in enumerate(pairwise(pairs), start=1):
        if not before[0] < after[0] <= 1:
            rule = f"utilisation must be > {before[0]:g}, the one before, and <= 1"
            yield Problem(f"objective.queue_wait_s.{index}", f" = [{after[0]:g}, {after[1]:g} s], {rule}")


RULES: tuple[Callable[[Document], Iterator[Problem]], ...] = (
    _workload,
    _sessions,
    _signals,
    _slo,
    _lengths,
    _gateways,
    places.broken,
    _latencies,
    _fleet,
    pools.broken,
    footprints.broken,
    footprints.embodied,
    _faults,
    elastic.broken,
    _apart,
    _waits,
)
