"""The regions' pools of replicas as arrays, with what each region can do and what a request takes there.

A key that neither a region nor [fleet] gives is the profile's. Regions with a `capacity` in MW have no replicas.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from glbdes.errors import ScenarioError
from glbdes.hardware import chunks, profile, step_rates
from glbdes.hardware.chunked import Chunked
from glbdes.hardware.clock import span_ns, span_or_never_ns
from glbdes.hardware.physics import NEVER_NS
from glbdes.hardware.profile import Profile
from glbdes.hardware.step_tables import StepTables
from glbdes.scenario.model import Region, Serving
from glbdes.scenario.pools import Pool
from glbdes.units import J_PER_KWH, KWH_PER_MWH, S_PER_H

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Rates = tuple[Callable[..., float], Callable[..., float], Callable[..., float]]  # of a kind of replica, by batch
Value = TypeVar("Value", int, float)


class Fleet(NamedTuple):
    """Replicas and queues of each region, as arrays [r] (prefill tables [profile, tokens])."""

    replicas: Ints
    max_batch: Ints  # requests that one replica holds at a time
    kv_tokens: Ints  # KV-cache room of one replica, tokens
    max_queue: Ints  # requests that may wait in the region's queue
    a_s: Floats  # iteration time: a + beta*batch + gamma*context
    beta_s: Floats
    gamma_s: Floats
    e0_j: Floats  # iteration energy: e0 + e1*batch + e2*context
    e1_j: Floats
    e2_j: Floats
    idle_w: Floats
    sleep_w: Floats
    host_w: Floats
    host_sleep_w: Floats  # of the host of a sleeping replica
    sleep_after_ns: Ints  # NEVER_NS: replicas do not sleep by themselves
    wake_ns: Ints
    pack: Ints  # requests up to which a replica is filled before the next; 0: the one with the fewest comes first
    profile: Ints  # row of the prefill tables
    prefill_s: Floats  # [profile, tokens]
    chained_s: Floats  # [profile, tokens] the same of a prompt that begins where another ended
    prefill_j: Floats  # [profile, tokens]

    @property
    def awake_w(self) -> Floats:
        """[r] what a replica draws, awake and without work, beyond what it draws asleep; with its host."""
        return np.asarray(self.idle_w + self.host_w - self.sleep_w - self.host_sleep_w)


class Service(NamedTuple):
    """What regions can do and what it takes; arrays [r]."""

    fleet: Fleet
    capacity_rps: Floats  # of all replicas, busy all the time
    it_kwh_per_request: Floats  # at full batches, without idle and host power: what the fluid model charges
    marginal_kwh: Floats  # the least that a request adds to `rest_w`
    rest_w: Floats  # of all replicas without any work, without host power
    rest_host_w: Floats  # of the hosts of all replicas without any work
    added_kwh: Floats  # the least that a request adds to replicas that are awake anyway
    full_w: Floats  # of a replica at full batches, without its host
    servers: Ints | None  # requests that all replicas serve at a time; None: there are no replicas
    beyond_measurement: Floats | None  # share of prompt tokens in prompts that are longer than any measured; or None
    assumed: tuple[str, ...] = ()  # what was not measured, a line a profile
    steps: StepTables | None = None  # how replicas schedule in chunks; None: prompts first


def replicas(
    shared: Pool,
    given: Mapping[str, Pool],
    mix: tuple[Ints, Ints],
    longest: int,
    clock_ns: int,
    folder: Path | None = None,
    serving: Serving | None = None,
    sleepers: Collection[str] = (),
) -> Service:
    """Pools of replicas, by name: the keys `given` for each, and those of `shared` for what they do not say.

    `mix` : (prompt, output) tokens of typical requests, int[n] each; `longest` : tokens of the longest that can come.
    `sleepers` : pools whose replicas may be told to sleep.

    Raises `ProfileError` for profiles that are missing or wrong, `ScenarioError` for batches that nobody measured and
    for replicas that cannot schedule in chunks as they should.
    """
    pools = {name: _pool(shared, own) for name, own in given.items()}
    profiles = dict.fromkeys(pool.profile for pool in pools.values() if pool.profile is not None)
    loaded = {name: profile.load(name, folder) for name in profiles}
    measured = [loaded[pool.profile or ""] for pool in pools.values()]
    _check_batches(pools, measured)
    fleet = _fleet(list(zip(pools.values(), measured, strict=True)), list(loaded.values()), clock_ns, longest)
    fleet = fleet._replace(pack=_packed(fleet, serving))
    prompt, output = mix
    fits = np.maximum(fleet.kv_tokens / np.mean(prompt + output), 1).astype(np.int64)  # requests of mean size
    most = np.minimum(fleet.max_batch, fits)
    beyond = np.array([prompt[prompt > one.prefill.tokens[-1]].sum() / prompt.sum() for one in measured])
    rest_w, rest_host_w = _rests(fleet, np.array([name in sleepers for name in pools]))
    kinds: Sequence[Profile | Chunked] = measured
    rates: Rates = (profile.capacity_rps, profile.it_j_per_request, profile.marginal_j)
    steps: StepTables | None = None
    budget: tuple[int, ...] = ()
    if serving is not None and serving.scheduler == "chunked":
        kinds = chunks.parts(pools, measured, fleet, serving, longest)
        rates = (step_rates.capacity_rps, step_rates.it_j_per_request, step_rates.marginal_j)
        steps, budget = chunks.tables(loaded.values(), serving), (serving.max_batched_tokens,)
    can, takes, adds = rates
    rps = _each(lambda one, batch: can(one, prompt, output, batch, *budget), kinds, most.tolist())
    joules = _each(lambda one, batch: takes(one, prompt, output, batch, *budget), kinds, most.tolist())

    def marginal(rests_w: Floats) -> list[float]:
        return _each(
            lambda one, batch, rest_w: adds(one, prompt, output, batch, *budget, rest_w),
            kinds,
            fleet.max_batch.tolist(),
            rests_w.tolist(),
        )

    return Service(
        fleet=fleet,
        capacity_rps=np.array(rps) * fleet.replicas,
        it_kwh_per_request=np.array(joules) / J_PER_KWH,
        # A replica at work draws its host's power in full, and one that sleeps only what a host draws then.
        marginal_kwh=np.array(marginal(rest_w - (fleet.host_w - rest_host_w))) / J_PER_KWH,
        rest_w=rest_w * fleet.replicas,
        rest_host_w=rest_host_w * fleet.replicas,
        added_kwh=np.array(marginal(fleet.idle_w)) / J_PER_KWH,
        full_w=np.array(joules) * np.array(rps),
        servers=most * fleet.replicas,
        beyond_measurement=beyond,
        assumed=tuple(line for one in loaded.values() for line in profile.assumptions(one, steps is not None)),
        steps=steps,
    )


def megawatts(regions: Mapping[str, Region]) -> Service:
    """Regions as the fluid model has them: a unit of load is 1 MW, so an hour of it is 1 MWh. There are no replicas."""
    mw = [region.capacity for region in regions.values()]
    ones, none = np.ones(len(mw), dtype=np.int64), np.zeros(len(mw))
    fleet = Fleet(
        replicas=ones,
        max_batch=ones,
        kv_tokens=ones,
        max_queue=0 * ones,
        a_s=none,
        beta_s=none,
        gamma_s=none,
        e0_j=none,
        e1_j=none,
        e2_j=none,
        idle_w=none,
        sleep_w=none,
        host_w=none,
        host_sleep_w=none,
        sleep_after_ns=NEVER_NS * ones,
        wake_ns=0 * ones,
        pack=0 * ones,
        profile=0 * ones,
        prefill_s=np.zeros((1, 1)),
        chained_s=np.zeros((1, 1)),
        prefill_j=np.zeros((1, 1)),
    )
    per_request = np.full(len(mw), KWH_PER_MWH / S_PER_H)
    capacity = np.array(mw, dtype=np.float64)
    return Service(fleet, capacity, per_request, per_request, none, none, per_request, none, None, None)


def _each(rate: Callable[..., float], *columns: Sequence[Any]) -> list[float]:
    """`rate` of each row of `columns`, once for rows that are alike."""
    rows = list(zip(*columns, strict=True))
    found = {row: rate(*row) for row in dict.fromkeys(rows)}
    return [found[row] for row in rows]


def _rests(fleet: Fleet, told: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """[r] what a replica without work draws at least, and its host, where replicas are `told` [r] to sleep or not."""
    sleeps = (fleet.sleep_after_ns < NEVER_NS) | told
    rest_w = np.where(sleeps, np.minimum(fleet.sleep_w, fleet.idle_w), fleet.idle_w)
    return rest_w, np.where(sleeps, np.minimum(fleet.host_sleep_w, fleet.host_w), fleet.host_w)


def _packed(fleet: Fleet, serving: Serving | None) -> Ints:
    """Requests up to which each replica is filled before the next; 0 if they are not."""
    if serving is None or serving.replica_choice != "pack":
        return 0 * fleet.max_batch
    return np.maximum((serving.pack_to * fleet.max_batch + 1e-9).astype(np.int64), 1)


def _pool(shared: Pool, own: Pool) -> Pool:
    """The region's own keys, and those of [fleet] for what it does not say."""
    keys = Pool.model_fields
    said = {key: getattr(own, key) if getattr(own, key) is not None else getattr(shared, key) for key in keys}
    return Pool.model_construct(**said)


