"""Make every figure of docs/ anew, and the tables that their scripts write into pages.

    python docs/scripts/make_figures.py [NAME...]

NAME: a figure without its ending; default: all. A script that needs the data folder beside the checkout says so where
it is not there, and the next one goes on. Takes most of an hour on two cores, the tutorial and `elastic` most of it.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
FIGURES: Final = ROOT / "docs" / "figures"
MADE_BY: Final = {  # figures, by the command that makes them
    "docs/scripts/make_tutorial.py": ("front", "tutorial_burden", "tutorial_latency", "tutorial_front"),
    "docs/scripts/make_data_page.py": ("signals",),
    "docs/scripts/make_workload_page.py": ("workload_lengths",),
    "docs/scripts/make_duals.py": ("duals",),
    "docs/scripts/make_delay_knob.py": ("delay_knob",),
    "docs/scripts/make_fluid_limit.py": ("fluid_limit",),
    "docs/scripts/make_prefixes.py": ("prefixes",),
    "docs/scripts/make_elastic.py": ("elastic",),
    "bench/hardware.py --figure docs/figures/hardware.svg": ("hardware",),
    "bench/vllm.py --figure docs/figures/vllm.svg": ("vllm",),
    "bench/chunked.py --figure docs/figures/chunked.svg": ("chunked",),
}


def main() -> None:
    known = {figure for figures in MADE_BY.values() for figure in figures}
    wanted = set(sys.argv[1:]) or known
    if unknown := sorted(wanted - known):
        sys.exit(f"no figure {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    failed = []
    for command, figures in MADE_BY.items():
        if wanted & set(figures):
            print(f"== {command}", flush=True)
            if subprocess.run([sys.executable, *command.split()], cwd=ROOT, check=False).returncode:
                failed.append(command)
    if failed:
        sys.exit(f"not made anew: {'; '.join(failed)}")


if __name__ == "__main__":
    main()
