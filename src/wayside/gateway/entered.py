"""The gate of the data plane, before what clients may see of the management API on a listener of
its own: reading a prompt costs compute, and says where it would go."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from wayside.flow import refuse
from wayside.gateway.api import CALLER
from wayside.runtime import Runtime
from wayside.vocab.errors import RequestError
from wayside.vocab.outcome import Reply, Request

_JSON: Final = "application/json"


class Entered:
    """``app`` for those whom the gate of ``runtime`` lets in; for everybody where it has none."""

    def __init__(self, app: ASGIApp, runtime: Runtime) -> None:
        self._app, self._runtime = app, runtime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gate = self._runtime.gate
        if gate is None or scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = _asked(scope)
        try:
            entered = gate(request)
            if not isinstance(entered, Request):
                entered = await entered
        except RequestError as error:
            await _answer(send, refuse(error, request=request))
            return
        await self._app({**scope, CALLER: entered.caller}, receive, send)


def _asked(scope: Scope) -> Request:
    """The request without its body. Its path is as it came, letter by letter: what another
    spelling of it would open stays closed."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    raw = scope.get("raw_path") or scope["path"].encode()
    path = raw.decode("latin-1")
    if scope["query_string"]:
        path = f"{path}?{scope['query_string'].decode('latin-1')}"
    return Request(scope["method"], path, headers)


async def _answer(send: Send, reply: Reply) -> None:
    headers = [(b"content-type", _JSON.encode()), (b"content-length", b"%d" % len(reply.body))]
    headers += [(name.encode(), value.encode("latin-1")) for name, value in reply.report]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
