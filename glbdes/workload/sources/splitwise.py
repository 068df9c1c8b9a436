"""Traces of the simulator SplitwiseSim (github.com/Mutinifni/splitwise-sim).

| column | unit | becomes |
|---|---|---|
| arrival_timestamp | s | time_s |
| batch_size | requests | must be 1 |
| prompt_size | tokens | prompt_tokens |
| token_size | tokens generated | output_tokens |
| request_id, request_type, application_id | | (not used) |

The production traces of the Splitwise paper are Azure's of 2023: `azure` reads those.
"""

from functools import partial

from glbdes.workload.sources.batch import CsvColumns, Source, csv_batches

COLUMNS = CsvColumns("arrival_timestamp", "prompt_size", "token_size", ones=("batch_size",))

SPLITWISE = Source("splitwise", partial(csv_batches, columns=COLUMNS), "s", "MIT, Mutinifni/splitwise-sim")
