"""The rows that engines hand over: of requests that have ended, and of the counters of one region in one slot."""

import numpy as np

REQUEST_DTYPE = np.dtype(
    [
        ("request_id", "i8"),
        ("gateway", "i2"),
        ("region", "i2"),  # the last one it was sent to; -1: none
        ("replica", "i4"),  # -1: none
        ("slo", "i1"),
        ("status", "i1"),
        ("attempts", "i2"),
        ("prompt_tokens", "i4"),
        ("output_tokens", "i4"),
        ("arrival_ns", "i8"),
        ("start_ns", "i8"),  # prefill begins; -1: never
        ("first_token_ns", "i8"),  # at the region; -1: never
        ("finish_ns", "i8"),  # when its last status was decided, at the region (or at the gateway, if none took it)
        ("energy_j", "f8"),
        ("cost_usd", "f8"),
        ("carbon_g", "f8"),
        ("water_l", "f8"),
        ("preemptions", "i4"),  # times that it lost its blocks, for want of free ones; 0 where prompts come first
        ("cached_tokens", "i8"),  # that it did not have to compute, over all its admissions; 0 where prompts come first
    ]
)

SESSION_DTYPE = np.dtype([*REQUEST_DTYPE.descr, ("session", "i8")])  # where there are sessions; -1: it has none

# Raw counters of one region in one slot, as an engine keeps them: simulated, not scaled.
METER_DTYPE = np.dtype(
    [
        ("arrived", "i8"),  # requests that reached the region
        ("served", "i8"),
        ("rejected", "i8"),
        ("timed_out", "i8"),
        ("failed", "i8"),  # requests whose last attempt ended here
        ("queue_max", "i8"),
        ("queue_area_ns", "i8"),  # integral of the queue's length
        ("system_area_ns", "i8"),  # integral of the number of requests in the region
        ("prefill_ns", "i8"),  # replica time by what it did
        ("decode_ns", "i8"),
        ("idle_ns", "i8"),  # awake or asleep, without work
        ("down_ns", "i8"),
        ("asleep_ns", "i8"),  # of `idle_ns`
        ("wakes", "i8"),  # times that a replica began to wake up
        ("prefill_j", "f8"),
        ("decode_j", "f8"),
        ("idle_j", "f8"),  # awake without work
        ("sleep_j", "f8"),
        ("attributed_j", "f8"),  # what requests were charged, by their own counters
    ]
)
