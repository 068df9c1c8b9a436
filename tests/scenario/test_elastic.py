"""What a scenario may say of replicas awake and asleep, and what it may not."""

import re

import pytest

from glbdes.errors import InfeasibleError, ScenarioError
from glbdes.scenario import load
from glbdes.units import W_PER_KW
from glbdes.world.build import build

CAP = (
    "faults.0.region=japan",
    "faults.0.kind=power_cap",
    "faults.0.start_h=1.0",
    "faults.0.end_h=2.0",
)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (("scaling.rule=sometimes",), "scaling.rule = 'sometimes', must be"),
        (("scaling.rule=idle",), "scaling.rule = 'idle': replicas need a sleep_after_s, in [fleet] or in a region"),
        (
            ("scaling.rule=follow", "fleet.sleep_after_s=5.0"),
            "fleet.sleep_after_s: given, but scaling.rule = 'follow', must be 'idle'",
        ),
        (("fleet.min_awake=3",), "fleet.min_awake = 3, must be <= 2, the replicas of "),
        (("regions.japan.min_awake=4",), "regions.japan.min_awake = 4, must be <= 2, the replicas of japan"),
        (("fleet.host_sleep_w=300.0",), "fleet.host_sleep_w = 300 W, must be <= host_w = 290 W"),
        (("fleet.target_utilisation=1.5",), "fleet.target_utilisation = 1.5, must be <= 1"),
        (("serving.pack_to=0.0",), "serving.pack_to = 0, must be > 0"),
        (("scaling.rule=follow", "scaling.every_s=1e-6"), "scaling.every_s = 1e-06 s, must be >= 0.0014624 s, for at"),
        (("scaling.every_s=0.0",), "scaling.every_s = 0 s, must be > 0"),
        (("scaling.rule=planned", "engine=fluid"), "scaling.rule = 'planned', but engine = 'fluid' knows no replicas"),
        (CAP, "faults.0.max_kw: missing, must be given because kind = 'power_cap'"),
        ((*CAP, "faults.0.max_kw=2.0", "engine=fluid"), "faults.0.kind = 'power_cap', but engine = 'fluid' knows no"),
        ((*CAP, "faults.0.max_kw=2.0", "faults.0.signal=price"), "faults.0.signal: given, but kind = 'power_cap'"),
        ((*CAP, "faults.0.kind=signal"), "faults.0.signal: missing, must be given because kind = 'signal'"),
        ((*CAP, "faults.0.kind=outage", "faults.0.max_kw=2.0"), "faults.0.kind: must be 'power_cap' because max_kw"),
    ],
)
def test_what_cannot_be_is_refused(settings, told):
    with pytest.raises(ScenarioError, match=re.escape(told)):
        load("llm10", ("faults=[{}]",) * any("faults" in one for one in settings) + settings)


def built(*settings: str):
    scenario, path = load("llm10", ("time.slots=4", "faults=[{}]", *CAP, *settings))
    return build(scenario, path.parent)


def test_a_cap_that_leaves_no_replica_awake_is_refused():
    with pytest.raises(ScenarioError, match=r"faults\.0\.max_kw = 0\.7 kW, must be >= 1\.\d+ kW: one replica of japan"):
        built("faults.0.max_kw=0.7")


def test_a_cap_is_as_many_replicas_as_it_bears_at_full_batches():
    world = built("faults.0.max_kw=1.5", "regions.japan.replicas=4", "fleet.host_sleep_w=29.0")
    (cap,) = world.scaling.caps
    assert (cap.region, cap.replicas) == (8, 1)
    assert world.scaling.rule == "always_on"
    fleet = world.fleet
    full_w = world.it_kwh_per_request[8] * 3.6e6 * world.scaling.replica_rps[8] + fleet.host_w[8]
    asleep_w = fleet.sleep_w[8] + 29.0
    assert full_w + 3 * asleep_w <= 1.5 * W_PER_KW < 2 * full_w + 2 * asleep_w
    period_ns = world.period_ns
    assert (cap.begin_ns, cap.end_ns) == (period_ns, 2 * period_ns)


def test_load_that_does_not_fit_under_a_cap_is_refused():
    with pytest.raises(InfeasibleError, match=r"slot 1: expected load of gateway japan"):
        built("faults.0.max_kw=1.4", 'gateways.japan.regions=["japan"]', "workload.load_scale=1.7")


def test_without_a_word_replicas_are_always_awake_or_sleep_when_idle():
    assert build(load("llm10", ("time.slots=2",))[0], load("llm10")[1].parent).scaling is None
    assert build(load("llm10", ("time.slots=2", "fleet.sleep_after_s=3.0"))[0], load("llm10")[1].parent).scaling is None
