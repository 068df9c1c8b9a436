"""Figures: functions of tables that return altair charts, wide for a desk or narrow for a phone.

Tables come from `glbdes.extracts` and `glbdes.headline`; nothing here reads records.
"""

from glbdes.plots.course import duals, footprints
from glbdes.plots.equity import burden, front
from glbdes.plots.flow import by_hour, matrix, world_map
from glbdes.plots.service import energy, latency

__all__ = ["burden", "by_hour", "duals", "energy", "footprints", "front", "latency", "matrix", "world_map"]
