"""A replayed trace comes back request for request, on the clock that the scenario asks for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glbdes.errors import ScenarioError, TraceError
from glbdes.scenario import Scenario
from glbdes.scenario import model as scenario
from glbdes.workload import Requests
from glbdes.workload.rates import expected_rps
from glbdes.workload.requests import stream

PLACE = {"latitude_deg": 0.0, "longitude_deg": 0.0}
ROWS = 600
REAL = Path(__file__).resolve().parents[2] / "../shared/data/azure_llm/AzureLLMInferenceTrace_conv.csv"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A trace of 600 requests at 0.0, 0.1, ... 59.9 s: it lasts one minute."""
    rows = [f"2023-11-16 00:00:{i / 10:04.1f}00001,{i + 1},{2 * i + 1}\n" for i in range(ROWS)]
    (tmp_path / "trace.csv").write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(rows))
    return tmp_path


def replaying(
    gateways: dict[str, dict[str, float]] | None = None, time: dict[str, Any] | None = None, **keys: Any
) -> Scenario:
    return scenario.validate(
        {
            "name": "replaying",
            "time": {"slots": 6, "simulated_s_per_slot": 10.0, **(time or {})},
            "regions": {"texas": {"profile": "h100_llama8b"}},
            "gateways": {name: PLACE | own for name, own in (gateways or {"east": {}, "west": {}}).items()},
            "workload": {"arrivals": "replay", "file": "trace.csv", **keys},
        }
    )


def rates(given: Scenario, folder: Path) -> np.ndarray:
    return expected_rps(given, np.full(len(given.gateways), np.nan), folder)


def replayed(given: Scenario, folder: Path) -> list[Requests]:
    requests = stream(given, rates(given, folder), folder)
    return [requests(slot) for slot in range(given.time.slots)]


def column(slots: list[Requests], name: str) -> np.ndarray:
    return np.concatenate([getattr(requests, name) for requests in slots])


def test_every_request_comes_back_once_at_its_time_with_its_tokens(folder: Path) -> None:
    slots = replayed(replaying(), folder)
    np.testing.assert_array_equal(column(slots, "request_id"), np.arange(ROWS))
    np.testing.assert_array_equal(column(slots, "arrival_ns"), np.arange(ROWS) * 100_000_000)
    np.testing.assert_array_equal(column(slots, "prompt_tokens"), np.arange(ROWS) + 1)
    np.testing.assert_array_equal(column(slots, "output_tokens"), 2 * np.arange(ROWS) + 1)
    assert [len(requests) for requests in slots] == [100] * 6


def test_gateways_share_the_trace_in_proportion_to_their_rates(folder: Path) -> None:
    given = replaying({"east": {"rate_per_s": 0.0}, "west": {"rate_per_s": 3.0}, "north": {"rate_per_s": 1.0}})
    np.testing.assert_allclose(rates(given, folder), np.tile([0.0, 7.5, 2.5], (6, 1)))
    counts = np.bincount(column(replayed(given, folder), "gateway"), minlength=3)
    assert counts[0] == 0
    assert abs(counts[1] - 450) < 3 * np.sqrt(ROWS * 0.75 * 0.25)


def test_gateways_without_a_rate_share_alike_and_the_clock_moves_the_shares(folder: Path) -> None:
    np.testing.assert_allclose(rates(replaying(), folder), 5.0)
    day = {"slots": 24, "simulated_s_per_slot": 2.5}
    gateways = {"utc": {"utc_offset_h": 0.0}, "japan": {"utc_offset_h": 9.0}}
    moving = rates(replaying(gateways, day, shape="diurnal", diurnal_peak_h=14.5), folder)
    np.testing.assert_allclose(moving.sum(axis=1), 10.0)
    assert moving[14, 0] > 5.5 > 4.5 > moving[14, 1]


@pytest.mark.parametrize(("key", "factor"), [("replay_rate_factor", 2.0), ("load_scale", 2.0)])
def test_a_faster_clock_brings_the_same_requests_sooner(folder: Path, key: str, factor: float) -> None:
    slots = replayed(replaying(time={"slots": 3}, **{key: factor}), folder)
    np.testing.assert_array_equal(column(slots, "arrival_ns"), np.arange(ROWS) * 50_000_000)
    np.testing.assert_array_equal(column(slots, "prompt_tokens"), np.arange(ROWS) + 1)


