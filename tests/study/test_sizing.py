"""Searches for the smallest fleet and the largest load: where they end, what they are sure of, what they leave."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

import glbdes
from glbdes import scenario
from glbdes.base import seals
from glbdes.cli.main import main
from glbdes.errors import RecordsError, ScenarioError
from glbdes.study import ladder, limits, sizing
from glbdes.study.ladder import Confirmed
from glbdes.study.limits import Limit, judge
from glbdes.study.search import Search, Step
from tests.runs import little

P99 = Limit("ttft_p99_s", True, 0.5)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = little(tmp_path_factory.mktemp("sizing") / "in")
    path.write_text(path.read_text().replace("slots = 3", "slots = 2").replace("20.0", "8.0"))
    return path


@pytest.fixture(scope="module")
def sized(file: Path, tmp_path_factory: pytest.TempPathFactory) -> sizing.Answer:
    out = tmp_path_factory.mktemp("sizing") / "out"
    return sizing.size(file, ["regions.*.replicas"], ["ttft_p99_s <= 0.15", "rejected <= 0"], seeds=2, out=out)


@pytest.mark.parametrize("edge", [1, 2, 7, 8, 19, 20, 21, 33, 60])
@pytest.mark.parametrize("start", [1, 20, 45])
@pytest.mark.parametrize("bias", [0.7, 1.0, 1.3])
def test_the_lowest_rung_is_found_wherever_it_is_and_however_wrong_quick_looks_are(
    edge: int, start: int, bias: float
) -> None:
    asked: list[int] = []

    def confirm(rung: int) -> Confirmed:
        asked.append(rung)
        over = float(np.exp(0.03 * (edge - rung)))
        return Confirmed("met" if rung >= edge else "open" if rung == edge - 1 else "missed", over)

    def probe(rungs: list[int]) -> list[float]:
        return [bias * float(np.exp(0.03 * (edge - rung))) for rung in rungs]

    assert ladder.lowest(probe, confirm, start, 1, 60, 4) == edge
    assert edge in asked
    assert edge == 1 or edge - 1 in asked
    assert len(set(asked)) == len(asked) <= 16


def test_no_rung_will_do() -> None:
    assert ladder.lowest(lambda rungs: [2.0] * len(rungs), lambda _: Confirmed("missed", 2.0), 3, 1, 9, 2) is None


def test_load_that_does_not_fit_is_beyond_every_limit() -> None:
    inf = float("inf")
    found = ladder.lowest(
        lambda rungs: [inf if rung < 12 else 0.5 for rung in rungs],
        lambda rung: Confirmed("missed", inf) if rung < 12 else Confirmed("met", 0.5),
        2,
        1,
        50,
        1,
    )
    assert found == 12


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([0.4, 0.41, 0.39], "met"),
        ([0.49, 0.5, 0.47], "open"),  # all keep it, the interval of their mean does not
        ([0.6, 0.61, 0.59], "missed"),
        ([0.4], "met"),
        ([0.6], "missed"),
        ([0.4, None, 0.4], "missed"),
        ([0.5, 0.5], "met"),
    ],
)
def test_draws_judge_a_limit_by_the_interval_of_their_mean(values: list[float | None], verdict: str) -> None:
    assert judge(P99, values).verdict == verdict


def test_the_interval_is_student_s_and_goes_either_way() -> None:
    found = judge(Limit("slo_share", False, 0.9), [0.95, 0.97, 0.96])
    assert found.half == pytest.approx(4.302653 * 0.01 / np.sqrt(3), rel=1e-6)
    assert found.over == pytest.approx(0.9 / (0.96 - found.half))
    assert limits.worst([found, judge(P99, [0.6])]) == "missed"


def test_replicas_are_dealt_in_proportion_one_by_one() -> None:
    order = sizing._order({"a": 4, "b": 2, "c": 1}, 14)
    for k in range(len(order) + 1):
        have = {name: 1 + order[:k].count(name) for name in "abc"}
        if k + 3 >= 7:
            assert all(abs(have[name] - (k + 3) * w / 7) < 1.01 for name, w in (("a", 4), ("b", 2), ("c", 1)))
    assert {name: 1 + order.count(name) for name in "abc"} == {"a": 8, "b": 4, "c": 2}


def test_the_fleet_keeps_every_limit_and_no_region_can_give_a_replica(sized: sizing.Answer, file: Path) -> None:
    assert isinstance(sized.value, dict)
    assert sized.step is not None
    assert (sized.step.verdict, sized.step.seeds) == ("met", 2)
    able = [name for name, replicas in sized.value.items() if replicas > 1]
    assert [step.what for step in sized.fewer] == [f"one fewer: {name}" for name in able]
    assert all(step.verdict != "met" for step in sized.fewer)
    assert all(sum(step.value.values()) == sum(sized.value.values()) - 1 for step in sized.fewer)


def test_the_scenario_that_it_leaves_is_the_run_that_was_measured(sized: sizing.Answer, file: Path) -> None:
    left = sized.path / "size.toml"
    assert {name: one.replicas for name, one in scenario.load(left)[0].regions.items()} == sized.value
    p99 = [glbdes.simulate(left, seed=seed).summary["latency_s"]["ttft"]["p99"] for seed in (7, 8)]
    assert sized.step is not None
    assert sized.step.judged[0].mean == np.mean(p99)
    rates = [one.rate_per_s for one in scenario.load(left)[0].gateways.values()]
    before = sizing._steady(sizing._plan(file, None, (), ()), None).scenario
    assert rates == [one.rate_per_s for one in before.gateways.values()]  # whatever the fleet


def test_what_it_says_of_itself_is_sealed_and_its_steps_are_a_table(sized: sizing.Answer) -> None:
    info = seals.opened(sized.path / "size.json", sizing.FORMAT)
    assert info["value"] == sized.value
    assert info["until"] == ["ttft_p99_s <= 0.15", "rejected <= 0"]
    with (sized.path / "steps.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == len(sized.steps)
    assert int(rows[0]["replicas"]) == int(rows[0]["here"]) + int(rows[0]["there"])


def test_asked_again_it_simulates_nothing_and_says_the_same(sized: sizing.Answer, file: Path) -> None:
    again = sizing.size(file, ["regions.*.replicas"], ["ttft_p99_s <= 0.15", "rejected <= 0"], seeds=2, out=sized.path)
    assert (again.value, str(again.steps), again.simulated) == (sized.value, str(sized.steps), 0)  # NaN is not NaN
    lost = sorted((sized.path / "points").iterdir())[0]
    lost.unlink()
    third = sizing.size(file, ["regions.*.replicas"], ["ttft_p99_s <= 0.15", "rejected <= 0"], seeds=2, out=sized.path)
    assert (third.value, third.simulated) == (sized.value, 1)
    lost.write_text(lost.read_text().replace("wall_s", "wall_x"))
    with pytest.raises(RecordsError, match="delete it to simulate it again"):
        sizing.size(file, ["regions.*.replicas"], ["ttft_p99_s <= 0.15"], seeds=2, out=sized.path)
    lost.unlink()


def test_the_largest_load_keeps_the_limits_and_a_little_more_does_not(file: Path, tmp_path: Path) -> None:
    found = sizing.saturate(file, ["ttft_p99_s <= 0.2"], within=0.1, seeds=2, out=tmp_path / "out")
    assert isinstance(found.value, float)
    assert found.step is not None
    assert found.step.verdict == "met"
    (more,) = found.fewer
    assert more.value == pytest.approx(1.1 * found.value, rel=1e-4)
    assert more.verdict != "met"
    assert scenario.load(found.path / "saturate.toml")[0].workload.load_scale == found.value


def test_a_region_gives_a_replica_only_if_all_draws_allow_it() -> None:
    """One draw that keeps the limit is no reason: the region that looks best then is asked again with all."""

    class Few(Search):
        def ask(self, what, values, seeds, quick=False):  # type: ignore[no-untyped-def]
            found = []
            for title, fleet in zip(what, values, strict=True):
                value = 0.4 if seeds == 1 else 0.7 if fleet["a"] < 3 or fleet["b"] < 2 else 0.4
                one = judge(P99, [value] * seeds)
                found.append(Step(title, fleet, seeds, (one,), one.verdict, None))
            self.steps += found
            return found

    search = Few(SimpleNamespace(), (P99,), 4, None, print)  # type: ignore[arg-type]
    fleet, fewer = sizing._trimmed(search, {"a": 4, "b": 3, "c": 1})
    assert fleet == {"a": 3, "b": 2, "c": 1}
    assert [step.verdict for step in fewer] == ["missed", "missed"]


@pytest.mark.parametrize(("values", "said"), [([0.9, 0.7, 0.5], 0), ([0.9, 0.92, 0.5], 0), ([0.5, 0.7, 0.4], 1)])
def test_it_says_so_if_less_load_does_worse(values: list[float], said: int) -> None:
    search = Search(SimpleNamespace(), (P99,), 1, None, print)  # type: ignore[arg-type]
    for scale, value in zip((1.0, 0.5, 0.25), values, strict=True):
        search.steps.append(Step("first draw", scale, 1, (judge(P99, [value]),), "missed", None))
    assert len(list(sizing._warnings(search, "saturate"))) == said


@pytest.mark.parametrize(
    ("vary", "until", "said"),
    [
        ("regions.*.replica", "ttft_p99_s <= 1", "must be regions.*.replicas or regions.NAME.replicas"),
        ("regions.hers.replicas", "ttft_p99_s <= 1", "no such region; did you mean 'here'?"),
        ("regions.*.replicas", "ttft_p9_s <= 1", "no such figure 'ttft_p9_s'; did you mean 'ttft_p99_s'?"),
        ("regions.*.replicas", "ttft_p99_s < 1", "must be FIGURE <= NUMBER or FIGURE >= NUMBER"),
        ("regions.*.replicas", "ttft_p99_s <= nan", "must be FIGURE <= NUMBER or FIGURE >= NUMBER"),
        ("regions.*.replicas", "over_bound <= 0.1", "no such figure 'over_bound'"),
        ("regions.*.replicas", "slo.chatt.all >= 0.9", "no such figure 'slo.chatt.all'; did you mean 'slo.chat.all'?"),
    ],
)
def test_what_cannot_be_asked_is_refused_and_nothing_is_made(
    file: Path, tmp_path: Path, vary: str, until: str, said: str
) -> None:
    arguments = ["size", str(file), "--vary", vary, "--until", until, "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_flow_has_nothing_to_size(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="a flow has no latency"):
        sizing.size("paper", ["regions.*.replicas"], ["ttft_p99_s <= 1"], out=tmp_path / "out")


def test_the_command_prints_steps_and_answer_and_an_impossible_limit_ends_with_2(file: Path, tmp_path: Path) -> None:
    asked = ["--seeds", "1", "--workers", "1", "--quiet", "-o", str(tmp_path / "out")]
    wanted = ["size", str(file), "--vary", "regions.there.replicas", "--until", "regions.there.utilisation <= 0.9"]
    result = CliRunner().invoke(main, [*wanted, *asked[:-3], "-o", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "Smallest fleet: " in result.stdout
    assert "one draw, no interval" in result.stdout
    again = CliRunner().invoke(main, [*wanted, *asked, "--json"])
    assert json.loads(again.stdout)["simulated"] == 0
    none = CliRunner().invoke(main, ["saturate", str(file), "--until", "ttft_p50_s <= 1e-6", "--within", "0.5", *asked])
    assert none.exit_code == 2
    assert "no load of 1/256 to 16 times the scale keeps every limit" in none.stderr
