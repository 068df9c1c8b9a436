"""What a replica takes: the physics of a batching server, measured profiles, and how they are fitted."""

from glbdes.hardware.profile import Profile

__all__ = ["Profile"]
