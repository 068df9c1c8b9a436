"""What requests have in common: contents of blocks against the tokens themselves."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from glbdes.errors import ScenarioError, TraceError
from glbdes.workload.prefixes import NONE, of_contents, of_trace, sessions_of
from glbdes.workload.requests import demand
from glbdes.workload.sources.mooncake import MOONCAKE
from glbdes.workload.tidy import import_requests, read_requests
from tests.workload.test_replay import replaying

PART = 8  # tokens
REAL = Path(__file__).resolve().parents[2] / "../shared/data/real/traces/mooncake_conversation_trace.jsonl.gz"
CHUNKED = {"serving": {"scheduler": "chunked", "block_tokens": 4}}


def prompts(seed: int, count: int = 40) -> list[tuple[tuple[int, ...], int]]:
    """(names of parts, tokens) of prompts that begin as others do; a name may come again behind others."""
    rng = np.random.default_rng(seed)
    told: list[tuple[int, ...]] = [()]
    made = []
    for _ in range(count):
        other = told[rng.integers(len(told))]
        ids = (*other[: int(rng.integers(len(other) + 1))], *rng.integers(0, 6, int(rng.integers(1, 4))).tolist())
        told.append(ids)
        made.append((ids, PART * (len(ids) - 1) + int(rng.integers(1, PART + 1))))
    return made


@pytest.mark.parametrize("block_tokens", [1, 2, 4, 8])
def test_blocks_have_the_same_content_if_and_only_if_all_tokens_up_to_them_are_the_same(
    block_tokens: int,
) -> None:
    made = prompts(block_tokens)
    ids = np.concatenate([names for names, _ in made])
    lengths, tokens = (np.array(column) for column in zip(*((len(names), n) for names, n in made), strict=True))
    found = of_trace(ids, lengths, tokens, PART, block_tokens)
    stands_for: dict[int, tuple] = {}
    for i, (names, n) in enumerate(made):
        spelt = [(name, j) for name in names for j in range(PART)][:n]
        contents = found.of(i)
        assert len(contents) == n // block_tokens
        for b, content in enumerate(contents.tolist()):
            assert 0 <= content < found.contents
            assert stands_for.setdefault(content, tuple(spelt[: (b + 1) * block_tokens])) == tuple(
                spelt[: (b + 1) * block_tokens]
            )
    assert len(set(stands_for.values())) == len(stands_for)


def test_chains_keep_their_contents_and_copies_have_others() -> None:
    chains = [np.array(one, dtype=np.int64) for one in ([0, 1, 2, 9], [], [0, 1, 5, 6], [7])]
    found = of_contents(chains)
    assert [found.of(i).tolist() for i in range(4)] == [one.tolist() for one in chains]
    assert found.of(NONE).tolist() == []
    assert found.of(4 + 2).tolist() == [10, 11, 15, 16]
    assert len(found.begin) == 5  # runs


def test_a_session_is_the_first_part_that_few_prompts_have() -> None:
    """All begin with the system prompt 1; 2 and 3 are sessions, and the last prompt says nothing else."""
    rows = [(1, 2), (1, 2, 4), (1, 3), (1, 3, 4), (1,)]
    ids, lengths = np.concatenate(rows), np.array([len(row) for row in rows])
    assert sessions_of(ids, lengths, 0.6).tolist() == [0, 0, 1, 1, NONE]
    assert sessions_of(ids, lengths, 0.3).tolist() == [NONE, 0, NONE, 1, NONE]  # what two have is common


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """600 requests in a minute: 200 sessions of 3 turns, each a part longer, behind a system prompt of one part."""
    with (tmp_path / "trace.jsonl").open("w") as file:
        for i in range(600):
            ids = [0, *(100 + 10 * (i % 200) + turn for turn in range(i // 200 + 1))]
            row = {"timestamp": 100 * i, "input_length": 512 * len(ids) - 3, "output_length": 5, "hash_ids": ids}
            file.write(json.dumps(row) + "\n")
    import_requests(tmp_path / "trace.jsonl", MOONCAKE, tmp_path / "trace.parquet")
    return tmp_path


def asked(folder: Path, warmup_ns: int = 0, dispatch: dict | None = None, time: dict | None = None, **keys):
    serving = keys.pop("serving", {"scheduler": "chunked"})
    given = replaying(time=time, file="trace.parquet", **keys)
    parts = {"serving": given.serving.model_copy(update=serving)}
    if dispatch:
        parts["dispatch"] = given.dispatch.model_copy(update=dispatch)
    given = given.model_copy(update=parts)
    return given, demand(given, np.array([1.0]), folder, warmup_ns)


def test_a_replayed_trace_brings_sessions_and_chains(folder: Path) -> None:
    given, found = asked(folder)
    slots = [found.requests(slot) for slot in range(given.time.slots)]
    session, gateway, chain, prompt = (
        np.concatenate([getattr(one, name) for one in slots])
        for name in ("session", "gateway", "chain", "prompt_tokens")
    )
    assert found.sessions == 200
    assert session.tolist() == [i % 200 for i in range(600)]
    homes = [set(gateway[session == s].tolist()) for s in range(200)]
    assert all(len(home) == 1 for home in homes)  # a session enters at one gateway
    assert len(set.union(*homes)) == 2
    assert found.prefixes is not None
    for i, j in product(range(0, 600, 50), repeat=2):
        same = found.prefixes.of(int(chain[i]))[: prompt[j] // 16], found.prefixes.of(int(chain[j]))[: prompt[i] // 16]
        alike = int((same[0][: min(map(len, same))] == same[1][: min(map(len, same))]).sum())
        parts = 1 if session[i] != session[j] else min(i // 200, j // 200) + 2
        assert alike >= min(parts * 32, prompt[i] // 16, prompt[j] // 16) - 1


def test_a_trace_that_begins_again_has_other_sessions(folder: Path) -> None:
    _, found = asked(folder, time={"slots": 2, "simulated_s_per_slot": 60.0}, replay_loop=True)
    first, again = found.requests(0), found.requests(1)
    assert found.sessions == 400
    np.testing.assert_array_equal(again.session, first.session + 200)
    assert found.prefixes is not None
    old, new = (found.prefixes.of(int(one.chain[7])) for one in (first, again))
    np.testing.assert_array_equal(new, old + found.prefixes.contents)


def test_warm_ups_have_contents_of_their_own_and_no_sessions(folder: Path) -> None:
    _, found = asked(folder, warmup_ns=5 * 10**9)
    requests = found.requests(0)
    assert (requests.session[:50] == NONE).all()
    assert (requests.session[50:] == np.arange(100)).all()
    assert found.prefixes is not None
    warm, counts = ({*found.prefixes.of(int(chain)).tolist()} for chain in requests.chain[[49, 149]])
    assert len(warm) == len(counts) > 0
    assert not warm & counts


def test_where_prompts_come_first_there_are_sessions_but_no_contents(folder: Path) -> None:
    _, found = asked(folder, serving={"scheduler": "prefill_first"})
    assert found.prefixes is None
    assert found.sessions == 200
    assert (found.requests(0).chain == NONE).all()


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"prefix_block_tokens": 500}, r"row 1: prefix_blocks has 2 numbers for 1021 prompt tokens, must have 3"),
        ({"serving": {"scheduler": "chunked", "block_tokens": 24}}, r"block_tokens = 24 tokens, must divide .* = 512"),
    ],
    ids=["lengths", "divisor"],
)
def test_what_contradicts_is_refused(folder: Path, keys: dict, line: str) -> None:
    with pytest.raises((TraceError, ScenarioError), match=line):
        asked(folder, **keys)


def test_prefix_blocks_that_are_no_lists_are_refused(folder: Path) -> None:
    table = pd.DataFrame({"time_s": [0.0, 1.0], "prompt_tokens": 5, "output_tokens": 5, "prefix_blocks": ["a", "b"]})
    table.to_parquet(folder / "t.parquet")
    with pytest.raises(TraceError, match=r"t\.parquet, row 1: prefix_blocks = 'a', must be a list of whole numbers"):
        read_requests(folder / "t.parquet")


def test_sessions_that_a_table_names_are_kept(folder: Path) -> None:
    table = pd.DataFrame(
        {"time_s": [0.0, 1.0, 2.0], "prompt_tokens": 5, "output_tokens": 5, "session": ["b", None, "b"]}
    )
    table.to_parquet(folder / "trace.parquet")
    _, found = asked(folder, time={"slots": 1, "simulated_s_per_slot": 3.0})
    assert found.requests(0).session.tolist() == [0, NONE, 0]
    assert found.prefixes is None


def test_a_session_keeps_no_region_where_there_are_none(folder: Path) -> None:
    pd.DataFrame({"time_s": [0.0, 1.0], "prompt_tokens": 5, "output_tokens": 5}).to_parquet(folder / "trace.parquet")
    with pytest.raises(ScenarioError, match=r"affinity = 'session', must be 'request': trace\.parquet has neither"):
        asked(folder, dispatch={"affinity": "session"}, time={"slots": 1, "simulated_s_per_slot": 1.0})


@pytest.mark.skipif(not REAL.is_file(), reason="needs ../shared/data/real/traces")
def test_caches_find_of_the_mooncake_trace_what_is_known(tmp_path: Path) -> None:
    """Token-weighted, endless caches and one of 3,000 blocks; within 0.3 points."""
    from bench.prefixes import share_found, spread, trace_of

    trace = trace_of(REAL)
    known = {(1, 0): 37.4, (10, 0): 12.1}
    for (regions, by_session), share in known.items():
        assert 100 * share_found(trace, spread(trace, regions, bool(by_session))) == pytest.approx(share, abs=0.3)
    assert 100 * share_found(trace, spread(trace, 10, False), 3000) == pytest.approx(8.5, abs=0.3)
    assert 100 * share_found(trace, spread(trace, 10, True), 3000) == pytest.approx(32.9, abs=0.3)
