"""Fits `glbdes/signals/statistics/llm10.json`, all that the generator knows, to the authors' record.

python docs/scripts/fit_statistics.py ../shared/data/paper
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from glbdes.signals import fit, synthetic
from glbdes.signals.authors import read_authors, read_authors_load

EUROPE = ("germany", "belgium", "netherlands", "denmark")
REGIONS = ("texas", "virginia", "georgia", "nevada", *EUROPE, "japan", "singapore")
TARIFF_HOURS = (10, 15)  # UTC, both included
TARIFF_STEP_H = 216  # 1 October, 00 UTC


def fitted(folder: Path) -> str:
    """The text of the statistics of the record in `folder`."""
    table = read_authors(folder)
    rows = {region: table[table["region"] == region] for region in REGIONS}
    columns = ("price_usd_per_kwh", "carbon_g_per_kwh", "wue_l_per_kwh")
    record = {(region, column): rows[region][column].to_numpy() for region in REGIONS for column in columns}
    load = read_authors_load(folder)
    source = "statistics of the authors' record of arXiv 2307.05494, hourly, UTC"
    start_utc = table["time_utc"].min().to_pydatetime()
    return fit.to_json(fit.fitted(record, start_utc, load, source, tariff=as_tariff, load_cycle=False))


def as_tariff(region: str, price: np.ndarray) -> synthetic.Tariff | None:
    """The tariff that `price` is, exactly; None if it is a market price."""
    base = (float(price[0]), float(price[-1]))
    tariff = synthetic.Tariff(region, base, 4.0, *TARIFF_HOURS, TARIFF_STEP_H)
    made = synthetic._tariff(tariff, pd.Timestamp("2022-09-22").to_pydatetime(), len(price))
    return tariff if np.allclose(made, price, rtol=1e-9) else None


if __name__ == "__main__":
    synthetic.STATISTICS.write_text(fitted(Path(sys.argv[1])))
