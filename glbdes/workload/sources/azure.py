"""Azure LLM inference traces of 2023 and 2024, and the multimodal one of 2025 (github.com/Azure/AzurePublicDataset).

| column | unit | becomes |
|---|---|---|
| TIMESTAMP | date and time, ISO 8601, UTC unless it has an offset | time_s |
| ContextTokens | tokens; in the multimodal trace of text and images together | prompt_tokens |
| GeneratedTokens | tokens | output_tokens |
| NumImages | images, in the multimodal trace alone | must be there, and is not used |
"""

from functools import partial

from glbdes.workload.sources.batch import CsvColumns, Source, csv_batches

COLUMNS = CsvColumns("TIMESTAMP", "ContextTokens", "GeneratedTokens")
MULTIMODAL = COLUMNS._replace(also=("NumImages",))
LICENCE = "CC-BY-4.0, Microsoft (Azure Public Dataset)"

AZURE = Source("azure", partial(csv_batches, columns=COLUMNS), "ISO 8601", LICENCE)
AZURE_LMM = Source("azure-lmm", partial(csv_batches, columns=MULTIMODAL), "ISO 8601", LICENCE)
