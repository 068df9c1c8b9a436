"""What the books and the sketch count of ended requests, in one pass each over a chunk's rows. Kernels.

Sums of numbers that are no integers are added up row after row; durations are only listed, for whoever adds them up.
"""

import math
from typing import Final

from glbdes.base import portable
from glbdes.base.compiled import helper, kernel
from glbdes.hardware import physics
from glbdes.units import NS_PER_S

SERVED = physics.SERVED
# Elements of `numbers`. ONCE_CACHED, ONCE_PROMPTS: of those that were admitted once, only.
COUNTED, ID_SUM, ATTEMPTS, RETURNED = range(4)
PREEMPTIONS, CACHED_TOKENS, PROMPTS, ONCE_CACHED, ONCE_PROMPTS = range(5)
TTFT, TPOT, E2E, ALL = range(4)  # rows of `met` and of `durations_s`
_LN2_HIGH, _LN2_LOW, _HALF_ROOT = portable.LN2_HIGH, portable.LN2_LOW, math.sqrt(0.5)
_LOG: Final = portable.LOG[::-1]


@kernel
def enter(rows, period_ns, warmup_ns, numbers, by_status, charged):
    """Ended requests `rows` into the books: `numbers` [4], `by_status` [status], `charged` [4, r]: J, USD, g, L."""
    for i in range(len(rows)):
        row = rows[i]
        if row["arrival_ns"] % period_ns >= warmup_ns:
            numbers[COUNTED] += 1
        numbers[ID_SUM] += row["request_id"]
        numbers[ATTEMPTS] += row["attempts"]
        if row["attempts"] > 1:
            numbers[RETURNED] += 1
        by_status[row["status"]] += 1
        r = row["region"]
        if r >= 0:  # the others were never anywhere that could charge them
            charged[0, r] += row["energy_j"]
            charged[1, r] += row["cost_usd"]
            charged[2, r] += row["carbon_g"]
            charged[3, r] += row["water_l"]


@kernel
def note(rows, period_ns, warmup_ns, latency_ns, limits_s, numbers, by_status, of_class, met, durations_s, known):
    """Ended requests `rows` that count into a sketch: `numbers` [5], `by_status` [status], `of_class` [class] and
    `met` [4, class] within `limits_s` [3, class]; their durations, where defined, in `durations_s` [3, n], the first
    `known` [3] of each. Returns how many count.
    """
    counted = 0
    for i in range(len(rows)):
        row = rows[i]
        arrival_ns = row["arrival_ns"]
        if arrival_ns % period_ns < warmup_ns:
            continue
        counted += 1
        slo = row["slo"]
        by_status[row["status"]] += 1
        of_class[slo] += 1
        numbers[PREEMPTIONS] += row["preemptions"]
        numbers[CACHED_TOKENS] += row["cached_tokens"]
        if row["start_ns"] >= 0:
            numbers[PROMPTS] += row["prompt_tokens"]
            if row["preemptions"] == 0 and row["attempts"] == 1:
                numbers[ONCE_CACHED] += row["cached_tokens"]
                numbers[ONCE_PROMPTS] += row["prompt_tokens"]
        if row["status"] != SERVED:
            continue
        seen_ns = latency_ns[row["gateway"], max(row["region"], 0)] - arrival_ns
        steps = row["output_tokens"] - 1
        every = listed(TTFT, (row["first_token_ns"] + seen_ns) / NS_PER_S, slo, limits_s, met, durations_s, known)
        if steps >= 1:
            tpot_s = (row["finish_ns"] - row["first_token_ns"]) / steps / NS_PER_S
            every &= listed(TPOT, tpot_s, slo, limits_s, met, durations_s, known)
        else:
            met[TPOT, slo] += 1  # which needs no limit
        every &= listed(E2E, (row["finish_ns"] + seen_ns) / NS_PER_S, slo, limits_s, met, durations_s, known)
        if every:
            met[ALL, slo] += 1
    return counted


@helper
def listed(which, value_s, slo, limits_s, met, durations_s, known):
    """Whether a duration is within its limit; it is listed, and counted if so."""
    durations_s[which, known[which]] = value_s
    known[which] += 1
    if value_s <= limits_s[which, slo]:
        met[which, slo] += 1
        return True
    return False


@kernel
def fill(values, lowest, width, bins):
    """Count `values` [n] in `bins` of equal ratio e^width from `lowest` on; what is beyond them in the outermost."""
    for i in range(len(values)):
        place = log(max(values[i], lowest) / lowest) / width
        bins[min(int(place), len(bins) - 1)] += 1


@helper
def log(x):
    """`portable.log` of one number: the same operations in the same order."""
    m, k = math.frexp(x)
    if m < _HALF_ROOT:
        m *= 2.0
        k -= 1
    s = (m - 1.0) / (m + 1.0)
    square = s * s
    total = _LOG[0]
    for n in range(1, len(_LOG)):
        total = total * square + _LOG[n]
    return k * _LN2_HIGH + (k * _LN2_LOW + s * total)
