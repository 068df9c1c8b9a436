"""Memory and disk of a long run with its full log: peak memory, bytes a request on disk, and speed end to end.

    python bench/memory.py [simulated seconds per slot]

The shipped scenario llm10 with longer slots: 160 s are ten million requests in 457 slots. Each size runs in a process
of its own, since a process never gives its peak back; the log goes to a temporary folder.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = """
import json, resource, sys, time
began = time.perf_counter()
from glbdes import simulate
changes = [f"time.simulated_s_per_slot={sys.argv[1]}", "time.warmup_s=0.0"]
run = simulate("llm10", engine="fast", overrides=changes, out=sys.argv[2])
disk = sum(path.stat().st_size for path in run.path.glob("requests/*.parquet"))
peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"requests": run.info["requests"], "wall_s": run.info["wall_s"], "disk": disk, "peak_mb": peak_mb,
                  "whole_s": time.perf_counter() - began}))
"""


def measured(seconds: float) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        arguments = [sys.executable, "-c", SCRIPT, str(seconds), str(Path(folder) / "run")]
        done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main() -> None:
    longest = float(sys.argv[1]) if len(sys.argv) > 1 else 32.0
    for seconds in (longest / 10, longest):
        found = measured(seconds)
        n = found["requests"]
        print(
            f"{n:12,.0f} requests: peak {found['peak_mb']:,.0f} MB, {found['disk'] / n:.1f} bytes a request on disk, "
            f"{n / found['wall_s'] / 1e6:.2f} M requests/s from arrivals to log ({found['whole_s']:.1f} s in all)"
        )


if __name__ == "__main__":
    main()
