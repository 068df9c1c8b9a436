"""What a slot's raw counters mean: kWh by kind, footprints, and what no request was charged for.

Formulas are section 5 and 6 of docs/model.md. Nothing here is per request; engines count, this module converts.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from glbdes.signals import Signals
from glbdes.units import G_PER_KG, J_PER_KWH, NS_PER_S, S_PER_H
from glbdes.world.arrays import Floats, SlotRecord, World
from glbdes.world.footprints import side_by_side


class Footprint(NamedTuple):
    """What energy caused; arrays [r]."""

    facility_kwh: Floats
    cost_usd: Floats
    carbon_kg: Floats
    water_l: Floats
    further: Floats  # [k - 2, r] of the other footprints, in their units

    @property
    def amounts(self) -> Floats:
        """[k, r] kg of carbon, litres of water, ..."""
        return side_by_side(self.carbon_kg, self.water_l, self.further)


class SlotEnergy(NamedTuple):
    """IT energy of a slot by kind, in kWh, scaled to the slot's real length; arrays [r]."""

    prefill_kwh: Floats
    decode_kwh: Floats
    idle_kwh: Floats
    sleep_kwh: Floats  # of replicas that sleep, without their hosts
    host_kwh: Floats
    working_host_kwh: Floats  # of it, of replicas at work
    attributed_kwh: Floats  # what requests were charged

    @property
    def it_kwh(self) -> Floats:
        """The region's meter."""
        return self.prefill_kwh + self.decode_kwh + self.idle_kwh + self.sleep_kwh + self.host_kwh


def footprint(it_kwh: Floats, signals: Signals, slot: int) -> Footprint:
    """Facility energy, cost, carbon, water and further footprints of `it_kwh` [r] used in `slot` (eq. 8)."""
    facility = it_kwh * signals.pue[slot]
    return Footprint(
        facility_kwh=facility,
        cost_usd=facility * signals.price_usd_per_kwh[slot],
        carbon_kg=facility * signals.carbon_g_per_kwh[slot] / G_PER_KG,
        water_l=it_kwh * signals.wue_l_per_kwh[slot] + facility * signals.ewif_l_per_kwh[slot],
        further=it_kwh * signals.further_per_kwh[slot],
    )


def embodied_kg(world: World) -> Floats:
    """[r] of a slot: what of making the replicas falls into its real length, whatever they do (section 6)."""
    if world.embodied_kg_per_h is None:
        return np.zeros(world.regions)
    return np.asarray(world.embodied_kg_per_h * (world.slot_s / S_PER_H))


def slot_energy(world: World, record: SlotRecord) -> SlotEnergy:
    """Energy by kind of a slot, from the raw meters of an engine (section 5); what does not count is left out."""
    return _energy(world, record.meters, world.slot_ns)


def warmup_energy(world: World, record: SlotRecord) -> list[SlotEnergy]:
    """The same of what does not count: of the warm-up and, after the last slot, of what was in flight then."""
    spans_ns = (world.warmup_ns, 0)  # nothing but work is metered after the horizon
    return [_energy(world, meters, span_ns) for meters, span_ns in zip(record.warmup, spans_ns, strict=False)]


def _energy(world: World, meters: NDArray[Any], span_ns: int) -> SlotEnergy:
    """Energy by kind of `meters`, METER_DTYPE [r], that ran for `span_ns`."""
    fleet = world.fleet
    less_w = fleet.host_w - fleet.host_sleep_w  # of a host whose replica sleeps
    powered_ns = fleet.replicas * span_ns - meters["down_ns"]
    host_j = fleet.host_w * (powered_ns / NS_PER_S) - less_w * (meters["asleep_ns"] / NS_PER_S)
    working_j = fleet.host_w * ((powered_ns - meters["idle_ns"]) / NS_PER_S)
    kwh = world.weight / J_PER_KWH
    return SlotEnergy(
        prefill_kwh=meters["prefill_j"] * kwh,
        decode_kwh=meters["decode_j"] * kwh,
        idle_kwh=meters["idle_j"] * kwh,
        sleep_kwh=meters["sleep_j"] * kwh,
        host_kwh=np.asarray(host_j * kwh),
        working_host_kwh=np.asarray(working_j * kwh),
        attributed_kwh=meters["attributed_j"] * kwh,
    )
