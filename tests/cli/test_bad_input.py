# ruff: noqa: E501 (a table of messages is read across)
"""Bad input ends in one clear message, exit code 2 and no folder that looks complete. Through the command line."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from glbdes.cli.main import main
from glbdes.hardware import profile

SCENARIO = """
name = "small"
[time]
slots = 3
simulated_s_per_slot = 2.0
[signals]
source = "signals.csv"
[workload.lengths]
law = "fixed"
prompt_tokens = 100
output_tokens = 10
[fleet]
profile = "h100_llama8b"
[regions.texas]
[regions.japan]
latitude_deg = 0.0
longitude_deg = 139.0
[gateways.texas]
rate_per_s = 5.0
[gateways.japan]
rate_per_s = 5.0
[policy]
name = "tests.bad_policies:Good"
"""
SIGNALS = "time_utc,region,price_usd_per_kwh,carbon_g_per_kwh,wue_l_per_kwh,ewif_l_per_kwh,pue\n" + "".join(
    f"2022-09-22T{hour:02}:00,{region},0.1,400,1.0,2.0,1.2\n" for region in ("texas", "japan") for hour in range(3)
)
TRACE = "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(
    f"2023-11-16 18:15:{second:02}.5,{100 + second},10\n" for second in range(40)
)
SHIPPED = (profile.SHIPPED / "h100_llama8b.toml").read_text().replace('"h100_llama8b"', '"plain"')
PLAIN = SHIPPED.partition("# A step of a server")[0]
LOAD = ["--set", "workload.shape=trace", "--set", "workload.load_file=load.csv"]
REPLAY = ["--set", "workload.arrivals=replay", "--set", "workload.file=trace.csv"]


def replace_in(file: str, old: str, new: str) -> Callable[[Path], None]:
    """A change of the first `old` in `file`."""

    def change(folder: Path) -> None:
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new, 1))

    return change


def write(file: str, text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / file).write_text(text)

    return change


def remove(file: str) -> Callable[[Path], None]:
    return lambda folder: (folder / file).unlink()


def truncated_parquet(folder: Path) -> None:
    whole = folder / "whole.parquet"
    pd.read_csv(folder / "signals.csv").to_parquet(whole)
    (folder / "signals.parquet").write_bytes(whole.read_bytes()[:-100])


class Bad(NamedTuple):
    """Something wrong with a scenario that is fine otherwise."""

    name: str
    message: str  # pattern that the one message matches
    spoil: Callable[[Path], None] = lambda folder: None
    arguments: tuple[str, ...] = ()


def policy(name: str, message: str) -> Bad:
    return Bad(f"policy {name}", message, arguments=("--policy", f"tests.bad_policies:{name}"))


def setting(name: str, message: str, *settings: str) -> Bad:
    return Bad(name, message, arguments=tuple(part for text in settings for part in ("--set", text)))


CASES = [
    # the scenario
    Bad("unknown key", r"fleet\.replica: unknown key; did you mean 'replicas'\?", replace_in("small.toml", "[fleet]", "[fleet]\nreplica = 2")),
    Bad("missing scenario", r"no scenario file '.*small\.toml'", remove("small.toml")),
    Bad("broken TOML", r"not valid TOML: .*line 4", replace_in("small.toml", "slots = 3", "slots = = 3")),
    setting("mask isolates a gateway", r"gateways\.texas\.regions = \[\], must name at least one region", "gateways.texas.regions=[]"),
    setting("negative tokens in the scenario", r"prompt_tokens = -100 tokens, must be > 0", "workload.lengths.prompt_tokens=-100"),
    setting("infeasible load", r"slot 0: expected load of all 2 gateways = 1e\+04 requests/s, must be <=", "workload.load_scale=1000"),
    setting("infeasible mask", r"expected load of gateway texas = 500 requests/s, must be <= .* of region japan", "gateways.texas.regions=['japan']", "gateways.texas.rate_per_s=500"),
    setting("setting without a value", r"--set seed: must be key\.path=value", "seed"),
    setting("unknown engine", r"engine = 'simpie', must be .*; did you mean 'simpy'\?", "engine=simpie"),
    setting("no profile", r"regions\.texas: has neither `profile`", "fleet={}"),
    setting("unknown profile", r"h100_lama8b.*did you mean 'h100_llama8b'", "fleet.profile=h100_lama8b"),
    Bad("megawatts on a request engine", r"engine = 'auto', must be 'fluid'", arguments=("--set", "fleet={}", "--set", "regions.*.capacity=1")),
    setting("no budget", r"serving\.max_batched_tokens = 0 tokens, must be >= 1", "serving.max_batched_tokens=0"),
    setting("a budget below the batch", r"serving\.max_batched_tokens = 95, must be >= 96, the max_batch of regions\.texas", "serving.scheduler=chunked", "serving.max_batched_tokens=95"),
    setting("blocks of nothing", r"serving\.block_tokens = 0 tokens, must be >= 1", "serving.block_tokens=0"),
    setting("a cache of one block", r"regions\.texas\.kv_tokens = 31 tokens, must hold two blocks of serving\.block_tokens = 16 tokens", "serving.scheduler=chunked", "fleet.kv_tokens=31"),
    setting("a cache below the longest request", r"regions\.texas\.kv_tokens = 32768 tokens, room for 32752 .*, must hold the longest request, workload\.lengths\.max_tokens = 32768", "serving.scheduler=chunked", "fleet.kv_tokens=32768"),
    setting("a profile without steps", r"regions\.texas: profile 'plain' must say what steps take", "serving.scheduler=chunked", "fleet.profile=plain.toml"),
    setting("unknown norm", r"objective\.norm = 3, must be", "objective.norm=3"),
    setting("negative weight", r"regions\.texas\.carbon_weight = -1.*, must be >= 0", "regions.texas.carbon_weight=-1.0"),
    setting("waits that begin late", r"queue_wait_s\.0 = \[0\.1, 0 s\], must be \[0, 0 s\]", "objective.queue_wait_s=[[0.1,0.0],[0.9,1.0]]"),
    setting("waits that go back", r"queue_wait_s\.2 = \[0\.4, 2 s\], utilisation must be > 0\.5", "objective.queue_wait_s=[[0,0],[0.5,1.0],[0.4,2.0]]"),
    setting("waits that are not convex", r"queue_wait_s: utilisation x wait must be convex", "objective.delay_usd_per_s=1.0", "objective.queue_wait_s=[[0,0],[0.5,1.0],[0.8,0.7]]"),
    setting("a limit below every region", r"slo\.default\.max_one_way_ms = 0\.5 ms, must be >= 1 ms, the nearest region of gateway 'texas'", "slo={default={max_one_way_ms=0.5}}"),
    Bad("delay in megawatts", r"delay_usd_per_s = 1, needs objective\.queue_wait_s", arguments=("--set", "engine=fluid", "--set", "fleet={}", "--set", "regions.*.capacity=10", "--set", "objective.delay_usd_per_s=1.0")),
    # signals
    Bad("missing signals", r"signals\.csv.*no such file", remove("signals.csv")),
    Bad("wrong unit", r"price_usd_per_mwh.* must be price_usd_per_kwh", replace_in("signals.csv", "price_usd_per_kwh", "price_usd_per_mwh")),
    Bad("NaN signal", r"carbon_g_per_kwh is missing", replace_in("signals.csv", "0.1,400,", "0.1,nan,")),
    Bad("negative carbon", r"carbon_g_per_kwh = -400, must be >= 0", replace_in("signals.csv", "0.1,400,", "0.1,-400,")),
    Bad("infinite price", r"price_usd_per_kwh = inf, must be finite", replace_in("signals.csv", "0.1,400,", "inf,400,")),
    Bad("text for a number", r"carbon_g_per_kwh = much, must be a number", replace_in("signals.csv", "0.1,400,", "0.1,much,")),
    Bad("unsorted signals", r"must be sorted", replace_in("signals.csv", "T01:00,texas", "T07:00,texas")),
    Bad("empty signals", r"has no rows|cannot be read", write("signals.csv", SIGNALS.split("\n")[0] + "\n")),
    Bad("too short signals", r"time\.slots = 4 must not be more", arguments=("--set", "time.slots=4")),
    Bad("unknown region", r"has no region 'japan'", lambda folder: write("signals.csv", SIGNALS.replace("japan", "jpn"))(folder)),
    Bad("truncated Parquet", r"signals\.parquet: cannot be read as Parquet; truncated", truncated_parquet, ("--set", "signals.source=signals.parquet")),
    Bad("folder of nothing", r"is no folder in the authors' layout", lambda folder: (folder / "empty").mkdir(), ("--set", "signals.source=empty")),
    # traces
    Bad("missing trace", r"no request trace 'trace\.csv'", remove("trace.csv"), tuple(REPLAY)),
    Bad("negative tokens", r"trace\.csv, line 12: ContextTokens = '-110', must be >= 1", replace_in("trace.csv", ",110,", ",-110,"), tuple(REPLAY)),
    Bad("no tokens", r"trace\.csv, line 12: GeneratedTokens = '0', must be >= 1", replace_in("trace.csv", ",110,10", ",110,0"), tuple(REPLAY)),
    Bad("unsorted trace", r"trace\.csv, line 12: .* must not be before the line above", replace_in("trace.csv", "18:15:10", "18:14:10"), tuple(REPLAY)),
    Bad("empty trace", r"trace\.csv: no requests", write("trace.csv", TRACE.split("\n")[0] + "\n"), tuple(REPLAY)),
    Bad("empty file", r"trace\.csv: empty file", lambda folder: (folder / "trace.csv").open("w").close(), tuple(REPLAY)),
    Bad("missing column", r"no column 'GeneratedTokens'; did you mean 'GeneratedToken'\?", replace_in("trace.csv", "GeneratedTokens", "GeneratedToken"), tuple(REPLAY)),
    # loads
    Bad("missing load", r"no load trace 'load\.csv'", remove("load.csv"), tuple(LOAD)),
    Bad("negative load", r"load\.csv, line 3: load = '-0\.5', must be a number >= 0", replace_in("load.csv", "1.0\n0.5", "1.0\n-0.5"), tuple(LOAD)),
    Bad("NaN load", r"load\.csv, line 3: load = 'nan', must be a number >= 0", replace_in("load.csv", "1.0\n0.5", "1.0\nnan"), tuple(LOAD)),
    Bad("too short load", r"load\.csv: 2 rows of load, must have one for each", write("load.csv", "load\n1\n1\n"), tuple(LOAD)),
    # policies
    policy("NaN", r"NaN', slot 0: weights\[0, 0\] = nan, must be finite"),
    policy("WrongShape", r"plan\(\) returned an array of shape \(1, 2\), must be \(gateways, regions\) = \(2, 2\)"),
    policy("Negative", r"weights\[0, 0\] = -1\.5, must be >= 0"),
    policy("NotOne", r"weights of gateway 0 sum to 2, must be 1"),
    policy("Nothing", r"plan\(\) returned"),
    policy("Raises", r"slot 0: KeyError: 'no such hour' \(.*bad_policies\.py:\d+\)"),
    policy("RaisesLate", r"slot 1: ZeroDivisionError: slot 1"),
    policy("Writes", r"slot 0: ValueError: .*read-only"),
    policy("ObserveRaises", r"slot 0: RuntimeError: cannot learn"),
    policy("NoPlan", r"NoPlan.*plan"),
    policy("Exits", r"slot 0: SystemExit: 0 \(.*bad_policies\.py:\d+\)"),
    policy("ExitsLate", r"slot 0: SystemExit: 0 \("),
    policy("ExitsInConstructor", r"ExitsInConstructor': SystemExit: 0 \("),
    policy("IsExit", r"slot 0: SystemExit: View"),
    policy("Bangs", r"slot 0: Bang: gone \("),
    policy("Interrupts", r"slot 0: KeyboardInterrupt \("),
    policy("CannotBeTold", r"slot 0: Untellable: whose message cannot be had \("),
    policy("CannotBeToldBase", r"slot 0: Untold: whose message cannot be had \("),
    policy("SaysTooMuch", r"slot 0: ValueError: \\x1b\[2J\\ud800far too long .{,1000}\.\.\. \("),
    policy("RaisesOurs", r"policy 'tests\.bad_policies:RaisesOurs', slot 0: nothing fits"),
    policy("Complex", r"plan\(\) returned an array of complex128, must be an array of real numbers"),
    policy("Objects", r"plan\(\) returned an array of object, must be"),
    policy("Texts", r"plan\(\) returned an array of <U32, must be"),
    policy("Huge", r"shape \(1099511627776, 1024\), must be \(gateways, regions\) = \(2, 2\)"),
    policy("Later", r"plan\(\) returned a coroutine, so nothing of it has run"),
    policy("Yields", r"plan\(\) returned a generator, so nothing of it has run"),
    policy("YieldsLate", r"observe\(\) returned a generator, so nothing of it has run"),
    policy("ExitsAsArray", r"slot 0: SystemExit: 0 \("),
    policy("LiesAsArray", r"plan\(\) returned LiesAsArray, must be an array of numbers"),
    policy("NoPlanToBeHad", r"RuntimeError: no plan today \("),
    policy("DualsOfOne", r"slot 0: duals\['carbon'\] is an array of shape \(\), must be \(regions,\) = \(2,\)"),
    policy("DualsOfTooMany", r"duals\['carbon'\] is an array of shape \(3,\), must be"),
    policy("DualsNaN", r"duals\['water'\]\[1\] = nan, must be finite"),
    policy("DualsOfNothing", r"duals\['noise'\]: unknown footprint, must be one of carbon, water"),
    policy("DualsOfSomething", r"duals is a tuple, must map footprints to prices"),
    policy("DualsThatRaise", r"its duals cannot be had: AttributeError: .*no_such_thing"),
    policy("DualsThatExit", r"slot 0: SystemExit: 0 \("),
    policy("ObserveThatRaises", r"its observe cannot be had: AttributeError: no ears"),
    policy("NeedsArgument", r"step"),
    policy("God", r"God.*did you mean 'Good'"),
    Bad("forbidden region", r"weights\[0, 1\] = 0\.5, must be 0 where the mask forbids", arguments=("--policy", "tests.bad_policies:Forbidden", "--set", "gateways.texas.regions=['texas']")),
    Bad("unknown policy", r"did you mean 'nearest'", arguments=("--policy", "neareast")),
    Bad("unknown argument", r"stp", arguments=("--set", "policy={name='eglb', stp=1}")),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A scenario and its files, all of them fine."""
    for file, text in (
        ("small.toml", SCENARIO),
        ("signals.csv", SIGNALS),
        ("plain.toml", PLAIN),
        ("trace.csv", TRACE),
        ("load.csv", "load\n1.0\n0.5\n1.0\n"),
    ):
        (tmp_path / file).write_text(text)
    return tmp_path


