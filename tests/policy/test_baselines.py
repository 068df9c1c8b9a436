"""Baselines by hand: what each one looks at, and what it does not."""

import numpy as np
import pytest

from glbdes.policy import load
from glbdes.policy.baselines import WeightedSum
from tests.views import make_view

# Region 0 is cheapest, 1 cleanest, 2 driest; each holds all the demand.
SIGNALS = {
    "price_usd_per_kwh": [0.05, 0.15, 0.20],
    "carbon_g_per_kwh": [600.0, 50.0, 400.0],
    "wue_l_per_kwh": 0.0,
    "ewif_l_per_kwh": [4.0, 5.0, 0.1],
}


@pytest.mark.parametrize(
    ("name", "arguments", "region"),
    [
        ("cost", {}, 0),
        ("carbon", {}, 1),
        ("water", {}, 2),
        ("cost_carbon", {}, 1),  # 0.05 + 0.36, 0.15 + 0.03, 0.20 + 0.24 USD/kWh
        ("cost_carbon", {"carbon_usd_per_t": 100}, 0),  # 0.11, 0.155, 0.24
        ("cost_carbon_water", {}, 1),  # 0.35, 0.315, 0.323
        ("cost_carbon_water", {"water_usd_per_m3": 40}, 2),  # 0.39, 0.365, 0.324
        ("cost_carbon_water", {"carbon_usd_per_t": 0, "water_usd_per_m3": 0}, 0),
    ],
)
def test_weighted_sum_picks_its_own_cheapest_region(name, arguments, region):
    view = make_view([1.0, 2.0], [10.0, 10.0, 10.0], **SIGNALS)
    np.testing.assert_array_equal(load(name, arguments).plan(view), np.tile(np.eye(3)[region], (2, 1)))


def test_energy_per_request_counts_and_pue_too():
    """A region with half the price but thrice the energy per request is not the cheapest."""
    view = make_view([1.0], [9.0, 9.0], price_usd_per_kwh=[0.1, 0.2], it_kwh_per_request=[3.0, 1.0])
    np.testing.assert_array_equal(load("cost", {}).plan(view), [[0.0, 1.0]])
    view = make_view([1.0], [9.0, 9.0], price_usd_per_kwh=[0.1, 0.12], pue=[1.5, 1.1])
    np.testing.assert_array_equal(load("cost", {}).plan(view), [[0.0, 1.0]])


def test_water_on_site_is_per_it_energy_and_off_site_per_facility_energy():
    view = make_view([1.0], [9.0, 9.0], wue_l_per_kwh=[2.0, 0.0], ewif_l_per_kwh=[1.0, 2.5], pue=[1.0, 1.25])
    np.testing.assert_array_equal(load("water", {}).plan(view), [[1.0, 0.0]])  # 3.0 and 3.125 L per IT kWh


def test_cost_spills_over_when_the_cheapest_region_is_full():
    view = make_view([3.0, 1.0], [3.0, 10.0, 10.0], **SIGNALS)
    np.testing.assert_allclose(load("cost", {}).plan(view), [[0.75, 0.25, 0.0]] * 2)


def test_nearest_goes_by_latency_whatever_the_region_holds():
    view = make_view([5.0, 5.0], [1.0, 1.0, 1.0], latency_ns=[[3, 1, 2], [5, 5, 7]])
    np.testing.assert_array_equal(load("nearest", {}).plan(view), [[0, 1, 0], [1, 0, 0]])


def test_nearest_keeps_to_the_mask():
    view = make_view([5.0], [1.0, 1.0], latency_ns=[[1, 2]], mask=[[False, True]])
    np.testing.assert_array_equal(load("nearest", {}).plan(view), [[0, 1]])


def test_uniform_gives_equal_shares_of_what_is_allowed():
    view = make_view([5.0, 1.0], [1.0, 2.0, 3.0], mask=[[True, False, True], [True, True, True]])
    np.testing.assert_allclose(load("uniform", {}).plan(view), [[1 / 2, 0, 1 / 2], [1 / 3, 1 / 3, 1 / 3]])


def test_no_weight_at_all_is_refused():
    with pytest.raises(ValueError, match="all weights are 0"):
        WeightedSum(0.0, 0.0, 0.0)
