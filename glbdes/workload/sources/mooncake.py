"""Mooncake traces of FAST'25 (github.com/kvcache-ai/Mooncake): a JSON object a line.

| key | unit | becomes |
|---|---|---|
| timestamp | ms since the trace's beginning | time_s |
| input_length | tokens | prompt_tokens |
| output_length | tokens | output_tokens |
| hash_ids | a number for each block of 512 tokens of the prompt, the last one as long as what is left | prefix_blocks |

Prompts that begin with the same numbers begin with the same tokens. There are ceil(input_length / 512) of them.
"""

import gzip
from collections.abc import Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from glbdes.base import reading
from glbdes.base.reading import UnreadableError
from glbdes.errors import TraceError, brief, nearest
from glbdes.workload.cells import Column
from glbdes.workload.sources.batch import Batch, Source

BLOCK_TOKENS = 512
TIME, PROMPT, OUTPUT, BLOCKS = KEYS = ("timestamp", "input_length", "output_length", "hash_ids")
MOST_LINE_BYTES = 16 << 20  # two million blocks
LINES = 10_000  # that are held at a time
MOST_BLOCK = 2**63 - 1


def batches(path: Path) -> Iterator[Batch]:
    """The lines of a trace, plain or .gz. Raises `TraceError` with the line of what is wrong."""
    first, rows = 1, []
    for number, text in enumerate(_lines(path), start=1):
        rows.append(_row(text, f"{path}, line {number}"))
        if len(rows) == LINES:
            yield _batch(rows, path, first)
            first, rows = number + 1, []
    if rows:
        yield _batch(rows, path, first)


def _lines(path: Path) -> Iterator[str]:
    if not path.is_file():
        raise TraceError(f"{path}: no such file")
    try:
        reading.regular(path)
        with _opened(path) as file:
            while line := file.readline(MOST_LINE_BYTES + 1):
                if len(line) > MOST_LINE_BYTES:
                    raise UnreadableError(f"has a line of more than {MOST_LINE_BYTES:,} bytes")
                yield line.decode("utf-8-sig")
    except (UnreadableError, OSError, EOFError, UnicodeDecodeError) as error:
        raise TraceError(f"{path}: cannot be read as lines of JSON ({brief(error)})") from error


def _opened(path: Path) -> gzip.GzipFile | BufferedReader:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def _row(text: str, place: str) -> Mapping[str, Any]:
    try:
        row = reading.json_document(text)
    except UnreadableError as error:
        raise TraceError(f"{place}: {error}; must be a JSON object a line") from error
    if not isinstance(row, Mapping):
        raise TraceError(f"{place}: {brief(text.strip())}, must be a JSON object")
    for key in KEYS:
        if key not in row:
            raise TraceError(f"{place}: no key '{key}'{nearest(key, row)}")
    blocks, tokens = row[BLOCKS], row[PROMPT]
    if not isinstance(blocks, list) or not all(type(one) is int and 0 <= one <= MOST_BLOCK for one in blocks):
        raise TraceError(f"{place}: {BLOCKS} = {brief(blocks)}, must be a list of whole numbers >= 0")
    needed = -(-tokens // BLOCK_TOKENS) if type(tokens) is int else len(blocks)  # any other length is refused later
    if len(blocks) != needed:
        rule = f"must have {needed}, one for each {BLOCK_TOKENS} tokens of {PROMPT} = {brief(tokens)}"
        raise TraceError(f"{place}: {BLOCKS} has {len(blocks)} numbers, {rule}; is it a trace of other blocks?")
    return row


def _batch(rows: list[Mapping[str, Any]], path: Path, first: int) -> Batch:
    time, prompt, output = (
        Column(key, pd.Series([row[key] for row in rows], dtype=object), path, first) for key in (TIME, PROMPT, OUTPUT)
    )
    return Batch(time, prompt, output, None, pa.array([row[BLOCKS] for row in rows], pa.list_(pa.int64())))


MOONCAKE = Source("mooncake", batches, "ms", "Apache-2.0, kvcache-ai/Mooncake")
