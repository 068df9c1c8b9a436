"""Runs that are there already, set side by side if they may be: of one scenario, apart in policy and seed alone."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd

from glbdes.base.folders import Tell, fresh, numbered
from glbdes.errors import MOST_PROBLEMS, GlbdesError, RecordsError, brief
from glbdes.optimum import bound
from glbdes.records import headline
from glbdes.scenario import validate
from glbdes.study import comparison, paired
from glbdes.study.comparison import Comparison
from glbdes.study.run import Run
from glbdes.world import build

APART: Final = ("policy", "seed", "description", "engine")  # what runs of a comparison may differ in
ABSENT: Final = "nothing"


def compare_runs(
    folders: Sequence[str | Path], *, out: str | Path | None = None, tell: Tell | None = None
) -> Comparison:
    """Set finished runs side by side, as `compare` does with runs of its own. The runs stay where they are.

    Parameters
    ----------
    folders
        Runs of one scenario, with the same seeds for every policy; the first one's policy is the reference.
    out
        The folder for the tables; default: a new one in runs/.
    tell
        Called with a line if gaps cannot be told.

    Raises `RecordsError` with every difference if they are not comparable.
    """
    runs = [Run.open(folder) for folder in folders]
    if len(runs) < 2:
        raise RecordsError(f"{len(runs)} run to compare, must be two or more")
    _comparable(runs)
    labels = _labels(runs)
    drawn = paired.same_requests((label, int(run.info["seed"]), paired.digest(run.records)) for label, run in labels)
    reference = _reference(runs[0], tell)
    rows = [
        {"policy": label, "seed": run.info["seed"], **headline.row(headline.written(run.path), run.info, reference)}
        for label, run in labels
    ]
    first = runs[0].info
    targets = numbered(Path("runs") / f"{first['scenario']['name']}-comparison") if out is None else iter([Path(out)])
    with fresh(targets, tell=tell) as folder:
        told = comparison.Told(
            scenario=first["scenario"]["name"],
            engines={str(run.info["engine"]) for run in runs},
            policies=list(dict.fromkeys(label for label, _ in labels)),
            overrides=list(first["overrides"]),
            dispatch=first["scenario"]["dispatch"]["rule"] if first["by_request"] else None,
            signals=first["signals"],
            references=[reference],
            requests=drawn,
            at={paired.called(label, run.info["seed"]): str(run.path.absolute()) for label, run in labels},
        )
        comparison.write(folder.path, pd.DataFrame(rows), told)
    return Comparison.open(folder.path)


def _comparable(runs: Sequence[Run]) -> None:
    first, problems = runs[0], []
    for other in runs[1:]:
        for key, here, there in _differences(_compared(first), _compared(other)):
            problems.append(f"{key}: {brief(here)} in {first.path}, {brief(there)} in {other.path}")
    if problems:
        more = ["and more"] if len(problems) > MOST_PROBLEMS else []
        lines = "\n".join([*problems[:MOST_PROBLEMS], *more])
        raise RecordsError(f"these runs cannot be compared, more than policy and seed is different:\n{lines}")


def _compared(run: Run) -> dict[str, Any]:
    """What must be the same: the scenario as it was run, where signals were taken from, flows or requests."""
    scenario = {key: value for key, value in run.info["scenario"].items() if key not in APART}
    kind = "requests" if run.info["by_request"] else "a flow"
    return {**scenario, "--signals": run.info["signals"], "simulated": kind, "glbdes": run.info["versions"]["glbdes"]}


def _differences(here: Any, there: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The dotted keys in which two documents differ, and both values."""
    if isinstance(here, Mapping) and isinstance(there, Mapping):
        for name in dict.fromkeys([*here, *there]):
            inner = f"{key}.{name}" if key else name
            yield from _differences(here.get(name, ABSENT), there.get(name, ABSENT), inner)
    elif here != there:
        yield key, here, there


def _labels(runs: Sequence[Run]) -> list[tuple[str, Run]]:
    """Each run with what its policy is called: by its name, with its arguments where these tell policies apart.

    Raises `RecordsError` unless every policy has the same seeds, each once.
    """
    given = [{key: value for key, value in run.info["scenario"]["policy"].items() if key != "name"} for run in runs]
    of = [(str(run.info["policy"]), str(arguments)) for run, arguments in zip(runs, given, strict=True)]
    apart = {name for name, _ in of if len({arguments for other, arguments in of if other == name}) > 1}
    labels = []
    for run, arguments, (name, _) in zip(runs, given, of, strict=True):
        more = ", ".join(f"{key} {value}" for key, value in arguments.items())
        labels.append((f"{name} ({more})" if name in apart and more else name, run))
    seeds: dict[str, list[int]] = {}
    for label, run in labels:
        if run.info["seed"] in seeds.setdefault(label, []):
            raise RecordsError(f"{run.path}: policy '{label}', seed {run.info['seed']} is there twice")
        seeds[label].append(run.info["seed"])
    (first, wanted), *others = seeds.items()
    for label, found in others:
        if sorted(found) != sorted(wanted):
            told = f"policy '{first}' has seeds {_listed(wanted)}, '{label}' has {_listed(found)}"
            raise RecordsError(f"these runs cannot be compared: {told}, must be the same")
    return labels


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, sorted(seeds)))


def _reference(run: Run, tell: Tell | None) -> bound.Reference | None:
    """What objectives are told against; None if it cannot be had, as the scenario's files are no longer there."""
    info = run.info
    folder = Path.cwd() if info["source"] is None else Path(info["source"]).parent
    signals = None if info["signals"] is None else Path(info["signals"])
    try:
        chosen = validate({key: value for key, value in info["scenario"].items() if key != "engine"})
        return bound.reference(build.build(chosen, folder, signals), info["by_request"])
    except GlbdesError as error:
        if tell is not None:
            tell(f"no gap to the bound is told: {error}")
        return None
