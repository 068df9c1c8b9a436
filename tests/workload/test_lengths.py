"""Laws of token lengths: known moments, exact tables, and the Azure trace that one of them stands for."""

import json
import runpy
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from glbdes.errors import ScenarioError, TraceError
from glbdes.scenario.demand import Lengths
from glbdes.workload import lengths
from glbdes.workload.azure import Trace, read_azure

REAL = Path(__file__).resolve().parents[2] / "../shared/data/azure_llm/AzureLLMInferenceTrace_conv.csv"
AZURE = Lengths()
ALMOST_1 = 1.0 - 2.0**-53
PROBABILITIES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)
# Quantiles of the trace at PROBABILITIES; the tolerance, relative; and the tokens that a first percentile may be off.
TRACE_QUANTILES = {
    "prompt": ((29, 181, 396, 1020, 1189, 2734.5, 4083, 4142, 6179), 0.02, 6),
    "output": ((16, 41, 85, 129, 395, 424, 451, 601, 954), 0.03, 1.5),
    "total": ((133, 296, 491, 1412, 1558, 2819.5, 4136, 4259, 6301), 0.04, 25),
}


def big_sample(n: int = 200_000) -> tuple[np.ndarray, np.ndarray]:
    return lengths.sample(AZURE, np.random.default_rng(3), n)


@pytest.fixture(scope="module")
def trace() -> Trace:
    if not REAL.exists():
        pytest.skip("needs the data folder beside the checkout")
    return read_azure(REAL)


def write_trace(folder: Path, rows: list[tuple[int, int]]) -> None:
    lines = [f"2023-11-16 18:15:{i:02},{prompt},{output}\n" for i, (prompt, output) in enumerate(rows)]
    (folder / "trace.csv").write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(lines))


