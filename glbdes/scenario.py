"""A scenario file as frozen, validated models: what to simulate, in the user's units.

This module owns the schema and the rules that one value, or two values of one file, must meet. Reading signals and
traces, and turning names into arrays, happens later.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Model(BaseModel):
    """Frozen, and closed to keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Time(Model):
    """The horizon: `slots` slots of `slot_s` seconds, of which `simulated_s_per_slot` are simulated."""

    slots: Annotated[int, Field(ge=1)]
    slot_s: Positive = 3600.0
    simulated_s_per_slot: Positive | None = None  # None: slot_s, nothing is compressed
    start_utc: datetime = datetime(2022, 9, 22)
    clock_ns: Annotated[int, Field(ge=1)] = 1

    @property
    def simulated_s(self) -> float:
        return self.simulated_s_per_slot if self.simulated_s_per_slot is not None else self.slot_s


class SignalsSource(Model):
    """Where price, carbon and water come from; values in a region's own table fill what the source lacks."""

    source: str = "constant"  # "constant"; a file (shipped, or beside the scenario); or a folder in the authors' layout
    missing: Literal["error", "hold"] = "error"  # a gap in the file: refuse, or hold the last value
    max_stale_slots: Annotated[int, Field(ge=1)] = 24


class Lengths(Model):
    """Joint law of prompt and output tokens."""

    law: Literal["azure_conv", "fixed", "geometric", "trace"] = "azure_conv"
    prompt_tokens: Positive | None = None  # fixed and geometric: the mean
    output_tokens: Positive | None = None
    file: str | None = None  # trace: lengths drawn with replacement from this request trace
    max_tokens: Annotated[int, Field(ge=2)] = 32768  # prompt + output; longer draws are cut


class Workload(Model):
    """When requests arrive and how long they are. A gateway's mean rate is its `load` or `rate_per_s`, times the shape."""

    arrivals: Literal["poisson", "gamma", "mmpp", "replay"] = "poisson"
    shape: Literal["constant", "diurnal", "trace"] = "constant"  # of the mean rate over the slots
    diurnal_amplitude: Annotated[float, Field(ge=0, lt=1)] = 0.4  # peak is 1 + amplitude times the mean
    diurnal_peak_h: Annotated[float, Field(ge=0, lt=24)] = 14.0  # local hour of the peak
    load_file: str | None = None  # shape "trace": a load per slot (column `load`), for all gateways
    load_scale: Positive = 1.0  # multiplies every gateway's rate
    burstiness_cv2: Annotated[float, Field(gt=0)] = 4.0  # gamma: squared coefficient of variation of the gaps
    burst_factor: Annotated[float, Field(gt=1)] = 4.0  # mmpp: rate in a burst / mean rate outside one
    burst_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1  # mmpp: share of time in bursts
    burst_mean_s: Positive = 5.0  # mmpp: mean length of a burst
    file: str | None = None  # replay: the request trace
    replay_rate_factor: Positive = 1.0  # replay: compress (> 1) or stretch the trace's clock
    lengths: Lengths = Lengths()


class Slo(Model):
    """A class of requests and what its users expect; `share` of the requests belong to it."""

    ttft_s: Positive | None = None
    tpot_s: Positive | None = None
    e2e_s: Positive | None = None
    share: Positive = 1.0


class Place(Model):
    """Where something stands."""

    latitude_deg: Annotated[float, Field(ge=-90, le=90)] = 0.0
    longitude_deg: Annotated[float, Field(ge=-180, le=180)] = 0.0


class Gateway(Place):
    """Where requests enter. Exactly one of `load` (in capacities of its home region) and `rate_per_s` says how many."""

    load: NonNegative | None = None
    home: str | None = None  # the region whose capacity `load` counts in; default: the region of the same name
    rate_per_s: NonNegative | None = None
    utc_offset_h: Annotated[float, Field(ge=-14, le=14)] = 0.0
    regions: tuple[str, ...] | None = None  # the regions it may use; default: all


