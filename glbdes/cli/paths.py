"""Files and folders on the command line: names that no file system takes are refused before anything is done."""

from pathlib import Path
from typing import Any, Final

import click

from glbdes.errors import brief

MOST_BYTES: Final = 4000  # of a path
MOST_PART_BYTES: Final = 200  # of a name in it; what is put beside it while it is written is longer


class Place(click.Path):
    """A path that a file system can hold."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        parts = [len(part.encode(errors="surrogateescape")) for part in Path(value).parts]
        if "\0" in str(value) or max(parts, default=0) > MOST_PART_BYTES or sum(parts) > MOST_BYTES:
            rule = f"must have no names of more than {MOST_PART_BYTES} bytes, and no zero bytes"
            self.fail(f"'{brief(value)}', {rule}", param, ctx)
        path = super().convert(value, param, ctx)
        if isinstance(path, Path) and ":" in str(path):
            return path.absolute()  # "a:b" is taken for an address where Parquet is written
        return path


ANY: Final = Place(path_type=Path)
FOLDER: Final = Place(path_type=Path, file_okay=False)
FILE: Final = Place(path_type=Path, dir_okay=False)
