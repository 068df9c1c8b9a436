"""A run, a comparison or a sweep as one HTML page, and its figures as files."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NamedTuple

import pandas as pd
import vl_convert
from altair.utils.schemapi import debug_mode

from glbdes import records
from glbdes.base import folders
from glbdes.base.files import put, reason
from glbdes.base.revision import commit
from glbdes.errors import RecordsError, nearest
from glbdes.present import figures, findings, page, page_tables, study_tables, tables
from glbdes.present.figures import Figure
from glbdes.present.plots import style
from glbdes.records import headline, metrics
from glbdes.study import comparison, sweep
from glbdes.study.run import Run

MOST_TOLD: Final = 12  # different warnings of a sweep's runs
PNG_SCALE: Final = 2.0  # for screens of twice the resolution, and for print
DRAWN: Final[Mapping[str, Callable[[Any], str | bytes]]] = {
    "svg": vl_convert.vegalite_to_svg,
    "png": partial(vl_convert.vegalite_to_png, scale=PNG_SCALE),
    "pdf": vl_convert.vegalite_to_pdf,
}
FORMATS: Final = tuple(DRAWN)


class Contents(NamedTuple):
    """What a page says and shows."""

    text: page.Text
    tables: list[page.Rows]
    figures: list[Figure]


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
    return page.render(found.text, found.tables, [_section(one) for one in found.figures])


def _section(one: Figure) -> page.Section:
    widths = (style.NARROW, style.WIDTH) if one.half else (style.NARROW, style.WIDTH, style.FULL)
    draw = one.live or one.draw
    with debug_mode(False):  # altair would hold each part of a figure to the schema of Vega-Lite whenever it is copied
        sizes = {width: figures.spec(draw(width)) for width in widths}
    return page.Section(one.name, one.title, one.how + one.more, sizes, one.half)


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
    name, routed = info["scenario"]["name"], tables.routed_by(info["policy"], summary["dispatch"])
    row = pd.DataFrame([headline.row(summary, info, None)])
    shown = [page_tables.main("In figures", [routed], row), page_tables.every(*study_tables.one(found))]
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
    said = findings.of_run(summary)
    title = f"{name} under {routed}"
    text = page.Text(title, lead, said, info["warnings"], info["notes"], about, info["scenario_text"])
    return Contents(text, shown, figures.of_run(found))


def _of_comparison(folder: Path) -> Contents:
    found = comparison.Comparison.open(folder)
    info, runs = found.info, found.records()
    first = next(iter(runs.values())).info
    several = max(len(info["seeds"]), len(info["signal_seeds"])) > 1
    title = "In figures: means, and paired differences with 95 % confidence beneath" if several else "In figures"
    shown = [
        page_tables.main(title, [str(name) for name in found.shown["policy"]], found.shown),
        page_tables.every(*study_tables.lines(found.shown, study_tables.COMPARISON)),
    ]
    lead = (
        f"{len(runs)} policies on the same requests: {info['scenario']}, {first['scenario']['time']['slots']} slots, "
        f"engine {info['engine']}, {study_tables.draws(info)}."
    )
    notes = [*study_tables.notes(info, found.runs), *first["notes"]]
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
    warnings = [f"{policy}: {line}" for policy, one in runs.items() for line in one.info["warnings"]]
    said = findings.of_comparison(found.shown)
    title = f"{info['scenario']}: what equity costs"
    text = page.Text(title, lead, said, warnings, notes, about, first["scenario_text"])
    return Contents(text, shown, figures.of_comparison(runs, found.table, found.runs))


def _of_sweep(folder: Path) -> Contents:
    found = sweep.Sweep.open(folder)
    info, means, keys = found.info, found.means(), found.swept
    table, numbers = figures.labelled(means, keys)
    lead = f"{len(found.table)} runs of {info['scenario']} over {', '.join(info['keys'])}"
    lead += f"; {len(found.failed)} could not be simulated." if len(found.failed) else "."
    shown = [page_tables.settings(table), page_tables.every(*study_tables.swept(means, keys))]
    about = {
        "Sweep": str(folder),
        "Scenario": info["scenario"],
        **({"Signals": info["signals"]} if info["signals"] else {}),
        "Version": f"glbdes {info['version']}",
        **_page_by(),
    }
    warnings, notes = (_counted(info[key], len(found.table)) for key in ("warnings", "notes"))
    said = findings.of_sweep(table, numbers)
    text = page.Text(f"{info['name']}: a sweep", lead, said, warnings, notes, about, info["text"])
    return Contents(text, shown, figures.of_sweep(means, keys, found.table[found.table["error"].isna()]))


def _counted(lines: Mapping[str, int], points: int) -> list[str]:
    """What runs of a sweep warned of or noted, the most frequent first, and in how many it did."""
    often = sorted(lines.items(), key=lambda one: -one[1])
    told = [line if count == points else f"{line} (in {count} of {points} runs)" for line, count in often[:MOST_TOLD]]
    return told + [f"… and {len(often) - MOST_TOLD} more, in the points' files"] * (len(often) > MOST_TOLD)


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
