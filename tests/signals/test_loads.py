"""Load traces: rows or times become one load a slot, and what does not fit is refused."""

from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest

from glbdes.errors import TraceError
from glbdes.signals.loads import read_load

START = datetime(2022, 9, 22)
HOURLY = "time_utc,load\n2022-09-22T00:00,0.5\n2022-09-22T01:00,1.0\n2022-09-22T02:00,0.25\n2022-09-22T03:00,0.75\n"
PLAIN = "load\n0.5\n1.0\n0.25\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "load.csv"
    path.write_text(text)
    return path


def test_without_times_row_i_is_slot_i(tmp_path: Path) -> None:
    assert read_load(write(tmp_path, PLAIN), START, 60.0, 2).tolist() == [0.5, 1.0]


@pytest.mark.parametrize(
    ("start_h", "slot_s", "loads"),
    [
        (0, 3600.0, [0.5, 1.0, 0.25, 0.75]),
        (2, 3600.0, [0.25, 0.75]),
        (0, 7200.0, [0.75, 0.5]),  # longer slots: the mean
        (1, 1800.0, [1.0, 1.0, 0.25, 0.25]),  # shorter slots: the same again
        (0, 5400.0, [2 / 3, 0.5]),  # neither: by the time that falls into the slot
    ],
)
def test_with_times_a_slot_gets_the_mean_over_its_time(
    tmp_path: Path, start_h: int, slot_s: float, loads: list[float]
) -> None:
    read = read_load(write(tmp_path, HOURLY), START.replace(hour=start_h), slot_s, len(loads))
    assert read.tolist() == pytest.approx(loads, rel=1e-12)


def test_rows_that_are_slots_keep_their_last_bit(tmp_path: Path) -> None:
    values = [0.1, 0.7, 1.0, 0.3]
    text = "time_utc,load\n" + "".join(f"2022-09-22T0{hour}:00,{value}\n" for hour, value in enumerate(values))
    assert read_load(write(tmp_path, text), START, 3600.0, 4).tolist() == values


def test_parquet_reads_like_csv(tmp_path: Path) -> None:
    csv = write(tmp_path, HOURLY)
    frame = pd.read_csv(csv)
    frame["time_utc"] = pd.to_datetime(frame["time_utc"], utc=True)
    frame.to_parquet(tmp_path / "load.parquet")
    parquet = read_load(tmp_path / "load.parquet", START, 3600.0, 4)
    assert parquet.tolist() == read_load(csv, START, 3600.0, 4).tolist()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PLAIN.replace("load", "loads"), "no column 'load'; did you mean 'loads'"),
        (PLAIN.replace("1.0", "-1.0"), "line 3: load = '-1.0', must be a number >= 0"),
        (PLAIN.replace("1.0", "NaN"), "line 3: load = 'nan', must be a number >= 0"),
        (PLAIN.replace("1.0", "much"), "line 3: load = 'much', must be a number >= 0"),
        (PLAIN, "3 rows of load, must have one for each of time.slots = 4"),
        ("load\n", "no rows of load"),
        ("", "cannot be read"),
        (HOURLY.replace("T01:00", "T01:10"), "line 4: time_utc = .*3000 s after .*must be 4200 s"),
        (HOURLY.replace("T02:00", "T01:00"), "line 4: time_utc = .* 0 s after the line above"),
        (HOURLY.replace("2022-09-22T02:00", "noon"), "line 4: time_utc = 'noon', must be a date and time"),
        (HOURLY.replace("2022-09-22T03:00,0.75\n", ""), "3 rows of 3600 s .* must cover the 4 slots"),
        (HOURLY.replace("2022", "2023"), "must cover the 4 slots"),
    ],
)
def test_a_bad_load_trace_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(TraceError, match=message) as caught:
        read_load(path, START, 3600.0, 4)
    assert str(path) in str(caught.value)


def test_a_file_that_is_missing_or_broken_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="no such file"):
        read_load(tmp_path / "absent.csv", START, 3600.0, 4)
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(TraceError, match=r"cut\.parquet"):
        read_load(tmp_path / "cut.parquet", START, 3600.0, 4)


OWN = "time_utc,west,load,east\n2022-09-22T00:00,1,2,3\n2022-09-22T01:00,4,5,6\n"


@pytest.mark.parametrize(
    ("gateways", "loads"),
    [
        (["east", "west"], [[3, 1], [6, 4]]),
        (["north", "east"], [[2, 3], [5, 6]]),  # `load` is for those without a column of their own
        (["north"], [2, 5]),
        ([], [2, 5]),
    ],
)
def test_gateways_may_have_columns_of_their_own(tmp_path: Path, gateways: list[str], loads: list[list[float]]) -> None:
    assert read_load(write(tmp_path, OWN), START, 3600.0, 2, gateways).tolist() == loads
    rows = OWN.replace("2022-09-22T00:00,", "").replace("2022-09-22T01:00,", "").replace("time_utc,", "")
    assert read_load(write(tmp_path, rows), START, 60.0, 2, gateways).tolist() == loads


def test_a_gateway_without_a_load_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, OWN.replace("load", "lord"))
    with pytest.raises(TraceError, match=r"no column 'load'; of the gateways north, south have none of their own"):
        read_load(path, START, 3600.0, 2, ["north", "west", "south"])
    with pytest.raises(TraceError, match=r"line 3: east = '-6', must be a number >= 0"):
        read_load(write(tmp_path, OWN.replace(",6", ",-6")), START, 3600.0, 2, ["east", "west"])
