"""What a replica's work takes and costs: the closed forms of continuous batching, on bare scalars.

Every engine calls these functions and no engine repeats them. They are plain Python on floats and ints, without
NumPy, so that the SimPy engine calls them directly and a compiler can take them as they are; the order of the
floating-point operations is part of the contract (two engines must agree to the last bit).

Notation (docs/model.md, section 4): an *epoch* is a run of decode iterations with an unchanged batch of `b` requests
that starts at clock time t0 with `k0` context tokens in its first iteration. Iteration i = 0, 1, ... of the epoch has
`k0 + b*i` context tokens and takes `a + beta*b + gamma*(k0 + b*i)` seconds.
"""

from math import floor, sqrt

from glbdes.units import NS_PER_S

# The order of events at equal times (docs/model.md, section 2); within a kind by region, replica and request id.
REPLICA, TIMEOUT, FAULT, SLOT, TELEMETRY, REGION_ARRIVAL, GATEWAY_ARRIVAL, STEP = range(8)

# How a request ends.
SERVED, REJECTED, TIMED_OUT, FAILED = range(4)
STATUS_NAMES = ("served", "rejected", "timed_out", "failed")

# Dispatch rules.
WEIGHTED, SMOOTH, LEAST_LOADED, SPILLOVER, PLAN_LEAST_LOADED = range(5)
DISPATCH_NAMES = ("weighted", "smooth", "least_loaded", "spillover", "plan_least_loaded")
NO_PLAN = ("least_loaded",)  # rules that take no notice of plans
STATE_DEPENDENT = (LEAST_LOADED, SPILLOVER, PLAN_LEAST_LOADED)  # rules that look at the regions

# How long a session keeps its region.
BY_REQUEST, BY_SESSION_SLOT, BY_SESSION = range(3)
AFFINITY_NAMES = ("request", "session_slot", "session")

NEVER_NS = 1 << 62  # later than any clock time, and far enough from the end of int64 to add to one


def to_clock_ns(duration_s: float, clock_ns: int) -> int:
    """`duration_s` on the clock: the nearest multiple of `clock_ns`, and at least one tick, since work takes time."""
    ticks = floor(duration_s * NS_PER_S / clock_ns + 0.5)
    return clock_ns * ticks if ticks > 1 else clock_ns


def iterations_s(n: int, b: int, k0: int, a: float, beta: float, gamma: float) -> float:
    """Seconds that the first `n` iterations of an epoch take.

    T(n) = n*(a + beta*b + gamma*k0) + gamma*b*n*(n-1)/2        (docs/model.md, eq. 2)
    """
    return n * (a + beta * b + gamma * k0) + gamma * b * (n * (n - 1) // 2)


def iterations_end_ns(n: int, b: int, k0: int, a: float, beta: float, gamma: float, clock_ns: int) -> int:
    """Clock time from the start of an epoch to the end of its iteration `n` (0 for n = 0)."""
    if n == 0:
        return 0
    return to_clock_ns(iterations_s(n, b, k0, a, beta, gamma), clock_ns)


def iterations_ended(
    elapsed_ns: int, n_max: int, b: int, k0: int, a: float, beta: float, gamma: float, clock_ns: int
) -> int:
    """How many of an epoch's `n_max` iterations have ended `elapsed_ns` after its start (eq. 3).

    The largest n <= n_max with iterations_end_ns(n) <= elapsed_ns: the root of the quadratic T(n) = elapsed, put right
    by the rounding of the clock.
    """
    half = 0.5 * gamma * b
    linear = a + beta * b + gamma * k0 - half
    elapsed_s = elapsed_ns / NS_PER_S
    n = floor(2.0 * elapsed_s / (linear + sqrt(linear * linear + 4.0 * half * elapsed_s)))
    if n > n_max:
        n = n_max
    while n < n_max and iterations_end_ns(n + 1, b, k0, a, beta, gamma, clock_ns) <= elapsed_ns:
        n += 1
    while n > 0 and iterations_end_ns(n, b, k0, a, beta, gamma, clock_ns) > elapsed_ns:
        n -= 1
    return n


def iterations_j(n: int, b: int, k0: int, e0: float, e1: float, e2: float) -> float:
    """Joules that the first `n` iterations of an epoch cost: n*(e0 + e1*b + e2*k0) + e2*b*n*(n-1)/2 (eq. 4)."""
    return n * (e0 + e1 * b + e2 * k0) + e2 * b * (n * (n - 1) // 2)


def request_iterations_j(shared_j: float, done: int, upto: int, prompt: int, e1: float, e2: float) -> float:
    """Joules that one request pays for its own decode iterations done+1 .. upto (eq. 5).

    `shared_j` is its share of the constant term, the sum of e0/b over those iterations; its context in its own
    iteration j is prompt + j tokens.
    """
    context = (upto - done) * prompt + (upto * (upto + 1) - done * (done + 1)) // 2
    return shared_j + e1 * (upto - done) + e2 * context


def awake_until(idle_ns: int, from_ns: int, to_ns: int, sleep_after_ns: int) -> int:
    """Until when, between `from_ns` and `to_ns`, a replica with nothing to do since `idle_ns` is awake (eq. 6).

    It sleeps once it has been without work for `sleep_after_ns`.
    """
    return min(max(idle_ns + sleep_after_ns, from_ns), to_ns)


def power_j(watts: float, span_ns: int) -> float:
    """Joules that `watts` are in `span_ns`."""
    return watts * span_ns / NS_PER_S


def host_j(host_w: float, host_sleep_w: float, powered_ns: int, asleep_ns: int) -> float:
    """Joules that the hosts of replicas draw that are powered for `powered_ns`, and asleep for `asleep_ns` of it."""
    return host_w * (powered_ns / NS_PER_S) - (host_w - host_sleep_w) * (asleep_ns / NS_PER_S)


def host_share_j(host_w: float, span_ns: int, requests: int) -> float:
    """Joules of the host, at work for `requests` during `span_ns`, that each of them pays (eq. 16)."""
    return host_w * (span_ns / NS_PER_S) / requests
