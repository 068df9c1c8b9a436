# ruff: noqa: E501 (a table of messages is read across)
"""A scenario file becomes frozen models, or one report with every problem in it."""

import json
import random
import tomllib
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from glbdes import resources
from glbdes.errors import ScenarioError
from glbdes.scenario import Scenario, demand
from glbdes.scenario import model as scenario
from glbdes.scenario import overrides as settings
from glbdes.scenario.footprints import Footprint

GOOD = """
name = "small"
[time]
slots = 2
[fleet]
profile = "h100_llama8b"
[regions.texas]
pue = 1.2
[regions.japan]
[gateways.texas]
load = 0.5
[gateways.osaka]
home = "japan"
load = 0.5
"""


def write(folder: Path, text: str, name: str = "small.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def problems(folder: Path, text: str, *overrides: str) -> tuple[str, ...]:
    with pytest.raises(ScenarioError) as caught:
        scenario.load(write(folder, text), overrides)
    return caught.value.problems


def changed(*overrides: str) -> Scenario:
    """GOOD with settings laid over it."""
    document = tomllib.loads(GOOD)
    settings.apply(document, overrides)
    return scenario.validate(document)


# Loading


def test_file_keeps_the_order_of_its_tables(tmp_path: Path) -> None:
    loaded, path = scenario.load(write(tmp_path, GOOD))
    assert list(loaded.regions) == ["texas", "japan"]
    assert list(loaded.gateways) == ["texas", "osaka"]
    assert path == tmp_path / "small.toml"


@pytest.mark.parametrize("name", resources.shipped("scenarios"))
def test_every_shipped_scenario_is_found_by_its_bare_name_and_is_called_so(name: str) -> None:
    loaded, path = scenario.load(name)
    assert loaded.name == name == path.stem


def test_shipped_scenarios_are_there() -> None:
    assert {"llm10", "tiny", "paper", "paper_partial"} <= set(resources.shipped("scenarios"))


def test_own_file_goes_before_a_shipped_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, GOOD, "tiny")
    monkeypatch.chdir(tmp_path)
    assert scenario.load("tiny")[0].name == "small"


def test_missing_file_names_the_nearest_shipped_scenario() -> None:
    with pytest.raises(ScenarioError, match=r"no scenario file 'scenarios/llm1.toml'; did you mean 'llm10'\?"):
        scenario.load("scenarios/llm1.toml")


def test_broken_toml_is_reported_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"not valid TOML: .*line 3, column 7.*small\.toml"):
        scenario.load(write(tmp_path, 'name = "small"\n[time]\nslots 2\n'))


def test_text_that_is_not_utf8_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_bytes(b'name = "caf\xe9"')
    with pytest.raises(ScenarioError, match="not UTF-8: byte 0xe9 in line 1"):
        scenario.load(path)


def test_scenario_survives_the_round_trip_through_plain_data() -> None:
    for name in resources.shipped("scenarios"):
        loaded, _ = scenario.load(name)
        assert scenario.validate(loaded.model_dump(mode="json")) == loaded


def test_scenario_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        changed().seed = 3


def test_start_with_an_offset_is_the_same_instant_in_utc() -> None:
    assert changed("time.start_utc=2022-09-22T02:00:00+02:00").time == changed("time.start_utc=2022-09-22").time


def test_scenario_made_in_python_meets_the_same_rules() -> None:
    document = tomllib.loads(GOOD)
    document["gateways"]["osaka"]["home"] = "jpan"
    with pytest.raises(ValidationError, match="no such region; did you mean 'japan'"):
        Scenario.model_validate(document)


# Reports


