"""Sessions from the scenario to the records."""

from pathlib import Path

import numpy as np

from glbdes import simulate

SETTINGS = (
    "time.slots=2",
    "time.slot_s=60",
    "time.simulated_s_per_slot=60",
    "dispatch.rule=weighted",
    "workload.load_scale=0.1",
    "workload.sessions.turns=4",
    "workload.sessions.think_s=5",
    "workload.sessions.system_tokens=100",
    "serving.scheduler=chunked",
    "serving.replica_choice=prefix",
)


def found(folder: Path, affinity: str) -> tuple:
    run = simulate(
        "tiny", policy="uniform", engine="simpy", overrides=(*SETTINGS, f"dispatch.affinity={affinity}"), out=folder
    )
    return run.records.requests.to_table().to_pandas(), run.summary


def test_sessions_stay_and_find_what_was_said_before(tmp_path: Path) -> None:
    kept, figures = found(tmp_path / "kept", "session")
    spread, others = found(tmp_path / "spread", "request")
    assert kept["session"].notna().all()
    np.testing.assert_array_equal(
        kept.sort_values("request_id")["session"], spread.sort_values("request_id")["session"]
    )
    turns = kept.groupby("session")["region"].agg(["size", "nunique"])
    assert (turns["size"] > 2).sum() > 10
    assert (turns["nunique"] == 1).all()
    assert spread.groupby("session")["region"].nunique().max() > 2
    assert figures["prefix_hit_rate"] > others["prefix_hit_rate"] > 0
    assert figures["prefill_tokens_spared"] == kept["cached_tokens"].sum()
