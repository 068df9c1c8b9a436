"""Progress is shown where somebody looks, and nowhere else."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from glbdes.present import progress


def test_nobody_looks_at_a_pipe():
    with progress.shown(None, "runs") as bar:
        assert bar == (None, None)


def test_ones_own_is_called_and_false_is_none():
    own = lambda ended, expected: None  # noqa: E731
    with progress.shown(own, "runs") as bar:
        assert bar.advance is own
    with progress.shown(False, "runs") as bar:
        assert bar == (None, None)


@pytest.mark.parametrize("speed", [False, True])
def test_a_terminal_has_a_bar_that_vanishes(monkeypatch, capsys, speed):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress.shown(None, "runs", speed=speed) as bar:
        bar.advance(1, 4)
        bar.advance(5, 4)
        bar.tell("compiling")
    assert "compiling" in capsys.readouterr().err


def test_a_notebook_has_a_bar_of_html(monkeypatch):
    shown = []

    class ZMQInteractiveShell:
        pass

    shell, display = ModuleType("IPython"), ModuleType("IPython.display")
    shell.get_ipython = ZMQInteractiveShell
    display.HTML = str
    display.display = lambda text, display_id: SimpleNamespace(update=shown.append)
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    with progress.shown(None, "runs") as bar:
        bar.advance(1, 4)
        bar.tell("a < b")
    assert "1 of 4 runs" in shown[0]
    assert '<progress value="1" max="4">' in shown[0]
    assert shown[1:] == ["<p>(a &lt; b)</p>", ""]
