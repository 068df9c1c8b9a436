"""Draw docs/figures/delay_knob.svg: latency against cost and equity, by the price of a second of delay.

    python docs/scripts/make_delay_knob.py

llm10, hour by hour, with the numbers of `policy_tables.py delay`.
"""

from pathlib import Path

import altair as alt
import pandas as pd
from policy_tables import knob

from glbdes.present.plots import style

FIGURE = Path(__file__).resolve().parents[1] / "figures/delay_knob.svg"


def main() -> None:
    rows = pd.DataFrame([row._asdict() for row in knob()])
    rows["price"] = [f"{price:g}" for price in rows["usd_per_s"]]
    x_scale = alt.Scale(type="log", domain=[1.5, 50])
    axis = alt.Axis(values=[2, 5, 10, 20, 50])
    x = alt.X("network_ms:Q", title="Network of a request, ms both ways", scale=x_scale, axis=axis)
    y_title = "Cost + priced largest carbon and water, USD"
    y = alt.Y("rest_usd:Q", title=y_title, scale=alt.Scale(zero=False), axis=alt.Axis(format=",.0f"))
    names = list(rows["label"].unique())
    base = alt.Chart(rows).encode(x, y)
    lines = base.mark_line(point=True).encode(style.colour(names, "label"), style.dash(names, "label"))
    lines = lines.encode(order="usd_per_s:Q")
    told = alt.Chart(rows[(rows["label"] == names[0]) & (rows["usd_per_s"] <= 2e-4)]).encode(x, y)
    prices = told.mark_text(align="right", dx=-7, dy=7).encode(text="price:N")
    (lines + prices).properties(width=460, height=280).save(FIGURE)


if __name__ == "__main__":
    main()
