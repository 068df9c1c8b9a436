"""Whose code a scenario's policy may run: found out before any of it runs."""

import os
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import glbdes
from glbdes import policy
from glbdes.cli.main import main
from glbdes.errors import PolicyError
from glbdes.study import sweep, sweep_file
from tests.runs import little

OWN = """
import pathlib
from os import system
from shutil import rmtree
from glbdes.policy.baselines import Uniform as Borrowed

pathlib.Path(__file__).with_suffix(".ran").touch()


class Even:
    def plan(self, view):
        return view.mask / view.mask.sum(axis=1, keepdims=True)


def even():
    return Even()


maker = type("Maker", (), {"__call__": lambda self: Even()})()
"""


@pytest.fixture
def name(request) -> str:
    """A module's name that no other test has: modules stay imported."""
    return f"origin_{abs(hash(request.node.name))}"


@pytest.fixture
def installed(tmp_path, monkeypatch, name) -> Path:
    """The `__init__` of a package on Python's path, and not in the folders where policies are looked for."""
    package = tmp_path / "lib" / name
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(OWN)
    (package / "part.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return package / "__init__.py"


def ran(module: Path) -> bool:
    return module.with_suffix(".ran").exists()


def refused(name: str, told: str, *, folder: Path | None = None, allow: tuple[str, ...] = ()) -> None:
    loaded = set(sys.modules)
    with pytest.raises(PolicyError) as caught:
        policy.load(name, {}, folder, allow)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert set(sys.modules) <= loaded


STANDARD = [
    "os:system",
    "subprocess:run",
    "shutil:rmtree",
    "builtins:exec",
    "posix:system",
    "os.path:join",
    "antigravity:x",
]


@pytest.mark.parametrize("standard", STANDARD)
def test_the_standard_library_is_not_called(standard):
    top = standard.split(":")[0].split(".")[0]
    refused(standard, "is of the standard library; only modules beside the scenario or in the current folder run")
    refused(standard, f"say --allow-policy {top} (in Python: allow_policy=['{top}'])", allow=("something", top[:-1]))


@given(st.sampled_from(sorted(sys.stdlib_module_names)), st.text(min_size=1) | st.sampled_from(["main", "run", "test"]))
def test_no_part_of_the_standard_library_is_called_or_imported(module, attribute):
    refused(f"{module}:{attribute}", "is of the standard library")
    refused(f"{module}.part:{attribute}", "is of the standard library")


@given(st.text() | st.lists(st.text(st.characters(codec="utf-8"), max_size=4), min_size=2).map(":".join))
def test_any_name_is_a_policy_or_a_policy_error(name):
    try:
        assert policy.find(name) in policy.BUILT_IN.values()
    except PolicyError:
        assert name not in policy.BUILT_IN


def test_an_installed_package_runs_when_the_user_allows_it(installed, name):
    for module in (name, f"{name}.part"):
        refused(f"{module}:Even", f"is installed ({installed})")
        refused(f"{module}:Even", f"say --allow-policy {name} (in Python: allow_policy=['{name}'])", allow=("numpy",))
    assert not ran(installed)
    assert policy.load(f"{name}:Even", {}, None, [name]).plan
    assert policy.load(f"{name}.part:even", {}, None, name).plan
    assert ran(installed)
    refused(f"{name}:Even", "is installed", allow=(f"{name}.part", f"{name}x"))  # loaded now, and still not allowed


def test_what_a_package_of_the_users_path_holds_is_no_function_of_the_scenarios(installed, name, tmp_path):
    own = tmp_path / "here" / f"own_{name}.py"
    own.write_text(f"from {name} import even, Even\nfrom os import system\n\ndef made():\n    return Even()\n")
    with pytest.raises(PolicyError, match=f"'even' is a function of another module: module '{name}' is installed"):
        policy.load(f"own_{name}:even", {})
    with pytest.raises(PolicyError, match=r"'system' is a function of another module: .*--allow-policy posix"):
        policy.load(f"own_{name}:system", {"command": "true"})
    assert policy.load(f"own_{name}:even", {}, None, [name]).plan
    assert policy.load(f"own_{name}:Even", {}).plan  # a class with a method `plan`, wherever it is from
    assert policy.load(f"own_{name}:made", {}).plan


def test_own_modules_run_without_being_asked_for(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"{name}.py").write_text(OWN)
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / f"{name}_b.py").write_text(OWN)
    for own in (f"{name}:Even", f"{name}:even", f"{name}:Borrowed", f"parts.{name}_b:Even"):
        assert policy.load(own, {}).plan
    for own, told in (
        ("system", "'system' is a function of another module: module 'posix' is of the standard library"),
        ("rmtree", "module 'shutil' is of the standard library"),
        ("pathlib", "'pathlib' is a module, must be a class or a function"),
        ("maker", "'maker' is a Maker, must be a class or a function"),
    ):
        refused(f"{name}:{own}", told)


