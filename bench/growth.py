"""How a run grows with its slots: seconds and peak memory of the fluid engine, its policy and the records together.

    python bench/growth.py [slots] [policy]

The shipped scenario paper, ten gateways and ten regions, over more hours than its signals have: they are repeated, with
noise of a few per cent so that no two days are alike. Three sizes, the largest (default 50,000 slots) last; each runs
in a process of its own, since a process never gives its peak back. Seconds, of wall and of processor, and memory are
those of the whole process, from its first import to the records closed and summed up.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = """
import json, resource, sys, time
began = time.perf_counter()
from glbdes import simulate
slots, policy, folder = sys.argv[1:]
changes = [f"time.slots={slots}", f"signals.source={folder}/signals.parquet", f"workload.load_file={folder}/load.csv"]
run = simulate("paper", policy=policy, overrides=changes, out=folder + "/run")
disk_mb = sum(path.stat().st_size for path in run.path.rglob("*") if path.is_file()) / 1e6
print(json.dumps({"engine_s": run.info["wall_s"], "whole_s": time.perf_counter() - began, "disk_mb": disk_mb,
                  "processor_s": time.process_time(),
                  "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""
NOISE = 0.02


def write_traces(folder: Path, slots: int) -> None:
    """The shipped signals and load, end to end until they last for `slots` hours."""
    draw = np.random.default_rng(1)
    times = pd.date_range("2022-09-22", periods=slots, freq="h")
    shipped = pd.read_csv(ROOT / "traces" / "llm10_signals.csv")
    parts = []
    for region, own in shipped.groupby("region", sort=False):
        longer = own.iloc[np.arange(slots) % len(own)].reset_index(drop=True)
        for column in ("price_usd_per_kwh", "carbon_g_per_kwh"):
            longer[column] *= draw.uniform(1 - NOISE, 1 + NOISE, slots)
        parts.append(longer.assign(region=region, time_utc=times))
    pd.concat(parts, ignore_index=True).to_parquet(folder / "signals.parquet")
    load = pd.read_csv(ROOT / "traces" / "llm10_load.csv")["load"].to_numpy()
    pd.DataFrame({"time_utc": times, "load": load[np.arange(slots) % len(load)]}).to_csv(folder / "load.csv")


def measured(slots: int, policy: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        write_traces(Path(folder), slots)
        arguments = [sys.executable, "-c", SCRIPT, str(slots), policy, folder]
        done = subprocess.run(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def main() -> None:
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    policy = sys.argv[2] if len(sys.argv) > 2 else "eglb_simplex"
    for slots in (most // 16, most // 4, most):
        found = measured(slots, policy)
        print(
            f"{slots:8,} slots, {policy}: {found['whole_s']:.1f} s ({found['processor_s']:.1f} s of processor time), "
            f"{found['engine_s'] / slots * 1e3:.2f} ms a slot in engine, policy and records; "
            f"peak {found['peak_mb']:,.0f} MB, {found['disk_mb']:,.1f} MB on disk",
            flush=True,
        )


if __name__ == "__main__":
    main()
