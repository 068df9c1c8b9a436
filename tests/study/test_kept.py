"""Comparisons and pages of runs that keep none of their requests, or a sample."""

from pathlib import Path

import pytest

import glbdes
from glbdes.study import comparison, paired, report
from tests.runs import little


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> comparison.Comparison:
    folder = tmp_path_factory.mktemp("whole")
    return comparison.compare(little(folder / "little"), ["nearest", "cost"], out=folder / "whole", seeds=2)


@pytest.mark.parametrize("kept", ["none", pytest.param("sample:0.1", marks=pytest.mark.slow)])
def test_compare_and_report_do_without_requests(tmp_path: Path, whole: comparison.Comparison, kept: str) -> None:
    scenario, setting = little(tmp_path / "little"), f'records.requests="{kept}"'
    made = comparison.compare(scenario, ["nearest", "cost"], out=tmp_path / "out", overrides=[setting], seeds=2)
    same = ["policy", "seed", "objective_usd", "cost_usd", "requests", "served", "carbon_par"]
    assert made.runs[same].equals(whole.runs[same])
    report.report(tmp_path / "out", tmp_path / "page.html", formats=[])
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "nearest" in page
    assert "NaN" not in page.split("<script")[0]


def test_common_requests_are_checked_by_their_arrivals_if_none_are_kept(tmp_path: Path) -> None:
    scenario = little(tmp_path / "little")

    def digest(seed: int, policy: str) -> str:
        run = glbdes.simulate(scenario, seed=seed, policy=policy, overrides=['records.requests="none"'])
        return paired.digest(run.records)

    assert digest(1, "cost") == digest(1, "nearest")
    assert digest(1, "cost") != digest(2, "cost")
