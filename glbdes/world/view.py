"""What a policy is shown, and how it is asked: the one place where engines and policies meet.

Every engine drives its policy through a `Planner`, so that no two engines can differ in what a policy knew.
"""

from collections.abc import Callable
from dataclasses import fields
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from glbdes.errors import PolicyError
from glbdes.signals import Signals
from glbdes.world import awake, guard, meter
from glbdes.world.answers import checked_awake, checked_duals, checked_plan
from glbdes.world.arrays import (
    Bools,
    Floats,
    Ints,
    Outcome,
    Policy,
    SlotRecord,
    View,
    World,
)
from glbdes.world.scaling import PLANNED, Plan
from glbdes.world.waiting import Waiting

Kind = TypeVar("Kind", bound=np.generic)

_SIGNALS = tuple(field.name for field in fields(Signals))


class Shown:
    """A policy's own copies of a world: of what stays as it is, and of the past as it comes.

    Read-only arrays can be made writable, and lead to those that they are parts of. What is shown here leads nowhere
    else: not to what the engine computes with or writes, and not to the future.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._history = world.history
        self.past = Signals(*(np.zeros_like(getattr(world.seen, name)) for name in _SIGNALS)).after(world.past)
        self.past_demand_rps = np.zeros((world.slots, world.gateways))
        self._told = 0  # slots of `past` so far, those of the history not counted
        self._capacity_rps = _own(world.capacity_rps)
        self._it_kwh_per_request, self._base_kwh = map(_own, awake.shown_kwh(world))
        self._latency_s = _own(world.latency_s)
        self._footprint_price_usd = _own(world.footprint_price_usd)
        self._footprints = tuple(one.name for one in world.footprints)
        self._waiting = None if world.waiting is None else Waiting(*map(_own, world.waiting))

    def view(
        self,
        slot: int,
        demand_rps: Floats,
        up: Bools,
        cost_usd: Floats,
        carbon_kg: Floats,
        water_l: Floats,
        further: Floats | None = None,
    ) -> View:
        """The view of `slot`, after all before it. A gateway whose every region is down keeps its usual mask: it is
        owed a plan all the same."""
        world, seen = self.world, self.world.seen
        mask = world.allowed & up
        isolated = ~mask.any(axis=1)
        mask[isolated] = world.allowed[isolated]
        ahead = 0 if world.price_ahead_slots is None else int(world.price_ahead_slots[slot])
        past_demand_rps = self.past_demand_rps[:slot]
        past_demand_rps.setflags(write=False)
        return View(
            slot=slot,
            slots=world.slots,
            slot_s=world.slot_s,
            demand_rps=_own(demand_rps),
            capacity_rps=self._capacity(slot),
            it_kwh_per_request=self._it_kwh_per_request,
            base_kwh=_own(self._base_kwh * up),
            price_usd_per_kwh=_own(seen.price_usd_per_kwh[slot]),
            carbon_g_per_kwh=_own(seen.carbon_g_per_kwh[slot]),
            wue_l_per_kwh=_own(seen.wue_l_per_kwh[slot]),
            ewif_l_per_kwh=_own(seen.ewif_l_per_kwh[slot]),
            pue=_own(seen.pue[slot]),
            latency_s=self._latency_s,
            mask=_own(mask),
            past=self._past(slot),
            past_demand_rps=past_demand_rps,
            cost_usd=_own(cost_usd),
            carbon_kg=_own(carbon_kg),
            water_l=_own(water_l),
            carbon_usd_per_kg=world.carbon_usd_per_kg,
            water_usd_per_l=world.water_usd_per_l,
            price_ahead_usd_per_kwh=_own(seen.price_usd_per_kwh[slot + 1 : slot + 1 + ahead]),
            footprint_price_usd=self._footprint_price_usd,
            norm=world.norm,
            delay_usd_per_s=world.delay_usd_per_s,
            waiting=self._waiting,
            footprints=self._footprints,
            further_per_kwh=_own(seen.further_per_kwh[slot]),
            further=_own(np.zeros((len(world.further), world.regions)) if further is None else further),
            region_of=None if world.region_of is None else _own(world.region_of),
            **self._awake(slot),
        )

    def _capacity(self, slot: int) -> Floats:
        """[r] what a plan may use in `slot`, of the replicas that may be awake all through it."""
        scaling = self.world.scaling
        if scaling is None or not scaling.caps:
            return self._capacity_rps
        return _own(self._capacity_rps * awake.allowed(self.world, scaling, slot))

    def _awake(self, slot: int) -> dict[str, Any]:
        """What the view says of replicas awake and asleep, where plans say how many there are."""
        world, scaling = self.world, self.world.scaling
        if scaling is None or scaling.rule != PLANNED:
            return {}
        most = scaling.most(world.fleet.replicas, slot, world.period_ns)
        return {
            "replicas": _own(world.fleet.replicas),
            "awake_least": _own(np.minimum(scaling.least, most)),
            "awake_most": _own(most),
            "replica_rps": _own(scaling.aimed_rps),
            "awake_kwh": _own(awake.awake_kwh(world)),
            "first_of": None if world.first_of is None else _own(world.first_of),
            "added_kwh": None if world.added_kwh is None else _own(world.added_kwh),
        }

    def _past(self, slot: int) -> Signals:
        """What was seen in the slots before `slot`, and before the first."""
        history, told = self._history, self._told
        self._told = slot
        parts = []
        for name in _SIGNALS:
            past = getattr(self.past, name)
            past[history + told : history + slot] = getattr(self.world.seen, name)[told:slot]
            parts.append(past[: history + slot])
            parts[-1].setflags(write=False)
        return Signals(*parts)


def _own(array: NDArray[Kind]) -> NDArray[Kind]:
    """A read-only copy."""
    copy = array.copy()
    copy.setflags(write=False)
    return copy


class Answer(NamedTuple):
    """What a policy says, held to the contract and copied."""

    weights: Floats  # [g, r]
    awake: Ints | None  # [r]; None: it does not say, or need not
    duals: dict[str, Floats]


def ask(policy: Policy, view: View, name: str) -> Answer:
    """The policy's plan for `view` and the duals that it then shows.

    Raises `PolicyError` for whatever goes wrong inside the policy, and for what breaks the contract.
    """
    told = f"policy '{name}', slot {view.slot}"
    mask = view.mask.copy()  # whatever becomes of the view, the plan is held to this one
    limits = None if view.awake_least is None or view.awake_most is None else (+view.awake_least, +view.awake_most)
    return guard.call(told, _answer, policy, view, mask, view.footprints, limits)


def _answer(
    policy: Policy, view: View, mask: Bools, footprints: tuple[str, ...], limits: tuple[Ints, Ints] | None
) -> Answer:
    given: object = guard.ran(policy.plan(view), "plan()")
    awake = None
    if type(given) is Plan:
        if limits is not None and given.awake is not None:
            awake = checked_awake(given.awake, *limits)
        given = given.weights
    weights = checked_plan(given, mask)
    return Answer(weights, awake, checked_duals(_optional(policy, "duals"), mask.shape[1], footprints))


def _optional(policy: Policy, name: str) -> Any:
    """What the policy has under `name`; None if it has none. One that is there and cannot be had is an error."""
    try:
        return getattr(policy, name)
    except AttributeError as error:
        if any(name in vars(kind) for kind in type(policy).__mro__):
            raise PolicyError(f"its {name} cannot be had: {type(error).__name__}: {error}") from error
        return None


def observer(policy: Policy, name: str) -> Callable[[Outcome], None] | None:
    """How to tell the policy what a slot turned out to be; None if it does not want to know.

    Raises `PolicyError` for whatever goes wrong inside the policy, now and whenever it is told.
    """
    observe = guard.call(f"policy '{name}'", _optional, policy, "observe")
    if observe is None:
        return None
    return lambda outcome: guard.call(f"policy '{name}', slot {outcome.slot}", _told, observe, outcome)


def _told(observe: Callable[[Outcome], object], outcome: Outcome) -> None:
    guard.ran(observe(outcome), "observe()")


class Planner:
    """Asks one policy for a plan slot after slot and keeps what it may know: the past, and footprints so far.

    Raises `PolicyError` if the policy fails or breaks the contract.
    """

    def __init__(self, world: World, policy: Policy, name: str) -> None:
        self.world = world
        self.policy = policy
        self.name = name
        self.shown = Shown(world)
        self.last_demand_rps = np.zeros(world.gateways)
        self.demand_rps = np.zeros(world.gateways)  # [g] that the last plan was made for
        self.cost_usd = np.zeros(world.regions)
        self.carbon_kg = np.zeros(world.regions)
        self.water_l = np.zeros(world.regions)
        self.further = np.zeros((len(world.further), world.regions))
        self.awake: Ints | None = None  # [r] replicas that the last plan wants awake, if it says
        self._duals: dict[str, Floats] = {}
        self._tell = observer(policy, name)

    def plan(self, slot: int, demand_rps: Floats, up: Bools) -> Floats:
        """Weights [g, r] for `slot`, in which `demand_rps` [g] arrives; `up` [r] says which regions serve."""
        self.demand_rps = self._known_demand(slot, demand_rps)
        view = self.shown.view(slot, self.demand_rps, up, self.cost_usd, self.carbon_kg, self.water_l, self.further)
        weights, self.awake, self._duals = ask(self.policy, view, self.name)
        self.last_demand_rps = demand_rps
        self.shown.past_demand_rps[slot] = demand_rps
        return weights

    def _known_demand(self, slot: int, truth: Floats) -> Floats:
        if self.world.demand == "truth":
            return truth
        if self.world.demand == "last" and slot > 0:
            return self.last_demand_rps
        return np.asarray(self.world.expected_rps[slot])

    def duals(self) -> dict[str, Floats]:
        """The policy's prices of footprints [r] when it planned last, if it shows any."""
        return self._duals

    def observe(self, record: SlotRecord) -> None:
        """Take in a slot that has ended, and tell the policy if it wants to know."""
        it_kwh = meter.slot_energy(self.world, record).it_kwh
        caused = meter.footprint(it_kwh, self.world.signals, record.slot)
        self.cost_usd += caused.cost_usd
        self.carbon_kg += caused.carbon_kg
        self.water_l += caused.water_l
        self.further += caused.further
        if self._tell is not None:
            self._tell(
                Outcome(
                    slot=record.slot,
                    demand_rps=_own(record.demand_rps),
                    dispatched=_own(record.dispatched),
                    it_kwh=_own(it_kwh),
                    cost_usd=_own(caused.cost_usd),
                    carbon_kg=_own(caused.carbon_kg),
                    water_l=_own(caused.water_l),
                    further=_own(caused.further),
                )
            )
