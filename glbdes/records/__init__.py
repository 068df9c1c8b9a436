"""What happened: the books that must balance, the tables on disk, and the figures computed from them."""

from glbdes.records.metrics import Summary
from glbdes.records.writer import FORMAT, Records, Writer, open_run, reading, write_json

__all__ = ["FORMAT", "Records", "Summary", "Writer", "open_run", "reading", "write_json"]
