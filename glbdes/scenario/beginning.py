"""A first scenario for a fleet of one's own: a commented TOML file from a few answers."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from glbdes.scenario import clouds
from glbdes.scenario.schema import LINE

CONSTANTS: Final[Mapping[str, str]] = {  # what every region needs of somebody, and what it is
    "price_usd_per_kwh": "of the power it buys",
    "carbon_g_per_kwh": "CO2 equivalent of a kWh of its grid",
    "ewif_l_per_kwh": "water that its power plants evaporate, of a kWh",
    "wue_l_per_kwh": "water that its cooling evaporates, of an IT kWh",
    "pue": "power of the whole building over that of its servers",
}
SIMULATED_S: Final = 60.0  # of each hour


class Answers(NamedTuple):
    """What one says of one's fleet."""

    name: str
    regions: tuple[clouds.Cloud, ...]
    profile: str
    replicas: tuple[int, ...]  # [region]
    load: float  # mean arrival rate at each region's gateway, as a share of what the region can serve
    constants: Mapping[str, tuple[float | None, ...]]  # [region] by key; None: nobody said, or the cloud's own
    signals: str | None  # a file beside the scenario, or elsewhere
    start_utc: datetime
    days: int


def region_names(regions: Sequence[clouds.Cloud]) -> list[str]:
    """What they are called: their town, with the provider where two would be called the same."""
    towns = [_plain(one.place.partition(",")[0]) for one in regions]
    return [
        town if towns.count(town) == 1 else f"{town}_{one.provider}" for town, one in zip(towns, regions, strict=True)
    ]


def written(answers: Answers) -> str:
    """The scenario as a file's contents."""
    names = region_names(answers.regions)
    regions = [_region(answers, i, name) for i, name in enumerate(names)]
    gateways = [f"[gateways.{name}]\nload = {answers.load:g}\n" for name in names]
    source = "" if answers.signals is None else f'\n[signals]             # hourly\nsource = "{answers.signals}"\n'
    return f"{LINE}\n" + HEAD.format(
        name=answers.name,
        slots=24 * answers.days,
        simulated_s=SIMULATED_S,
        start=answers.start_utc.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        signals=source,
        profile=answers.profile,
        regions="\n".join(regions),
        gateways="\n".join(gateways),
    )


def _region(answers: Answers, i: int, name: str) -> str:
    one = answers.regions[i]
    lines = [f"[regions.{name}]", f'cloud = "{one.name}"', f"replicas = {answers.replicas[i]}"]
    lent = {key: value for key, value in one.constants.items() if answers.constants[key][i] is None}
    lines += [f"# {key} = {value:g} is what its provider publishes" for key, value in lent.items()]
    said = {key: values[i] for key, values in answers.constants.items()}
    told = {key: f"  # {what}" if i == 0 else "" for key, what in CONSTANTS.items()}
    lines += [f"{key} = {said[key]:g}{what}" for key, what in told.items() if said[key] is not None]
    return "\n".join(lines) + "\n"


def _plain(place: str) -> str:
    letters = unicodedata.normalize("NFKD", place).encode("ascii", "ignore").decode().lower()
    return re.sub("[^a-z0-9]+", "_", letters).strip("_")


HEAD: Final = """\
# A fleet of one's own. Units are in the keys' names; docs/scenario.md lists every key, and editors complete them.
#
#     glbdes check FILE       what would be simulated
#     glbdes simulate FILE    one run, under the policy below
#     glbdes compare FILE     several policies on the same requests

name = "{name}"

[time]
slots = {slots}              # hourly slots ...
slot_s = 3600.0
simulated_s_per_slot = {simulated_s} # ... of which so much is simulated, and scaled up; without it: all
start_utc = {start}
{signals}
[workload]
arrivals = "poisson"    # or "gamma", "mmpp" (bursts), "replay" (of a request trace, in `file`)
shape = "diurnal"       # each gateway busiest in its own afternoon; or "constant", "trace" (`load_file`)
diurnal_amplitude = 0.4

[workload.lengths]
law = "azure_conv"      # prompts and answers of a chat service; or "trace": your own requests, in `file`

[slo.interactive]       # what users expect; attainment is told for every class
ttft_s = 1.0            # first token, network both ways included
tpot_s = 0.05           # every further one

[fleet]                 # what all regions have in common
profile = "{profile}"  # `glbdes profile list` has others, `glbdes profile fit` makes one of measurements
host_w = 290.0          # an assumption: what the server around each GPU draws

{regions}
# Where requests enter: one gateway in each region. `load` is its mean arrival rate as a share of what the region can
# serve; `rate_per_s` says it in requests/s instead.

{gateways}
[policy]
name = "eglb_simplex"   # or nearest, cost, carbon, water, ...; `glbdes compare` runs several

[objective]             # prices of the largest regional footprint: what equity is worth
carbon_usd_per_t = 1500.0
water_usd_per_m3 = 60.0
"""
