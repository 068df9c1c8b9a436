"""What mkdocs asks while it builds the site: pages made from code and from files outside docs/, and links to these.

- the home page is README.md; CONTRIBUTING.md and CHANGELOG.md are pages, too;
- keys.md has every key of a scenario, from the models; cli.md and api.md are filled by mkdocs-click and mkdocstrings;
- a link to a file outside docs/ (`../scenarios/llm10.toml`) leads to a copy of it in the site.
"""

import posixpath
import re
from pathlib import Path
from typing import Any, Final

from mkdocs.structure.files import File, Files

import glbdes
from glbdes.scenario.schema import schema

ROOT: Final = Path(__file__).resolve().parents[2]
PAGES: Final = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
LINK: Final = re.compile(r"(\]\(|href=\"|src=\")([^)\s\"#:]+)(#[^)\s\"]*)?(?=[)\"])")
FOLDER: Final = re.compile(r"\[([^\]\n]*)\]\(([\w./-]+)\)")  # a link that may lead to a folder, which a site has not
CLI: Final = """# Command line

Every command, from the code. `glbdes COMMAND --help` says the same.

::: mkdocs-click
    :module: glbdes.cli.main
    :command: main
    :prog_name: glbdes
    :depth: 1
    :style: table
"""
HOMES: Final = glbdes._HOMES | glbdes._ROOMS
FACE: Final = [
    f"::: glbdes.{'.'.join(HOMES[name])}\n" for name in sorted(glbdes.__all__, key=str.lower) if name in HOMES
]
API: Final = f"""# Python

What `import glbdes` offers. Everything else may change.

{"".join(FACE)}
## For policies
::: glbdes.world.view.View
::: glbdes.policy.contract.check

## Errors
::: glbdes.errors.ScenarioError
::: glbdes.errors.PolicyError
::: glbdes.errors.RecordsError
"""
KEYS: Final = """# Every key of the scenario

Made from the models that read scenario files: what is said here is what `glbdes check` holds a file to. What the keys
do is in [the scenario file](scenario.md). `NAME` is a name that you give.

"""


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that no file in docs/ holds, and copies of the files that pages link to."""
    made = {name: relinked((ROOT / source).read_text(encoding="utf-8"), "") for source, name in PAGES.items()}
    made |= {"keys.md": KEYS + keys(schema()), "cli.md": CLI, "api.md": API}
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    texts = [*made.values(), *(page.content_string for page in files.documentation_pages() if not page.generated_by)]
    for target in sorted({found for text in texts for found in outside(text)}):
        if (ROOT / target).is_file():
            files.append(File.generated(config, f"files/{target}", abs_src_path=str(ROOT / target)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    return relinked(markdown, "docs")


def on_page_content(html: str, **_: Any) -> str:
    """mkdocs-click shows what click has for "no default" as if it were one."""
    return html.replace("<code>Sentinel.UNSET</code>", "")


def relinked(text: str, folder: str) -> str:
    """`text` of a page in `folder` of the repository, whose links work in the site."""

    def leads(found: re.Match[str]) -> str:
        begin, target, anchor = found.group(1), found.group(2), found.group(3) or ""
        path = posixpath.normpath(posixpath.join(folder, target))
        if path in PAGES:
            return f"{begin}{PAGES[path]}{anchor}"
        if path.startswith("docs/"):
            return f"{begin}{path.removeprefix('docs/')}{anchor}"
        if (ROOT / path).is_file():
            return f"{begin}files/{path}"
        return found.group()

    folders = FOLDER.sub(lambda found: found[1] if (ROOT / folder / found[2]).is_dir() else found[0], text)
    return LINK.sub(leads, folders)


def outside(text: str) -> set[str]:
    """Files of the repository, outside docs/, that a page links to, or linked to before it was `relinked`."""
    paths = (match.group(2) for match in LINK.finditer(text))
    found = {path.removeprefix("files/") if path.startswith("files/") else path.removeprefix("../") for path in paths}
    return {path for path in found if not path.startswith((".", "docs/")) and path not in PAGES}


def keys(found: dict[str, Any]) -> str:
    """Every key of the schema as tables of Markdown, a heading a table of the file."""
    parts = [_table("Top level", found, found)]
    for name, entry in found["properties"].items():
        parts += _tables(name, entry, found)
    return "\n".join(parts)


def _tables(path: str, entry: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """The table at `path` and those within it."""
    heading, table = _behind(path, entry, found)
    if table is None:
        return []
    made = [_table(heading, table, found)]
    for name, inner in table["properties"].items():
        made += _tables(f"{path}.{name}" if heading == f"[{path}]" else f"{heading.strip('[]')}.{name}", inner, found)
    return made


def _behind(path: str, entry: dict[str, Any], found: dict[str, Any]) -> tuple[str, dict[str, Any] | None]:
    """The heading and schema of the table that a key holds; no schema if it holds a value."""
    for one in (entry, *entry.get("anyOf", ())):
        if "$ref" in one:
            return f"[{path}]", found["$defs"][one["$ref"].rsplit("/", 1)[-1]]
        for named in one.get("patternProperties", {}).values():
            if "$ref" in named:
                return f"[{path}.NAME]", found["$defs"][named["$ref"].rsplit("/", 1)[-1]]
        if "$ref" in one.get("items", {}):
            return f"[[{path}]]", found["$defs"][one["items"]["$ref"].rsplit("/", 1)[-1]]
    return path, None


def _table(heading: str, table: dict[str, Any], found: dict[str, Any]) -> str:
    needed = set(table.get("required", ()))
    lines = [f"## {heading}" if heading == "Top level" else f"## `{heading}`", "", table.get("description", ""), ""]
    lines += ["| key | value | default | |", "|---|---|---|---|"]
    for name, entry in table.get("properties", {}).items():
        default = "must be given" if name in needed else _default(entry)
        lines.append(f"| `{name}` | {_kind(entry, found)} | {default} | {_safe(entry.get('description', ''))} |")
    return "\n".join(lines) + "\n"


def _default(entry: dict[str, Any]) -> str:
    value = entry.get("default")
    return f"`{str(value).lower() if isinstance(value, bool) else value}`" if value or value in (0, False) else "*none*"


def _kind(entry: dict[str, Any], found: dict[str, Any]) -> str:
    """What a key may be, in words."""
    if "anyOf" in entry:
        return " or ".join(dict.fromkeys(_kind(one, found) for one in entry["anyOf"] if one.get("type") != "null"))
    if _behind("", entry, found)[1] is not None:
        return "tables, below" if "items" in entry or "patternProperties" in entry else "a table, below"
    if "enum" in entry or "const" in entry:
        return ", ".join(f"`{one}`" for one in entry.get("enum", [entry.get("const")]))
    if entry.get("type") == "array":
        return f"list: {_kind(entry['items'], found)}" if isinstance(entry.get("items"), dict) else "list"
    kind = {
        "integer": "whole number",
        "number": "number",
        "string": "text",
        "boolean": "true or false",
        "object": "table",
    }
    limits = [f"{sign} {entry[key]:g}" for key, sign in LIMITS.items() if key in entry and abs(entry[key]) < MOST]
    return ", ".join([kind.get(str(entry.get("type")), "any"), *limits])


LIMITS: Final = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
MOST: Final = 1e15  # limits beyond are those of the machine


def _safe(text: str) -> str:
    return re.sub(r"([|\[\]])", r"\\\1", text).replace("\n", " ")
