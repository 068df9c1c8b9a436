"""Any scenario document gives a run, or exit code 2 with one message: no traceback, no warning, no run without end.

Documents are valid ones with anything put anywhere: other types, sizes beyond all proportion, structure. What `check`
finds in order and small is simulated too.
"""

import json
import re
import signal
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glbdes.cli.main import main

PATIENCE_S = 60  # with one document; a refusal takes a hundredth of a second
MOST_SIMULATED = 3000  # requests, and weights in plans

TINY = """
name = "any"
engine = "simpy"
time = {slots = 3, slot_s = 3600.0, simulated_s_per_slot = 2.0, start_utc = 2022-09-22T00:00:00, clock_ns = 1}
fleet = {profile = "h100_llama8b", replicas = 1, host_w = 290.0}
policy = {name = "eglb", step = 0.5}
dispatch = {rule = "spillover", telemetry_s = 0.5, timeout_s = 5.0, max_attempts = 2, overload = "allow"}
network = {base_s = 0.001, detour = 1.5}
objective = {carbon_usd_per_t = 100.0, norm = 2}
records = {requests = "all"}
slo = {default = {ttft_s = 1.0, share = 2.0}, slow = {e2e_s = 60.0}}
faults = [{region = "west", start_h = 1, end_h = 1.5}, {region = "east", signal = "carbon", start_h = 1, end_h = 2}]
[workload]
arrivals = "gamma"
shape = "diurnal"
load_scale = 1.0
lengths = {law = "fixed", prompt_tokens = 100, output_tokens = 10}
[gateways]
west = {load = 0.05, utc_offset_h = -7.0}
east = {rate_per_s = 1.0, latitude_deg = 0.0, longitude_deg = 139.0, regions = ["west", "east"]}
[regions.west]
pue = 1.1
price_usd_per_kwh = 0.06
carbon_g_per_kwh = 250.0
wue_l_per_kwh = 0.2
ewif_l_per_kwh = 3.5
[regions.east]
latitude_deg = 0.0
longitude_deg = 139.0
pue = 1.1
price_usd_per_kwh = 0.1
carbon_g_per_kwh = 100.0
wue_l_per_kwh = 0.2
ewif_l_per_kwh = 3.5
max_queue = 5
sleep_after_s = 1.0
wake_s = 2.0
"""
MEGAWATTS = TINY.replace('"simpy"', '"fluid"').replace('profile = "h100_llama8b", ', "")
MEGAWATTS = MEGAWATTS.replace("pue", "capacity = 2.0\npue").replace(
    "records", "known_ahead = {price = 'day_ahead'}\nrecords"
)
BURSTS = TINY.replace('"gamma"', '"mmpp"\nburst_factor = 3.0\nburst_fraction = 0.2\nburst_mean_s = 0.5')
BURSTS = BURSTS.replace("norm = 2", "delay_usd_per_s = 0.01, queue_wait_s = [[0, 0], [0.5, 1.0], [0.8, 2.0]]")
BURSTS = BURSTS.replace('"fixed"', '"geometric"').replace("e2e_s = 60.0", "max_one_way_ms = 500.0")
REPLAYED = TINY.replace('arrivals = "gamma"', 'arrivals = "replay"\nfile = "trace.csv"\nreplay_loop = true')
REPLAYED = REPLAYED.replace("[gateways]", 'signals = "?"\n[gateways]').replace(
    'signals = "?"', "replay_rate_factor = 1.0"
)
TRACED = TINY.replace('shape = "diurnal"', 'shape = "trace"\nload_file = "load.csv"')
TRACED = TRACED.replace("records", "signals = {source = 'signals.csv', missing = 'hold'}\nrecords")
for _key in ("price_usd_per_kwh", "carbon_g_per_kwh", "wue_l_per_kwh", "ewif_l_per_kwh"):
    TRACED = "\n".join(line for line in TRACED.split("\n") if not line.startswith(_key))
DOCUMENTS = [tomllib.loads(text) for text in (TINY, MEGAWATTS, BURSTS, REPLAYED, TRACED)]
FILES = {
    "trace.csv": "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    + "".join(f"2023-11-16 18:15:{second:02}.5,{100 + second},10\n" for second in range(40)),
    "load.csv": "load\n1.0\n0.5\n1.0\n",
    "signals.csv": "time_utc,region,price_usd_per_kwh,carbon_g_per_kwh,wue_l_per_kwh,ewif_l_per_kwh\n"
    + "".join(f"2022-09-22T{hour:02}:00,{region},0.1,400,1,2\n" for region in ("west", "east") for hour in range(3)),
}


class Raw(str):
    """TOML as it is written."""


