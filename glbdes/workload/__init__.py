"""Who asks: arrivals, lengths of prompts and answers, traces that are replayed."""

from glbdes.workload.requests import Requests

__all__ = ["Requests"]
