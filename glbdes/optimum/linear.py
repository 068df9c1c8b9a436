"""Linear programmes for HiGHS that grow by rows, begin at a basis, and are held to their certificate.

    min c x    s.t.  lower <= A x <= upper,  lowest <= x <= highest                                               (L)

A solution counts only with a dual one: prices of the rows, and d = c - A' prices of the columns, that may be negative
only where there is an upper bound to hold, and positive only where there is a lower one. Their value, every price times
the bound that it holds, is one that no x can be below; it must be the value of x itself.
"""

from math import fsum
from typing import Any, Final, Literal, NamedTuple

import highspy
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from glbdes.errors import InfeasibleError, InvariantError

Floats = NDArray[np.float64]
Method = Literal["simplex", "ipm"]  # the interior-point method crosses over to a vertex, too

GAP: Final = 1e-7  # relative: how far primal and dual value may be apart
_INFEASIBLE: Final = (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible)


class Rows(NamedTuple):
    """Of (L): `matrix` [m, n] and its bounds [m], which may be infinite."""

    matrix: csr_array
    lower: Floats
    upper: Floats


class Basis(NamedTuple):
    """HiGHS's status of each column [n] and row [m] at a vertex."""

    columns: NDArray[np.object_]
    rows: NDArray[np.object_]


class Solution(NamedTuple):
    """Optimal, and certified."""

    x: Floats  # [n]
    price: Floats  # [m] > 0 where a lower bound holds, < 0 where an upper one does
    value: float
    dual: float  # what the prices prove that no x can be below


class _Quiet(highspy.Highs):
    def enableCallbacks(self) -> Any:  # noqa: N802  (HiGHS's name; the constructor calls it, which prints a banner)
        self.silent()
        return super().enableCallbacks()  # type: ignore[no-untyped-call]  # as all of highspy.Highs


class Programme:
    """(L). Solve, add rows, solve again: HiGHS goes on from the vertex before."""

    def __init__(self, cost: Floats, lowest: Floats, highest: Floats, rows: Rows) -> None:
        """Columns [n] with their cost and bounds, and the first rows."""
        self._cost, self._lowest, self._highest = cost, lowest, highest
        self._rows = [rows]
        self._highs = _Quiet()  # type: ignore[no-untyped-call]
        self._highs.setOptionValue("threads", 1)
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = len(cost), len(rows.lower)
        lp.col_cost_, lp.col_lower_, lp.col_upper_ = cost, lowest, highest
        lp.row_lower_, lp.row_upper_ = rows.lower, rows.upper
        matrix: Any = lp.a_matrix_
        matrix.format_ = highspy.MatrixFormat.kRowwise
        matrix.start_, matrix.index_, matrix.value_ = rows.matrix.indptr, rows.matrix.indices, rows.matrix.data
        self._highs.passModel(lp)

    def add(self, rows: Rows) -> None:
        """More rows, after those that there are."""
        self._rows.append(rows)
        start, index, value = rows.matrix.indptr[:-1], rows.matrix.indices, rows.matrix.data
        start, index = start.astype(np.int32), index.astype(np.int32)
        self._highs.addRows(len(rows.lower), rows.lower, rows.upper, len(value), start, index, value)

    def begin_at(self, basis: Basis) -> None:
        """Begin at `basis`, which HiGHS completes to one if it is none of this programme."""
        start = highspy.HighsBasis()
        start.col_status, start.row_status = list(basis.columns), list(basis.rows)
        start.alien = start.valid = True
        self._highs.setBasis(start)

    def basis(self) -> Basis:
        """Of the vertex that was found last."""
        found = self._highs.getBasis()
        return Basis(np.array(found.col_status, dtype=object), np.array(found.row_status, dtype=object))

    def solve(self, method: Method = "simplex") -> Solution:
        """Raises `InfeasibleError` if no x will do, `InvariantError` if HiGHS's answer fails its certificate."""
        self._highs.setOptionValue("solver", method)
        self._highs.run()
        status = self._highs.getModelStatus()
        if status in _INFEASIBLE:
            raise InfeasibleError("no solution: a linear programme's rows contradict one another")
        if status != highspy.HighsModelStatus.kOptimal:
            told = self._highs.modelStatusToString(status)
            raise InvariantError(f"HiGHS did not solve a linear programme: {told}")
        if len(self._rows) > 1:
            lower, upper = (np.concatenate(bounds) for bounds in list(zip(*self._rows, strict=True))[1:])
            self._rows = [Rows(csr_array(vstack([rows.matrix for rows in self._rows])), lower, upper)]
        found = self._highs.getSolution()
        return self._certified(np.array(found.col_value), np.array(found.row_dual))

    def _certified(self, x: Floats, price: Floats) -> Solution:
        rows = self._rows[0]
        reduced = self._cost - rows.matrix.T @ price
        of_rows, wrong_rows = _held(price, rows.lower, rows.upper)
        of_columns, wrong_columns = _held(reduced, self._lowest, self._highest)
        value, dual = fsum(self._cost * x), of_rows + of_columns
        violated = max(wrong_rows, wrong_columns) / max(float(np.abs(self._cost).max()), 1e-300)
        gap = abs(value - dual) / max(abs(value), 1.0)
        if not (gap <= GAP and violated <= GAP):
            told = f"duality gap {gap:g}, dual violated by {violated:g}"
            raise InvariantError(f"linear programme without certificate: {told}")
        return Solution(x, price, value, dual)


def _held(price: Floats, lower: Floats, upper: Floats) -> tuple[float, float]:
    """The value of prices at the bounds that they hold, and the largest of those that hold none."""
    bound = np.where(price > 0, lower, upper)
    finite = np.isfinite(bound)
    return fsum(price[finite] * bound[finite]), float(np.abs(price[~finite]).max(initial=0.0))
