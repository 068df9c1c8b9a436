"""The exceptions of the package: one tree, one root.

The command line turns every `GlbdesError` into one message and exit code 2. Anything else that escapes is a bug.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import Final

MOST_PROBLEMS: Final = 20  # that are told of one by one
MOST_SHOWN: Final = 200  # characters of one thing that a user wrote
MOST_KNOWN: Final = 1000  # names that are searched for a near one


class GlbdesError(Exception):
    """Root of all errors that a user can cause and mend."""


class ScenarioError(GlbdesError):
    """A scenario that cannot be simulated. `problems` holds one line for each fault found, all of them at once."""

    def __init__(self, problems: Sequence[str] | str, source: str | None = None) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        self.source = source
        place = f" ({source})" if source else ""
        told = [f"{problem}{place}" for problem in self.problems[:MOST_PROBLEMS]]
        if len(self.problems) > MOST_PROBLEMS:
            told.append("and more")
        super().__init__("\n".join(told))


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
    if len(name) > MOST_SHOWN:
        return ""
    match = get_close_matches(name, list(islice(known, MOST_KNOWN)), n=1, cutoff=0.5)
    return f"; did you mean '{brief(match[0])}'?" if match else ""


def brief(written: object, most: int = MOST_SHOWN) -> str:
    """What a user wrote, on one line and not too long: the middle left out, what does not print escaped."""
    try:
        text = str(written)
    except ValueError:  # Python writes no number of thousands of digits
        text = "a number of thousands of digits"
    if len(text) > most:
        text = f"{text[: most // 2]} ... {text[-most // 4 :]}"
    return printable(text)


def printable(text: str, kept: str = "") -> str:
    """`text`, escaped where a terminal might obey or could not show it, but for the characters `kept`."""
    return "".join(one if one.isprintable() or one in kept else ascii(one)[1:-1] for one in text)
