"""Small runs for tests of records and figures: a world, an engine, and the folder that they wrote."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from glbdes.base import seals
from glbdes.engine.simpy import engine as simpy_engine
from glbdes.records import Records, metrics
from glbdes.records import writer as records
from glbdes.records.books import counting
from glbdes.records.columns import Names
from glbdes.records.writer import Writer
from glbdes.units import NS_PER_S
from glbdes.world import World
from tests.worlds import Fixed, make_fleet, make_requests, make_signals, make_world

NAMES = Names(("north", "south"), ("alpha", "beta", "gamma"), ("chat", "batch"))
START = datetime(2022, 9, 22)
PLACE = {"latitude_deg": 0.0, "longitude_deg": 0.0}
LIMITS = {"chat": {"ttft_s": 1.0, "tpot_s": 0.0077, "e2e_s": None}, "batch": {"ttft_s": None, "tpot_s": None}}


PROFILE = """
name = "little"
gpu = "none"
model = "none"
max_batch = 8
kv_tokens = 40000
idle_w = 100.0
sleep_w = 50.0
[iteration]
a_s = 0.01
beta_s = 1e-4
gamma_s = 1e-8
e0_j = 3.0
e1_j = 0.1
e2_j = 1e-5
[prefill]
tokens = [1, 1000]
time_s = [0.001, 0.05]
energy_j = [0.5, 20.0]
"""
SCENARIO = """
name = "little"
seed = 7
[time]
slots = 3
simulated_s_per_slot = 20.0
[workload.lengths]
law = "fixed"
prompt_tokens = 300
output_tokens = 40
[fleet]
profile = "little_profile.toml"
host_w = 50.0
[regions.here]
pue = 1.1
price_usd_per_kwh = 0.1
carbon_g_per_kwh = 300.0
wue_l_per_kwh = 0.5
ewif_l_per_kwh = 2.0
[regions.there]
pue = 1.4
price_usd_per_kwh = 0.05
carbon_g_per_kwh = 600.0
wue_l_per_kwh = 1.5
ewif_l_per_kwh = 1.0
latitude_deg = 0.0
longitude_deg = 30.0
[gateways.here]
load = 0.5
[gateways.there]
load = 0.4
latitude_deg = 0.0
longitude_deg = 30.0
[slo.chat]
ttft_s = 1.0
[policy]
name = "cost_carbon"
carbon_usd_per_t = 100.0
"""


def busy_world(n: int = 400, seed: int = 1, **changes: Any) -> World:
    """Two gateways, three regions, four slots, changing signals, an outage, impatience: every status happens."""
    draw = np.random.default_rng(seed)
    requests = make_requests(
        np.sort(draw.integers(0, 40 * NS_PER_S, n)).tolist(),
        prompt=draw.integers(1, 3000, n).tolist(),
        output=draw.integers(1, 200, n).tolist(),
        gateway=draw.integers(0, 2, n).tolist(),
        uniform=draw.random(n).tolist(),
        slo=draw.integers(0, 2, n).tolist(),
    )
    signals = make_signals(
        4, 3, price_usd_per_kwh=draw.uniform(-0.05, 0.3, (4, 3)), carbon_g_per_kwh=draw.uniform(50, 700, (4, 3))
    )
    settings: dict[str, Any] = {
        "slots": 4,
        "slot_s": 3600.0,
        "simulated_s": 10.0,
        "gateways": 2,
        "regions": 3,
        "fleet": make_fleet(3, kv_tokens=3100, max_queue=4, max_batch=4),
        "latency_ns": [[5_000_000, 20_000_000, 90_000_000], [80_000_000, 10_000_000, 4_000_000]],
        "timeout_ns": 2 * NS_PER_S,
        "outages": ((1, 12 * NS_PER_S, 17 * NS_PER_S), (0, 12_021_000_000, 15 * NS_PER_S)),
        "max_attempts": 2,
        "signals": signals,
        **changes,
    }
    return make_world(requests, **settings)


def write(folder: Path, world: World, **info: Any) -> Records:
    """The records of `world` under an even plan, checked by their books."""
    counted, generated = counting(world)
    even = np.full((world.gateways, world.regions), 1 / world.regions)
    with Writer(folder, counted, NAMES, START) as writer:
        simpy_engine.run(counted, Fixed(even), writer)
    residuals = writer.books.check(generated)
    provenance = {
        "format": records.FORMAT,
        "by_request": True,
        "engine": "simpy",
        "policy": "even",
        "seed": 1,
        "source": None,
        "overrides": [],
        "signals": None,
        "versions": {},
        "sketch": None,
        "scenario_text": None,
        "request_weight": world.weight,
        "simulated_s": world.slots * world.slot_ns / NS_PER_S,
        "warmup_s": world.warmup_ns / NS_PER_S,
        "warnings": [],
        "notes": [],
        "wall_s": 2.0,
        "invariants": residuals,
        "scenario": {
            "name": "busy",
            "description": "",
            "time": {"slots": world.slots, "slot_s": world.slot_s},
            "slo": LIMITS,
            "regions": dict.fromkeys(NAMES.regions, PLACE),
            "gateways": dict.fromkeys(NAMES.gateways, PLACE),
            "objective": {"carbon_usd_per_t": 1500.0, "water_usd_per_m3": 60.0},
            "dispatch": {"rule": "weighted"},
            "serving": {"scheduler": "prefill_first" if world.steps is None else "chunked"},
        },
        "files": writer.files(),
        **info,
    }
    made = Records(folder, provenance, checked=set(provenance["files"]))
    records.finish(folder, provenance, metrics.summary(made))
    return records.open_run(folder)


def seal_again(folder: Path, **changes: Any) -> None:
    """Make run.json fit what the files are now: what remains are faults that no checksum tells of."""
    path = folder / "run.json"
    info = {key: value for key, value in json.loads(path.read_text()).items() if key != seals.KEY} | changes
    for name, file in info["files"].items() if isinstance(info.get("files"), dict) else ():
        file["sha256"] = seals.checksum(folder / name)
    path.write_bytes(seals.sealed(info))


DAMAGES = ("a byte", "cut off", "empty", "deep", "long number", "a list", "older")


def damaged(folder: Path, name: str, kind: str) -> None:
    """One of `DAMAGES` done to the file `name` in `folder`."""
    whole = (folder / name).read_bytes()
    middle = len(whole) // 2
    contents = {
        "a byte": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "cut off": whole[:middle],
        "empty": b"",
        "deep": b"[" * 100_000,
        "long number": b'{"format": ' + b"1" * 5000 + b"}",
        "a list": b"[2]",
        "older": b'{"format": 1}',
    }
    (folder / name).write_bytes(contents[kind])


def little(folder: Path) -> Path:
    """A scenario of two regions and its profile, as files in `folder`; runs in a moment."""
    folder.mkdir()
    (folder / "little_profile.toml").write_text(PROFILE)
    path = folder / "little.toml"
    path.write_text(SCENARIO)
    return path
