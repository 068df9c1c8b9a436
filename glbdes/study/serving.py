"""A policy served over HTTP, for routers and for runs on other machines: `glbdes serve`.

    GET  /         who is there
    POST /plan     {"view": {...}} -> {"weights": [[...], ...], "duals": {...} or null}
    POST /observe  {"session": "...", "outcome": {...}}

Questions and answers are those of `policy.service`; errors are {"error": "...", "kind": "..."} with a status of 400 (no
question), 409 (no such session), 413 (too long) or 422 (the policy).
"""

import json
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from glbdes import policy
from glbdes.base import reading
from glbdes.errors import GlbdesError, PolicyError, RecordsError, RefusalError
from glbdes.policy.remote import is_address
from glbdes.policy.service import MalformedError, Service, UnknownSessionError
from glbdes.study.run import OFFLINE

if TYPE_CHECKING:  # an extra
    from starlette.applications import Starlette
    from starlette.requests import Request

MOST_BYTES: Final = 256 << 20  # of a question
EXTRA: Final = "glbdes serve needs Starlette and uvicorn: pip install 'glbdes[serve]'"
STATUS: Final[Mapping[type[GlbdesError], int]] = {MalformedError: 400, UnknownSessionError: 409}


class TooLongError(GlbdesError):
    """A question of more bytes than are taken."""


def service(name: str, arguments: Mapping[str, Any], allow_policy: tuple[str, ...] = ()) -> Service:
    """The policy `name` as a service. Raises `PolicyError` if there is none that can be served."""
    if name == OFFLINE:
        raise PolicyError("policy 'offline' knows the whole run beforehand, and cannot be served")
    if is_address(name):
        raise PolicyError(f"policy '{name}' is served already")
    return Service(name, lambda: policy.load(name, arguments, Path.cwd(), allow_policy))


def app(served: Service) -> "Starlette":
    """The service as an ASGI application. Raises `RecordsError` without Starlette."""
    try:
        from starlette.applications import Starlette
        from starlette.requests import Request
        from starlette.responses import JSONResponse, Response
        from starlette.routing import Route
    except ImportError as error:
        raise RecordsError(EXTRA) from error

    def told(error: GlbdesError) -> Response:
        kind = "refusal" if isinstance(error, RefusalError) else "policy"
        status = 413 if isinstance(error, TooLongError) else STATUS.get(type(error), 422)
        return JSONResponse({"error": str(error), "kind": kind}, status)

    def asked(answer: Callable[[object], Response]) -> Any:
        async def endpoint(request: Request) -> Response:
            try:
                return answer(await _question(request))
            except GlbdesError as error:
                return told(error)

        return endpoint

    async def about(request: Request) -> Response:
        return JSONResponse(served.about().model_dump())

    def plan(question: object) -> Response:
        return Response(json.dumps(served.plan(question).model_dump()), media_type="application/json")

    def observe(question: object) -> Response:
        served.observe(question)
        return Response(status_code=204)

    routes = [
        Route("/", about),
        Route("/plan", asked(plan), methods=["POST"]),
        Route("/observe", asked(observe), methods=["POST"]),
    ]
    return Starlette(routes=routes)


async def _question(request: "Request") -> object:
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > MOST_BYTES:
            raise TooLongError(f"the question has more than {MOST_BYTES:,} bytes")
    try:
        return reading.json_document(content.decode("utf-8"))
    except (reading.UnreadableError, UnicodeDecodeError) as error:
        raise MalformedError(f"the question is {error}") from error


def serve(served: Service, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve until interrupted; `ready` is told the address. Port 0 takes a free one. Raises `RecordsError`."""
    application = app(served)
    try:
        import uvicorn
    except ImportError as error:
        raise RecordsError(EXTRA) from error
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise RecordsError(f"{host}:{port}: cannot be listened at: {error.strerror}") from error
    with listening:
        at, taken = listening.getsockname()[:2]
        ready(f"http://{f'[{at}]' if ':' in at else at}:{taken}")
        uvicorn.Server(uvicorn.Config(application, log_level="warning")).run(sockets=[listening])
