"""Requests that ServeGen generated and saved (github.com/alibaba/ServeGen, arXiv 2505.09999).

| column | unit | becomes |
|---|---|---|
| timestamp | s since the workload's beginning | time_s |
| input_tokens | tokens | prompt_tokens |
| output_tokens | tokens | output_tokens |
| request_id | | (not used) |
"""

from functools import partial

from glbdes.workload.sources.batch import CsvColumns, Source, csv_batches

COLUMNS = CsvColumns("timestamp", "input_tokens", "output_tokens")

SERVEGEN = Source("servegen", partial(csv_batches, columns=COLUMNS), "s", "Apache-2.0, alibaba/ServeGen")
