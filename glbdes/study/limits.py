"""Limits that figures of runs must keep: "ttft_p99_s <= 0.5", and how sure several draws make it that they do.

Figures are those of comparisons by their names (`headline.FIGURES`), attainment by class and limit
("slo.interactive.all"), and totals of a region ("regions.texas.utilisation").
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from scipy.special import stdtrit

from glbdes.base import portable
from glbdes.errors import ScenarioError, brief, nearest
from glbdes.records import headline, metrics
from glbdes.records.metrics import Summary
from glbdes.scenario import Scenario
from glbdes.world import Floats
from glbdes.world.footprints import further

Verdict = Literal["met", "open", "missed"]

LEFT_OUT: Final = ("bound_usd", "over_bound", "over_bound_usd", "over_optimum", "over_optimum_usd")  # need an optimum
CLASS: Final = (*metrics.LATENCIES, "all")
REGION: Final = (*metrics.REGIONAL, "requests", "load", "utilisation")
_WRITTEN: Final = re.compile(r"\s*([\w.]+)\s*(<=|>=)\s*(\S+)\s*")
MOST_LIMITS: Final = 20


class Limit(NamedTuple):
    """`figure <= value`, or `>=`."""

    figure: str
    at_most: bool
    value: float

    def __str__(self) -> str:
        return f"{self.figure} {'<=' if self.at_most else '>='} {self.value:g}"

    def kept(self, value: float) -> bool:
        return value <= self.value if self.at_most else value >= self.value


class Judged(NamedTuple):
    """A limit over draws: mean of the figure, half of the 95 % interval of the mean (NaN for one draw), and verdict.

    `met`: all of the interval keeps the limit; `missed`: none of it; `open`: some. One draw has no interval: its value
    decides. A figure that is undefined in any draw (of requests that there were not) misses.
    """

    limit: Limit
    mean: float
    half: float
    verdict: Verdict

    @property
    def over(self) -> float:
        """How far the less favourable end of the interval is beyond the limit, as a factor; 1: just kept."""
        return _over(self.limit, self.mean + self._half if self.limit.at_most else self.mean - self._half)

    @property
    def mean_over(self) -> float:
        """The same of the mean."""
        return _over(self.limit, self.mean)

    @property
    def _half(self) -> float:
        return 0.0 if np.isnan(self.half) else self.half


def _over(limit: Limit, value: float) -> float:
    if np.isnan(value):
        return np.inf
    if value <= 0 or limit.value <= 0:
        return 0.5 if limit.kept(value) else 2.0
    return value / limit.value if limit.at_most else limit.value / value


def parse(texts: Sequence[str], scenario: Scenario) -> tuple[Limit, ...]:
    """The limits that `texts` say. Raises `ScenarioError` with everything that is wrong with them."""
    known, problems, found = names(scenario), [], []
    if not 1 <= len(texts) <= MOST_LIMITS:
        problems.append(f"--until: {len(texts)} limits, must be 1 to {MOST_LIMITS}")
    for text in texts:
        match = _WRITTEN.fullmatch(text)
        value = _number(match[3]) if match else None
        if match is None or value is None:
            problems.append(f"--until '{brief(text)}': must be FIGURE <= NUMBER or FIGURE >= NUMBER")
        elif match[1] not in known:
            problems.append(f"--until '{brief(text)}': no such figure '{brief(match[1])}'{nearest(match[1], known)}")
        else:
            found.append(Limit(match[1], match[2] == "<=", value))
    if problems:
        raise ScenarioError(problems)
    return tuple(found)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def names(scenario: Scenario) -> list[str]:
    """Every figure that a run of `scenario` may be held to."""
    classes = [f"slo.{name}.{limit}" for name in scenario.slo for limit in CLASS]
    regions = [f"regions.{name}.{key}" for name in scenario.regions for key in REGION]
    every = headline.figures(further(scenario.model_dump(include={"footprints"})))
    return [*(key for key in every if key not in LEFT_OUT), *classes, *regions]


def figures(summary: Summary, info: Mapping[str, Any]) -> dict[str, float | None]:
    """All of `names` of a run; None where one is undefined."""
    row = headline.row(summary, info, None)
    found: dict[str, float | None] = {
        key: None if np.isnan(value) else value for key, value in row.items() if key not in LEFT_OUT
    }
    for name, met in summary["slo"].items():
        found |= {f"slo.{name}.{limit}": met[limit] for limit in CLASS}
    for name, region in summary["regions"].items():
        found |= {f"regions.{name}.{key}": None if region[key] is None else float(region[key]) for key in REGION}
    return found


def judge(limit: Limit, values: Sequence[float | None]) -> Judged:
    """What the figure's `values` of several draws say of `limit`."""
    known = [value for value in values if value is not None]
    if len(known) < len(values) or not known:
        return Judged(limit, float("nan"), float("nan"), "missed")
    return _judged(limit, float(np.mean(known)), headline.half_width(known))


class Spread(NamedTuple):
    """How a figure of one draw is spread about its mean, by several candidates: `sd`, of `dof` degrees of freedom."""

    sd: float
    dof: float


def spread(values: Sequence[Sequence[float]] | Floats) -> Spread | None:
    """What `values` [f, n] of f candidates on the same n draws tell; None if that is nothing.

    A figure is mean of candidate + effect of draw + rest, variances the same for all candidates. With mean squares D of
    draws (n - 1 degrees of freedom) and R of the rest ((f - 1)(n - 1)) the variance of one figure is estimated by
    (D + (f - 1) R) / f, of degrees of freedom by Satterthwaite (Biometrics Bulletin 2, 1946, p. 110).
    """
    table = np.atleast_2d(np.asarray(values, dtype=np.float64))
    f, n = table.shape
    if f == 0 or n < 2:
        return None
    draws = table.mean(axis=0) - table.mean()
    rest = table - table.mean(axis=1, keepdims=True) - draws
    parts = [(float(f * (draws**2).sum() / (n - 1)), n - 1)]
    if f > 1:
        parts.append((float((rest**2).sum() / (n - 1)), (f - 1) * (n - 1)))  # (f - 1) R
    total = sum(square for square, _ in parts)
    if total <= 0:
        return None
    return Spread(float(np.sqrt(total / f)), total**2 / sum(square**2 / dof for square, dof in parts))


def judge_by(spread: Spread, limit: Limit, values: Sequence[float | None], looks: int) -> Judged:
    """As `judge`, with an interval about the mean of `values` as wide as the `spread` of others says.

    It is looked at up to `looks` times, with more values each time, and is wide enough (Bonferroni) for the confidence
    to hold for all looks together.
    """
    known = [value for value in values if value is not None]
    if len(known) < len(values) or not known:
        return Judged(limit, float("nan"), float("nan"), "missed")
    quantile = round(float(stdtrit(spread.dof, 1 - (1 - headline.CONFIDENCE) / (2 * looks))), portable.DECIMALS)
    return _judged(limit, float(np.mean(known)), quantile * spread.sd / float(np.sqrt(len(known))))


def _judged(limit: Limit, mean: float, half: float) -> Judged:
    reach = 0.0 if np.isnan(half) else half
    ends = {limit.kept(mean - reach), limit.kept(mean + reach)}
    verdict: Verdict = "open" if len(ends) > 1 else "met" if ends.pop() else "missed"
    return Judged(limit, mean, half, verdict)


def worst(judged: Sequence[Judged]) -> Verdict:
    """Met if all are, missed if any is."""
    verdicts = {one.verdict for one in judged}
    return "missed" if "missed" in verdicts else "open" if "open" in verdicts else "met"
