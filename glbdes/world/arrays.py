"""The arrays that engines run on, and what they show to policies and sinks.

A `World` is a scenario made concrete: no names to look up, no tables, no randomness left to draw. Axes are always in
the order slot, gateway, region (`s`, `g`, `r`); where regions have several pools, r counts pools (`pools.py`). Engines
read a world and never change it. This module owns the shapes and the contract between engine, policy and sink; how a
scenario becomes a world is in `build.py`, and what the raw counters of a slot mean in joules and grams in `meter.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from glbdes.hardware import Fleet
from glbdes.hardware.step_tables import StepTables
from glbdes.signals import Signals
from glbdes.units import G_PER_KG, J_PER_KWH, NS_PER_S
from glbdes.workload import Requests
from glbdes.workload.prefixes import Prefixes
from glbdes.world.footprints import Footprint, built_in, no_further, side_by_side, with_further
from glbdes.world.outages import Outage
from glbdes.world.rows import REQUEST_DTYPE, SESSION_DTYPE
from glbdes.world.scaling import Plan, Scaling
from glbdes.world.waiting import Waiting

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

FOOTPRINTS: Final = ("carbon", "water")  # that there always are


@dataclass(frozen=True, eq=False)
class World:
    """Everything that an engine needs, and nothing that it must not see.

    `weight` is how many real requests a simulated one stands for: `slot_s` / simulated seconds per slot. Energies and
    footprints of slots are already multiplied by it; those of single requests are not.
    """

    slots: int
    slot_ns: int  # simulated length of a slot, its warm-up not counted
    slot_s: float  # the real length that it stands for
    weight: float
    clock_ns: int  # every time is a multiple of this; 1 except in tests that force ties
    fleet: Fleet
    latency_ns: Ints  # [g, r] one way
    allowed: Bools  # [g, r]
    dispatch: int  # one of `physics.DISPATCH_NAMES`, by number
    telemetry_ns: int  # 0: state-dependent rules see the present
    spill_queue: int  # requests queued beyond which spillover turns elsewhere
    timeout_ns: int  # patience in the queue, counted from the arrival at the gateway
    max_attempts: int  # dispatches of one request before it fails
    outages: tuple[Outage, ...]
    signals: Signals  # [s, r] what is true
    seen: Signals  # [s, r] what policies see: the last known value where a signal was missing
    full_attribution: bool
    demand: str  # what a policy knows of the slot's demand: truth, last or forecast
    expected_rps: Floats  # [s, g] the scenario's mean arrival rate
    capacity_rps: Floats  # [r] what a plan may use of each region
    it_kwh_per_request: Floats  # [r] expected IT energy of a request there at full batches: the fluid engine's
    carbon_usd_per_kg: float  # mu_c of the objective
    water_usd_per_l: float  # mu_w
    requests: Callable[[int], Requests]  # the requests that arrive in a slot
    price_ahead_slots: Ints | None = None  # [s] how many slots beyond this one policies know the prices of; None: 0
    equity_weight: Floats | None = None  # [k, r] of footprints in the objective's norms; None: 1
    norm: float = inf  # 1, 2 or infinity: which norm of the weighted footprints
    delay_usd_per_s: float = 0.0  # per second of a request on the network, both ways, or waiting
    waiting: Waiting | None = None  # expected, by load; None: not reckoned with
    steps: StepTables | None = None  # how replicas schedule in chunks; None: prompts first, one at a time
    assumed: tuple[str, ...] = ()  # what of the replicas nobody measured, in words
    lent: tuple[tuple[str, str], ...] = ()  # (region, signal) of each that its cloud region lends
    beyond_measurement: Floats | None = None  # [r] share of expected prompt tokens in prompts longer than any measured
    marginal_kwh: Floats | None = None  # [r] the least that a request adds to `rest_w`; None: `it_kwh_per_request`
    rest_w: Floats | None = None  # [r] of all replicas without any work, without host power; None: 0
    rest_host_w: Floats | None = None  # [r] of their hosts; None: `fleet.host_w` each
    added_kwh: Floats | None = None  # [r] the least that a request adds to replicas that are awake anyway
    classes: int = 1  # rows of a plan for each gateway: with limits, one for each SLO class (`glbdes.world.limits`)
    warmup_ns: int = 0  # simulated at the beginning of each slot, under its plan and signals, but not counted
    further: tuple[Footprint, ...] = ()  # beyond carbon and water; what they are per kWh is in the signals
    embodied_kg_per_h: Floats | None = None  # [r] of making all replicas, over their lives; None: not told
    prefixes: Prefixes | None = None  # what requests have in common; None: nothing, or nobody looks for it
    sessions: int = 0  # that requests belong to, numbered from 0; 0: none
    affinity: int = 0  # one of `physics.AFFINITY_NAMES`, by number
    by_prefix: bool = False  # is a request given to the replica that holds most of its prefix?
    active_attribution: bool = False  # do requests pay for the host of the replica that works for them?
    scaling: Scaling | None = None  # who says how many replicas are awake; None: nobody, all are (or sleep when idle)
    past: Signals | None = None  # [h, r] what policies see of the slots before the first one; None: nothing
    region_of: Ints | None = None  # [r] the region of each pool (`glbdes.world.pools`); None: every region is one
    first_of: Ints | None = None  # [r] the first pool of the same region and model; None: there are no two such
    pools_in_order: bool = False  # does a request get the first of them that has room? else the least loaded

    @property
    def footprints(self) -> tuple[Footprint, ...]:
        """All of them, [k]: carbon, water, and further ones."""
        return (*built_in(self.carbon_usd_per_kg, self.water_usd_per_l), *self.further)

    @property
    def footprint_price_usd(self) -> Floats:
        """[k, r] of a kg of carbon, a litre of water, ... in each region: mu times the region's weight."""
        mu_usd = np.array([[one.usd] for one in self.footprints])
        return mu_usd * (np.ones((len(mu_usd), self.regions)) if self.equity_weight is None else self.equity_weight)

    @property
    def flow(self) -> "World":
        """The same world as the fluid engine has it: the energy of full batches, and no idle power."""
        return replace(self, marginal_kwh=None, rest_w=None, rest_host_w=None, scaling=None)

    @property
    def planned_kwh_per_request(self) -> Floats:
        """[r] what plans reckon with for a request; a region's `base_kwh` comes on top, whatever the plan."""
        return self.it_kwh_per_request if self.marginal_kwh is None else self.marginal_kwh

    @property
    def base_kwh(self) -> Floats:
        """[r] IT energy of a whole slot without any request: replicas at rest, and their hosts."""
        host_w = self.fleet.replicas * self.fleet.host_w if self.rest_host_w is None else self.rest_host_w
        watts = host_w if self.rest_w is None else host_w + self.rest_w
        return np.asarray(watts * self.slot_s / J_PER_KWH)

    @property
    def request_dtype(self) -> np.dtype[Any]:
        """Of the records of requests."""
        return with_further(self.kernel_dtype, len(self.further))

    @property
    def kernel_dtype(self) -> np.dtype[Any]:
        """The same without further footprints."""
        return SESSION_DTYPE if self.in_sessions else REQUEST_DTYPE

    @property
    def in_sessions(self) -> bool:
        """Whether requests say which session and chain they belong to."""
        return self.sessions > 0 or self.prefixes is not None

    @property
    def history(self) -> int:
        """Slots before the first one that policies know the signals of."""
        return 0 if self.past is None else len(self.past.pue)

    @property
    def gateways(self) -> int:
        return int(self.allowed.shape[0])

    @property
    def regions(self) -> int:
        return int(self.allowed.shape[1])

    @property
    def places(self) -> int:
        """Regions, whatever pools they have."""
        return self.regions if self.region_of is None else int(self.region_of[-1]) + 1

    @property
    def period_ns(self) -> int:
        """What is simulated of a slot: its warm-up, and then what counts."""
        return self.warmup_ns + self.slot_ns

    @property
    def horizon_ns(self) -> int:
        return self.slots * self.period_ns

    def counted(self, arrival_ns: Ints) -> Bools:
        """Which requests [n] arrive in the part of their slot that counts, and not in its warm-up."""
        return np.asarray(arrival_ns % self.period_ns >= self.warmup_ns)

    def arrived_rps(self, requests: Requests) -> Floats:
        """[g] how many of a slot's `requests` arrive per second of the part that counts."""
        gateway = requests.gateway[self.counted(requests.arrival_ns)] if self.warmup_ns else requests.gateway
        return np.bincount(gateway, minlength=self.gateways) / (self.slot_ns / NS_PER_S)

    @property
    def latency_s(self) -> Floats:
        """[g, r] one way."""
        return self.latency_ns / NS_PER_S


