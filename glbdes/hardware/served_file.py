"""Files of a served run (CSV): one row a request, in the order of arrival; times in seconds on the server's clock.

    arrival_s,prompt_tokens,output_tokens,first_token_s,last_token_s[,prefix_of,prefix_tokens]

A prompt may begin as an earlier one does: with the first `prefix_tokens` of that of request `prefix_of`, counted from
0; no tokens mean that no such prompt is known. Other columns are ignored. Nothing is mended: a row that breaks a rule
is named by its line and refused.
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


class ServedRequests(NamedTuple):
    """The requests of a served run, in the order of arrival; arrays [n]."""

    arrival_s: Floats
    prompt_tokens: Ints
    output_tokens: Ints
    first_token_s: Floats
    last_token_s: Floats
    prefix_of: Ints | None = None  # numbers of earlier requests; None if no common prefixes are known
    prefix_tokens: Ints | None = None  # of its prompt, with which this one begins, or 0


def read_served(path: Path) -> ServedRequests:
    """The served run in the CSV file `path`.

    Raises `ProfileError`, with file, line, value and rule: no such file, not a table, a missing column, no rows, a
    value that is no number, tokens that are not whole numbers >= 1, times that are not in order, a prefix of a request
    that is not above, or longer than one of the two prompts.
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
    return with_prefixes(ServedRequests(arrival_s, prompt, output, first_s, last_s), table, path)


def with_prefixes(run: ServedRequests, table: pd.DataFrame, path: Path) -> ServedRequests:
    """`run` with the common prefixes that the `table` of the file `path` tells, row by row, if it has such columns.

    Raises `ProfileError`.
    """
    if not set(PREFIX) & set(table.columns):
        return run
    for name in PREFIX:
        if name not in table.columns:
            raise ProfileError(f"{path}: no column '{name}', must be there with its fellow")
    of, tokens = (counts(table[name], path) for name in PREFIX)
    begun = tokens > 0
    refuse(table["prefix_of"], begun & (of >= np.arange(len(of))), "must be the number of a request above", path)
    shorter = np.minimum(run.prompt_tokens, run.prompt_tokens[np.where(begun, of, 0)])
    refuse(table["prefix_tokens"], begun & (tokens > shorter), "must be within both prompts", path)
    return run._replace(prefix_of=of, prefix_tokens=tokens)
