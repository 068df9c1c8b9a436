"""A sweep file: which scenario, and the points at which it is to be simulated.

    scenario = "tiny"              # a shipped one, or a file beside the sweep file
    engine = "fast"                # optional, as are `signals` and `set`, settings that all points share
    set = ["time.slots=48"]

    [[grid]]                       # every combination; any key of a scenario, and `policy`, `seed`
    policy = ["nearest", "cost"]
    seed = [1, 2, 3]

    [[list]]                       # side by side: the first of each, the second of each, ...
    policy = "eglb"
    policy.step = [0.3, 0.6, 1.2]
    objective.carbon_usd_per_t = [500.0, 1500.0, 4500.0]

This module owns the file and its points, not their running.
"""

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import Any, Final

from glbdes import resources
from glbdes.base import reading
from glbdes.errors import MOST_PROBLEMS, GlbdesError, ScenarioError, brief, nearest
from glbdes.scenario.said import written
from glbdes.study import run
from glbdes.study.run import Plan

KEYS: Final = ("scenario", "engine", "signals", "set", "grid", "list")
POLICY: Final = "policy"
MOST_POINTS: Final = 20_000  # each takes a moment to be looked at, and a run

Settings = Mapping[str, Any]  # scenario key -> value


@dataclass(frozen=True)
class Point:
    """One run of a sweep. `key` stands for everything that decides its figures."""

    key: str
    settings: Settings
    plan: Plan


@dataclass(frozen=True)
class SweepFile:
    """A sweep file that was read and found in order."""

    name: str
    text: str
    scenario: str
    signals: Path | None
    points: tuple[Point, ...]

    @property
    def keys(self) -> list[str]:
        """The scenario keys that are swept, in order of appearance."""
        return list(dict.fromkeys(key for point in self.points for key in point.settings))


def load(path: str | Path, allow_policy: str | Sequence[str] = ()) -> SweepFile:
    """The sweep in a file. Raises `ScenarioError` with every problem of it: unknown keys, points that cannot be.

    Policies of packages in `allow_policy` may run, as in `glbdes.simulate`.
    """
    path = Path(path)
    if not path.suffix and not path.exists() and resources.find("scenarios", str(path)) is not None:
        raise ScenarioError(f"{brief(path)}: is a scenario, and a sweep file is meant, {example(str(path))}")
    try:
        text = reading.text(path, reading.MOST_TOML_BYTES)
        document = reading.toml(text)
    except reading.UnreadableError as error:
        raise ScenarioError(str(error), str(path)) from error
    _check(document, path)
    source = document["scenario"]
    beside = path.parent / source
    scenario = str(beside) if resources.is_file(beside) else source
    signals = None if "signals" not in document else (path.parent / document["signals"]).resolve()
    points = _points(document, scenario, signals, path, allow_policy)
    return SweepFile(path.stem, text, scenario, signals, points)


def example(scenario: str) -> str:
    """How a sweep file looks."""
    return f"""such as

scenario = "{brief(scenario)}"
[[grid]]
policy = ["nearest", "cost", "eglb_simplex"]
seed = [1, 2, 3]

in a file sweep.toml: glbdes sweep sweep.toml"""


def _check(document: Mapping[str, Any], path: Path) -> None:
    if not {"grid", "list", "scenario"} & document.keys() and {"regions", "gateways"} & document.keys():
        raise ScenarioError(f"{brief(path)}: is a scenario, and a sweep file is meant, {example(path.name)}")
    problems = [f"unknown key '{brief(key)}'{nearest(key, KEYS)}" for key in document if key not in KEYS]
    if "scenario" not in document:
        problems.append("scenario is missing: a file beside this one, or a shipped scenario's name")
    problems += [
        f"{key} = {brief(document[key])}, must be text"
        for key in ("engine", "signals", "scenario")
        if key in document and not (isinstance(document[key], str) and document[key].isprintable())
    ]
    shared = document.get("set", [])
    if not isinstance(shared, list) or not all(isinstance(one, str) for one in shared):
        problems.append('set must be a list of settings: ["time.slots=48"]')
    blocks = {kind: _blocks(document, kind, problems) for kind in ("grid", "list")}
    if not any(blocks.values()) and not problems:
        problems.append("nothing to sweep: neither [[grid]] nor [[list]]")
    points = sum(prod(map(len, block.values())) for block in blocks["grid"])
    points += sum(max(map(len, block.values()), default=0) for block in blocks["list"])
    if points > MOST_POINTS:
        problems.append(f"the blocks have {brief(points)} points, must be <= {MOST_POINTS}")
    if problems:
        raise ScenarioError(problems, str(path))


