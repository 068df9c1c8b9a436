"""Searches for the smallest fleet and the largest load: where they end, what they are sure of, what they leave."""

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import glbdes
from glbdes import scenario
from glbdes.base import seals
from glbdes.cli.main import main
from glbdes.errors import RecordsError, ScenarioError
from glbdes.study import fleets, ladder, limits, sizing, trials
from glbdes.study.ladder import Confirmed
from glbdes.study.limits import Limit, judge
from glbdes.study.search import Search, Step
from glbdes.world import build
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
@pytest.mark.parametrize("shift", [-2, 0])  # a first draw that misses is believed
def test_the_lowest_rung_is_found_wherever_it_is_and_however_wrong_quick_looks_and_first_draws_are(
    edge: int, start: int, bias: float, shift: int
) -> None:
    asked: list[int] = []

    looked: list[int] = []

    def confirm(rung: int) -> Confirmed:
        asked.append(rung)
        over = float(np.exp(0.03 * (edge - rung)))
        return Confirmed("met" if rung >= edge else "open" if rung == edge - 1 else "missed", over)

    def quick(rungs: list[int]) -> list[float]:
        return [bias * float(np.exp(0.03 * (edge - rung))) for rung in rungs]

    def first(rungs: list[int]) -> list[float]:
        looked.extend(rungs)
        return [float(np.exp(0.03 * (edge + shift - rung))) for rung in rungs]

    assert ladder.lowest(quick, first, confirm, start, 1, 60, 4) == edge
    assert edge in asked
    assert edge == 1 or edge - 1 in {*asked, *looked}
    assert len(set(asked)) == len(asked) <= 5
    assert len(set(looked)) == len(looked) <= 10


def test_no_rung_will_do() -> None:
    assert (
        ladder.lowest(*[lambda rungs: [2.0] * len(rungs)] * 2, lambda _: Confirmed("missed", 2.0), 3, 1, 9, 2) is None
    )


