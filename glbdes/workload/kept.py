"""Requests that were drawn once, for further runs that meet the same ones, in the same process."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, Final

import numpy as np

from glbdes.workload.requests import Requests

MOST_BYTES: Final = 1 << 28  # of a process: three draws of some millions of requests


class Kept:
    """Draws by a key that says all that they depend on. What no longer fits is drawn each time, as without it."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self.bytes = 0
        self._slots: dict[tuple[str, int], Requests] = {}

    def of(self, key: str, draw: Callable[[int], Requests]) -> Callable[[int], Requests]:
        """What `draw` gives for each slot: from here, where it was given before under this `key`."""

        def requests(slot: int) -> Requests:
            found = self._slots.get((key, slot))
            if found is not None:
                return _wide(found)
            drawn = draw(slot)
            self._keep((key, slot), drawn)
            return drawn

        return requests

    def clear(self) -> None:
        """Forget them all."""
        self._slots.clear()
        self.bytes = 0

    def _keep(self, place: tuple[str, int], drawn: Requests) -> None:
        small = _narrow(drawn)
        size = sum(column.nbytes for column in vars(small).values() if column is not None)
        if self.bytes + size <= self.most_bytes:
            self._slots[place] = small
            self.bytes += size


def _narrow(requests: Requests) -> Requests:
    """Whole numbers in as few bytes as hold them."""

    def narrow(column: Any) -> Any:
        if column is None or column.dtype.kind != "i" or not len(column):
            return column
        least, most = int(column.min()), int(column.max())
        return column.astype(np.result_type(np.min_scalar_type(least), np.min_scalar_type(most)))

    return replace(requests, **{one.name: narrow(getattr(requests, one.name)) for one in fields(requests)})


def _wide(requests: Requests) -> Requests:
    def wide(column: Any) -> Any:
        return column if column is None or column.dtype.kind == "f" else column.astype(np.int64)

    return replace(requests, **{one.name: wide(getattr(requests, one.name)) for one in fields(requests)})
