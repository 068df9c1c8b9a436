"""Measured timing and energy of a replica: what one model server takes for a prompt, an iteration, and doing nothing.

A profile is a TOML file, shipped in `profiles/` or a user's own. It keeps apart what was measured on the bare device
(`iteration`, `prefill`) and what serving adds to that (`serving`); everybody else reads the sums, `a_s` to `e2_j` and
`prefill_table`. What a server that schedules in chunks takes for a step is in `chunked`. How profiles are made from
measurements is in `fit.py` and `fit_steps.py`. Formulas: docs/model.md, sections 4 and 5.
"""

import os
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from glbdes import resources
from glbdes.base import portable, reading
from glbdes.errors import ProfileError, brief, nearest
from glbdes.hardware.chunked import Chunked
from glbdes.hardware.part import NonNegative, Part, Positive, Positives, Text, Tokens
from glbdes.scenario.complaints import complaints, refuse, shown

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# Per token and per squared token.
Growth = Annotated[tuple[NonNegative, NonNegative], Field(strict=False)]

SHIPPED: Final = Path(__file__).resolve().parent / "profiles"


class Iteration(Part):
    """A decode iteration of b requests with K context tokens: a + beta*b + gamma*K seconds, e0 + e1*b + e2*K joules."""

    a_s: Positive
    beta_s: NonNegative
    gamma_s: NonNegative
    e0_j: NonNegative
    e1_j: NonNegative
    e2_j: NonNegative


class Prefill(Part):
    """A prompt on the bare device, by its length; linear between the measured lengths.

    Up to the longest measured length L a prompt is padded to a multiple of `pad_tokens`, as servers that replay
    recorded graphs do. A longer one of n tokens is not, and takes more by u (n - L) + v (n^2 - L^2) seconds with (u, v)
    of `beyond_s`, at the power of the longest measured one: its layers grow with n, its attention with n^2. Without
    `beyond_s` it takes the slope of the last two lengths.
    """

    pad_tokens: Tokens = 1
    tokens: Annotated[tuple[Tokens, ...], Field(strict=False, min_length=2)]
    time_s: Positives
    energy_j: Positives
    beyond_s: Growth | None = None


class Serving(Part):
    """What serving adds to the bare device: the host's own time, and prompts that come singly, not back to back."""

    source: Text = "none: as on the bare device"
    iteration_s: NonNegative = 0.0  # host time of an iteration
    request_s: NonNegative = 0.0  # and of every active request in it
    prefill_factor: Positives | None = None  # time of a served prompt / a bare one, at each of `prefill.tokens`
    chained_factor: Positive = 1.0  # time of a prompt that begins where another ended / of one that does not
    energy_factor: Positive = 1.0  # energy of served work / bare work


