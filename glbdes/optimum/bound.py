"""What the objectives of runs are told against: a bound on what plans meter, or the optimum of a flow.

Of a world of requests the optimum reckons with base power and the least that each request can add (docs/model.md,
eq. 10), so that no plan within the capacities meters less, in the mean over draws. Where a price is below 0 using more
costs less: there the most that a region can draw beyond what is reckoned is taken off. Of a flow the optimum reckons as
the fluid engine meters. `doubts` are the reasons for which a bound cannot be claimed.
"""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np

from glbdes.errors import InfeasibleError
from glbdes.hardware.step_tables import StepTables
from glbdes.optimum import offline
from glbdes.units import J_PER_KWH
from glbdes.world import Floats, World


class Reference(NamedTuple):
    """What objectives are told against."""

    usd: float
    by_request: bool  # whether it is the bound of runs with requests, or the optimum of a flow
    doubts: tuple[str, ...]  # why it need not bound them


def reference(world: World, by_request: bool) -> Reference | None:
    """That of runs of `world`; None if the expected demand does not fit."""
    try:
        usd = offline.solve(world if by_request else world.flow).objective_usd
    except InfeasibleError:
        return None
    return Reference(usd - slack_usd(world), True, tuple(doubts(world))) if by_request else Reference(usd, False, ())


def slack_usd(world: World) -> float:
    """The most that slots with prices below 0 can earn by drawing more than the optimum reckons with."""
    signals = world.signals
    price_usd = (signals.pue * np.minimum(signals.price_usd_per_kwh, 0.0))[: world.slots]
    rest_w = 0.0 if world.rest_w is None else world.rest_w
    hosts_w = world.fleet.replicas * world.fleet.host_w
    host_w = 0.0 if world.rest_host_w is None else hosts_w - world.rest_host_w  # beyond what is reckoned with
    more_w = np.maximum(world.fleet.replicas * most_w(world) - rest_w + host_w, 0.0)
    return float(-(price_usd * more_w).sum() * world.slot_s / J_PER_KWH)


def most_w(world: World) -> Floats:
    """[r] the most that a replica draws: in a prompt, or in an iteration or step of any batch and context.

    An iteration's energy and time are linear in both, so their ratio is largest at an end of each.
    """
    fleet = world.fleet
    if world.steps is not None:
        limits = list(zip(fleet.profile.tolist(), fleet.max_batch.tolist(), fleet.kv_tokens.tolist(), strict=True))
        drawn = {limit: _most_of_steps(world.steps, *limit) for limit in set(limits)}
        return np.array([drawn[limit] for limit in limits])
    with np.errstate(divide="ignore", invalid="ignore"):
        seconds, joules = fleet.prefill_s[:, 1:], fleet.prefill_j[:, 1:]
        most = np.where(seconds > 0, joules / seconds, 0.0).max(axis=1, initial=0.0)[fleet.profile]
        for batch in (np.ones_like(fleet.max_batch), fleet.max_batch):
            for context in (batch, fleet.kv_tokens):
                step_s = fleet.a_s + fleet.beta_s * batch + fleet.gamma_s * context
                step_j = fleet.e0_j + fleet.e1_j * batch + fleet.e2_j * context
                most = np.maximum(most, np.where(step_s > 0, step_j / step_s, 0.0))
    return np.asarray(most)


def _most_of_steps(steps: StepTables, profile: int, max_batch: int, kv_tokens: int) -> float:
    """The most W of a step of any tokens: at an end of batch, contexts, and numbers and sizes of chunks (eq. 13)."""
    tokens = np.arange(1.0, steps.budget + 1)
    most = 0.0
    for mode, full, deep, many, whole in product((0, 1), repeat=5):
        batch = np.minimum(tokens, max_batch) if full else np.zeros_like(tokens)
        chunked = tokens - batch
        context = np.maximum(kv_tokens, batch) if deep else batch
        chunks = chunked if many else np.minimum(chunked, 1.0)
        before = chunked * kv_tokens if deep else np.zeros_like(tokens)
        squares = chunked**2 if whole else chunked
        terms = np.array([np.ones_like(tokens), batch, context, batch + chunks, before, squares])
        pairs = ((steps.tokens_s, steps.modes_s, steps.each_s), (steps.tokens_j, steps.modes_j, steps.each_j))
        seconds, joules = (
            table[profile, 1:] + (np.append(modes[profile, mode], each[profile])[:, None] * terms).sum(axis=0)
            for table, modes, each in pairs
        )
        most = max(most, float((joules / seconds).max()))
    return most


def doubts(world: World) -> Iterator[str]:
    """Why runs of `world` may meter less than the optimum's value."""
    if world.outages:
        yield "regions go down, and what is lost with them is served by none"
    if world.delay_usd_per_s > 0:
        yield "delay has a price, and waiting is reckoned as expected"
    if world.prefixes is not None:
        yield "what requests find in caches takes no energy, and the bound reckons with all of it"
    if world.demand != "truth":
        yield "policies do not know the slot's demand, so plans may go beyond the capacities"


def over(usd: float, optimum_usd: float) -> float | None:
    """The gap of `usd` to the optimum, as a share of the optimum's size: positive is worse, whatever its sign."""
    return (usd - optimum_usd) / abs(optimum_usd) if optimum_usd else None
