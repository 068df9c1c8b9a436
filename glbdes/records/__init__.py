"""What happened: the books that must balance, the tables on disk, and the figures computed from them."""

from glbdes.records.metrics import Summary
from glbdes.records.writer import Records

__all__ = ["Records", "Summary"]
