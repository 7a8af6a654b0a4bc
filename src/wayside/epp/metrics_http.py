"""``GET /metrics``, to whom may see it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from wayside.net.pages import METRICS_TYPE, PageServer

Allow = Callable[[str], Awaitable[int]]
"""From the ``authorization`` header to a status: 200, or that of the refusal."""


async def anybody(authorization: str) -> int:
    """No authentication."""
    return 200


class MetricsServer(PageServer):
    """Serves ``text()`` to whom ``allow`` lets see it."""

    def __init__(self, text: Callable[[], bytes], *, allow: Allow = anybody) -> None:
        self._text, self._allow = text, allow
        super().__init__({"/metrics": self._metrics, "/healthz": _well, "/livez": _well})

    async def _metrics(self, authorization: str) -> tuple[int, str, bytes]:
        status = await self._allow(authorization)
        if status != 200:
            return status, "text/plain", b""
        return status, METRICS_TYPE, self._text()


async def _well(authorization: str) -> tuple[int, str, bytes]:
    return 200, "text/plain", b"ok"
