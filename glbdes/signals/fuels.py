"""Water and carbon of a kWh by the fuels it is made of: sets of factors as data, with their sources, in `factors/`.

What hydropower uses is 0 or 17 L/kWh by set: no set is the default.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from glbdes.errors import SignalError
from glbdes.units import KWH_PER_MWH, L_PER_GAL

Floats = NDArray[np.float64]
Quantity = Literal["water", "carbon"]

FUELS: Final = (
    "coal",
    "gas",
    "oil",
    "nuclear",
    "hydro",
    "wind",
    "solar",
    "biomass",
    "geothermal",
    "waste",
    "other",
)
SETS: Final[Mapping[Quantity, tuple[str, ...]]] = {
    "water": ("ren", "macknick", "waterwise"),
    "carbon": ("ipcc", "ren", "waterwise"),
}
UNITS: Final = {"gal/MWh": L_PER_GAL / KWH_PER_MWH, "L/kWh": 1.0, "g/kWh": 1.0}  # x theirs = L or g per kWh
MOST_UNKNOWN: Final = 0.1  # of energy, from fuels that a set does not know
LEAST_SHARE: Final = 0.01  # of energy: a cell of such a fuel must be there


@dataclass(frozen=True)
class Factors:
    """What a kWh of each fuel is worth: L or g per kWh by fuel; fuels that are not there are unknown to the set."""

    name: str
    quantity: Quantity
    per_kwh: Mapping[str, float]
    source: str
    note: str


@dataclass(frozen=True)
class Mix:
    """Energy by fuel in the order of rows: float[n], >= 0, NaN where unknown; and how many cells were below zero."""

    energy: Mapping[str, Floats]
    negative: int

    def shares(self) -> dict[str, float]:
        """Of all energy, by fuel."""
        sums = {fuel: float(np.nansum(values)) for fuel, values in self.energy.items()}
        total = sum(sums.values())
        return {fuel: value / total if total else 0.0 for fuel, value in sums.items()}


def factors(name: str, quantity: Quantity) -> Factors:
    """The set called `name`, one of `SETS[quantity]`."""
    read = json.loads((files("glbdes.signals") / "factors" / f"{name}.json").read_text(encoding="utf-8"))
    by_fuel = dict(read[quantity])
    unit = UNITS[by_fuel.pop("unit")]
    return Factors(
        name, quantity, {fuel: unit * value for fuel, value in by_fuel.items()}, read["source"], read["note"]
    )


def mix(parts: Mapping[str, Floats]) -> Mix:
    """Energy by fuel as one mix: below zero (own use of a plant that stands still) counts as nothing.

    A row is unknown where a fuel that makes 1 % of the energy or more has no cell; empty cells of others are nothing.
    """
    negative = sum(int((values < 0).sum()) for values in parts.values())
    found = Mix({fuel: np.maximum(values, 0.0) for fuel, values in parts.items()}, negative)
    shares = found.shares()
    rows = len(next(iter(parts.values()))) if parts else 0
    unknown = np.zeros(rows, dtype=bool)
    for fuel, values in found.energy.items():
        if shares[fuel] >= LEAST_SHARE:
            unknown |= np.isnan(values)
    energy = {fuel: np.where(unknown, np.nan, np.nan_to_num(values)) for fuel, values in found.energy.items()}
    return Mix(energy, negative)


def intensity(found: Mix, by: Factors, place: str) -> tuple[Floats, float]:
    """L or g per kWh in each row, float[n], NaN where unknown or nothing is made; the share without a factor.

    Energy of fuels that the set does not know is taken to be as the rest. Raises `SignalError` if it is more than a
    tenth.
    """
    without = {fuel: share for fuel, share in found.shares().items() if fuel not in by.per_kwh and share > 0}
    if (unknown := sum(without.values())) > MOST_UNKNOWN:
        told = ", ".join(f"{fuel} {share:.1%}" for fuel, share in without.items())
        others = " or ".join(name for name in SETS[by.quantity] if name != by.name)
        option = "--ewif" if by.quantity == "water" else "--carbon"
        rule = f"must be at most {MOST_UNKNOWN:.0%} of the energy; take {option} {others}"
        raise SignalError(f"{place}: {option} {by.name} has no factor of {told}: {rule}")
    rows = len(next(iter(found.energy.values())))
    amount, energy = np.zeros(rows), np.zeros(rows)
    for fuel, values in found.energy.items():
        if fuel in by.per_kwh:
            amount, energy = amount + values * by.per_kwh[fuel], energy + values
    per_kwh = np.divide(amount, energy, out=np.full(rows, np.nan), where=energy > 0)
    return per_kwh, unknown
