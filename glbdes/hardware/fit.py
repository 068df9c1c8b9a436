"""From measurements of a device to a profile: least squares on relative errors, and what they leave.

Fits minimise the sum of squared *relative* errors, so that an iteration of 7 ms and one of 25 ms count alike, and no
coefficient of an iteration may be negative. What was measured on the bare device (a grid of decode iterations, prompts
back to back) and what a served run shows beyond it are fitted one after the other and stay apart in the profile.
Reading measurement files is in `gpu.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from pydantic import ValidationError
from scipy.optimize import least_squares, nnls

from glbdes.errors import ProfileError
from glbdes.hardware.derived import derived
from glbdes.hardware.measurements import Floats, Ints, Measurements, Residual, Served, Work
from glbdes.hardware.profile import Iteration, Prefill, Profile, Serving
from glbdes.scenario.complaints import complaints

PAD_TOKENS: Final = 128  # the measured server pads a prompt to a multiple of this, up to its longest graph
# Weight of "the factor of served prompts does not change with length" against one served prompt. It decides only
# where no prompt of a length was served.
FLATNESS: Final = 0.01
FULL_TOKENS: Final = 512  # a prompt of so many tokens keeps all of the device busy
GAP_S: Final = 0.001  # a prompt that begins within this of another's end follows straight behind it
HICCUP: Final = 0.01  # relative errors of steps beyond this count by their size, no longer by its square


def fit_profile(
    measured: Measurements, *, graph_tokens: int | None = None, serving_of: Profile | None = None
) -> tuple[Profile, list[Residual]]:
    """The profile that explains `measured` best, and its residuals.

    `graph_tokens`: longest prompt that was measured as it will be served; longer ones are ignored and extrapolated.
    `serving_of`: whose serving overhead to assume if there is no served run; with neither, the overhead is zero. Of
    served runs, the host's time is fitted to all together, for it grows with the batch and must not be extrapolated;
    the rest, prompts and energy, to the one of the lowest rate.

    Raises `ProfileError` if fewer than three decode iterations or two prompts are there, they do not tell the
    coefficients apart, or what explains them is no profile.
    """
    try:
        with np.errstate(all="ignore"):  # what is not finite is found by the profile's own rules
            return _fitted(measured, graph_tokens, serving_of)
    except ValidationError as error:
        told = "; ".join(complaints(error, Profile))
        raise ProfileError(f"{measured.name}: the fit is no profile: {told}") from error
    except (np.linalg.LinAlgError, ValueError, RuntimeError, ZeroDivisionError) as error:
        raise ProfileError(f"{measured.name}: the measurements cannot be fitted: {error}") from error


def _fitted(
    measured: Measurements, graph_tokens: int | None, serving_of: Profile | None
) -> tuple[Profile, list[Residual]]:
    iteration, residuals = _iteration(measured)
    prefill = _prefill(measured, graph_tokens)
    serving = Serving()
    if measured.served:
        serving, more = _serving(iteration, prefill, measured)
        residuals += more
    elif serving_of is not None:
        serving = _assumed(serving_of, prefill)
    profile = Profile(
        name=measured.name,
        gpu=measured.gpu,
        model=measured.model,
        max_batch=measured.max_batch,
        kv_tokens=measured.kv_tokens,
        idle_w=measured.idle_w,
        sleep_w=measured.bare_w,
        iteration=iteration,
        prefill=prefill,
        serving=serving,
    )
    return profile.model_copy(update={"chunked": derived(profile)}), residuals


def residual_rows(residuals: Sequence[Residual]) -> list[tuple[str, str, str, str, str]]:
    """The residuals as text, for a table with the columns of `RESIDUAL_COLUMNS`."""
    return [(r.what, f"{r.points}", f"{r.mean:.2%}", f"{r.worst:.2%}", r.worst_at) for r in residuals]


RESIDUAL_COLUMNS: Final = ("fitted", "points", "mean error", "worst error", "worst at")


def _iteration(measured: Measurements) -> tuple[Iteration, list[Residual]]:
    """Time and energy of an iteration as a + beta*b + gamma*K."""
    decode = measured.decode
    terms = np.column_stack([np.ones(len(decode.batch)), decode.batch, decode.context])
    if np.linalg.matrix_rank(terms / terms.max(axis=0)) < terms.shape[1]:
        raise ProfileError(
            f"{measured.name}: decode has {len(terms)} iterations that do not tell a, beta and gamma apart, must vary "
            "batch and context independently"
        )
    where = [
        f"batch {b}, {k // b} tokens each" for b, k in zip(decode.batch.tolist(), decode.context.tolist(), strict=True)
    ]
    time, energy = _relative_nnls(terms, decode.time_s), _relative_nnls(terms, decode.energy_j)
    residuals = [
        _residual("iteration time", terms @ time, decode.time_s, where),
        _residual("iteration energy", terms @ energy, decode.energy_j, where),
    ]
    names = Iteration.model_fields
    return Iteration(**dict(zip(names, [*time.tolist(), *energy.tolist()], strict=True))), residuals


def _prefill(measured: Measurements, graph_tokens: int | None) -> Prefill:
    """The measured prompts themselves, without lengths that are padded to another one and say nothing more."""
    prompts = measured.prompts
    keep = prompts.tokens % PAD_TOKENS == 0
    if graph_tokens is not None:
        keep &= prompts.tokens <= graph_tokens
    if keep.sum() < 2:
        limit = f" up to {graph_tokens} tokens" if graph_tokens is not None else ""
        kind = f"lengths that are a multiple of {PAD_TOKENS} tokens{limit}"
        raise ProfileError(f"{measured.name}: prefill has {keep.sum()} {kind}, must have at least 2")
    return Prefill(
        pad_tokens=PAD_TOKENS,
        tokens=tuple(prompts.tokens[keep].tolist()),
        time_s=tuple(prompts.time_s[keep].tolist()),
        energy_j=tuple(prompts.energy_j[keep].tolist()),
        beyond_s=_growth(prompts.tokens, prompts.time_s),
    )


def _growth(tokens: Ints, measured: Floats) -> tuple[float, float] | None:
    """Seconds that a token and a squared token add to prompts that fill the device; None if fewer than three did.

    Shorter prompts leave it half empty, and would bend the curve by that. Prompts beyond `graph_tokens` count too: what
    is constant in their time, because they were run otherwise, is no growth.
    """
    long = tokens >= FULL_TOKENS
    if long.sum() < 3:
        return None
    terms = np.column_stack([np.ones(long.sum()), tokens[long], tokens[long].astype(np.float64) ** 2])
    _, each, square = _relative_nnls(terms, measured[long]).tolist()
    return each, square


def _serving(iteration: Iteration, prefill: Prefill, measured: Measurements) -> tuple[Serving, list[Residual]]:
    """What served runs took beyond the bare device."""
    lowest = min(measured.served)
    run, at = measured.served[lowest], f"served at {lowest:g}/s"
    (iteration_s, request_s), steps = _host(iteration, measured.served)
    factor, chained, prompts = _prefill_factors(prefill, run.work, at)
    serving = Serving(
        source=f"host time fitted to {_runs(measured.served)}; prompts and energy to that {at}",
        iteration_s=iteration_s,
        request_s=request_s,
        prefill_factor=factor,
        chained_factor=chained,
        energy_factor=_energy_factor(iteration, prefill, measured, run),
    )
    return serving, [*steps, prompts]


def _runs(served: Mapping[float, Served]) -> str:
    rates = [f"{rate:g}/s" for rate in sorted(served)]
    return f"the run{'s' * (len(rates) > 1)} served at {' and '.join(rates)}"


def _host(iteration: Iteration, served: Mapping[float, Served]) -> tuple[tuple[float, float], list[Residual]]:
    """Seconds of the host in a step, and for each request in it, over all steps of all runs; and what they leave.

    The term per request is robust: least squares on relative errors as long as these are small, for a step during which
    the host did something else is ten times as far off as others and says nothing of its batch. What such hiccups take
    on average is in the constant.
    """
    found = {rate: _steps(run.work) for rate, run in served.items()}
    batch = np.concatenate([decode.batch for decode, _ in found.values()])
    step_s = np.concatenate([seconds for _, seconds in found.values()])
    bare_s = np.concatenate([_bare_s(iteration, decode) for decode, _ in found.values()])
    terms = np.column_stack([np.ones(len(batch)), batch])
    begin = _relative_nnls(terms, step_s - bare_s, step_s)
    scale = np.array([1e-4, 1e-5])  # seconds, about what it comes to

    def error(x: Floats) -> Floats:
        return np.asarray((bare_s + terms @ (x * scale)) / step_s - 1.0)

    solved = least_squares(
        error,
        begin / scale,
        bounds=(0.0, np.inf),
        loss="soft_l1",
        f_scale=HICCUP,
    )
    request_s = float(solved.x[1] * scale[1])
    iteration_s = max(float(np.mean(step_s - bare_s - request_s * batch)), 0.0)
    residuals = []
    for rate, (decode, seconds) in found.items():
        fitted_s = _bare_s(iteration, decode) + iteration_s + request_s * decode.batch
        where = [f"batch {b}" for b in decode.batch.tolist()]
        residuals.append(_residual(f"iteration time, served at {rate:g}/s", fitted_s, seconds, where))
    return (iteration_s, request_s), residuals


def _bare_s(iteration: Iteration, decode: Work) -> Floats:
    return np.asarray(iteration.a_s + iteration.beta_s * decode.batch + iteration.gamma_s * decode.tokens)


def _steps(work: Work) -> tuple[Work, Floats]:
    """Decode iterations that another one follows, and the time from one to the next: the host's part is in it."""
    followed = np.append(~work.is_prompt[:-1] & ~work.is_prompt[1:], False)
    return work.only(followed), np.diff(work.begin_s)[followed[:-1]]


