"""Where gateways and regions stand, and their local time."""

from typing import Any

import numpy as np
import pytest

from glbdes.errors import ScenarioError
from glbdes.scenario import Scenario, validate
from glbdes.scenario.places import at_home
from glbdes.workload.rates import expected_rps
from glbdes.world import network

TEXAS = {"latitude_deg": 32.44, "longitude_deg": -97.02}
BERLIN = {"latitude_deg": 52.52, "longitude_deg": 13.4}


def made(gateways: dict[str, Any], texas: dict[str, Any] | None = None, **tables: Any) -> Scenario:
    return validate(
        {
            "name": "places",
            "time": {"slots": 24},
            "fleet": {"profile": "h100_llama8b"},
            "regions": {"texas": TEXAS if texas is None else texas, "berlin": BERLIN},
            "gateways": gateways,
            **tables,
        }
    )


def problems(*arguments: Any, **tables: Any) -> tuple[str, ...]:
    with pytest.raises(ScenarioError) as caught:
        made(*arguments, **tables)
    return caught.value.problems


def test_a_gateway_stands_at_its_home_unless_it_says_otherwise() -> None:
    found = made(
        {"texas": {"load": 0.5}, "potsdam": {"load": 0.1, "home": "berlin"}, "rio": {"rate_per_s": 1.0, **TEXAS}}
    )
    assert [(one.latitude_deg, one.longitude_deg) for one in found.gateways.values()] == [
        (32.44, -97.02),
        (52.52, 13.4),
        (32.44, -97.02),
    ]
    assert network.latency_s(found.network, found.gateways, found.regions)[0, 0] == found.network.base_s
    assert validate(found.model_dump()) == found


def test_a_gateway_of_no_home_must_say_where_it_stands() -> None:
    (said,) = problems({"rio": {"rate_per_s": 1.0}})
    assert said.startswith("gateways.rio: has no latitude_deg and longitude_deg and no home region")
    latency = {"rio": {"texas": 0.1, "berlin": 0.2}}
    assert made({"rio": {"rate_per_s": 1.0}}, network={"latency_s": latency}).gateways["rio"].latitude_deg is None


def test_half_a_place_is_none() -> None:
    half = {"rate_per_s": 1.0, "longitude_deg": 3.0}
    assert problems({"rio": half}) == ("gateways.rio.latitude_deg: missing, must be given because longitude_deg is",)
    (said,) = problems({"rio": {"rate_per_s": 1.0, **TEXAS}}, {"latitude_deg": 3.0})
    assert said == "regions.texas.longitude_deg: missing, must be given because latitude_deg is"


def test_a_time_zone_has_a_name_that_is_known_and_no_rival() -> None:
    (said,) = problems({"texas": {"load": 0.5, "time_zone": "America/Chikago"}})
    assert said.startswith(
        "gateways.texas.time_zone = 'America/Chikago': no such time zone; did you mean 'America/Chicago'?"
    )
    (said,) = problems({"texas": {"load": 0.5, "time_zone": "America/Chicago", "utc_offset_h": -6.0}})
    assert said == "gateways.texas: has both `time_zone` and `utc_offset_h`, must have at most one of them"


def test_summer_time_moves_the_peak_by_an_hour() -> None:
    """The night on which it ends, at 01:00 UTC of 30 October 2022: before it Berlin is two hours ahead, then one."""
    gateways = {
        "zone": {"time_zone": "Europe/Berlin"},
        "summer": {"utc_offset_h": 2.0},
        "winter": {"utc_offset_h": 1.0},
    }
    found = made(
        {name: {"rate_per_s": 1.0, **BERLIN, **keys} for name, keys in gateways.items()},
        time={"slots": 48, "start_utc": "2022-10-29T00:00:00"},
        workload={"shape": "diurnal"},
    )
    zone, summer, winter = expected_rps(found, np.full(3, np.nan)).T
    np.testing.assert_array_equal(zone[:25], summer[:25])
    np.testing.assert_array_equal(zone[25:], winter[25:])


def test_nothing_is_lent_in_a_document_of_another_shape() -> None:
    for document in ({}, {"gateways": 3, "regions": []}, {"gateways": {"a": 1, "b": {"home": 3}}, "regions": {"a": 2}}):
        assert at_home(document) == document
