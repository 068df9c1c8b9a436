"""Single requests against the flow that they are a sample of: the regional footprints differ by 1 / sqrt(requests).

Requests alike, whose energy does not depend on the batch, on replicas that draw nothing when idle: then nothing but the
randomness of arrivals and of dispatch is left between the compiled engine and the fluid one.
"""

from pathlib import Path

import numpy as np
import pytest

from glbdes import policy
from glbdes.engine import fluid
from glbdes.engine.fast import driver as fast
from glbdes.scenario import model as scenario
from glbdes.world import World, meter
from glbdes.world.build import build
from tests.worlds import ListSink

SLOTS = 48
LEVEL = """
name = "level"
gpu = "none"
model = "none"
max_batch = 96
kv_tokens = 400000
idle_w = 0.0
sleep_w = 0.0
[iteration]
a_s = 0.007
beta_s = 6e-6
gamma_s = 4e-8
e0_j = 0.0
e1_j = 1.0
e2_j = 0.0
[prefill]
tokens = [1, 3072]
time_s = [0.001, 0.08]
energy_j = [0.02, 60.0]
"""
ALIKE = "workload.lengths={law='fixed', prompt_tokens=300.0, output_tokens=20.0}"


def world(folder: Path, simulated_s: float, seed: int) -> World:
    (folder / "level.toml").write_text(LEVEL, encoding="utf-8")
    loaded, _ = scenario.load(
        "llm10",
        (
            f"time.slots={SLOTS}",
            f"time.simulated_s_per_slot={simulated_s!r}",
            "time.warmup_s=0.0",  # slots are short for few requests
            "fleet.profile=level.toml",
            "serving.scheduler=prefill_first",
            "fleet.host_w=0.0",
            "dispatch.rule=weighted",
            "dispatch.demand=forecast",  # so that both engines have the same plans, as "planned" below
            f"seed={seed}",
            ALIKE,
        ),
    )
    return build(loaded, folder)


def differences(folder: Path, requests: int, seed: int) -> np.ndarray:
    """Relative differences [3, r] of cost, carbon and water over the horizon, of about so many requests."""
    made = world(folder, float(requests / world(folder, 1.0, seed).expected_rps.sum()), seed)
    sums = []
    for run in (fast.run, fluid.run):
        sink = ListSink()
        run(made, policy.load("eglb", {"feedback": "planned"}), sink, policy_name="eglb")
        caused = (meter.footprint(energy(made, one), made.signals, one.slot)[1:4] for one in sink.slots)
        sums.append(sum(map(np.stack, caused)))
    return sums[0] / sums[1] - 1


def energy(made: World, record) -> np.ndarray:
    return meter.slot_energy(made, record).it_kwh


@pytest.mark.slow
def test_footprints_differ_by_one_over_the_root_of_the_requests(tmp_path):
    """Root mean square over regions, footprints and seeds."""
    counts = (1_000, 10_000, 100_000, 1_000_000)
    sizes = []
    for requests in counts:
        found = np.stack([differences(tmp_path, requests, seed) for seed in (1, 2, 3)])
        sizes.append(np.sqrt((found**2).mean()))
    scaled = np.array(sizes) * np.sqrt(counts)  # about sqrt(10 regions), and more for slots of unlike worth
    assert scaled.max() < 2 * scaled.min()
    assert np.polyfit(np.log(counts), np.log(sizes), 1)[0] == pytest.approx(-0.5, abs=0.05)
    assert sizes[-1] < 0.01
