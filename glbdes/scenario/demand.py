"""When requests arrive and how long they are: the tables of a scenario that say so."""

from typing import Annotated, Literal

from pydantic import Field

from glbdes.scenario.kinds import File, Model, Positive, Seconds, Tokens
from glbdes.scenario.sizes import MOST_TOKENS


class Lengths(Model):
    """Joint law of prompt and output tokens."""

    law: Literal["azure_conv", "fixed", "geometric", "trace"] = "azure_conv"
    prompt_tokens: Tokens | None = None  # fixed and geometric: the mean
    output_tokens: Tokens | None = None
    file: File | None = None  # trace: lengths drawn with replacement from this request trace
    max_tokens: Annotated[int, Field(ge=2, le=MOST_TOKENS)] = 32768  # prompt + output; longer draws are cut


class Sessions(Model):
    """Conversations: every turn is a request that begins with all that was said before."""

    turns: Annotated[float, Field(ge=1, le=1000)] = 5.0  # of a session in the mean; geometric
    think_s: Seconds = 60.0  # from the arrival of a turn to that of the next, in the mean; exponential
    system_tokens: Annotated[int, Field(ge=0, le=MOST_TOKENS)] = 0  # with which all sessions begin


class Workload(Model):
    """When requests arrive and how long they are. A gateway's mean rate is `load` or `rate_per_s` times the shape."""

    arrivals: Literal["poisson", "gamma", "mmpp", "replay"] = "poisson"
    shape: Literal["constant", "diurnal", "trace"] = "constant"  # of the mean rate over the slots
    diurnal_amplitude: Annotated[float, Field(ge=0, lt=1)] = 0.4  # peak is 1 + amplitude times the mean
    diurnal_peak_h: Annotated[float, Field(ge=0, lt=24)] = 14.0  # local hour of the peak
    load_file: File | None = None  # shape "trace": a load per slot (column `load`, or one named like each gateway)
    load_scale: Positive = 1.0  # multiplies every gateway's rate
    burstiness_cv2: Annotated[float, Field(ge=1e-4, le=1e4)] = (
        4.0  # gamma: squared coefficient of variation of the gaps
    )
    burst_factor: Annotated[float, Field(gt=1, le=1e6)] = 4.0  # mmpp: rate in a burst / mean rate outside one
    burst_fraction: Annotated[float, Field(ge=1e-6, le=1 - 1e-6)] = 0.1  # mmpp: share of time in bursts
    burst_mean_s: Seconds = 5.0  # mmpp: mean length of a burst
    file: File | None = None  # replay: the request trace
    replay_rate_factor: Positive = 1.0  # replay: compress (> 1) or stretch the trace's clock
    replay_loop: bool = False  # replay: begin the trace again at its end, instead of refusing a longer horizon
    prefix_block_tokens: Annotated[int, Field(ge=1, le=MOST_TOKENS)] = 512  # replay: tokens of one of `prefix_blocks`
    lengths: Lengths = Lengths()  # with sessions: of what each turn adds
    sessions: Sessions | None = None  # None: requests have nothing to do with one another
