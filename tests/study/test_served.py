"""A chunk-scheduling server on its own: its host's time comes back from a part of a run, real runs are predicted."""

import re
from pathlib import Path

import numpy as np
import pytest

from bench import vllm
from glbdes.engine.simpy.scheduler import Scheduler
from glbdes.engine.simpy.server import Arrivals, serve
from glbdes.errors import ProfileError
from glbdes.hardware.fit_steps import fit_chunked, with_host
from glbdes.hardware.served_file import ServedRequests, read_served
from glbdes.study.served import Server, fit_host, latencies, predicted
from tests.hardware.test_fit_steps import WHOLE, grid

SERVER = Server(max_batch=32, budget=256, kv_tokens=40_000, block_tokens=16)
HOST = 1.3e-3, 2e-5


def chunked():
    return fit_chunked(grid(), WHOLE, "toy", 300.0)


def run_of(host: tuple[float, float], count: int = 40) -> ServedRequests:
    """A run of a server whose host takes so long, without noise."""
    rng = np.random.default_rng(1)
    prompt, output = rng.integers(100, 900, count), rng.integers(2, 120, count)
    arrival_s = np.cumsum(rng.exponential(0.08, count))
    known = ServedRequests(arrival_s, prompt, output, arrival_s, arrival_s)
    outcome = predicted(with_host(chunked(), *host, "toy"), SERVER, known)
    return known._replace(first_token_s=outcome.first_token_s, last_token_s=outcome.finish_s)


def test_the_host_s_time_comes_back_from_a_part_of_a_run():
    found = fit_host(chunked(), SERVER, run_of(HOST), 20, "run.csv")
    assert found.host_s + 10 * found.host_request_s == pytest.approx(HOST[0] + 10 * HOST[1], rel=0.03)
    assert found.host_source == "fitted to the first 20 requests of run.csv"


def test_a_server_serves_whoever_came_before_its_step():
    """Steps of a second: who comes at 0.5 s waits for the first step's end, and starts with the second."""
    requests = Arrivals(np.array([0.0, 0.5, 9.0]), np.array([8, 8, 8]), np.array([3, 1, 1]))
    outcome = serve(requests, Scheduler(4, 64, 100, 4), lambda step: 1.0)
    assert outcome.start_s.tolist() == [0.0, 1.0, 9.0]
    assert outcome.first_token_s.tolist() == [1.0, 2.0, 10.0]
    assert outcome.finish_s.tolist() == [3.0, 2.0, 10.0]
    assert outcome.course.running.tolist() == [1, 2, 1, 1]


@pytest.mark.parametrize(("prefix", "found"), [(0, 0), (3, 0), (4, 4), (7, 4), (8, 8)])
def test_who_begins_as_another_request_does_finds_its_whole_blocks(prefix, found):
    """Blocks of 4 tokens: the second comes when the first has computed its 8."""
    requests = Arrivals(
        np.array([0.0, 0.5]), np.array([8, 9]), np.array([3, 1]), np.zeros(2, int), np.array([0, prefix])
    )
    outcome = serve(requests, Scheduler(4, 64, 100, 4), lambda step: 1.0)
    assert outcome.cached_tokens.tolist() == [0, found]


def test_a_third_turn_finds_what_the_second_has_of_the_first():
    requests = Arrivals(
        np.array([0.0, 0.5, 1.5]), np.array([8, 12, 17]), np.array([1, 9, 1]), np.array([0, 0, 1]), np.array([0, 8, 12])
    )
    assert serve(requests, Scheduler(4, 64, 100, 4), lambda step: 1.0).cached_tokens.tolist() == [0, 8, 12]


def test_a_run_that_the_cache_cannot_hold_and_too_few_requests_are_refused():
    run = run_of(HOST)
    with pytest.raises(
        ProfileError, match=r"request \d+ of the run has \d+ tokens, must fit the KV cache of 80 tokens"
    ):
        predicted(chunked(), SERVER._replace(kv_tokens=100), run)
    with pytest.raises(ProfileError, match="--first 41, must be from 10 to 40, the requests of run"):
        fit_host(chunked(), SERVER, run, 41, "run.csv")


HEAD = "arrival_s,prompt_tokens,output_tokens,first_token_s,last_token_s\n"
BOTH = HEAD.replace("\n", ",prefix_of,prefix_tokens\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD.replace("output", "out"), "no column 'output_tokens'; did you mean 'out_tokens'?"),
        (HEAD, "no rows, must have at least one below the header"),
        (HEAD + "0,5,0,1,2\n", "line 2: output_tokens = '0', must be a whole number from 1"),
        (HEAD + "0,5,5,1,2\n-1,5,5,1,2\n", "line 3: arrival_s = '-1', must not be before the line above it"),
        (HEAD + "1,5,5,1,2\n", "line 2: first_token_s = '1', must be after its arrival_s"),
        (HEAD + "0,5,5,3,2\n", "line 2: last_token_s = '2', must not be before its first_token_s"),
        (HEAD + "0,5,5,x,2\n", "line 2: first_token_s = 'x', must be a number of seconds"),
        (BOTH + "0,5,5,1,2,0,3\n", "line 2: prefix_of = '0', must be the number of a request above"),
        (BOTH + "0,5,5,1,2,0,0\n0,5,5,1,2,0,6\n", "line 3: prefix_tokens = '6', must be within both prompts"),
        (BOTH + "0,5,5,1,2,0,\n", "line 2: prefix_tokens = '', must be a whole number from 0"),
        (BOTH.replace("prefix_of", "of") + "0,5,5,1,2,0,0\n", "no column 'prefix_of', must be there with its fellow"),
    ],
)
def test_a_bad_run_is_refused_with_its_line(tmp_path, text, message):
    (tmp_path / "run.csv").write_text(text)
    with pytest.raises(ProfileError, match=re.escape(message)) as error:
        read_served(tmp_path / "run.csv")
    assert "run.csv" in str(error.value)


def test_common_prefixes_of_a_run_are_read(tmp_path):
    (tmp_path / "run.csv").write_text(BOTH + "0,5,5,1,2,9,0\n0,7,5,1,2,0,5\n")
    run = read_served(tmp_path / "run.csv")
    assert [np.asarray(column).tolist() for column in (run.prefix_of, run.prefix_tokens)] == [[9, 0], [0, 5]]


def test_a_real_server_that_preempts_all_the_time_is_predicted_from_its_grid_alone():
    """An RTX 4090 with vLLM 0.19: means and quantiles within 1.5 %, if it is known which prompts begin alike."""
    case = vllm.CASES[0]
    folder = Path(vllm.MEASURED) / case.folder
    if not folder.is_dir():
        pytest.skip("the measured run (data folder beside the checkout) is not here")
    run, _, outcome = vllm.prediction(case, folder)
    errors = {row.figure: row.error for row in vllm.rows(run, outcome)}
    assert all(abs(error) < 0.015 for error in errors.values()), errors
    assert 150 < outcome.preemptions.sum() < 250
    assert outcome.cached_tokens.sum() == 4304
    first, last = np.nanmin(latencies(run, outcome.first_token_s, outcome.finish_s).ttft), outcome.finish_s.max()
    assert first > 0
    assert last == pytest.approx(run.last_token_s.max(), rel=0.01)
    run, _, outcome = vllm.prediction(case._replace(prefixes=False), folder)
    errors = {row.figure: row.error for row in vllm.rows(run, outcome)}
    assert all(abs(error) < 0.03 for figure, error in errors.items() if not figure.endswith("p95")), errors
    assert 0.05 < max(abs(errors["TTFT p95"]), abs(errors["TPOT p95"])) < 0.09
