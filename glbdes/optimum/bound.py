"""What the objectives of runs are told against: the optimum's value, and whether it bounds what plans meter.

Of a world of requests the optimum reckons with base power and the least that each request can add (docs/model.md,
eq. 10), so that no plan within the capacities meters less, in the mean over draws: a bound. Of a flow it reckons as the
fluid engine meters, and its value is that of a plan. `doubts` are the reasons for which the first cannot be claimed.
"""

from collections.abc import Iterator
from typing import NamedTuple

from glbdes.errors import InfeasibleError
from glbdes.optimum import offline
from glbdes.world import World


class Reference(NamedTuple):
    """The optimum's objective."""

    usd: float
    by_request: bool  # whether it is a bound on runs with requests, or the optimum of a flow
    doubts: tuple[str, ...]  # why it need not bound them


def reference(world: World, by_request: bool) -> Reference | None:
    """The optimum for runs of `world`; None if the expected demand does not fit."""
    try:
        usd = offline.solve(world if by_request else world.flow).objective_usd
    except InfeasibleError:
        return None
    return Reference(usd, by_request, tuple(doubts(world)) if by_request else ())


def doubts(world: World) -> Iterator[str]:
    """Why runs of `world` may meter less than the optimum's value."""
    signals = world.signals
    if world.outages:
        yield "regions go down, and what is lost with them is served by none"
    if (signals.price_usd_per_kwh[: world.slots] < 0).any():
        yield "prices fall below 0, where using more costs less"
    if world.delay_usd_per_s > 0:
        yield "delay has a price, and waiting is reckoned as expected"
    if world.demand != "truth":
        yield "policies do not know the slot's demand, so plans may go beyond the capacities"


def over(usd: float, optimum_usd: float) -> float | None:
    """The gap of `usd` to the optimum, as a share of the optimum's size: positive is worse, whatever its sign."""
    return (usd - optimum_usd) / abs(optimum_usd) if optimum_usd else None
