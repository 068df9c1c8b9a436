"""A policy's code, called: whatever goes wrong in it is told, what is the user's is not, and nothing is left behind."""

import os
import signal
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glbdes.errors import GlbdesError, InfeasibleError, PolicyError, RefusalError
from glbdes.world import guard
from tests.bad_policies import Bang, Untellable

KINDS = [
    kind
    for kind in (
        *Exception.__subclasses__(),
        *BaseException.__subclasses__(),
        Bang,
        Untellable,
        *GlbdesError.__subclasses__(),
    )
    if kind.__module__ in ("builtins", "glbdes.errors", "tests.bad_policies") and kind is not BaseExceptionGroup
]


def raising(error: BaseException | type[BaseException]) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@given(st.sampled_from(KINDS), st.lists(st.text() | st.integers() | st.binary(), max_size=3))
def test_whatever_is_raised_is_a_policy_error_of_one_plain_message(kind, arguments):
    try:
        made = kind(*arguments)
    except Exception:  # some take certain arguments only
        return
    with pytest.raises(PolicyError) as caught:
        guard.call("policy 'x', slot 3", raising(made))
    told = str(caught.value)
    assert told.startswith("policy 'x', slot 3: ")
    assert issubclass(kind, GlbdesError) or kind.__name__ in told
    assert all(c.isprintable() or c == "\n" for c in told)
    assert len(told) < 2 * guard.MOST_TOLD
    told.encode()


def test_a_refusal_stays_one():
    with pytest.raises(RefusalError, match=r"^x: not this norm$"):
        guard.call("x", raising(RefusalError("not this norm")))
    with pytest.raises(PolicyError, match=r"^x: nothing fits$"):
        guard.call("x", raising(InfeasibleError("nothing fits")))


class Stubborn(Exception):  # noqa: N818
    """Answers to nothing: neither its class's name nor its traceback nor its kind can be had in the usual way."""

    __traceback__ = __class__ = property(lambda self: 1 / 0)  # type: ignore[assignment]

    def __str__(self) -> Any:
        return type("Text", (str,), {"__len__": lambda self: 1 / 0})("mine")


class Nameless(type):
    __name__ = __module__ = property(lambda cls: 1 / 0)  # type: ignore[assignment]


def test_nothing_is_believed_of_an_error():
    with pytest.raises(PolicyError, match=r"^x: Stubborn: mine \(.*test_guard\.py:\d+\)$"):
        guard.call("x", raising(Stubborn))
    with pytest.raises(PolicyError, match=r"^x: Anonymous: 1 \("):
        guard.call("x", raising(Nameless("Anonymous", (BaseException,), {})(1)))


@pytest.fixture
def interruptible():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(10_000_000):
        pass


def press_and_pass_on() -> None:
    try:
        press()
    except KeyboardInterrupt:
        raise


@pytest.mark.parametrize("policy", [press, press_and_pass_on])
def test_ctrl_c_is_the_users(interruptible, policy):
    with pytest.raises(KeyboardInterrupt):
        guard.call("x", policy)


def test_a_keyboard_interrupt_of_its_own_is_the_policys():
    with pytest.raises(PolicyError, match="x: KeyboardInterrupt"):
        guard.call("x", raising(KeyboardInterrupt))


def test_error_handling_and_warning_filters_are_left_as_they_were():
    errors, filters = np.geterr(), list(warnings.filters)

    def meddle(fail: bool) -> None:
        np.seterr(all="raise")
        warnings.simplefilter("error")
        warnings.filters = []
        if fail:
            raise SystemExit

    guard.call("x", meddle, False)
    assert (np.geterr(), list(warnings.filters)) == (errors, filters)
    with pytest.raises(PolicyError):
        guard.call("x", meddle, True)
    assert (np.geterr(), list(warnings.filters)) == (errors, filters)


def test_the_working_folder_is_left_as_it_was(tmp_path):
    here = os.getcwd()
    with guard.staying():
        os.chdir(tmp_path)
    assert os.getcwd() == here


def test_the_working_folder_is_left_as_it_was_whatever_is_raised(tmp_path):
    here = os.getcwd()

    def leave() -> None:
        with guard.staying():
            os.chdir(tmp_path)
            raise SystemExit

    with pytest.raises(SystemExit):
        leave()
    assert os.getcwd() == here
