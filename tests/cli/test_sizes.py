# ruff: noqa: E501 (a table of messages is read across)
"""What is out of all proportion is refused with one message, exit code 2, before any time is spent."""

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
from click.testing import CliRunner

from glbdes.cli.main import main
from tests.cli.test_any_document import FILES, MEGAWATTS, REPLAYED, TINY, TRACED
from tests.hardware.test_fit import document as measurements

PATIENCE_S = 20  # a refusal takes a fraction of a second, and what it keeps from happening takes hours


class Case(NamedTuple):
    """Something out of proportion, and what is said of it."""

    name: str
    message: str
    settings: tuple[str, ...] = ()
    document: str = TINY


SETTINGS = [
    # durations beyond the clock, by themselves and as products
    Case("slot", r"time\.slot_s = 1e\+12 s, must be <= 1e\+09", ("time.slot_s=1e12",)),
    Case("horizon", r"time\.slots: all slots take 2e\+12 simulated s, must be <= 1e\+09 s", ("time.slots=1000000000000",)),
    Case("real horizon", r"time\.slots = 1e\+06: all slots stand for 3\.6e\+09 s, must be <= 1e\+09 s", ("time.slots=1000000",)),
    Case("patience", r"dispatch\.timeout_s = 1e\+10 s, must be <= 1e\+09", ("dispatch.timeout_s=1e10",)),
    Case("latency", r"network\.base_s = 10000 s, must be <= 3600", ("network.base_s=1e4",)),
    Case("latency table", r"latency_s\.west\.east = 1e\+10, must be <= 3600", ("network.latency_s={west={west=0.1,east=1e10},east={west=0.1,east=0.1}}",)),
    Case("detour", r"network\.detour = 1e\+09, must be <= 1000", ("network.detour=1e9",)),
    Case("wake-up", r"regions\.east\.wake_s = 1e\+09 s, must be <= 100000", ("regions.east.wake_s=1e9",)),
    Case("sleep", r"regions\.east\.sleep_after_s = 1e\+10 s, must be <= 1e\+09", ("regions.east.sleep_after_s=1e10",)),
    Case("fault", r"faults\.0\.end_h = 1e\+09 h, must be <= 277778", ("faults.0.end_h=1e9",)),
    Case("clock", r"simulated_s_per_slot = 2 s, must be >= time\.clock_ns = 1e\+11 ns, one tick", ("time.clock_ns=100000000000",)),
    Case("tiny slot", r"simulated_s_per_slot = 1e-12 s, must be >= time\.clock_ns = 1 ns, one tick", ("time.simulated_s_per_slot=1e-12",)),
    # what is not finite, or as good as
    *(
        Case(f"{value} {key}", rf"{re.escape(key)} = {value}.*, must be a finite number", (f"{key}={value}",))
        for value in ("inf", "nan")
        for key in ("time.slot_s", "network.detour", "workload.burst_factor", "workload.load_scale", "slo.slow.share", "dispatch.max_utilisation", "gateways.east.longitude_deg", "regions.west.price_usd_per_kwh", "fleet.host_w", "objective.carbon_usd_per_t")
    ),
    Case("inf argument", r"policy\.step = inf, must be 0 or between 1e-15 and 1e\+12", ("policy.step=inf",)),
    Case("inf in a list", r"policy\.z_max_usd\.1 = inf, must be 0 or between", ("policy.z_max_usd=[1.0, inf]",)),
    Case("nan wait", r"queue_wait_s\.1\.1 = nan, must be a finite number", ("objective.queue_wait_s=[[0,0],[0.5,nan]]",)),
    Case("huge float", r"fleet\.host_w = 1e\+300 W, must be 0 or between 1e-15 and 1e\+12", ("fleet.host_w=1e300",)),
    Case("tiny float", r"load_scale = 4\.94066e-324, must be 0 or between", ("workload.load_scale=5e-324",)),
    # dates
    Case("year 1200", r"start_utc = 1200-01-01 00:00:00, must be from 1700 to 2259", ("time.start_utc=1200-01-01T00:00:00",)),
    Case("year 9999", r"start_utc = 9999-12-31 .*, must be from 1700 to 2259", ("time.start_utc=9999-12-31T23:00:00-05:00",)),
    Case("into 2260", r"time\.start_utc = 2259-12-31 23:00:00: the slots end in 2260, must be before 2260", ("time.start_utc=2259-12-31T23:00:00",)),
    Case("a number for a date", r"start_utc = 5, must be a date and time", ("time.start_utc=5",)),
    Case("text of a number for a date", r"start_utc = '1663804800', must be a date and time", ("time.start_utc='1663804800'",)),
    Case("a truth for a norm", r"objective\.norm = true, must be 'inf', 1 or 2", ("objective.norm=true",)),
    Case("control characters", r"description = '\\x1b\[31m', must have no control characters", ('description="\\u001b[31m"',)),
    # counts and products of them
    Case("slots", r"time\.slots = 1e\+09 x 4 gateways and regions, must be <= 2e\+07", ("time.slots=1000000000", "time.slot_s=1e-3", "time.simulated_s_per_slot=1e-3", "faults=[]", "dispatch.telemetry_s=0")),
    Case("replicas", r"fleet\.replicas = 1000000000000, must be <= 1e\+06", ("fleet.replicas=1000000000000",)),
    Case("replicas in all", r"regions have 2e\+06 replicas in all, must be <= 1e\+06", ("regions.*.replicas=1000000",)),
    Case("places", r"all replicas hold 9\.6e\+07 requests, must be <= 2e\+07", ("regions.*.replicas=500000",)),
    Case("batch", r"max_batch = 1000000000000 .*must be <= \d+, the largest batch", ("fleet.max_batch=1000000000000",)),
    Case("tokens", r"max_tokens = 1000000000000 tokens, must be <= 1e\+07", ("workload.lengths.max_tokens=1000000000000",)),
    Case("geometric", r"prompt_tokens = 1e\+300 tokens, must be <= 1e\+07", ("workload.lengths.law=geometric", "workload.lengths.prompt_tokens=1e300")),
    Case("seed -1", r"seed = -1, must be >= 0", ("seed=-1",)),
    Case("seed 1e30", r"seed = 1e\+30, must be a whole number", ("seed=1e30",)),
    Case("long seed", r"seed = 10{30}, must be <", ("seed=1" + 30 * "0",)),
    Case("requests", r"\d\.\d+e\+18 requests are expected, must be <= time\.max_events = 1e\+09; .*raise time\.max_events", ("gateways.east={rate_per_s=1e12}", "workload.load_scale=1e6")),
    Case("scale", r"requests are expected, must be <= time\.max_events", ("workload.load_scale=1e12",)),
    Case("memory", r"requests are expected in one slot, which take .* GB, must be <= .* GB, 80% of this machine's memory", ("gateways.east={rate_per_s=1e11}", "time.max_events=1000000000000")),
    Case("telemetry", r"dispatch\.telemetry_s = 1e-12 s, must be >= 6e-08 s", ("dispatch.telemetry_s=1e-12",)),
    Case("ticks", r"telemetry_s: .*ticks until the last request has ended, must be <= time\.max_events = 100", ("dispatch.telemetry_s=1e-3", "time.max_events=100")),
    Case("gaps", r"burstiness_cv2 = 1e\+09, must be <= 10000", ("workload.burstiness_cv2=1e9",)),
    Case("bursts", r"bursts are expected, must be <= time\.max_events", ("workload.arrivals=mmpp", "workload.burst_mean_s=1e-12")),
    Case("replay", r"trace\.csv: .*requests are expected|2\.\d+e\+08.* requests|requests are expected", ("workload.replay_rate_factor=1e9",), REPLAYED),
    Case("slow replay", r"trace\.csv: lasts 4e\+13 s at 1e-12 x its own pace, must be <= 1e\+09 s", ("workload.replay_rate_factor=1e-12",), REPLAYED),
    # numbers and structure
    Case("digits", r"a whole number has thousands of digits", ("seed=" + 5000 * "9",)),
    Case("hexadecimal", r"seed = a number of thousands of digits, must be <", ("seed=0x" + 5000 * "f",)),
    Case("nesting", r"nested too deep, must be at most 50 within one another", ("description=" + 3000 * "[" + 3000 * "]",)),
    Case("long path", r"must be key\.path=value", (500 * "a." + "b=1",)),
    Case("two values", r"--set seed=1\\nname='x': must be one value", ("seed=1\nname='x'",)),
    Case("index", r"is no index of the list", (f"faults.{5000 * '9'}.start_h=1",)),
    # names
    Case("long name", r"name = 'x+ \.\.\. x+', must have at most 64 characters", (f"name={300 * 'x'}",)),
    Case("empty name", r"name = '', must be lower-case letters", ("name=''",)),
    Case("slashes", r"name = '\.\./x', must be lower-case letters", ("name='../x'",)),
    Case("line break", r"name = 'a\\nb', must be lower-case letters", ('name="a\\nb"',)),
    Case("bidi", r"name = 'a\\u202eb', must be lower-case letters", ("name=a\u202eb",)),
    Case("zero byte", r"signals\.source = 'a\\x00b', must have no control characters", ('signals.source="a\\u0000b"',)),
    Case("long file", r"signals\.source = 'a+ \.\.\. a+', must have at most 1000 characters", (f"signals.source={5000 * 'a'}",)),
    Case("file as long as may be", r"signals\.source = 'a+ \.\.\. a+': no such file or folder", (f"signals.source={900 * 'a'}",)),
    Case("long profile", r"no profile 'a+ \.\.\. a+'", (f"fleet.profile={900 * 'a'}",)),
    Case("long policy", r"policy 'a", (f"policy={{name={900 * 'a'!r}}}",)),
    Case("device", r"signals\.source = '/dev/zero': no such file or folder", ("signals.source=/dev/zero",)),
    Case("capacity", r"regions\.\w+\.capacity = 1e\+300, must be 0 or between", ("regions.*.capacity=1e300",), MEGAWATTS),
]  # fmt: skip


