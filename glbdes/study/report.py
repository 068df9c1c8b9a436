"""A run, a comparison or a sweep as one HTML page, and its figures as files."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NamedTuple

import vl_convert

from glbdes import records
from glbdes.base import folders
from glbdes.base.files import put, reason
from glbdes.base.revision import commit
from glbdes.errors import RecordsError, nearest
from glbdes.present import figures, page, study_tables, tables
from glbdes.present.figures import Figure
from glbdes.present.plots import style
from glbdes.records import metrics
from glbdes.study import comparison, sweep
from glbdes.study.run import Run

PNG_SCALE: Final = 2.0  # for screens of twice the resolution, and for print
DRAWN: Final[Mapping[str, Callable[[Any], str | bytes]]] = {
    "svg": vl_convert.vegalite_to_svg,
    "png": partial(vl_convert.vegalite_to_png, scale=PNG_SCALE),
    "pdf": vl_convert.vegalite_to_pdf,
}
FORMATS: Final = tuple(DRAWN)


class Contents(NamedTuple):
    """What a page says."""

    title: str
    lead: str
    tables: list[page.Rows]
    figures: list[Figure]
    about: dict[str, str]
    text: str | None
    warnings: Sequence[str] = ()
    notes: Sequence[str] = ()


def report(
    source: str | Path | Run | comparison.Comparison | sweep.Sweep,
    out: str | Path = "report.html",
    formats: Sequence[str] = FORMATS,
) -> list[Path]:
    """Write a page about a run, a comparison or a sweep, which needs no network, and its figures as files.

    Parameters
    ----------
    source
        A run, a comparison or a sweep, or the folder of one.
    out
        The page; figures go beside it, into the folder of its name with `_figures`.
    formats
        Of the figures: "svg", "png", "pdf"; an empty list for none.

    Returns the files written. Raises `RecordsError` if `source` is neither a run nor a comparison nor a sweep, or `out`
    cannot be written.
    """
    out = Path(out)
    if out.is_dir():
        raise RecordsError(f"{out}: is a folder, must be the name of a file")
    for name in formats:
        if name not in FORMATS:
            raise RecordsError(f"format '{name}', must be one of {', '.join(FORMATS)}{nearest(name, FORMATS)}")
    found = contents(Path(source) if isinstance(source, str | Path) else source.path)
    _make(out.parent)
    put(out, render(found))
    return [out, *_pictures(found.figures, out.with_name(f"{out.stem}_figures"), formats)]


def draw(chart: Any, out: Path) -> None:
    """Write `chart` to `out`, in the format of its suffix. Raises `RecordsError` for another, or if that fails."""
    name = out.suffix.removeprefix(".").lower()
    if name not in DRAWN:
        raise RecordsError(f"{out}: is '{out.suffix}', must be one of {', '.join(f'.{one}' for one in FORMATS)}")
    put(out, DRAWN[name](figures.spec(chart)))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordsError(f"{folder}: cannot be made: {reason(error)}") from error


def contents(folder: Path) -> Contents:
    """What there is to say of what is in `folder`."""
    for mark, read in READERS.items():
        if (folder / mark).is_file():
            return read(folder)
    raise RecordsError(f"{folder}: neither a run nor a comparison nor a sweep (no {', no '.join(READERS)} in it)")


def render(found: Contents) -> str:
    """The page as HTML."""
    sections = [
        page.Section(
            one.name,
            one.title,
            one.how,
            figures.spec(one.draw(style.WIDTH)),
            figures.spec(one.draw(style.NARROW)),
        )
        for one in found.figures
    ]
    return page.render(
        found.title, found.lead, found.tables, sections, found.about, found.text, found.warnings, found.notes
    )


def _pictures(drawn: Sequence[Figure], folder: Path, formats: Sequence[str]) -> list[Path]:
    written = []
    for one in drawn if formats else ():
        _make(folder)
        spec = figures.spec(one.draw(style.WIDTH))
        for name in formats:
            path = folder / f"{one.name}.{name}"
            put(path, DRAWN[name](spec))
            written.append(path)
    return written


def _of_run(folder: Path) -> Contents:
    found = records.open_run(folder)
    info, summary = found.info, metrics.summary(found)
    table = page.Rows("In figures", *study_tables.one(found))
    name, routed = info["scenario"]["name"], tables.routed_by(info["policy"], summary["dispatch"])
    about = {
        "Run": str(folder),
        "Scenario": f"{name}: {info['scenario']['description']}",
        "Policy, engine, seed": f"{routed}, {info['engine']}, {info['seed']}",
        "Requests": f"{summary['requests']['total']:,}, each stands for {summary['request_weight']:g}",
        **_warmed([info]),
        **_settings(info),
        "Versions": ", ".join(f"{key} {value}" for key, value in info["versions"].items()),
        **_page_by(),
    }
    lead = f"One run of {info['scenario']['time']['slots']} slots, engine {info['engine']}, seed {info['seed']}."
    lead = " ".join([lead, *(f"{told}." for told in tables.ignored(info["policy"], summary["dispatch"]))])
    title, drawn = f"{name} under {routed}", figures.of_run(found)
    return Contents(title, lead, [table], drawn, about, info["scenario_text"], info["warnings"], info["notes"])


def _of_comparison(folder: Path) -> Contents:
    found = comparison.Comparison.open(folder)
    info, runs = found.info, found.records()
    first = next(iter(runs.values())).info
    several = max(len(info["seeds"]), len(info["signal_seeds"])) > 1
    title = "In figures: means, and paired differences with 95 % confidence" if several else "In figures"
    table = page.Rows(title, *study_tables.lines(found.shown, study_tables.COMPARISON))
    lead = (
        f"{len(runs)} policies on the same requests: {info['scenario']}, {first['scenario']['time']['slots']} slots, "
        f"engine {info['engine']}, {study_tables.draws(info)}. " + " ".join(study_tables.notes(info, found.runs))
    )
    about = {
        "Comparison": str(folder),
        "Scenario": f"{info['scenario']}: {first['scenario']['description']}",
        "Policies": ", ".join(found.policies),
        "Seeds": f"{', '.join(map(str, info['seeds']))} (figures other than the front: {info['seeds'][0]})",
        "Same requests": ", ".join(f"seed {seed}: sha256 {one[:16]}…" for seed, one in info["requests_sha256"].items()),
        **_warmed([one.info for one in runs.values()]),
        **_settings(info),
        "Version": f"glbdes {info['version']}" + (f", commit {info['commit']}" if info["commit"] else ""),
        **_page_by(),
    }
    drawn = figures.of_comparison(runs, found.table)
    title = f"{info['scenario']}: what equity costs"
    warnings = [f"{policy}: {line}" for policy, one in runs.items() for line in one.info["warnings"]]
    return Contents(title, lead, [table], drawn, about, first["scenario_text"], warnings, first["notes"])


def _of_sweep(folder: Path) -> Contents:
    found = sweep.Sweep.open(folder)
    info, means = found.info, found.means()
    keys = found.swept
    table = page.Rows("In figures", *study_tables.swept(means, keys))
    lead = f"{len(found.table)} runs of {info['scenario']} over {', '.join(info['keys'])}"
    lead += f"; {len(found.failed)} could not be simulated." if len(found.failed) else "."
    about = {
        "Sweep": str(folder),
        "Scenario": info["scenario"],
        **({"Signals": info["signals"]} if info["signals"] else {}),
        "Version": f"glbdes {info['version']}",
        **_page_by(),
    }
    return Contents(f"{info['name']}: a sweep", lead, [table], figures.of_sweep(means, keys), about, info["text"])


def _warmed(infos: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What is left out of every figure, if anything is."""
    longest_s = max(info["warmup_s"] for info in infos)
    return {"Warm-up": f"the first {longest_s:g} s of each slot are simulated and left out"} if longest_s else {}


def _settings(info: Mapping[str, Any]) -> dict[str, str]:
    said = {}
    if info["overrides"]:
        said["Settings"] = ", ".join(info["overrides"])
    if info["signals"]:
        said["Signals"] = str(info["signals"])
    return said


def _page_by() -> dict[str, str]:
    here = commit()
    by = f"glbdes {version('glbdes')}" + (f", commit {here}" if here else "")
    return {"Page made by": f"{by}; {figures.version()}"}


READERS: Final = {
    folders.MARK: _of_run,
    comparison.MARK: _of_comparison,
    sweep.MARK: _of_sweep,
}  # by the file that marks a folder
