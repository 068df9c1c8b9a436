"""What a replica takes, and what pools of them can do: physics of a batching server, measured profiles, their fit."""

from glbdes.hardware.fleet import Fleet, Service, megawatts, replicas
from glbdes.hardware.profile import Profile

__all__ = ["Fleet", "Profile", "Service", "megawatts", "replicas"]
