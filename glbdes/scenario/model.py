"""A scenario file as frozen, validated models: what to simulate, in the user's units.

This module owns the schema, the rules that one value must meet, and the reading of the file; rules between two values
are in `rules.py`, how large anything may be is in `sizes.py`. Reading signals and traces, and turning names into
arrays, happens later.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from glbdes import resources
from glbdes.base import reading
from glbdes.errors import ScenarioError
from glbdes.scenario.complaints import refuse
from glbdes.scenario.demand import Workload
from glbdes.scenario.elastic import Scaling, Share
from glbdes.scenario.footprints import Footprint
from glbdes.scenario.kinds import (
    File,
    Knot,
    Label,
    Model,
    Name,
    NonNegative,
    Number,
    OneWayS,
    Positive,
    Seconds,
    SomeSeconds,
)
from glbdes.scenario.places import at_home
from glbdes.scenario.pools import Pool, RegionPool
from glbdes.scenario.rules import broken
from glbdes.scenario.said import Changeable, Said, made, not_found, place_of, validated
from glbdes.scenario.sizes import (
    MOST,
    MOST_H,
    MOST_NAME,
    MOST_PATH,
    MOST_TOKENS,
    dated,
    prose,
    unbearable,
)


class Time(Model):
    """The horizon: `slots` slots of `slot_s` seconds, of which `simulated_s_per_slot` are simulated."""

    slots: Annotated[int, Field(ge=1, le=MOST)]
    slot_s: Seconds = 3600.0
    simulated_s_per_slot: Seconds | None = None  # None: slot_s, nothing is compressed
    warmup_s: SomeSeconds | None = None  # simulated before it, not counted; None: by rule (`world.compression`)
    start_utc: Annotated[datetime, Field(strict=False), AfterValidator(dated)] = datetime(
        2022, 9, 22
    )  # without an offset: UTC
    clock_ns: Annotated[int, Field(ge=1, le=MOST)] = 1
    max_events: Annotated[int, Field(ge=1, le=MOST)] = 10**9  # expected in a run: more is refused

    @field_validator("start_utc", mode="before")
    @classmethod
    def _no_number(cls, start: Any) -> Any:
        """A number would be taken for seconds since 1970."""
        if isinstance(start, int | float) or (isinstance(start, str) and start.lstrip("+-").replace(".", "").isdigit()):
            raise PydanticCustomError("datetime_type", "no date")
        return start

    @field_validator("start_utc")
    @classmethod
    def _in_utc(cls, start: datetime) -> datetime:
        """The same instant without an offset, as all times of the package are."""
        return start if start.tzinfo is None else start.astimezone(UTC).replace(tzinfo=None)

    @property
    def simulated_s(self) -> float:
        return self.simulated_s_per_slot if self.simulated_s_per_slot is not None else self.slot_s


class SignalsSource(Model):
    """Where price, carbon and water come from; values in a region's own table fill what the source lacks."""

    source: File = (
        "constant"  # "synthetic"; a file (shipped, or beside the scenario); or a folder in the authors' layout
    )
    sources: Annotated[tuple[File, ...] | None, Field(strict=False, min_length=1)] = None  # files joined, instead
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None  # of the synthetic ones; None: the shipped signals'
    missing: Literal["error", "hold"] = "error"  # a gap in the file: refuse, or hold the last value
    max_stale_slots: Annotated[int, Field(ge=1, le=MOST)] = 24
    history_h: Annotated[float, Field(ge=0, le=MOST_H)] = 1440.0  # from before `start_utc`, at most


class Slo(Model):
    """A class of requests and what its users expect; `share` of the requests belong to it."""

    ttft_s: Seconds | None = None
    tpot_s: Seconds | None = None
    e2e_s: Seconds | None = None
    max_one_way_ms: Positive | None = None  # its requests go to no region farther away than this
    model: Label | None = None  # that its requests ask for; default: the only one there is
    share: Positive = 1.0
    attain: Annotated[float, Field(gt=0, le=1)] | None = None  # share of its requests that must meet every limit


class Place(Model):
    """Where something stands. Both or neither; what a gateway does not say is its home's."""

    latitude_deg: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude_deg: Annotated[float, Field(ge=-180, le=180)] | None = None


class Gateway(Place):
    """Where requests enter. Exactly one of `load` (in capacities of its home region) and `rate_per_s` says how many."""

    load: NonNegative | None = None
    home: str | None = None  # the region whose capacity `load` counts in; default: the region of the same name
    rate_per_s: NonNegative | None = None
    time_zone: Annotated[str, Field(max_length=MOST_NAME)] | None = None  # IANA: "Europe/Berlin", summer time and all
    utc_offset_h: Annotated[float, Field(ge=-14, le=14)] | None = None  # or so far from UTC all year; default: 0
    regions: Annotated[tuple[str, ...] | None, Field(strict=False)] = None  # those it may use; default: all


