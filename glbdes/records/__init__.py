"""What happened: the books that must balance, the tables on disk, and the figures computed from them."""

from glbdes.records.metrics import Summary
from glbdes.records.writer import FORMAT, Records, Writer, file_info, finish, frame, open_run, reading

__all__ = ["FORMAT", "Records", "Summary", "Writer", "file_info", "finish", "frame", "open_run", "reading"]
