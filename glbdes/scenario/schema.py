"""The JSON schema of scenario files, for editors that complete keys and mark mistakes (`#:schema` in a TOML file).

Made from the models: types and limits are pydantic's, and what a key means is the comment that stands beside it there.
"""

import inspect
import io
import json
import textwrap
import tokenize
from collections.abc import Collection, Iterator
from typing import Any, Final

from pydantic import BaseModel

from glbdes.scenario import demand, model, pools

FILE: Final = "scenario.schema.json"  # beside scenarios that begin with LINE
LINE: Final = f"#:schema ./{FILE}"


def schema() -> dict[str, Any]:
    """Of a scenario file, as a document."""
    made = model.Scenario.model_json_schema()
    comments = {one.__name__: dict(_comments(one)) for one in _models()}
    for name, table in [("Scenario", made), *made["$defs"].items()]:
        for key, entry in table.get("properties", {}).items():
            if key in comments.get(name, {}):
                entry["description"] = comments[name][key]
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "glbdes scenario"}
    return {**head, **_simplified(made)}


def text() -> str:
    """The same as a file's contents."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def _models() -> Iterator[type[BaseModel]]:
    for module in (model, demand, pools):
        for _, one in inspect.getmembers(module, inspect.isclass):
            if issubclass(one, BaseModel) and one.__module__ == module.__name__:
                yield one


def _comments(of: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """(key, comment behind it) of each key of a model, its parents' too."""
    for parent in reversed(of.__mro__):
        if issubclass(parent, BaseModel) and parent is not BaseModel:
            yield from _comments_of(textwrap.dedent(inspect.getsource(parent)), set(parent.model_fields))


def _comments_of(source: str, keys: Collection[str]) -> Iterator[tuple[str, str]]:
    depth, key = 0, None
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        depth += {tokenize.INDENT: 1, tokenize.DEDENT: -1}.get(token.type, 0)
        if token.type == tokenize.NEWLINE:
            key = None
        elif depth == 1 and token.string in keys and token.line.lstrip().startswith(f"{token.string}:"):
            key = token.string
        elif token.type == tokenize.COMMENT and key is not None and "noqa" not in token.string:
            yield key, token.string.lstrip("# ")


def _simplified(node: Any) -> Any:
    """Without what editors need not know: titles that repeat keys, null (TOML has none), defaults of whole tables."""
    if isinstance(node, list):
        return [_simplified(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    kept = {
        key: _simplified(entry)
        for key, entry in node.items()
        if not (key == "title" and isinstance(entry, str))
        and not (key == "default" and (entry is None or isinstance(entry, dict | list)))
        and not (key == "format" and entry == "date-time")  # TOML's own dates need no offset
    }
    if "anyOf" in kept and {"type": "null"} in kept["anyOf"]:
        others = [entry for entry in kept.pop("anyOf") if entry != {"type": "null"}]
        kept |= others[0] if len(others) == 1 else {"anyOf": others}
    return kept
