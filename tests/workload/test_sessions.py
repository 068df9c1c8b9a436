"""Sessions of the workload: what turns say, when they come, and what they have in common."""

import numpy as np
import pytest

from glbdes.errors import ScenarioError
from glbdes.workload import mix_of
from glbdes.workload.requests import demand
from glbdes.workload.sessions import typical
from tests.workload.small import make

LONG = {"law": "geometric", "prompt_tokens": 60.0, "output_tokens": 40.0, "max_tokens": 2000}
TIME = {"slots": 4, "simulated_s_per_slot": 100.0}


def asked(warmup_ns: int = 0, seed: int = 1, serving: str = "chunked", time: dict | None = None, **sessions):
    lengths = {**LONG, **sessions.pop("lengths", {})}
    given = make(time=time or TIME, seed=seed, lengths=lengths, sessions={"turns": 4.0, "think_s": 20.0, **sessions})
    given = given.model_copy(update={"serving": given.serving.model_copy(update={"scheduler": serving})})
    return given, demand(given, np.array([10.0, 10.0]), None, warmup_ns)


def all_of(given, found):
    """Columns of all slots."""
    slots = [found.requests(slot) for slot in range(given.time.slots)]
    return {name: np.concatenate([getattr(one, name) for one in slots]) for name in slots[0].__dataclass_fields__}


def test_every_turn_begins_with_all_that_was_said_before() -> None:
    given, found = asked(system_tokens=100)
    table = all_of(given, found)
    said = np.zeros(found.sessions, dtype=np.int64)
    grew = 0
    for session, prompt, output in zip(table["session"], table["prompt_tokens"], table["output_tokens"], strict=True):
        assert prompt > max(said[session], 100)
        grew += said[session] > 0
        said[session] = prompt + output
        assert said[session] <= LONG["max_tokens"]
    assert grew > 1000


def test_times_gateways_and_rates() -> None:
    given, found = asked()
    table = all_of(given, found)
    assert (np.diff(table["arrival_ns"]) >= 0).all()
    gateways = [np.unique(table["gateway"][table["session"] == s]) for s in range(0, found.sessions, 50)]
    assert all(len(one) == 1 for one in gateways)
    expected = found.expected_rps.sum() * 100.0
    assert abs(len(table["session"]) - expected) < 6 * np.sqrt(4.0 * expected)  # turns of a session come together
    per_slot = np.bincount(table["arrival_ns"] // (100 * 10**9), minlength=4)
    assert per_slot.min() > 0.85 * per_slot.max()  # no slow beginning


def test_chains_are_those_of_the_tokens() -> None:
    given, found = asked(system_tokens=100)
    table, size = all_of(given, found), given.serving.block_tokens
    assert found.prefixes is not None
    owner: dict[int, int] = {}
    for session, chain in {*zip(table["session"].tolist(), table["chain"].tolist(), strict=True)}:
        contents = found.prefixes.of(chain).tolist()
        most = int((table["prompt_tokens"] + table["output_tokens"])[table["session"] == session].max())
        assert len(contents) == most // size
        assert contents[: 100 // size] == list(range(100 // size))
        assert all(owner.setdefault(content, session) == session for content in contents[100 // size :])
    assert max(owner) < found.prefixes.contents


def test_the_same_seed_gives_the_same_sessions_and_another_one_others() -> None:
    one, same, other = (all_of(*asked(seed=seed)) for seed in (1, 1, 2))
    for name, values in one.items():
        np.testing.assert_array_equal(values, same[name])
    assert len(other["session"]) != len(one["session"]) or (other["arrival_ns"] != one["arrival_ns"]).any()


def test_a_warm_up_is_a_part_of_the_time_in_which_sessions_go_on() -> None:
    given, found = asked(warmup_ns=50 * 10**9)
    table = all_of(given, found)
    slot, since = np.divmod(table["arrival_ns"], 150 * 10**9)
    assert set(slot.tolist()) == {0, 1, 2, 3}
    across = np.isin(table["session"][since < 50 * 10**9], table["session"][since >= 50 * 10**9])
    assert across.mean() > 0.5


def test_sessions_of_one_turn_are_requests_on_their_own() -> None:
    given, found = asked(turns=1.0)
    table = all_of(given, found)
    assert len(np.unique(table["session"])) == len(table["session"])


def test_the_mix_is_that_of_all_turns() -> None:
    given, found = asked()
    table = all_of(given, found)
    prompt, output = mix_of(given.workload)
    assert prompt.mean() == pytest.approx(table["prompt_tokens"].mean(), rel=0.1)
    assert output.mean() == pytest.approx(table["output_tokens"].mean(), rel=0.1)
    sessions = typical(given.workload.lengths, given.workload.sessions, None)
    assert (sessions.prompt_tokens + sessions.output_tokens).max() <= LONG["max_tokens"]


def test_where_prompts_come_first_nobody_looks_for_prefixes() -> None:
    _, found = asked(serving="prefill_first")
    assert found.prefixes is None
    assert found.sessions > 0


def test_more_than_the_machine_holds_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"all turns of all sessions take .* GB .* too much for this machine"):
        asked(turns=100.0, think_s=1e9)
