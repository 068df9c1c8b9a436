"""Fit the law `azure_conv`: quantiles of prompt tokens, and of output tokens by prompt class.

    python docs/scripts/fit_lengths.py [TRACE.csv] > glbdes/workload/lengths_azure_conv.json

TRACE defaults to the trace in the data folder beside the checkout. Classes have equally many requests; those
with the same prompt length that straddle two classes are dealt to them at random (seeded).
"""

import json
import re
import sys
from pathlib import Path

import numpy as np

from glbdes.workload.azure import Trace, read_azure

TRACE = Path(__file__).resolve().parents[2] / "../shared/data/azure_llm/AzureLLMInferenceTrace_conv.csv"
SOURCE = "Azure public dataset, AzureLLMInferenceTrace_conv, 2023-11-16 (CC-BY 4.0): quantiles of 19,366 requests"
CLASSES = 32
SEED = 2023


def probabilities(steps: int, lower: int, upper: int) -> list[float]:
    """Even steps, and ever finer ones into both tails down to 2^-lower and 2^-upper."""
    finest = steps.bit_length() - 1
    even = np.arange(steps + 1) / steps
    low = [2.0**-k for k in range(finest + 1, lower + 1)]
    high = [1 - 2.0**-k for k in range(finest + 1, upper + 1)]
    return [float(p) for p in np.unique(np.concatenate([even, low, high]))]


def fit(trace: Trace) -> dict[str, object]:
    prompt_at = probabilities(256, lower=12, upper=14)
    output_at = probabilities(32, lower=7, upper=8)
    tie_break = np.random.default_rng(SEED).random(len(trace.prompt_tokens))
    order = np.lexsort((tie_break, trace.prompt_tokens))
    classes = [trace.output_tokens[rows] for rows in np.array_split(order, CLASSES)]
    return {
        "source": SOURCE,
        "prompt": {"probability": prompt_at, "tokens": rounded(trace.prompt_tokens, prompt_at)},
        "output": {"probability": output_at, "tokens": [rounded(tokens, output_at) for tokens in classes]},
    }


def rounded(tokens: np.ndarray, at: list[float]) -> list[int]:
    return [int(value) for value in np.rint(np.quantile(tokens, at))]


if __name__ == "__main__":
    table = fit(read_azure(Path(sys.argv[1]) if len(sys.argv) > 1 else TRACE))
    print(re.sub(r"(?<=[\[\d,])\s+(?=[\d\]])", " ", json.dumps(table, indent=1)))
