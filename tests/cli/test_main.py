"""The command line: figures on stdout, complaints on stderr, exit code 2 for what a user can mend."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from glbdes import resources
from glbdes.cli import output
from glbdes.cli.main import main
from glbdes.hardware import profile
from glbdes.present.tables import number, percent
from tests.runs import little, seal_again

GPU = Path(__file__).resolve().parents[2] / "../shared/data/gpu/h100_llama8b.json"


@pytest.fixture
def scenario(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return str(little(tmp_path / "in"))


def call(*arguments: object, code: int = 0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def test_simulate_prints_the_figures_and_where_the_records_are(scenario):
    told = call("simulate", scenario).stdout
    for words in (
        "Latency of served requests, s",
        "TTFT",
        "p99",
        "SLO attainment",
        "chat",
        "carbon, kg",
        "PAR",
        "Unattributed",
        "balanced",
    ):
        assert words in told
    assert max(len(line) for line in told.splitlines()) <= output.WIDTH
    assert told.splitlines()[-1] == "Records in runs/little-cost_carbon-seed7"
    assert Path("runs/little-cost_carbon-seed7/summary.json").is_file()


def test_json_is_all_that_is_printed(scenario):
    result = call("simulate", scenario, "-o", "out", "--json", "--seed", 3, "--policy", "nearest")
    figures = json.loads(result.stdout)
    assert result.stderr == ""
    assert (figures["seed"], figures["policy"], figures["path"]) == (3, "nearest", "out")
    assert figures["requests"]["total"] == sum(list(figures["requests"].values())[1:])
    assert set(figures) >= {"latency_s", "totals", "par", "regions", "objective_usd", "meter_residual", "wall_s"}


def test_quiet_prints_the_folder_only(scenario):
    result = call("simulate", scenario, "--quiet")
    assert (result.stdout, result.stderr) == ("runs/little-cost_carbon-seed7\n", "")


def test_settings_reach_the_scenario(scenario):
    call("simulate", scenario, "-o", "out", "--quiet", "--set", "regions.*.replicas=3", "--set", "time.slots=1")
    info = json.loads(Path("out/run.json").read_text())
    assert [region["replicas"] for region in info["scenario"]["regions"].values()] == [3, 3]
    assert info["overrides"] == ["regions.*.replicas=3", "time.slots=1"]


def test_the_fluid_engine_has_no_latency_table(scenario):
    told = call("simulate", scenario, "--engine", "fluid").stdout
    assert "Latency of served requests, s" not in told
    assert "no requests" in told
    assert "carbon, kg" in told


def test_an_existing_folder_is_kept_unless_it_is_to_be_overwritten(scenario):
    call("simulate", scenario, "-o", "out", "--quiet")
    refused = call("simulate", scenario, "-o", "out", "--quiet", "--seed", 2, code=2)
    assert "exists already" in refused.stderr
    assert json.loads(Path("out/summary.json").read_text())["seed"] == 7
    call("simulate", scenario, "-o", "out", "--quiet", "--seed", 2, "--overwrite")
    assert json.loads(Path("out/summary.json").read_text())["seed"] == 2
    assert "--overwrite needs -o" in call("simulate", scenario, "--overwrite", code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policy", "nearset"], "did you mean 'nearest'?"),
        (["--engine", "simpie"], "engine"),
        (["--set", "time.slot=3"], "did you mean 'slots'?"),
        (["--set", "time.slots"], "must be key.path=value"),
        (["--signals", "nowhere"], "nowhere"),
        (["--set", "workload.load_scale=99"], "load_scale"),
    ],
)
def test_what_a_user_can_mend_is_one_message_and_exit_code_2(scenario, arguments, message):
    result = call("simulate", scenario, "-o", "out", *arguments, code=2)
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert os.listdir() == ["in"]


def test_a_bug_shows_its_traceback(scenario, monkeypatch):
    def bug(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr("glbdes.study.run.simulate", bug)
    result = CliRunner().invoke(main, ["simulate", scenario])
    assert result.exit_code == 1
    assert isinstance(result.exception, ZeroDivisionError)


def test_check_tells_what_would_be_simulated_and_simulates_nothing(scenario):
    told = call("check", scenario).stdout
    for words in ("about 789", "each stands for 180", "capacity", "here", "there", "Valid."):
        assert words in told
    assert max(len(line) for line in told.splitlines()) <= output.WIDTH
    assert os.listdir() == ["in"]
    found = json.loads(call("check", scenario, "--json").stdout)
    assert [region["name"] for region in found["regions"]] == ["here", "there"]


def test_check_fits_80_columns_with_names_whole_and_faults_told():
    faults = "faults=[{region='sweden', start_h=1, end_h=2}, {region='utah', signal='carbon', start_h=3, end_h=4.5}]"
    told = call("check", "tiny", "--set", faults, "--set", "regions.sweden.profile=h200_qwen32b").stdout
    assert max(map(len, told.splitlines())) <= 80
    for name in ("vancouver", "singapore", "h100_llama8b", "h200_qwen32b"):
        assert f" {name} " in told
    assert "Fault: sweden is down from 1 h to 2 h\nFault: utah has no carbon signal from 3 h to 4.5 h\n" in told


def test_check_tells_once_what_is_alike_in_all_regions():
    told = call("check", "llm10").stdout
    assert "in every region: profile h100_llama8b; replicas" in told.replace("\n", " ").replace("  ", " ")
    assert told.count("h100_llama8b") == 3  # there, and in the notes on its steps and its prefill


def test_check_finds_a_policy_that_is_not_there(scenario):
    assert "unknown argument" in call("check", scenario, "--set", "policy.carbon_usd=1", code=2).stderr


def test_summary_is_computed_again_from_the_records(scenario):
    figures = json.loads(call("simulate", scenario, "-o", "out", "--json").stdout)
    assert json.loads(call("summary", "out", "--json").stdout) == {k: v for k, v in figures.items() if k != "path"}
    assert "balanced" in call("summary", "out").stdout


def test_summary_refuses_records_that_are_damaged_or_changed(scenario):
    call("simulate", scenario, "-o", "out", "--quiet")
    part = Path("out/requests/part-0.parquet")
    whole = part.read_bytes()
    part.write_bytes(whole[: len(whole) // 2])
    assert "damaged, or changed since it was written" in call("summary", "out", code=2).stderr
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    part.write_bytes(whole)
    assert "balanced" in call("summary", "out").stdout
    table = pq.read_table(part)
    place = table.schema.get_field_index("energy_kwh")
    pq.write_table(table.set_column(place, "energy_kwh", pc.multiply(table["energy_kwh"], 0.99)), part)
    assert "damaged, or changed since it was written" in call("summary", "out", code=2).stderr
    seal_again(Path("out"))  # as if it had been written like that
    assert "do not balance" in call("summary", "out", code=2).stderr
    assert "no such folder" in call("summary", "nowhere", code=2).stderr
    assert "no run.json" in call("summary", "in", code=2).stderr


def test_check_policy_passes_the_built_in_ones_and_tells_what_others_break(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "deterministic" in call("check-policy", "nearest").stdout
    assert "broken" not in call("check-policy", "cost_carbon", "--set", "carbon_usd_per_t=10").stdout
    Path("mine_to_check.py").write_text(
        "import numpy as np\n\nclass Half:\n    def plan(self, view):\n        return np.full(view.mask.shape, 0.5)\n"
    )
    result = call("check-policy", "mine_to_check:Half", code=2)
    assert "broken" in result.stdout
    assert "breaks" in result.stderr
    assert "did you mean 'nearest'" in call("check-policy", "nearset", code=2).stderr


def test_scenarios_are_listed():
    told = call("scenarios").stdout
    for name in ("llm10", "tiny", "paper"):
        assert name in told


def test_profiles_are_listed_and_shown(scenario):
    assert "KV tokens" in call("profile", "list").stdout
    told = call("profile", "show", "in/little_profile.toml").stdout
    assert "40,000 KV tokens" in told
    assert "no profile 'h100'" in call("profile", "show", "h100", code=2).stderr


def test_a_profile_is_fitted_and_written(tmp_path, monkeypatch):
    if not GPU.is_file():
        pytest.skip("no measurements: the data folder is not beside the checkout")
    monkeypatch.chdir(tmp_path)
    told = call("profile", "fit", GPU, "-o", "fitted.toml").stdout
    assert "mean error" in told
    assert profile.load("fitted.toml").a_s > 0
    assert "cannot be written" in call("profile", "fit", GPU, "-o", "no/fitted.toml", code=2).stderr


def test_the_shipped_profiles_are_made_by_the_commands_in_their_first_lines(tmp_path):
    if not GPU.is_file():
        pytest.skip("no measurements: the data folder is not beside the checkout")
    for name in profile.shipped():
        shipped = (profile.SHIPPED / f"{name}.toml").read_text()
        command = shipped.splitlines()[0].partition("Made by: glbdes ")[2].split()
        place = command.index(f"{name}.json")
        call(*command[:place], GPU.with_name(command[place]), *command[place + 1 :], "-o", tmp_path / "made.toml")
        assert (tmp_path / "made.toml").read_text() == shipped


def test_signals_are_generated_anew_by_seed(tmp_path):
    def generate(name, *arguments):
        call("signals", "generate", "-o", tmp_path / name, *arguments)
        return (tmp_path / name).read_bytes()

    shipped = generate("a.csv", "--load", tmp_path / "load.csv")
    assert shipped == (resources.root("traces") / "llm10_signals.csv").read_bytes()
    assert (tmp_path / "load.csv").read_bytes() == (resources.root("traces") / "llm10_load.csv").read_bytes()
    assert generate("b.csv", "--seed", 5) != shipped
    assert generate("c.csv", "--seed", 5, "--hours", 30).count(b"\n") == 1 + 30 * 10
    assert "must be .csv or .parquet" in call("signals", "generate", "-o", tmp_path / "a.txt", code=2).stderr
    assert "hours = 0" in call("signals", "generate", "-o", tmp_path / "a.csv", "--hours", 0, code=2).stderr
    assert "cannot be written" in call("signals", "generate", "-o", tmp_path / "no" / "a.csv", code=2).stderr


def test_measurements_that_are_not_there_are_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "nowhere.json: cannot be read" in call("profile", "fit", "nowhere.json", code=2).stderr


def test_progress_is_shown_to_a_terminal_only(scenario):
    """On stderr, with speed; stdout stays clean."""
    command = [sys.executable, "-m", "glbdes.cli.main", "simulate", scenario, "--json"]
    ours, theirs = pty.openpty()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, text=True, check=True)
    os.close(theirs)
    seen = os.read(ours, 100_000).decode(errors="replace")  # a terminal hands on 4 KiB at most, in mid-letter or not
    os.close(ours)
    assert json.loads(done.stdout)["requests"]["total"] > 0
    assert "requests" in seen
    assert "/s" in seen


def test_help_is_quick_and_the_version_is_told():
    code = "import sys, glbdes.cli; sys.exit(any(name in sys.modules for name in ('pandas', 'pyarrow', 'scipy')))"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert "glbdes, version" in call("--version").stdout
    for command in main.commands:
        assert "Usage" in call(command, "--help").stdout


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.0, "0"), (1234567, "1,234,567"), (1234.5678, "1,235"), (12.345678, "12.35"), (0.123456, "0.1235"),
     (1e-5, "1.000e-05"), (1e15, "1.000e+15"), (-3.14159, "-3.142")],
)  # fmt: skip
def test_numbers_have_four_digits_that_mean_something(value, text):
    assert number(value) == text


def test_shares_are_percent():
    assert (percent(0.1234), percent(None)) == ("12.3 %", "-")


def test_a_profile_of_steps_is_fitted_written_and_its_energy_said_to_be_assumed(tmp_path, monkeypatch):
    from tests.hardware.test_fit_steps import HEAD, grid

    monkeypatch.chdir(tmp_path)
    rows = (map(str, row) for row in zip(*(column.tolist() for column in grid()[:5]), strict=True))
    Path("steps.csv").write_text(HEAD + "\n".join(map(",".join, rows)))
    needed = ["--kv-tokens", "50000", "--idle-w", "30"]
    told = call("profile", "fit", "steps.csv", *needed, "--active-w", "300", "-o", "toy.toml").stdout
    assert "energies assumed (300 W at work)" in " ".join(told.split())
    assert "worst error" in told
    assert "--kv-tokens 50000 --idle-w 30 --active-w 300" in Path("toy.toml").read_text().splitlines()[0]
    fleet = ("--set", f"fleet.profile={tmp_path / 'toy.toml'}", "--set", "regions.*.max_batch=8")
    small = ("--set", "time.slots=1", "--set", "time.simulated_s_per_slot=1.0")
    says = "The energy of toy was not measured: 300 W at work are assumed"
    assert says in call("check", "tiny", *fleet, *small).stdout
    assert says in call("simulate", "tiny", *fleet, *small, "-o", "run").stdout
    assert says in call("summary", "run").stdout
    from tests.study.test_served import HEAD as RUN
    from tests.study.test_served import HOST, run_of

    rows = (map(str, row) for row in zip(*(column.tolist() for column in run_of(HOST)[:5]), strict=True))
    Path("run.csv").write_text(RUN + "\n".join(map(",".join, rows)))
    served = [*needed, "--active-w", "300", "--max-batch", "32", "--served", "run.csv", "--first", "12"]
    told = " ".join(call("profile", "fit", "steps.csv", *served, "--budget", "256", "-o", "run.toml").stdout.split())
    assert "fitted to the first 12 requests of run.csv" in told
    assert profile.load("run.toml", tmp_path).chunked.host_s > 5e-4
    assert "--served needs --budget, too" in call("profile", "fit", "steps.csv", *served, code=2).stderr
    refused = call("profile", "fit", "steps.csv", *served, "--budget", "9", code=2).stderr
    assert "--budget 9, must be >= 32, the most requests at a time" in refused
    assert "goes with --served" in call("profile", "fit", "steps.csv", *needed, "--first", "9", code=2).stderr
    assert "has neither" in call("profile", "fit", "steps.csv", *needed, code=2).stderr
    assert "give also --kv-tokens and --idle-w" in call("profile", "fit", "steps.csv", code=2).stderr
    assert "goes with measurements in JSON" in call("profile", "fit", "steps.csv", "--graph-tokens", "9", code=2).stderr
    refused = call("profile", "fit", "steps.csv", *needed, "--active-w", "9", "--max-batch", "999", code=2).stderr
    assert "--max-batch 999, must be <= 64, the largest batch in it" in refused
    refused = call("profile", "fit", "steps.csv", *needed, "--active-w", "9", "--context-min", "9999", code=2).stderr
    assert "--context-min 9999, must be <=" in refused
