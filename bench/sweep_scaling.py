"""How a sweep of 200 small runs gains from a second worker.

    python bench/sweep_scaling.py [--points 200]

Each point is half a day of the scenario `tiny` on the SimPy engine, a few tenths of a second of work. Prints the
wall time with one worker and with two, starting of processes included, and fails if the tables differ.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from glbdes.study.sweep import sweep

GOAL = 1.8
SWEEP = """
scenario = "tiny"
engine = "simpy"
set = ["time.slots=12"]
[[grid]]
policy = ["cost", "eglb"]
seed = {seeds}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=200)
    points = parser.parse_args().points
    with tempfile.TemporaryDirectory() as own:
        file = Path(own) / "small.toml"
        file.write_text(SWEEP.format(seeds=list(range(points // 2))))
        wall_s = {}
        for workers in (1, 2):
            begin_s = time.perf_counter()
            sweep(file, out=Path(own) / f"{workers}", workers=workers)
            wall_s[workers] = time.perf_counter() - begin_s
            print(f"{workers} worker(s): {wall_s[workers]:.1f} s, {points / wall_s[workers]:.1f} runs/s", flush=True)
        same = (Path(own) / "1" / "sweep.csv").read_bytes() == (Path(own) / "2" / "sweep.csv").read_bytes()
    gain = wall_s[1] / wall_s[2]
    print(f"gain {gain:.2f} (goal, on two processors with nothing else to do: {GOAL}), tables alike: {same}")
    if not same:
        sys.exit("tables must not depend on the number of workers")


if __name__ == "__main__":
    main()
