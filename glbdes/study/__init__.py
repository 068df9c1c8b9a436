"""What one does with it: run, compare, sweep, report."""

from glbdes.study.comparison import Comparison, compare
from glbdes.study.run import Run, simulate

__all__ = ["Comparison", "Run", "compare", "simulate"]
