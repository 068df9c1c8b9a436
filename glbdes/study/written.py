"""What a search leaves: its steps as CSV, and the scenario that it ended with as TOML."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from glbdes.study.limits import Limit
from glbdes.study.run import Plan

if TYPE_CHECKING:
    from glbdes.study.search import Step

FILES: Final = (
    ("signals", "source"),
    ("signals", "sources"),
    ("workload", "file"),
    ("workload", "load_file"),
    ("workload", "lengths", "file"),
    ("fleet", "profile"),
    ("regions", "*", "profile"),
)  # keys that may name files beside the scenario


def judged(step: "Step") -> list[dict[str, Any]]:
    """What each limit came to, as JSON has it."""
    return [
        {"limit": str(one.limit), "mean": _or_none(one.mean), "half95": _or_none(one.half), "verdict": one.verdict}
        for one in step.judged
    ]


def steps(found: "Sequence[Step]", limits: Sequence[Limit]) -> str:
    """A row a step, as CSV: replicas of each region or the load scale, and mean and interval of each figure."""
    rows = []
    for n, step in enumerate(found, 1):
        value = dict(step.value) if isinstance(step.value, Mapping) else {"load_scale": step.value}
        total = {"replicas": sum(value.values())} if isinstance(step.value, Mapping) else {}
        row: dict[str, Any] = {"step": n, "what": step.what, **total, **value, "seeds": step.seeds}
        for limit in limits:
            one = next((one for one in step.judged if one.limit == limit), None)
            row[limit.figure] = np.nan if one is None else one.mean
            row[f"{limit.figure}_half95"] = np.nan if one is None else one.half
        rows.append({**row, "verdict": step.verdict, "error": step.error})
    return pd.DataFrame(rows).to_csv(index=False)


def scenario_toml(plan: Plan) -> str:
    """The scenario of `plan` as a file that stands by itself: files beside the original by their full paths."""
    document = plan.scenario.model_dump(exclude_defaults=True)
    for path in FILES:
        _resolve(document, path, plan.folder)
    lines = [f"{key} = {_toml(value)}" for key, value in document.items() if not isinstance(value, dict)]
    for name, table in _tables(document):
        lines += ["", f"[{name}]", *(f"{_key(key)} = {_toml(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def _resolve(node: Any, path: Sequence[str], folder: Path) -> None:
    for key in list(node) if path[0] == "*" else [path[0]]:
        value = node.get(key)
        if len(path) > 1 and isinstance(value, dict):
            _resolve(value, path[1:], folder)
        elif isinstance(value, str):
            node[key] = _full(value, folder)
        elif isinstance(value, tuple):
            node[key] = tuple(_full(one, folder) for one in value)


def _full(name: str, folder: Path) -> str:
    return str((folder / name).resolve()) if (folder / name).exists() else name


def _tables(document: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every table by its full name, without those within it."""
    for key, value in document.items():
        if isinstance(value, dict):
            own = {inner: one for inner, one in value.items() if not isinstance(one, dict) and one is not None}
            if own or not value:
                yield f"{before}{_key(key)}", own
            yield from _tables(value, f"{before}{_key(key)}.")


def _key(key: str) -> str:
    plain = key.replace("_", "").replace("-", "")
    return key if plain.isascii() and plain.isalnum() else json.dumps(key)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_toml(one)}" for key, one in value.items() if one is not None) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, datetime):
        return value.isoformat()
    return json.dumps(value) if isinstance(value, str | bool) else repr(value)


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value
