"""The smallest fleet: replicas in proportion, as few as will do, and then one fewer where a region can give one."""

from collections.abc import Mapping, Sequence
from typing import Final

from glbdes.scenario.sizes import MOST_REPLICAS
from glbdes.study.search import MOST_TIMES, Fleet, Search, Step, climb, mean_over, over

ONE_FEWER: Final = "one fewer: "
TRIED: Final = 2  # regions that are asked for a replica on all draws, if their first draw gives hope


def proportional(search: Search, weights: Fleet) -> Fleet | None:
    """The smallest fleet in proportion to `weights`, replicas given one by one to whom most is due, that will do."""
    order = order_of(weights, MOST_TIMES * sum(weights.values()))
    start = sum(weights.values())

    def fleet(replicas: int) -> Fleet:
        found = dict.fromkeys(weights, 1)
        for name in order[: replicas - len(weights)]:
            found[name] += 1
        return found

    most = min(len(weights) + len(order), MOST_REPLICAS)
    rung = climb(search, fleet, start, len(weights), most, max(1, start // 5))
    return None if rung is None else fleet(rung)


def order_of(weights: Fleet, most: int) -> list[str]:
    """Whose turn it is, after one each: the largest weight / (2 replicas + 1), as seats are given by Sainte-Lague."""
    have, order = dict.fromkeys(weights, 1), []
    for _ in range(most - len(weights)):
        due = max(have, key=lambda name: weights[name] / (2 * have[name] + 1))
        have[due] += 1
        order.append(due)
    return order


def trimmed(search: Search, fleet: Fleet) -> tuple[Fleet, tuple[Step, ...]]:
    """`fleet`, which is met, less what single regions can give, and what giving one more comes to in each region."""
    while True:
        less = {name: {**fleet, name: fleet[name] - 1} for name in fleet if fleet[name] > 1}
        giver = _giver(search, less, sorted(less, key=lambda name: search.utilisation(fleet, name)))
        if giver is None:
            steps = search.race([ONE_FEWER + name for name in less], [*less.values()])
            met = {name: over(step) for name, step in zip(less, steps, strict=True) if step.verdict == "met"}
            if not met:
                return fleet, tuple(steps)
            giver = min(met, key=lambda name: met[name])
        fleet = less[giver]


def _giver(search: Search, less: Mapping[str, Fleet], promising: Sequence[str]) -> str | None:
    """A region that can give a replica and so leave one of the fleets `less`; None if no hopeful one can.

    Hopeful are those whose first draw keeps the limits, the best `TRIED` of them: among as many of the most `promising`
    regions, and among all if none of these can.
    """
    first: dict[str, Step] = {}
    tried: set[str] = set()
    for names in (promising[:TRIED], [*less]):
        new = [name for name in names if name not in first]
        steps = search.ask([ONE_FEWER + name for name in new], [less[name] for name in new], 1)
        first |= dict(zip(new, steps, strict=True))
        hopeful = [name for name in first if mean_over(first[name]) <= 1]
        for name in sorted(hopeful, key=lambda name: mean_over(first[name]))[:TRIED]:
            if name not in tried and _met(search, ONE_FEWER + name, less[name]):
                return name
            tried.add(name)
    return None


def _met(search: Search, title: str, fleet: Fleet) -> bool:
    return search.ask([title], [fleet], search.seeds)[0].verdict == "met"
