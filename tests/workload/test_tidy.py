"""The tidy table of requests, as a user may write one: read like a trace, or refused by its row."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from glbdes.errors import TraceError
from glbdes.scenario import model
from glbdes.workload.rates import expected_rps
from glbdes.workload.requests import stream
from glbdes.workload.tidy import read_requests
from tests.workload.test_replay import replayed, replaying

TABLE = pd.DataFrame({"time_s": [5.0, 5.5, 7.25], "prompt_tokens": [3, 4, 5], "output_tokens": [1, 2, 3]})


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_table_of_ones_own_is_read_from_its_first_request_on(tmp_path: Path, name: str) -> None:
    table = TABLE.assign(gateway="west", slo="chat")
    table.to_csv(tmp_path / name, index=False) if name.endswith("csv") else table.to_parquet(tmp_path / name)
    trace = read_requests(tmp_path / name)
    assert trace.arrival_s.tolist() == [0.0, 0.5, 2.25]
    assert (trace.prompt_tokens.tolist(), trace.output_tokens.tolist()) == ([3, 4, 5], [1, 2, 3])


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"time_s": [5.0, 4.0, 7.0]}, r"time_s = '4.0', must not be before the (line|row) above it \(5.0\)"),
        ({"time_s": [5.0, np.nan, 7.0]}, r"time_s = '(nan)?', must be a number of seconds"),
        ({"prompt_tokens": [3, 0, 5]}, r"prompt_tokens = '0', must be >= 1 token"),
        ({"output_tokens": [1.0, 2.5, 3.0]}, r"output_tokens = '2.5', must be a whole"),
    ],
)
def test_a_bad_table_is_refused_by_its_row(
    tmp_path: Path, name: str, damage: dict[str, list[float]], message: str
) -> None:
    table = TABLE.assign(**damage)
    table.to_csv(tmp_path / name, index=False) if name.endswith("csv") else table.to_parquet(tmp_path / name)
    where = r"t\.csv, line 3: " if name.endswith("csv") else r"t\.parquet, row 2: "
    with pytest.raises(TraceError, match=where + message):
        read_requests(tmp_path / name)


def test_a_parquet_file_that_is_no_such_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="no such file"):
        read_requests(tmp_path / "t.parquet")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(TraceError, match="cannot be read as Parquet"):
        read_requests(tmp_path / "t.parquet")
    TABLE.rename(columns={"time_s": "time_ms"}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(TraceError, match=r"no column 'time_s'"):
        read_requests(tmp_path / "t.parquet")
    TABLE.iloc[:0].to_parquet(tmp_path / "t.parquet")
    with pytest.raises(TraceError, match="no requests"):
        read_requests(tmp_path / "t.parquet")


def test_a_scenario_replays_a_table(tmp_path: Path) -> None:
    rows = np.arange(60)
    table = pd.DataFrame({"time_s": rows * 1.0, "prompt_tokens": rows + 1, "output_tokens": 1})
    table.to_parquet(tmp_path / "t.parquet")
    slots = replayed(replaying(file="t.parquet"), tmp_path)
    np.testing.assert_array_equal(np.concatenate([one.prompt_tokens for one in slots]), rows + 1)
    np.testing.assert_array_equal(np.concatenate([one.arrival_ns for one in slots]), rows * 10**9)


def named(folder: Path, **columns: object) -> None:
    rows = np.arange(60)
    table = {"time_s": rows * 1.0, "prompt_tokens": rows + 1, "output_tokens": 1, **columns}
    pd.DataFrame(table).to_parquet(folder / "t.parquet")


@pytest.mark.parametrize("warmup_ns", [0, 7 * 10**9])
def test_requests_enter_where_the_table_says_and_are_of_its_class(tmp_path: Path, warmup_ns: int) -> None:
    rows = np.arange(60)
    named(tmp_path, gateway=np.where(rows % 3 == 0, "west", "east"), slo=np.where(rows % 2 == 0, "b", "a"))
    given = replaying(file="t.parquet").model_copy(update={"slo": dict.fromkeys(("a", "b"), model.Slo())})
    asked = expected_rps(given, np.full(2, np.nan), tmp_path)
    np.testing.assert_allclose(asked.sum(axis=1), 1.0)
    assert asked[0].tolist() == [0.6, 0.4]  # of 0, 1, ... 9 west gets 0, 3, 6 and 9
    requests = stream(given, asked, tmp_path, warmup_ns=warmup_ns)
    for slot in range(6):
        found = requests(slot)
        assert len(found) == 10 + warmup_ns // 10**9
        np.testing.assert_array_equal(found.gateway, (found.prompt_tokens - 1) % 3 == 0)  # east, west
        np.testing.assert_array_equal(found.slo, (found.prompt_tokens - 1) % 2 == 0)  # a, b


def test_a_table_that_names_gateways_needs_no_rates_and_draws_the_rest_as_before(tmp_path: Path) -> None:
    named(tmp_path)
    drawn = replayed(replaying(file="t.parquet"), tmp_path)
    everything = [
        np.concatenate([getattr(one, name) for one in drawn]) for name in ("request_id", "gateway", "uniform")
    ]
    named(tmp_path, gateway=np.where(everything[1] == 0, "east", "west"))
    again = replayed(replaying({"east": {"rate_per_s": 0.0}, "west": {}}, file="t.parquet"), tmp_path)
    for name, before in zip(("request_id", "gateway", "uniform"), everything, strict=True):
        np.testing.assert_array_equal(np.concatenate([getattr(one, name) for one in again]), before)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"gateway": ["east", "wets"] * 30}, r"t\.parquet, request 2: gateway = 'wets', is none .*did you mean 'west'"),
        ({"gateway": ["east", None] * 30}, r"row 2: gateway = '(None|nan)?', must be a name in every row"),
        ({"slo": ["gold"] * 60}, r"request 1: slo = 'gold', is none of the scenario's"),
    ],
)
def test_names_that_the_scenario_has_not_are_refused(tmp_path: Path, columns: dict[str, object], message: str) -> None:
    named(tmp_path, **columns)
    with pytest.raises(TraceError, match=message):
        replayed(replaying(file="t.parquet"), tmp_path)
