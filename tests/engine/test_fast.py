"""The compiled engine does what the SimPy engine does, bit for bit, in any world."""

import inspect
import os
import subprocess
import sys
import textwrap
from functools import cache
from importlib import import_module
from pathlib import Path

import numba
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from glbdes.base import compiled
from glbdes.engine.fast import driver as fast
from glbdes.engine.fast import further
from glbdes.engine.simpy import engine as simpy_engine
from glbdes.hardware import physics
from glbdes.units import J_PER_KWH
from tests.engine.differential import (
    FINE_TICK_NS,
    Case,
    Drawn,
    cases,
    differences,
    digest,
    fast_run,
    numbered,
    simpy_run,
    world_of,
)
from tests.worlds import Fixed, ListSink, make_fleet, make_requests, make_world

ROOT = Path(__file__).resolve().parents[2]
WORLDS = int(os.environ.get("GLBDES_WORLDS", "5_000"))

quick = settings(max_examples=1000, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])


@quick
@given(case=cases())
def test_records_are_those_of_the_simpy_engine(case: Case) -> None:
    assert differences(fast_run(case), simpy_run(case)) == []


@pytest.mark.slow
def test_records_are_those_of_the_simpy_engine_in_a_great_many_worlds() -> None:
    for seed in range(1_000_000, 1_000_000 + WORLDS):
        case = numbered(seed)
        assert differences(fast_run(case), simpy_run(case)) == [], case


def test_half_of_the_random_worlds_have_a_coarse_clock_and_every_status_occurs() -> None:
    drawn = [numbered(seed) for seed in range(200)]
    coarse = np.mean([case.tick_ns > FINE_TICK_NS for case in drawn])
    assert 0.4 < coarse < 0.6
    statuses = np.concatenate([_theirs(seed).table["status"] for seed in range(100)])
    assert set(statuses.tolist()) == set(range(len(physics.STATUS_NAMES)))


