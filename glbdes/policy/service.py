"""A policy as a service: what it is asked, what it answers, whose turn it is. How it travels is in `study.serving`.

A session is one run's policy, fresh when it begins, with the past that it was shown. A view without a session is
answered by a policy of its own, which knows nothing of any other view.
"""

from collections import OrderedDict
from collections.abc import Callable
from importlib.metadata import version
from threading import Lock
from typing import Annotated, Any, Final, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from glbdes.errors import PolicyError, brief
from glbdes.policy.wire import Arrays, decode, encode
from glbdes.world import Floats, Outcome, Policy, View, guard
from glbdes.world.scaling import Plan
from glbdes.world.view import observer

FORMAT: Final = 1  # of questions and answers
MOST_SESSIONS: Final = 256  # the one that was not used for the longest time goes first

SessionId = Annotated[str, Field(min_length=1, max_length=100)]


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class PlanQuestion(_Said):
    """POST /plan: which weights for this view?"""

    view: dict[str, Any]  # the fields of `glbdes.world.View`
    session: SessionId | None = None
    begin: bool = False  # with a fresh policy


class ObserveQuestion(_Said):
    """POST /observe: this is what the slot turned out to be."""

    outcome: dict[str, Any]  # the fields of `glbdes.world.Outcome`
    session: SessionId


class PlanAnswer(_Said):
    """The plan, what else it says, and the prices of footprints that the policy then shows, if any."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)
    weights: list[list[float]]  # [gateway][region]; the other fields of `glbdes.world.scaling.Plan` beside it
    duals: dict[str, list[float]] | None = None


class About(_Said):
    """GET /: who is there."""

    service: str = "glbdes"
    format: int = FORMAT
    version: str
    policy: str
    observes: bool  # whether it wants to know what slots turned out to be


Question = TypeVar("Question", bound=_Said)


class UnknownSessionError(PolicyError):
    """A session that has not begun, or was forgotten for newer ones."""


class MalformedError(PolicyError):
    """A question that is none."""


class _Session:
    def __init__(self, policy: Policy, name: str) -> None:
        self.policy = policy
        self.tell = observer(policy, name)
        self.shown: Arrays = {}


class Service:
    """Answers questions about plans with policies that `make` makes; one at a time."""

    def __init__(self, name: str, make: Callable[[], Policy]) -> None:
        self.name = name
        self._make = make
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._turn = Lock()
        self._observes = self._new().tell is not None

    def about(self) -> About:
        """Who is there."""
        return About(version=version("glbdes"), policy=self.name, observes=self._observes)

    def plan(self, question: object) -> PlanAnswer:
        """The answer to a `PlanQuestion`. Raises `PolicyError` for what the policy does wrong, and of its kinds
        `MalformedError` for a question that is none, `UnknownSessionError` for a session that has not begun.
        """
        asked = _asked(PlanQuestion, question)
        with self._turn, guard.staying():
            session = self._session(asked.session, asked.begin)
            try:
                view = decode(View, asked.view, session.shown)
            except PolicyError as error:
                raise MalformedError(str(error)) from error
            return guard.call(f"policy '{self.name}', slot {view.slot}", _answer, session.policy, view)

    def observe(self, question: object) -> None:
        """Tell a session's policy of an `ObserveQuestion`. Raises as `plan`."""
        asked = _asked(ObserveQuestion, question)
        with self._turn, guard.staying():
            session = self._session(asked.session, begin=False)
            try:
                outcome = decode(Outcome, asked.outcome, place="outcome")
            except PolicyError as error:
                raise MalformedError(str(error)) from error
            if session.tell is not None:
                session.tell(outcome)

    def _new(self) -> _Session:
        return _Session(self._make(), self.name)

    def _session(self, key: str | None, begin: bool) -> _Session:
        if key is None:
            return self._new()
        if begin:
            self._sessions[key] = self._new()
        if key not in self._sessions:
            told = f"session '{brief(key, 40)}' has not begun here, or was forgotten for newer ones"
            raise UnknownSessionError(f'{told}: begin one with "begin": true')
        self._sessions.move_to_end(key)
        while len(self._sessions) > MOST_SESSIONS:
            self._sessions.popitem(last=False)
        return self._sessions[key]


def _asked(kind: type[Question], question: object) -> Question:
    try:
        return kind.model_validate(question)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the question"
        raise MalformedError(f"{brief(place)}: {brief(first['msg'])}") from error


def _answer(policy: Policy, view: View) -> PlanAnswer:
    """What the policy answers, as it stands: whoever asked holds it to the contract."""
    given: Any = guard.ran(policy.plan(view), "plan()")
    plan = given if type(given) is Plan else Plan(given)
    weights = _numbers(plan.weights, "plan() returned")
    if weights.ndim != 2:
        raise PolicyError(f"plan() returned an array of shape {weights.shape}, must be (gateways, regions)")
    more = {
        name: encode(_numbers(value, f"plan() returned as {name}"))
        for name, value in plan._asdict().items()
        if name != "weights" and value is not None
    }
    duals = getattr(policy, "duals", None)
    shown = None if duals is None else {str(key): _numbers(one, f"duals['{key}'] is") for key, one in duals.items()}
    return PlanAnswer.model_construct(weights=encode(weights), duals=encode(shown), **more)


def _numbers(value: object, what: str) -> Floats:
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise PolicyError(f"{what} {type(value).__name__}, must be an array of real numbers")
    return array.astype(np.float64)