def refused(arguments: list[object], message: str) -> None:
    begin_s = time.monotonic()
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert time.monotonic() - begin_s < PATIENCE_S
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 2, result.output
    said = " ".join(result.stderr.split())
    assert re.search(message, said), said
    assert result.stdout == ""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("case", SETTINGS, ids=[case.name for case in SETTINGS])
def test_what_is_out_of_proportion_is_refused_at_once(folder: Path, case: Case) -> None:
    (folder / "any.toml").write_text(case.document)
    refused(["check", "any.toml", *(part for text in case.settings for part in ("--set", text))], case.message)


def write(text: str | bytes, name: str = "any.toml") -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(text.encode() if isinstance(text, str) else text) and None


def sparse(name: str, size: int) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        with (folder / name).open("wb") as file:
            file.truncate(size)

    return make


def pipe(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return make


def far_away(folder: Path) -> None:
    table = pd.read_csv(folder / "signals.csv")
    table["time_utc"] = pd.Series(["9999-01-01"] * len(table)).astype("datetime64[s]")
    table.to_parquet(folder / "signals.parquet")


def measured(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        content = measurements()
        change(content)
        (folder / "m.json").write_text(json.dumps(content))

    return make


MANY = "".join(f"{{region = 'west', start_h = {n}, end_h = {n + 0.5}}}, " for n in range(20_000))
WIDE = "".join(f"[regions.r{n}]\n[gateways.r{n}]\nload = 0.1\n" for n in range(1100))
SWEEP = 'scenario = "any.toml"\n'
CHECK, SWEPT, FIT = ["check", "any.toml"], ["sweep", "sweep.toml"], ["profile", "fit", "m.json"]
TRACE_SET = ["check", "any.toml"]
FILES_MADE = [
    ("deep TOML", write("a = " + 5000 * "[" + 5000 * "]"), CHECK, r"nested too deep"),
    ("deep keys", write(5000 * "a." + "b = 1"), CHECK, r"a key has more than 100 parts"),
    ("deep by dots", write(TINY + "".join(f"[regions.west.{'a.' * n}b]\n" for n in (60,))), CHECK, r"nested too deep"),
    ("digits", write(TINY.replace("slots = 3", "slots = " + 5000 * "3")), CHECK, r"a whole number has thousands of digits"),
    ("not UTF-8", write(b"name = '\xff'"), CHECK, r"not UTF-8: byte 0xff in line 1"),
    ("UTF-16", write(TINY.encode("utf-16")), CHECK, r"not UTF-8"),
    ("10 GB", sparse("any.toml", 10**10), CHECK, r"has 10,000,000,000 bytes, must have at most"),
    ("folder", lambda folder: (folder / "any.toml").mkdir(), CHECK, r"no scenario file|is a folder"),
    ("pipe", pipe("any.toml"), CHECK, r"no scenario file|pipe"),
    ("device", lambda folder: None, ["check", "/dev/zero"], r"no scenario file '/dev/zero'"),
    ("faults", write(TINY.replace("faults = [", "faults = [" + MANY)), CHECK, r"faults: 20002, must be <= 10000"),
    ("regions x gateways", write(TINY + WIDE), CHECK, r"gateways: 1102 x 1102 regions, must be <= 1e\+06"),
    ("classes", write(TINY.replace("slo = {", "slo = {" + "".join(f"c{n} = {{}}, " for n in range(200)))), CHECK, r"slo has 202 classes, must be <= 127"),
    ("problems", write(TINY + "".join(f"x{n} = 1\n" for n in range(30_000)).join(("[workload.lengths2]\n", ""))), CHECK, r"unknown key"),
    ("sweep 1e8", write(SWEEP + "[[grid]]\n" + "".join(f"k{k} = {list(range(100))}\n" for k in range(4)), "sweep.toml"), SWEPT, r"the blocks have 100000000 points, must be <= 20000"),
    ("sweep pipe", pipe("sweep.toml"), SWEPT, r"is a pipe or a device, must be a file"),
    ("sweep folder", lambda folder: (folder / "sweep.toml").mkdir(), SWEPT, r"is a directory|is a folder"),
    ("sweep device", lambda folder: None, ["sweep", "/dev/zero"], r"is a pipe or a device, must be a file"),
    ("sweep nested", write("set = " + 3000 * "[" + 3000 * "]", "sweep.toml"), SWEPT, r"nested too deep"),
    ("sweep zero byte", write('scenario = "a\\u0000"\n[[grid]]\nseed = 1\n', "sweep.toml"), SWEPT, r"scenario = a\\x00, must be text"),
    ("deep JSON", write(100_000 * "[", "m.json"), FIT, r"nested too deep"),
    ("JSON digits", write("[" + 5000 * "9" + "]", "m.json"), FIT, r"a whole number has thousands of digits"),
    ("JSON pipe", pipe("m.json"), FIT, r"is a pipe or a device"),
    ("JSON 1e300", measured(lambda content: content["decode"][0].update(batch=1e300)), FIT, r"decode\[0\]: batch = 1e\+300, must be from 1e-15 to 1e\+12"),
    ("JSON inf", measured(lambda content: content["served"]["3.0"]["requests"][0].update(arrival=float("inf"))), FIT, r"arrival = inf, must be <= 1e\+12 in size"),
    ("JSON empty work", measured(lambda content: content["served"]["3.0"].update(iterations=[])), FIT, r"iterations is empty"),
    ("JSON text", measured(lambda content: content["served"]["3.0"]["iterations"].__setitem__(0, ["a", 1, "p", 1, 1])), FIT, r"iterations\[0\] = .*, must begin and then end"),
]  # fmt: skip
TABLES = [
    ("year 9999", "signals.csv", ("2022-09-22T00:00,west", "9999-01-01T00:00,west"), TRACED, r"row 1: time_utc = 9999-01-01T00:00, must be a time .*from 1700 to 2259"),
    ("year 1200", "signals.csv", ("2022-09-22T00:00,west", "1200-01-01T00:00,west"), TRACED, r"time_utc = 1200-01-01T00:00, must be a time"),
    ("huge price", "signals.csv", (",0.1,", ",1e300,"), TRACED, r"price_usd_per_kwh = 1e\+300, must be <= 1e\+12 in size"),
    ("digits", "signals.csv", (",0.1,", f",{5000 * '9'},"), TRACED, r"price_usd_per_kwh = .*, must be"),
    ("nanosecond step", "signals.csv", ("T01:00,west", "T00:00:00.000000001,west"), TRACED, r"region west has .* steps of 1e-09 s .*, must be <= 1e\+08"),
    ("huge load", "load.csv", ("0.5", "1e300"), TRACED, r"load\.csv, line 3: load = '1e\+300', must be a number >= 0 and <= 1e\+12"),
    ("trace of 9999", "trace.csv", ("2023-11-16 18:15:39", "9999-11-16 18:15:39"), REPLAYED, r"trace\.csv, line 41: TIMESTAMP = '9999-11-16 18:15:39\.5', must be a date and time in ISO 8601, from 1700"),
    ("huge tokens", "trace.csv", (",110,", f",{500 * '9'},"), REPLAYED, r"trace\.csv, line 12: ContextTokens = '9+ \.\.\. 9+', must be"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "arguments", "message"), [case[1:] for case in FILES_MADE], ids=[c[0] for c in FILES_MADE]
)
def test_files_that_are_none_or_out_of_proportion_are_refused_at_once(
    folder: Path, make: Callable[[Path], None], arguments: list[object], message: str
) -> None:
    make(folder)
    if not (folder / "any.toml").exists() and "any.toml" not in arguments:
        (folder / "any.toml").write_text(TINY)
    refused(arguments, message)


@pytest.mark.parametrize(
    ("name", "change", "document", "message"), [case[1:] for case in TABLES], ids=[c[0] for c in TABLES]
)
def test_tables_with_cells_out_of_proportion_are_refused(
    folder: Path, name: str, change: tuple[str, str], document: str, message: str
) -> None:
    (folder / "any.toml").write_text(document)
    assert change[0] in FILES[name]
    (folder / name).write_text(FILES[name].replace(*change, 1))
    refused(["check", "any.toml"], message)


def test_parquet_with_far_stamps_is_refused(folder: Path) -> None:
    far_away(folder)
    (folder / "any.toml").write_text(TRACED.replace("signals.csv", "signals.parquet"))
    refused(["check", "any.toml"], r"time_utc = 9999-01-01 00:00:00, must be a time")


def test_a_table_of_ten_gigabytes_is_refused(folder: Path) -> None:
    (folder / "any.toml").write_text(TRACED)
    sparse("signals.csv", 10**10)(folder)
    refused(["check", "any.toml"], r"signals\.csv: has 10,000,000,000 bytes, must have at most")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["simulate", "any.toml", "-o", 5000 * "a"], r"must have no names of more than 200 bytes"),
        (["simulate", "any.toml", "-o", "a\0b"], r"'a\\x00b', must have no names of more than 200 bytes, and no zero bytes"),
        (["summary", 300 * "a"], r"must have no names of more than 200 bytes"),
        (["check", 300 * "a"], r"no scenario file 'a+ \.\.\. a+'"),
        (["check", "any.toml", "--signals", "a\0b"], r"no zero bytes"),
        (["simulate", "any.toml", "--seed", 5000 * "9"], r"not a valid integer"),
        (["compare", "any.toml", "--seeds", 10**9], r"not in the range"),
        (["compare", "any.toml", "--workers", 10**9], r"not in the range"),
        (["signals", "generate", "-o", "x.csv", "--hours", 10**30], r"hours = 10+, must be >= 1 and <= 100000"),
        (["signals", "generate", "-o", "x.csv", "--seed", 10**30], r"not in the range"),
    ],
)  # fmt: skip
def test_arguments_out_of_proportion_are_refused(folder: Path, arguments: list[object], message: str) -> None:
    (folder / "any.toml").write_text(TINY)
    refused(arguments, message)