def simulate(folder: Path, *arguments: str) -> Result:
    target = ["-o", str(folder / "out" / "run"), "--quiet"]
    return CliRunner().invoke(main, ["simulate", str(folder / "small.toml"), *target, *arguments])


def refused(result: Result, message: str) -> None:
    """One message, that matches, exit code 2 and no traceback."""
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 2, result.output
    said = " ".join(result.stderr.split())  # as wide as the terminal, or not
    assert re.search(message, said), said
    assert "Traceback" not in said
    assert result.stdout == ""


def test_what_the_cases_spoil_is_fine_without_them(folder: Path) -> None:
    for arguments in ([], REPLAY, LOAD):
        result = simulate(folder, "--overwrite", *arguments)
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_bad_input_is_refused_with_one_message(folder: Path, case: Bad) -> None:
    case.spoil(folder)
    refused(simulate(folder, *case.arguments), case.message)
    left = [path.name for path in (folder / "out").rglob("*")] if (folder / "out").exists() else []
    assert left == []


BEFORE_THE_RUN = [case for case in CASES if "--policy" not in case.arguments]


@pytest.mark.parametrize("case", BEFORE_THE_RUN, ids=[case.name for case in BEFORE_THE_RUN])
def test_check_refuses_what_simulate_refuses(folder: Path, case: Bad) -> None:
    case.spoil(folder)
    refused(CliRunner().invoke(main, ["check", str(folder / "small.toml"), *case.arguments]), case.message)


def test_a_folder_that_is_there_is_not_written_to(folder: Path) -> None:
    kept = folder / "out" / "run" / "precious.txt"
    kept.parent.mkdir(parents=True)
    kept.write_text("mine")
    refused(simulate(folder), r"out/run")
    assert [path.name for path in kept.parent.iterdir()] == ["precious.txt"]


@pytest.mark.parametrize("damage", ["truncated requests", "truncated slots", "no run.json", "no folder"])
def test_summary_of_a_damaged_run_is_refused(folder: Path, damage: str) -> None:
    assert simulate(folder).exit_code == 0
    run = folder / "out" / "run"
    if damage == "no run.json":
        (run / "run.json").unlink()
    elif damage == "no folder":
        run = folder / "nowhere"
    else:
        file = next((run / "requests").glob("*.parquet")) if "requests" in damage else run / "slots.parquet"
        file.write_bytes(file.read_bytes()[:-60])
    refused(CliRunner().invoke(main, ["summary", str(run)]), str(run))
