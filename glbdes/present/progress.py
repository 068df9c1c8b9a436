"""How far something has come, shown by itself where somebody is looking: in a notebook, or in a terminal.

A bar is on stderr and vanishes when all is done. Where nobody looks (a pipe, a file, a job) there is none.
"""

import html
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal, NamedTuple

Advance = Callable[[int, int], None]  # how many have ended, of how many
Tell = Callable[[str], None]  # what takes its time without any ending
Wanted = Advance | Literal[False] | None  # one's own, none, or by itself

OFTEN_S: Final = 0.2  # a notebook is not told more often than this


class Shown(NamedTuple):
    """What advances the bar, and what writes a line above it; None where nothing is shown."""

    advance: Advance | None
    tell: Tell | None


@contextmanager
def shown(wanted: Wanted, what: str, *, speed: bool = False) -> Iterator[Shown]:
    """The bar that is `wanted`, counting `what` ("requests"), with their `speed` if that says something."""
    if wanted is False or callable(wanted):
        yield Shown(wanted or None, None)
    elif _in_notebook():
        yield from _notebook(what)
    elif sys.stderr is not None and sys.stderr.isatty():
        yield from _terminal(what, speed)
    else:
        yield Shown(None, None)


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this, and somebody may see rich output."""
    shell = sys.modules.get("IPython")
    found = None if shell is None else shell.get_ipython()
    return found is not None and type(found).__name__ == "ZMQInteractiveShell"


def _terminal(what: str, speed: bool) -> Iterator[Shown]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    told = f"{{task.completed:,.0f}} {what}, {{task.fields[speed]:,.0f}}/s, left" if speed else f"{what}, left"
    count = TaskProgressColumn() if speed else MofNCompleteColumn()
    columns = (BarColumn(), count, TextColumn(told), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, speed=0.0)

        def advance(ended: int, expected: int) -> None:
            elapsed_s = bar.tasks[task].elapsed or 0.0
            per_s = ended / elapsed_s if elapsed_s > 0 else 0.0
            bar.update(task, completed=ended, total=max(expected, ended), speed=per_s)

        yield Shown(advance, lambda text: bar.console.print(f"({text})"))


def _notebook(what: str) -> Iterator[Shown]:
    """A bar of plain HTML, which needs no widgets, and is empty at the end."""
    from IPython.display import HTML, display  # type: ignore[import-not-found,unused-ignore]  # there, or we are not here

    handle: Any = display(HTML(""), display_id=True)  # type: ignore[no-untyped-call,unused-ignore]
    begin_s, last_s = time.monotonic(), 0.0

    def advance(ended: int, expected: int) -> None:
        nonlocal last_s
        now_s = time.monotonic()
        if now_s - last_s >= OFTEN_S:
            last_s = now_s
            handle.update(HTML(bar(ended, max(expected, ended), what, now_s - begin_s)))  # type: ignore[no-untyped-call,unused-ignore]

    def tell(text: str) -> None:
        handle.update(HTML(f"<p>({html.escape(text)})</p>"))  # type: ignore[no-untyped-call,unused-ignore]

    try:
        yield Shown(advance, tell)
    finally:
        handle.update(HTML(""))  # type: ignore[no-untyped-call,unused-ignore]


def bar(ended: int, expected: int, what: str, elapsed_s: float) -> str:
    """A bar as HTML, with the seconds that are left if they can be told."""
    left = f", {elapsed_s * (expected - ended) / ended:,.0f} s left" if ended else ""
    told = f"{ended:,} of {expected:,} {html.escape(what)}{left}"
    return f'<progress value="{ended}" max="{max(expected, 1)}"></progress> {told}'