def test_several_problems_are_told_in_one_report(folder: Path) -> None:
    (folder / "any.toml").write_text(TINY.replace("slots = 3", "slots = 1000000000000").replace("290.0", "inf"))
    refused(
        ["check", "any.toml"], r"fleet\.host_w = inf W, must be a finite number \(any\.toml\) time\.slots: all slots"
    )


def test_of_thousands_of_problems_the_first_are_told(folder: Path) -> None:
    (folder / "any.toml").write_text("".join(f"x{n} = 1\n" for n in range(30_000)))
    refused(["check", "any.toml"], r"x0: unknown key.* x15: unknown key \(any\.toml\) and more$")


def test_a_byte_order_mark_and_prose_with_many_dots_are_read(folder: Path) -> None:
    text = TINY.replace('name = "any"', f'name = "any"\ndescription = "{"so it is. " * 200}"')
    (folder / "any.toml").write_bytes(text.encode("utf-8-sig"))
    assert CliRunner().invoke(main, ["check", "any.toml"]).exit_code == 0


def test_a_folder_called_like_an_address_is_a_folder(folder: Path) -> None:
    (folder / "any.toml").write_text(TINY)
    for arguments in (["simulate", "any.toml", "--quiet", "-o", "s3:"], ["summary", "s3:"]):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output


def test_a_run_of_a_policy_with_a_long_name_has_a_folder(folder: Path) -> None:
    (folder / f"{'p' * 150}.py").write_text("from glbdes.policy.baselines import Nearest as Own\n")
    (folder / "any.toml").write_text(TINY.replace('{name = "eglb", step = 0.5}', f'{{name = "{"p" * 150}:Own"}}'))
    result = CliRunner().invoke(main, ["simulate", "any.toml", "--quiet"])
    assert result.exit_code == 0, result.output
