"""What stands before everything of the console: which requests are ours, and what a browser may do
with the answers."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wayside.gateway.api import error_answer
from wayside.gateway.hosts import host_name, is_own

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
SAFE: Final = frozenset(("GET", "HEAD", "OPTIONS"))
"""Methods that change nothing."""
_HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",  # but for pages, which say it themselves
}


class Careful:
    """Refuses what comes by a name that is not ours or from another site's page, and tells
    browsers what they may do with every answer."""

    def __init__(self, app: ASGIApp, url: str) -> None:
        self._app = app
        self._origin = url
        self._hosts = {urlsplit(url).hostname or ""} - {""}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # no WebSockets here
            await send({"type": "websocket.close", "code": 1008})
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        headers = Headers(scope=scope)
        refusal = self._refusal(scope["method"], headers)
        await (refusal or self._app)(scope, receive, marked)

    def _refusal(self, method: str, headers: Headers) -> Response | None:
        host = headers.get("host", "")
        if not is_own(host_name(host), self._hosts):
            return error_answer(
                421,
                "UNKNOWN_HOST",
                "the console is not served by this host name: write it into "
                "management.console.url, or use an IP address",
            )
        origin = headers.get("origin")
        if origin is None or method in SAFE:
            return None
        own = urlsplit(origin).netloc == host and bool(host)
        if not own and not (self._origin and origin == self._origin):
            return error_answer(403, "FOREIGN_ORIGIN", "sent by a page of another site")
        return None
