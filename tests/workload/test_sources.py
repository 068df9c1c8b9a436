"""Importers of public request traces: a small file of each format by hand, the real ones, and what is refused."""

import gzip
import json
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glbdes.errors import TraceError
from glbdes.workload.sources import SOURCES
from glbdes.workload.tidy import Imported, import_requests, read_requests

DATA = Path(__file__).resolve().parents[2] / "../shared/data"

AZURE = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109\n"
)
LMM = (
    "TIMESTAMP,NumImages,ContextTokens,GeneratedTokens\n"
    "2024-10-15 00:00:00.0000000,2,900,120\n2024-10-15 00:00:01.5000000,0,80,12\n"
)
BURST = (
    "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    "19440110.0,1722ac82,43,GPT-4,906,446,1352,Conversation log\n"
    "19440161.5,,8,ChatGPT,36,29,65,API log\n"
)
BURST_1 = (
    "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,ChatGPT,472,18,490,Conversation log\n"
)
SERVEGEN = "request_id,timestamp,input_tokens,output_tokens\n0,0.5,10,20\n1,1.25,15,25\n"
SPLITWISE = (
    "request_id,request_type,application_id,arrival_timestamp,batch_size,prompt_size,token_size\n"
    "0,2,0,1,1,4096,32\n1,2,0,3,1,2048,8\n"
)
MOONCAKE = (
    '{"timestamp": 1000, "input_length": 1025, "output_length": 52, "hash_ids": [7, 8, 9]}\n'
    '{"timestamp": 1250, "input_length": 512, "output_length": 26, "hash_ids": [7]}\n'
)
VLLM = json.dumps({"input_lens": [10, 20], "output_lens": [5, 6], "start_times": [100.5, 103.0], "ttfts": [0.1, 0.1]})
SERVER = "arrival_s,prompt_tokens,output_tokens,scheduled_s\n0.000000,2358,531,0.000021\n0.386902,1034,769,0.386912\n"

FIXTURES: dict[str, tuple[str, str, list[float], list[int], list[int]]] = {
    # format: file, text, time_s, prompt_tokens, output_tokens
    "azure": ("a.csv", AZURE, [0.0, 4.314579], [374, 396], [44, 109]),
    "azure-lmm": ("a.csv", LMM, [0.0, 1.5], [900, 80], [120, 12]),
    "burstgpt": ("b.csv", BURST, [0.0, 51.5], [906, 36], [446, 29]),
    "servegen": ("s.csv", SERVEGEN, [0.0, 0.75], [10, 15], [20, 25]),
    "splitwise": ("s.csv", SPLITWISE, [0.0, 2.0], [4096, 2048], [32, 8]),
    "mooncake": ("m.jsonl", MOONCAKE, [0.0, 0.25], [1025, 512], [52, 26]),
    "vllm-bench": ("v.json", VLLM, [0.0, 2.5], [10, 20], [5, 6]),
}


def imported(folder: Path, name: str, text: str | bytes, file: str | None = None, **choices: bool) -> pd.DataFrame:
    """The tidy table of a file of this text."""
    path = folder / (file or FIXTURES[name][0])
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    import_requests(path, SOURCES[name], folder / "t.parquet", **choices)
    return pd.read_parquet(folder / "t.parquet")


@pytest.mark.parametrize("name", SOURCES)
def test_each_format_becomes_the_tidy_table_and_a_replay_reads_it(tmp_path: Path, name: str) -> None:
    file, text, time_s, prompt, output = FIXTURES[name]
    table = imported(tmp_path, name, text)
    assert table["time_s"].tolist() == pytest.approx(time_s, abs=1e-12)
    assert (table["prompt_tokens"].tolist(), table["output_tokens"].tolist()) == (prompt, output)
    trace = read_requests(tmp_path / "t.parquet")
    assert trace.arrival_s.tolist() == table["time_s"].tolist()
    assert (trace.prompt_tokens.tolist(), trace.output_tokens.tolist()) == (prompt, output)
    beside = json.loads((tmp_path / "t.parquet.json").read_text())
    assert (beside["format"], beside["file"], beside["requests"]) == (name, file, 2)
    assert len(beside["sha256"]) == 64
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([file, "t.parquet", "t.parquet.json"])


