"""Whether replicas can schedule in chunks as a scenario wants them to, and what their steps take then."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from glbdes.errors import ScenarioError
from glbdes.hardware.chunked import Chunked
from glbdes.hardware.profile import Profile
from glbdes.hardware.step_tables import StepTables, step_tables
from glbdes.scenario.model import Serving
from glbdes.scenario.pools import Pool

if TYPE_CHECKING:
    from glbdes.hardware.fleet import Fleet


def parts(
    pools: Mapping[str, Pool], profiles: Sequence[Profile], fleet: "Fleet", serving: Serving, longest: int
) -> list[Chunked]:
    """The chunked part of each region's profile. Raises `ScenarioError` with all that does not go together."""
    problems: list[str] = []
    found = []
    for r, (name, profile) in enumerate(zip(pools, profiles, strict=True)):
        sizes = int(fleet.max_batch[r]), int(fleet.kv_tokens[r])
        problems += _problems(f"regions.{name}", profile, *sizes, serving, longest)
        if profile.chunked is not None:
            found.append(profile.chunked)
    if problems:
        raise ScenarioError(problems)
    return found


def tables(profiles: Iterable[Profile], serving: Serving) -> StepTables:
    """The arrays of all `profiles`, each of which has a chunked part."""
    chunked = [profile.chunked for profile in profiles if profile.chunked is not None]
    return step_tables(chunked, serving.max_batched_tokens, serving.block_tokens, serving.whole_prompts)


def room_tokens(kv_tokens: int, block_tokens: int) -> int:
    """What requests can use of a KV cache: whole blocks, one of which is reserved."""
    return (kv_tokens // block_tokens - 1) * block_tokens


def _problems(
    place: str, profile: Profile, max_batch: int, kv_tokens: int, serving: Serving, longest: int
) -> Iterable[str]:
    budget, size = serving.max_batched_tokens, serving.block_tokens
    if profile.chunked is None:
        rule = "must say what steps take (a table [chunked]) for serving.scheduler = 'chunked'"
        yield f"{place}: profile '{profile.name}' {rule}"
    if budget < max_batch:
        rule = f"must be >= {max_batch}, the max_batch of {place}: every request may decode in every step"
        yield f"serving.max_batched_tokens = {budget}, {rule}"
    room = room_tokens(kv_tokens, size)
    if room < size:
        rule = f"must hold two blocks of serving.block_tokens = {size} tokens, one of which is reserved"
        yield f"{place}.kv_tokens = {kv_tokens} tokens, {rule}"
    elif room < longest:
        rule = f"must hold the longest request, workload.lengths.max_tokens = {longest} tokens"
        yield f"{place}.kv_tokens = {kv_tokens} tokens, room for {room} in blocks of {size}, {rule}"
