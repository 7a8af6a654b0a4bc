"""The console's data without its door: what a worker answers its parent, on a private socket.

The parent has let people in and says who asks; nobody else reaches that socket, which is in a
folder that only this user may enter.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote, unquote

from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from wayside.console.inside import NOTE, WHO, Who
from wayside.console.sessions import RANKS
from wayside.gateway.api import ApiError, Endpoint, Handler, error_answer

NAME_HEADER: Final = "x-wayside-console-name"
ROLE_HEADER: Final = "x-wayside-console-role"
NOTE_HEADER: Final = "x-wayside-console-note"
"""What the audit is to say was changed; ``-`` where nothing was."""
ENDPOINTS: Final = "/_endpoints"
ABOUT: Final = "/_about"


def bare(endpoints: Iterable[Endpoint], about: Any) -> Starlette:
    """``endpoints`` as they are, and what there is, for :data:`ENDPOINTS` and :data:`ABOUT`."""
    listed = list(endpoints)

    async def table(_: HttpRequest) -> Response:
        rows = [
            {"method": e.method, "path": e.path, "role": e.role, "media": e.media} for e in listed
        ]
        return JSONResponse({"endpoints": rows})

    async def has(_: HttpRequest) -> Response:
        return JSONResponse(await about())

    routes = [Route(ENDPOINTS, table), Route(ABOUT, has)]
    routes += [Route(e.path, _believing(e), methods=[e.method]) for e in listed]
    return Starlette(routes=routes)


def heads_of(who: Who) -> dict[str, str]:
    """What the parent says of who asks."""
    return {NAME_HEADER: quote(who.name), ROLE_HEADER: who.role}


def _believing(endpoint: Endpoint) -> Handler:
    """``endpoint`` for whom the parent has let in. What it passes on of requests for other paths
    comes without :data:`ROLE_HEADER`, however those paths are written."""

    async def believing(http: HttpRequest) -> Response:
        role: Any = http.headers.get(ROLE_HEADER, "")
        if RANKS.get(role, -1) < RANKS[endpoint.role]:
            return error_answer(403, "ROLE_NEEDED", "nobody has been let in for this")
        http.scope[WHO] = Who(unquote(http.headers.get(NAME_HEADER, "")), role)
        try:
            answer = await endpoint.handler(http)
        except ApiError as error:
            answer = error_answer(error.status, error.code, str(error))
        noted = http.scope.get(NOTE, "")
        if noted != "" and hasattr(answer, "headers"):
            answer.headers[NOTE_HEADER] = "-" if noted is None else quote(noted)
        return answer

    return believing
