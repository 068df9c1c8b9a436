"""One HTML file that needs no network: headings, tables, figures drawn by Vega in the reader's browser, a footer.

Each figure is in the page for a desk and for a phone; the browser draws the one that fits. All that the page uses is
in it, and its content security policy forbids to load anything else.
"""

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import vl_convert

WIDE_PX: Final = 760  # of the window, from which the wide figures are drawn

STYLE: Final = """
:root { color-scheme: light; }
body { margin: 0; background: #fff; color: #222; font: 16px/1.5 Helvetica, Arial, sans-serif; }
main { max-width: 720px; margin: 0 auto; padding: 16px; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0.5rem 0; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 0.6rem; }
.lead, .how { color: #444; }
.warning { border-left: 4px solid #b58900; padding-left: 10px; }
.how { margin: 0.3rem 0 0; font-size: 0.95rem; }
.wide { overflow-x: auto; }
.chart { overflow-x: auto; min-height: 40px; }
table { border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; }
th, td { padding: 3px 9px; text-align: right; white-space: nowrap; border-bottom: 1px solid #e4e4e4; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: #fff; }
tr.less td { color: #767676; font-size: 0.8rem; }
footer { margin-top: 3rem; border-top: 1px solid #ccc; font-size: 0.85rem; color: #444; }
footer dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 14px; }
footer dd { margin: 0; overflow-wrap: anywhere; }
pre { overflow-x: auto; font-size: 0.75rem; }
@media print { section { break-inside: avoid; } details { display: none; } }
"""

EXPORTS: Final = "window.vegaEmbed = vegaEmbed;"

DRAW: Final = """
(async () => {
  const page = JSON.parse(document.getElementById("figures").textContent);
  const root = document.documentElement;
  const draw = async () => {
    const size = window.innerWidth >= page.wide_px ? "wide" : "narrow";
    if (root.dataset.size === size) return;
    root.dataset.size = size;
    let drawn = 0;
    for (const figure of page.figures) {
      const spec = {...figure[size], datasets: page.datasets};
      const options = {renderer: "svg", actions: {export: true, source: false, compiled: false, editor: false}};
      try {
        await vegaEmbed("#" + figure.id, spec, options);
        drawn += 1;
      } catch (error) {
        document.getElementById(figure.id).textContent = "This figure could not be drawn: " + error;
        console.error(error);
      }
    }
    root.dataset.drawn = drawn;
  };
  await draw();
  window.addEventListener("resize", draw);
})();
"""


class Section(NamedTuple):
    """A figure on the page, as Vega-Lite for a desk and for a phone."""

    name: str
    title: str
    how: str
    wide: Mapping[str, Any]
    narrow: Mapping[str, Any]


class Rows(NamedTuple):
    """A table of text; rows whose first cell is indented are set small."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


def render(
    title: str,
    lead: str,
    tables: Iterable[Rows],
    sections: Sequence[Section],
    about: Mapping[str, str],
    text: str | None,
    warnings: Iterable[str] = (),
    notes: Sequence[str] = (),
) -> str:
    """The page. `about` is its footer, line by line; `text` the scenario file, folded away; `warnings` come first,
    `notes`, what a reader must know of the figures, after the tables.
    """
    warned = "".join(f'<p class="warning"><b>Warning.</b> {_safe(warning)}</p>' for warning in warnings)
    said = "".join(f"<dt>{_safe(key)}</dt><dd>{_safe(value)}</dd>" for key, value in about.items())
    scenario = f"<details><summary>Scenario file</summary><pre>{_safe(text)}</pre></details>" if text else ""
    shown = "".join(_table(one) for one in tables)
    noted = "".join(f"<li>{_safe(one)}</li>" for one in notes)
    shown += f'<section><h2>To bear in mind</h2><ul class="how">{noted}</ul></section>' if noted else ""
    drawn = "".join(
        f'<section><h2>{_safe(one.title)}</h2><div class="chart" id="figure-{one.name}" role="img" '
        f'aria-label="{_safe(one.title)}"></div><p class="how"><b>How to read it.</b> {_safe(one.how)}</p></section>'
        for one in sections
    )
    policy = (
        "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_safe(title)}</title><style>{STYLE}</style></head><body><main>"
        f'<h1>{_safe(title)}</h1><p class="lead">{_safe(lead)}</p>{warned}{shown}{drawn}'
        "<noscript><p>The figures are drawn with JavaScript, which is switched off.</p></noscript>"
        f"<footer><h2>Where this comes from</h2><dl>{said}</dl>{scenario}</footer></main>"
        f'<script id="figures" type="application/json">{_data(sections)}</script>'
        f"<script>{_script(vl_convert.javascript_bundle(EXPORTS))}</script><script>{DRAW}</script></body></html>\n"
    )


def table(one: Rows) -> str:
    """A table as HTML."""
    head = "".join(f"<th>{_safe(cell)}</th>" for cell in one.headings)
    body = ""
    for row in one.rows:
        cells = "".join(f"<td>{_safe(cell)}</td>" for cell in row)
        body += f"<tr{' class=less' if row[0].startswith(' ') else ''}>{cells}</tr>"
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _table(one: Rows) -> str:
    return f"<section><h2>{_safe(one.title)}</h2>{table(one)}</section>"


def _data(sections: Sequence[Section]) -> str:
    """All specifications, with each of their data sets once."""
    datasets: dict[str, Any] = {}
    figures = []
    for one in sections:
        entry: dict[str, Any] = {"id": f"figure-{one.name}"}
        for size, spec in (("wide", one.wide), ("narrow", one.narrow)):
            datasets |= spec.get("datasets", {})
            entry[size] = {key: value for key, value in spec.items() if key != "datasets"}
        figures.append(entry)
    data = {"wide_px": WIDE_PX, "figures": figures, "datasets": datasets}
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")


def _script(text: str) -> str:
    """Text that may stand within a script element."""
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _safe(text: str) -> str:
    return html.escape(str(text))
