"""Policies that each break the contract in one way; loaded by name, as a user's own would be."""

import sys
from typing import Any

import numpy as np

from glbdes.errors import InfeasibleError
from glbdes.world import Floats, Outcome, View


class Good:
    """The plan that the others spoil: equal shares of the allowed regions."""

    def plan(self, view: View) -> Floats:
        return view.mask / view.mask.sum(axis=1, keepdims=True)


class NaN(Good):
    def plan(self, view: View) -> Floats:
        return np.full(view.mask.shape, np.nan)


class WrongShape(Good):
    def plan(self, view: View) -> Floats:
        return super().plan(view).T[:-1]


class Negative(Good):
    def plan(self, view: View) -> Floats:
        weights = super().plan(view)
        weights[0, 0] -= 2.0
        weights[0, 1] += 2.0
        return weights


class NotOne(Good):
    def plan(self, view: View) -> Floats:
        return 2.0 * super().plan(view)


class Forbidden(Good):
    def plan(self, view: View) -> Floats:
        return np.full(view.mask.shape, 1.0 / view.mask.shape[1])


class Nothing(Good):
    def plan(self, view: View) -> None:  # type: ignore[override]
        return None


class Raises(Good):
    def plan(self, view: View) -> Floats:
        raise KeyError("no such hour")


class RaisesLate(Good):
    """Fails only after a slot has been written."""

    def plan(self, view: View) -> Floats:
        if view.slot == 1:
            raise ZeroDivisionError("slot 1")
        return super().plan(view)


class Writes(Good):
    """Tries to change what it is shown."""

    def plan(self, view: View) -> Floats:
        view.demand_rps[0] = 0.0
        return super().plan(view)


class ObserveRaises(Good):
    def observe(self, outcome: object) -> None:
        raise RuntimeError("cannot learn")


class NoPlan:
    pass


class NeedsArgument(Good):
    def __init__(self, step: float) -> None:
        self.step = step


class Untellable(Exception):  # noqa: N818
    """Its message raises, too."""

    def __str__(self) -> str:
        raise SystemExit(0)

    __repr__ = __str__


class Bang(BaseException):
    """Not even an `Exception`."""


class Exits(Good):
    def plan(self, view: View) -> Floats:
        sys.exit(0)


class ExitsLate(Good):
    def observe(self, outcome: Outcome) -> None:
        sys.exit(0)


class ExitsInConstructor(Good):
    def __init__(self) -> None:
        sys.exit(0)


class IsExit(Good):
    plan = staticmethod(sys.exit)  # type: ignore[assignment]


class Bangs(Good):
    def plan(self, view: View) -> Floats:
        raise Bang("gone")


class Interrupts(Good):
    def plan(self, view: View) -> Floats:
        raise KeyboardInterrupt


class CannotBeTold(Good):
    def plan(self, view: View) -> Floats:
        raise Untellable


class CannotBeToldBase(Good):
    def observe(self, outcome: Outcome) -> None:
        raise type("Untold", (Untellable, BaseException), {})


class SaysTooMuch(Good):
    def plan(self, view: View) -> Floats:
        raise ValueError("\x1b[2J\ud800" + "far too long " * 10_000)


class RaisesOurs(Good):
    def plan(self, view: View) -> Floats:
        raise InfeasibleError("nothing fits")


class Complex(Good):
    def plan(self, view: View) -> Any:
        return super().plan(view) + 1j


class Objects(Good):
    def plan(self, view: View) -> Any:
        return super().plan(view).astype(object)


class Texts(Good):
    def plan(self, view: View) -> Any:
        return super().plan(view).astype(str)


class Huge(Good):
    def plan(self, view: View) -> Any:
        return np.broadcast_to(0.5, (1 << 40, 1 << 10))


class Later(Good):
    async def plan(self, view: View) -> Floats:  # type: ignore[override]
        return super().plan(view)


class Yields(Good):
    def plan(self, view: View) -> Any:
        yield super().plan(view)


class YieldsLate(Good):
    def observe(self, outcome: Outcome) -> Any:
        yield outcome


class ExitsAsArray(Good):
    def plan(self, view: View) -> Any:
        return self

    def __array__(self, *args: object, **kwargs: object) -> Floats:
        sys.exit(0)


class LiesAsArray(Good):
    def plan(self, view: View) -> Any:
        return self

    def __array__(self, *args: object, **kwargs: object) -> Any:
        return "no array"


class NoPlanToBeHad(Good):
    @property
    def plan(self) -> Any:  # type: ignore[override]
        raise RuntimeError("no plan today")


class DualsOfOne(Good):
    duals: Any = {"carbon": 1.0}  # noqa: RUF012


class DualsOfTooMany(Good):
    duals: Any = {"carbon": [1.0, 2.0, 3.0]}  # noqa: RUF012


class DualsNaN(Good):
    duals: Any = {"water": [1.0, np.nan]}  # noqa: RUF012


class DualsOfNothing(Good):
    duals: Any = {"noise": [1.0, 2.0]}  # noqa: RUF012


class DualsOfSomething(Good):
    duals: Any = ((1.0, 2.0), (3.0, 4.0))


class DualsThatRaise(Good):
    @property
    def duals(self) -> Any:
        return self.no_such_thing  # type: ignore[attr-defined]


class DualsThatExit(Good):
    @property
    def duals(self) -> Any:
        sys.exit(0)


class ObserveThatRaises(Good):
    @property
    def observe(self) -> Any:
        raise AttributeError("no ears")
