"""Fingerprints of everything that glbdes draws, solves and writes: what must be the same on every processor.

    python -m tests.fingerprints FOLDER [fast]

prints a JSON object, name to hash. Runs are written into FOLDER. With `fast`, the compiled engine's runs and nothing
else. `arithmetic` is the odd one out: what the processor's own kernels make of products, eigenvectors and exponentials.
"""

import contextlib
import hashlib
import json
import math
import shutil
import sys
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from glbdes.cli.main import main as cli
from glbdes.hardware import profile
from glbdes.optimum import offline
from glbdes.optimum.offline import Replay
from glbdes.policy import BUILT_IN
from glbdes.records.columns import Names
from glbdes.records.writer import Writer
from glbdes.scenario import model as scenario
from glbdes.signals import synthetic
from glbdes.study.run import ENGINES, OFFLINE, simulate
from glbdes.workload import rates, requests
from glbdes.world import World, build

MEASURED = Path(__file__).resolve().parents[1] / "../shared/data/gpu"
VOLATILE = ("wall_s", "requests_per_s")  # of summary.json
SIGNAL_SEEDS = {True: (synthetic.SHIPPED_SEED, 2), False: (3,)}  # by whether they are matched
# Gateways that see their own continent only, so that programmes have several classes and cuts.
PARTIAL = tuple(
    f"gateways.{gateway}.regions={json.dumps(continent)}"
    for continent in (
        ("texas", "virginia", "georgia", "nevada"),
        ("germany", "belgium", "netherlands", "denmark"),
        ("japan", "singapore", "nevada"),
    )
    for gateway in continent
    if gateway != "nevada" or "texas" in continent
)
REQUESTS = (
    "engine=fast",
    "time.slots=4",
    "time.simulated_s_per_slot=1.5",
    "time.warmup_s=0.5",
    "dispatch.overload=allow",
)
FLOW = ("time.slots=20", "dispatch.overload=allow")
WORKLOAD = ("time.slots=3", "time.simulated_s_per_slot=100.0", "workload.shape=constant")
DELAY = ("objective.delay_usd_per_s=1e-4", "objective.queue_wait_s=[[0, 0], [0.9, 2], [1, 9]]")
VARIANTS: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {  # policy, arguments, settings
    "entropic": ("eglb", {"feedback": "planned"}, ()),
    "constant": ("eglb", {"feedback": "planned", "rule": "constant"}, ()),
    "as published": ("eglb", {"map": "euclidean"}, ()),
    "simplex planned": ("eglb_simplex", {"feedback": "planned"}, ()),
    "ahead planned": ("eglb_ahead", {"feedback": "planned", "forecast": "hourly", "window_h": 6}, ()),
    "receding planned": ("receding_horizon", {"feedback": "planned", "forecast": "seasonal"}, ()),
    "receding delayed": ("receding_horizon", {}, DELAY),
    "Euclidean": ("eglb", {"map": "euclidean"}, ("objective.norm=2",)),
    "entropic, Euclidean": ("eglb", {}, ("objective.norm=2",)),
    "Euclidean simplex": ("eglb_simplex", {}, ("objective.norm=2",)),
    "Euclidean optimum": (OFFLINE, {}, ("objective.norm=2",)),
    "optimum of the sum": (OFFLINE, {}, ("objective.norm=1",)),
    "optimum delayed": (OFFLINE, {}, DELAY),
}
LAWS = {
    "poisson, diurnal": ("workload.arrivals=poisson", "workload.shape=diurnal"),
    "gamma, bursty": ("workload.arrivals=gamma", "workload.burstiness_cv2=4.0"),
    "gamma, even": ("workload.arrivals=gamma", "workload.burstiness_cv2=0.3"),
    "mmpp": ("workload.arrivals=mmpp",),
    "geometric": ('workload.lengths={law="geometric", prompt_tokens=500.5, output_tokens=2.0}',),
}


def main(folder: Path, part: str = "") -> dict[str, str]:
    """All fingerprints, or those of the compiled engine."""
    found = dict(compiled_runs(folder))
    if part != "fast":
        for more in (signals(folder), draws(), profiles(folder), flows(folder)):
            found |= dict(more)
    return found | {"arithmetic": arithmetic()}


def arithmetic() -> str:
    """Of LAPACK, BLAS, NumPy and the C library themselves: this one differs."""
    x = np.random.default_rng(1).standard_normal((40, 40))
    libm = [(math.exp(a), math.sin(a), math.log(abs(a))) for a in x.ravel().tolist()]
    return digest(np.linalg.eigh(x + x.T)[1], x @ x, np.exp(x), np.cos(x), np.array(libm))


def signals(folder: Path) -> Iterator[tuple[str, str]]:
    """Of generated signals and loads, as written; those of the first seed must be the shipped ones."""
    for matched, seeds in SIGNAL_SEEDS.items():
        for seed in seeds:
            for name, draw in (("signals", synthetic.signals), ("load", synthetic.load)):
                synthetic.write(draw(seed, matched=matched), folder / "made.csv")
                yield f"{name} {seed}", digest(folder / "made.csv")