class Profile(Part):
    """A replica: one model server on one or more GPUs."""

    name: Text
    gpu: Text
    model: Text
    max_batch: Annotated[int, Field(ge=1)]  # the most requests that were measured at a time
    kv_tokens: Annotated[int, Field(ge=2)]
    idle_w: NonNegative  # model loaded, no work
    sleep_w: NonNegative  # nothing loaded
    host_w: NonNegative = 0.0  # the server around the GPU, always on top
    iteration: Iteration
    prefill: Prefill
    serving: Serving = Serving()
    chunked: Chunked | None = None  # what a step takes; None: only `prefill_first` can be simulated

    @property
    def a_s(self) -> float:
        return self.iteration.a_s + self.serving.iteration_s

    @property
    def beta_s(self) -> float:
        return self.iteration.beta_s + self.serving.request_s

    @property
    def gamma_s(self) -> float:
        return self.iteration.gamma_s

    @property
    def e0_j(self) -> float:
        return self.iteration.e0_j * self.serving.energy_factor

    @property
    def e1_j(self) -> float:
        return self.iteration.e1_j * self.serving.energy_factor

    @property
    def e2_j(self) -> float:
        return self.iteration.e2_j * self.serving.energy_factor

    def prefill_of(self, tokens: Ints) -> tuple[Floats, Floats]:
        """Seconds and joules of served prompts of so many `tokens`, float[n] each (at least 1 token is reckoned)."""
        measured = np.array(self.prefill.tokens, dtype=np.float64)
        padded = np.maximum(tokens, 1)
        short = padded <= measured[-1]
        padded = np.where(short, -(-padded // self.prefill.pad_tokens) * self.prefill.pad_tokens, padded)
        factor, more = self.serving.prefill_factor, self.serving.energy_factor
        power_w = self.prefill.energy_j[-1] / self.prefill.time_s[-1]
        return (
            _along(padded, measured, self._served_s(), self._beyond(1.0 if factor is None else factor[-1])),
            _along(padded, measured, np.array(self.prefill.energy_j) * more, self._beyond(power_w * more)),
        )

    def _beyond(self, factor: float) -> tuple[float, float] | None:
        """What a token and a squared token add to a long prompt, times `factor`."""
        beyond = self.prefill.beyond_s
        return None if beyond is None else (beyond[0] * factor, beyond[1] * factor)

    def prefill_table(self, n_max: int) -> tuple[Floats, Floats]:
        """Seconds and joules of a served prompt by its length, float[n_max + 1] each; entry 0 is never used."""
        return self.prefill_of(np.arange(n_max + 1))

    def _served_s(self) -> Floats:
        factor = self.serving.prefill_factor
        return np.array(self.prefill.time_s) * (1.0 if factor is None else np.array(factor))

    @model_validator(mode="after")
    def _rules_between_values(self) -> Self:
        refuse(list(_broken(self)))
        return self


def load(name: str, folder: Path | None = None) -> Profile:
    """The profile in the TOML file `name` (relative to `folder`), or the shipped one of that name.

    Raises `ProfileError` with every problem of the file: not found, no TOML, unknown or missing keys, values and pairs
    of values that break a rule.
    """
    path = (folder or Path()) / name
    if not resources.is_file(path):
        path = SHIPPED / f"{name}.toml"
        if Path(name).name != name or not resources.is_file(path):
            known = shipped()
            raise ProfileError(
                f"no profile '{brief(name)}'{nearest(Path(name).stem, known)} (shipped: {', '.join(known)})"
            )
    place = os.path.relpath(path)
    place = brief(path if place.startswith("..") else place)
    try:
        document = reading.toml(reading.text(path, reading.MOST_TOML_BYTES))
    except reading.UnreadableError as error:
        raise ProfileError(f"{place}: {error}") from error
    try:
        return Profile.model_validate(document)
    except ValidationError as error:
        raise ProfileError("\n".join(f"{line} ({place})" for line in complaints(error, Profile))) from error


def assumptions(profile: Profile, in_chunks: bool) -> tuple[str, ...]:
    """What of a profile nobody measured, in words; of its steps in chunks if replicas schedule so."""
    steps, told = profile.chunked, []
    if in_chunks and steps is not None and steps.times == "derived":
        told.append(f"Steps of {profile.name} are {steps.source}")
    if steps is not None and steps.active_w is not None:
        told.append(f"The energy of {profile.name} was not measured: {steps.active_w:g} W at work are assumed")
    return tuple(told)


def shipped() -> list[str]:
    """Names of the profiles that come with the package, sorted."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def capacity_rps(profile: Profile, prompt: Ints, output: Ints, max_batch: int) -> float:
    """Requests per second that keep one replica busy at full batches B = `max_batch` (docs/model.md, eq. 7).

    1 / ( E[prefill_s] + E[ (output - 1)*(a/B + beta) + gamma * its context over its iterations ] ), means over the mix
    `prompt`, `output` : int[n], tokens.
    """
    seconds, _ = profile.prefill_of(prompt)
    decode = (output - 1) * (profile.a_s / max_batch + profile.beta_s) + profile.gamma_s * _context(prompt, output)
    return 1.0 / float(np.mean(seconds + decode))


def it_j_per_request(profile: Profile, prompt: Ints, output: Ints, max_batch: int) -> float:
    """Mean joules of a request of the mix at full batches B: prefill_j + (output - 1)*(e0/B + e1) + e2 * its context.

    `prompt`, `output` : int[n], tokens. Without idle and host power, as in what requests are charged (section 5).
    """
    _, joules = profile.prefill_of(prompt)
    decode = (output - 1) * (profile.e0_j / max_batch + profile.e1_j) + profile.e2_j * _context(prompt, output)
    return float(np.mean(joules + decode))


def marginal_j(profile: Profile, prompt: Ints, output: Ints, max_batch: int, rest_w: float) -> float:
    """Joules that a mean request of the mix adds, at least, to a replica of `rest_w` (docs/model.md, eq. 10).

    Its joules at batches of `max_batch`, less `rest_w` for the time that it takes: the chord from rest to full load.
    Prompts count as chained if that leaves them less, and the shared part of an iteration as a batch of one if that is
    the less, so that no batch and no order of work has a request add less.

    `prompt`, `output` : int[n], tokens.
    """
    seconds, joules = profile.prefill_of(prompt)
    chained = (max if rest_w > 0 else min)(1.0, profile.serving.chained_factor)
    prefill = joules - rest_w * seconds * chained
    shared = profile.e0_j - rest_w * profile.a_s
    own = min(shared / max_batch, shared) + profile.e1_j - rest_w * profile.beta_s
    context = (profile.e2_j - rest_w * profile.gamma_s) * _context(prompt, output)
    return float(np.mean(prefill + (output - 1) * own + context))


def _context(prompt: Ints, output: Ints) -> Floats:
    """Tokens that a request's iterations read in all: the sum of prompt + j over j = 1 .. output - 1; float[n]."""
    steps = np.asarray(output, dtype=np.float64) - 1.0
    return steps * (prompt + 0.5 * (steps + 1.0))


def _along(x: Ints | Floats, nodes: Floats, values: Floats, growth: tuple[float, float] | None) -> Floats:
    """Linear between the nodes, constant before the first; beyond the last by `growth`, or else by the last slope."""
    slope, curve = growth or ((values[-1] - values[-2]) / (nodes[-1] - nodes[-2]), 0.0)
    far = np.maximum(np.asarray(x, dtype=np.float64), nodes[-1])
    return np.asarray(portable.interp(x, nodes, values) + (far - nodes[-1]) * (slope + curve * (far + nodes[-1])))


def _broken(profile: Profile) -> list[str]:
    """Rules between values: one line for each that does not hold."""
    tokens, serving = profile.prefill.tokens, profile.serving
    problems = []
    if any(later <= earlier for earlier, later in pairwise(tokens)):
        problems.append(f"prefill.tokens = {list(tokens)}, must increase")
    columns = {
        "prefill.time_s": profile.prefill.time_s,
        "prefill.energy_j": profile.prefill.energy_j,
        "serving.prefill_factor": serving.prefill_factor,
    }
    for key, values in columns.items():
        if values is not None and len(values) != len(tokens):
            problems.append(f"{key} has {len(values)} values, must have {len(tokens)}, one for each of prefill.tokens")
    if tokens[-1] % profile.prefill.pad_tokens:
        rule = f"must be a multiple of prefill.pad_tokens = {profile.prefill.pad_tokens}"
        problems.append(f"prefill.tokens ends with {tokens[-1]}, {rule}")
    if profile.sleep_w > profile.idle_w:
        problems.append(f"sleep_w = {shown('sleep_w', profile.sleep_w)}, must be <= idle_w = {profile.idle_w:g} W")
    if not problems:  # lengths agree, so that times and energies can be set against each other
        for key, by_length in (
            ("prefill.time_s (times serving.prefill_factor)", profile._served_s()),
            ("prefill.energy_j", np.array(profile.prefill.energy_j)),
        ):
            falls = np.flatnonzero(np.diff(by_length) < 0)
            if len(falls):
                n = tokens[falls[0] + 1]
                problems.append(f"{key} falls at {n} tokens, a longer prompt must not take less than a shorter one")
    return problems
