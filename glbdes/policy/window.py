"""What a policy expects of the present slot and of those after it: prices that are known, and forecasts."""

from typing import NamedTuple

import numpy as np

from glbdes.policy import transport
from glbdes.policy.forecast import Forecast, slots_per_day
from glbdes.units import G_PER_KG
from glbdes.world import Floats, View


class Window(NamedTuple):
    """n slots, the first of them the present one. USD per request, with footprints priced as the largest one is."""

    cost_usd: Floats  # [n, r]
    footprint_usd: Floats  # [k, n, r] carbon, water
    requests: Floats  # [n, g] in a slot


def expected(view: View, ahead: int, forecast: Forecast) -> Window:
    """The present slot and the next `ahead` ones. Energy per request, and the mask, are taken to stay as they are."""

    def series(name: str) -> Floats:
        now: Floats = getattr(view, name)
        known = np.concatenate((getattr(view.past, name), now[None]))
        return np.concatenate((now[None], forecast(known, ahead, day)))

    day = slots_per_day(view.slot_s)
    price = series("price_usd_per_kwh")
    told = view.price_ahead_usd_per_kwh[:ahead]
    price[1 : 1 + len(told)] = told
    pue, per_request = series("pue"), view.it_kwh_per_request
    carbon_kg = per_request * pue * series("carbon_g_per_kwh") / G_PER_KG
    water_l = per_request * (series("wue_l_per_kwh") + pue * series("ewif_l_per_kwh"))
    demand = np.concatenate((view.past_demand_rps, view.demand_rps[None]))
    demand = np.concatenate((view.demand_rps[None], forecast(demand, ahead, day)))
    return Window(
        cost_usd=per_request * pue * price,
        footprint_usd=np.stack((view.carbon_usd_per_kg * carbon_kg, view.water_usd_per_l * water_l)),
        requests=demand * view.slot_s,
    )


def served(price_usd: Floats, window: Window, view: View) -> Floats:
    """Requests [n, r] of each region in the plans that are optimal at `price_usd` [n, r] per request."""
    capacity = view.capacity_rps * view.slot_s
    if bool((view.mask == view.mask[0]).all()):
        return _filled(price_usd, window.requests.sum(axis=1), np.where(view.mask[0], capacity, 0.0))
    plans = [
        transport.solve(price, requests, capacity, view.mask).rate.sum(axis=0)
        for price, requests in zip(price_usd, window.requests, strict=True)
    ]
    return np.array(plans)


def _filled(price_usd: Floats, requests: Floats, capacity: Floats) -> Floats:
    """As `transport.solve` where all gateways are alike, for all slots at once: the cheapest regions first."""
    order = np.argsort(price_usd, axis=1, kind="stable")
    room = capacity[order]
    total = float(capacity.sum())
    room = room * np.maximum(requests / total, 1.0)[:, None] if total > 0 else room
    before = np.cumsum(room, axis=1) - room
    sent = np.clip(requests[:, None] - before, 0.0, room)
    found = np.empty_like(sent)
    np.put_along_axis(found, order, sent, axis=1)
    return found
