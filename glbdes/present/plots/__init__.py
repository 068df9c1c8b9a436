"""Figures: functions of tables that return altair charts, wide for a desk or narrow for a phone.

Tables come from `glbdes.records.extracts` and `glbdes.records.headline`; nothing here reads records.
"""

from glbdes.present.plots.course import duals, footprints
from glbdes.present.plots.equity import burden, front
from glbdes.present.plots.flow import by_hour, matrix, world_map
from glbdes.present.plots.service import energy, latency

__all__ = ["burden", "by_hour", "duals", "energy", "footprints", "front", "latency", "matrix", "world_map"]