class Serving(Model):
    """How replicas put their work together."""

    scheduler: Literal["prefill_first", "chunked"] = "prefill_first"
    max_batched_tokens: Annotated[int, Field(ge=1, le=MOST_TOKENS)] = 2048  # chunked: most tokens of a step
    block_tokens: Annotated[int, Field(ge=1, le=MOST_TOKENS)] = 16  # chunked: tokens of a block of the KV cache
    whole_prompts: bool = True  # chunked: admission needs blocks for all known tokens, not only for the first chunk
    replica_choice: Literal["fewest", "pack", "prefix"] = (
        "fewest"  # of a region's replicas, the one that gets a request
    )
    pack_to: Share = 0.7  # pack: share of max_batch up to which a replica is filled before the next
    pool_choice: Literal["least_loaded", "in_order"] = "least_loaded"  # of a region's pools of one model


class Region(Pool, Place):
    """Where requests may be served, with constant signals for what the signal source does not give."""

    pools: Annotated[tuple[RegionPool, ...], Field(strict=False)] = ()  # instead of replicas all alike
    capacity: Positive | None = None  # fluid engine in the paper's units: MW at full load, instead of a profile
    carbon_weight: NonNegative = 1.0  # of its footprints in the objective's norms
    water_weight: NonNegative = 1.0
    footprint_weights: dict[Name, NonNegative] = {}  # noqa: RUF012 (pydantic copies it)  # of the others; default: 1
    pue: Annotated[float, Field(ge=1, le=MOST)] | None = None
    price_usd_per_kwh: Number | None = None
    carbon_g_per_kwh: NonNegative | None = None
    wue_l_per_kwh: NonNegative | None = None
    ewif_l_per_kwh: NonNegative | None = None
    footprints: dict[Name, NonNegative] = {}  # noqa: RUF012  # series of the others, in their units
    cloud: Label | None = None  # "aws:eu-central-1": what it lends is in `clouds`
    signal: Label | None = None  # what it is called in the source of signals, if not by its own name


class Network(Model):
    """One-way latency: `base_s` + great-circle distance x `detour` at the speed of light in fibre; or a table."""

    base_s: OneWayS = 0.001
    detour: Annotated[float, Field(ge=1, le=1000)] = 1.5
    latency_s: dict[str, dict[str, OneWayS]] | None = None  # [gateway][region], overrides the distance


class Dispatch(Model):
    rule: Literal["weighted", "smooth", "least_loaded", "spillover", "plan_least_loaded"] = "smooth"
    affinity: Literal["request", "session_slot", "session"] = "request"  # how long a session keeps its region
    telemetry_s: SomeSeconds = 0.0
    spill_queue: Annotated[int, Field(ge=0, le=MOST)] = 8
    demand: Literal["truth", "last", "forecast"] = "truth"  # what policies know of the slot's demand
    max_utilisation: Annotated[float, Field(ge=1e-6, le=1)] = 0.9  # share of a region's capacity that plans may use
    timeout_s: Seconds | None = None  # patience in a queue; default: endless
    max_attempts: Annotated[int, Field(ge=1, le=1000)] = 3
    overload: Literal["error", "allow"] = "error"  # a slot's expected load beyond what plans may use: refuse, or try


class KnownAhead(Model):
    """What policies know beforehand: with "day_ahead", from `published_h` o'clock UTC on, tomorrow's prices."""

    price: Literal["none", "day_ahead"] = "none"
    published_h: Annotated[float, Field(ge=0, lt=24)] = 13.0


class PolicyChoice(BaseModel):
    """`name` is a built-in or "package.module:Class"; every other key is an argument of its constructor."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)
    name: File = "nearest"

    @property
    def arguments(self) -> dict[str, Any]:
        return dict(self.__pydantic_extra__ or {})

    @model_validator(mode="after")
    def _of_bearable_arguments(self) -> Self:
        refuse([line for key, value in self.arguments.items() for line in unbearable(value, f"policy.{key}")])
        return self


class Objective(Model):
    """Energy cost + mu_c * norm of the regions' carbon + mu_w * norm of their water + price of delay."""

    carbon_usd_per_t: NonNegative = 1500.0
    water_usd_per_m3: NonNegative = 60.0
    norm: Literal["inf", 1, 2] = "inf"  # of weighted regional footprints: the largest, the sum, or the Euclidean length
    delay_usd_per_s: NonNegative = 0.0  # per second that a request spends on the network or, as expected, in a queue
    queue_wait_s: Annotated[tuple[Knot, ...] | None, Field(strict=False, min_length=2)] = None  # [utilisation, mean s]

    @field_validator("norm", mode="before")
    @classmethod
    def _no_truth(cls, norm: Any) -> Any:
        """`true` would be taken for 1."""
        if isinstance(norm, bool):
            raise PydanticCustomError("literal_error", "", {"expected": "'inf', 1 or 2"})
        return norm


