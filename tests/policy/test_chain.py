"""The chain: its equations once more in loops, what it keeps to, and what it reaches on drawn signals."""

from dataclasses import replace
from math import exp, sqrt
from types import SimpleNamespace

import numpy as np
import pytest

from glbdes.engine import fluid
from glbdes.engine.fast import driver as fast
from glbdes.engine.simpy import engine as simpy_engine
from glbdes.optimum import offline
from glbdes.policy import chain
from glbdes.policy.chain import EGLBChain
from glbdes.policy.simplex import EGLBSimplex
from glbdes.signals import synthetic
from glbdes.world import World
from tests.paper import PARTIAL, objective_usd, totals
from tests.random_worlds import random_world
from tests.worlds import ListSink, make_fleet, make_requests, make_signals, make_world

MU = (1.5, 0.06)  # USD per kg and per L
NAMES = ("price_usd_per_kwh", "carbon_g_per_kwh", "wue_l_per_kwh", "ewif_l_per_kwh", "pue")


def drawn(slots: int, history: int, regions: int = 3, seed: int = 1) -> World:
    """Random signals of every hour, a gateway in each region, hosts that draw power at rest."""
    rng = np.random.default_rng(seed)
    shape = (history + slots, regions)
    low_high = ((-0.02, 0.2), (50, 700), (0.2, 3), (1, 4), (1.05, 1.5))
    columns = {name: rng.uniform(*bounds, shape) for name, bounds in zip(NAMES, low_high, strict=True)}
    every = make_signals(history + slots, regions, **columns)
    world = make_world(
        make_requests([]),
        slots=slots,
        gateways=regions,
        regions=regions,
        capacity_rps=rng.uniform(5, 15, regions),
        fleet=make_fleet(regions, host_w=rng.uniform(2e5, 8e5, regions)),
        it_kwh_per_request=rng.uniform(0.01, 0.02, regions),
        signals=every.part(slice(history, None)),
    )
    world = replace(world, expected_rps=rng.uniform(2, 6, (slots, regions)))
    return replace(world, past=every.part(slice(history)) if history else None)


def duals(world: World, policy: object) -> np.ndarray:
    """[s, k, r]"""
    sink = ListSink()
    fluid.run(world, policy, sink, policy_name="chain")
    return np.array([[record.duals["carbon"], record.duals["water"]] for record in sink.slots])


def softmax(x):
    e = [exp(value - max(x)) for value in x]
    return [value / sum(e) for value in e]


def greedy(price, demand, capacity):
    loads = [0.0] * len(price)
    for r in sorted(range(len(price)), key=lambda r: price[r]):
        loads[r] = min(demand - sum(loads), capacity[r])
    return loads


