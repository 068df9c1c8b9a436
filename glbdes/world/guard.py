"""How a policy's own code is called: whatever goes wrong in it is a `PolicyError`, and the process stays as it was.

A policy may be anything, so anything may come of it: `sys.exit`, an exception that cannot be told, another working
folder. None of that may end a run as if it had succeeded, nor move what is written. A policy still runs with the user's
rights; this keeps mistakes from passing, not malice.
"""

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dis import opmap
from pathlib import Path
from types import AsyncGeneratorType, CoroutineType, GeneratorType, TracebackType
from typing import Final, ParamSpec, TypeVar

import numpy as np

from glbdes.errors import GlbdesError, PolicyError, RefusalError, printable

Given = ParamSpec("Given")
Result = TypeVar("Result")

MOST_TOLD: Final = 1000  # characters of a policy's own message
_NAME, _MODULE = vars(type)["__name__"], vars(type)["__module__"]  # whatever a class makes of them
_LATER: Final = (CoroutineType, GeneratorType, AsyncGeneratorType)
_PACKAGE: Final = str(Path(__file__).resolve().parents[1]) + os.sep
_RAISE: Final = bytes([opmap["RAISE_VARARGS"]])


def call(told: str, function: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result:
    """`function(*args, **kwargs)`, which is a policy's code or runs some. `told` says whose, and when.

    Raises `PolicyError` for all that the function raises or exits by, but Ctrl-C; a `RefusalError` stays one. Warning
    filters and NumPy's error handling are afterwards as they were before.
    """
    filters = list(warnings.filters)
    try:
        with np.errstate():
            return function(*args, **kwargs)
    except BaseException as error:
        trace = sys.exc_info()[2]
        if _from_outside(error, trace):
            raise
        kind = RefusalError if issubclass(type(error), RefusalError) else PolicyError
        raise kind(f"{plain(told, '')}: {_said(error, trace)}") from error
    finally:
        if warnings.filters != filters:
            warnings.filters = filters


@contextmanager
def staying() -> Iterator[None]:
    """The working folder is afterwards what it was before, wherever policies have gone meanwhile."""
    folder = os.getcwd()
    try:
        yield
    finally:
        if _folder() != folder:
            os.chdir(folder)


def ran(result: Result, what: str) -> Result:
    """What calling `what` returned. Raises `PolicyError` if that is no result, but a promise to run it later."""
    if isinstance(result, _LATER):
        if isinstance(result, CoroutineType):
            result.close()  # or Python says that nobody awaited it
        kind = type(result).__name__
        raise PolicyError(f"{what} returned a {kind}, so nothing of it has run: must do without async and yield")
    return result


def _folder() -> str | None:
    """The working folder; None if it is gone."""
    try:
        return os.getcwd()
    except OSError:
        return None


def _from_outside(error: BaseException, trace: TracebackType | None) -> bool:
    """Whether `error` interrupted the policy: Ctrl-C, or what this package has for signals.

    Ctrl-C strikes between two instructions. Where the innermost one is a `raise` of the policy's, it is no Ctrl-C.
    """
    if issubclass(type(error), Exception):
        return False
    if type(error) is not KeyboardInterrupt:
        module = _MODULE.__get__(type(error))
        return type(module) is str and module.startswith("glbdes.")
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return True
    code = trace.tb_frame.f_code
    return code.co_filename.startswith(_PACKAGE) or code.co_code[trace.tb_lasti :][:1] != _RAISE


def _said(error: BaseException, trace: TracebackType | None) -> str:
    """What `error` says, and where it was raised. Of the error itself, nothing is believed."""
    kind = str(_NAME.__get__(type(error)))
    try:
        text = "".join([str(error)])  # a plain one, even if it was not
    except BaseException:  # a message of the policy's own making may raise anything, too
        text = "whose message cannot be had"
    if issubclass(type(error), GlbdesError):
        return plain(text)
    return plain(f"{kind}: {text}" if text else kind) + _where(trace)


def plain(text: str, kept: str = "\n") -> str:
    """`text` without what a terminal might obey or could not show, but `kept`, and not longer than anybody reads."""
    shown = text if len(text) <= MOST_TOLD else f"{text[:MOST_TOLD]}..."
    return printable(shown, kept)


def _where(trace: TracebackType | None) -> str:
    """The innermost line outside of this package and of Python's import machinery, in brackets."""
    place = ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith((_PACKAGE, "<frozen")):
            place = f" ({file}:{trace.tb_lineno})"
        trace = trace.tb_next
    return place