def test_load_that_does_not_fit_is_beyond_every_limit() -> None:
    inf = float("inf")
    found = ladder.lowest(
        *[lambda rungs: [inf if rung < 12 else 0.5 for rung in rungs]] * 2,
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
    order = fleets.order_of({"a": 4, "b": 2, "c": 1}, 14)
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


def test_any_number_of_workers_finds_the_same_in_the_same_steps(
    sized: sizing.Answer, file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    found = sizing.size(
        file, ["regions.*.replicas"], ["ttft_p99_s <= 0.15", "rejected <= 0"], seeds=2, out=out, workers=2
    )
    assert (found.value, str(found.steps), found.simulated) == (sized.value, str(sized.steps), sized.simulated)
    assert (out / "steps.csv").read_bytes() == (sized.path / "steps.csv").read_bytes()


def test_draws_are_shared_by_fleets_alone(file: Path) -> None:
    """Requests are drawn anew where anything but replicas differs, and are those that a run of its own would draw."""
    plan = sizing._steady(sizing._plan(file, None, (), ()), None)
    search = Search(plan, (P99,), 2, None, print)  # type: ignore[arg-type]
    plans = [search.scenario({"here": n}, seed) for n in (1, 2) for seed in (7, 8)] + [search.scenario(0.5, 7)]
    worlds = [build.build(one.scenario, one.folder) for one in plans]
    try:
        found = [trials._drawn(one.scenario, world) for one, world in zip(plans, worlds, strict=True)]
        drawn = [[world.requests(slot) for slot in range(world.slots)] for world in found]
        kept = trials._KEPT.bytes
        for ours, world in zip(drawn, worlds, strict=True):
            for slot, one in enumerate(ours):
                assert np.array_equal(one.arrival_ns, world.requests(slot).arrival_ns)
                assert np.array_equal(one.output_tokens, world.requests(slot).output_tokens)
        for world in found[:2]:
            _ = [world.requests(slot) for slot in range(world.slots)]
        assert trials._KEPT.bytes == kept
        assert len(trials._KEPT._slots) == 3 * worlds[0].slots  # two seeds, and another load
    finally:
        trials._KEPT.clear()


def test_the_largest_load_keeps_the_limits_and_a_little_more_does_not(file: Path, tmp_path: Path) -> None:
    found = sizing.saturate(file, ["ttft_p99_s <= 0.2"], within=0.1, seeds=2, out=tmp_path / "out")
    assert isinstance(found.value, float)
    assert found.step is not None
    assert found.step.verdict == "met"
    (more,) = found.fewer
    assert more.value == pytest.approx(1.1 * found.value, rel=1e-4)
    assert more.verdict != "met"
    assert scenario.load(found.path / "saturate.toml")[0].workload.load_scale == found.value


Figure = Callable[[Mapping[str, int], int], float]


class Drawn(Search):
    """A search among fleets whose figure is a function of fleet and draw; the fewer replicas, the busier a region."""

    def __init__(self, figure: Figure, seeds: int) -> None:
        self.asked: list[tuple[tuple[int, ...], int]] = []

        def measure(plans: list[tuple[Mapping[str, int], int]]) -> list[dict[str, Any]]:
            self.asked += [(tuple(fleet.values()), draw) for fleet, draw in plans]
            return [{"figures": figures(fleet, draw), "error": None} for fleet, draw in plans]

        def figures(fleet: Mapping[str, int], draw: int) -> dict[str, float]:
            return {"ttft_p99_s": figure(fleet, draw)} | {
                f"regions.{g}.utilisation": 1 / (n + 1) for g, n in fleet.items()
            }

        world = SimpleNamespace(scenario=SimpleNamespace(seed=0))
        super().__init__(world, (P99,), seeds, SimpleNamespace(measure=measure), lambda text: None)  # type: ignore[arg-type]

    def scenario(self, value: Any, seed: int, quick: bool = False) -> Any:
        return value, seed

    def trimmed(self, fleet: Mapping[str, int]) -> tuple[Mapping[str, int], tuple[Step, ...]]:
        self.ask(["confirm"], [fleet], self.seeds)
        return fleets.trimmed(self, fleet)

    @property
    def runs(self) -> int:
        return len(set(self.asked))


def test_a_region_gives_a_replica_only_if_all_draws_allow_it() -> None:
    """One draw that keeps the limit is no reason: the region that looks best then is asked again with all."""

    def figure(fleet: Mapping[str, int], draw: int) -> float:
        return 0.4 if draw == 0 else 0.7 + 0.01 * draw if fleet["a"] < 3 or fleet["b"] < 2 else 0.4

    fleet, fewer = Drawn(figure, 4).trimmed({"a": 4, "b": 3, "c": 1})
    assert fleet == {"a": 3, "b": 2, "c": 1}
    assert [step.verdict for step in fewer] == ["open", "open"]  # for the first draw says otherwise
    assert [step.seeds for step in fewer] == [4, 4]


def test_the_regions_that_do_least_are_asked_for_a_replica_first_and_none_is_left_out_in_the_end() -> None:
    worth = {"a": 0.1, "b": 0.1, "c": 0.1, "d": 0.01, "e": 0.02}

    def figure(fleet: Mapping[str, int], draw: int) -> float:
        return 0.45 + sum(w * (4 - fleet[g]) * (5 - fleet[g]) for g, w in worth.items()) + 0.001 * ((draw * 7) % 3)

    search = Drawn(figure, 3)
    fleet, fewer = search.trimmed({"a": 4, "b": 4, "c": 4, "d": 5, "e": 5})
    assert fleet == {"a": 4, "b": 4, "c": 4, "d": 3, "e": 4}
    assert [step.verdict for step in fewer] == ["missed"] * 5
    # The fleet; first draws of two and the rest of the better one, twice; all first draws, where the two that do least
    # can give none, and the rest of one; the proof, as long as it takes.
    assert search.runs == 3 + 2 * (2 + 2) + (5 + 2) + sum(step.seeds for step in fewer)


def test_a_spread_is_that_of_figures_about_their_means_whatever_draws_have_in_common() -> None:
    """Unbiased, and its degrees of freedom are between those of one fleet and those of all together."""
    rng = np.random.default_rng(2)
    for common, least, most in ((0.0, 9.0, 12.0), (3.0, 1.9, 3.5)):
        drawn = rng.normal(0, common, (4000, 1, 3)) + rng.normal(0, 1, (4000, 6, 3)) + np.arange(6)[:, None]
        found = [limits.spread(one) for one in drawn]
        assert np.mean([one.sd**2 for one in found if one]) == pytest.approx(1 + common**2, rel=0.05)
        assert least < np.mean([one.dof for one in found if one]) < most
    alone = limits.spread([[0.4, 0.5, 0.6]])
    assert alone == (pytest.approx(0.1), pytest.approx(2.0))
    assert limits.spread([]) is limits.spread([[0.5]]) is limits.spread([[0.5, 0.5], [0.3, 0.3]]) is None


def drawn_fleets(rng: np.random.Generator, common: float, louder: float) -> Figure:
    """Fleets whose mean falls with replicas, by region; draws shift all by sd `common`, and each by sd 0.009, those
    beyond the limit by `louder` times that."""
    worth = {name: rng.uniform(0.01, 0.05) for name in "abcdefgh"}
    shifts = rng.normal(0, common, 8)
    rest: dict[tuple[tuple[int, ...], int], float] = {}

    def mean(fleet: Mapping[str, int]) -> float:
        return 0.42 + sum(worth[name] * (3 - n) for name, n in fleet.items())

    def figure(fleet: Mapping[str, int], draw: int) -> float:
        if draw < 0:
            return mean(fleet)
        sd = 0.009 * (louder if mean(fleet) > 0.49 else 1.0)
        return float(mean(fleet) + shifts[draw] + rest.setdefault((tuple(fleet.values()), draw), rng.normal(0, sd)))

    return figure


@pytest.mark.parametrize(("common", "louder"), [(0.0, 1.0), (0.003, 1.0), (0.009, 1.0), (0.003, 1.5)])
@pytest.mark.parametrize("seeds", [3, pytest.param(5, marks=pytest.mark.slow)])
def test_of_fleets_that_are_said_to_miss_or_to_keep_a_limit_one_in_twenty_at_most_does_not(
    common: float, louder: float, seeds: int
) -> None:
    rng = np.random.default_rng(11)
    wrong, said, runs, all_runs = {"met": 0, "missed": 0}, {"met": 0, "missed": 0}, 0, 0
    for _ in range(400):
        figure = drawn_fleets(rng, common, louder)
        search = Drawn(figure, seeds)
        _, fewer = search.trimmed(dict.fromkeys("abcdefgh", 3))
        met = [step for step in search.steps if step.seeds == seeds and step.verdict == "met"]
        for step in (*fewer, *met):
            if step.verdict != "open":
                said[step.verdict] += 1
                wrong[step.verdict] += P99.kept(figure(step.value, -1)) != (step.verdict == "met")  # type: ignore[arg-type]
        runs, all_runs = runs + sum(step.seeds for step in fewer), all_runs + seeds * len(fewer)
    for verdict, count in wrong.items():
        assert count <= 0.05 * said[verdict]
    assert runs < 0.95 * all_runs


@pytest.mark.parametrize(("common", "louder"), [(0.003, 1.0), (0.009, 1.0), (0.018, 1.0), (0.003, 1.5)])
def test_a_fleet_just_at_the_limit_is_seldom_called_missed_however_often_it_is_looked_at(
    common: float, louder: float
) -> None:
    """The promise itself, where it is the hardest to keep: a mean that is the limit, an interval after each draw."""
    rng, called, times = np.random.default_rng(12), 0, 1500
    racers = {"a": 0.5} | dict.fromkeys("bcdefgh", 0.52)
    for _ in range(times):
        rest = {(name, draw): rng.normal(0, 0.009 * louder) for name in racers for draw in range(3)}
        shifts, quiet = rng.normal(0, common, 3), rng.normal(0.46, 0.009, (5, 3))

        def figure(fleet: Mapping[str, int], draw: int, r: Any = rest, s: Any = shifts, q: Any = quiet) -> float:
            (name, n) = next(iter(fleet.items()))
            return float(s[draw] + (racers[name] + r[name, draw] if name in racers else q[n, draw]))

        search = Drawn(figure, 3)
        search.ask(["confirm"] * 5, [{"quiet": n} for n in range(5)], 3)
        called += search.race([*racers], [{name: 1} for name in racers])[0].verdict == "missed"
    assert called / times <= 0.05


@pytest.mark.parametrize(("values", "said"), [([0.9, 0.7, 0.5], 0), ([0.9, 0.92, 0.5], 0), ([0.5, 0.7, 0.4], 1)])
def test_it_says_so_if_less_load_does_worse(values: list[float], said: int) -> None:
    search = Search(SimpleNamespace(), (P99,), 1, None, print)  # type: ignore[arg-type]
    for scale, value in zip((1.0, 0.5, 0.25), values, strict=True):
        search.steps.append(Step("first draw", scale, 1, (judge(P99, [value]),), "missed", None))
    assert len(list(sizing._warnings(search, "saturate"))) == said


@pytest.mark.parametrize(
    ("vary", "until", "said"),
    [
        ("regions.*.replica", "ttft_p99_s <= 1", "must be regions.*.replicas, regions.NAME.replicas or"),
        ("regions.here.pools.0.replicas", "ttft_p99_s <= 1", "no such pool; regions.here has 0, counted from 0"),
        ("regions.here.pools.replicas", "ttft_p99_s <= 1", "must be regions.*.replicas, regions.NAME.replicas or"),
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
