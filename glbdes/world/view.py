"""What a policy is shown, and how it is asked: the one place where engines and policies meet.

Every engine drives its policy through a `Planner`, so that no two engines can differ in what a policy knew.
"""

import traceback
from typing import Any

import numpy as np

from glbdes.base import portable
from glbdes.errors import GlbdesError, PolicyError
from glbdes.world import meter
from glbdes.world.arrays import Bools, Floats, Outcome, Policy, SlotRecord, View, World, checked_plan, freeze


def make(
    world: World,
    slot: int,
    demand_rps: Floats,
    past_demand_rps: Floats,
    up: Bools,
    cost_usd: Floats,
    carbon_kg: Floats,
    water_l: Floats,
) -> View:
    """The view of `slot`. A gateway whose every region is down keeps its usual mask: it is owed a plan all the same."""
    mask = world.allowed & up
    isolated = ~mask.any(axis=1)
    mask[isolated] = world.allowed[isolated]
    seen = world.seen
    ahead = 0 if world.price_ahead_slots is None else int(world.price_ahead_slots[slot])
    view = View(
        slot=slot,
        slots=world.slots,
        slot_s=world.slot_s,
        demand_rps=demand_rps.copy(),
        capacity_rps=world.capacity_rps,
        it_kwh_per_request=world.it_kwh_per_request,
        price_usd_per_kwh=seen.price_usd_per_kwh[slot],
        carbon_g_per_kwh=seen.carbon_g_per_kwh[slot],
        wue_l_per_kwh=seen.wue_l_per_kwh[slot],
        ewif_l_per_kwh=seen.ewif_l_per_kwh[slot],
        pue=seen.pue[slot],
        latency_s=world.latency_s,
        mask=mask,
        past=seen.upto(slot),
        past_demand_rps=past_demand_rps,
        cost_usd=cost_usd.copy(),
        carbon_kg=carbon_kg.copy(),
        water_l=water_l.copy(),
        carbon_usd_per_kg=world.carbon_usd_per_kg,
        water_usd_per_l=world.water_usd_per_l,
        price_ahead_usd_per_kwh=seen.price_usd_per_kwh[slot + 1 : slot + 1 + ahead],
        footprint_price_usd=world.footprint_price_usd,
        norm=world.norm,
        delay_usd_per_s=world.delay_usd_per_s,
        waiting=world.waiting,
    )
    freeze(view)
    return view


def ask(policy: Policy, view: View, name: str) -> Floats:
    """The policy's plan for `view`, held to the contract. Whatever goes wrong inside the policy is a `PolicyError`."""
    return checked_plan(_guarded(policy.plan, view, name, view.slot), view.mask, name, view.slot)


def _guarded(call: Any, argument: Any, name: str, slot: int) -> Any:
    try:
        return call(argument)
    except GlbdesError:
        raise
    except Exception as error:  # a user's code may raise anything; the traceback's last frame is what helps them
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{frame.filename}:{frame.lineno}"
        raise PolicyError(f"policy '{name}', slot {slot}: {type(error).__name__}: {error} ({where})") from error


class Planner:
    """Asks one policy for a plan slot after slot and keeps what it may know: the past, and footprints so far.

    Raises `PolicyError` if the policy fails or breaks the contract.
    """

    def __init__(self, world: World, policy: Policy, name: str) -> None:
        self.world = world
        self.policy = policy
        self.name = name
        self.past_demand_rps = np.zeros((world.slots, world.gateways))
        self.cost_usd = np.zeros(world.regions)
        self.carbon_kg = np.zeros(world.regions)
        self.water_l = np.zeros(world.regions)

    def plan(self, slot: int, demand_rps: Floats, up: Bools) -> Floats:
        """Weights [g, r] for `slot`, in which `demand_rps` [g] arrives; `up` [r] says which regions serve."""
        view = make(
            self.world,
            slot,
            self._known_demand(slot, demand_rps),
            self.past_demand_rps[:slot],
            up,
            self.cost_usd,
            self.carbon_kg,
            self.water_l,
        )
        self.past_demand_rps[slot] = demand_rps
        return ask(self.policy, view, self.name)

    def _known_demand(self, slot: int, truth: Floats) -> Floats:
        if self.world.demand == "truth":
            return truth
        if self.world.demand == "last" and slot > 0:
            return np.asarray(self.past_demand_rps[slot - 1])
        return np.asarray(self.world.expected_rps[slot])

    def duals(self) -> dict[str, Floats]:
        """The policy's present prices of carbon and water [r], if it shows any."""
        shown = getattr(self.policy, "duals", None) or {}
        return {key: portable.settled(value) for key, value in shown.items()}

    def observe(self, record: SlotRecord) -> None:
        """Take in a slot that has ended, and tell the policy if it wants to know."""
        it_kwh = meter.slot_energy(self.world, record).it_kwh
        caused = meter.footprint(it_kwh, self.world.signals, record.slot)
        self.cost_usd += caused.cost_usd
        self.carbon_kg += caused.carbon_kg
        self.water_l += caused.water_l
        told = getattr(self.policy, "observe", None)
        if told is None:
            return
        outcome = Outcome(
            slot=record.slot,
            demand_rps=record.demand_rps,
            dispatched=record.dispatched,
            it_kwh=it_kwh,
            cost_usd=caused.cost_usd,
            carbon_kg=caused.carbon_kg,
            water_l=caused.water_l,
        )
        _guarded(told, outcome, self.name, record.slot)
