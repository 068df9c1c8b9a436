"""Draw docs/figures/duals.svg: the prices of each region's carbon over time, learnt and optimal.

    python docs/scripts/make_duals.py

The scenario `paper` on its synthetic signals, fluid engine; the offline optimum's dual prices are dashed.
"""

from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd

from glbdes import policy
from glbdes.engine import fluid
from glbdes.optimum import offline
from glbdes.present.plots import style
from glbdes.scenario import model as scenario
from glbdes.units import H_PER_DAY, KG_PER_T
from glbdes.world import SlotRecord, build

FIGURE = Path(__file__).resolve().parents[1] / "figures/duals.svg"
POLICIES = {
    "eglb as published": ("eglb", {"map": "euclidean"}),
    "eglb": ("eglb", {}),
    "eglb_simplex": ("eglb_simplex", {}),
    "receding_horizon": ("receding_horizon", {}),
}
SHOWN = ("texas", "georgia", "japan", "singapore")  # the regions that the optimum prices most


class Kept:
    """A sink that keeps the carbon prices of every slot."""

    def __init__(self) -> None:
        self.usd_per_kg: list[np.ndarray] = []

    def requests(self, chunk: object) -> None:
        """A flow has none."""

    def slot(self, record: SlotRecord) -> None:
        self.usd_per_kg.append(record.duals["carbon"])


def main() -> None:
    loaded, path = scenario.load("paper", ("known_ahead.price=day_ahead",))
    world = build.build(loaded, path.parent)
    names = list(loaded.regions)
    optimum = offline.solve(world).carbon_usd_per_kg
    rows = []
    for label, (name, arguments) in POLICIES.items():
        kept = Kept()
        fluid.run(world, policy.load(name, arguments), kept, policy_name=name)
        for region in SHOWN:
            r = names.index(region)
            rows += [
                {"policy": label, "region": region, "day": slot / H_PER_DAY, "price": usd[r] * KG_PER_T}
                for slot, usd in enumerate(kept.usd_per_kg)
            ]
    ends = [
        {"policy": label, "region": region, "day": day, "price": optimum[names.index(region)] * KG_PER_T}
        for label in POLICIES
        for region in SHOWN
        for day in (0.0, world.slots / H_PER_DAY)
    ]
    x = alt.X("day:Q", title="Day", scale=alt.Scale(domain=[0, world.slots / H_PER_DAY], nice=False))
    y = alt.Y("price:Q", title="Price of carbon, USD/t")
    colour = style.colour(SHOWN, "region")
    table = pd.concat([pd.DataFrame(rows).assign(kind="learnt"), pd.DataFrame(ends).assign(kind="optimum")])
    base = alt.Chart(table).encode(x, y, colour)
    learnt = base.transform_filter("datum.kind == 'learnt'").mark_line(strokeWidth=1)
    optimal = base.transform_filter("datum.kind == 'optimum'").mark_line(strokeWidth=1.5, strokeDash=[5, 4])
    panels = alt.layer(learnt, optimal).properties(width=300, height=170)
    panels.facet(facet=alt.Facet("policy:N", title=None, sort=list(POLICIES)), columns=2).save(FIGURE)


if __name__ == "__main__":
    main()
