"""What a machine does to a command: full disks, readers that go, signals, kills.

Whatever stands under its final name is whole, and one message says what happened.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from glbdes.base.folders import INCOMPLETE
from glbdes.study import Run
from tests.runs import little

GLBDES = [sys.executable, "-m", "glbdes.cli.main"]
SWEEP = 'scenario = "little.toml"\n[[grid]]\npolicy = ["nearest", "cost", "carbon", "eglb"]\nseed = [1, 2, 3, 4, 5]\n'
LONGER = ("--set", "time.slots=400", "--engine", "simpy")  # seconds of work

# A disk that is full for every file longer than so many bytes; the commands then run one after the other.
FULL = """
import json, resource, sys
from click.testing import CliRunner
from glbdes.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
done = [CliRunner().invoke(main, call) for call in json.loads(sys.argv[2])]
print(json.dumps([[one.exit_code, one.stderr, repr(one.exception)] for one in done]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    little(tmp_path / "in")
    (tmp_path / "in" / "small.toml").write_text(SWEEP)
    return tmp_path / "in"


def call(folder: Path, *arguments: object, **options: Any) -> "subprocess.CompletedProcess[str]":
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.run([*GLBDES, *map(str, arguments)], cwd=folder, text=True, **options)


def hear_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(folder: Path, *arguments: object) -> "subprocess.Popen[str]":
    """In a session of its own, so that a signal can go to all of its processes, as Ctrl-C does, and with Ctrl-C heard:
    what is started in the background may inherit that it is not."""
    options: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "start_new_session": True}
    options["preexec_fn"] = hear_ctrl_c
    return subprocess.Popen([*GLBDES, *map(str, arguments)], cwd=folder, text=True, **options)


def until(happened: Any, limit_s: float = 30.0) -> None:
    end_s = time.monotonic() + limit_s
    while not happened():
        assert time.monotonic() < end_s, "it did not happen"
        time.sleep(0.01)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run to be shown."""
    folder = tmp_path_factory.mktemp("finished")
    little(folder / "in")
    assert call(folder, "simulate", "in/little.toml", "-o", "run", "--quiet").returncode == 0
    return folder / "run"


@pytest.mark.parametrize("limit", [pytest.param(0, marks=pytest.mark.slow), 5_000])
def test_a_full_disk_is_one_message_and_leaves_nothing_half_written(folder, finished, limit):
    calls = [
        ["simulate", "little.toml", "-o", "a", "--engine", "simpy"],
        ["simulate", "little.toml", "-o", "b", "--engine", "fluid"],
        ["compare", "little.toml", "--policies", "nearest,cost", "-o", "c", "--workers", "1"],
        ["report", str(finished), "-o", "report.html", "--formats", "png"],
        ["signals", "generate", "-o", "signals.csv", "--load", "load.csv"],
        ["signals", "generate", "-o", "signals.parquet"],
    ]
    before = names(folder)
    program = [sys.executable, "-c", FULL, str(limit), json.dumps(calls)]
    done = subprocess.run(program, cwd=folder, capture_output=True, text=True, check=True)
    for arguments, (code, told, raised) in zip(calls, json.loads(done.stdout), strict=True):
        assert code == 2, (arguments, raised)
        assert told.startswith("Error: ")
        assert "cannot be" in told
        assert told.count("\n") == 1, told
    assert names(folder) == before


def test_a_full_disk_ends_a_sweep_in_one_message_and_the_points_that_fit_are_kept(folder):
    calls = [["sweep", "small.toml", "-o", "s", "--workers", "1"]]
    program = [sys.executable, "-c", FULL, "40", json.dumps(calls)]
    done = subprocess.run(program, cwd=folder, capture_output=True, text=True, check=True)
    ((code, told, _),) = json.loads(done.stdout)
    assert (code, told.count("could not be simulated") + told.count("cannot be written") > 0) == (2, True), told
    assert names(folder / "s") <= {"points", "lock"}
    assert not names(folder / "s" / "points")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_stdout_without_room_is_told_of(folder):
    with open("/dev/full", "w") as full:
        done = call(folder, "simulate", "little.toml", "-o", "a", stdout=full)
    assert (done.returncode, done.stderr) == (2, "Error: stdout: cannot be written: No space left on device\n")
    assert Run.open(folder / "a").summary["requests"]["total"] > 0


def test_a_stdout_that_nobody_reads_is_no_failure_of_the_run(folder):
    ours, theirs = os.pipe()
    os.close(ours)
    done = call(folder, "simulate", "little.toml", "-o", "a", stdout=theirs)
    os.close(theirs)
    assert (done.returncode, done.stderr) == (0, "")
    assert Run.open(folder / "a").summary["requests"]["total"] > 0


def test_a_stdout_that_is_closed_is_no_failure_of_the_run(folder):
    command = f'"{sys.executable}" -m glbdes.cli.main simulate little.toml -o a >&-'
    done = subprocess.run(["sh", "-c", command], cwd=folder, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert Run.open(folder / "a").summary["requests"]["total"] > 0


@pytest.mark.parametrize(
    ("sent", "code", "told"), [(signal.SIGINT, 130, "Interrupted.\n"), (signal.SIGTERM, 143, "Terminated.\n")]
)
def test_a_signal_ends_a_run_in_one_line_and_nothing_is_left(folder, sent, code, told):
    before = names(folder)
    running = start(folder, "simulate", "little.toml", "-o", "a", *LONGER)
    until(lambda: names(folder) > before)
    time.sleep(0.2)
    running.send_signal(sent)
    assert (running.communicate(timeout=30)[1], running.returncode) == (told, code)
    assert names(folder) == before


@pytest.mark.parametrize("sent", ["SIGINT", "SIGTERM"])
def test_a_signal_in_a_callback_that_lets_no_exception_through_is_not_lost(folder, sent):
    code = f"""
import ctypes, os, signal, time
from glbdes.cli.output import orderly

@ctypes.CFUNCTYPE(None)
def callback():
    os.kill(os.getpid(), signal.{sent})
    time.sleep(0.1)

with orderly():
    try:
        callback()
        time.sleep(20)
    except KeyboardInterrupt as error:
        print(type(error).__name__)
"""
    options: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 30, "preexec_fn": hear_ctrl_c}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, **options)
    assert (done.stdout, done.stderr) == ({"SIGINT": "KeyboardInterrupt\n", "SIGTERM": "Terminated\n"}[sent], "")


def test_ctrl_c_in_a_sweep_reaches_all_of_its_processes_and_is_one_line(folder):
    running = start(folder, "sweep", "small.toml", "-o", "s", "--workers", "2")
    until(lambda: (folder / "s" / "points").is_dir() and names(folder / "s" / "points"))
    os.killpg(running.pid, signal.SIGINT)
    told = running.communicate(timeout=30)[1]
    assert told.count("\n") == 1, told
    assert told.endswith("The points that had ended are kept; the same command goes on.\n")
    assert names(folder / "s") == {"points", "lock"}


def test_a_run_that_is_killed_at_any_moment_leaves_a_whole_folder_or_none_and_the_next_one_clears_up(folder):
    chance = random.Random(3)
    ended = 0
    for _ in range(4):
        running = start(folder, "simulate", "little.toml", "-o", "a", "--overwrite", "--engine", "simpy")
        time.sleep(chance.uniform(0.5, 1.6))
        running.kill()
        running.communicate()
        if (folder / "a").exists():
            ended += 1
            assert Run.open(folder / "a").summary["meter_residual"] < 1e-9
    (folder / f"a{INCOMPLETE}00c0ffee").mkdir()  # as one that was killed leaves it
    last = call(folder, "simulate", "little.toml", "-o", "a", "--overwrite")
    assert last.returncode == 0, last.stderr
    assert f"removed a{INCOMPLETE}00c0ffee, left by a process that was killed" in last.stderr
    assert names(folder) == {"little.toml", "little_profile.toml", "small.toml", "a"}
