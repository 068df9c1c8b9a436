"""Files of a served run (CSV): one row a request, in the order of arrival; times in seconds on the server's clock.

    arrival_s,prompt_tokens,output_tokens,first_token_s,last_token_s

Where prompts begin alike, `prefix_of,prefix_tokens` may say so: the prompt begins with so many tokens of the prompt of
an earlier request, numbered from 0; both are empty for one that has no such prefix. Other columns are ignored. Nothing
is mended: a row that breaks a rule is named by its line and refused.
"""

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from glbdes.base import tables
from glbdes.errors import ProfileError
from glbdes.hardware.measurements import Floats, Ints
from glbdes.hardware.steps_file import counts, read_columns, refuse
from glbdes.scenario.sizes import MOST_S

TIMES: Final = ("arrival_s", "first_token_s", "last_token_s")
TOKENS: Final = ("prompt_tokens", "output_tokens")
PREFIX: Final = ("prefix_of", "prefix_tokens")
NOBODY: Final = -1  # whose prompt a request begins like


class ServedRequests(NamedTuple):
    """The requests of a served run, in the order of arrival; arrays [n]."""

    arrival_s: Floats
    prompt_tokens: Ints
    output_tokens: Ints
    first_token_s: Floats
    last_token_s: Floats
    prefix_of: Ints  # the earlier request whose prompt this one begins with, NOBODY for none
    prefix_tokens: Ints  # so many tokens of it

    def contents(self, block_tokens: int) -> list[list[tuple[int, int]]]:
        """Of each prompt's full blocks: the request that had this block first, and its number there."""
        found: list[list[tuple[int, int]]] = []
        for index, (prompt, of, tokens) in enumerate(
            zip(self.prompt_tokens.tolist(), self.prefix_of.tolist(), self.prefix_tokens.tolist(), strict=True)
        ):
            alike = found[of][: tokens // block_tokens] if of != NOBODY else []
            found.append([*alike, *((index, block) for block in range(len(alike), prompt // block_tokens))])
        return found


def read_served(path: Path) -> ServedRequests:
    """The served run in the CSV file `path`.

    Raises `ProfileError`, with file, line, value and rule: no such file, not a table, a missing column, no rows, a
    value that is no number, tokens that are not whole numbers >= 1, times that are not in order.
    """
    table = read_columns(path, (*TIMES, *TOKENS))
    arrival_s, first_s, last_s = (np.asarray(tables.numbers(table[name]), dtype=np.float64) for name in TIMES)
    for name, values in zip(TIMES, (arrival_s, first_s, last_s), strict=True):
        refuse(table[name], ~(np.abs(values) <= MOST_S), f"must be a number of seconds, at most {MOST_S:g}", path)
    prompt, output = (counts(table[name], path, least=1) for name in TOKENS)
    early = np.diff(arrival_s, prepend=arrival_s[0]) < 0
    refuse(table["arrival_s"], early, "must not be before the line above it: sort the run", path)
    refuse(table["first_token_s"], first_s <= arrival_s, "must be after its arrival_s", path)
    refuse(table["last_token_s"], last_s < first_s, "must not be before its first_token_s", path)
    return ServedRequests(arrival_s, prompt, output, first_s, last_s, *_prefixes(table, prompt, path))


def _prefixes(table: pd.DataFrame, prompt: Ints, path: Path) -> tuple[Ints, Ints]:
    """`prefix_of` and `prefix_tokens`. Raises `ProfileError` for what no earlier prompt has."""
    if not set(PREFIX) & set(table.columns):
        return np.full(len(prompt), NOBODY), np.zeros(len(prompt), dtype=np.int64)
    for name, other in (PREFIX, PREFIX[::-1]):
        if name not in table.columns:
            raise ProfileError(f"{path}: no column '{name}', which goes with '{other}'")
    none = table[PREFIX[0]].str.strip().eq("").to_numpy()
    of, tokens = (counts(table[name].where(~none, "0"), path) for name in PREFIX)
    left = none & table[PREFIX[1]].str.strip().ne("").to_numpy()
    refuse(table["prefix_tokens"], left, "must be empty where prefix_of is", path)
    late = ~none & (of >= np.arange(len(prompt)))
    refuse(table["prefix_of"], late, "must be the number, from 0, of a request in a line above", path)
    most = np.minimum(prompt, prompt[np.where(none, 0, of)])
    refuse(table["prefix_tokens"], ~none & (tokens > most), "must be at most the prompt_tokens of both", path)
    return np.where(none, NOBODY, of), tokens
