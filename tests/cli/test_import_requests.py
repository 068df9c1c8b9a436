"""Importing requests, loads and networks on the command line: what is told, what is written, what is refused."""

import tomllib
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from glbdes import scenario
from glbdes.cli.import_requests import REQUEST_FORMATS
from glbdes.cli.main import main
from glbdes.workload.sources import SOURCES

SERVEGEN = "request_id,timestamp,input_tokens,output_tokens\n0,0.5,10,20\n1,1.25,15,0\n2,1.0,30,6\n"
RATES = "t_s,requests_per_s\n" + "".join(f"{3600 * hour},{hour + 1}\n" for hour in range(24))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "requests.csv").write_text(SERVEGEN)
    (tmp_path / "rates.csv").write_text(RATES)
    (tmp_path / "rtt.csv").write_text(",west,east\nwest,2,80\neast,80,2\n")
    return tmp_path


def call(line: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["import", *line.split()])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def test_the_formats_of_the_command_line_are_those_there_are() -> None:
    assert set(REQUEST_FORMATS) == set(SOURCES)


def test_requests_are_told_and_written(folder: Path) -> None:
    told = call("requests requests.csv --format servegen -o t.parquet --sort --drop-empty").stdout
    assert "2 requests over 0.500 s, mean 20.0 prompt and 13.0 output tokens" in told
    assert "1 left out" in told
    assert "1 were before the one above them" in told
    assert len(pd.read_parquet(folder / "t.parquet")) == 2
    refused = call("requests requests.csv --format servegen -o u.parquet --sort", 2).stderr
    assert "requests.csv, line 3: output_tokens = '0', must be >= 1 token; --drop-empty" in refused
    assert not list(folder.glob("u.*"))


def test_loads_are_told_and_written(folder: Path) -> None:
    line = "load rates.csv --format servegen --start 2022-09-22 -o load.csv --shift-to-local --repeat"
    told = call(f"{line} --gateway a=8 --gateway b=Asia/Tokyo").stdout
    assert "24 windows of 3600 s from 2022-09-21 16:00:00 UTC, of 24 of the curve" in told
    assert "1 of them for which the curve begins again" in told
    assert "Divided by 24 (peak)" in told
    table = pd.read_csv(folder / "load.csv")
    assert (table["a"].iloc[0], table["b"].iloc[0]) == (1 / 24, 2 / 24)
    call(f"{line} --scenario tiny")
    assert len(pd.read_csv(folder / "load.csv").columns) == 1 + len(scenario.load("tiny")[0].gateways)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("load rates.csv --format servegen -o l.csv", "--start 2022-09-22"),
        ("load rates.csv --format servegen -o l.csv --start soon", "--start 'soon', must be a date"),
        ("load rates.csv --format servegen -o l.csv --start 0001-01-01", "from 1900 to 2199"),
        ("load rates.csv --format servegen -o l.csv --start 2022-09-22 --shift-to-local", "needs gateways"),
        ("load rates.csv --format servegen -o l.csv --start 2022-09-22 --gateway a", "must be NAME=CLOCK"),
        ("load rates.csv --format servegen -o l.txt --start 2022-09-22", "must be .csv or .parquet"),
        ("load rates.csv rates.csv --format csv -o l.csv", "takes one file"),
        ("network rtt.csv --format matrix --unit ms", "say --rtt or --one-way"),
        ("network rtt.csv --format matrix --unit ms --rtt --rename west", "must be THEIRS=OURS"),
        ("network rtt.csv --format matrix --unit ms --rtt --scenario llm10", "no row for gateway 'texas'"),
    ],
)
def test_what_is_not_said_or_not_there_is_one_message(folder: Path, line: str, message: str) -> None:
    before = sorted(folder.iterdir())
    assert message in " ".join(call(line, 2).stderr.split())
    assert sorted(folder.iterdir()) == before


def test_a_network_is_printed_or_written(folder: Path) -> None:
    line = "network rtt.csv --format matrix --unit ms --rtt --rename west=texas"
    assert tomllib.loads(call(line).stdout)["network"]["latency_s"]["texas"] == {"texas": 0.001, "east": 0.04}
    assert "2 gateways x 2 regions, one way 1 to 40 ms" in call(f"{line} -o net.toml").stdout
    assert tomllib.loads((folder / "net.toml").read_text())["network"]["latency_s"]["east"]["texas"] == 0.04
