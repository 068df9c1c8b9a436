"""Draw docs/figures/delay_knob.svg: latency against cost and equity, by the price of a second of delay.

    python docs/scripts/make_delay_knob.py

llm10, hour by hour, with the numbers of `policy_tables.py delay`.
"""

from pathlib import Path

import altair as alt
import pandas as pd
from policy_tables import knob

from glbdes.plots import style

FIGURE = Path(__file__).resolve().parents[1] / "figures/delay_knob.svg"


def main() -> None:
    rows = pd.DataFrame([row._asdict() for row in knob()])
    rows["price"] = [f"{price:g}" for price in rows["usd_per_s"]]
    x = alt.X("network_ms:Q", title="network, ms per request", scale=alt.Scale(type="log", domain=[1.5, 150]))
    y = alt.Y("rest_usd:Q", title="cost + carbon + water, USD", scale=alt.Scale(zero=False), axis=alt.Axis(format=","))
    base = alt.Chart(rows).encode(x=x, y=y, color=alt.Color("label:N", title=None))
    lines = base.mark_line(point=True).encode(order="usd_per_s:Q")
    text = base.mark_text(align="left", dx=6, dy=-6).encode(text="price:N")
    labels = text.transform_filter((alt.datum.label == "offline optimum") & (alt.datum.usd_per_s <= 1e-4))
    chart = (lines + labels).properties(width=480, height=280)
    style(chart).save(FIGURE)
    style(chart).save("/tmp/delay_knob.png", scale_factor=2)


if __name__ == "__main__":
    main()