def _blocks(document: Mapping[str, Any], kind: str, problems: list[str]) -> list[dict[str, list[Any]]]:
    """The tables of one kind, flat, each key with its list of values."""
    found = document.get(kind, [])
    if not isinstance(found, list) or not all(isinstance(block, dict) for block in found):
        problems.append(f"{kind} must be tables: [[{kind}]]")
        return []
    blocks = []
    for n, block in enumerate(found, 1):
        values = {key: value if isinstance(value, list) else [value] for key, value in _flat(block)}
        problems += [f"[[{kind}]] {n}: {key} has no values" for key, value in values.items() if not value]
        if not values:
            problems.append(f"[[{kind}]] {n}: is empty")
        lengths = {len(value) for value in values.values() if len(value) != 1}
        if kind == "list" and len(lengths) > 1:
            problems.append(
                f"[[list]] {n}: lists of {', '.join(map(str, sorted(lengths)))} values, must be of one length"
            )
        blocks.append(values)
    return blocks


def _flat(table: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """`key.path` and value of everything in a table."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield POLICY if f"{before}{key}" == "policy.name" else f"{before}{key}", value


def _settings(document: Mapping[str, Any]) -> Iterator[Settings]:
    for block in _blocks(document, "grid", []):
        for values in itertools.product(*block.values()):
            yield dict(zip(block, values, strict=True))
    for block in _blocks(document, "list", []):
        n = max(len(values) for values in block.values())
        for i in range(n):
            yield {key: values[i if len(values) > 1 else 0] for key, values in block.items()}


def _points(
    document: Mapping[str, Any], scenario: str, signals: Path | None, path: Path, allow_policy: str | Sequence[str]
) -> tuple[Point, ...]:
    points: dict[str, Point] = {}
    problems: dict[str, None] = {}  # in order, each once
    for settings in _settings(document):
        try:
            plan = _plan(document, scenario, settings, allow_policy)
            run.router(plan)
        except GlbdesError as error:
            problems |= dict.fromkeys(str(error).splitlines())
            if len(problems) > MOST_PROBLEMS:
                break
            continue
        point = Point(key(plan, signals), settings, plan)
        if point.key in points:
            problems[f"two points are the same run: {_told(points[point.key].settings)}; {_told(settings)}"] = None
        points[point.key] = point
    if problems:
        raise ScenarioError(list(problems), str(path))
    return tuple(points.values())


def _plan(document: Mapping[str, Any], scenario: str, settings: Settings, allow_policy: str | Sequence[str]) -> Plan:
    changes = [f"{key}={written(value)}" for key, value in settings.items() if key != POLICY]
    return run.prepare(
        scenario,
        policy=settings.get(POLICY),
        engine=document.get("engine"),
        overrides=[*document.get("set", ()), *changes],
        allow_policy=allow_policy,
    )


def key(plan: Plan, signals: Path | None) -> str:
    """A hash of the version, of all in the scenario that is not as by default, and of where its signals come from."""
    document = plan.scenario.model_dump(mode="json", exclude_defaults=True)
    text = json.dumps([version("glbdes"), document, None if signals is None else str(signals)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _told(settings: Settings) -> str:
    return brief(", ".join(f"{key} = {brief(value)}" for key, value in settings.items()))
