"""docs/real_data.md: few commands, all of them ours; and the real files become signals by them."""

import runpy
import shlex
import shutil
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from glbdes import resources
from glbdes.cli.main import main
from tests.downloads import REAL

MOST_COMMANDS = 12
SCRIPTS = Path(__file__).resolve().parents[1] / "docs/scripts"
with pytest.MonkeyPatch.context() as patched:
    patched.syspath_prepend(SCRIPTS)
    SCRIPT = runpy.run_path(str(SCRIPTS / "make_real_data.py"))


def commands() -> list[str]:
    return list(SCRIPT["commands"](SCRIPT["PAGE"].read_text(encoding="utf-8")))


def test_the_page_takes_few_commands_and_every_option_of_theirs_exists() -> None:
    found = commands()
    assert 8 <= len(found) <= MOST_COMMANDS
    for command in found:
        words = shlex.split(command)
        assert words[0] == "glbdes"
        node = main
        for word in words[1:]:
            if not hasattr(node, "commands"):
                break
            node = node.commands[word]
        known = {option for one in node.params for option in one.opts}
        assert {word for word in words if word.startswith("-")} <= known


@pytest.mark.slow
def test_the_first_commands_of_the_page_make_signals_that_the_scenario_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not REAL.is_dir():
        pytest.skip("needs ../shared/data/real")
    SCRIPT["downloads"](tmp_path)
    monkeypatch.chdir(tmp_path)
    for command in commands()[:5]:
        result = CliRunner().invoke(main, shlex.split(command)[1:])
        assert result.exit_code == 0, result.output
    table = pd.read_csv("signals.csv")
    assert table["region"].nunique() == 8
    assert not table.drop(columns=["time_utc", "region"]).isna().any().any()
    shutil.copy(resources.root("scenarios") / "zones8.toml", tmp_path)
    result = CliRunner().invoke(main, ["check", "zones8.toml", "--signals", "signals.csv"])
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith("Valid.\n")