def test_a_link_to_elsewhere_is_not_beside_the_scenario(installed, name, tmp_path):
    (tmp_path / "here" / f"{name}_link.py").symlink_to(installed)
    refused(f"{name}_link:Even", f"module '{name}_link' is {tmp_path}/here/{name}_link.py, which is {installed}; only")
    (tmp_path / "here" / f"{name}_os.py").symlink_to(os.__file__)
    refused(f"{name}_os:system", "which is /")
    assert not ran(installed)
    assert policy.load(f"{name}_link:Even", {}, None, [f"{name}_link"]).plan


def test_packages_installed_below_the_current_folder_are_not_the_users_own(tmp_path, name, monkeypatch):
    packages = tmp_path / "lib" / "python3" / "site-packages"
    packages.mkdir(parents=True)
    (packages / f"{name}.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(packages))
    for here in (tmp_path, packages):
        monkeypatch.chdir(here)
        refused(f"{name}:Even", "is installed")
    assert not ran(packages / f"{name}.py")


def test_a_folder_without_code_does_not_stand_for_the_package_of_its_name(installed, name, tmp_path):
    (tmp_path / "here" / name).mkdir()
    (tmp_path / "here" / name / "part.py").write_text(OWN)
    refused(f"{name}.part:Even", f"is installed ({installed})")
    assert not ran(installed)


def test_a_module_that_hides_one_of_the_standard_library_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "json.py").write_text(OWN)
    (tmp_path / "wave.py").write_text(OWN)
    for name in ("json", "wave"):
        told = f"{tmp_path / name}.py has the name of a module of the standard library: rename it"
        refused(f"{name}:Even", told, allow=(name,))
        assert not ran(tmp_path / f"{name}.py")


def test_two_modules_of_one_name_are_not_taken_for_one_another(tmp_path, name):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{name}.py").write_text(OWN)
    assert policy.load(f"{name}:Even", {}, tmp_path / "a").plan
    refused(f"{name}:Even", f"another module '{name}' is loaded already", folder=tmp_path / "b")
    (tmp_path / "b" / "numpy.py").write_text(OWN)
    refused("numpy:Even", "another module 'numpy' is loaded already", folder=tmp_path / "b")
    assert not ran(tmp_path / "b" / f"{name}.py")
    assert not ran(tmp_path / "b" / "numpy.py")


# Commands --------------------------------------------------------------------------------------------------------


def call(*arguments: object, code: int) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


@pytest.mark.parametrize(
    "command",
    [
        ["simulate", "SCENARIO", "--policy", "NAME", "-o", "out"],
        ["simulate", "SCENARIO", "--set", "policy={name='NAME'}", "-o", "out"],
        ["check", "SCENARIO", "--set", "policy={name='NAME'}"],
        ["compare", "SCENARIO", "--policies", "nearest,NAME", "--workers", "1", "-o", "out"],
        ["sweep", "SWEEP", "--workers", "1", "-o", "out"],
        ["check-policy", "NAME"],
    ],
    ids=lambda command: " ".join(command[:3]),
)
def test_every_command_asks_before_a_package_runs(installed, name, tmp_path, command):
    scenario = little(tmp_path / "in")
    sweeping = tmp_path / "in" / "all.toml"
    sweeping.write_text(f"scenario = '{scenario.name}'\n[[grid]]\npolicy = ['{name}:Even']\nseed = [1, 2]\n")
    places = {"SCENARIO": str(scenario), "SWEEP": str(sweeping), "NAME": f"{name}:Even"}
    words = command
    for word, meant in places.items():
        words = [part.replace(word, meant) for part in words]
    assert f"say --allow-policy {name} " in call(*words, code=2)
    assert not ran(installed)
    assert not Path("out").exists()
    call(*words, "--allow-policy", name, code=0)
    assert ran(installed)


def test_a_command_line_in_a_policys_name_does_not_run(tmp_path, monkeypatch):
    scenario = little(tmp_path / "in")
    text = scenario.read_text().replace('"cost_carbon"\ncarbon_usd_per_t = 100.0', '"os:system"\ncommand = "touch ran"')
    scenario.write_text(text)
    monkeypatch.chdir(tmp_path)
    for command in (["check"], ["simulate"], ["optimum"], ["compare", "--policies", "os:system,nearest"]):
        call(command[0], scenario, *command[1:], code=0 if command == ["optimum"] else 2)
    assert not list(tmp_path.rglob("ran"))