def in_loops(world: World, step=9.0, damping=0.06, forget=60.0, most=1440, share=0.0) -> np.ndarray:
    """(l), (s) and (c) of the module, a number at a time; prices known ahead included. Duals [s, k, r]."""
    every = world.seen.after(world.past)
    history, slots, regions, kinds = world.history, world.slots, world.regions, 2
    cost = every.pue * every.price_usd_per_kwh
    b = [MU[0] * every.pue * every.carbon_g_per_kwh / 1000]
    b.append(MU[1] * (every.wue_l_per_kwh + every.pue * every.ewif_l_per_kwh))
    it, rest, capacity = world.it_kwh_per_request, world.base_kwh, world.capacity_rps * 3600
    demand = world.expected_rps.sum(axis=1) * 3600
    total_usd, squares, gamma = np.zeros((kinds, regions)), np.zeros(kinds), np.full((kinds, regions), 1 / regions)
    shown = []

    def caused(multipliers, kwh_usd, kwh_b, asked):
        price = [
            it[r] * (kwh_usd[r] + sum(multipliers[k][r] * kwh_b[k][r] for k in range(kinds))) for r in range(regions)
        ]
        loads = greedy(price, asked, capacity)
        return np.array([[kwh_b[k][r] * (rest[r] + it[r] * loads[r]) for r in range(regions)] for k in range(kinds)])

    for t in range(slots):
        now, left = history + t, slots - t
        n = min((now + 1) // 24 * 24, most)
        told = 0 if world.price_ahead_slots is None else min(int(world.price_ahead_slots[t]), left - 1)
        asked = [np.mean([demand[s] for s in range(t + 1) if s % 24 == hour] or [-1]) for hour in range(24)]
        # Of a time of the day not seen yet: the mean of all slots so far, which then are less than a day.
        asked = [np.mean(demand[: t + 1]) if value < 0 else value for value in asked]
        parts = [(1.0, cost[now], [b[k][now] for k in range(kinds)], demand[t])]
        for j in range(1, told + 1):
            like = now - 24 + 1 + (j - 1) % 24 if now >= 23 else (j - 1) % (now + 1)
            known_usd = every.pue[like] * every.price_usd_per_kwh[now + j]
            parts.append((1.0, known_usd, [b[k][like] for k in range(kinds)], asked[(t + j) % 24]))
        for j in range(1, n + 1) if left - 1 > told else ():
            f = (left - 1 - told) / n
            fade = exp(-(told + j * f) / forget)
            past, day = slice(now + 1 - n, now + 1), slice(now - 23, now + 1)

            def blended(series, j=j, n=n, fade=fade, past=past, day=day, now=now):
                return series[now - n + j] + fade * (series[day].mean(axis=0) - series[past].mean(axis=0))

            footprints = [np.maximum(blended(b[k]), 0) for k in range(kinds)]
            parts.append((f, blended(cost), footprints, asked[(t + j) % 24]))
        found = [(w, caused(gamma, *rest_of)) for w, *rest_of in parts]
        wanted = np.zeros((kinds, regions))
        mixed = np.zeros((kinds, regions))
        for k in range(kinds):
            total = squares[k] + sum(w * max(g[k]) ** 2 for w, g in found)
            eta = step / left / sqrt(total / slots)
            wanted[k] = softmax([eta * (total_usd[k][r] + sum(w * g[k][r] for w, g in found)) for r in range(regions)])
            eta = 0.5 * sqrt(slots / left) / sqrt(squares[k]) if squares[k] else 0.0
            mixed[k] = softmax(eta * total_usd[k])
        gamma = (1 - damping) * gamma + damping * wanted
        used = (1 - share) * gamma + share * mixed
        shown.append(used * np.array(MU)[:, None])
        real = caused(used, *parts[0][1:])
        total_usd += real
        squares += real.max(axis=1) ** 2
    return np.array(shown)


@pytest.mark.parametrize(
    ("history", "ahead", "arguments"),
    [
        (50, False, {}),
        (0, False, {"share": 0.3}),
        (50, True, {"step": 4.0, "damping": 0.3, "forget": 10.0}),
        (0, True, {}),
        (80, False, {"most": 48}),
    ],
)
def test_multipliers_are_those_of_the_equations_written_in_loops(history, ahead, arguments):
    world = drawn(40, history)
    if ahead:
        world = replace(world, price_ahead_slots=np.minimum(5 + np.arange(40) % 24, 39 - np.arange(40)))
    names = {"forget": "forget_h", "most": "past_h", "share": "simplex"}
    made = EGLBChain(**{names.get(name, name): value for name, value in arguments.items()})
    np.testing.assert_allclose(duals(world, made), in_loops(world, **arguments), rtol=1e-7)


@pytest.mark.parametrize("feedback", ["planned", "metered"])
@pytest.mark.parametrize("masked", [False, True])
def test_multipliers_stay_on_the_simplex_whatever_is_known(masked, feedback):
    world = drawn(10, 60, regions=10)
    world = replace(world, allowed=PARTIAL) if masked else world
    found = duals(world, EGLBChain(feedback=feedback)) / np.array(MU)[None, :, None]
    assert found.min() >= 0
    np.testing.assert_allclose(found.sum(axis=2), 1, atol=1e-10)


def test_planned_feedback_is_metered_feedback_where_all_goes_as_planned():
    world = drawn(30, 30)
    planned, metered = (duals(world, EGLBChain(feedback=name)) for name in ("planned", "metered"))
    np.testing.assert_allclose(planned, metered, rtol=1e-9)


def test_nothing_beyond_past_h_counts():
    world = drawn(20, 100)
    short = replace(world, past=world.past.part(slice(100 - 47, None)))
    found = [duals(one, EGLBChain(past_h=48.0)) for one in (world, short)]
    np.testing.assert_array_equal(*found)
    assert (found[0] != duals(world, EGLBChain())).any()


@pytest.mark.parametrize("n", [24, 1440, 720])
def test_where_gateways_differ_every_slot_of_the_past_plays_in_its_turn_and_every_time_of_the_day(n):
    seen: set[int] = set()
    for slot in range(200):
        played = chain._played(SimpleNamespace(mask=PARTIAL, slot_s=3600.0, slot=slot), n)
        assert len(played) <= chain.MOST_APART
        assert len(set((played % 24).tolist())) == min(24, len(played))
        seen |= set(played.tolist())
    assert seen == set(range(n))


def synthetic_world(seed: int, slots: int, history: int) -> World:
    """Ten regions of 1 MW on an unmatched draw of signals and load."""
    table = synthetic.signals(seed, history + slots, matched=False)
    names = list(dict.fromkeys(table.region))
    columns = {name: np.stack([table.loc[table.region == one, name] for one in names], axis=1) for name in NAMES}
    load = synthetic.load(seed, history + slots, matched=False).load.to_numpy()[history:, None]
    every = make_signals(history + slots, len(names), **columns)
    signals = every.part(slice(history, None))
    world = replace(
        drawn(slots, 0, len(names)),
        signals=signals,
        seen=signals,
        expected_rps=np.tile(load, (1, len(names))),
        capacity_rps=np.ones(len(names)),
        it_kwh_per_request=np.full(len(names), 1000 / 3600),
        fleet=make_fleet(len(names), host_w=0.0),
    )
    return replace(world, past=every.part(slice(history)))


def over_optimum(world: World, policy: object) -> float:
    best = offline.solve(world).objective_usd
    return objective_usd(totals(world, policy)) / best - 1


@pytest.mark.parametrize(
    ("seeds", "slots"), [((300, 301), 240), pytest.param(range(310, 322), 480, marks=pytest.mark.slow)]
)
def test_with_two_weeks_of_history_it_is_nearer_the_optimum_and_without_not_farther(seeds, slots):
    gaps = []
    for seed in seeds:
        world = synthetic_world(seed, slots, 336)
        bare = replace(world, past=None)
        gaps.append(
            [over_optimum(bare, EGLBSimplex()), over_optimum(bare, EGLBChain()), over_optimum(world, EGLBChain())]
        )
    simplex, without, with_history = np.mean(gaps, axis=0)
    assert without <= simplex
    assert with_history < 0.9 * simplex


def test_request_level_engines_agree_on_it():
    for world in [world for world in map(random_world, range(40)) if world.slots > 2][:4]:
        rng = np.random.default_rng(world.slots)
        past = world.seen
        while len(past.pue) < 30:
            past = past.after(past)
        past = replace(past, **{key: rng.uniform(1, 2, past.pue.shape) for key in ("price_usd_per_kwh", "pue")})
        sinks = ListSink(), ListSink()
        for run, sink in zip((simpy_engine.run, fast.run), sinks, strict=True):
            run(replace(world, past=past), EGLBChain(), sink, policy_name="chain")
        assert sinks[0].table.tobytes() == sinks[1].table.tobytes()
        for one, other in zip(*(sink.slots for sink in sinks), strict=True):
            assert one.weights.tobytes() == other.weights.tobytes()
            assert one.duals["carbon"].tobytes() == other.duals["carbon"].tobytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"step": 0.0}, "step = 0.0, must be > 0"),
        ({"damping": 0.0}, "damping = 0.0, must be > 0 and <= 1"),
        ({"damping": 1.1}, "damping = 1.1, must be > 0 and <= 1"),
        ({"forget_h": 0.0}, "forget_h = 0.0 h, must be > 0"),
        ({"past_h": 23.0}, "past_h = 23.0 h, must be >= 24"),
        ({"simplex": 1.5}, "simplex = 1.5, must be >= 0 and <= 1"),
        ({"feedback": "none"}, "feedback = 'none', must be one of planned, metered"),
    ],
)
def test_arguments_out_of_range_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        EGLBChain(**arguments)
