"""Execute the notebooks in examples/ and keep what they show: `python docs/scripts/make_notebooks.py [NAME...]`.

The one on real data needs files that are not the project's: GLBDES_DATA says in which folder they are. What a notebook
writes goes to a folder that vanishes.
"""

import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TIMEOUT_S = 600


def executed(path: Path) -> nbformat.NotebookNode:
    """The notebook in `path` with its outputs. Raises `CellExecutionError` for what fails."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=TIMEOUT_S, kernel_name="python3", resources=resources).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times
        if "outputs" in cell:
            cell.outputs = [one for one in cell.outputs if not _empty(one)]
    return notebook


def _empty(output: nbformat.NotebookNode) -> bool:
    """What a bar leaves behind when all is done."""
    return output.output_type == "display_data" and output.data.get("text/html") == ""


def main() -> None:
    names = sys.argv[1:] or sorted(path.stem for path in EXAMPLES.glob("*.ipynb"))
    for name in names:
        path = EXAMPLES / f"{name}.ipynb"
        notebook = executed(path)
        text = re.sub(r'"version": "3\.\d+\.\d+"', '"version": "3"', nbformat.writes(notebook))
        path.write_text(text + "\n", encoding="utf-8")
        print(f"{path.name}: {len(text) / 1000:,.0f} kB")


if __name__ == "__main__":
    main()
