"""The notebooks in examples/ run, and show what they showed when they were written."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((REPOSITORY / "examples").glob("*.ipynb"))
DATA = REPOSITORY / "../shared/data/real"
MOST_BYTES = 200_000  # of a notebook with its outputs


def cells(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def shown(path):
    """What a notebook's cells show as text: tables and lines, without pictures and widths of columns."""
    for cell in cells(path):
        for output in cell.get("outputs", []):
            text = "".join(output.get("text") or output.get("data", {}).get("text/plain", []))
            yield re.sub(r"\s+", " ", text)


def test_there_are_three():
    assert [path.stem for path in NOTEBOOKS] == ["first_finding", "own_policy", "real_data"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_executed_and_small_and_needs_no_network(path):
    assert path.stat().st_size < MOST_BYTES
    code = [cell for cell in cells(path) if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in code)
    outputs = [output for cell in code for output in cell["outputs"]]
    assert any("image/svg+xml" in output.get("data", {}) for output in outputs)
    assert all(output["output_type"] != "error" for output in outputs)
    text = json.dumps(outputs)
    assert "<script" not in text
    assert "Traceback" not in text
    assert not re.search(r"/(tmp|home|root|work)/", text)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_shows_again_what_it_shows(path, tmp_path):
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    if path.stem == "real_data" and not DATA.is_dir():
        pytest.skip("needs ../shared/data/real")
    script = REPOSITORY / "docs/scripts/make_notebooks.py"
    code = f"""
import runpy, nbformat
from pathlib import Path
made = runpy.run_path({str(script)!r})["executed"](Path({str(path)!r}))
nbformat.write(made, {str(tmp_path / path.name)!r})
"""
    environment = {**os.environ, "GLBDES_DATA": str(DATA), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert list(shown(tmp_path / path.name)) == list(shown(path))