class Pool(Model):
    """The replicas of a region. Every key may stand in [fleet] for all regions or in a region's own table."""

    profile: str | None = None  # a shipped profile's name, or a profile file
    replicas: Annotated[int, Field(ge=1)] | None = None
    max_batch: Annotated[int, Field(ge=1)] | None = None  # default: the profile's
    kv_tokens: Annotated[int, Field(ge=2)] | None = None  # default: the profile's
    max_queue: Annotated[int, Field(ge=0)] | None = None  # default: unbounded
    host_w: NonNegative | None = None  # default: the profile's
    idle_w: NonNegative | None = None
    sleep_after_s: NonNegative | None = None  # default: never
    wake_s: NonNegative | None = None


class Region(Pool, Place):
    """Where requests may be served, with constant signals for what the signal source does not give."""

    capacity: Positive | None = None  # fluid engine in the paper's units: MW at full load, instead of a profile
    pue: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    price_usd_per_kwh: Annotated[float, Field(allow_inf_nan=False)] | None = None
    carbon_g_per_kwh: NonNegative | None = None
    wue_l_per_kwh: NonNegative | None = None
    ewif_l_per_kwh: NonNegative | None = None


class Network(Model):
    """One-way latency: `base_s` + great-circle distance x `detour` at the speed of light in fibre; or a table."""

    base_s: NonNegative = 0.001
    detour: Annotated[float, Field(ge=1)] = 1.5
    latency_s: dict[str, dict[str, NonNegative]] | None = None  # [gateway][region], overrides the distance


class Dispatch(Model):
    rule: Literal["weighted", "smooth", "least_loaded", "spillover"] = "smooth"
    telemetry_s: NonNegative = 0.0
    spill_queue: Annotated[int, Field(ge=0)] = 8
    demand: Literal["truth", "last", "forecast"] = "truth"  # what policies know of the slot's demand
    max_utilisation: Annotated[float, Field(gt=0, le=1)] = 0.9  # share of a region's capacity that plans may use
    timeout_s: Positive | None = None  # patience in a queue; default: endless
    max_attempts: Annotated[int, Field(ge=1)] = 3


class PolicyChoice(BaseModel):
    """`name` is a built-in or "package.module:Class"; every other key is an argument of its constructor."""

    model_config = ConfigDict(frozen=True, extra="allow")
    name: str = "nearest"

    @property
    def arguments(self) -> dict[str, Any]:
        return dict(self.__pydantic_extra__ or {})


class Objective(Model):
    """The prices of equity (the paper's mu): energy cost + mu_c * max carbon + mu_w * max water."""

    carbon_usd_per_t: NonNegative = 1500.0
    water_usd_per_m3: NonNegative = 60.0


class Fault(Model):
    """A region is down (`signal` absent) or one of its signals is missing, from `start_h` to `end_h` of real time."""

    region: str
    signal: Literal["price", "carbon", "water"] | None = None
    start_h: NonNegative
    end_h: Positive


class Records(Model):
    attribution: Literal["marginal", "full"] = "marginal"


class Scenario(Model):
    """A complete scenario. Tables of regions, gateways and SLO classes keep the order of the file."""

    name: Name
    description: str = ""
    seed: Annotated[int, Field(ge=0)] = 1
    engine: Literal["simpy", "fluid"] = "simpy"
    time: Time
    signals: SignalsSource = SignalsSource()
    workload: Workload = Workload()
    network: Network = Network()
    fleet: Pool = Pool()
    regions: Annotated[dict[Name, Region], Field(min_length=1)]
    gateways: Annotated[dict[Name, Gateway], Field(min_length=1)]
    slo: dict[Name, Slo] = {"default": Slo()}
    dispatch: Dispatch = Dispatch()
    policy: PolicyChoice = PolicyChoice()
    objective: Objective = Objective()
    faults: tuple[Fault, ...] = ()
    records: Records = Records()