@pytest.mark.parametrize("name", sorted(set(SOURCES) - {"vllm-bench"}))
def test_compressed_files_are_the_same(tmp_path: Path, name: str) -> None:
    file, text, *_ = FIXTURES[name]
    plain = imported(tmp_path, name, text)
    pd.testing.assert_frame_equal(imported(tmp_path, name, gzip.compress(text.encode()), f"{file}.gz"), plain)


def test_what_is_known_besides_goes_along(tmp_path: Path) -> None:
    sessions = imported(tmp_path, "burstgpt", BURST)["session"]
    assert (sessions[0], sessions.isna().tolist()) == ("1722ac82", [False, True])
    assert "session" not in imported(tmp_path, "burstgpt", BURST_1)  # release 1.1 has no such column
    blocks = imported(tmp_path, "mooncake", MOONCAKE)["prefix_blocks"]
    assert [row.tolist() for row in blocks] == [[7, 8, 9], [7]]
    assert json.loads((tmp_path / "t.parquet.json").read_text())["prefix_block_tokens"] == 512
    assert imported(tmp_path, "vllm-bench", SERVER, "requests.csv")["time_s"].tolist() == [0.0, 0.386902]


def test_offsets_and_a_byte_order_mark_change_nothing(tmp_path: Path) -> None:
    plain = imported(tmp_path, "azure", AZURE)
    spelt = AZURE.replace("00,", "00+00:00,").replace("90,", "90Z,")
    pd.testing.assert_frame_equal(imported(tmp_path, "azure", b"\xef\xbb\xbf" + spelt.encode()), plain)


def test_failed_requests_are_left_out_if_asked_for_and_counted(tmp_path: Path) -> None:
    text = (
        BURST.replace("906,446", "0,0") + "19440170.0,,1,GPT-4,100,0,100,API log\n19440171.0,,1,GPT-4,9,8,17,API log\n"
    )
    with pytest.raises(TraceError, match=r"line 2: Request tokens = '0', must be >= 1 token; --drop-empty leaves"):
        imported(tmp_path, "burstgpt", text)
    assert not list(tmp_path.glob("t.*"))
    table = imported(tmp_path, "burstgpt", text, drop_empty=True)
    assert table["time_s"].tolist() == [0.0, 9.5]  # from the first that is kept
    assert json.loads((tmp_path / "t.parquet.json").read_text())["left_out"] == 2
    with pytest.raises(TraceError, match="no requests but 1 empty one"):
        imported(tmp_path, "burstgpt", BURST_1.replace("472", "0"), drop_empty=True)


def test_requests_out_of_order_are_sorted_if_asked_for(tmp_path: Path) -> None:
    text = json.dumps({"input_lens": [10, 20, 30], "output_lens": [5, 6, 7], "start_times": [3.0, 1.0, 3.0]})
    with pytest.raises(TraceError, match=r"request 2: start_times = '1.0', must not be before .* \(3.0\): --sort"):
        imported(tmp_path, "vllm-bench", text)
    table = imported(tmp_path, "vllm-bench", text, sort=True)
    assert table["prompt_tokens"].tolist() == [20, 10, 30]  # equal times in the order of the file
    assert table["time_s"].tolist() == [0.0, 2.0, 2.0]
    assert json.loads((tmp_path / "t.parquet.json").read_text())["out_of_order"] == 1


def test_batches_go_on_where_the_last_one_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "".join(f"{i},{i / 8},{i + 1},{2 * i + 1}\n" for i in range(1000))
    text = SERVEGEN.partition("\n")[0] + "\n" + rows
    whole = imported(tmp_path, "servegen", text)
    monkeypatch.setattr("glbdes.workload.sources.batch.BLOCK_BYTES", 1000)
    pd.testing.assert_frame_equal(imported(tmp_path, "servegen", text), whole)
    pd.testing.assert_frame_equal(imported(tmp_path, "servegen", text, sort=True), whole)
    with pytest.raises(TraceError, match=r"line 802: timestamp = '1', must not be before"):
        imported(tmp_path, "servegen", text.replace("\n800,100.0,", "\n800,1,"))
    monkeypatch.setattr("glbdes.workload.sources.mooncake.LINES", 1)
    assert len(imported(tmp_path, "mooncake", MOONCAKE)) == 2
    with pytest.raises(TraceError, match=r"line 2: timestamp = '999'"):
        imported(tmp_path, "mooncake", MOONCAKE.replace("1250", "999"))