def joint_distance(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> float:
    """Largest difference of the two joint distribution functions on a grid of quantiles."""
    x, y = (np.unique(np.quantile(values, np.arange(1, 40) / 40)) for values in a)
    edges = [np.concatenate([[-np.inf], np.nextafter(axis, np.inf), [np.inf]]) for axis in (x, y)]
    cdf = [np.histogram2d(*pair, bins=edges)[0].cumsum(0).cumsum(1) / len(pair[0]) for pair in (a, b)]
    return float(abs(cdf[0] - cdf[1]).max())


@pytest.mark.parametrize("kind", TRACE_QUANTILES)
def test_azure_quantiles_are_those_of_the_trace(kind: str) -> None:
    prompt, output = big_sample()
    drawn = {"prompt": prompt, "output": output, "total": prompt + output}[kind]
    expected, relative, tokens = TRACE_QUANTILES[kind]
    reached = np.quantile(drawn, PROBABILITIES)
    assert (abs(reached - expected) < np.maximum(relative * np.array(expected), tokens)).all(), reached


def test_azure_means_are_those_of_the_trace() -> None:
    prompt, output = big_sample()
    assert prompt.mean() == pytest.approx(1154.70, rel=0.01)
    assert output.mean() == pytest.approx(211.13, rel=0.01)
    assert stats.spearmanr(prompt, output).statistic == pytest.approx(0.0728, abs=0.02)
    assert np.corrcoef(prompt, output)[0, 1] == pytest.approx(-0.1124, abs=0.02)


def test_azure_law_is_as_near_to_the_trace_as_its_halves_to_one_another(trace: Trace) -> None:
    drawn, real = big_sample(), (trace.prompt_tokens, trace.output_tokens)
    for ours, theirs in ((drawn[0], real[0]), (drawn[1], real[1]), (drawn[0] + drawn[1], real[0] + real[1])):
        assert stats.ks_2samp(ours, theirs).statistic < 0.01
    assert joint_distance(real, drawn) < 0.01


def test_lengths_drawn_independently_would_be_noticed(trace: Trace) -> None:
    """The planted fault of the test above."""
    prompt, output = big_sample()
    assert joint_distance((trace.prompt_tokens, trace.output_tokens), (prompt, np.roll(output, 1))) > 0.05


def test_azure_output_follows_the_prompts_class(trace: Trace) -> None:
    """Chats repeat an output length by the kind of prompt: the median output in each tercile of the prompt."""
    prompt, output = big_sample()
    bounds = np.quantile(trace.prompt_tokens, [0, 1 / 3, 2 / 3, 1])
    for low, high in pairwise(bounds):
        ours = output[(prompt > low) & (prompt <= high)]
        theirs = trace.output_tokens[(trace.prompt_tokens > low) & (trace.prompt_tokens <= high)]
        assert stats.ks_2samp(ours, theirs).statistic < 0.02


def test_the_fitted_table_is_what_its_script_makes_of_the_trace(trace: Trace) -> None:
    script = runpy.run_path(str(Path(__file__).resolve().parents[2] / "docs/scripts/fit_lengths.py"))
    assert json.loads(lengths.QUANTILES.read_text(encoding="utf-8")) == script["fit"](trace)


@pytest.mark.parametrize(
    "law",
    [
        AZURE,
        Lengths(law="geometric", prompt_tokens=300, output_tokens=20),
        Lengths(law="fixed", prompt_tokens=9, output_tokens=1),
    ],
    ids=lambda law: law.law,
)
def test_every_uniform_gives_lengths_of_at_least_one_token(law: Lengths) -> None:
    ends = np.array([0.0, 0.0, ALMOST_1, ALMOST_1, 0.5])
    prompt, output = lengths.law(law)(ends, ends[::-1].copy())
    assert prompt.dtype == output.dtype == np.int64
    assert (prompt >= 1).all()
    assert (output >= 1).all()


def test_azure_extremes_are_those_of_the_trace() -> None:
    ranks = np.array([*np.arange(32) / 32, ALMOST_1])
    prompt, shortest = lengths.law(AZURE)(ranks, np.zeros(33))
    _, longest = lengths.law(AZURE)(ranks, np.full(33, ALMOST_1))
    assert (prompt[0], prompt[-1]) == (2, 14_050)
    assert (shortest.min(), longest.max()) == (7, 1000)


def test_mix_is_the_same_every_time_and_has_the_means_of_the_law() -> None:
    prompt, output = lengths.mix(AZURE)
    again = lengths.mix(AZURE)
    np.testing.assert_array_equal(prompt, again[0])
    np.testing.assert_array_equal(output, again[1])
    drawn = lengths.sample(AZURE, np.random.default_rng(1), 4_000_000)
    for moment in (lambda p, o: p, lambda p, o: o, lambda p, o: p * o, lambda p, o: o * o):
        assert moment(prompt, output).mean() == pytest.approx(moment(*drawn).mean(), rel=3e-3)


def test_geometric_lengths_have_the_moments_of_their_law_and_are_independent() -> None:
    law = Lengths(law="geometric", prompt_tokens=200.0, output_tokens=7.5)
    n = 400_000
    prompt, output = lengths.sample(law, np.random.default_rng(2), n)
    for tokens, mean in ((prompt, 200.0), (output, 7.5)):
        variance = mean * (mean - 1)
        assert abs(tokens.mean() - mean) < 3 * np.sqrt(variance / n)
        assert tokens.var() == pytest.approx(variance, rel=0.02)
        assert (tokens > 5).mean() == pytest.approx((1 - 1 / mean) ** 5, abs=0.003)
    assert abs(np.corrcoef(prompt, output)[0, 1]) < 0.006
    assert [tokens.mean() for tokens in lengths.mix(law)] == pytest.approx([200.0, 7.5], rel=2e-3)


def test_a_geometric_length_of_mean_one_is_one() -> None:
    law = Lengths(law="geometric", prompt_tokens=1.0, output_tokens=1.0)
    assert {int(tokens) for side in lengths.sample(law, np.random.default_rng(1), 100) for tokens in side} == {1}


def test_fixed_lengths_are_fixed_and_their_mix_is_one_row() -> None:
    law = Lengths(law="fixed", prompt_tokens=100.0, output_tokens=20.0)
    prompt, output = lengths.sample(law, np.random.default_rng(1), 5)
    assert prompt.tolist() == [100] * 5
    assert output.tolist() == [20] * 5
    assert [tokens.tolist() for tokens in lengths.mix(law)] == [[100], [20]]


def test_trace_lengths_are_rows_of_the_file_drawn_evenly(tmp_path: Path) -> None:
    rows = [(10, 1), (20, 5), (20, 6), (30, 2)]
    write_trace(tmp_path, rows)
    law = Lengths(law="trace", file="trace.csv")
    prompt, output = lengths.sample(law, np.random.default_rng(1), 40_000, tmp_path)
    drawn, counts = np.unique(np.stack([prompt, output], axis=1), axis=0, return_counts=True)
    assert [tuple(row) for row in drawn.tolist()] == rows
    assert stats.chisquare(counts).pvalue > 0.01
    assert list(zip(*(tokens.tolist() for tokens in lengths.mix(law, tmp_path)), strict=True)) == rows


def test_long_draws_are_cut_output_first(tmp_path: Path) -> None:
    write_trace(tmp_path, [(10, 5), (98, 7), (99, 5), (400, 5)])
    law = Lengths(law="trace", file="trace.csv", max_tokens=100)
    prompt, output = lengths.mix(law, tmp_path)
    assert prompt.tolist() == [10, 98, 99, 99]
    assert output.tolist() == [5, 2, 1, 1]


@pytest.mark.parametrize(
    ("law", "message"),
    [
        (Lengths(law="fixed", output_tokens=1), "workload.lengths.prompt_tokens = missing, must be >= 1"),
        (Lengths(law="geometric", prompt_tokens=9, output_tokens=0.5), "output_tokens = 0.5 tokens, must be >= 1"),
        (Lengths(law="fixed", prompt_tokens=9.5, output_tokens=1), "prompt_tokens = 9.5 tokens, must be whole"),
    ],
)
def test_numbers_that_a_law_cannot_have_are_refused(law: Lengths, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        lengths.mix(law)


def test_a_trace_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"no request trace 'absent\.csv'"):
        lengths.mix(Lengths(law="trace", file="absent.csv"), tmp_path)
