"""BurstGPT, releases 1.1 and 2.0 (github.com/HPMLL/BurstGPT, arXiv 2401.17644).

| column | unit | becomes |
|---|---|---|
| Timestamp | s since midnight of the first day, local time of the users | time_s |
| Session ID | name of a conversation; release 2.0 alone, empty for calls of the API | session |
| Request tokens | tokens | prompt_tokens |
| Response tokens | tokens; 0: the request failed | output_tokens |
| Elapsed time, Model, Total tokens, Log Type | | (not used) |
"""

from functools import partial

from glbdes.workload.sources.batch import CsvColumns, Source, csv_batches

COLUMNS = CsvColumns("Timestamp", "Request tokens", "Response tokens", session="Session ID")

BURSTGPT = Source("burstgpt", partial(csv_batches, columns=COLUMNS), "s", "CC-BY-4.0, HPMLL/BurstGPT")
