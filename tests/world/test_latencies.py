"""Measured latencies become a table that a scenario takes, or are refused by their cell."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glbdes.errors import TraceError
from glbdes.scenario import model
from glbdes.world import latencies, network

MATRIX = "rtt,us-east-1,eu-central-1,x y\nus-east-1,1.2,93.5,200\neu-central-1,93.7,1,7\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "rtt.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("unit", "rtt", "factor"), [("ms", True, 5e-4), ("ms", False, 1e-3), ("s", True, 0.5), ("us", False, 1e-6)]
)
def test_cells_become_seconds_one_way(tmp_path: Path, unit: str, rtt: bool, factor: float) -> None:
    found = latencies.read_matrix(write(tmp_path, MATRIX), unit, rtt=rtt)
    assert (found.gateways, found.regions) == (("us-east-1", "eu-central-1"), ("us-east-1", "eu-central-1", "x y"))
    np.testing.assert_allclose(found.one_way_s, np.array([[1.2, 93.5, 200], [93.7, 1, 7]]) * factor, rtol=1e-15)


def test_the_table_is_what_a_scenario_takes(tmp_path: Path) -> None:
    path = write(tmp_path, MATRIX.replace("x y", 'x "y\\'))
    found = latencies.read_matrix(path, "ms", rtt=True, renamed={"us-east-1": "virginia"})
    read = tomllib.loads(latencies.to_toml(found, path, "a test"))["network"]
    assert read["latency_s"]["virginia"] == {"virginia": 0.0006, "eu-central-1": 0.04675, 'x "y\\': 0.1}
    gateways = {name: model.Gateway(rate_per_s=1.0) for name in found.gateways}
    regions = {name: model.Region() for name in found.regions}
    taken = network.latency_s(model.Network.model_validate(read), gateways, regions)
    np.testing.assert_array_equal(taken, found.one_way_s)


def test_a_scenario_gets_its_own_gateways_and_regions(tmp_path: Path) -> None:
    path = write(tmp_path, MATRIX)
    found = latencies.read_matrix(path, "s", rtt=False)
    own = latencies.restricted(found, ["eu-central-1"], ["x y", "us-east-1"], path)
    assert own.one_way_s.tolist() == [[7.0, 93.7]]
    with pytest.raises(TraceError, match=r"no row for gateway 'eu-central'; did you mean 'eu-central-1'.*--rename"):
        latencies.restricted(found, ["eu-central"], ["x y"], path)
    with pytest.raises(TraceError, match=r"no column for region 'japan' \(and 1 more\)"):
        latencies.restricted(found, ["us-east-1"], ["japan", "texas"], path)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, len(MATRIX)), st.integers(0, 4), st.text(max_size=5))
def test_damage_is_told_as_a_trace_error_or_gives_a_table(
    tmp_path_factory: pytest.TempPathFactory, place: int, lost: int, noise: str
) -> None:
    path = tmp_path_factory.mktemp("damage") / "rtt.csv"
    path.write_bytes((MATRIX[:place] + noise + MATRIX[place + lost :]).encode())
    try:
        found = latencies.read_matrix(path, "ms", rtt=True)
    except TraceError:
        return
    table = tomllib.loads(latencies.to_toml(found, path, "a test"))["network"]["latency_s"]
    assert (tuple(table), tuple(table[found.gateways[0]])) == (found.gateways, found.regions)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MATRIX.replace("93.7", "-1"), r"line 3: from eu-central-1 to us-east-1: '-1' s, must be a number >= 0"),
        (MATRIX.replace("93.7", ""), r"line 3: from eu-central-1 to us-east-1: '' s"),
        (MATRIX.replace("200", "93.5 ms"), r"line 2: from us-east-1 to x y: '93.5 ms' s"),
        (MATRIX.replace("200", "4e3"), r"at most 3600 s one way"),
        (MATRIX.replace("x y", "us-east-1"), r"line 1, column 4: region 'us-east-1' is there twice"),
        (MATRIX.replace("\neu-central-1", "\nus-east-1"), r"line 3: gateway 'us-east-1' is there twice"),
        (MATRIX.replace("\neu-central-1", "\n"), r"line 3: no name of a gateway"),
        (MATRIX + "more,1,2,3,4\n", r"cannot be read as a CSV table"),
        ("rtt\n", r"must have a header with regions' names"),
        ("", r"cannot be read as a CSV table"),
    ],
)
def test_a_bad_matrix_is_refused_by_its_cell(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TraceError, match=message) as caught:
        latencies.read_matrix(write(tmp_path, text), "s", rtt=False)
    assert "rtt.csv" in str(caught.value)
