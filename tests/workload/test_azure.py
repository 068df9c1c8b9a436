"""The Azure importer reads what is there and names the line of what is wrong."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from glbdes.errors import TraceError
from glbdes.workload.azure import read_azure

REAL = Path(__file__).resolve().parents[2] / "../shared/data/azure_llm/AzureLLMInferenceTrace_conv.csv"
HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
ROWS = "2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109\n2023-11-16 18:15:50.9951690,879,55\n"


def write(folder: Path, text: str, name: str = "trace.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_rows_become_arrays_and_time_starts_at_the_first(tmp_path: Path) -> None:
    trace = read_azure(write(tmp_path, HEADER + ROWS))
    assert trace.arrival_s.tolist() == pytest.approx([0.0, 4.314579, 4.314579], abs=1e-12)
    assert trace.prompt_tokens.tolist() == [374, 396, 879]
    assert trace.output_tokens.tolist() == [44, 109, 55]
    assert trace.prompt_tokens.dtype == trace.output_tokens.dtype == np.int64


@pytest.mark.parametrize(
    "text",
    [
        (HEADER + ROWS).replace("\n", "\r\n"),
        (HEADER + ROWS).rstrip("\n"),
        HEADER + ROWS.replace("0,", "0+00:00,").replace("9,", "9,"),  # some rows with an offset, as in the 2024 traces
        "TIMESTAMP,Model,ContextTokens,GeneratedTokens\n" + ROWS.replace(",3", ",m,3").replace(",8", ",m,8"),
    ],
    ids=["windows", "no_last_newline", "offsets", "other_columns"],
)
def test_spellings_of_the_same_trace_read_the_same(tmp_path: Path, text: str) -> None:
    trace, plain = read_azure(write(tmp_path, text)), read_azure(write(tmp_path, HEADER + ROWS, "plain.csv"))
    for ours, theirs in zip(trace, plain, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_compressed_traces_are_read(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv.gz"
    path.write_bytes(gzip.compress((HEADER + ROWS).encode()))
    assert len(read_azure(path).arrival_s) == 3


def test_nanoseconds_survive_in_a_trace_of_weeks(tmp_path: Path) -> None:
    rows = "2023-11-01 00:00:00,1,1\n2023-12-01 00:00:00.000000001,1,1\n"
    trace = read_azure(write(tmp_path, HEADER + rows))
    assert np.rint(trace.arrival_s[1] * 1e9) == 30 * 86_400 * 10**9 + 1


BAD = {
    "negative tokens": (HEADER + ROWS.replace("396", "-396"), r"line 3: ContextTokens = '-396', must be >= 1"),
    "zero tokens": (HEADER + ROWS.replace(",44", ",0"), r"line 2: GeneratedTokens = '0', must be >= 1 token"),
    "half a token": (HEADER + ROWS.replace(",55", ",55.5"), r"line 4: GeneratedTokens = '55.5', must be a whole"),
    "no number": (HEADER + ROWS.replace(",55", ",NaN"), r"line 4: GeneratedTokens = 'NaN', must be a number"),
    "infinite": (HEADER + ROWS.replace(",55", ",inf"), r"line 4: GeneratedTokens = 'inf', must be a number"),
    "empty cell": (HEADER + ROWS.replace(",879,", ",,"), r"line 4: ContextTokens = '', must be a number"),
    "too many tokens": (HEADER + ROWS.replace(",879,", ",99999999999,"), r"line 4: .*must be <= 2147483647"),
    "no time": (HEADER + ROWS.replace("2023-11-16 18:15:46.6805900", "yesterday"), r"line 2: TIMESTAMP = 'yesterday'"),
    "unsorted": (HEADER + ROWS.replace("18:15:46", "18:15:59"), r"line 3: TIMESTAMP = .*50\.9.*before.*59\.6.*sort"),
    "blank line": (HEADER + "\n" + ROWS, r"line 2: TIMESTAMP = ''"),
    "several": (HEADER + ROWS.replace(",4", ",-4").replace(",5", ",-5"), r"line 2: .*and 1 more line\)"),
    "short row": (HEADER + ROWS + "2023-11-16 18:15:52,879\n", r"line 5: GeneratedTokens = '"),
    "no rows": (HEADER, r"no requests"),
    "empty file": ("", r"empty file"),
    "no header": (ROWS, r"no column 'TIMESTAMP'"),
    "other name": (
        HEADER.replace("ContextTokens", "ContextToken") + ROWS,
        r"'ContextTokens'; did you mean 'ContextToken'",
    ),
    "longer rows": (HEADER + ROWS.replace("\n", ",7\n"), r"cannot be read as a CSV table"),
    "ragged": (HEADER + ROWS + "2023-11-16 18:15:52,1,2,3,4\n", r"cannot be read as a CSV table"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_trace_is_refused_with_file_line_value_and_rule(tmp_path: Path, name: str) -> None:
    text, message = BAD[name]
    path = write(tmp_path, text)
    with pytest.raises(TraceError, match=message) as caught:
        read_azure(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_missing_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="no such file"):
        read_azure(tmp_path / "absent.csv")
    (tmp_path / "noise.csv").write_bytes(bytes(range(256)))
    with pytest.raises(TraceError, match=r"noise\.csv"):
        read_azure(tmp_path / "noise.csv")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress((HEADER + ROWS * 99).encode())[:-20])
    with pytest.raises(TraceError, match=r"cut\.csv\.gz"):
        read_azure(tmp_path / "cut.csv.gz")


def test_the_real_trace_reads_completely() -> None:
    if not REAL.exists():
        pytest.skip("needs the data folder beside the checkout")
    trace = read_azure(REAL)
    assert len(trace.arrival_s) == 19_366
    assert trace.arrival_s[-1] == pytest.approx(3501.722, abs=1e-3)
    assert trace.prompt_tokens.sum() == 22_361_870
    assert trace.output_tokens.sum() == 4_088_665
