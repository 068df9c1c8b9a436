"""Run every command of docs/tutorial.md and put what it prints, and the figures, where the page shows them.

    python docs/scripts/make_tutorial.py [--keep FOLDER]

A fenced block that begins with `$ command` is rerun in the order of the page and its output replaced. Python blocks
that are followed by a `text` block are run too, in one session. Takes some minutes on two cores, most of them
for the sweep of 42 runs. With --keep, work in that folder, where a sweep that was interrupted goes on.
"""

import argparse
import contextlib
import io
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from typed import console

DOCS = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"```(console|python)\n(.*?)```(\n\n```text\n.*?```)?", re.DOTALL)
RUNS = ("first", "comparison", "within", "wider")  # folders that commands of the page make, but for the sweep's
FIGURES = {  # file that a command of the page makes -> its name in docs/figures
    "comparison_figures/front.svg": "front.svg",
    "comparison_figures/burden.svg": "tutorial_burden.svg",
    "comparison_figures/latency.svg": "tutorial_latency.svg",
    "front_figures/front.svg": "tutorial_front.svg",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path)
    keep = parser.parse_args().keep
    work = keep or Path(tempfile.mkdtemp(prefix="tutorial-"))
    work.mkdir(exist_ok=True)
    for name in RUNS:
        shutil.rmtree(work / name, ignore_errors=True)
    for file in (DOCS / "scripts" / "tutorial").iterdir():
        if file.is_file():
            shutil.copy(file, work)
    page = DOCS / "tutorial.md"
    session: dict[str, object] = {}
    os.chdir(work)
    sys.path.insert(0, str(work))
    page.write_text(BLOCK.sub(lambda found: rerun(found, session), page.read_text(encoding="utf-8")), encoding="utf-8")
    for made, name in FIGURES.items():
        shutil.copy(work / made, DOCS / "figures" / name)
    if keep is None:
        shutil.rmtree(work)


def rerun(found: re.Match[str], session: dict[str, object]) -> str:
    kind, body, output = found.groups()
    if kind == "python":
        if output is None:
            return found.group()
        told = io.StringIO()
        with contextlib.redirect_stdout(told):
            exec(body, session)
        return f"```python\n{body}```\n\n```text\n{told.getvalue().rstrip()}\n```"
    command = body.splitlines()[0].removeprefix("$ ")
    return console(command, [f"$ {command}"])


if __name__ == "__main__":
    main()
