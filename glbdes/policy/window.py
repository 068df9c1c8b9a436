"""What a policy expects of the present slot and of those after it: prices that are known, and forecasts."""

from collections.abc import Collection
from typing import Final, NamedTuple

import numpy as np

from glbdes.base import portable
from glbdes.policy import transport
from glbdes.policy.forecast import DAYS_SEEN, Forecast, slots_per_day
from glbdes.units import G_PER_KG
from glbdes.world import Floats, View, World

_SIGNALS: Final = ("price_usd_per_kwh", "carbon_g_per_kwh", "wue_l_per_kwh", "ewif_l_per_kwh", "pue")
KNOWABLE: Final = ("price", "carbon", "water", "footprints", "demand")  # of a future; footprints: the further ones


class Window(NamedTuple):
    """n slots, the first of them the present one. USD per request, with footprints priced as the largest one is.

    `base_usd` are the footprints of a whole slot without any request.
    """

    cost_usd: Floats  # [n, r]
    footprint_usd: Floats  # [k, n, r] carbon, water, further ones
    requests: Floats  # [n, g] in a slot
    base_usd: Floats  # [k, n, r]


def expected(view: View, ahead: int, forecast: Forecast) -> Window:
    """The present slot and the next `ahead` ones. What requests add, what is drawn without any, and the mask stay."""
    series = _series(view, ahead, forecast)
    told = view.price_ahead_usd_per_kwh[:ahead]
    series["price_usd_per_kwh"][1 : 1 + len(told)] = told
    return _window(series, view)


def foretold(view: View, truth: World, knows: Collection[str], forecast: Forecast) -> Window:
    """All slots from the present one on, with the truth of what is in `knows` (`KNOWABLE`); PUE counts as price."""
    series = _series(view, view.slots - view.slot - 1, forecast)
    future = slice(view.slot + 1, view.slots)
    names = {"price": ("price_usd_per_kwh", "pue"), "carbon": ("carbon_g_per_kwh",)}
    names |= {"water": ("wue_l_per_kwh", "ewif_l_per_kwh"), "footprints": ("further_per_kwh",)}
    for name in (name for known in knows for name in names.get(known, ()) if name in series):
        series[name][1:] = getattr(truth.signals, name)[future]
    if "demand" in knows:
        series["demand_rps"][1:] = truth.expected_rps[future]
    return _window(series, view)


def _series(view: View, ahead: int, forecast: Forecast) -> dict[str, Floats]:
    """Signals [1 + ahead, r] and demand [1 + ahead, g]: the present, then forecasts."""
    day = slots_per_day(view.slot_s)
    seen = slice(-DAYS_SEEN * day, None)  # a long past is not copied anew in each slot

    def series(past: Floats, now: Floats) -> Floats:
        return np.concatenate((now[None], forecast(np.concatenate((past[seen], now[None])), ahead, day)))

    names = (*_SIGNALS, *(["further_per_kwh"] * bool(len(view.further_per_kwh))))
    found = {name: series(getattr(view.past, name), getattr(view, name)) for name in names}
    return found | {"demand_rps": series(view.past_demand_rps, view.demand_rps)}


def _window(series: dict[str, Floats], view: View) -> Window:
    pue, per_request = series["pue"], view.it_kwh_per_request

    def footprint_usd(kwh: Floats) -> Floats:
        carbon_kg = kwh * pue * series["carbon_g_per_kwh"] / G_PER_KG
        water_l = kwh * (series["wue_l_per_kwh"] + pue * series["ewif_l_per_kwh"])
        further = (kwh * series["further_per_kwh"][:, k] for k in range(len(view.further_per_kwh)))
        return np.asarray(view.footprint_price_usd[:, None, :] * np.stack((carbon_kg, water_l, *further)))

    return Window(
        cost_usd=per_request * pue * series["price_usd_per_kwh"],
        footprint_usd=footprint_usd(per_request),
        requests=series["demand_rps"] * view.slot_s,
        base_usd=footprint_usd(view.base_kwh),
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
    order = np.argsort(portable.graded(price_usd, axis=1), axis=1, kind="stable")
    room = capacity[order]
    total = float(capacity.sum())
    room = room * np.maximum(requests / total, 1.0)[:, None] if total > 0 else room
    before = np.cumsum(room, axis=1) - room
    sent = np.clip(requests[:, None] - before, 0.0, room)
    found = np.empty_like(sent)
    np.put_along_axis(found, order, sent, axis=1)
    return found
