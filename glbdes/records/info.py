"""What run.json says, as far as readers rely on it; whatever else a run tells of itself is free.

`validated` holds any JSON document to a model: run.json here, comparison.json and sweep.json in `study`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from glbdes.errors import RecordsError
from glbdes.scenario.complaints import complaints

Count = Annotated[int, Field(ge=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Said(BaseModel):
    """A part of a JSON document: strict where it says something, open to what else is there."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)


class File(Said):
    """A file of the folder, as it was written; `rows` of a Parquet file."""

    sha256: Digest
    rows: Count | None = None


class _Time(Said):
    slots: Annotated[int, Field(ge=1)]
    slot_s: Positive


class _Limits(Said):
    ttft_s: Positive | None = None
    tpot_s: Positive | None = None
    e2e_s: Positive | None = None
    attain: Positive | None = None


class _Place(Said):
    latitude_deg: Finite | None = None
    longitude_deg: Finite | None = None


class _Region(_Place):
    carbon_weight: NonNegative = 1.0
    water_weight: NonNegative = 1.0
    footprint_weights: dict[str, NonNegative] = {}


class _Objective(Said):
    carbon_usd_per_t: NonNegative
    water_usd_per_m3: NonNegative
    delay_usd_per_s: NonNegative = 0.0


class _Footprint(Said):
    unit: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*$")]
    price_usd_per_unit: NonNegative


class _Dispatch(Said):
    rule: str


class _Serving(Said):
    scheduler: str


class _Scenario(Said):
    """What is read of the scenario as it was run; the scenario's own rules were held when it was read first."""

    name: str
    description: str
    time: _Time
    regions: Annotated[dict[str, _Region], Field(min_length=1)]
    gateways: Annotated[dict[str, _Place], Field(min_length=1)]
    slo: Annotated[dict[str, _Limits], Field(min_length=1)]
    objective: _Objective
    footprints: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], _Footprint] = {}
    dispatch: _Dispatch
    serving: _Serving


class _Sketch(Said):
    warmup_requests: Count
    by_status: dict[str, Count]
    cache: dict[str, Count]
    of_class: list[Count]
    met: dict[str, list[Count]]
    latency_s: dict[str, dict[str, NonNegative | None]]


class _Invariants(Said):
    energy: NonNegative


class RunInfo(Said):
    """run.json."""

    policy: str
    seed: int
    engine: str
    by_request: bool
    source: str | None
    overrides: list[str]
    signals: str | None
    request_weight: Positive
    simulated_s: Positive
    warmup_s: NonNegative
    warnings: list[str]
    wall_s: NonNegative
    notes: list[str]
    sketch: _Sketch | None
    invariants: _Invariants
    versions: dict[str, str]
    scenario: _Scenario
    scenario_text: str | None
    files: dict[str, File]


def listed(info: dict[str, Any], names: Iterable[str], path: Path) -> None:
    """Raise `RecordsError` if `path`, which said `info`, does not list each of the files `names`."""
    for name in names:
        if name not in info["files"]:
            raise RecordsError(f"{path}: files.{name}: missing, must be given")


def validated(info: dict[str, Any], model: type[BaseModel], path: Path) -> dict[str, Any]:
    """`info` itself, if it is what `model` says. Raises `RecordsError` with all that is wrong."""
    try:
        model.model_validate(info)
    except ValidationError as error:
        raise RecordsError(f"{path}: {'; '.join(complaints(error, model))}") from error
    return info
