"""Arrays that nobody changes any more."""

from typing import Any

import numpy as np


def freeze(value: Any) -> Any:
    """`value`, a dataclass, tuple or array, with every array in it made read-only."""
    if isinstance(value, np.ndarray):
        value.setflags(write=False)
    elif isinstance(value, tuple):
        for item in value:
            freeze(item)
    elif hasattr(value, "__dataclass_fields__"):
        for name in value.__dataclass_fields__:  # `fields` takes longer than all the rest of it
            freeze(getattr(value, name))
    return value