# Each row plants a fault in the SimPy engine: module, function, what it says, what it is made to say.
FAULTS = {
    "the last of equals is first": ("request", "order_key", "| tie", "| (1 << 40) - tie"),
    "weights are cut short": ("dispatch", "Dispatcher.weighted", "request.uniform *", "0.9 * request.uniform *"),
    "smooth takes less than one": ("dispatch", "Dispatcher.smooth", "-= 1.0", "-= 0.9"),
    "least loaded by index": ("dispatch", "Dispatcher.least_loaded", "min(open_", "min(sorted(open_regions) or open_"),
    "the plan by load alone": ("dispatch", "Dispatcher.plan_least_loaded", "(n + 1) / sent", "(n + 1) / 1.0"),
    "the plan forgets this one": ("dispatch", "Dispatcher.plan_least_loaded", "(n + 1)", "n"),
    "spillover at the limit": ("dispatch", "Dispatcher.spillover", "queue[first] <=", "queue[first] <"),
    "relief by queue": ("dispatch", "Dispatcher.spillover", "key=shares.__getitem__", "key=lambda r: -queue[r]"),
    "telemetry sees the present": ("dispatch", "Dispatcher.least_loaded", "if self.telemetry", "if False"),
    "telemetry sees no queue": ("dispatch", "Dispatcher.look", "region.queued()", "0"),
    "dispatch to what is down": ("dispatch", "Dispatcher.refresh", "and up[r]", ""),
    "the highest index admits": ("region", "Region.admitting", "one.held < fewest", "one.held <= fewest"),
    "no look at the cache": ("region", "Region.admitting", "and one.kv_free >= tokens", ""),
    "no cache comes back": ("replica", "Replica.release", "+= request.prompt", "+= 0 * request.prompt"),
    "one more may wait": ("region", "Region.arrive", ">= self.max_queue", "> self.max_queue"),
    "patience ends later": ("region", "Region.arrive", "self.timeout_ns <= now", "self.timeout_ns < now"),
    "a timeout moves nobody up": ("region", "Region.time_out", "self.drain(now)", "pass"),
    "the last in line is first": ("region", "Region.drain", "next(iter(", "next(reversed("),
    "newcomers pass the queue": ("region", "Region.arrive", "None if self.queue else", ""),
    "the newest prompt first": ("replica", "Replica.end_prefill", "popleft()", "pop()"),
    "chained prompts as fast": ("replica", "Replica.prefill_ns", "self.epoch_ns == self.prompted_ns", "False"),
    "a boundary is closed": ("replica", "Replica.stop_at_boundary", "end == elapsed", "False"),
    "decoding goes on": ("replica", "Replica.stop_at_boundary", "n + 1 < self.planned", "False"),
    "shared energy is free": ("replica", "Replica.bill", "self.shared_j - request.shared_at_j", "0.0"),
    "prompts are free": ("replica", "Replica.bill", "request.owed_j + joules", "joules"),
    "slots do not settle": ("replica", "Replica.settle", "self.bill(request)", "pass"),
    "the meter forgets context": ("replica", "Replica.count", "pool.e2_j", "0.0"),
    "sleep draws idle power": ("replica", "Replica.spend", "pool.sleep_w", "pool.idle_w"),
    "idle after the horizon": ("replica", "Replica.spend", "since >= pool.horizon_ns or", ""),
    "waking takes no time": ("replica", "Replica.wake", "if asleep and", "if False and"),
    "lost prompts are free": ("replica", "Replica.lose_prefill", "self.owner.charge", "(lambda *_: 0)"),
    "lost iterations are free": ("replica", "Replica.lose_iteration", "self.owner.charge", "(lambda *_: 0)"),
    "one attempt more": ("engine", "Simulation.turn_away", ">= self.world", "> self.world"),
    "back at once": ("engine", "Simulation.turn_away", "now + self.latency", "now + 0 * self.latency"),
    "the first slot's signals": ("engine", "Simulation.open_slot", "world.signals, slot)", "world.signals, 0)"),
    "another plan": ("engine", "Simulation.open_slot", "follow(self.weights,", "follow(self.weights[:, ::-1],"),
    "warm-ups end too soon": ("engine", "Simulation.slots", "+ world.warmup_ns,", "+ world.warmup_ns // 2,"),
    "host power of warm-ups is a slot's": (
        "engine",
        "Simulation.slots",
        "part(world.warmup_ns)",
        "part(world.slot_ns)",
    ),
    "packed to the emptiest": ("region", "Region.admitting", "max(below", "min(below"),
    "packed beyond what they are to be": (
        "region",
        "Region.admitting",
        "one.held < pack",
        "one.held <= pack",
    ),
    "told to sleep at work": (
        "replica",
        "Replica.go_to_sleep",
        "self.held == 0 and self.state in (IDLE, RISING)",
        "True",
    ),
    "risen replicas leave the queue": ("replica", "Replica.step", "(self.state == RISING)", "0"),
    "told to wake up, awake at once": ("replica", "Replica.stay_awake", "self.pool.wake_ns > 0", "False"),
    "told to sleep, idle when done": ("replica", "Replica.begin", "IDLE if self.wanted else ASLEEP", "IDLE"),
    "nobody wakes up for a request": ("region", "Region.enqueue", "self.awake == 0", "False"),
    "who waits is left alone": ("region", "Region.keep_awake", "max(count, 1) if self.queue else count", "count"),
    "sleepers come up awake": ("region", "Region.come_up", "IDLE if replica.wanted else ASLEEP", "IDLE"),
    "sleepers count as places": ("pools", "Alike.load", "pool.awake *", "len(pool.replicas) *"),
    "hosts at work are free": ("replica", "Replica.share_host", "host_w == 0.0", "True"),
    "hosts are paid by each": ("replica", "Replica.share_host", "self.epoch_b", "1"),
    "prompts pay their host later": ("replica", "Replica.settle", "self.state == PREFILL and", "False and"),
    "looks between plans change nothing": ("engine", "Simulation.rescaling", "self.keep_awake()", "pass"),
    "the most loaded pool": ("pools", "Alike.pool_for", "min(loads", "max(loads"),
    "the last of equal pools": ("pools", "Alike.pool_for", "min(loads", "min(reversed(list(loads))"),
    "pools that cannot hold it": ("pools", "Alike.pool_for", "if tokens <= pool.room_tokens", ""),
    "pools are never filled in order": ("pools", "Alike.pool_for", "if self.in_order", "if False"),
    "pools that wake up get requests": ("pools", "Alike.pool_for", "in COUNTS", "in COUNTS[1:]"),
    "pools asleep get requests": ("pools", "Alike.pool_for", "in COUNTS", "in COUNTS[2:]"),
    "places of one pool alone": ("pools", "Alike.load", "in self.pools)", "in self.pools[:1])"),
    "a pool asleep has a place": ("pools", "Alike.load", "pool.awake *", "max(pool.awake, 1) *"),
    "the queue of one pool alone": ("pools", "Alike.queued", "self.pools)", "self.pools[:1])"),
    "host power after the last slot": ("engine", "Simulation.run", "0 if self.world.warmup_ns else", ""),
}
# Worlds in which a rare fault is less rare.
FORCED = {
    "relief by queue": {"rule": physics.SPILLOVER, "regions": 3, "outages": 0, "max_queue": 1 << 40, "replicas": 2},
    "places of one pool alone": {"rule": physics.LEAST_LOADED, "regions": 3, "outages": 0, "pooled": True},
}
KINDS = ("replica", "timeout", "fault", "slot", "telemetry", "region arrival", "gateway arrival")
for kind in (0, 1, 2, 4, 5):  # not 3: a telemetry tick and the change of a slot do not see each other
    ranks = list(range(len(KINDS)))
    ranks[kind], ranks[kind + 1] = kind + 1, kind
    FAULTS[f"{KINDS[kind + 1]} before {KINDS[kind]}"] = ("request", "order_key", "kind + 1", f"{ranks}[kind] + 1")


