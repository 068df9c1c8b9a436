"""Where results go, and how a command ends that is not left to end by itself.

stdout may be a terminal, a file, a pipe whose reader has gone, or closed: a result that nobody wants to read is no
failure of the command that found it.
"""

import errno
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console

from glbdes.base.files import reason
from glbdes.base.folders import REFUSALS

WIDTH = 100  # columns where there is no terminal to ask
AGAIN_S = 0.02  # after which a signal comes again whose exception was lost
INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM  # exit codes, as shells have them


class Refusal(click.ClickException):
    """What the user can mend, told in one message."""

    exit_code = 2


class Terminated(KeyboardInterrupt):
    """SIGTERM: everything is put away as after Ctrl-C."""


def say(text: object) -> None:
    """`text` as a line on stdout."""
    with _stdout():
        click.echo(text)


def show(parts: Iterable[Any], width: int = WIDTH) -> None:
    """Tables and lines on stdout, `width` columns wide, or as many as a terminal has if that is less."""
    seen = sys.stdout.isatty()
    wide = min(shutil.get_terminal_size().columns, width) if seen else width
    text = StringIO()
    # No markup, for it may say w[g, r]; and in a notebook, too, as text.
    console = Console(file=text, width=wide, force_terminal=seen, force_jupyter=False, highlight=False, markup=False)
    for part in parts:
        console.print(part)
    with _stdout():
        click.echo(text.getvalue(), nl=False)


def stopped(error: KeyboardInterrupt, text: str = "") -> NoReturn:
    """End a command that was interrupted, in one line on stderr."""
    terminated = isinstance(error, Terminated)
    click.echo(f"{'Terminated' if terminated else 'Interrupted'}.{' ' if text else ''}{text}", err=True)
    raise click.exceptions.Exit(TERMINATED if terminated else INTERRUPTED) from error


@contextmanager
def orderly() -> Iterator[None]:
    """Streams that were closed by the caller lead nowhere, and SIGTERM is a `Terminated`, until the block ends."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 as long as the process lives
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(*_: object) -> NoReturn:
        raise Terminated

    before, hook = signal.signal(signal.SIGTERM, terminate), sys.unraisablehook

    def lost(unraisable: "sys.UnraisableHookArgs") -> None:
        if isinstance(unraisable.exc_value, KeyboardInterrupt):
            _send_again(signal.SIGTERM if isinstance(unraisable.exc_value, Terminated) else signal.SIGINT)
        else:
            hook(unraisable)

    sys.unraisablehook = lost
    try:
        yield
    finally:
        sys.unraisablehook = hook
        signal.signal(signal.SIGTERM, before)


def _send_again(sent: signal.Signals) -> None:
    """A signal that came where no exception gets out (in a callback of the compiler, say) comes once more."""
    again = threading.Timer(AGAIN_S, os.kill, (os.getpid(), sent))
    again.daemon = True
    again.start()


@contextmanager
def _stdout() -> Iterator[None]:
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        _lead_nowhere()
        if error.errno not in (errno.EPIPE, errno.EBADF):
            raise Refusal(f"stdout: cannot be written: {reason(error)}") from error


def _lead_nowhere() -> None:
    """What is still to come, from Python's own last flush too, goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def told(error: OSError) -> Refusal | None:
    """What the system refused, as a message, if that is for the user to mend."""
    if error.errno not in REFUSALS:
        return None
    place = f"{error.filename}: " if error.filename else ""
    return Refusal(f"{place}cannot be written: {reason(error)}")
