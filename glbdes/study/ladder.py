"""The lowest rung on which limits are kept, where it is the easier to keep them the higher one stands.

A rung is a whole number: of replicas, or of steps down in load. First quick runs of one draw say whereabouts, then
runs of several draws say where for certain. Rungs that were not asked for are taken to be easier the higher they are.
"""

from collections.abc import Callable, Sequence
from math import ceil, floor, inf, isfinite, log
from typing import Final, NamedTuple

from glbdes.study.limits import Verdict

STEEPNESS: Final = 0.02  # what a rung brings (of the logarithm of a figure over its limit), where nothing says more


class Confirmed(NamedTuple):
    """What several draws say of a rung: the verdict, and how far the worst limit is exceeded, its interval included."""

    verdict: Verdict
    over: float


Probe = Callable[[Sequence[int]], Sequence[float]]  # of each rung, how far the worst limit is exceeded: <= 1 is kept
Confirm = Callable[[int], Confirmed]


def lowest(quick: Probe, first: Probe, confirm: Confirm, start: int, least: int, most: int, stride: int) -> int | None:
    """The lowest rung of `least` to `most` that `confirm` finds met, so that the one below is not; None if none is.

    `quick` looks from `start` on, `stride` rungs at first, say where to take `first` draws, and these where to confirm.
    """
    seen = _whereabouts(quick, start, least, most, stride)
    beyond = max((k for k, over in seen.items() if over > 1), default=least - 1)
    rung = min((k for k, over in seen.items() if over <= 1 and k > beyond), default=min(beyond + 1, most))
    seen = _edge(first, rung, least, most, stride)
    steep = _steepness(seen)
    rung = min((k for k, over in seen.items() if over <= 1), default=most)
    below, above = max((k for k, over in seen.items() if over > 1 and k < rung), default=least - 1), None
    while True:
        found = confirm(rung)
        jump = min(max(_jump(found.over, steep), -2 * stride), 2 * stride)
        if found.verdict == "met":
            above, rung = rung, rung + min(jump, -1)
        else:
            below, rung = rung, rung + max(jump, 1)
        if above is None:
            if below >= most:
                return None
            rung = min(rung, most)
        elif above - below == 1:
            return above
        else:
            rung = min(max(rung, below + 1), above - 1)


def _edge(first: Probe, rung: int, least: int, most: int, stride: int) -> dict[int, float]:
    """First draws, two at a time, from `rung` on until one that keeps the limits has one next below that does not."""
    seen: dict[int, float] = {}

    def look(*rungs: int) -> None:
        new = [k for k in dict.fromkeys(rungs) if least <= k <= most and k not in seen]
        seen.update(zip(new, first(new), strict=True))

    look(rung, rung + stride if rung < most else rung - stride)
    while min(seen.values()) > 1 and max(seen) < most:
        top, stride = max(seen), 2 * stride
        look(min(top + stride, most), min(top + 2 * stride, most))
    while min(seen.values()) <= 1:
        above = min(k for k, over in seen.items() if over <= 1)
        below = max((k for k in seen if k < above), default=None)
        if below is None:
            if above == least:
                break
            look(max(above - stride, least), max(above - 2 * stride, least))
            stride *= 2
            continue
        if above - below == 1:
            break
        middle = min(max(_crossing(below, seen[below], above, seen[above]), below + 1), above - 1)
        look(middle, middle - 1 if middle - 1 > below else middle + 1 if middle + 1 < above else middle)
    return seen


def _crossing(below: int, over: float, above: int, under: float) -> int:
    """The first rung that keeps the limits, if the logarithm falls evenly from `below` to `above`."""
    if not (isfinite(over) and under > 0):
        return (below + above) // 2
    return below + ceil((above - below) * log(over) / (log(over) - log(under)))


def _whereabouts(probe: Probe, start: int, least: int, most: int, stride: int) -> dict[int, float]:
    """Quick looks, two at a time, until two rungs next to each other differ, or all that there are are alike."""
    seen: dict[int, float] = {}

    def look(*rungs: int) -> None:
        new = [rung for rung in dict.fromkeys(rungs) if least <= rung <= most and rung not in seen]
        seen.update(zip(new, probe(new), strict=True))

    look(start, min(start + stride, most))
    while min(seen.values()) > 1 and max(seen) < most:
        top, stride = max(seen), 2 * stride
        look(min(top + stride, most), min(top + 2 * stride, most))
    while min(seen.values()) <= 1:
        above = min(rung for rung, over in seen.items() if over <= 1)
        below = max((rung for rung in seen if rung < above), default=least - 1)
        gap = above - below
        if gap <= 1:
            break
        look(below + max(1, gap // 3), above - max(1, gap // 3))
    return seen


def _steepness(seen: dict[int, float]) -> float:
    """How much the logarithm falls a rung, over the two rungs around the limit; a guess where it does not fall."""
    known = sorted((rung, over) for rung, over in seen.items() if isfinite(over) and over > 0)
    pairs = [(k, a, m, b) for k, a in known for m, b in known if k < m and a > b]
    if not pairs:
        return STEEPNESS
    k, a, m, b = max(pairs, key=lambda pair: pair[2] - pair[0])
    return max(log(a / b) / (m - k), STEEPNESS / 10)


def _jump(over: float, steep: float) -> int:
    """How many rungs up bring a figure that is `over` its limit to it; down if it is below."""
    if over == inf or over <= 0:
        return 1 if over == inf else -1
    rungs = log(over) / steep
    return ceil(rungs) if rungs > 0 else -floor(-rungs)