@cache
def _ours(seed: int) -> ListSink:
    return fast_run(numbered(seed))


@cache
def _theirs(seed: int) -> ListSink:
    return simpy_run(numbered(seed))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_seen(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, *FAULTS[fault])
    forced = FORCED.get(fault, {})
    for seed in range(300):
        case = numbered(seed, **forced)
        try:
            found = differences(fast_run(case) if forced else _ours(seed), simpy_run(case))
        except (AssertionError, ArithmeticError, LookupError, ValueError):
            return  # the faulty engine stumbled
        if found:
            return
    pytest.fail("300 worlds did not show it")


def plant(monkeypatch: pytest.MonkeyPatch, module: str, function: str, old: str, new: str) -> None:
    """Replace `old` by `new` in the source of `function`, everywhere that the SimPy engine knows it by name."""
    home = import_module(f"glbdes.engine.simpy.{module}")
    *owner, name = function.split(".")
    holder = getattr(home, owner[0]) if owner else home
    source = textwrap.dedent(inspect.getsource(getattr(holder, name)))
    assert old in source, f"{module}.{function} does not say {old!r} any more"
    namespace: dict[str, object] = {}
    exec(compile(source.replace(old, new), f"<fault in {function}>", "exec"), vars(home), namespace)
    if owner:
        monkeypatch.setattr(holder, name, namespace[name])
        return
    for part in ("dispatch", "engine", "pools", "region", "replica", "request"):
        user = import_module(f"glbdes.engine.simpy.{part}")
        if hasattr(user, name):
            monkeypatch.setattr(user, name, namespace[name])


def test_many_replicas_have_the_records_of_the_simpy_engine() -> None:
    """So many that coming events are foreseen and sets of replicas are searched from where they begin."""
    rng = np.random.default_rng(7)
    n, slot_ns = 6000, 2_000_000_000
    requests = make_requests(
        np.sort(rng.integers(0, 2 * slot_ns, n)), rng.integers(1, 400, n), rng.integers(1, 60, n), uniform=rng.random(n)
    )
    subject = make_world(
        requests, slots=2, slot_s=2.0, regions=2, fleet=make_fleet(2, replicas=[600, 40]), latency_ns=[[0, 1_000_000]]
    )
    plan = Fixed([[0.8, 0.2]])
    ours, theirs = ListSink(), ListSink()
    fast.run(subject, plan, ours, threads=1)
    simpy_engine.run(subject, plan, theirs, policy_name="fixed")
    assert len(ours.table) == n
    assert differences(ours, theirs) == []


