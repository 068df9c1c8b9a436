"""Files of a served run (CSV): one row a request, in the order of arrival; times in seconds on the server's clock.

    arrival_s,prompt_tokens,output_tokens,first_token_s,last_token_s

Other columns are ignored. Nothing is mended: a row that breaks a rule is named by its line and refused.
"""

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from glbdes.base import tables
from glbdes.hardware.measurements import Floats, Ints
from glbdes.hardware.steps_file import counts, read_columns, refuse
from glbdes.scenario.sizes import MOST_S

TIMES: Final = ("arrival_s", "first_token_s", "last_token_s")
TOKENS: Final = ("prompt_tokens", "output_tokens")


class ServedRequests(NamedTuple):
    """The requests of a served run, in the order of arrival; arrays [n]."""

    arrival_s: Floats
    prompt_tokens: Ints
    output_tokens: Ints
    first_token_s: Floats
    last_token_s: Floats


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
    return ServedRequests(arrival_s, prompt, output, first_s, last_s)