numbers = st.one_of(
    st.sampled_from([Raw("0x" + "f" * 5000), Raw("9" * 5000), Raw("1e400"), Raw("2022-09-22"), Raw("07:32:00")]),
    st.sampled_from(
        [Raw("[" * 3000 + "]" * 3000), Raw("{a=" * 500 + "1" + "}" * 500), Raw("9999-12-31T23:59:59-14:00")]
    ),
    st.sampled_from([0, -1, 1, 2, 10, 10**6, 10**12, 10**13, 2**31, 2**63, 2**64, 10**18, 10**30, 10**400]),
    st.sampled_from([0.0, -0.0, 0.5, 1e-300, 5e-324, 1e-15, 1e-9, 1e-3, 1e3, 1e9, 1e12, 1e15, 1e18, 1e300]),
    st.sampled_from([float("inf"), float("-inf"), float("nan"), -1e-9, -1e12]),
    st.integers(),
    st.floats(),
)
words = st.one_of(
    st.sampled_from(["", " ", "a/b", "..", ".", "/", "/dev/zero", "a\nb", "a\0b", "\x1b[31m", "\u202e", "x" * 300]),
    st.sampled_from(["west", "east", "nobody", "trace.csv", "signals.csv", "load.csv", "a" * 5000, "é", "any.toml"]),
    st.sampled_from(["constant", "trace", "replay", "poisson", "mmpp", "diurnal", "azure_conv", "geometric", "fixed"]),
    st.sampled_from(["fast", "fluid", "auto", "least_loaded", "weighted", "full", "none", "sample:0.5", "inf", "hold"]),
    st.sampled_from(["nearest", "uniform", "cost", "carbon", "cost_carbon_water", "eglb_simplex", "eglb_ahead"]),
    st.sampled_from(["offline", "receding_horizon", "forecast", "last", "day_ahead", "mi300x_llama8b"]),
    st.text(max_size=20),
)
dates = st.one_of(
    st.datetimes(), st.sampled_from([datetime(1, 1, 1), datetime(1200, 1, 1), datetime(9999, 12, 31, 23)])
)
leaves = st.one_of(numbers, words, st.booleans(), dates)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(words | st.sampled_from(["west", "name"]), inner, max_size=4)
    ),
    max_leaves=8,
)


def written(value: Any) -> str:
    """`value` as TOML, on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{written(key)} = {written(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value).replace("\x7f", "\\u007f")
    return value.isoformat() if isinstance(value, datetime) else str(value)


def as_toml(document: dict[str, Any]) -> str:
    return "".join(f"{written(key)} = {written(value)}\n" for key, value in document.items())


def places(node: Any) -> list[tuple[Any, Any]]:
    """Every (table or list, key or index) in `node`."""
    inner = list(node.items() if isinstance(node, dict) else enumerate(node)) if isinstance(node, dict | list) else []
    return [(node, key) for key, _ in inner] + [place for _, value in inner for place in places(value)]


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """A valid document with one to four changes."""
    document = deepcopy(draw(st.sampled_from(DOCUMENTS)))
    for _ in range(draw(st.integers(1, 4))):
        found = places(document)
        if not found:
            break
        holder, key = draw(st.sampled_from(found))
        change = draw(
            st.sampled_from(["number", "number", "number", "word", "word", "tree", "remove", "add", "deep", "scale"])
        )
        if change == "remove":
            del holder[key]
        elif change == "add" and isinstance(holder, dict):
            holder[draw(words)] = draw(trees)
        elif change == "deep":
            for _ in range(draw(st.sampled_from([1, 3, 60]))):
                holder[key] = [holder[key]] if draw(st.booleans()) else {"a": holder[key]}
        elif change == "scale" and isinstance(holder[key], int | float) and abs(holder[key]) < 10**300:
            holder[key] = holder[key] * draw(st.sampled_from([10.0, 1e3, 1e6, 1e9, 1e12, 1e-3, 1e-6, 1e-9, 1e-12, -1]))
        else:
            holder[key] = draw({"number": numbers, "word": words}.get(change, trees))
    return document


@contextmanager
def patience() -> Iterator[None]:
    """No longer than `PATIENCE_S`."""

    def end(*_: object) -> None:
        raise TimeoutError(f"no end after {PATIENCE_S} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(PATIENCE_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def call(*arguments: object) -> Result:
    """The command line, in this process: it must end well, or with exit code 2 and one message."""
    with patience():
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code in (0, 2), result.output
    said = result.stderr.strip()
    if result.exit_code == 0:
        assert said == ""
    else:
        assert len(re.findall("^Error: ", said, re.MULTILINE)) == 1, said
        assert len(said) < 30_000
        assert all(character.isprintable() or character == "\n" for character in said), said
    return result


def gives_a_run_or_one_message(text: str, folder: Path) -> None:
    """`check` of a document, and if that is in order and small, `simulate`."""
    (folder / "any.toml").write_text(text, encoding="utf-8", errors="surrogatepass")
    for name, content in FILES.items():
        (folder / name).write_text(content)
    small = ["--set", f"time.max_events={MOST_SIMULATED}"]
    checked = call("check", folder / "any.toml", "--json", *small)
    if checked.exit_code != 0:
        return
    found = json.loads(checked.stdout)
    if found["slots"] * len(found["gateways"]) * len(found["regions"]) <= MOST_SIMULATED:
        run = folder / "run"
        if call("simulate", folder / "any.toml", "-o", run, "--overwrite", "--quiet", *small).exit_code == 0:
            call("summary", run)


def test_the_documents_themselves_are_fine(tmp_path: Path) -> None:
    for document in DOCUMENTS:
        gives_a_run_or_one_message(as_toml(document), tmp_path)
        assert (tmp_path / "run" / "run.json").is_file()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any")


quick = settings(max_examples=30, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
long = settings(quick, max_examples=5000, derandomize=False, print_blob=True)


@quick
@given(documents())
def test_any_document_gives_a_run_or_one_message(folder: Path, document: dict[str, Any]) -> None:
    gives_a_run_or_one_message(as_toml(document), folder)


@quick
@given(st.dictionaries(words | st.sampled_from(list(DOCUMENTS[0])), trees, max_size=6))
def test_any_tree_gives_one_message(folder: Path, tree: dict[str, Any]) -> None:
    gives_a_run_or_one_message(as_toml(tree), folder)


@pytest.mark.slow
@long
@given(documents())
def test_any_of_thousands_of_documents_gives_a_run_or_one_message(folder: Path, document: dict[str, Any]) -> None:
    gives_a_run_or_one_message(as_toml(document), folder)
