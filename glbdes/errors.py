"""The exceptions of the package: one tree, one root.

The command line turns every `GlbdesError` into one message and exit code 2. Anything else that escapes is a bug.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class GlbdesError(Exception):
    """Root of all errors that a user can cause and mend."""


class ScenarioError(GlbdesError):
    """A scenario that cannot be simulated. `problems` holds one line for each fault found, all of them at once."""

    def __init__(self, problems: Sequence[str] | str, source: str | None = None) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        self.source = source
        place = f" ({source})" if source else ""
        super().__init__("\n".join(f"{problem}{place}" for problem in self.problems))


class SignalError(GlbdesError):
    """A price, carbon or water series that is missing, incomplete or in the wrong unit."""


class TraceError(GlbdesError):
    """A request trace or token-length table that cannot be replayed."""


class ProfileError(GlbdesError):
    """A replica profile or the measurements behind it that make no physical sense."""


class PolicyError(GlbdesError):
    """A policy that cannot be loaded, raises, or returns a plan that breaks the contract."""


class RefusalError(PolicyError):
    """An objective that the policy does not know, said by the policy itself."""


class InfeasibleError(GlbdesError):
    """More load than the regions open to it can serve."""


class RecordsError(GlbdesError):
    """A run folder that is missing, incomplete or damaged."""


class InvariantError(GlbdesError):
    """A finished run whose books do not balance: lost requests, or energy that no meter saw."""


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the known name closest to `name`, or an empty string."""
    match = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{match[0]}'?" if match else ""
