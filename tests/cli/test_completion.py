"""Completion in the shells that can be had here, and the schema that editors complete by."""

import json
import shutil
import subprocess
import sys
import tomllib

import pytest
from click.shell_completion import ShellComplete

from glbdes import policy, resources
from glbdes.cli.main import main
from glbdes.scenario import schema
from tests.cli.test_main import call

SCRIPT = f'#!/bin/sh\nexec {sys.executable} -m glbdes "$@"\n'


def completed(*words: str) -> list[str]:
    """Of the last of `words`."""
    found = ShellComplete(main, {}, "glbdes", "_GLBDES_COMPLETE").get_completions(list(words[:-1]), words[-1])
    return [item.value for item in found if item.type == "plain"]


def test_commands_scenarios_policies_and_engines():
    assert {"simulate", "signals"} <= set(completed("si"))
    assert completed("simulate", "ti") == ["tiny"]
    assert completed("simulate", "tiny", "--policy", "") == list(policy.BUILT_IN)
    assert completed("compare", "tiny", "--policies", "nearest,wat") == ["nearest,water"]
    assert completed("simulate", "tiny", "--engine", "f") == ["fast", "fluid"]


def test_keys_of_settings_and_the_values_of_those_that_have_few():
    assert completed("simulate", "tiny", "--set", "dispatch.ru") == ["dispatch.rule="]
    assert completed("check", "tiny", "--set", "dispatch.rule=we") == ["dispatch.rule=weighted"]
    assert "regions.*.replicas=" in completed("simulate", "tiny", "--set", "regions.")
    assert completed("simulate", "tiny", "--set", "workload.replay_loop=") == [
        "workload.replay_loop=true",
        "workload.replay_loop=false",
    ]


@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
def test_each_shell_reads_its_script(shell):
    script = call("completion", shell).stdout
    assert "_GLBDES_COMPLETE" in script
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    subprocess.run([shell, "-n"], input=script, text=True, check=True)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_completes(tmp_path):
    glbdes = tmp_path / "glbdes"
    glbdes.write_text(SCRIPT)
    glbdes.chmod(0o755)
    ask = 'eval "$(./glbdes completion bash)"; COMP_WORDS=(glbdes check ti); COMP_CWORD=2; _glbdes_completion ./glbdes'
    done = subprocess.run(
        ["bash", "-c", f'{ask} 2>/dev/null; echo "${{COMPREPLY[@]}}"'], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.split() == ["tiny"]


def test_the_schema_beside_the_shipped_scenarios_is_that_of_the_models():
    told = "glbdes schema > scenarios/scenario.schema.json makes it anew"
    assert (resources.root("scenarios") / schema.FILE).read_text(encoding="utf-8") == schema.text(), told
    assert call("schema").stdout == schema.text()


def test_shipped_scenarios_name_their_schema_and_keep_it():
    jsonschema = pytest.importorskip("jsonschema")
    checker = jsonschema.Draft7Validator(schema.schema())
    for name in resources.shipped("scenarios"):
        text = (resources.root("scenarios") / f"{name}.toml").read_text(encoding="utf-8")
        assert text.startswith(f"{schema.LINE}\n")
        assert list(checker.iter_errors(json.loads(json.dumps(tomllib.loads(text), default=str)))) == []
    wrong = {"name": "x", "time": {"slots": 0, "hours": 3}, "regions": {"a": {}}, "gateways": {"a": {"load": -1}}}
    assert len(list(checker.iter_errors(wrong))) == 3


def test_keys_in_the_schema_say_what_they_mean():
    told = schema.schema()["$defs"]["Time"]["properties"]["simulated_s_per_slot"]["description"]
    assert told == "None: slot_s, nothing is compressed"
