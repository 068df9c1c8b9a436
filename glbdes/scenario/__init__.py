"""What the user wrote: the model of a scenario file, its rules, its complaints, `--set`."""

from glbdes.scenario.model import Scenario, load, validate

__all__ = ["Scenario", "load", "validate"]
