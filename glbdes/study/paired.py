"""The runs of a comparison: what a worker does, and what shows that all policies met the same requests."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from glbdes.base.folders import safe_name
from glbdes.errors import InvariantError
from glbdes.optimum.bound import Reference
from glbdes.records import Records, headline
from glbdes.records.writer import PLANS_FILE
from glbdes.scenario import Scenario
from glbdes.study import run

SAME = ("request_id", "gateway", "slo", "prompt_tokens", "output_tokens", "arrival_ns")  # whatever the policy


class Job(NamedTuple):
    """One run of a comparison."""

    source: str | Path | Scenario
    policy: str
    seed: int
    signal_seed: int | None
    engine: str | None
    overrides: tuple[str, ...]
    signals: Path | None
    folder: Path
    reference: Reference | None = None
    allow_policy: tuple[str, ...] = ()


class Done(NamedTuple):
    """What a worker tells of its run."""

    figures: dict[str, float]
    requests: str  # digest of what is the same for every policy
    engine: str  # that ran


def simulate(job: Job) -> Done:
    """What a worker does: one run, its figures, and its records in the job's folder."""
    finished = run.simulate(
        job.source,
        policy=job.policy,
        seed=job.seed,
        engine=job.engine,
        overrides=job.overrides,
        signals=job.signals,
        out=job.folder,
        allow_policy=job.allow_policy,
        progress=False,
    )
    row = headline.row(headline.written(finished.path), finished.info, job.reference)
    return Done(row, digest(finished.records), finished.info["engine"])


def digest(run_records: Records) -> str:
    """SHA-256 of what every policy must find the same: arrivals by slot and gateway, and of the requests that are kept
    ids, gateways, classes, lengths and arrivals.
    """
    table = run_records.requests.to_table(columns=list(SAME)).sort_by("request_id")
    digest = hashlib.sha256(run_records.read(PLANS_FILE, ["demand_rps"])["demand_rps"].to_numpy().tobytes())
    for name in SAME:
        column = table[name]
        if pa.types.is_dictionary(column.type):
            text = column.cast(pa.string())
            names = text.unique().sort()
            digest.update("\n".join(names.to_pylist()).encode())
            column = pc.index_in(text, value_set=names)
        digest.update(column.to_numpy().tobytes())
    return digest.hexdigest()


def same_requests(found: Iterable[tuple[str, int, str]]) -> dict[int, str]:
    """The digest of each seed's requests, from policies, seeds and digests. Raises `InvariantError` if policies met
    different ones.
    """
    drawn: dict[int, str] = {}
    for policy, seed, requests in found:
        if drawn.setdefault(seed, requests) != requests:
            raise InvariantError(f"policy {policy}, seed {seed}: its requests differ from the other policies'")
    return dict(sorted(drawn.items()))


def called(policy: str, seed: int, signal_seed: int | None = None) -> str:
    """What the folder of a run is called."""
    return f"{safe_name(policy)}-seed{seed}" + ("" if signal_seed is None else f"-signals{signal_seed}")
