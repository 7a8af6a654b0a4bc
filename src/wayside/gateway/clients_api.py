"""What clients may see of the management API, on the data plane's own port: where there is no
Envoy that would tell the router's paths from the models'."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from starlette.requests import Request as HttpRequest

from wayside.gateway.api import CALLER, Endpoint, Handler
from wayside.gateway.further import Found, Further, raw
from wayside.vocab.outcome import Outcome, Request

DATA_PLANE: Final = frozenset(("/v1/models", "/health", "/ready"))
"""Paths that the data plane answers itself."""


def add_to(further: Further, endpoints: Iterable[Endpoint]) -> None:
    """Serve ``endpoints`` there, by the same handlers."""
    for endpoint in endpoints:
        for path in endpoint.paths:
            if path not in DATA_PLANE:
                further.add(endpoint.method, path, _Asked(endpoint.handler, path))


class _Asked:
    """A handler of the management API that is asked with a request of the data plane."""

    def __init__(self, handler: Handler, path: str) -> None:
        self._handler, self._path = handler, path

    def __call__(self, request: Request, _: str) -> Found:
        return self._run(request)

    async def _run(self, request: Request) -> Outcome:
        answer = await self._handler(_as_asgi(request, self._path))
        kind = answer.headers.get("content-type", "application/json")
        kept = [(k, v) for k, v in answer.headers.items() if k not in _ITS_OWN]
        return raw(bytes(answer.body), answer.status_code, kind, tuple(kept))


_ITS_OWN: Final = ("content-type", "content-length")


def _as_asgi(request: Request, path: str) -> HttpRequest:
    """The request as Starlette has them; its body is one message."""
    scope: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": request.path.partition("?")[2].encode("latin-1", "replace"),
        "root_path": "",
        "headers": [
            (name.encode("latin-1", "replace"), value.encode("latin-1", "replace"))
            for name, value in request.headers.items()
        ],
        "server": ("router", None),
        "client": None,
        CALLER: request.caller,
    }
    sent = False

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": request.body, "more_body": False}

    return HttpRequest(scope, receive)