def test_threads_and_chunks_do_not_change_a_bit() -> None:
    for seed in range(12):
        case = numbered(seed, requests=150, regions=3, full_attribution=False)
        digests = {
            digest(fast_run(case._replace(threads=threads, chunk=chunk)))
            for threads, chunk in ((1, 1 << 17), (2, 1 << 17), (3, 7), (1, 1))
        }
        assert len(digests) == 1, case


def test_kernels_run_as_plain_python_too() -> None:
    script = """
        import warnings; warnings.simplefilter("error")
        from tests.engine.differential import differences, fast_run, numbered, simpy_run
        for seed in range(8):
            case = numbered(seed, requests=60)
            assert differences(fast_run(case), simpy_run(case)) == [], case
    """
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_kernels_count_no_references(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for rule in (physics.WEIGHTED, physics.LEAST_LOADED):
        fast_run(numbered(1, rule=rule, outages=0))
    objects = [path.read_bytes() for path in compiled.cache_folder().rglob("*.nbc")]
    assert len(objects) >= 6
    assert not any(b"NRT_incref" in code for code in objects)

    # The same look does see them in a kernel that is compiled with them.
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setitem(compiled.KERNEL, "_nrt", True)
    monkeypatch.setattr(compiled, "cache_folder", lambda: tmp_path)
    compiled.kernel(_rotate)(np.arange(3.0), 2)
    (counting,) = (path.read_bytes() for path in tmp_path.rglob("*.nbc"))
    assert b"NRT_incref" in counting


def _rotate(values, times):
    for _ in range(times):
        values = values[1:] if values[0] > 0.0 else values[:1]
    return values


def test_an_edit_of_any_source_of_the_kernels_means_another_cache(tmp_path: Path, monkeypatch) -> None:
    names = {path.name for path in compiled.sources()}
    assert {"physics.py", "units.py", "compiled.py", "state.py", "region.py", "loop.py"} <= names
    copies = []
    for path in compiled.sources():
        copies.append(tmp_path / path.name)
        copies[-1].write_bytes(path.read_bytes())
    monkeypatch.setattr(compiled, "sources", lambda: copies)
    before = compiled.cache_folder()
    for copy in copies:
        copy.write_text(copy.read_text() + "# edited\n")
        assert compiled.cache_folder() != before
        before = compiled.cache_folder()


def test_progress_ends_with_all_requests() -> None:
    case = numbered(3, requests=150, chunk=40)
    heard: list[int] = []
    fast.run(world_of(case), Drawn(case.seed), ListSink(), progress=heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == case.requests


@pytest.mark.parametrize("rule", ["mark", "open_slot", "completed"])
def test_a_fault_in_further_footprints_is_caught(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is marked; signals stay those of the first slot; what was marked is forgotten."""

    def signals_of_the_first_slot(self, state, per_kwh):
        if not self.per_j.any():
            self.per_j[:] = per_kwh.T / J_PER_KWH

    def forgetful(self, records):
        self.so_far = lambda ids: (np.zeros(len(ids)), np.zeros((len(ids), self.per_j.shape[1])))
        return completed(self, records)

    completed = further.Ledger.completed
    faults = {"mark": lambda *_: None, "open_slot": signals_of_the_first_slot, "completed": forgetful}
    monkeypatch.setattr(further.Ledger, rule, faults[rule])
    cases = (numbered(seed, slots=4, outages=0) for seed in range(60))
    found = (differences(fast_run(case), simpy_run(case)) for case in cases)
    assert any(any("further" in line for line in lines) for lines in found)