BAD = {
    "no time": ("azure", AZURE.replace("2023-11-16 18:15:46.6805900", "noon"), r"line 2: TIMESTAMP = 'noon', must be"),
    "no number": ("azure", AZURE.replace(",44", ",many"), r"line 2: GeneratedTokens = 'many', must be a number of"),
    "half": ("servegen", SERVEGEN.replace(",15,", ",1.5,"), r"line 3: input_tokens = '1.5', must be a whole number"),
    "negative": ("servegen", SERVEGEN.replace(",15,", ",-15,"), r"line 3: input_tokens = '-15', must be >= 0 tokens"),
    "infinite": ("servegen", SERVEGEN.replace(",1.25,", ",inf,"), r"line 3: timestamp = 'inf', must be a number of s"),
    "other column": ("servegen", SERVEGEN.replace("input_tokens", "input_token"), r"no column 'input_tokens'; did you"),
    "text alone": ("azure-lmm", AZURE, r"no column 'NumImages'"),
    "batch": ("splitwise", SPLITWISE.replace(",1,2048", ",4,2048"), r"line 3: batch_size = '4', must be 1"),
    "ragged": ("servegen", SERVEGEN + "2,3.0,4\n", r"cannot be read as a CSV table"),
    "longer": ("servegen", SERVEGEN + "2,3.0,4,5,6\n", r"cannot be read as a CSV table"),
    "empty": ("azure", "", r"empty file"),
    "header alone": ("azure", AZURE.partition("\n")[0] + "\n", r"no requests"),
    "twice": ("servegen", SERVEGEN.replace("request_id", "timestamp"), r"two columns of the same name"),
    "few blocks": ("mooncake", MOONCAKE.replace("8, 9]", "8]"), r"line 1: hash_ids has 2 numbers, must have 3"),
    "many blocks": ("mooncake", MOONCAKE.replace("[7]", "[7, 8]"), r"line 2: hash_ids has 2 .* must have 1, .* = 512"),
    "no block": ("mooncake", MOONCAKE.replace("[7]", "[-7]"), r"line 2: hash_ids = \[-7\], must be a list of whole"),
    "no JSON": ("mooncake", MOONCAKE + "{\n", r"line 3: not valid JSON"),
    "no object": ("mooncake", MOONCAKE + "[]\n", r"line 3: \[\], must be a JSON object"),
    "no key": ("mooncake", MOONCAKE.replace("output_length", "output_len"), r"line 1: no key 'output_length'; did you"),
    "text for tokens": (
        "mooncake",
        MOONCAKE.replace(": 512", ': "x"'),
        r"line 2: input_length = 'x', must be a number",
    ),
    "no lines": ("mooncake", "", r"no requests"),
    "summary alone": ("vllm-bench", '{"duration": 3.0}', r"no list 'start_times'; run .* --save-detailed"),
    "fewer": ("vllm-bench", VLLM.replace("[5, 6]", "[5]"), r"2 start_times, 2 input_lens, 1 output_lens"),
    "a list": ("vllm-bench", "[]", r"must be the JSON object"),
    "deep": ("vllm-bench", "[" * 99_999, r"nested too deep"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_and_nothing_is_written(tmp_path: Path, case: str) -> None:
    name, text, message = BAD[case]
    with pytest.raises(TraceError, match=message) as caught:
        imported(tmp_path, name, text)
    assert FIXTURES[name][0] in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [FIXTURES[name][0]]


def test_what_is_no_file_or_no_text_is_refused(tmp_path: Path) -> None:
    for name, source in SOURCES.items():
        with pytest.raises(TraceError, match=r"absent"):
            import_requests(tmp_path / f"absent{FIXTURES[name][0]}", source, tmp_path / "t.parquet")
        with pytest.raises(TraceError):
            imported(tmp_path, name, bytes(range(256)))
        if name != "vllm-bench":
            with pytest.raises(TraceError):
                imported(tmp_path, name, gzip.compress(FIXTURES[name][1].encode() * 99)[:-20], "cut.gz")
    with pytest.raises(TraceError, match=r"is '\.csv', must be \.parquet"):
        import_requests(tmp_path / "a", SOURCES["azure"], tmp_path / "t.csv")
    assert not list(tmp_path.glob("t.*"))


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(list(SOURCES)), st.integers(0, 200), st.binary(max_size=6))
def test_damage_is_told_as_a_trace_error_or_leaves_a_table_that_replays(
    tmp_path_factory: pytest.TempPathFactory, name: str, place: int, noise: bytes
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    text = FIXTURES[name][1].encode()
    try:
        table = imported(folder, name, text[: place % len(text)] + noise + text[(place + 3) % len(text) :])
    except TraceError:
        assert not list(folder.glob("t.*"))
    else:
        assert len(read_requests(folder / "t.parquet").arrival_s) == len(table) > 0


def real(relative: str) -> Path:
    path = DATA / relative
    if not path.exists():
        pytest.skip("needs the data folder beside the checkout")
    return path


def check(found: Imported, table: pd.DataFrame, seconds: pd.Series, prompt: pd.Series, output: pd.Series) -> None:
    """The table is what pandas makes of the file by itself."""
    assert found.requests == len(table) == len(seconds)
    np.testing.assert_allclose(table["time_s"], seconds - seconds.iloc[0], atol=1e-6, rtol=0)
    np.testing.assert_array_equal(table["prompt_tokens"], prompt)
    np.testing.assert_array_equal(table["output_tokens"], output)
    assert found.mean_prompt_tokens == pytest.approx(prompt.mean(), rel=1e-12)
    assert found.mean_output_tokens == pytest.approx(output.mean(), rel=1e-12)


@pytest.mark.parametrize(
    ("relative", "requests"),
    [("azure_llm/AzureLLMInferenceTrace_conv.csv", 19_366), ("real/traces/AzureLLMInferenceTrace_code.csv.gz", 8_819)],
)
def test_the_real_azure_traces(tmp_path: Path, relative: str, requests: int) -> None:
    path = real(relative)
    found = import_requests(path, SOURCES["azure"], tmp_path / "t.parquet")
    theirs = pd.read_csv(path)
    stamps = [datetime.fromisoformat(text[:26]).timestamp() for text in theirs["TIMESTAMP"]]  # microseconds
    table = pd.read_parquet(tmp_path / "t.parquet")
    check(found, table, pd.Series(stamps), theirs["ContextTokens"], theirs["GeneratedTokens"])
    assert found.requests == requests
    for ours, direct in zip(read_requests(tmp_path / "t.parquet"), read_requests(path), strict=True):
        np.testing.assert_array_equal(ours, direct)  # a replay of the table is that of the file, to the last bit


def test_the_real_mooncake_trace(tmp_path: Path) -> None:
    path = real("real/traces/mooncake_conversation_trace.jsonl.gz")
    found = import_requests(path, SOURCES["mooncake"], tmp_path / "t.parquet")
    theirs, table = pd.read_json(path, lines=True, dtype=False), pd.read_parquet(tmp_path / "t.parquet")
    check(found, table, theirs["timestamp"] / 1000, theirs["input_length"], theirs["output_length"])
    assert found.requests == 12_031
    assert [row.tolist() for row in table["prefix_blocks"].iloc[[0, -1]]] == theirs["hash_ids"].iloc[[0, -1]].tolist()
    assert table["prefix_blocks"].map(len).sum() == theirs["hash_ids"].map(len).sum()


def test_the_real_log_of_a_vllm_server(tmp_path: Path) -> None:
    path = real("vllm/rtx4090_llama8b/requests.csv")
    found = import_requests(path, SOURCES["vllm-bench"], tmp_path / "t.parquet")
    theirs, table = pd.read_csv(path), pd.read_parquet(tmp_path / "t.parquet")
    check(found, table, theirs["arrival_s"], theirs["prompt_tokens"], theirs["output_tokens"])
