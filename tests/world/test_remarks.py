"""What is said of values that nobody gave, and of what lies beyond measurement."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from glbdes.cli.main import main
from glbdes.scenario import load
from glbdes.workload import mix_of
from glbdes.world.remarks import remarks
from tests.runs import little
from tests.world.built import made


def test_llm10_says_what_its_signals_leave_out_and_how_much_is_extrapolated() -> None:
    pue, ewif, steps, prompts = remarks(load("llm10", ["time.slots=2"])[0], made("llm10", "time.slots=2"))
    assert pue.startswith("PUE = 1 in all regions")
    assert ewif.startswith("EWIF = 0 in all regions")
    assert steps.startswith("Steps of h100_llama8b are derived from decode iterations and single prompts")
    prompt, _ = mix_of(load("llm10")[0].workload)
    share = prompt[prompt > 3072].sum() / prompt.sum()  # 3072 tokens: the longest that the profile was measured with
    assert prompts.startswith(f"{100 * share:.0f} % of the expected prompt tokens")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("regions.texas.pue=1.2", "EWIF = 0"),
        ("fleet.host_w=0.0", "host_w = 0 W in all regions"),
        ("regions.japan.host_w=0.0", "host_w = 0 W in japan"),
        ("workload.lengths={law='fixed',prompt_tokens=100,output_tokens=9}", "PUE = 1"),
    ],
)
def test_each_is_said_of_those_whom_it_concerns(setting: str, said: str) -> None:
    found = remarks(load("llm10", ["time.slots=2", setting])[0], made("llm10", "time.slots=2", setting))
    assert any(line.startswith(said) for line in found)
    assert ("pue" in setting) != any(line.startswith("PUE") for line in found)
    assert ("lengths" in setting) != any("prompt tokens" in line for line in found)


def test_check_summary_and_page_say_it(tmp_path: Path) -> None:
    """Of a scenario without a place for a region, or a clock for gateways whose days matter."""
    scenario, run, call = little(tmp_path / "little"), tmp_path / "run", CliRunner().invoke
    diurnal = ["--set", "workload.shape=diurnal"]
    place, clock = "No latitude_deg and longitude_deg for here", "No time_zone or utc_offset_h for all gateways"
    told = call(main, ["check", str(scenario), *diurnal, "--json"], catch_exceptions=False)
    assert sum(line.startswith((place, clock)) for line in json.loads(told.stdout)["notes"]) == 2
    shown = " ".join(
        call(main, ["simulate", str(scenario), *diurnal, "-o", str(run)], catch_exceptions=False).stdout.split()
    )
    assert place in shown
    assert "facility energy" in shown  # its PUE is not 1
    page = tmp_path / "page.html"
    call(main, ["report", str(run), "-o", str(page), "--formats", ""], catch_exceptions=False)
    assert clock in page.read_text()
