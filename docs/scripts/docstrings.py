"""How mkdocstrings reads this package's docstrings: prose after a list of parameters is a section of its own."""

import re
from typing import Any, Final

import griffe

LISTED: Final = re.compile(r"^Parameters\n-{3,}\n", re.MULTILINE)
PROSE: Final = re.compile(r"\n\n(?=\S[^\n]*(?:\n\S|\n\n|\n?\Z))")  # a paragraph whose second line is not indented


class Prose(griffe.Extension):
    """Put "Notes" before the first paragraph that follows a list of parameters."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is None or (found := LISTED.search(obj.docstring.value)) is None:
            return
        before, after = obj.docstring.value[: found.end()], obj.docstring.value[found.end() :]
        obj.docstring.value = before + PROSE.sub("\n\nNotes\n-----\n", after, count=1)
