"""Footprints by season and month: sums of the run's own slots."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from glbdes.cli.main import main
from glbdes.records.periods import by_period
from glbdes.study import run
from tests.runs import little


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> run.Run:
    """A slot a month, load as a flow, signals that change."""
    folder = tmp_path_factory.mktemp("periods")
    file = little(folder / "in")
    rng = np.random.default_rng(1)
    times = pd.date_range("2023-01-01", periods=12, freq="730h")
    rows = [(t, r, 0.1, *rng.uniform(1, 9, 3), 1.1) for r in ("here", "there") for t in times]
    columns = ["time_utc", "region", "price_usd_per_kwh", "carbon_g_per_kwh", "wue_l_per_kwh", "ewif_l_per_kwh", "pue"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "signals.csv", index=False)
    text = file.read_text()
    for key in ("price_usd_per_kwh", "carbon_g_per_kwh", "wue_l_per_kwh", "ewif_l_per_kwh"):
        text = "\n".join(line for line in text.splitlines() if not line.startswith(key))
    file.write_text(text)
    settings = ["time.slots=12", "time.slot_s=2628000.0", "time.start_utc=2023-01-01T00:00:00"]
    settings += ["time.simulated_s_per_slot=2628000.0", "dispatch.overload='allow'"]
    return run.simulate(file, engine="fluid", signals=folder / "signals.csv", overrides=settings, out=folder / "run")


def test_seasons_add_up_to_the_year_and_their_par_is_that_of_their_sums(year: run.Run) -> None:
    found = by_period({"cost_carbon": year.records}, "season").set_index("period")
    assert list(found.index) == ["Dec-Feb", "Mar-May", "Jun-Aug", "Sep-Nov"]
    assert found["slots"].tolist() == [3, 3, 3, 3]
    assert found["carbon_kg"].sum() == pytest.approx(year.summary["totals"]["carbon_kg"], rel=1e-12)
    slots = year.slots
    summer = slots[slots["time_utc"].dt.month.isin([6, 7, 8])].groupby("region", observed=True)["water_l"].sum()
    assert found.loc["Jun-Aug", "water_par"] == pytest.approx(summer.max() / summer.mean(), rel=1e-12)


def test_the_command_shows_them_and_months_in_order(year: run.Run) -> None:
    shown = CliRunner().invoke(main, ["summary", str(year.path), "--by", "season"])
    assert shown.exit_code == 0, shown.output
    assert "Carbon PAR by period" in shown.stdout
    rows = json.loads(CliRunner().invoke(main, ["summary", str(year.path), "--by", "month", "--json"]).stdout)
    begun = year.slots.drop_duplicates("slot")["time_utc"].dt.strftime("%Y-%m")
    assert [row["period"] for row in rows] == list(dict.fromkeys(begun))
    assert sum(row["slots"] for row in rows) == 12


def test_a_folder_of_neither_is_refused(tmp_path: Path) -> None:
    assert CliRunner().invoke(main, ["summary", str(tmp_path), "--by", "season"]).exit_code == 2