def test_all_problems_come_in_one_report_with_the_file(tmp_path: Path) -> None:
    text = GOOD.replace("pue = 1.2", "pue = 0.9\nreplica = 3").replace("slots = 2", "slots = 0")
    path = write(tmp_path, text.replace('home = "japan"', 'home = "jpan"'))
    with pytest.raises(ScenarioError) as caught:
        scenario.load(path)
    assert caught.value.problems == (
        "time.slots = 0, must be >= 1",
        "regions.texas.pue = 0.9, must be >= 1",
        "regions.texas.replica: unknown key; did you mean 'replicas'?",
        "gateways.osaka.home = 'jpan': no such region; did you mean 'japan'?",
    )
    assert str(caught.value).count(str(path)) == 4


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("nme=x", "nme: unknown key; did you mean 'name'?"),
        ("name=Small", "name = 'Small', must be lower-case letters, digits and _, and begin with a letter"),
        ("time.slots='2'", "time.slots = '2', must be a whole number"),
        ("time.slots=2.5", "time.slots = 2.5, must be a whole number"),
        ("time.slots=true", "time.slots = true, must be a whole number"),
        ("time.slot_s=-1", "time.slot_s = -1 s, must be > 0"),
        ("time.slot_s=nan", "time.slot_s = nan s, must be a finite number"),
        ("time.slot_s=inf", "time.slot_s = inf s, must be a finite number"),
        ("time.start_utc=soon", "time.start_utc = 'soon', must be a date and time such as 2022-09-22T00:00:00"),
        ("time=3", "time = 3, must be a table"),
        ("faults=3", "faults = 3, must be a list"),
        ("regions.texas.price_usd_per_kwh=nan", "regions.texas.price_usd_per_kwh = nan USD/kWh, must be a finite number"),
        ("regions.texas.carbon_g_per_kwh=-1", "regions.texas.carbon_g_per_kwh = -1 g/kWh, must be >= 0"),
        ("regions.texas.latitude_deg=91", "regions.texas.latitude_deg = 91 deg, must be <= 90"),
        ("fleet.host_w=-1", "fleet.host_w = -1 W, must be >= 0"),
        ("dispatch.rule=smoth", "dispatch.rule = 'smoth', must be 'weighted', 'smooth', 'least_loaded', 'spillover' or 'plan_least_loaded'; did you mean 'smooth'?"),
        ("dispatch.max_utilisation=1.1", "dispatch.max_utilisation = 1.1, must be <= 1"),
        ("engine=smpy", "engine = 'smpy', must be 'auto', 'simpy', 'fast' or 'fluid'; did you mean 'simpy'?"),
        ("slo={}", "slo = a table, must have at least 1 entry"),
        ("time.warmup_s=-1", "time.warmup_s = -1 s, must be >= 0"),
        ("slo.chat.share=0", "slo.chat.share = 0, must be > 0"),
        ("regions.Ohio={}", "regions.Ohio: this name must be lower-case letters, digits and _, and begin with a letter"),
        ("workload.lengths.prompt_tokens=-3", "workload.lengths.prompt_tokens = -3 tokens, must be > 0"),
    ],
)  # fmt: skip
def test_a_bad_value_is_reported_with_its_unit_and_rule(tmp_path: Path, setting: str, line: str) -> None:
    assert line in problems(tmp_path, GOOD, setting)


def test_a_missing_key_is_reported(tmp_path: Path) -> None:
    assert problems(tmp_path, GOOD.replace("slots = 2", "")) == ("time.slots: missing, must be given",)


