"""Results of `vllm bench serve --save-result --save-detailed` (vLLM 0.11 and later), and logs of a vLLM server as CSV.

| key of the JSON result | unit | becomes |
|---|---|---|
| start_times | s on the client's clock | time_s |
| input_lens | tokens | prompt_tokens |
| output_lens | tokens; 0: the request failed | output_tokens |

| column of a CSV file | unit | becomes |
|---|---|---|
| arrival_s | s | time_s |
| prompt_tokens | tokens | prompt_tokens |
| output_tokens | tokens | output_tokens |

The client may start requests out of the order in which they are listed; `sort` puts them right.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from glbdes.base import reading
from glbdes.base.reading import UnreadableError
from glbdes.errors import TraceError, nearest
from glbdes.workload.cells import Column
from glbdes.workload.sources.batch import Batch, CsvColumns, Source, csv_batches

KEYS = ("start_times", "input_lens", "output_lens")
COLUMNS = CsvColumns("arrival_s", "prompt_tokens", "output_tokens")


def batches(path: Path) -> Iterator[Batch]:
    """The requests of a result, at once: the file is one JSON object. Raises `TraceError`."""
    if path.suffix != ".json":
        yield from csv_batches(path, COLUMNS)
        return
    try:
        result = reading.json_document(reading.text(path, reading.MOST_JSON_BYTES))
    except UnreadableError as error:
        raise TraceError(f"{path}: {error}") from error
    if not isinstance(result, Mapping):
        raise TraceError(f"{path}: must be the JSON object that `vllm bench serve --save-result` writes")
    columns = []
    for key in KEYS:
        if not isinstance(result.get(key), list):
            remedy = "run `vllm bench serve` with --save-result --save-detailed"
            raise TraceError(f"{path}: no list '{key}'{nearest(key, result)}; {remedy}")
        columns.append(Column(key, pd.Series(result[key], dtype=object), path, 1, "request"))
    lengths = [len(column.cells) for column in columns]
    if len(set(lengths)) > 1:
        told = ", ".join(f"{n} {key}" for key, n in zip(KEYS, lengths, strict=True))
        raise TraceError(f"{path}: {told}, must be as many of each")
    if lengths[0]:
        yield Batch(*columns)


VLLM_BENCH = Source("vllm-bench", batches, "s", "the user's own measurement")
