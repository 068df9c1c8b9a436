"""What a scenario would simulate, told before it is."""

import pytest

from glbdes import scenario
from glbdes.present.preview import Preview, preview
from glbdes.world.build import build
from tests.paper import PARTIAL


def previewed(name: str, *overrides: str) -> Preview:
    loaded, path = scenario.load(name, overrides)
    return preview(loaded, build(loaded, path.parent))


def test_preview_of_llm10_tells_of_two_million_requests() -> None:
    told = previewed("llm10")
    assert told.requests == pytest.approx(2.25e6, rel=0.05)
    assert told.requests == pytest.approx(sum(g.load_mean for g in told.gateways) * told.simulated_s)
    assert told.horizon_h == 457
    assert told.utilisation_mean < told.utilisation_peak <= 1
    assert [region.name for region in told.regions] == [gateway.nearest for gateway in told.gateways]
    shortest, median, longest = told.latency_ms
    assert 1 <= shortest < median < longest < 200


def test_preview_of_the_paper_counts_in_megawatts() -> None:
    told = previewed("paper_partial")
    assert (told.load_unit, told.requests) == ("MW", None)
    assert [gateway.regions for gateway in told.gateways] == list(PARTIAL.sum(axis=1))
    assert {region.capacity for region in told.regions} == {1.0}


def test_preview_says_how_long_slots_warm_up_and_who_says_so() -> None:
    told = previewed("tiny")
    assert (told.warmup_s, told.warmup_from) == (18.0, "by rule: 3 x a request's time in a full batch")
    assert told.warnings == ()
    told = previewed("tiny", "time.warmup_s=2", "fleet.wake_s=4")
    assert (told.warmup_s, told.warmup_from) == (2.0, "time.warmup_s")
    assert [line.split(":")[0] for line in told.warnings] == ["compressed time, all 5 regions"]
    assert previewed("tiny", "time.slot_s=30").warmup_from == "by rule: none at 1:1"
