"""One HTML file that needs no network: findings, tables, figures drawn by Vega in the reader's browser, a footer.

Each figure is in the page for several widths; the browser draws the widest that fits and stretches it (assets/page.js).
All that the page uses is in it, and its content security policy forbids to load anything else.
"""

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import vl_convert

from glbdes.present.plots import style

ASSETS: Final = Path(__file__).parent / "assets"
EXPORTS: Final = "window.vegaEmbed = vegaEmbed;"


class Section(NamedTuple):
    """A figure on the page: Vega-Lite by width in px; `half` if two stand side by side on a desk."""

    name: str
    title: str
    how: str
    sizes: Mapping[int, Mapping[str, Any]]
    half: bool = False


class Rows(NamedTuple):
    """A table of text. Rows whose first cell is indented are set small, and so is a cell's text after a line break.

    `best` [row][column] are the cells to be marked; `words` explains the terms of the headings; `folded` tables are
    shown when they are asked for.
    """

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    best: Sequence[Sequence[bool]] = ()
    words: Mapping[str, str] = {}
    folded: bool = False


class Text(NamedTuple):
    """What a page says beside tables and figures: `findings` in sentences, what its reader is warned of (first) and
    must bear in mind (`notes`), its footer line by line (`about`), the scenario file, folded away."""

    title: str
    lead: str
    findings: Sequence[str] = ()
    warnings: Sequence[str] = ()
    notes: Sequence[str] = ()
    about: Mapping[str, str] = {}
    file: str | None = None


def render(text: Text, tables: Iterable[Rows], sections: Sequence[Section]) -> str:
    """The page."""
    warned = "".join(f'<p class="warning"><b>Warning.</b> {_safe(warning)}</p>' for warning in text.warnings)
    found = "".join(f"<li>{_safe(one)}</li>" for one in text.findings)
    found = f'<ul class="findings">{found}</ul>' if found else ""
    said = "".join(f"<dt>{_safe(key)}</dt><dd>{_safe(value)}</dd>" for key, value in text.about.items())
    scenario = f"<details><summary>Scenario file</summary><pre>{_safe(text.file)}</pre></details>" if text.file else ""
    noted = "".join(f"<li>{_safe(one)}</li>" for one in text.notes)
    noted = f'<section class=folded><b>To bear in mind</b><ul class="notes">{noted}</ul></section>' if noted else ""
    policy = (
        "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_safe(text.title)}</title><style>{_asset('page.css')}</style></head><body><main>"
        '<button id="theme" type="button" aria-label="light or dark"></button>'
        f'<h1>{_safe(text.title)}</h1><p class="lead">{_safe(text.lead)}</p>{warned}{found}'
        f'<div class="grid">{"".join(map(_table, tables))}{noted}{"".join(map(_figure, sections))}</div>'
        "<noscript><p>The figures are drawn with JavaScript, which is switched off.</p></noscript>"
        f"<footer><h2>Where this comes from</h2><dl>{said}</dl>{scenario}</footer></main>"
        f'<script id="figures" type="application/json">{_data(sections)}</script>'
        f"<script>{_script(_vega())}</script><script>{_script(_asset('page.js'))}</script></body></html>\n"
    )


def table(one: Rows) -> str:
    """A table as HTML."""
    head = "".join(f"<th>{_safe(cell)}</th>" for cell in one.headings)
    body = ""
    for i, row in enumerate(one.rows):
        marked = one.best[i] if one.best else [False] * len(row)
        cells = "".join(
            f"<td{' class=best' if mark else ''}>{_cell(cell)}</td>" for cell, mark in zip(row, marked, strict=True)
        )
        body += f"<tr{' class=less' if row[0].startswith(' ') else ''}>{cells}</tr>"
    kind = " class=head" if one.best else ""
    return f'<div class="wide"><table><thead><tr{kind}>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(text: str) -> str:
    first, _, less = text.partition("\n")
    return _safe(first) + (f'<span class="less">{_safe(less)}</span>' if less else "")


def _table(one: Rows) -> str:
    words = " ".join(f"<b>{_safe(term)}</b>: {_safe(meaning)}." for term, meaning in one.words.items())
    words = f'<p class="words">{words}</p>' if words else ""
    if one.folded:
        body = f"<summary>{_safe(one.title)}</summary>{table(one)}{words}"
        return f"<section class=folded><details>{body}</details></section>"
    return f"<section><h2>{_safe(one.title)}</h2>{table(one)}{words}</section>"


def _figure(one: Section) -> str:
    title, name = _safe(one.title), f"figure-{one.name}"
    return (
        f'<section{" class=half" if one.half else ""}><h2>{title}</h2><div class="controls" id="{name}-controls"></div>'
        f'<div class="chart" id="{name}" role="figure" aria-label="{title}"></div>'
        f'<p class="how"><b>How to read it.</b> {_safe(one.how)}</p></section>'
    )


def _data(sections: Sequence[Section]) -> str:
    """All specifications, with each of their data sets once."""
    datasets: dict[str, Any] = {}
    figures = []
    for one in sections:
        sizes = {}
        for width, spec in one.sizes.items():
            datasets |= spec.get("datasets", {})
            sizes[width] = {key: value for key, value in spec.items() if key != "datasets"}
        figures.append({"id": f"figure-{one.name}", "sizes": sizes})
    data = {"figures": figures, "datasets": datasets, "dark": style.DARK}
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")


@cache
def _vega() -> str:
    """Vega, Vega-Lite and what embeds them, as one script."""
    return str(vl_convert.javascript_bundle(EXPORTS))


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _script(text: str) -> str:
    """Text that may stand within a script element."""
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _safe(text: str) -> str:
    return html.escape(text)
