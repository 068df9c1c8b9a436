"""Policies that each break the contract in one way; loaded by name, as a user's own would be."""

import numpy as np

from glbdes.world import Floats, View


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