@dataclass(frozen=True, eq=False)
class View:
    """What a policy may know when it plans a slot: this slot's signals and demand, and the past.

    Arrays are read-only copies, the policy's own. `capacity_rps` is what a plan may use; `mask[g, r]` is False where a
    gateway may not send to a region or the region is down. `past` and `past_demand_rps` end with the slot before this
    one; `past` begins with the history, if there is one, and is then longer than `slot`. Footprints are the metered
    ones so far.
    """

    slot: int
    slots: int
    slot_s: float
    demand_rps: Floats  # [g]
    capacity_rps: Floats  # [r]
    it_kwh_per_request: Floats  # [r] what one more request adds
    base_kwh: Floats  # [r] IT energy of the slot without any request; 0 where the region is down
    price_usd_per_kwh: Floats  # [r]
    carbon_g_per_kwh: Floats  # [r]
    wue_l_per_kwh: Floats  # [r]
    ewif_l_per_kwh: Floats  # [r]
    pue: Floats  # [r]
    latency_s: Floats  # [g, r] one way
    mask: Bools  # [g, r]
    past: Signals  # [history + slot, r]
    past_demand_rps: Floats  # [slot, g]
    cost_usd: Floats  # [r] so far
    carbon_kg: Floats  # [r] so far
    water_l: Floats  # [r] so far
    carbon_usd_per_kg: float  # mu_c
    water_usd_per_l: float  # mu_w
    price_ahead_usd_per_kwh: Floats  # [n, r] of the n slots after this one; n = 0 unless prices are known ahead
    footprint_price_usd: Floats  # [k, r] of a kg of carbon, of a litre of water, ...: mu times the region's weight
    norm: float  # 1, 2 or infinity: which norm of the regions' priced footprints is to be small
    delay_usd_per_s: float  # price of a second on the network, both ways, or waiting; 0: delay costs nothing
    waiting: Waiting | None  # expected, by a region's load; None unless delay has a price
    footprints: tuple[str, ...] = FOOTPRINTS  # [k] what they are called: carbon, water, and what the scenario names
    further_per_kwh: Floats = field(default_factory=no_further)  # [k - 2, r] of the others, per kWh of IT energy
    further: Floats = field(default_factory=no_further)  # [k - 2, r] of the others so far
    replicas: Ints | None = None  # [r]; None: nobody says how many are awake
    awake_least: Ints | None = None  # [r] a plan's numbers must be at least these
    awake_most: Ints | None = None  # [r] and at most these
    replica_rps: Floats | None = None  # [r] what a replica that is awake should serve, at the utilisation aimed at
    awake_kwh: Floats | None = None  # [r] of a slot, that a replica draws awake and without work beyond one that sleeps
    added_kwh: Floats | None = None  # [r] what a request adds to replicas that are awake anyway
    first_of: Ints | None = (
        None  # [r] the first pool of its model and region, whose column is that of all; None: its own
    )
    region_of: Ints | None = None  # [r] the region that each pool stands in; None: r counts regions, each one pool

    @property
    def cost_usd_per_request(self) -> Floats:
        """[r] energy cost of one request in each region."""
        return self.it_kwh_per_request * self.pue * self.price_usd_per_kwh

    @property
    def carbon_kg_per_request(self) -> Floats:
        """[r] carbon of one request in each region."""
        return self.it_kwh_per_request * self.pue * self.carbon_g_per_kwh / G_PER_KG

    @property
    def water_l_per_request(self) -> Floats:
        """[r] water, on site and off site, of one request in each region."""
        return self.it_kwh_per_request * (self.wue_l_per_kwh + self.pue * self.ewif_l_per_kwh)

    @property
    def footprint_per_request(self) -> Floats:
        """[k, r] kg of carbon, litres of water, ... of one request in each region."""
        further = self.it_kwh_per_request * self.further_per_kwh if len(self.further_per_kwh) else no_further()
        return side_by_side(self.carbon_kg_per_request, self.water_l_per_request, further)

    @property
    def base_footprint(self) -> Floats:
        """[k, r] kg of carbon, litres of water, ... of the slot without any request."""
        carbon_kg = self.base_kwh * self.pue * self.carbon_g_per_kwh / G_PER_KG
        water_l = self.base_kwh * (self.wue_l_per_kwh + self.pue * self.ewif_l_per_kwh)
        further = self.base_kwh * self.further_per_kwh if len(self.further_per_kwh) else no_further()
        return side_by_side(carbon_kg, water_l, further)

    @property
    def footprint(self) -> Floats:
        """[k, r] kg of carbon, litres of water, ... so far."""
        return side_by_side(self.carbon_kg, self.water_l, self.further)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a slot turned out to be: metered, and scaled to the slot's real length; its warm-up is left out.

    Arrays are read-only copies.
    """

    slot: int
    demand_rps: Floats  # [g] what arrived
    dispatched: Ints  # [g, r] simulated requests sent, re-dispatches included
    it_kwh: Floats  # [r]
    cost_usd: Floats  # [r]
    carbon_kg: Floats  # [r]
    water_l: Floats  # [r]
    further: Floats = field(default_factory=no_further)  # [k - 2, r] of the other footprints

    @property
    def footprint(self) -> Floats:
        """[k, r] kg of carbon, litres of water, ..."""
        return side_by_side(self.carbon_kg, self.water_l, self.further)


class Policy(Protocol):
    """Any object with `plan`; `observe(outcome)` and the attribute `duals` are optional.

    `duals`, if there, maps some of `View.footprints` to the policy's present price of each region's footprint, [r],
    finite, in USD per kg, per L or per its unit; it is written to the records.
    """

    def plan(self, view: View, /) -> "Floats | Plan":
        """`weights[g, r]`: the share of gateway g's requests that region r gets; rows sum to 1, 0 outside the mask."""
        ...


@dataclass(frozen=True, eq=False)
class SlotRecord:
    """A slot as an engine hands it to a sink: the plan that held, and the raw meters. All but the last two count."""

    slot: int
    weights: Floats  # [g, r]
    demand_rps: Floats  # [g] simulated arrivals / simulated seconds
    dispatched: Ints  # [g, r]
    meters: NDArray[Any]  # METER_DTYPE [r]
    duals: dict[str, Floats]  # of the policy, after planning
    # What does not count: METER_DTYPE [r] of the warm-up and, after the last slot, of what was in flight then.
    warmup: tuple[NDArray[Any], ...] = ()
    warmup_dispatched: Ints | None = None  # [g, r]; None: nothing
    awake: Ints | None = None  # [r] replicas that were to be awake as the slot began; None: all, always


class Sink(Protocol):
    """Where an engine's records go, about in the order of simulated time."""

    def requests(self, chunk: NDArray[Any], /) -> None:
        """A chunk of ended requests, `World.request_dtype`, in an order of the engine's own; the sink may keep it."""
        ...

    def slot(self, record: SlotRecord, /) -> None:
        """A slot that has ended."""
        ...
