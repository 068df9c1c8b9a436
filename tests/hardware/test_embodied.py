"""Embodied carbon: kg of making replicas, by the hour."""

from dataclasses import replace

import numpy as np
import pytest

from glbdes.hardware.embodied import embodied_kg_per_h
from glbdes.scenario.model import Region
from glbdes.scenario.pools import Pool
from glbdes.world import meter
from tests.worlds import make_requests, make_world

ECOLOGITS_KG = 164 + 5700 / 8  # a GPU, and its part of a server of eight


def test_a_gpu_and_its_eighth_of_a_server_are_33_grams_an_hour_over_three_years() -> None:
    kg = embodied_kg_per_h(Pool(embodied_kg=ECOLOGITS_KG, life_years=3.0), {"here": Region()})
    assert kg is not None
    assert round(1000 * kg[0]) == 33
    assert kg[0] == pytest.approx(876.5 / (3 * 365 * 24))


def test_regions_have_their_own_keys_and_numbers_of_replicas() -> None:
    shared = Pool(embodied_kg=800.0, life_years=4.0, replicas=5)
    regions = {"shared": Region(), "own": Region(embodied_kg=400.0, replicas=2), "old": Region(life_years=8.0)}
    kg = embodied_kg_per_h(shared, regions)
    np.testing.assert_allclose(kg, np.array([5 * 800 / 4, 2 * 400 / 4, 5 * 800 / 8]) / 8760)
    some = embodied_kg_per_h(Pool(), {"a": Region(embodied_kg=876.0, life_years=1.0), "b": Region()})
    np.testing.assert_allclose(some, [0.1, 0.0])
    assert embodied_kg_per_h(Pool(), regions | {"own": Region(), "old": Region()}) is None


def test_a_slot_is_charged_its_real_length_whatever_happens() -> None:
    world = make_world(make_requests([]), regions=2, slot_s=1800.0, simulated_s=18.0, outages=[(0, 0, 10**10)])
    told = replace(world, embodied_kg_per_h=np.array([1.0, 3.0]))
    assert meter.embodied_kg(told).tolist() == [0.5, 1.5]
    assert meter.embodied_kg(world).tolist() == [0.0, 0.0]
