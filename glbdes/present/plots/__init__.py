"""Figures: functions of tables that return altair charts, wide for a desk or narrow for a phone.

Tables come from `glbdes.records.extracts`, `daily` and `headline`; nothing here reads records.
"""

from glbdes.present.plots.atlas import world_map
from glbdes.present.plots.course import duals, footprints
from glbdes.present.plots.equity import burden, front
from glbdes.present.plots.explore import MEAN, explorer
from glbdes.present.plots.flow import by_hour, matrix
from glbdes.present.plots.knob import knob
from glbdes.present.plots.over_time import timeline
from glbdes.present.plots.service import energy, latency

__all__ = [
    "MEAN",
    "burden",
    "by_hour",
    "duals",
    "energy",
    "explorer",
    "footprints",
    "front",
    "knob",
    "latency",
    "matrix",
    "timeline",
    "world_map",
]
