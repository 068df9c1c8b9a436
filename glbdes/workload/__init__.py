"""Who asks: rates and arrivals, lengths of prompts and answers, traces that are replayed."""

from glbdes.workload.lengths import mix_of
from glbdes.workload.requests import Requests, demand

__all__ = ["Requests", "demand", "mix_of"]