FAULT = 'faults=[{region = "texas", start_h = 0.5, end_h = 1}'
LATENCY = "network.latency_s={texas = {texas = 0.1, japan = 0.2}, osaka = {texas = 0.3, japan = 0.1}"


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (["time.simulated_s_per_slot=4000"], "time.simulated_s_per_slot = 4000 s, must be <= time.slot_s = 3600 s"),
        (["time.slots=1000000"], "time.slots: all slots take 3.6e+09 simulated s, must be <= 1e+09 s"),
        (["time.warmup_s=600000000"], "time.warmup_s = 6e+08 s: with it all slots take 1.20001e+09 simulated s, must be <= 1e+09 s"),
        (["time.warmup_s=0.5", "time.clock_ns=1000000000"], "time.warmup_s = 0.5 s, must be 0 or >= time.clock_ns = 1e+09 ns, one tick"),
        (["workload.shape=trace"], "workload.load_file: missing, must name a load trace because workload.shape = 'trace'"),
        (["workload.arrivals=replay"], "workload.file: missing, must name a request trace because workload.arrivals = 'replay'"),
        (["workload.lengths.law=fixed", "workload.lengths.prompt_tokens=5"], "workload.lengths.output_tokens: missing, must be given because lengths.law = 'fixed'"),
        (["workload.lengths.law=trace"], "workload.lengths.file: missing, must name a request trace because lengths.law = 'trace'"),
        (["workload.lengths={law='fixed', prompt_tokens=50, output_tokens=60, max_tokens=100}"], "workload.lengths: prompt_tokens + output_tokens = 110 tokens, must be <= max_tokens = 100 tokens"),
        (["gateways.texas.rate_per_s=1"], "gateways.texas: has both `load` and `rate_per_s`, must have one of them"),
        (["gateways.texas={}"], "gateways.texas: has neither `load` nor `rate_per_s`, must have one of them"),
        (["gateways.lima.load=1"], "gateways.lima.home: missing; no region is called 'lima', so it must say whose capacity `load` counts in"),
        (["signals.seed=3"], "signals.seed = 3: given, but signals.source = 'constant' is not drawn, must be 'synthetic'"),
        (["slo.chat={attain=0.9, max_one_way_ms=50.0}"], "slo.chat.attain = 0.9, but the class limits nothing"),
        (["gateways.texas.regions=[]"], "gateways.texas.regions = [], must name at least one region: nobody could serve this gateway"),
        (["gateways.texas.regions=['texs']"], "gateways.texas.regions.0 = 'texs': no such region; did you mean 'texas'?"),
        (["gateways.texas.regions=['texas', 'texas']"], "gateways.texas.regions.1 = 'texas', must stand in the list once"),
        (["regions.texas.capacity=1", "engine=fluid"], "regions.japan: has no `capacity` while regions.texas has; all or none must"),
        (["regions.*.capacity=1"], "engine = 'auto', must be 'fluid' because regions.texas has a `capacity` instead of a profile, so there are no requests to simulate"),
        (["regions.texas.capacity=1", "regions.texas.profile=h100"], "regions.texas: has both `capacity` and `profile`, must have one of them"),
        (["fleet={}"], "regions.japan: has neither `profile` (here or in [fleet]) nor `capacity`, must have one of them"),
        ([FAULT.replace("texas", "texs") + "]"], "faults.0.region = 'texs': no such region; did you mean 'texas'?"),
        ([FAULT + "]", "faults.0.start_h=1"], "faults.0.end_h = 1 h, must be > start_h = 1 h"),
        ([FAULT + "]", "faults.0.start_h=2", "faults.0.end_h=3"], "faults.0.start_h = 2 h, must be before the end of the horizon, 2 h"),
        ([FAULT + ', {region = "texas", start_h = 0.9, end_h = 1.5}]'], "faults.1: overlaps faults.0 of the same region; they must be apart"),
        ([LATENCY + "}", "network.latency_s.osaka={texas = 0.1}"], "network.latency_s.osaka: missing for japan, must be given for every region"),
        ([LATENCY + ", lima = {texas = 1}}"], "network.latency_s.lima: no such gateway"),
        ([LATENCY + "}", "network.latency_s.texas.japn=1"], "network.latency_s.texas.japn: no such region; did you mean 'japan'?"),
        (["workload.sessions={}", "workload.arrivals=gamma"], "workload.arrivals = 'gamma', must be 'poisson' because workload.sessions says when requests follow one another"),
        (["workload.sessions.system_tokens=40000"], "workload.sessions.system_tokens = 40000 tokens, must leave room for a prompt and an answer of a token each within workload.lengths.max_tokens"),
        (["dispatch.affinity=session", "workload.sessions={}"], "dispatch.affinity = 'session', must be 'request' unless serving.scheduler = 'chunked': only there do replicas keep prefixes"),
        (["dispatch.affinity=session_slot", "serving.scheduler=chunked"], "dispatch.affinity = 'session_slot', must be 'request' because there are no sessions: neither workload.sessions nor a replayed trace"),
        (["serving.replica_choice=prefix"], "serving.replica_choice = 'prefix', must be 'fewest' unless serving.scheduler = 'chunked': only there do replicas keep prefixes"),
    ],
)  # fmt: skip
def test_a_rule_between_values_is_reported(tmp_path: Path, settings: list[str], line: str) -> None:
    assert line in problems(tmp_path, GOOD, *settings)


@pytest.mark.parametrize(
    "settings",
    [
        ["time.simulated_s_per_slot=3600"],
        ["workload.shape=trace", "workload.load_file=x.csv"],
        ["workload.arrivals=replay", "workload.file=x.csv", "gateways.texas={}"],
        ["workload.lengths={law='fixed', prompt_tokens=50, output_tokens=50, max_tokens=100}"],
        ["gateways.lima={rate_per_s=1.0, latitude_deg=-12, longitude_deg=-77, regions=['japan']}"],
        ["fleet={}", "regions.*.capacity=1", "engine=fluid"],
        ["fleet={}", "regions.*.profile=h100_llama8b"],
        [FAULT + ', {region = "texas", start_h = 1, end_h = 1.5}, {region = "japan", start_h = 0, end_h = 2}]'],
        [FAULT + ', {region = "texas", signal = "price", start_h = 0.9, end_h = 1.5}]'],
        [LATENCY + "}"],
        ["dispatch.overload=allow"],
    ],
)
def test_what_the_rules_allow_is_not_reported(settings: list[str]) -> None:
    assert changed(*settings).name == "small"


# Overrides


def test_settings_are_read_as_toml_and_bare_words_as_text() -> None:
    made = changed("seed=7", "time.slot_s=1e3", "policy.name=eglb", "policy.step=0.5", 'gateways.osaka.home="texas"')
    assert (made.seed, made.time.slot_s, made.gateways["osaka"].home) == (7, 1000.0, "texas")
    assert (made.policy.name, made.policy.arguments) == ("eglb", {"step": 0.5})


def test_star_sets_every_entry_and_later_settings_win() -> None:
    made = changed("regions.*.replicas=4", "regions.japan.replicas=5")
    assert [region.replicas for region in made.regions.values()] == [4, 5]


def test_tables_that_are_not_there_yet_are_made() -> None:
    assert changed("dispatch.telemetry_s=0.5").dispatch.telemetry_s == 0.5