def test_permission_goes_with_a_sweep_into_its_workers(installed, name, tmp_path):
    scenario = little(tmp_path / "in")
    file = tmp_path / "in" / "all.toml"
    file.write_text(f"scenario = '{scenario.name}'\n[[grid]]\npolicy = ['{name}:Even']\nseed = [1, 2]\n")
    point = sweep_file.load(file, name).points[0]
    job = pickle.loads(pickle.dumps(sweep.Job(point.key, point.plan, None, None)))  # as processes and dask get it
    assert "error" not in sweep.measure(job)
    assert "error" in sweep.measure(job._replace(plan=replace(job.plan, allow_policy=())))


@pytest.mark.slow
def test_permission_goes_into_processes(installed, name, tmp_path):
    compared = glbdes.compare(
        little(tmp_path / "in"), ["nearest", f"{name}:Even"], workers=2, allow_policy=[name], out=tmp_path / "out"
    )
    assert compared.policies == ["nearest", f"{name}:Even"]


WANDERER = """
import os

os.chdir("ELSEWHERE")


class Wanderer:
    def __init__(self, plans=()):
        os.chdir("ELSEWHERE")
        plans.append("mine")

    def plan(self, view):
        os.chdir("ELSEWHERE")
        return view.mask / view.mask.sum(axis=1, keepdims=True)

    def observe(self, outcome):
        os.chdir("ELSEWHERE")
"""


@pytest.mark.parametrize("engine", ["simpy", "fluid"])
def test_a_policy_that_goes_elsewhere_moves_no_records(tmp_path, monkeypatch, name, engine):
    little(tmp_path / "in")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "in" / f"{name}.py").write_text(WANDERER.replace("ELSEWHERE", str(elsewhere)))
    monkeypatch.chdir(tmp_path)
    settings = ["--set", f"policy={{name='{name}:Wanderer', plans=['theirs']}}", "--set", f"engine={engine}"]
    call("simulate", "in/little.toml", *settings, "-o", "out", code=0)
    assert Path.cwd() == tmp_path
    assert list(elsewhere.iterdir()) == []
    run = glbdes.Run.open("out")
    assert len(run.slots) == 6
    assert run.info["scenario"]["policy"]["plans"] == ["theirs"]


def test_a_module_that_exits_is_told_and_not_taken_for_success(tmp_path, monkeypatch, name):
    scenario = little(tmp_path / "in")
    (tmp_path / "in" / f"{name}.py").write_text("import sys\nsys.exit(0)\n")
    monkeypatch.chdir(tmp_path / "in")
    for words in (["simulate", scenario, "--policy"], ["check-policy"]):
        assert f"{name}.py:2)" in call(*words, f"{name}:Even", code=2)
    assert not Path("runs").exists() or not list(Path("runs").iterdir())


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_other_files_of_a_scenario_are_read_not_run(tmp_path, suffix):
    """Pickles run what they say when they are loaded; none is."""
    scenario = little(tmp_path / "in")
    bait = pickle.dumps(Bait(str(tmp_path / "ran")))
    (tmp_path / "in" / f"bait.{suffix}").write_bytes(bait)
    for key in ("signals.source", "fleet.profile", "workload.load_file", "workload.file", "workload.lengths.file"):
        settings = ["--set", f"{key}=bait.{suffix}", "--set", "workload.shape=trace"]
        if key == "workload.file":
            settings += ["--set", "workload.arrivals=replay"]
        if key == "workload.lengths.file":
            settings += ["--set", "workload.lengths.law=trace"]
        CliRunner().invoke(main, ["check", str(scenario), *settings])
    assert not (tmp_path / "ran").exists()
    pickle.loads(bait)
    assert (tmp_path / "ran").exists()  # it would have


class Bait:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


def test_a_parquet_file_with_a_pickled_type_is_read_not_run(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    ran = tmp_path / "ran"
    scenario = little(tmp_path / "in")
    bait = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(Bait(str(ran))),
    }
    schema = pa.schema([pa.field("time_utc", pa.string(), metadata=bait)])
    pq.write_table(pa.table({"time_utc": ["2022-09-22T00:00"]}).cast(schema), tmp_path / "in" / "bait.parquet")
    result = CliRunner().invoke(main, ["check", str(scenario), "--set", "signals.source=bait.parquet"])
    assert result.exit_code == 2
    assert not ran.exists()
