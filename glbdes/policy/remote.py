"""A policy that is asked over HTTP: `name = "http://127.0.0.1:8100"`, served by `glbdes serve` or by anything that
answers alike (docs/router.md).

It is shown what a policy in the process is shown, and its answers are held to the same contract. What goes wrong on the
way is a `PolicyError`: a run never waits longer than `timeout_s` for an answer, and never goes on without one.
"""

import http.client
import ipaddress
import json
import time
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit
from uuid import uuid4

from glbdes.base import reading
from glbdes.errors import PolicyError, RefusalError, brief
from glbdes.policy.wire import Arrays, decode, encode
from glbdes.world import Floats, Outcome, View
from glbdes.world.scaling import Plan

SCHEMES: Final = ("http://", "https://")
TIMEOUT_S: Final = 10.0
MOST_TIMEOUT_S: Final = 3600.0
MOST_BYTES: Final = 64 << 20  # of an answer
PIECE: Final = 1 << 16  # bytes that are read at a time
OK: Final = range(200, 300)


def is_address(name: str) -> bool:
    """Whether a policy's name is an address."""
    return name.startswith(SCHEMES)


def check_allowed(name: str, allow: str | Iterable[str]) -> None:
    """Raise `PolicyError` unless `name` is an address on this machine, or one that the user allows."""
    url = _parsed(name)
    allowed = (allow,) if isinstance(allow, str) else tuple(allow)
    if _is_here(url.hostname or "") or {name, name.rstrip("/"), url.netloc, url.hostname} & set(allowed):
        return
    shown = brief(name)
    told = f"policy '{shown}' is on another machine, which would be shown the scenario's signals and demand"
    raise PolicyError(f"{told}; if you want that, say --allow-policy {shown} (in Python: allow_policy=['{shown}'])")


def _parsed(name: str) -> SplitResult:
    try:
        url = urlsplit(name)
        if url.hostname and url.port != 0 and not (url.query or url.fragment or url.username):
            return url
    except ValueError:  # a port that is none
        pass
    raise PolicyError(f"policy '{brief(name)}': is no address, must be like http://127.0.0.1:8100")


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Remote:
    """The policy at `url`, in a session of its own; `timeout_s` is how long an answer may take."""

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
        if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float) or not 0 < timeout_s <= MOST_TIMEOUT_S:
            raise PolicyError(f"timeout_s = {brief(timeout_s)} s, must be > 0 and <= {MOST_TIMEOUT_S:g}")
        self.url = url.rstrip("/")
        self.timeout_s = float(timeout_s)
        self.duals: dict[str, Any] | None = None
        self._at = _parsed(url)
        self._session = uuid4().hex
        self._began = False
        self._sent: Arrays = {}
        about = self._ask("GET", "/")
        if about.get("service") != "glbdes" or about.get("format") != 1:
            raise PolicyError(f"{self.url}: serves no policy, or one of another format: {_shown(about)}")
        if about.get("observes"):
            self.observe = self._observe

    def plan(self, view: View) -> Any:
        """The weights that the service answers, and what else a plan says."""
        question = {"session": self._session, "begin": not self._began, "view": encode(view, self._sent, "view")}
        answer = self._ask("POST", "/plan", question)
        self._began = True
        if answer.get("weights") is None:
            raise PolicyError(f"{self.url}: the answer has no weights: {_shown(answer)}")
        self.duals = decode(dict[str, Floats] | None, answer.get("duals"), place="duals")
        said = {name: decode(Floats, answer[name], place=name) for name in Plan._fields if answer.get(name) is not None}
        return Plan(**said) if len(said) > 1 else said["weights"]

    def _observe(self, outcome: Outcome) -> None:
        self._ask("POST", "/observe", {"session": self._session, "outcome": encode(outcome)})

    def _ask(self, method: str, path: str, question: dict[str, Any] | None = None) -> dict[str, Any]:
        """What the service answers. Raises `PolicyError` for everything but a JSON object in time."""
        body = None if question is None else json.dumps(question, allow_nan=False)
        try:
            status, content = self._exchange(method, self._at.path.rstrip("/") + path, body)
        except TimeoutError as error:
            raise PolicyError(f"{self.url}: no answer within {self.timeout_s:g} s (policy.timeout_s)") from error
        except ConnectionRefusedError as error:
            raise PolicyError(f"{self.url}: nobody answers there; is `glbdes serve` running?") from error
        except (OSError, http.client.HTTPException) as error:
            raise PolicyError(f"{self.url}: cannot be asked: {brief(error) or type(error).__name__}") from error
        if status == http.client.NO_CONTENT:
            return {}
        try:
            answer = reading.json_document(content.decode("utf-8"))
        except (reading.UnreadableError, UnicodeDecodeError) as error:
            raise PolicyError(f"{self.url}: answered {status} with what is {_unreadable(error)}") from error
        if status not in OK:
            told = answer.get("error", answer) if isinstance(answer, dict) else answer
            refused = isinstance(answer, dict) and answer.get("kind") == "refusal"
            kind = RefusalError if refused else PolicyError
            raise kind(f"{self.url}: answered {status}: {brief(told, 1000)}")
        if not isinstance(answer, dict):
            raise PolicyError(f"{self.url}: answered a {type(answer).__name__}, must be an object: {_shown(answer)}")
        return answer

    def _exchange(self, method: str, path: str, body: str | None) -> tuple[int, bytes]:
        """Status and content of one exchange, on a connection of its own: others are closed when nobody speaks."""
        deadline_s = time.monotonic() + self.timeout_s
        secure = self._at.scheme == "https"
        connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = connect(self._at.hostname or "", self._at.port, timeout=self.timeout_s)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json", "Connection": "close"})
            with connection.getresponse() as response:
                content = _read(response, deadline_s)
            if time.monotonic() > deadline_s:
                raise TimeoutError
            return response.status, content
        finally:
            connection.close()


def _read(response: http.client.HTTPResponse, deadline_s: float) -> bytes:
    content = bytearray()
    while piece := response.read1(PIECE):
        content += piece
        if time.monotonic() > deadline_s:
            raise TimeoutError
        if len(content) > MOST_BYTES:
            raise http.client.HTTPException(f"an answer of more than {MOST_BYTES:,} bytes")
    return bytes(content)


def _unreadable(error: Exception) -> str:
    return str(error) if isinstance(error, reading.UnreadableError) else "not UTF-8"


def _shown(answer: object) -> str:
    return brief(json.dumps(answer))