class Fault(Model):
    """A region is down, one of its signals is missing (`signal`), or it may draw `max_kw` at most, from `start_h` to
    `end_h` of real time."""

    region: str
    kind: Literal["outage", "signal", "power_cap"] | None = None  # None: "signal" if there is one, else "outage"
    max_kw: Positive | None = None  # power_cap: of IT power
    signal: Name | None = None  # "price", "carbon", "water" or another footprint's name
    start_h: Annotated[NonNegative, Field(le=MOST_H)]
    end_h: Annotated[Positive, Field(le=MOST_H)]


class Records(Model):
    attribution: Literal["marginal", "active", "full"] = "marginal"
    requests: Annotated[str, Field(pattern=r"^(all|none|sample:0?\.\d+)$")] = "all"  # which are kept, one row each

    @property
    def keep(self) -> float:
        """The share of requests that is kept."""
        kind, _, share = self.requests.partition(":")
        return float(share) if share else float(kind == "all")


class Scenario(Changeable):
    """A complete scenario. Tables of regions, gateways and SLO classes keep the order of the file."""

    name: Name
    description: Annotated[str, Field(max_length=10 * MOST_PATH), AfterValidator(prose)] = ""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    engine: Literal["auto", "simpy", "fast", "fluid"] = "auto"
    time: Time
    signals: SignalsSource = SignalsSource()
    workload: Workload = Workload()
    network: Network = Network()
    fleet: Pool = Pool()
    regions: Annotated[dict[Name, Region], Field(min_length=1)]
    gateways: Annotated[dict[Name, Gateway], Field(min_length=1)]
    slo: Annotated[dict[Name, Slo], Field(min_length=1)] = {"default": Slo()}  # noqa: RUF012 (pydantic copies it)
    serving: Serving = Serving()
    scaling: Scaling = Scaling()
    dispatch: Dispatch = Dispatch()
    known_ahead: KnownAhead = KnownAhead()
    policy: PolicyChoice = PolicyChoice()
    objective: Objective = Objective()
    footprints: dict[Name, Footprint] = {}  # noqa: RUF012  # beyond carbon and water
    faults: Annotated[tuple[Fault, ...], Field(strict=False)] = ()
    records: Records = Records()

    @property
    def by_request(self) -> bool:
        """Whether the engine simulates requests one by one, and not a flow."""
        return self.engine != "fluid"

    @property
    def in_megawatts(self) -> bool:
        """Whether regions have a capacity in MW instead of a profile, so that load is power and not requests."""
        return any(region.capacity is not None for region in self.regions.values())

    @model_validator(mode="before")
    @classmethod
    def _at_home(cls, document: Any) -> Any:
        """A gateway that does not say where it stands stands where its home does."""
        return at_home(document) if isinstance(document, Mapping) else document

    @model_validator(mode="after")
    def _rules_between_values(self) -> Self:
        refuse([str(problem) for problem in broken(self.model_dump())])
        return self


def load(source: str | Path, overrides: Sequence[str] = ()) -> tuple[Scenario, Path]:
    """The scenario in a file, or shipped under a bare name such as "llm10", and the path of the file that was read.

    `overrides` are `key.path=value` settings (`regions.*.replicas=4`), laid over the file in order.

    Raises `ScenarioError` with every problem of the file at once: no such file, TOML that does not parse, unknown
    keys, values and pairs of values that break a rule.
    """
    path = resources.find("scenarios", str(source))
    if path is None:
        raise ScenarioError(not_found(str(source)))
    place = place_of(path)
    try:
        text = reading.text(path, reading.MOST_TOML_BYTES)
        document = reading.toml(text)
    except reading.UnreadableError as error:
        raise ScenarioError(str(error), place) from error
    return made(Scenario, Said(document, path.parent, str(path), text, tuple(overrides))), path


def validate(document: dict[str, Any], place: str | None = None) -> Scenario:
    """The scenario that a plain document says. Raises `ScenarioError` with all its problems; `place` is named there."""
    return validated(Scenario, document, place)
