"""Names that a listener on this machine is asked by.

A page of any site can have its own name lead to 127.0.0.1 (DNS rebinding), and then asks us as if
it were ours. A browser still says the name: only addresses, ``localhost`` and names that the
settings know are answered.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from wayside.gateway.api import error_answer

_HOST: Final = re.compile(r"(\[[^\]\s]+\]|[^:\s/@\[\]]+)(?::([0-9]{1,5}))?")
_LOCAL: Final = frozenset(("localhost", "localhost."))


def host_name(host: str) -> str:
    """The host of a ``Host`` header, without port and brackets; empty for what is none."""
    found = _HOST.fullmatch(host)
    if found is None or int(found[2] or 0) > 65535:
        return ""
    return found[1].strip("[]").lower()


def is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def is_own(name: str, also: Collection[str] = ()) -> bool:
    """Whether ``name`` leads here whoever resolves it, or is one of ``also``."""
    return name in _LOCAL or name in also or is_address(name)


class OwnNames:
    """Answers 421 to whoever asks ``app`` by another name. One that says none is no browser."""

    def __init__(self, app: ASGIApp, also: Collection[str] = ()) -> None:
        self._app, self._also = app, frozenset(also)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            host = Headers(scope=scope).get("host", "")
            if host and not is_own(host_name(host), self._also):
                refusal = error_answer(
                    421,
                    "UNKNOWN_HOST",
                    "this listener is on loopback and not known by this name: write "
                    "management.console.url, or use an IP address",
                )
                return await refusal(scope, receive, send)
        await self._app(scope, receive, send)
