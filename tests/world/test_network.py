"""Latency from the map: distances that anyone can look up, and identities of the sphere."""

from math import pi

import numpy as np
import pytest

from glbdes.scenario import model as scenario
from glbdes.scenario.model import Place
from glbdes.units import EARTH_RADIUS_KM
from glbdes.world import network
from tests.world.built import THREE

LONDON = Place(latitude_deg=51.5074, longitude_deg=-0.1278)
NEW_YORK = Place(latitude_deg=40.7128, longitude_deg=-74.0060)
TOKYO = Place(latitude_deg=35.6762, longitude_deg=139.6503)


def test_distances_are_those_of_an_atlas() -> None:
    assert network.great_circle_km(LONDON, NEW_YORK) == pytest.approx(5570, abs=5)
    assert network.great_circle_km(LONDON, TOKYO) == pytest.approx(9559, abs=5)


def test_distance_is_symmetric_and_nothing_to_oneself() -> None:
    assert network.great_circle_km(TOKYO, NEW_YORK) == network.great_circle_km(NEW_YORK, TOKYO)
    assert network.great_circle_km(TOKYO, TOKYO) == 0


def test_antipodes_are_half_a_circumference_apart() -> None:
    other_end = Place(latitude_deg=-TOKYO.latitude_deg, longitude_deg=TOKYO.longitude_deg - 180)
    assert network.great_circle_km(TOKYO, other_end) == pytest.approx(pi * EARTH_RADIUS_KM)


def test_the_date_line_is_no_border() -> None:
    east, west = Place(longitude_deg=179.9), Place(longitude_deg=-179.9)
    assert network.great_circle_km(east, west) == pytest.approx(0.2 / 360 * 2 * pi * EARTH_RADIUS_KM)


def test_latency_is_base_plus_detour_through_fibre() -> None:
    loaded, _ = scenario.load("llm10", ["network.base_s=0.002", "network.detour=2"])
    texas, singapore = loaded.gateways["texas"], loaded.regions["singapore"]
    latency_s = network.latency_s(loaded.network, loaded.gateways, loaded.regions)
    assert latency_s.shape == (10, 10)
    assert latency_s[0, 9] == pytest.approx(0.002 + 2 * network.great_circle_km(texas, singapore) / 200_000)
    assert np.diag(latency_s) == pytest.approx(0.002)


def test_a_table_takes_the_place_of_the_map() -> None:
    table = "{oregon = %s, sweden = %s, singapore = %s}"
    row = "{singapore = %g, oregon = %g, sweden = %g}"
    rows = table % (row % (3, 1, 2), row % (6, 4, 5), row % (9, 7, 8))
    loaded, _ = scenario.load(THREE, [f"network.latency_s={rows}"])
    latency_s = network.latency_s(loaded.network, loaded.gateways, loaded.regions)
    assert latency_s.tolist() == [
        [1, 2, 3],
        [4, 5, 6],
        [7, 8, 9],
    ]
