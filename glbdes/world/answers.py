"""What a policy answers, held to the contract: the only way from its hands into an engine's.

Answers may be anything. What is let through are new arrays of finite numbers in the right shape; all else is a
`PolicyError` with the rule that it breaks.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from glbdes.base import portable
from glbdes.errors import PolicyError
from glbdes.world.arrays import FOOTPRINTS, Bools, Floats, Ints

PLAN_TOLERANCE = 1e-6


def checked_plan(weights: object, mask: Bools) -> Floats:
    """`weights` as a new array, a plan whose rows sum to exactly 1, or `PolicyError` with the rule that it breaks."""
    plan = _numbers(weights, "plan() returned", mask.shape, "(gateways, regions)")
    most = np.where(mask, 1.0 + PLAN_TOLERANCE, PLAN_TOLERANCE)
    if not ((plan >= -PLAN_TOLERANCE) & (plan <= most)).all():
        raise PolicyError(_broken(plan, mask))
    # To decimals: dispatch branches on weights, and a policy's last bits need not be the same on every processor.
    plan = portable.rounded(np.where(mask, np.maximum(plan, 0.0), 0.0))
    sums = plan.sum(axis=1)
    if (np.abs(sums - 1.0) > PLAN_TOLERANCE).any():
        g = int(np.argmax(np.abs(sums - 1.0)))
        raise PolicyError(f"weights of gateway {g} sum to {sums[g]:g}, must be 1")
    return np.asarray(plan / sums[:, None], dtype=np.float64)


def checked_awake(awake: object, least: Ints, most: Ints) -> Ints:
    """`awake`, the replicas that a plan wants awake, as a new array [r], or `PolicyError`."""
    given = _numbers(awake, "plan() returned as awake", least.shape, "(regions,)")
    for rule, bad in (
        ("must be a whole number", ~(np.isfinite(given) & (given == np.round(given)))),
        ("must be >= {least}, the fewest that the region keeps awake", given < least),
        ("must be <= {most}, what the region has or may have awake", given > most),
    ):
        if bad.any():
            r = int(np.argmax(bad))
            raise PolicyError(f"awake[{r}] = {given[r]:g} replicas, {rule.format(least=least[r], most=most[r])}")
    return given.astype(np.int64)


def _broken(plan: Floats, mask: Bools) -> str:
    """The first rule that a weight of `plan` breaks."""
    for rule, bad in (
        ("must be finite", ~np.isfinite(plan)),
        ("must be >= 0", plan < -PLAN_TOLERANCE),
        ("must be 0 where the mask forbids the region", ~mask & (plan > PLAN_TOLERANCE)),
        ("must be <= 1", plan > 1.0 + PLAN_TOLERANCE),
    ):
        if bad.any():
            g, r = np.argwhere(bad)[0]
            return f"weights[{g}, {r}] = {plan[g, r]:g}, {rule}"
    raise AssertionError("a plan that breaks no rule")


def checked_duals(shown: object, regions: int, footprints: Sequence[str] = FOOTPRINTS) -> dict[str, Floats]:
    """`shown`, the attribute `duals` of a policy, as new arrays [r] by footprint. Raises `PolicyError`."""
    if shown is None:
        return {}
    if not isinstance(shown, Mapping):
        raise PolicyError(f"duals is a {type(shown).__name__}, must map footprints to prices [region]")
    duals: dict[str, Floats] = {}
    for key, value in shown.items():
        name = next((known for known in footprints if type(key) is str and key == known), None)
        if name is None:
            raise PolicyError(f"duals[{key!r}]: unknown footprint, must be one of {', '.join(footprints)}")
        duals[name] = _numbers(value, f"duals['{name}'] is", (regions,), "(regions,)")
        if not np.isfinite(duals[name]).all():
            r = int(np.argmin(np.isfinite(duals[name])))
            raise PolicyError(f"duals['{name}'][{r}] = {duals[name][r]:g}, must be finite")
        duals[name] = portable.settled(duals[name])
    return duals


def _numbers(value: object, what: str, shape: tuple[int, ...], axes: str) -> Floats:
    """`value` as a new array, or `PolicyError` unless it holds real numbers in this shape. Nothing else is converted:
    complex numbers would lose a part, texts and objects would run who knows what."""
    try:
        given = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise PolicyError(f"{what} {type(value).__name__}, must be an array of numbers: {error}") from error
    if given.dtype.kind not in "biuf":
        found = f"an array of {given.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
        raise PolicyError(f"{what} {found}, must be an array of real numbers")
    if given.shape != shape:
        raise PolicyError(f"{what} an array of shape {given.shape}, must be {axes} = {shape}")
    if given.dtype == np.float64:
        return np.array(given)
    with np.errstate(over="ignore"):  # of longer floats; what is infinite then is told
        return np.array(given, dtype=np.float64)
