"""Factors are the published ones; a mix is weighed by them, and what is not known is told or refused."""

import json
from typing import get_args

import numpy as np
import pytest

from glbdes.errors import SignalError
from glbdes.signals import fuels
from tests.downloads import real


def test_hydropower_is_nothing_or_seventeen_litres() -> None:
    by_set = {name: fuels.factors(name, "water").per_kwh["hydro"] for name in fuels.SETS["water"]}
    assert by_set == {"ren": 0.0, "macknick": pytest.approx(17.0, abs=0.01), "waterwise": 17.0}


def test_gallons_are_converted() -> None:
    """450 gal/MWh of coal, and 3.785411784 L a gallon."""
    assert fuels.factors("ren", "water").per_kwh["coal"] == pytest.approx(1.7034353028, rel=1e-12)


@pytest.mark.parametrize("quantity", get_args(fuels.Quantity))
def test_sets_know_our_fuels_and_name_their_source(quantity: fuels.Quantity) -> None:
    for name in fuels.SETS[quantity]:
        found = fuels.factors(name, quantity)
        assert set(found.per_kwh) <= set(fuels.FUELS)
        assert set(found.per_kwh) >= {"coal", "gas", "nuclear", "hydro", "wind", "solar"}
        assert found.source
        assert all(value >= 0 for value in found.per_kwh.values())


def test_waterwise_is_as_published() -> None:
    published = json.loads(real("factors/waterwise_source_ci_ewif.json").read_text())
    assert fuels.factors("waterwise", "water").per_kwh == {fuel: of["EWIF"] for fuel, of in published.items()}
    assert fuels.factors("waterwise", "carbon").per_kwh == {fuel: of["CI"] for fuel, of in published.items()}


def test_a_mix_is_weighed_by_energy_and_below_zero_is_nothing() -> None:
    made = fuels.mix({"coal": np.array([1.0, 3.0]), "hydro": np.array([1.0, 1.0]), "solar": np.array([-0.5, 0.0])})
    per_kwh, without = fuels.intensity(made, fuels.factors("waterwise", "water"), "a.csv")
    np.testing.assert_allclose(per_kwh, [(1.51 + 17) / 2, (3 * 1.51 + 17) / 4])
    assert (made.negative, without) == (1, 0.0)


def test_a_row_without_a_cell_of_a_fuel_that_counts_is_unknown() -> None:
    made = fuels.mix({"coal": np.array([1.0, np.nan, 1.0]), "oil": np.array([np.nan, 0.001, 0.001])})
    per_kwh, _ = fuels.intensity(made, fuels.factors("waterwise", "carbon"), "a.csv")
    np.testing.assert_allclose(per_kwh, [1050, np.nan, (1050 + 0.65) / 1.001])


def test_fuels_without_a_factor_are_as_the_rest_up_to_a_tenth() -> None:
    made = fuels.mix({"gas": np.array([95.0]), "waste": np.array([5.0])})
    per_kwh, without = fuels.intensity(made, fuels.factors("macknick", "water"), "a.csv")
    assert (per_kwh[0], without) == (fuels.factors("macknick", "water").per_kwh["gas"], 0.05)
    made = fuels.mix({"gas": np.array([80.0]), "oil": np.array([20.0])})
    with pytest.raises(
        SignalError, match=r"a\.csv: --ewif macknick has no factor of oil 20\.0%.* --ewif ren or waterwise"
    ):
        fuels.intensity(made, fuels.factors("macknick", "water"), "a.csv")


def test_nothing_made_is_unknown() -> None:
    made = fuels.mix({"gas": np.array([0.0, 1.0])})
    assert np.isnan(fuels.intensity(made, fuels.factors("ren", "water"), "a.csv")[0][0])
