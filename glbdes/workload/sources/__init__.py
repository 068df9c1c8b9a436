"""Public formats of request traces: a file each, with its columns and their units as a table."""

from glbdes.workload.sources.azure import AZURE, AZURE_LMM
from glbdes.workload.sources.batch import Source
from glbdes.workload.sources.burstgpt import BURSTGPT
from glbdes.workload.sources.mooncake import MOONCAKE
from glbdes.workload.sources.servegen import SERVEGEN
from glbdes.workload.sources.splitwise import SPLITWISE
from glbdes.workload.sources.vllm_bench import VLLM_BENCH

SOURCES: dict[str, Source] = {
    source.name: source for source in (AZURE, AZURE_LMM, BURSTGPT, MOONCAKE, SERVEGEN, SPLITWISE, VLLM_BENCH)
}
