"""Replicas awake and asleep: the table [scaling], and the rules between its values, the fleet's and those of faults."""

from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import Field

from glbdes.scenario.document import Document, Problem, entries, number, pool_tables, table
from glbdes.scenario.kinds import Model, Seconds, SomeSeconds
from glbdes.units import S_PER_H

MOST_LOOKS: Final = 10**7  # of `follow`, in all slots
ELASTIC: Final = ("follow", "planned")
Rule = Literal["always_on", "idle", "follow", "planned"]


class Scaling(Model):
    """How many replicas are awake; what each region keeps is in [fleet] and in the regions' tables."""

    rule: Rule | None = None  # None: "idle" where sleep_after_s is given, else "always_on"
    every_s: Seconds = 60.0  # follow: how often it looks
    cool_down_s: SomeSeconds = 300.0  # follow: for how long it keeps awake what was needed

    def chosen(self, sleeps: bool) -> Rule:
        """The rule, if it is known whether replicas sleep by themselves."""
        return self.rule or ("idle" if sleeps else "always_on")


Share = Annotated[float, Field(gt=0, le=1)]


def broken(document: Document) -> Iterator[Problem]:
    """What of [scaling], of the fleet and of power caps does not go together."""
    yield from _rule(document)
    yield from _replicas(document)
    yield from _faults(document)


def _rule(document: Document) -> Iterator[Problem]:
    rule = table(document, "scaling").get("rule")
    tables = [("fleet", table(document, "fleet")), *pool_tables(document)]
    sleepers = [place for place, one in tables if one.get("sleep_after_s") is not None]
    if rule == "idle" and not sleepers:
        yield Problem("scaling.rule", " = 'idle': replicas need a sleep_after_s, in [fleet] or in a region")
    if rule in ("always_on", *ELASTIC):
        for place in sleepers[:1]:
            yield Problem(f"{place}.sleep_after_s", f": given, but scaling.rule = '{rule}', must be 'idle'")
    if rule == "follow":
        yield from _looks(document)
    if rule in ELASTIC and document.get("engine") == "fluid":
        yield Problem("scaling.rule", f" = '{rule}', but engine = 'fluid' knows no replicas")


def _looks(document: Document) -> Iterator[Problem]:
    """A look takes an engine a moment, so that there is a most of them."""
    time, every_s = table(document, "time"), number({"every_s": 60.0, **table(document, "scaling")}, "every_s")
    key = "slot_s" if time.get("simulated_s_per_slot") is None else "simulated_s_per_slot"
    shown_s = number(time, "slots") * number({"slot_s": float(S_PER_H), **time}, key)
    if every_s > 0 and shown_s / every_s > MOST_LOOKS:
        rule = f"must be >= {shown_s / MOST_LOOKS:g} s, for at most {MOST_LOOKS:g} looks in all slots"
        yield Problem("scaling.every_s", f" = {every_s:g} s, {rule}")


def _replicas(document: Document) -> Iterator[Problem]:
    """No region keeps more replicas awake than it has, and no host draws more asleep than awake."""
    fleet = table(document, "fleet")
    for where, own in pool_tables(document):

        def value(key: str, own: Document = own) -> float:
            return number(own if own.get(key) is not None else fleet, key)

        replicas = 1.0 if own.get("replicas") is None and fleet.get("replicas") is None else value("replicas")
        if value("min_awake") > replicas:
            place = f"{where}.min_awake" if own.get("min_awake") is not None else "fleet.min_awake"
            rule = f"must be <= {replicas:g}, the replicas of {where.removeprefix('regions.')}"
            yield Problem(place, f" = {value('min_awake'):g}, {rule}")
        if value("host_sleep_w") > value("host_w"):
            place = f"{where}.host_sleep_w" if own.get("host_sleep_w") is not None else "fleet.host_sleep_w"
            yield Problem(place, f" = {value('host_sleep_w'):g} W, must be <= host_w = {value('host_w'):g} W")


def _faults(document: Document) -> Iterator[Problem]:
    """A power cap has a power and no signal, other kinds have none; what a fault is follows from what it has."""
    for index, fault in enumerate(entries(document, "faults")):
        place, kind, signal = f"faults.{index}", fault.get("kind"), fault.get("signal")
        if kind == "power_cap" and fault.get("max_kw") is None:
            yield Problem(f"{place}.max_kw", ": missing, must be given because kind = 'power_cap'")
        if kind != "power_cap" and fault.get("max_kw") is not None:
            yield Problem(f"{place}.kind", ": must be 'power_cap' because max_kw is given")
        if kind == "signal" and signal is None:
            yield Problem(f"{place}.signal", ": missing, must be given because kind = 'signal'")
        if kind in ("outage", "power_cap") and signal is not None:
            yield Problem(f"{place}.signal", f": given, but kind = '{kind}', must be 'signal'")
        if kind == "power_cap" and document.get("engine") == "fluid":
            yield Problem(f"{place}.kind", " = 'power_cap', but engine = 'fluid' knows no replicas")