def test_lists_are_set_by_index() -> None:
    made = changed("gateways.texas.regions=['texas', 'japan']", "gateways.texas.regions.1=texas",
                   "gateways.texas.regions.0=japan")  # fmt: skip
    assert made.gateways["texas"].regions == ("japan", "texas")


def test_every_bad_setting_is_reported() -> None:
    with pytest.raises(ScenarioError) as caught:
        changed("seed", "a..b=1", "name.x=1", "slo.*.share=1", "name='x", "seed=", "faults=[]", "faults.0.start_h=1")
    assert [problem.split(" (")[0] for problem in caught.value.problems] == [
        "--set seed: must be key.path=value",
        "--set a..b=1: must be key.path=value",
        "--set name.x=1: 'x' is looked for in 'small', which is neither a table nor a list",
        "--set slo.*.share=1: '*' meets an empty table",
        "--set name='x: ''x' is not a TOML value: Expected \"'\"",
        "--set seed=: '' is not a TOML value: Invalid value",
        "--set faults.0.start_h=1: '0' is no index of the list; there are none: the list is empty",
    ]


def test_settings_are_named_in_the_report_of_what_they_broke(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"seed = -1, must be >= 0 \(.*small\.toml, --set seed=-1\)"):
        scenario.load(write(tmp_path, GOOD), ["seed=-1"])


# Whatever stands in the file


JUNK = [
    0,
    -1,
    10**400,
    1e400,
    float("nan"),
    True,
    "",
    "x",
    "ä",
    [],
    [1],
    ["a", {}],
    {},
    {"a": {"b": 1}},
    datetime(2022, 9, 22),
]


def spoil(document: dict[str, Any], rng: random.Random) -> None:
    """Replace, remove or rename something somewhere in the document."""
    node: Any = document
    while True:
        key = rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
        if not isinstance(node[key], dict | list) or not node[key] or rng.random() < 0.2:
            break
        node = node[key]
    if isinstance(node, dict) and rng.random() < 0.3:
        value = node.pop(key)
        if rng.random() < 0.5:
            node[key + rng.choice(["s", "_", "x"])] = value
    else:
        node[key] = rng.choice(JUNK)


@pytest.mark.parametrize("name", resources.shipped("scenarios"))
def test_whatever_is_wrong_ends_in_a_report(name: str) -> None:
    text = (resources.root("scenarios") / f"{name}.toml").read_text()
    rng = random.Random(name)
    accepted = []
    for _ in range(150):
        document = tomllib.loads(text)
        regions = list(document["regions"])
        document["faults"] = [{"region": region, "start_h": 1, "end_h": 2} for region in regions[:2]]
        document["network"] = {"latency_s": {gateway: dict.fromkeys(regions, 0.1) for gateway in document["gateways"]}}
        for _ in range(rng.randint(1, 3)):
            spoil(document, rng)
        with suppress(ScenarioError):  # and nothing else
            accepted.append(scenario.validate(document))
    assert len(accepted) < 75  # most of it is refused


# The page


PAGES = {
    "Top level": Scenario, "`[time]`": scenario.Time, "`[signals]`": scenario.SignalsSource,
    "`[workload]`,": demand.Workload, "`[fleet]` and": scenario.Region, "`[gateways": scenario.Gateway,
    "`[slo": scenario.Slo, "`[network]`": scenario.Network, "`[dispatch]`": scenario.Dispatch,
    "`[serving]`": scenario.Serving,
    "`[known_ahead]`": scenario.KnownAhead,
    "`[objective]`": scenario.Objective, "`[footprints": Footprint, "`[[faults]]`": scenario.Fault, "`[records]`": scenario.Records,
}  # fmt: skip


def written_default(model: type[scenario.Model], key: str) -> str:
    field = model.model_fields[key]
    if field.is_required():
        return ""
    if field.default is None:
        return "*none*"
    if isinstance(field.default, datetime):
        return f"`{field.default.isoformat()}`"
    return f"`{json.dumps(field.default)}`"


@pytest.mark.parametrize("title", PAGES)
def test_the_page_lists_every_key_with_its_default(title: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "scenario.md").read_text()
    section = next(part for part in page.split("\n## ") if part.startswith(title))
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in section.splitlines() if line.startswith("| `")]
    model, scalars = PAGES[title], ("name", "description", "seed", "engine")
    keys = (
        scalars if model is Scenario else tuple(key for key in model.model_fields if key not in ("lengths", "sessions"))
    )
    listed = {f"`{key}`": written_default(model, key) for key in keys}
    if model is demand.Workload:
        for name, inner in (("lengths", demand.Lengths), ("sessions", demand.Sessions)):
            listed |= {f"`{name}.{key}`": written_default(inner, key) for key in inner.model_fields}
    assert dict(rows) == listed