def _prefill_factors(prefill: Prefill, work: Work, at: str) -> tuple[tuple[float, ...], float, Residual]:
    """Time of a served prompt / a bare one at each measured length, linear between knots a factor of two apart; and how
    much longer one takes that begins where another ended."""
    behind = np.append(
        False, work.is_prompt[:-1] & (np.diff(work.begin_s) < work.end_s[:-1] - work.begin_s[:-1] + GAP_S)
    )
    prompts, behind = work.only(work.is_prompt), behind[work.is_prompt]
    measured_s = prompts.end_s - prompts.begin_s
    padded = np.minimum(-(-prompts.tokens // prefill.pad_tokens) * prefill.pad_tokens, prefill.tokens[-1])
    bare_s = np.interp(padded, prefill.tokens, prefill.time_s)
    knots = _knots(prefill)
    hats = np.column_stack([np.interp(padded, knots, unit) for unit in np.eye(len(knots))])
    flat = FLATNESS * np.diff(np.eye(len(knots)), axis=0)
    # Served over bare, not bare over served: prompts that took long must not count less, queues are made of them.
    ratio = measured_s / bare_s
    at_knots, *_ = np.linalg.lstsq(
        np.vstack([hats[~behind], flat]), np.concatenate([ratio[~behind], np.zeros(len(flat))]), rcond=None
    )
    alone = hats @ at_knots
    chained = float((ratio / alone)[behind].mean()) if behind.any() else 1.0
    where = [f"{n} tokens" for n in prompts.tokens.tolist()]
    fitted_s = np.where(behind, chained, 1.0) * alone * bare_s
    residual = _residual(f"prompt time, {at}", fitted_s, measured_s, where)
    return tuple(np.interp(prefill.tokens, knots, at_knots).tolist()), chained, residual


def _knots(prefill: Prefill) -> list[int]:
    """Lengths a factor of two apart, from the shortest to the longest measured one."""
    knots = [prefill.tokens[0]]
    while 2 * knots[-1] < prefill.tokens[-1]:
        knots.append(2 * knots[-1])
    return [*knots, prefill.tokens[-1]]


def _energy_factor(iteration: Iteration, prefill: Prefill, measured: Measurements, run: Served) -> float:
    """Energy of the run beyond idleness / what its work takes on the bare device."""
    work = run.work
    batch, tokens = work.batch[~work.is_prompt], work.tokens[~work.is_prompt]
    decode_j = float((iteration.e0_j + iteration.e1_j * batch + iteration.e2_j * tokens).sum())
    padded = -(-work.tokens[work.is_prompt] // prefill.pad_tokens) * prefill.pad_tokens
    prefill_j = float(np.interp(padded, prefill.tokens, prefill.energy_j).sum())
    # Gaps shorter than this are the host between two pieces of work, not idleness; the work pays for them.
    gap_s = work.begin_s[1:] - work.end_s[:-1]
    idle_s = float(gap_s[gap_s > iteration.a_s].sum())
    return (run.energy_j - measured.idle_w * idle_s) / (decode_j + prefill_j)


def _assumed(known: Profile, prefill: Prefill) -> Serving:
    """The serving overhead of another profile: of the same server, but on another device or with another model."""
    factor = known.serving.prefill_factor
    by_length = None if factor is None else tuple(np.interp(prefill.tokens, known.prefill.tokens, factor).tolist())
    source = f"assumed: as in {known.name}, {known.serving.source}"
    return known.serving.model_copy(update={"source": source, "prefill_factor": by_length})


def _relative_nnls(terms: Floats, target: Floats, scale: Floats | None = None) -> Floats:
    """c >= 0 that minimises the sum of ((terms @ c - target) / scale)^2; `scale` defaults to the target itself."""
    scale = target if scale is None else scale
    size = np.abs(terms).max(axis=0)  # columns of like size, for the solver
    solution, _ = nnls(terms / size / scale[:, None], target / scale)
    return np.asarray(solution / size)


def _residual(what: str, fitted: Floats, measured: Floats, where: list[str]) -> Residual:
    error = np.abs(fitted / measured - 1.0)
    worst = int(np.argmax(error))
    return Residual(what, len(error), float(error.mean()), float(error[worst]), where[worst])