def draws() -> Iterator[tuple[str, str]]:
    """Of some ten thousand requests of each law of arrival and of lengths, and of the loads that they come from."""
    for name, settings in LAWS.items():
        for seed in (1, 2):
            chosen, _ = scenario.load("llm10", (*WORKLOAD, f"seed={seed}", *settings))
            expected_rps = rates.expected_rps(chosen, np.full(len(chosen.gateways), 30.0))
            stream = requests.stream(chosen, expected_rps)
            columns = [value for slot in range(3) for value in vars(stream(slot)).values() if value is not None]
            yield f"requests {name} {seed}", digest(expected_rps, *columns)


def profiles(folder: Path) -> Iterator[tuple[str, str]]:
    """Of the shipped profiles, fitted again by their own commands, where the measurements are."""
    for name in profile.shipped() if MEASURED.is_dir() else ():
        made_by = (profile.SHIPPED / f"{name}.toml").read_text().splitlines()[0].partition("Made by: glbdes ")[2]
        command = [str(MEASURED / Path(word).name) if word.endswith(".json") else word for word in made_by.split()]
        with contextlib.redirect_stdout(sys.stderr):
            cli([*command, "-o", str(folder / "made.toml")], standalone_mode=False)
        yield f"profile {name}", digest(folder / "made.toml")


def compiled_runs(folder: Path) -> Iterator[tuple[str, str]]:
    """Of requests under every policy, free to go anywhere and not, and of whole runs under other rules of dispatch."""
    for mask, settings in (("full", ()), ("partial", PARTIAL)):
        world, names = made("llm10", *REQUESTS, *settings)
        for name in (*BUILT_IN, OFFLINE):
            yield f"requests {name} {mask}", records(folder, world, names, name)
    for rule in ("smooth", "least_loaded", "spillover", "plan_least_loaded"):
        settings = (f"dispatch.rule={rule}", "records.attribution=full", "fleet.sleep_after_s=0.5", "fleet.wake_s=0.2")
        yield f"requests {rule}", run(folder, "llm10", "eglb_simplex", *REQUESTS, *settings)
    yield "requests sketched", run(folder, "llm10", "eglb", *REQUESTS, "records.requests=sample:0.1")


def flows(folder: Path) -> Iterator[tuple[str, str]]:
    """Of the paper's fleet as a flow, under the policies that solve programmes over time, and other objectives."""
    for fleet in ("paper", "paper_partial"):
        world, names = made(fleet, *FLOW)
        for policy in ("receding_horizon", OFFLINE):
            yield f"{fleet} {policy}", records(folder, world, names, policy)
    for variant, (policy, arguments, settings) in VARIANTS.items():
        world, names = made("paper_partial", *FLOW, *settings)
        yield f"paper_partial {variant}", records(folder, world, names, policy, **arguments)


@cache
def made(source: str, *settings: str) -> tuple[World, Names]:
    chosen, path = scenario.load(source, settings)
    return build.build(chosen, path.parent), Names(tuple(chosen.gateways), tuple(chosen.regions), tuple(chosen.slo))


def records(folder: Path, world: World, names: Names, policy: str, **arguments: Any) -> str:
    """Of the tables of a run: of its requests if there are replicas to serve them, else of a flow."""
    by_request = bool(world.fleet.a_s.any())
    asked = Replay(offline.solve(world).weights) if policy == OFFLINE else BUILT_IN[policy](**arguments)
    shutil.rmtree(folder / "tables", ignore_errors=True)
    (folder / "tables").mkdir()
    with Writer(folder / "tables", world, names, datetime(2022, 9, 22), by_request=by_request) as writer:
        ENGINES["fast" if by_request else "fluid"](world, asked, writer, policy_name=policy, progress=None)
    return digest(*tables(folder / "tables"))


def run(folder: Path, source: str, policy: str, *settings: str) -> str:
    """Of the tables of a whole run, and of its summary but for what tells of the clock on the wall."""
    done = simulate(source, policy=policy, overrides=settings, out=folder / "run", overwrite=True)
    summary = {key: value for key, value in done.summary.items() if key not in VOLATILE}
    return digest(*tables(done.path), np.frombuffer(json.dumps(summary).encode(), dtype=np.uint8))


def tables(folder: Path) -> list[Path]:
    found = sorted(folder.rglob("*.parquet"))
    assert len(found) >= 2
    return found


def digest(*contents: np.ndarray | Path) -> str:
    found = hashlib.sha256()
    for content in contents:
        found.update(content.read_bytes() if isinstance(content, Path) else np.ascontiguousarray(content).tobytes())
    return found.hexdigest()[:16]


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), *sys.argv[2:])))
