"""`glbdes optimum`: the same figures as a run of the optimal plan, a proof with them, and the authors' number."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from glbdes.cli.main import main
from glbdes.study import run

PAPER = Path(__file__).resolve().parents[2] / "../shared/data/paper"


def optimum(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["optimum", *map(str, arguments)])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


@pytest.mark.parametrize("scenario", ["paper", "paper_partial", "llm10"])
def test_figures_are_those_of_a_fluid_run_of_the_plan(scenario, tmp_path):
    """llm10 has idle and host power, so the host's part is held to the meter too."""
    found = json.loads(optimum(scenario, "--json", "--set", "time.slots=100", "--set", "engine='fluid'"))
    plan = run.simulate(
        scenario, policy="offline", engine="fluid", overrides=["time.slots=100"], out=tmp_path / "run"
    ).summary
    assert found["objective_usd"] == pytest.approx(plan["objective_usd"], rel=1e-9)
    assert found["par"] == pytest.approx(plan["par"], rel=1e-9)
    assert found["totals"] == pytest.approx({key: plan["totals"][key] for key in found["totals"]}, rel=1e-9)
    assert list(found["regions"]) == list(plan["regions"])
    for name, region in found["regions"].items():
        told = plan["regions"][name]
        assert set(region) == set(told)
        for key in ("cost_usd", "carbon_kg", "water_l", "it_kwh", "facility_kwh"):
            assert region[key] == pytest.approx(told[key], rel=1e-7)
        assert region["requests"] == pytest.approx(told["requests"], rel=1e-2)  # a run rounds in each slot
        assert region["load"] == pytest.approx(told["load"], rel=1e-2)


def test_certificate_and_prices_of_equity():
    found = json.loads(optimum("paper_partial", "--json", "--set", "time.slots=100"))
    assert found["certificate"]["gap"] < 1e-9
    assert found["certificate"]["dual_usd"] == pytest.approx(found["objective_usd"], rel=1e-9)
    for kind, mu in (("carbon_usd_per_kg", 1.5), ("water_usd_per_l", 0.06)):
        assert sum(found["duals"][kind].values()) == pytest.approx(mu)
        assert min(found["duals"][kind].values()) >= 0


def test_the_authors_figure():
    if not PAPER.exists():
        pytest.skip("needs the authors' signals in ../shared/data/paper")
    found = json.loads(optimum("paper", "--signals", PAPER, "--json"))
    assert found["objective_usd"] == pytest.approx(623661.35, rel=1e-6)
    assert found["par"] == pytest.approx({"carbon": 1.130, "water": 1.269}, abs=5e-4)


def test_table_tells_the_proof():
    told = optimum("paper", "--set", "time.slots=24")
    for words in ("offline optimum", "Totals", "PAR", "Regions", "Dual prices", "No plan costs less", "Solved in"):
        assert words in told
    assert max(map(len, told.splitlines())) <= 100


def test_what_cannot_be_solved_is_refused():
    assert "did you mean 'paper'" in optimum("papr", code=2)
    assert "workload.load_scale" in optimum("paper", "--set", "workload.load_scale=3", code=2)
    told = optimum("paper", "--set", "workload.load_scale=3", "--set", "dispatch.overload='allow'", code=2)
    assert "exceeds what the regions" in told