def _check_batches(pools: Mapping[str, Pool], profiles: Sequence[Profile]) -> None:
    """No batch may be larger than what its profile was measured with: iteration times beyond that are unknown."""
    problems = []
    for (name, pool), measured in zip(pools.items(), profiles, strict=True):
        if _first(pool.max_batch, 1) > measured.max_batch:
            rule = f"must be <= {measured.max_batch}, the largest batch that profile '{measured.name}' was measured at"
            problems.append(f"regions.{name}.max_batch = {pool.max_batch} (here or in [fleet]), {rule}")
    if problems:
        raise ScenarioError(problems)


def _fleet(pools: Sequence[tuple[Pool, Profile]], profiles: Sequence[Profile], clock_ns: int, longest: int) -> Fleet:
    """The pools of all regions as arrays; keys that neither region nor [fleet] gives are the profile's.

    Prefill tables go up to `longest`, the tokens of the longest request that there can be.
    """

    def column(values: Sequence[float | int | None], dtype: type) -> NDArray[Any]:
        return np.array(values, dtype=dtype)

    host_w = [_first(pool.host_w, measured.host_w) for pool, measured in pools]
    kv_tokens = [_first(pool.kv_tokens, measured.kv_tokens) for pool, measured in pools]
    tables = [measured.prefill_table(longest) for measured in profiles]
    chained = [measured.serving.chained_factor for measured in profiles]
    return Fleet(
        replicas=column([_first(pool.replicas, 1) for pool, _ in pools], np.int64),
        max_batch=column([_first(pool.max_batch, measured.max_batch) for pool, measured in pools], np.int64),
        kv_tokens=column(kv_tokens, np.int64),
        max_queue=column([_first(pool.max_queue, NEVER_NS) for pool, _ in pools], np.int64),
        a_s=column([measured.a_s for _, measured in pools], np.float64),
        beta_s=column([measured.beta_s for _, measured in pools], np.float64),
        gamma_s=column([measured.gamma_s for _, measured in pools], np.float64),
        e0_j=column([measured.e0_j for _, measured in pools], np.float64),
        e1_j=column([measured.e1_j for _, measured in pools], np.float64),
        e2_j=column([measured.e2_j for _, measured in pools], np.float64),
        idle_w=column([_first(pool.idle_w, measured.idle_w) for pool, measured in pools], np.float64),
        sleep_w=column([_first(pool.sleep_w, measured.sleep_w) for pool, measured in pools], np.float64),
        host_w=column(host_w, np.float64),
        host_sleep_w=column(
            [_first(own.host_sleep_w, w) for (own, _), w in zip(pools, host_w, strict=True)], np.float64
        ),
        sleep_after_ns=column([span_or_never_ns(pool.sleep_after_s, clock_ns) for pool, _ in pools], np.int64),
        wake_ns=column([span_ns(pool.wake_s or 0.0, clock_ns) for pool, _ in pools], np.int64),
        pack=column([0 for _ in pools], np.int64),
        profile=column([profiles.index(measured) for _, measured in pools], np.int64),
        prefill_s=np.stack([seconds for seconds, _ in tables]),
        chained_s=np.stack([factor * seconds for factor, (seconds, _) in zip(chained, tables, strict=True)]),
        prefill_j=np.stack([joules for _, joules in tables]),
    )


def _first(own: Value | None, otherwise: Value) -> Value:
    return otherwise if own is None else own