def test_a_loop_begins_again_one_mean_gap_after_the_last_request(folder: Path) -> None:
    slots = replayed(replaying(time={"slots": 3, "simulated_s_per_slot": 50.0}, replay_loop=True), folder)
    np.testing.assert_array_equal(column(slots, "arrival_ns"), np.arange(1500) * 100_000_000)
    np.testing.assert_array_equal(column(slots, "prompt_tokens"), np.arange(1500) % ROWS + 1)


def test_a_loop_may_come_round_several_times_in_a_slot(folder: Path) -> None:
    slots = replayed(replaying(time={"slots": 2, "simulated_s_per_slot": 150.0}, replay_loop=True), folder)
    np.testing.assert_array_equal(column(slots, "arrival_ns"), np.arange(3000) * 100_000_000)


@pytest.mark.parametrize("warmup_s", [3, 10, 23])
def test_a_slot_warms_up_with_the_end_of_its_own_stretch(folder: Path, warmup_s: int) -> None:
    given = replaying()
    warmed = stream(given, rates(given, folder), folder, warmup_ns=warmup_s * 10**9)
    for slot in range(6):
        requests, begin_ns = warmed(slot), slot * (warmup_s + 10) * 10**9
        since = (requests.arrival_ns - begin_ns) // 10**8  # tenths of a second, one request each
        np.testing.assert_array_equal(since, np.arange(10 * (warmup_s + 10)))
        row = 100 * slot + (np.arange(len(requests)) - 10 * warmup_s) % 100
        np.testing.assert_array_equal(requests.prompt_tokens, row + 1)


def test_arrivals_fall_on_a_coarse_clock_and_keep_to_their_slot(folder: Path) -> None:
    clock_ns = 2_000_000_000
    slots = replayed(replaying(time={"clock_ns": clock_ns}), folder)
    assert sum(map(len, slots)) == ROWS
    for slot, requests in enumerate(slots):
        assert set(requests.arrival_ns // clock_ns) == set(range(5 * slot, 5 * slot + 5))
        assert (requests.arrival_ns % clock_ns == 0).all()
        assert (np.diff(requests.arrival_ns * 10 + requests.gateway) >= 0).all()


def test_a_horizon_beyond_the_trace_is_refused(folder: Path) -> None:
    with pytest.raises(TraceError, match=r"lasts 60 s at 1 x .* must be >= the simulated time of 70 s.*replay_loop"):
        rates(replaying(time={"slots": 7}), folder)


def test_a_request_longer_than_the_scenario_allows_is_refused(folder: Path) -> None:
    with pytest.raises(TraceError, match=r"line 335: 1001 prompt and output tokens, must be <= .* = 1000"):
        rates(replaying(lengths={"max_tokens": 1000}), folder)


def test_a_trace_without_a_rate_is_refused(tmp_path: Path) -> None:
    row = "2023-11-16 00:00:00,1,1\n"
    (tmp_path / "trace.csv").write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + row + row)
    with pytest.raises(TraceError, match="all requests at the same time"):
        rates(replaying(replay_loop=True), tmp_path)


@pytest.mark.parametrize(
    ("gateways", "keys", "message"),
    [
        (None, {"shape": "trace", "load_file": "x.csv"}, "workload.shape = 'trace', must be 'constant' or 'diurnal'"),
        ({"east": {"rate_per_s": 1.0}, "west": {}}, {}, "gateways.west: has neither"),
        ({"east": {"rate_per_s": 0.0}}, {}, "all rates are 0"),
    ],
)
def test_a_replay_that_contradicts_itself_is_refused(
    folder: Path, gateways: dict[str, dict[str, float]] | None, keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(ScenarioError, match=message):
        rates(replaying(gateways, **keys), folder)


def test_the_real_trace_comes_back_to_the_nanosecond() -> None:
    if not REAL.exists():
        pytest.skip("needs the data folder beside the checkout")
    given = replaying(time={"slots": 350, "simulated_s_per_slot": 10.0}, file=REAL.name)
    slots = replayed(given, REAL.parent)
    lines = [line.split(",") for line in REAL.read_text().splitlines()[1:]]
    seconds = [line[0].split(" ")[1].split(":") for line in lines]
    ns = [int(h) * 3600 * 10**9 + int(m) * 60 * 10**9 + int(s.replace(".", "").ljust(11, "0")) for h, m, s in seconds]
    expected = [(at - ns[0], int(line[1]), int(line[2])) for at, line in zip(ns, lines, strict=True)]
    expected = [row for row in expected if row[0] < 3500 * 10**9]
    columns = (column(slots, name).tolist() for name in ("arrival_ns", "prompt_tokens", "output_tokens"))
    assert list(zip(*columns, strict=True)) == expected
