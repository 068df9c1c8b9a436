"""What importing takes: a year of hours of 16 zones, and 1.4 million requests of BurstGPT's form.

    python bench/importing.py

It makes its own files, in the forms of Electricity Maps and of BurstGPT 1.1, in a temporary folder. Each import is a
process of its own, as on the command line, start and all: seconds on the wall and of processors, and its peak memory.
"""

import csv
import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

ZONES, HOURS = 16, 8760
REQUESTS = 1_400_000
ASKED_S = {"carbon": 3.0, "requests": 5.0}
MEASURED = """
import resource, sys
from glbdes.cli.main import main
try:
    main(sys.argv[1:])
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=sys.stderr)
"""


class Took(NamedTuple):
    """Seconds on the wall and of processors, and peak memory."""

    wall_s: float
    processor_s: float
    peak_mb: int


def zones(folder: Path) -> list[str]:
    """A file a zone; their arguments."""
    header = "Datetime (UTC),Country,Zone name,Zone id,Carbon intensity gCO₂eq/kWh (direct),"
    header += "Carbon intensity gCO₂eq/kWh (Life cycle),Carbon-free energy percentage (CFE%),"
    header += "Renewable energy percentage (RE%),Data source,Data estimated,Data estimation method"
    start, draw, arguments = datetime(2023, 1, 1), random.Random(1), []
    for n in range(ZONES):
        path = folder / f"zone{n}.csv"
        lines = [header]
        for hour in range(HOURS):
            value = round(draw.uniform(50, 700), 2)
            lines.append(f"{start + timedelta(hours=hour)},Land,Land,Z-{n},{value},{value},50,40,grid.example,false,")
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        arguments.append(f"z{n}={path}")
    return arguments


def requests(path: Path) -> None:
    """Two months of requests, in order of time."""
    draw = random.Random(2)
    with path.open("w", newline="") as file:
        write = csv.writer(file)
        write.writerow(["Timestamp", "Model", "Request tokens", "Response tokens", "Total tokens", "Log Type"])
        for n in range(REQUESTS):
            prompt, answer = draw.randint(1, 2000), draw.randint(1, 600)
            write.writerow([n * 3.7, "ChatGPT", prompt, answer, prompt + answer, "Conversation log"])


def took(*arguments: str) -> Took:
    before, begin_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, "-c", MEASURED, *arguments], capture_output=True, text=True, check=True)
    after, wall_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - begin_s
    processor_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Took(wall_s, processor_s, int(done.stderr.split()[-1]))


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = {
            "carbon": took(
                *("import", "carbon", "--format", "electricitymaps", *zones(folder), "-o", str(folder / "carbon.csv"))
            )
        }
        requests(folder / "burst.csv")
        found["requests"] = took(
            *("import", "requests", str(folder / "burst.csv"), "--format", "burstgpt", "-o", str(folder / "r.parquet"))
        )
    what = {"carbon": f"{HOURS:,} hours of {ZONES} zones", "requests": f"{REQUESTS:,} requests"}
    for kind, one in found.items():
        print(
            f"{what[kind]:24} {one.wall_s:5.1f} s ({one.processor_s:.1f} s of processors; asked: {ASKED_S[kind]:g} s), "
            f"peak {one.peak_mb:,} MB"
        )


if __name__ == "__main__":
    main()
