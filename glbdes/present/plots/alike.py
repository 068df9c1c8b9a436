"""What is the same is drawn once: panels that would look alike become one that is named after all of them."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

MOST_NAMES: Final = 3  # that are written out
DECIMALS: Final = 4  # beyond which nobody sees a difference of shares


def once(table: pd.DataFrame, key: str, columns: Sequence[str], kind: str) -> pd.DataFrame:
    """`table` with one of all values of `key` whose rows have the same `columns`, in the same order, called by their
    names, or "all 10 gateways, alike" with `kind` "gateways" if there is no other.
    """
    groups: dict[bytes, list[str]] = {}
    for name, own in table.groupby(key, sort=False, observed=True):
        values = [
            np.round(own[column].to_numpy(float), DECIMALS) + 0.0
            if pd.api.types.is_numeric_dtype(own[column])
            else own[column].astype(str).to_numpy()
            for column in columns
        ]
        groups.setdefault(repr([one.tolist() for one in values]).encode(), []).append(str(name))
    if len(groups) == table[key].nunique():
        return table
    called = {names[0]: _called(names, len(groups) == 1, kind) for names in groups.values()}
    kept = table[table[key].astype(str).isin(called)]
    return kept.assign(**{key: kept[key].astype(str).map(called)})


def _called(names: Sequence[str], every: bool, kind: str) -> str:
    if len(names) == 1:
        return names[0]
    if every:
        return f"all {len(names)} {kind}, alike"
    if len(names) <= MOST_NAMES:
        return ", ".join(names)
    return f"{', '.join(names[: MOST_NAMES - 1])} and {len(names) - MOST_NAMES + 1} more"
