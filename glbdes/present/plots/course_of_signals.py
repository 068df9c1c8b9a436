"""Signals over time: a panel a signal, a line a region."""

import altair as alt
import pandas as pd
from altair.typing import ChartType

from glbdes.present.plots import style

TITLES = {
    "price_usd_per_kwh": "price, USD/kWh",
    "carbon_g_per_kwh": "carbon, g/kWh",
    "wue_l_per_kwh": "water on site, L/kWh",
    "ewif_l_per_kwh": "water off site, L/kWh",
    "pue": "PUE",
}


def signals(table: pd.DataFrame, *, width: int = style.WIDTH) -> ChartType:
    """Means of days or weeks (`glbdes.signals.describe.course`)."""
    regions = list(dict.fromkeys(table["region"]))
    panels = []
    for signal in dict.fromkeys(table["signal"]):
        shown = table[table["signal"] == signal]
        panels.append(
            alt.Chart(shown)
            .mark_line(strokeWidth=1.2)
            .encode(
                x=style.time(shown["time_utc"]),
                y=alt.Y("value:Q", title=TITLES[str(signal)], axis=style.amounts(shown["value"])),
                color=style.colour(regions, "region"),
                strokeDash=style.dash(regions, "region"),
                tooltip=["region:N", "time_utc:T", alt.Tooltip("value:Q", format=",.4")],
            )
            .properties(width=width - 70, height=110)
        )
    made: ChartType = alt.vconcat(*panels, spacing=18)
    return style.styled(made, width, regions)
